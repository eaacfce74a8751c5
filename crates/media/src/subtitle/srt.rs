//! SubRip: a number, a time and text, then an empty line.

use super::time::span;
use super::{Cue, Refusal, is_blank, markup, take};

/// A cue that is being read.
struct Open<'a> {
    line: usize,
    start: u64,
    end: u64,
    text: Vec<&'a str>,
}

impl Open<'_> {
    fn close(self, cues: &mut Vec<Cue>) -> Result<(), Refusal> {
        let text = without_overrides(&self.text.join("\n"));
        let cue = Cue {
            start: self.start,
            end: self.end,
            settings: String::new(),
            text: markup::clean(&text),
        };
        take(cues, self.line, cue)
    }
}

pub(super) fn cues(lines: &[&str]) -> Result<Vec<Cue>, Refusal> {
    let mut cues = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut after_blank = true;
    let mut at = 0;
    while let Some(line) = lines.get(at).copied() {
        let number = at + 1;
        at += 1;
        if is_blank(line) {
            after_blank = true;
            continue;
        }
        let begins = std::mem::take(&mut after_blank);
        let next = lines.get(at).copied();
        let is_number = line.trim().bytes().all(|b| b.is_ascii_digit());
        if is_time(line) {
            let (start, end, _) = span(line).map_err(|reason| Refusal::at(number, reason))?;
            if let Some(open) = open.take() {
                open.close(&mut cues)?;
            }
            open = Some(Open {
                line: number,
                start,
                end,
                text: Vec::new(),
            });
        } else if is_number && next.is_some_and(is_time) {
            // The number of the next cue, whether an empty line stands before it or not.
        } else if begins
            && is_number
            && next.is_none_or(is_blank)
            && lines[at..].iter().all(|l| is_blank(l))
        {
            // A file that was cut off behind a number.
        } else if begins && is_number {
            return Err(Refusal::at(
                number + 1,
                "a time such as 00:01:02,003 --> 00:01:04,005 is needed behind the number of a cue",
            ));
        } else if let Some(open) = &mut open {
            // An empty line within a text, too.
            open.text.push(line);
        } else {
            return Err(Refusal::at(
                number,
                "a cue begins with its number, or a time such as 00:01:02,003 --> 00:01:04,005",
            ));
        }
    }
    if let Some(open) = open {
        open.close(&mut cues)?;
    }
    Ok(cues)
}

/// Whether a line is the time of a cue, be it a broken one. An arrow in a text is none.
fn is_time(line: &str) -> bool {
    line.contains("-->")
        && line
            .trim_start()
            .starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// Leaves out what programs of other formats have left behind: `{\an8}`.
fn without_overrides(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{\\") {
        let Some(end) = rest[at..].find('}') else {
            break;
        };
        kept.push_str(&rest[..at]);
        rest = &rest[at + end + 1..];
    }
    kept + rest
}
