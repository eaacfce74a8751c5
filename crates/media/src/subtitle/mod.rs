//! Subtitles: SubRip and WebVTT files in, cues out, and cues as WebVTT.
//!
//! What is broken is refused with its line and a reason; what every player puts up with is put up with: a byte order
//! mark, any end of a line, none at the end of the file, dots for commas, numbers that are missing or wrong. What a
//! cue may carry besides its words is little: `<i>`, `<b>`, `<u>`, `<c>` and `<v>`; everything else is shown as it is
//! written. Invariant: a track that is written is read as it was.

mod decode;
mod markup;
mod settings;
mod srt;
mod time;
mod vtt;

pub use decode::decode;
pub use time::clock;

use std::fmt;
use std::fmt::Write;

/// Bytes of a file at most: a film of three hours has about 200 000.
pub const LARGEST_FILE: usize = 2 << 20;
/// Cues of a file at most.
pub const MOST_CUES: usize = 20_000;
/// Bytes of a cue's text at most, as it is written.
pub const LARGEST_CUE: usize = 4_000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SubRip, `.srt`.
    Srt,
    /// WebVTT, `.vtt`.
    WebVtt,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In which line, counted from 1; none where it is about the file.
    pub line: Option<usize>,
    /// Why: a sentence without its full stop.
    pub reason: String,
}

impl Refusal {
    fn at(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            reason: reason.into(),
        }
    }

    fn of_file(reason: impl Into<String>) -> Self {
        Self {
            line: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Words that are shown for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When they are shown, in milliseconds since the item's beginning.
    pub start: u64,
    /// When they go.
    pub end: u64,
    /// Where they are shown: settings of WebVTT; none where players decide.
    pub settings: String,
    /// The words as WebVTT writes them, without an empty line.
    pub text: String,
}

/// The subtitles of an item in one language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// In the order in which they are shown first.
    pub cues: Vec<Cue>,
}

impl Track {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self, Refusal> {
        if bytes.len() > LARGEST_FILE {
            let given = bytes.len();
            return Err(Refusal::of_file(format!(
                "it has {given} bytes; {LARGEST_FILE} at most are allowed"
            )));
        }
        let text = decode(bytes)?;
        let track = Self::of(&text, format)?;
        if track.cues.is_empty() {
            return Err(Refusal::of_file("it has no cues"));
        }
        Ok(track)
    }

    /// Reads what [`Track::to_webvtt`] has written.
    ///
    /// # Errors
    /// It was written by another.
    pub fn from_webvtt(text: &str) -> Result<Self, Refusal> {
        Self::of(text, Format::WebVtt)
    }

    fn of(text: &str, format: Format) -> Result<Self, Refusal> {
        let lines = lines(text);
        let mut cues = match format {
            Format::Srt => srt::cues(&lines)?,
            Format::WebVtt => vtt::cues(&lines)?,
        };
        cues.sort_by_key(|cue| cue.start);
        Ok(Self { cues })
    }

    /// The track as a file.
    pub fn to_webvtt(&self) -> String {
        let mut text = String::from("WEBVTT\n");
        for cue in &self.cues {
            text.push('\n');
            write_cue(&mut text, cue);
        }
        text
    }
}

/// Writes one cue, with the end of its last line.
pub(crate) fn write_cue(text: &mut String, cue: &Cue) {
    let gap = if cue.settings.is_empty() { "" } else { " " };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} --> {}{gap}{}\n{}",
        clock(cue.start),
        clock(cue.end),
        cue.settings,
        cue.text
    );
}

/// The lines of a text, whatever ends them.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        lines.push(&rest[..at]);
        let end = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Takes a cue into a list; one that shows nothing, or for no time, is left out.
///
/// # Errors
/// It is too long, or one too many.
fn take(cues: &mut Vec<Cue>, line: usize, cue: Cue) -> Result<(), Refusal> {
    if cue.text.len() > LARGEST_CUE {
        return Err(Refusal::at(
            line,
            format!("the cue has more than {LARGEST_CUE} bytes of text"),
        ));
    }
    if cue.text.is_empty() || cue.start == cue.end {
        return Ok(());
    }
    if cues.len() == MOST_CUES {
        return Err(Refusal::at(
            line,
            format!("it has more than {MOST_CUES} cues"),
        ));
    }
    cues.push(cue);
    Ok(())
}
