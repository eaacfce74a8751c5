//! Cuts the channel's output into segments.
//!
//! A segment is closed before the GOP that would carry it past the target duration, and at once when
//! no further full GOP would fit, so nobody waits for a GOP that will not belong to it. Durations are
//! compared as RFC 8216 §4.3.3.1 does: rounded to the nearest second.

use bytes::Bytes;
use playout_domain::Language;
use playout_domain::units::{Frame, FrameRate, Timeline};
use serde::{Deserialize, Serialize};

use crate::splice::SplicedGop;

/// What a playlist needs to know of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentInfo {
    /// Its media sequence number; its URI is a pure function of it.
    pub sequence: u64,
    /// Whether the stream truly breaks before it.
    pub discontinuity: bool,
    /// The number of its first frame.
    pub start: Frame,
    /// How many frames it has.
    pub frames: u64,
    /// Its length in bytes on each rung.
    pub bytes: Vec<u64>,
}

impl SegmentInfo {
    /// The frame that follows it.
    pub fn end(&self) -> Frame {
        self.start + self.frames
    }

    /// Its duration in seconds.
    pub fn seconds(&self, rate: FrameRate) -> f64 {
        self.frames as f64 / rate.as_f64()
    }

    /// Whether a playlist with a target duration of `target` seconds may list it.
    pub fn fits(&self, rate: FrameRate, target: u32) -> bool {
        fits(self.frames, rate, target)
    }
}

/// A closed segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// What the playlist says of it.
    pub info: SegmentInfo,
    /// Its bytes on each rung.
    pub streams: Vec<Bytes>,
    /// Its subtitles in each language, as WebVTT; whoever knows them puts them in.
    pub subtitles: Vec<(Language, Bytes)>,
}

#[derive(Debug)]
struct Building {
    discontinuity: bool,
    start: Frame,
    frames: u64,
    streams: Vec<Vec<u8>>,
}

/// Collects GOPs and yields segments.
#[derive(Debug)]
pub struct Segmenter {
    rate: FrameRate,
    /// Target duration in seconds.
    target: u32,
    next_sequence: u64,
    /// Where the stream goes on, and with which parameter sets; `None` before the first GOP.
    expected: Option<(Frame, Vec<Bytes>)>,
    building: Option<Building>,
    /// The next segment follows nothing that is in the playlist without a break.
    pending_break: bool,
}

impl Segmenter {
    /// A segmenter whose first segment gets `next_sequence`.
    pub fn new(timeline: &Timeline, target: u32, next_sequence: u64) -> Self {
        let rate = timeline.frame_rate;
        Self {
            rate,
            target,
            next_sequence,
            expected: None,
            building: None,
            pending_break: false,
        }
    }

    /// Says that the stream went on at `frame` with `parameter_sets` before, so that a first GOP that
    /// continues there is no break and any other is one.
    pub fn following(mut self, frame: Frame, parameter_sets: Vec<Bytes>) -> Self {
        self.expected = Some((frame, parameter_sets));
        self
    }

    /// Takes the next GOP; answers the segments that are complete with it.
    pub fn push(&mut self, gop: SplicedGop) -> Vec<Segment> {
        let mut closed = Vec::new();
        let breaks = self.expected.as_ref().is_some_and(|(frame, sets)| {
            *frame != gop.start || (!sets.is_empty() && *sets != gop.parameter_sets)
        });
        let frames = u64::from(gop.frames);
        if breaks
            || self
                .building
                .as_ref()
                .is_some_and(|b| !self.fits(b.frames + frames))
        {
            closed.extend(self.close());
        }
        self.pending_break |= breaks;
        let building = self.building.get_or_insert_with(|| Building {
            discontinuity: std::mem::take(&mut self.pending_break),
            start: gop.start,
            frames: 0,
            streams: vec![Vec::new(); gop.streams.len()],
        });
        for (segment, stream) in building.streams.iter_mut().zip(&gop.streams) {
            segment.extend_from_slice(stream);
        }
        building.frames += frames;
        let full = building.frames + self.rate.gop_frames();
        self.expected = Some((gop.start + frames, gop.parameter_sets));
        if !self.fits(full) {
            closed.extend(self.close());
        }
        closed
    }

    /// Closes the segment under way, if there is one.
    pub fn close(&mut self) -> Option<Segment> {
        let building = self.building.take()?;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let info = SegmentInfo {
            sequence,
            discontinuity: building.discontinuity,
            start: building.start,
            frames: building.frames,
            bytes: building.streams.iter().map(|s| s.len() as u64).collect(),
        };
        Some(Segment {
            info,
            streams: building.streams.into_iter().map(Bytes::from).collect(),
            subtitles: Vec::new(),
        })
    }

    fn fits(&self, frames: u64) -> bool {
        fits(frames, self.rate, self.target)
    }
}

/// Whether so many frames round to no more than a target duration of `target` seconds.
fn fits(frames: u64, rate: FrameRate, target: u32) -> bool {
    (frames as f64 / rate.as_f64()).round() as u32 <= target
}
