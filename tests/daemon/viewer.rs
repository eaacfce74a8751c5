//! A viewer that follows a channel's playlist, keeps every segment, and judges them by their bytes.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;

use super::clips::numbers;
use super::daemon::{Daemon, until};
use crate::judge::{self, Judge, PlaylistHistory};

/// See the module's head.
pub struct Viewer<'a> {
    daemon: &'a Daemon,
    channel: String,
    rung: String,
    judge: Judge,
    history: PlaylistHistory,
    /// The number of the next segment.
    next: Option<u64>,
    /// Everything fetched, in order.
    pub bytes: Vec<u8>,
    /// The numbers of what was fetched.
    pub sequences: Vec<u64>,
    /// When the first segment is of, as the playlist told.
    pub began: Option<Timestamp>,
    /// Breaks that the playlist told.
    pub discontinuities: usize,
    /// Seconds fetched, as the playlist told.
    pub seconds: f64,
    /// Where each segment ends: how many frames there were so far, and when the last of them is shown.
    pub ends: Vec<(u64, Option<u64>)>,
    /// Bits a second of each segment.
    pub rates: Vec<f64>,
}

impl<'a> Viewer<'a> {
    /// A viewer of the 240p rung at 25 frames a second.
    pub fn of(daemon: &'a Daemon, channel: &str) -> Self {
        Self::of_rung(daemon, channel, "240p")
    }

    /// A viewer of another rung.
    pub fn of_rung(daemon: &'a Daemon, channel: &str, rung: &str) -> Self {
        Self {
            daemon,
            channel: channel.to_owned(),
            rung: rung.to_owned(),
            judge: Judge::new(25, 1),
            history: PlaylistHistory::default(),
            next: None,
            bytes: Vec::new(),
            sequences: Vec::new(),
            began: None,
            discontinuities: 0,
            seconds: 0.0,
            ends: Vec::new(),
            rates: Vec::new(),
        }
    }

    /// The same viewer at a daemon that took over.
    pub fn moved_to(self, daemon: &Daemon) -> Viewer<'_> {
        Viewer {
            daemon,
            channel: self.channel,
            rung: self.rung,
            judge: self.judge,
            history: self.history,
            next: self.next,
            bytes: self.bytes,
            sequences: self.sequences,
            began: self.began,
            discontinuities: self.discontinuities,
            seconds: self.seconds,
            ends: self.ends,
            rates: self.rates,
        }
    }

    /// Fetches what is new; answers whether the playlist could be had.
    pub fn look(&mut self) -> bool {
        let path = format!("/hls/{}/{}.m3u8", self.channel, self.rung);
        let Some(answer) = self
            .daemon
            .try_get(&path)
            .filter(|answer| answer.status == 200)
        else {
            return false;
        };
        let text = answer.text();
        self.history.saw(&text);
        let playlist = judge::playlist(&text);
        for (sequence, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
            if self.next.is_some_and(|next| sequence < next) {
                continue;
            }
            if let Some(next) = self.next {
                assert_eq!(sequence, next, "segments between were never seen:\n{text}");
            }
            let path = format!("/hls/{}/{}", self.channel, segment.uri);
            let Some(bytes) = self
                .daemon
                .try_get(&path)
                .filter(|answer| answer.status == 200)
            else {
                return false;
            };
            let first = self.next.is_none();
            self.began = self.began.or(segment.program_date_time);
            self.judge
                .segment(&segment.uri, &bytes.body, segment.discontinuity && !first);
            self.discontinuities += usize::from(segment.discontinuity && !first);
            self.bytes.extend_from_slice(&bytes.body);
            self.sequences.push(sequence);
            self.seconds += segment.duration;
            self.ends.push((self.judge.frames(), self.judge.last_pts()));
            let bits = bytes.body.len() as f64 * 8.0;
            self.rates.push(bits / segment.duration);
            self.next = Some(sequence + 1);
        }
        true
    }

    /// Follows until `enough`, for `bound` at most.
    pub fn follow(
        &mut self,
        what: &str,
        bound: Duration,
        mut enough: impl FnMut(&mut Self) -> bool,
    ) {
        until(what, bound, || {
            self.look();
            enough(self)
        });
    }

    /// Follows until so many seconds of media were fetched.
    pub fn watch(&mut self, seconds: f64) {
        let bound = Duration::from_secs_f64(seconds * 2.0 + 30.0);
        self.follow("media goes out", bound, |viewer| viewer.seconds >= seconds);
    }

    /// The judgement: no fault in any segment or playlist, and every frame decodes.
    pub fn judge(&self) {
        let faults: Vec<String> = self
            .judge
            .faults()
            .into_iter()
            .chain(self.history.faults())
            .collect();
        assert!(
            faults.is_empty(),
            "{} faults:\n{}",
            faults.len(),
            faults.join("\n")
        );
        assert!(self.judge.frames() > 0, "nothing was published");
        decode(&self.bytes, &["-f", "null", "-"]);
    }

    /// The first and last presentation times seen.
    pub fn span(&self) -> (u64, u64) {
        (
            self.judge.first_pts().expect("frames"),
            self.judge.last_pts().expect("frames"),
        )
    }

    /// The frames seen so far.
    pub fn frames(&self) -> u64 {
        self.judge.frames()
    }

    /// Which frames of which prepared files were shown, in order: `(file, frame)`; `None` for any other
    /// picture.
    pub fn shown(&self, prepared: &[&Path]) -> Vec<Option<(usize, usize)>> {
        let mut known = HashMap::new();
        for (file, path) in prepared.iter().enumerate() {
            let bytes = std::fs::read(path).expect("the prepared file");
            for (frame, picture) in pictures(&bytes).into_iter().enumerate() {
                known.insert(picture, (file, frame));
            }
        }
        pictures(&self.bytes)
            .iter()
            .map(|picture| known.get(picture).copied())
            .collect()
    }

    /// The numbers of the pictures of [`numbered`](super::clips::numbered) clips, in the order shown; `None` for any
    /// other picture.
    pub fn numbers(&self) -> Vec<Option<u32>> {
        let bars = "scale=12:1:flags=area:in_range=tv:out_range=tv,format=gray";
        numbers(&filtered(&self.bytes, bars))
    }
}

