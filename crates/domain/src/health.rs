//! How a channel on air is doing: what it counts, when it tells, and when no sign of it means that it hangs.
//!
//! Decides only; times are arguments.
//!
//! Invariant (P5): beats lie on a grid of the interval from the first on; what is counted is what happened since
//! the start, whatever playouts did it.

use std::collections::VecDeque;
use std::ops::Add;
use std::time::Duration;

use jiff::Timestamp;

use crate::channel::ChannelStatus;
use crate::units::{BitsPerSecond, FrameRate};

/// The segments over which the bitrate is taken.
const RECENT: usize = 10;

/// What a channel counts while it is on air.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether a source failed and its item is not back yet.
    recovering: bool,
    /// Failures of sources in a row.
    errors: u64,
    /// Failures of sources in all.
    failures: u64,
    /// Segments published.
    segments: u64,
    /// Their bytes.
    bytes: u64,
    /// When the newest was published.
    last_segment: Option<Timestamp>,
    /// Bytes and frames of the newest segments.
    recent: VecDeque<(u64, u64)>,
}

impl Health {
    /// A segment of `bytes` and `frames` was published.
    pub fn published(&mut self, bytes: u64, frames: u64, at: Timestamp) {
        self.segments += 1;
        self.bytes += bytes;
        self.last_segment = Some(at);
        self.recent.push_back((bytes, frames));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// A source failed, `attempt` times in a row by now.
    pub fn failed(&mut self, attempt: u32) {
        self.errors = u64::from(attempt);
        self.failures += 1;
    }

    /// Something else than the item is shown because of that.
    pub fn stood_in(&mut self) {
        self.recovering = true;
    }

    /// The item is delivered; answers whether it was not before.
    pub fn delivered(&mut self) -> bool {
        let was = std::mem::take(&mut self.recovering) || self.errors > 0;
        self.errors = 0;
        was
    }

    /// The playout is over and another follows: what was going on is over, what was counted is counted on.
    pub fn followed(&mut self) {
        self.recovering = false;
        self.errors = 0;
    }

    /// Whether a source failed and its item is not back yet.
    pub const fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// Failures of sources in a row.
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// Failures of sources in all.
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// Segments published.
    pub const fn segments(&self) -> u64 {
        self.segments
    }

    /// Bytes of all segments published.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the newest segment was published.
    pub const fn last_segment(&self) -> Option<Timestamp> {
        self.last_segment
    }

    /// Bits/s over the newest segments.
    pub fn bitrate(&self, rate: FrameRate) -> BitsPerSecond {
        let add = |(b, f), (bytes, frames): &(u64, u64)| (b + bytes, f + frames);
        let (bytes, frames) = self.recent.iter().fold((0, 0), add);
        BitsPerSecond::of(bytes, rate.duration(frames))
    }
}

/// Whether a channel in this status tells how it is doing.
pub const fn beats(status: ChannelStatus) -> bool {
    matches!(status, ChannelStatus::Live | ChannelStatus::Error)
}

/// When beats are due. `I` is any clock that goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beats<I> {
    due: I,
}

impl<I: Copy + Ord + Add<Duration, Output = I>> Beats<I> {
    /// The first is due `interval` after `now`.
    pub fn starting(now: I, interval: Duration) -> Self {
        Self {
            due: now + interval,
        }
    }

    /// When the next one is due.
    pub fn due(&self) -> I {
        self.due
    }

    /// The one that was due is told at `now`. The next is due `interval` after it was due, not after it was told:
    /// being late once makes no other one late. What was missed altogether is not told later.
    pub fn told(&mut self, now: I, interval: Duration) {
        self.due = self.due + interval;
        if self.due <= now {
            self.due = now + interval;
        }
    }
}

/// Watches for a sign of life of something that is asked for media: while nobody wants any, it owes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse<I> {
    patience: Duration,
    /// Since when a sign is owed.
    wanted: Option<I>,
}

impl<I: Copy + Ord + Add<Duration, Output = I>> Pulse<I> {
    /// One of which a sign is expected within `patience`.
    pub const fn new(patience: Duration) -> Self {
        Self {
            patience,
            wanted: None,
        }
    }

    /// How long it may give no sign.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Media is wanted at `now`; answers when it hangs if none has come by then.
    pub fn wanted(&mut self, now: I) -> I {
        *self.wanted.get_or_insert(now) + self.patience
    }

    /// It gave a sign, or what it gave is enough for now.
    pub fn felt(&mut self) {
        self.wanted = None;
    }
}
