//! The frame rates that a channel can have, exact as fractions.
//!
//! In JSON a rate is the number people write: 23.976, 24, 25, 29.97, 30, 50, 59.94 or 60.

use super::Ticks90k;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::time::Duration;

/// Frames per second as an exact fraction; one of [`FrameRate::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

/// A number that is no frame rate of a channel.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "a frame rate of {0} is not offered; it is one of 23.976, 24, 25, 29.97, 30, 50, 59.94, 60"
)]
pub struct UnknownFrameRate(pub f64);

impl FrameRate {
    /// 23.976, film shown at the NTSC rate: 24000/1001.
    pub const F23_976: Self = Self::ratio(24_000, 1_001);
    /// 24, film.
    pub const F24: Self = Self::ratio(24, 1);
    /// 25, the default.
    pub const F25: Self = Self::ratio(25, 1);
    /// 29.97, NTSC: 30000/1001.
    pub const F29_97: Self = Self::ratio(30_000, 1_001);
    /// 30.
    pub const F30: Self = Self::ratio(30, 1);
    /// 50.
    pub const F50: Self = Self::ratio(50, 1);
    /// 59.94: 60000/1001.
    pub const F59_94: Self = Self::ratio(60_000, 1_001);
    /// 60.
    pub const F60: Self = Self::ratio(60, 1);

    /// Every rate there is, slowest first.
    pub const ALL: [Self; 8] = [
        Self::F23_976,
        Self::F24,
        Self::F25,
        Self::F29_97,
        Self::F30,
        Self::F50,
        Self::F59_94,
        Self::F60,
    ];

    const fn ratio(num: u32, den: u32) -> Self {
        Self { num, den }
    }

    /// The rate that people write as `number`, e.g. 29.97.
    ///
    /// # Errors
    /// [`UnknownFrameRate`] when it is none of [`FrameRate::ALL`].
    pub fn from_number(number: f64) -> Result<Self, UnknownFrameRate> {
        Self::ALL
            .into_iter()
            .find(|rate| (rate.number() - number).abs() < 1e-6)
            .ok_or(UnknownFrameRate(number))
    }

    /// The rate num/den.
    ///
    /// # Errors
    /// [`UnknownFrameRate`] when it is none of [`FrameRate::ALL`].
    pub fn from_ratio(num: u32, den: u32) -> Result<Self, UnknownFrameRate> {
        Self::ALL
            .into_iter()
            .find(|rate| (rate.num, rate.den) == (num, den))
            .ok_or(UnknownFrameRate(f64::from(num) / f64::from(den)))
    }

    /// The numerator of frames per second.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// The denominator of frames per second.
    pub const fn den(self) -> u32 {
        self.den
    }

    /// Frames per second as nearly as a float tells.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// The number that people write: at most three decimals.
    pub fn number(self) -> f64 {
        match (self.num, self.den) {
            (num, 1) => f64::from(num),
            (24_000, _) => 23.976,
            (30_000, _) => 29.97,
            (_, _) => 59.94,
        }
    }

    /// The length of `frames` frames, rounded to the nearest tick.
    pub const fn ticks(self, frames: u64) -> Ticks90k {
        let num = self.num as u128;
        let scaled = frames as u128 * Ticks90k::PER_SECOND as u128 * self.den as u128;
        Ticks90k(((scaled + num / 2) / num) as u64)
    }

    /// Frames in a group of pictures: two seconds, in whole frames.
    pub const fn gop_frames(self) -> u64 {
        2 * ((self.num + self.den / 2) / self.den) as u64
    }

    /// Whole frames that fit into `length`.
    pub const fn frames_at(self, length: Duration) -> u64 {
        (length.as_nanos() * self.num as u128 / (self.den as u128 * 1_000_000_000)) as u64
    }

    /// The frame that is nearest to `position`.
    pub const fn nearest(self, position: Ticks90k) -> u64 {
        let den = self.den as u128 * Ticks90k::PER_SECOND as u128;
        ((position.0 as u128 * self.num as u128 + den / 2) / den) as u64
    }

    /// The length of `frames` frames, rounded up to the nanosecond, so that
    /// [`FrameRate::frames_at`] leads back to `frames`.
    pub const fn duration(self, frames: u64) -> Duration {
        let nanos = (frames as u128 * self.den as u128 * 1_000_000_000).div_ceil(self.num as u128);
        Duration::new(
            (nanos / 1_000_000_000) as u64,
            (nanos % 1_000_000_000) as u32,
        )
    }
}

impl Default for FrameRate {
    fn default() -> Self {
        Self::F25
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number(), f)
    }
}

impl Serialize for FrameRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.den {
            1 => serializer.serialize_u32(self.num),
            _ => serializer.serialize_f64(self.number()),
        }
    }
}

impl<'de> Deserialize<'de> for FrameRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
