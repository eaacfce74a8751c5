//! A channel's timeline: frame N, its wall time and its place on the output clock, one from another.
//!
//! Everything here is a pure function of N and of three persisted numbers; no state accumulates, so
//! whoever produces frame N (this process, the next one, another daemon) gives it the same clock.
//! Invariant: `frame_at(wall(n)) == n`.

use super::{Frame, FrameRate, Pts33, Ticks90k};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Ticks of one AAC-LC access unit: 1024 samples of 48 kHz, exactly.
pub const AUDIO_UNIT_TICKS: u64 = 1_920;

/// Where a channel's frames lie in wall time and on its output clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeline {
    /// The wall time of frame 0.
    pub epoch: Timestamp,
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// The output clock at frame 0.
    pub clock_origin: Ticks90k,
}

impl Timeline {
    /// The output clock at `frame`, not wrapped.
    pub const fn ticks(&self, frame: Frame) -> Ticks90k {
        Ticks90k(self.clock_origin.0 + self.frame_rate.ticks(frame.0).0)
    }

    /// The video PTS of `frame`.
    pub const fn pts(&self, frame: Frame) -> Pts33 {
        self.ticks(frame).wrapped()
    }

    /// When `frame` is due, rounded up to the nanosecond; the end of time when it lies beyond.
    pub fn wall(&self, frame: Frame) -> Timestamp {
        SignedDuration::try_from(self.frame_rate.duration(frame.0))
            .ok()
            .and_then(|since| self.epoch.checked_add(since).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// The frame that is due at `at`; frame 0 before the epoch.
    pub fn frame_at(&self, at: Timestamp) -> Frame {
        let since = at.duration_since(self.epoch);
        Frame(
            since
                .try_into()
                .map_or(0, |since| self.frame_rate.frames_at(since)),
        )
    }

    /// The first frame that is due at `at` or later.
    pub fn first_frame_from(&self, at: Timestamp) -> Frame {
        let frame = self.frame_at(at);
        frame + u64::from(self.wall(frame) < at)
    }

    /// The access unit with which the audio of `frame` begins: the one whose start is nearest.
    pub const fn audio_unit(&self, frame: Frame) -> u64 {
        (self.frame_rate.ticks(frame.0).0 + AUDIO_UNIT_TICKS / 2) / AUDIO_UNIT_TICKS
    }

    /// The access units that belong to the frames of `frames`: neighbouring ranges of frames have
    /// neighbouring ranges of units.
    pub const fn audio_units(&self, frames: Range<Frame>) -> Range<u64> {
        self.audio_unit(frames.start)..self.audio_unit(frames.end)
    }

    /// The output clock at access unit `unit`, not wrapped.
    pub const fn audio_ticks(&self, unit: u64) -> Ticks90k {
        Ticks90k(self.clock_origin.0 + unit * AUDIO_UNIT_TICKS)
    }

    /// The PTS of access unit `unit`.
    pub const fn audio_pts(&self, unit: u64) -> Pts33 {
        self.audio_ticks(unit).wrapped()
    }
}
