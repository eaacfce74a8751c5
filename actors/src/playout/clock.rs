//! When each frame of a channel is due, on the monotonic clock.
//!
//! The wall clock is read once, when a playout begins: a wall clock that is set afterwards neither
//! hurries nor halts what is on air.

use jiff::Timestamp;
use playout_domain::units::{Frame, Timeline};
use std::time::Duration;
use tokio::time::Instant;

/// A channel's timeline tied to the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    timeline: Timeline,
    /// One instant, on both clocks.
    anchor: (Instant, Timestamp),
    /// How far the output runs ahead of the wall clock, in frames: not at all, unless the wall clock was
    /// set back since the last segment.
    lead: u64,
}

impl Clock {
    /// The clock of a playout that begins at `now` and has published everything before `published`.
    pub(super) fn starting(timeline: Timeline, now: Timestamp, published: Frame) -> Self {
        let lead = published.since(timeline.frame_at(now));
        Self {
            timeline,
            anchor: (Instant::now(), now),
            lead,
        }
    }

    /// The frame that is due at `at`.
    pub(super) fn frame(&self, at: Instant) -> Frame {
        let (instant, wall) = self.anchor;
        let passed = at.saturating_duration_since(instant);
        self.timeline.frame_at(wall + passed) + self.lead
    }

    /// When `frame` is due.
    pub(super) fn instant(&self, frame: Frame) -> Instant {
        let (instant, wall) = self.anchor;
        let due = self.timeline.wall(frame.before(self.lead));
        match Duration::try_from(due.duration_since(wall)) {
            Ok(ahead) => instant + ahead,
            Err(_) => {
                let ago = Duration::try_from(wall.duration_since(due)).unwrap_or_default();
                instant.checked_sub(ago).unwrap_or(instant)
            }
        }
    }
}
