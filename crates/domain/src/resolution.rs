//! Picture sizes: seven, ordered by height, each with the bitrates that make sense for it.

use crate::units::{BitsPerSecond, FrameRate};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The size of a channel's picture, 16:9; in JSON `"720p"`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Resolution {
    /// 426×240
    P240,
    /// 640×360
    P360,
    /// 854×480
    P480,
    /// 1280×720, the default
    #[default]
    P720,
    /// 1920×1080
    P1080,
    /// 2560×1440
    P1440,
    /// 3840×2160
    P2160,
}

/// A text that is no resolution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a resolution of {0:?} is not offered; it is one of 240p, 360p, 480p, 720p, 1080p, 1440p, 2160p"
)]
pub struct UnknownResolution(pub String);

impl Resolution {
    /// Every resolution, smallest first.
    pub const ALL: [Self; 7] = [
        Self::P240,
        Self::P360,
        Self::P480,
        Self::P720,
        Self::P1080,
        Self::P1440,
        Self::P2160,
    ];

    /// Its name: `"720p"`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P240 => "240p",
            Self::P360 => "360p",
            Self::P480 => "480p",
            Self::P720 => "720p",
            Self::P1080 => "1080p",
            Self::P1440 => "1440p",
            Self::P2160 => "2160p",
        }
    }

    /// Pixels across; always even.
    pub const fn width(self) -> u32 {
        match self {
            Self::P240 => 426,
            Self::P360 => 640,
            Self::P480 => 854,
            Self::P720 => 1_280,
            Self::P1080 => 1_920,
            Self::P1440 => 2_560,
            Self::P2160 => 3_840,
        }
    }

    /// Pixels down; always even.
    pub const fn height(self) -> u32 {
        match self {
            Self::P240 => 240,
            Self::P360 => 360,
            Self::P480 => 480,
            Self::P720 => 720,
            Self::P1080 => 1_080,
            Self::P1440 => 1_440,
            Self::P2160 => 2_160,
        }
    }

    /// The pixels of one picture.
    pub const fn pixels(self) -> u64 {
        self.width() as u64 * self.height() as u64
    }

    /// The video bitrate a channel has when none is chosen: 2.5 Mb/s for 720p up to 30 frames a
    /// second, half as much again above.
    pub fn default_bitrate(self, frame_rate: FrameRate) -> BitsPerSecond {
        let base = self.base_bitrate();
        BitsPerSecond(if frame_rate.as_f64() > 30.0 {
            base * 3 / 2
        } else {
            base
        })
    }

    /// The video bitrates that a channel of this size may choose.
    pub fn bitrates(self) -> RangeInclusive<BitsPerSecond> {
        let base = self.base_bitrate();
        BitsPerSecond(base / 4)..=BitsPerSecond(base * 4)
    }

    const fn base_bitrate(self) -> u64 {
        match self {
            Self::P240 => 400_000,
            Self::P360 => 800_000,
            Self::P480 => 1_200_000,
            Self::P720 => 2_500_000,
            Self::P1080 => 5_000_000,
            Self::P1440 => 9_000_000,
            Self::P2160 => 16_000_000,
        }
    }
}

impl FromStr for Resolution {
    type Err = UnknownResolution;

    fn from_str(text: &str) -> Result<Self, UnknownResolution> {
        Self::ALL
            .into_iter()
            .find(|resolution| resolution.name() == text)
            .ok_or_else(|| UnknownResolution(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Resolution {
    type Error = UnknownResolution;

    fn try_from(text: String) -> Result<Self, UnknownResolution> {
        text.parse()
    }
}

impl From<Resolution> for &'static str {
    fn from(resolution: Resolution) -> Self {
        resolution.name()
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn resolutions_are_ordered_by_height_and_have_even_sides() {
        assert!(Resolution::ALL.is_sorted_by_key(|r| r.height()) && Resolution::ALL.is_sorted());
        assert!(
            Resolution::ALL
                .iter()
                .all(|r| r.width() % 2 == 0 && r.height() % 2 == 0)
        );
    }

    #[test]
    fn names_lead_back_and_unknown_ones_are_told() {
        for resolution in Resolution::ALL {
            assert_eq!(resolution.to_string().parse(), Ok(resolution));
        }
        let refused = "4k".parse::<Resolution>().unwrap_err().to_string();
        assert!(
            refused.contains("\"4k\"") && refused.contains("2160p"),
            "{refused}"
        );
    }

    #[test]
    fn the_default_bitrate_is_allowed_at_every_rate() {
        assert_eq!(
            Resolution::P720.default_bitrate(FrameRate::F25),
            BitsPerSecond(2_500_000)
        );
        for resolution in Resolution::ALL {
            for rate in FrameRate::ALL {
                assert!(
                    resolution
                        .bitrates()
                        .contains(&resolution.default_bitrate(rate))
                );
            }
        }
    }
}
