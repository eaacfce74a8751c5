//! The judge of media playlists (RFC 8216 §4.3): one alone, and one after another as a player sees them.

use jiff::Timestamp;
use std::collections::HashMap;

/// A media playlist as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Playlist {
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target: u64,
    /// Oldest first.
    pub segments: Vec<PlaylistSegment>,
}

/// A segment as a playlist offers it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaylistSegment {
    /// Relative to the playlist.
    pub uri: String,
    /// `EXTINF` in seconds.
    pub duration: f64,
    /// Whether `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// `EXT-X-PROGRAM-DATE-TIME`.
    pub program_date_time: Option<Timestamp>,
}

impl Playlist {
    /// The media sequence number of the segment that would follow.
    pub fn end(&self) -> u64 {
        self.media_sequence + self.segments.len() as u64
    }
}

/// Reads a live media playlist strictly.
///
/// # Panics
/// With the sentence of what is wrong with it.
pub fn playlist(text: &str) -> Playlist {
    match parse(text) {
        Ok(playlist) => playlist,
        Err(fault) => panic!("{fault} in the playlist\n{text}"),
    }
}

/// The same, where what is wrong is a matter of [`PlaylistHistory`].
pub fn read(text: &str) -> Option<Playlist> {
    parse(text).ok()
}

/// Every playlist of one rung that a player was given, in order.
#[derive(Debug, Default)]
pub struct PlaylistHistory {
    last: Option<Playlist>,
    names: HashMap<u64, String>,
    /// The discontinuity number of each segment.
    discontinuities: HashMap<u64, u64>,
    faults: Vec<String>,
}

impl PlaylistHistory {
    /// Judges the next one.
    pub fn saw(&mut self, text: &str) {
        match parse(text) {
            Ok(playlist) => self.judge(playlist),
            Err(fault) => self.faults.push(fault),
        }
    }

    /// Everything wrong so far.
    pub fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }

    fn judge(&mut self, now: Playlist) {
        let mut faults = Vec::new();
        if let Some(last) = &self.last {
            for (what, before, after) in [
                ("media sequence", last.media_sequence, now.media_sequence),
                (
                    "discontinuity sequence",
                    last.discontinuity_sequence,
                    now.discontinuity_sequence,
                ),
                ("end of the window", last.end(), now.end()),
            ] {
                if after < before {
                    faults.push(format!("the {what} went back from {before} to {after}"));
                }
            }
            if last.target != now.target {
                faults.push(format!(
                    "the target duration changed from {} to {}",
                    last.target, now.target
                ));
            }
        }
        let mut discontinuity = now.discontinuity_sequence;
        for (sequence, segment) in (now.media_sequence..).zip(&now.segments) {
            // A tag counts until it leaves the window with its segment (§6.2.2), as players count it.
            discontinuity += u64::from(segment.discontinuity);
            let name = self
                .names
                .entry(sequence)
                .or_insert_with(|| segment.uri.clone());
            if *name != segment.uri {
                faults.push(format!(
                    "number {sequence} was {name} and is now {}",
                    segment.uri
                ));
            }
            let known = *self
                .discontinuities
                .entry(sequence)
                .or_insert(discontinuity);
            if known != discontinuity {
                faults.push(format!(
                    "segment {sequence} had discontinuity number {known}, now {discontinuity}"
                ));
            }
        }
        for pair in now.segments.windows(2) {
            let [first, second] = pair else { continue };
            if let (Some(from), Some(to)) = (first.program_date_time, second.program_date_time) {
                let step = to.duration_since(from).as_secs_f64();
                if !second.discontinuity && (step - first.duration).abs() > 0.002 {
                    faults.push(format!(
                        "{} lasts {} s, its successor is dated {step} s later",
                        first.uri, first.duration
                    ));
                }
            }
        }
        self.faults.extend(faults);
        self.last = Some(now);
    }
}

fn parse(text: &str) -> Result<Playlist, String> {
    if text.contains('\r') || !text.ends_with('\n') {
        return Err("a line does not end as it must".to_owned());
    }
    let mut lines = text.lines();
    if lines.next() != Some("#EXTM3U") {
        return Err("the first line is not #EXTM3U".to_owned());
    }
    let (mut media_sequence, mut discontinuity_sequence, mut target, mut version) =
        (None, None, None, None);
    let mut segments: Vec<PlaylistSegment> = Vec::new();
    let (mut duration, mut discontinuity, mut date): (Option<f64>, bool, Option<Timestamp>) =
        (None, false, None);
    for line in lines {
        let wrong = |why: &str| format!("line {line:?} {why}");
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let once = |slot: &mut Option<u64>| {
            let number = value.parse().map_err(|_| wrong("holds no number"))?;
            if slot.replace(number).is_some() {
                return Err(wrong("comes a second time"));
            }
            Ok(())
        };
        let in_head = segments.is_empty() && duration.is_none() && !discontinuity && date.is_none();
        match tag {
            "#EXT-X-VERSION" if in_head => once(&mut version)?,
            "#EXT-X-TARGETDURATION" if in_head => once(&mut target)?,
            "#EXT-X-MEDIA-SEQUENCE" if in_head => once(&mut media_sequence)?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" if in_head => once(&mut discontinuity_sequence)?,
            "#EXT-X-INDEPENDENT-SEGMENTS" if in_head => {}
            "#EXT-X-DISCONTINUITY" if !discontinuity => discontinuity = true,
            "#EXT-X-PROGRAM-DATE-TIME" if date.is_none() => {
                date = Some(value.parse().map_err(|_| wrong("holds no date"))?);
            }
            "#EXTINF" if duration.is_none() => {
                let seconds = value.strip_suffix(',').and_then(|s| s.parse::<f64>().ok());
                duration = Some(
                    seconds
                        .filter(|s| *s > 0.0)
                        .ok_or_else(|| wrong("holds no duration"))?,
                );
            }
            _ if line.starts_with('#') || line.is_empty() => {
                return Err(wrong("is not expected here"));
            }
            _ => segments.push(PlaylistSegment {
                uri: line.to_owned(),
                duration: duration.take().ok_or_else(|| wrong("has no EXTINF"))?,
                discontinuity: std::mem::take(&mut discontinuity),
                program_date_time: date.take(),
            }),
        }
    }
    if duration.is_some() || discontinuity || date.is_some() {
        return Err("a segment's tags have no segment".to_owned());
    }
    let target = target.ok_or("there is no target duration")?;
    if let Some(long) = segments.iter().find(|s| s.duration.round() > target as f64) {
        return Err(format!(
            "{} lasts {} s, longer than the target of {target} s",
            long.uri, long.duration
        ));
    }
    if version.is_none() {
        return Err("there is no version".to_owned());
    }
    Ok(Playlist {
        media_sequence: media_sequence.ok_or("there is no media sequence")?,
        discontinuity_sequence: discontinuity_sequence.unwrap_or(0),
        target,
        segments,
    })
}
