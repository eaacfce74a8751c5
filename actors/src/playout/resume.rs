//! Where a playout begins, and on what of the last one it goes on: a pure function of the record that
//! was left behind, the plan and the time.
//!
//! Invariants: a segment's number is never used again and never goes back; what was published is never
//! published again; the stream breaks only where something is truly missing, and after an absence no longer than the
//! window nothing is.

use bytes::Bytes;
use playout_domain::plan::Plan;
use playout_domain::units::{Frame, Timeline};
use playout_media::hls::{Airing, PlaylistState, SegmentInfo};
use playout_media::mux::Counters;

use super::spool::Record;

/// How a playout begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resume {
    /// The first frame to go out.
    pub(super) start: Frame,
    /// Everything before this frame was published, at some time.
    pub(super) published: Frame,
    /// The number of the first segment.
    pub(super) next_sequence: u64,
    /// Continuity counters to go on with; `None`: from zero.
    pub(super) counters: Option<Vec<Counters>>,
    /// Where the stream ended and its parameter sets; `None`: nothing in the playlist to follow.
    pub(super) follows: Option<(Frame, Vec<Bytes>)>,
    /// The window to go on with.
    pub(super) playlist: PlaylistState,
    /// Segments that have left the window and are still kept.
    pub(super) past: Vec<SegmentInfo>,
    /// How the item airs that goes on; nothing: another one begins.
    pub(super) airing: Option<Airing>,
}

/// The facts that decide.
pub(super) struct Situation<'a> {
    pub(super) timeline: &'a Timeline,
    pub(super) plan: &'a Plan,
    /// The key of what splices of the profile.
    pub(super) profile: &'a str,
    /// The frame that is due now.
    pub(super) now: Frame,
    /// Seconds since 1970: above any number that a lost record may have used, because a segment is
    /// longer than a second.
    pub(super) unix_seconds: u64,
    /// Whether something was left behind that cannot be read.
    pub(super) lost: bool,
    /// Frames of the three segments with which the output begins.
    pub(super) burst: u64,
    /// Frames of a whole window.
    pub(super) window: u64,
    /// The target duration in seconds: shorter than it was, and the segments before do not fit it.
    pub(super) target: u32,
}

impl Situation<'_> {
    /// How to begin, when `record` was left behind.
    pub(super) fn resume(&self, record: Option<Record>) -> Resume {
        let first = self.first_frame();
        let Some(record) = record else {
            return Resume {
                start: first,
                published: Frame::default(),
                next_sequence: self.unix_seconds,
                counters: None,
                follows: None,
                playlist: PlaylistState {
                    // Above any that was lost: there are fewer breaks than segments.
                    discontinuity_sequence: if self.lost { self.unix_seconds } else { 0 },
                    ..PlaylistState::default()
                },
                past: Vec::new(),
                airing: None,
            };
        };
        let goes_on = record.profile == self.profile && record.timeline == *self.timeline;
        let published = if record.timeline == *self.timeline {
            record.next
        } else {
            Frame::default()
        };
        // Viewers who went on waiting find what comes next, as long as the window still shows it.
        let in_sight = goes_on && self.now.since(published) <= self.window;
        let start = if first > published && !in_sight {
            first
        } else {
            published
        };
        let fits = |info: &SegmentInfo| info.fits(self.timeline.frame_rate, self.target);
        let stale = !goes_on
            || start.since(published) > self.window
            || !record.playlist.segments.iter().all(fits);
        Resume {
            start,
            published,
            next_sequence: record.next_sequence + if stale { self.unrecorded(&record) } else { 0 },
            counters: goes_on.then_some(record.counters),
            follows: (!stale).then(|| {
                (
                    published,
                    record.parameter_sets.iter().map(|hex| unhex(hex)).collect(),
                )
            }),
            playlist: if stale {
                record.playlist.emptied()
            } else {
                record.playlist
            },
            past: if stale { Vec::new() } else { record.past },
            airing: record.airing.filter(|_| goes_on && start == published),
        }
    }

    /// More numbers than can have been used since `record` was written: while the disk takes no
    /// records, segments go out all the same. A segment is longer than a second.
    fn unrecorded(&self, record: &Record) -> u64 {
        let recorded = record.timeline.wall(record.next).as_second();
        self.unix_seconds
            .saturating_sub(recorded.try_into().unwrap_or_default())
    }

    /// The frame from which three segments are due now: the beginning of a GOP of the item that the plan
    /// shows there, so that no filler is needed to reach one.
    fn first_frame(&self) -> Frame {
        let earliest = self.now.before(self.burst);
        let gop = self.timeline.frame_rate.gop_frames();
        match self.plan.at(earliest) {
            Some(entry) => {
                // An item that begins within a GOP of its own begins there.
                let into = entry.item_frame(earliest) % gop;
                earliest.before(into.min(earliest.since(entry.start)))
            }
            None => earliest,
        }
    }
}

/// Hexadecimal to bytes; what is none ends it.
fn unhex(hex: &str) -> Bytes {
    let digits = |pair: &[u8]| {
        std::str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    hex.as_bytes()
        .chunks(2)
        .map_while(digits)
        .collect::<Vec<u8>>()
        .into()
}
