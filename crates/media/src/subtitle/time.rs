//! Times in subtitle files.

/// Hours that a file may have at most.
const MOST_HOURS: u64 = 999;

/// Milliseconds as WebVTT writes them: `01:02:03.004`.
pub fn clock(milliseconds: u64) -> String {
    let (seconds, fraction) = (milliseconds / 1_000, milliseconds % 1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:03}")
}

/// A time in milliseconds, with or without hours, after a comma or a dot one to three digits.
fn time(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once([',', '.'])?;
    let number = |text: &str, most: usize| {
        let digits =
            !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let mut parts = whole.rsplit(':');
    let seconds = number(parts.next()?, 2).filter(|seconds| *seconds < 60)?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let hours = match parts.next() {
        None => 0,
        Some(hours) => number(hours, 4).filter(|hours| *hours <= MOST_HOURS)?,
    };
    if parts.next().is_some() {
        return None;
    }
    let thousandths = number(fraction, 3)? * 10u64.pow(3 - fraction.len() as u32);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + thousandths)
}

/// From when to when, and what stands behind that in the line.
///
/// # Errors
/// A sentence without its full stop.
pub(super) fn span(line: &str) -> Result<(u64, u64, &str), String> {
    let (from, rest) = line.split_once("-->").unwrap_or((line, ""));
    let rest = rest.trim_start();
    let (to, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let read = |text: &str| {
        time(text.trim()).ok_or_else(|| {
            let given = playout_domain::violation::quoted(text.trim());
            format!("{given} is no time; one such as 01:02:03.004 is needed")
        })
    };
    let (start, end) = (read(from)?, read(to)?);
    if end < start {
        return Err(format!(
            "the cue ends ({}) before it begins ({})",
            clock(end),
            clock(start)
        ));
    }
    Ok((start, end, behind))
}
