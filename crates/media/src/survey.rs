//! Finds out from FFmpeg's messages where a file is damaged.
//!
//! FFmpeg skips what it cannot decode and says so, but never when in the file that is. [`hints_at_damage`] sees
//! in the messages of any run that something is wrong; a survey ([`crate::ffmpeg::survey`]) then tells the time of
//! every picture and sound between its complaints, and [`Survey`] reads off where these belong: behind what was
//! shown last before, up to the next picture that stands on its own. Complaints come up to a few pictures early,
//! because decoders work ahead.

use playout_domain::damage::{Damage, Damaged, summed_up};
use playout_domain::units::Ticks90k;

use crate::probe::Probed;

/// Complaints that mean damage, of all decoders and demuxers. Others are no proof: recordings from the air
/// begin in the middle of things, and many sound files are not by the book.
const COMPLAINTS: [&str; 11] = [
    "corrupt decoded frame",
    "corrupt input packet",
    "Error while decoding stream",
    "Error submitting packet to decoder",
    "Decoding error:",
    "error while decoding MB",
    "concealing ",
    "Could not find ref with POC",
    "Invalid NAL unit size",
    "partial file",
    "File ended prematurely",
];
/// What demuxers say of a file that is shorter than it tells.
const BREAKS_OFF: [&str; 2] = ["partial file", "File ended prematurely"];

/// A key frame so soon, in seconds, behind a complaint may stand before what the complaint is about.
const SETTLES: f64 = 0.5;
/// Pictures do without a key frame for so long at most, in seconds: where there is none, they mend themselves.
const LONGEST: f64 = 10.0;
/// The end is missing when so much of it is, in seconds; claims are not exact.
const NOTICEABLE: f64 = 0.5;

/// Whether a message of FFmpeg, told with its level, means that what it reads is damaged.
pub fn hints_at_damage(message: &str) -> bool {
    !is_description(message) && COMPLAINTS.iter().any(|known| message.contains(known))
}

/// Reads the messages of a survey.
#[derive(Debug)]
pub struct Survey {
    video: Track,
    audio: Track,
    /// The number of the sound in the file.
    audio_index: Option<u32>,
    /// How long the file says that its pictures last, in seconds.
    claimed: Option<f64>,
    breaks_off: bool,
}

/// One stream, in seconds of item time.
#[derive(Debug)]
struct Track {
    what: Damaged,
    /// Where what was shown last is over.
    end: f64,
    /// How long the last step was.
    step: f64,
    /// Where damage that is not over yet begins, and when it was complained of last.
    open: Option<(f64, f64)>,
    found: Vec<Damage>,
}

impl Survey {
    /// Of a file in which `probed` was found.
    pub fn new(probed: &Probed) -> Self {
        let rate = probed.video.as_ref().and_then(|video| video.frame_rate);
        Self {
            video: Track::new(Damaged::Picture, 1.0 / rate.unwrap_or(25.0).max(1.0)),
            audio: Track::new(Damaged::Sound, 0.02),
            audio_index: probed.audio.as_ref().map(|audio| audio.index),
            claimed: probed.length().map(|length| length.as_secs_f64()),
            breaks_off: false,
        }
    }

    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        if line.starts_with("[Parsed_") && line.contains("showinfo_") {
            let Some(at) = value(line, "pts_time:").and_then(|at| at.parse().ok()) else {
                return;
            };
            if line.contains("_ashowinfo_") {
                self.audio.shows(at, true);
            } else {
                self.video.shows(at, value(line, "iskey:") == Some("1"));
            }
        } else if hints_at_damage(line) {
            self.breaks_off |= BREAKS_OFF.iter().any(|known| line.contains(known));
            let of_audio = stream(line).is_some_and(|index| Some(index) == self.audio_index);
            let track = if of_audio {
                &mut self.audio
            } else {
                &mut self.video
            };
            track.complains();
        }
    }

    /// What was found, when the survey is over.
    pub fn finish(mut self) -> Vec<Damage> {
        self.video.over();
        self.audio.over();
        let end = self.video.end;
        let missing = self
            .claimed
            .filter(|claimed| self.breaks_off && *claimed > end + NOTICEABLE);
        let missing = missing.map(|claimed| stretch(end, claimed, Damaged::Missing));
        summed_up(
            self.video
                .found
                .into_iter()
                .chain(self.audio.found)
                .chain(missing),
        )
    }
}

impl Track {
    fn new(what: Damaged, step: f64) -> Self {
        Self {
            what,
            end: 0.0,
            step,
            open: None,
            found: Vec::new(),
        }
    }

    fn complains(&mut self) {
        let from = self.open.map_or(self.end, |(from, _)| from);
        self.open = Some((from, self.end));
    }

    /// A picture or sound is shown; `whole` when it stands on its own.
    fn shows(&mut self, at: f64, whole: bool) {
        if let Some((from, last)) = self.open {
            let settles = if self.what == Damaged::Picture {
                SETTLES
            } else {
                self.step
            };
            if (whole && at >= last + settles) || at >= last + LONGEST {
                self.close(from, at);
            }
        }
        let step = at + self.step - self.end;
        if step > 0.0 && step < SETTLES {
            self.step = step;
        }
        self.end = self.end.max(at + self.step);
    }

    /// Nothing more comes.
    fn over(&mut self) {
        if let Some((from, _)) = self.open {
            // What is left out at the very end has no time of its own.
            self.close(from.min(self.end - self.step), self.end);
        }
    }

    fn close(&mut self, from: f64, to: f64) {
        self.open = None;
        self.found.push(stretch(from, to, self.what));
    }
}

fn stretch(from: f64, to: f64, what: Damaged) -> Damage {
    let ticks = |seconds: f64| Ticks90k::new((seconds.max(0.0) * 90_000.0).round() as u64);
    Damage {
        from: ticks(from),
        to: ticks(to),
        what,
    }
}

/// What describes the file, its own titles among it: it begins with its level, or with nothing.
fn is_description(line: &str) -> bool {
    let informs = |text: &str| text.starts_with("[info]");
    !line.starts_with('[')
        || informs(line)
        || line.split_once("] ").is_some_and(|(_, text)| informs(text))
}

/// The word behind `name`.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(name)?.1.split_whitespace().next()
}

/// The number of the stream that a complaint names: `stream 1`, `stream #0:1`, `aist#0:1/aac`, `stream 1, offset …`.
fn stream(line: &str) -> Option<u32> {
    let (_, rest) = line
        .split_once("#0:")
        .or_else(|| line.split_once("stream "))?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
