//! WebVTT (W3C): a head, then blocks with empty lines between them.

use super::time::span;
use super::{Cue, Refusal, is_blank, markup, settings, take};

pub(super) fn cues(lines: &[&str]) -> Result<Vec<Cue>, Refusal> {
    let head = lines.first().copied().unwrap_or_default();
    let signature = head.strip_prefix("WEBVTT");
    if !signature.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return Err(Refusal::at(1, "a WebVTT file begins with WEBVTT"));
    }
    let mut cues = Vec::new();
    // What follows the signature without an empty line is of the head, unless it is a cue already.
    let mut at = 1;
    while lines
        .get(at)
        .is_some_and(|line| !is_blank(line) && !line.contains("-->"))
    {
        at += 1;
    }
    while at < lines.len() {
        if is_blank(lines[at]) {
            at += 1;
            continue;
        }
        let end = lines[at..]
            .iter()
            .position(|line| is_blank(line))
            .map_or(lines.len(), |length| at + length);
        block(&lines[at..end], at + 1, &mut cues)?;
        at = end;
    }
    Ok(cues)
}

/// Reads the block whose first line has the number `first`.
fn block(lines: &[&str], first: usize, cues: &mut Vec<Cue>) -> Result<(), Refusal> {
    let [head, ..] = lines else { return Ok(()) };
    let is_of = |word: &str| {
        let rest = head.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    };
    if !head.contains("-->") && ["NOTE", "STYLE", "REGION"].into_iter().any(is_of) {
        return Ok(());
    }
    // The name of a cue may stand before its time.
    let mut time = usize::from(!head.contains("-->"));
    loop {
        let line = first + time;
        let Some(times) = lines.get(time).filter(|line| line.contains("-->")) else {
            return Err(Refusal::at(
                line,
                "a time such as 00:01:02.003 --> 00:01:04.005 is needed",
            ));
        };
        let (start, end, behind) = span(times).map_err(|reason| Refusal::at(line, reason))?;
        // Another time begins another cue, also without an empty line before it.
        let rest = &lines[time + 1..];
        let next = rest.iter().position(|line| line.contains("-->"));
        let text = rest[..next.unwrap_or(rest.len())].join("\n");
        let cue = Cue {
            start,
            end,
            settings: settings::kept(behind),
            text: markup::clean(&text),
        };
        take(cues, line, cue)?;
        match next {
            Some(next) => time += 1 + next,
            None => return Ok(()),
        }
    }
}
