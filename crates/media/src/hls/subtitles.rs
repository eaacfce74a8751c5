//! Subtitles as segments of WebVTT (RFC 8216 §3.5), beside the segments of the picture and as long as these.
//!
//! What a segment says is a function of what was aired in it. A cue stands in every segment in which it is shown, each time
//! with the whole of its time and under the same name, so that a player that has it knows it again. Times are on the
//! channel's own clock, whose 33 bits wrap: a segment maps them at its beginning, or at that of its first cue.

use std::ops::Range;

use playout_domain::Language;
use playout_domain::ids::MediaId;
use playout_domain::units::{Frame, Ticks90k, Timeline};
use serde::{Deserialize, Serialize};

use super::segment::SegmentInfo;
use crate::subtitle::{Cue, clock, write_cue};

/// Ticks of a millisecond.
const MILLISECOND: u64 = Ticks90k::PER_SECOND / 1_000;
/// What the names of all files of subtitles begin with, so that no rung has one like it.
const PREFIX: &str = "subtitles-";

/// How an item airs: where it lies on the channel's timeline, and from when on it went out without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Airing {
    /// The item.
    pub media: MediaId,
    /// The channel's frame with which its entry in the plan begins.
    pub start: Frame,
    /// The frame of the item that is aired there.
    pub in_frame: u64,
    /// The channel's frame with which its entry ends.
    pub end: Frame,
    /// The channel's frame with which it began to go out.
    pub since: Frame,
}

impl Airing {
    /// Whether what airs as `next` from frame `at` on is the same going on: only the end may be another, where the plan was changed.
    pub fn goes_on_as(&self, next: &Self) -> bool {
        (self.media, self.start, self.in_frame) == (next.media, next.start, next.in_frame)
    }
}

/// What was aired of an item within a segment.
#[derive(Debug, Clone)]
pub struct Stretch<'a> {
    /// The item's cues, in the order of their beginnings.
    pub cues: &'a [Cue],
    /// How it aired.
    pub airing: Airing,
    /// Which frames of the channel.
    pub frames: Range<Frame>,
    /// Whether something else follows within the segment.
    pub is_over: bool,
}

/// The subtitles of the segment `info`, in which `stretches` were aired.
pub fn subtitle_segment(
    timeline: &Timeline,
    info: &SegmentInfo,
    stretches: &[Stretch<'_>],
) -> String {
    let begin = ticks(timeline, info.start);
    let mut cues: Vec<Placed<'_>> = Vec::new();
    for stretch in stretches {
        let shown = ticks(timeline, stretch.frames.start)..ticks(timeline, stretch.frames.end);
        let placed = stretch.cues.iter().enumerate();
        let placed = placed.filter_map(|(n, cue)| stretch.place(timeline, n, cue, begin));
        cues.extend(placed.filter(|cue| cue.from < shown.end && cue.to > shown.start));
    }
    let clocks = cues.iter().map(|cue| milliseconds(cue.from));
    let base = clocks.fold(begin.max(0) as u64 / MILLISECOND, u64::min);
    let mapped = Ticks90k(base * MILLISECOND).wrapped();
    // Players that do not know of the map find the clock of the picture.
    let local = mapped.get() / MILLISECOND;
    let mut text = format!(
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{},LOCAL:{}\n",
        mapped.get(),
        clock(local)
    );
    for Placed {
        airing,
        n,
        from,
        to,
        cue,
    } in cues
    {
        let at = |ticks: i64| local + milliseconds(ticks).saturating_sub(base);
        let cue = Cue {
            start: at(from),
            end: at(to).max(at(from) + 1),
            ..cue.clone()
        };
        // The same wherever the cue stands.
        text.push_str(&format!("\n{}-{}\n", airing.start, n + 1));
        write_cue(&mut text, &cue);
    }
    text
}

/// A cue in its place on the channel's clock, in ticks.
struct Placed<'a> {
    airing: Airing,
    /// Which of the item's cues.
    n: usize,
    from: i64,
    to: i64,
    cue: &'a Cue,
}

impl Stretch<'_> {
    /// Where a cue lies within what airs of its item; nothing where none of it does.
    fn place<'a>(
        &self,
        timeline: &Timeline,
        n: usize,
        cue: &'a Cue,
        segment: i64,
    ) -> Option<Placed<'a>> {
        let airing = &self.airing;
        let skipped = timeline.frame_rate.ticks(airing.in_frame).get() as i64;
        let item = ticks(timeline, airing.start) - skipped;
        let at = |milliseconds: u64| item + (milliseconds * MILLISECOND) as i64;
        let from = at(cue.start).max(ticks(timeline, airing.start.max(airing.since)));
        let mut to = at(cue.end).min(ticks(timeline, airing.end));
        // What a segment before has told of it already is not told otherwise.
        if self.is_over && from >= segment {
            to = to.min(ticks(timeline, self.frames.end));
        }
        (from < to).then_some(Placed {
            airing: *airing,
            n,
            from,
            to,
            cue,
        })
    }
}

fn ticks(timeline: &Timeline, frame: Frame) -> i64 {
    i64::try_from(timeline.ticks(frame).get()).unwrap_or(i64::MAX)
}

/// The nearest millisecond of the channel's clock: the same for a cue in every segment.
fn milliseconds(ticks: i64) -> u64 {
    (ticks.max(0) as u64 + MILLISECOND / 2) / MILLISECOND
}

/// The URI of the playlist of a language, relative to the master playlist.
pub fn subtitle_playlist(language: &Language) -> String {
    format!("{PREFIX}{language}.m3u8")
}

/// The URI of a segment of subtitles, relative to its playlist.
pub fn subtitle_name(language: &Language, sequence: u64) -> String {
    format!("{PREFIX}{language}-{sequence}.vtt")
}

/// The language and the number that the name of a segment of subtitles stands for; `None` for any other name.
pub fn subtitle_number(name: &str) -> Option<(Language, u64)> {
    let (language, number) = name
        .strip_prefix(PREFIX)?
        .strip_suffix(".vtt")?
        .rsplit_once('-')?;
    let (language, sequence) = (language.parse().ok()?, number.parse().ok()?);
    (subtitle_name(&language, sequence) == name).then_some((language, sequence))
}
