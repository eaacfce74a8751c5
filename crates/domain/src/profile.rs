//! The profile: what every byte of a channel's output agrees on, so that any two pieces splice.
//!
//! Media is prepared once per profile; [`Profile::key`] names the folder of what was prepared.

use crate::config::ChannelConfig;
use crate::resolution::Resolution;
use crate::units::{BitsPerSecond, FrameRate};
use serde::{Deserialize, Serialize};

/// The audio bitrate of every profile: AAC-LC, 48 kHz, stereo.
pub const DEFAULT_AUDIO_BITRATE: BitsPerSecond = BitsPerSecond(128_000);

/// Counts the ways of encoding: what was prepared another way does not splice and is not reused.
const ENCODING_VERSION: u32 = 1;

/// Picture size, frame rate and bitrates of a channel's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Picture size.
    pub resolution: Resolution,
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// H.264 bitrate, bounded by a VBV.
    pub video_bitrate: BitsPerSecond,
    /// AAC bitrate.
    pub audio_bitrate: BitsPerSecond,
}

impl Profile {
    /// The profile of a channel.
    pub fn of(config: &ChannelConfig) -> Self {
        Self {
            resolution: config.resolution,
            frame_rate: config.frame_rate,
            video_bitrate: config.bitrate,
            audio_bitrate: DEFAULT_AUDIO_BITRATE,
        }
    }

    /// A short, stable name, fit for a folder: `720p25-2500k-v1`. Different profiles have
    /// different keys.
    pub fn key(&self) -> String {
        let audio = match self.audio_bitrate {
            DEFAULT_AUDIO_BITRATE => String::new(),
            other => format!("-a{}", short(other)),
        };
        let Self {
            resolution,
            frame_rate,
            video_bitrate,
            ..
        } = self;
        format!(
            "{resolution}{frame_rate}-{}{audio}-v{ENCODING_VERSION}",
            short(*video_bitrate)
        )
    }

    /// Video and audio together, without the packaging.
    pub const fn total_bitrate(&self) -> BitsPerSecond {
        BitsPerSecond(self.video_bitrate.0 + self.audio_bitrate.0)
    }
}

fn short(rate: BitsPerSecond) -> String {
    match rate.0 % 1_000 {
        0 => format!("{}k", rate.0 / 1_000),
        _ => format!("{}b", rate.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_short_stable_and_tells_profiles_apart() {
        let profile = Profile {
            resolution: Resolution::P720,
            frame_rate: FrameRate::F25,
            video_bitrate: BitsPerSecond(2_500_000),
            audio_bitrate: DEFAULT_AUDIO_BITRATE,
        };
        assert_eq!(profile.key(), "720p25-2500k-v1");
        let ntsc = Profile {
            frame_rate: FrameRate::F29_97,
            ..profile
        };
        assert_eq!(ntsc.key(), "720p29.97-2500k-v1");
        let odd = Profile {
            video_bitrate: BitsPerSecond(2_500_001),
            ..profile
        };
        assert_eq!(odd.key(), "720p25-2500001b-v1");
        let loud = Profile {
            audio_bitrate: BitsPerSecond(192_000),
            ..profile
        };
        assert_eq!(loud.key(), "720p25-2500k-a192k-v1");
    }
}
