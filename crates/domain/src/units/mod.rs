//! Units of time and rate, each its own type: a bare integer never means ticks, frames or bits.
//!
//! Media time counts in ticks of 90 kHz (ISO/IEC 13818-1 §2.4.3.6), programme time in frames since
//! the channel's epoch. [`Ticks90k`] never wraps; [`Pts33`] is what fits into the 33 bits of a
//! transport stream and wraps every 26.5 hours.

mod frame_rate;
mod timeline;

pub use frame_rate::{FrameRate, UnknownFrameRate};
pub use timeline::{AUDIO_UNIT_TICKS, Timeline};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Ticks of the 90 kHz clock, not wrapped: a length of media or a position on an endless clock.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ticks90k(pub u64);

impl Ticks90k {
    /// Ticks in a second.
    pub const PER_SECOND: u64 = 90_000;

    /// `ticks` of the 90 kHz clock.
    pub const fn new(ticks: u64) -> Self {
        Self(ticks)
    }

    /// The number of ticks.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The 33 bits of it that a transport stream carries.
    pub const fn wrapped(self) -> Pts33 {
        Pts33::new(self.0)
    }

    /// The same length as a duration, rounded down to the nanosecond.
    pub fn duration(self) -> Duration {
        let whole = self.0 / Self::PER_SECOND;
        let nanos = (self.0 % Self::PER_SECOND) * 1_000_000_000 / Self::PER_SECOND;
        Duration::new(whole, nanos as u32)
    }

    /// The same length in seconds, for playlists and people.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / Self::PER_SECOND as f64
    }

    /// The difference, or `None` when `earlier` is later.
    pub const fn checked_sub(self, earlier: Self) -> Option<Self> {
        match self.0.checked_sub(earlier.0) {
            Some(ticks) => Some(Self(ticks)),
            None => None,
        }
    }

    /// The difference, or nothing when `earlier` is later.
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Ticks90k {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Ticks90k {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// A timestamp of a transport stream: 33 bits of the 90 kHz clock (ISO/IEC 13818-1 §2.4.3.7).
///
/// It has no order of its own, for it wraps: ask [`Pts33::since`] or [`Pts33::is_after`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Pts33(u64);

impl Pts33 {
    /// The value at which the clock is back at zero: 2³³ ticks, 26.5 hours.
    pub const WRAP: u64 = 1 << 33;

    /// The lowest 33 bits of `ticks`.
    pub const fn new(ticks: u64) -> Self {
        Self(ticks % Self::WRAP)
    }

    /// The 33 bits as a number below [`Pts33::WRAP`].
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Signed ticks from `earlier` to this, across the wrap: in −2³² ≤ d < 2³².
    pub const fn since(self, earlier: Self) -> i64 {
        let ahead = (self.0 + Self::WRAP - earlier.0) % Self::WRAP;
        if ahead < Self::WRAP / 2 {
            ahead as i64
        } else {
            ahead as i64 - Self::WRAP as i64
        }
    }

    /// Whether this lies after `other`, taking the shorter way round the clock.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }

    /// The timestamp `ticks` later.
    pub const fn plus(self, ticks: Ticks90k) -> Self {
        Self((self.0 + ticks.0 % Self::WRAP) % Self::WRAP)
    }

    /// The timestamp `ticks` later, or earlier when negative.
    pub const fn offset(self, ticks: i64) -> Self {
        Self((self.0 as i64 + ticks % Self::WRAP as i64).rem_euclid(Self::WRAP as i64) as u64)
    }

    /// The unwrapped time nearest to `reference` that carries these 33 bits.
    pub const fn unwrapped_near(self, reference: Ticks90k) -> Ticks90k {
        let step = self.since(reference.wrapped());
        match reference.0.checked_add_signed(step) {
            Some(ticks) => Ticks90k(ticks),
            None => Ticks90k(self.0),
        }
    }
}

impl From<u64> for Pts33 {
    fn from(ticks: u64) -> Self {
        Self::new(ticks)
    }
}

impl From<Pts33> for u64 {
    fn from(pts: Pts33) -> u64 {
        pts.0
    }
}

/// A frame of a channel's programme, counted from the channel's epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Frame(pub u64);

impl Frame {
    /// Frame `number` since the epoch.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of frames since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Frames from `earlier` to this; nothing when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The frame `frames` earlier, no earlier than the epoch.
    pub const fn before(self, frames: u64) -> Self {
        Self(self.0.saturating_sub(frames))
    }
}

impl Add<u64> for Frame {
    type Output = Self;

    fn add(self, frames: u64) -> Self {
        Self(self.0.saturating_add(frames))
    }
}

impl AddAssign<u64> for Frame {
    fn add_assign(&mut self, frames: u64) {
        *self = *self + frames;
    }
}

impl Sub for Frame {
    type Output = u64;

    /// As [`Frame::since`].
    fn sub(self, earlier: Self) -> u64 {
        self.since(earlier)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A rate in bits per second.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BitsPerSecond(pub u64);

impl BitsPerSecond {
    /// `bits` per second.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The number of bits per second.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The rate of `bytes` in `time`; zero when no time has passed.
    pub fn of(bytes: u64, time: Duration) -> Self {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        Self(
            bits.checked_div(time.as_nanos())
                .map_or(0, |rate| rate.min(u64::MAX.into()) as u64),
        )
    }
}

impl fmt::Display for BitsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits/s", self.0)
    }
}