/// The bytes of every picture of a transport stream, as `filter` makes it.
pub fn filtered(stream: &[u8], filter: &str) -> Vec<u8> {
    let output = [
        "-an",
        "-fps_mode",
        "passthrough",
        "-vf",
        filter,
        "-f",
        "rawvideo",
        "-",
    ];
    decode(stream, &output)
}

/// Decodes a transport stream; any error is a failure. Answers what it writes.
pub fn decode(stream: &[u8], output: &[&str]) -> Vec<u8> {
    let mut ffmpeg = decoder(&["-f", "mpegts", "-i", "pipe:0"], output);
    let mut stdin = ffmpeg.stdin.take().expect("piped");
    let stream = stream.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&stream));
    let written = decoded(ffmpeg);
    feeding.join().expect("fed").expect("fed");
    written
}

fn decoder(input: &[&str], output: &[&str]) -> Child {
    let quiet = [
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "warning",
        "-xerror",
    ];
    Command::new("ffmpeg")
        .args(quiet)
        .args(input)
        .args(output)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg runs")
}

fn decoded(ffmpeg: Child) -> Vec<u8> {
    let done = ffmpeg.wait_with_output().expect("ffmpeg ends");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "ffmpeg -xerror: {said}");
    done.stdout
}

/// What makes FFmpeg write a line for every picture.
pub const FINGERPRINTS: [&str; 7] = [
    "-map",
    "0:v:0",
    "-fps_mode",
    "passthrough",
    "-f",
    "framemd5",
    "-",
];

/// The fingerprint of every picture of a file of any format.
pub fn pictures_of_file(path: &Path) -> Vec<String> {
    let path = path.to_str().expect("a plain name");
    fingerprints(&decoded(decoder(&["-i", path], &FINGERPRINTS)))
}

/// The fingerprint of every picture of a stream.
fn pictures(stream: &[u8]) -> Vec<String> {
    fingerprints(&decode(stream, &FINGERPRINTS))
}

fn fingerprints(framemd5: &[u8]) -> Vec<String> {
    let framemd5 = std::str::from_utf8(framemd5).expect("text");
    framemd5.lines().filter_map(fingerprint).collect()
}

/// The picture's fingerprint in a line of [`FINGERPRINTS`].
pub fn fingerprint(line: &str) -> Option<String> {
    let line = (!line.starts_with('#')).then_some(line)?;
    Some(line.rsplit(',').next()?.trim().to_owned())
}
