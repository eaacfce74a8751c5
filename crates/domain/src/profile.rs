//! The profile: what every byte of a channel's output agrees on, so that any two pieces splice. It is all of the
//! ladder: rungs are prepared together, and a piece that lacks one fits nowhere.
//!
//! Media is prepared once per profile; [`Profile::key`] names the folder of what was prepared.

use crate::config::ChannelConfig;
use crate::ladder::{LowerRungs, MAX_RUNGS, Rung};
use crate::overlay::Font;
use crate::resolution::Resolution;
use crate::treatment::Treatment;
use crate::units::{BitsPerSecond, FrameRate};
use serde::{Deserialize, Serialize};

/// The audio bitrate of every profile: AAC-LC, 48 kHz, stereo.
pub const DEFAULT_AUDIO_BITRATE: BitsPerSecond = BitsPerSecond(128_000);

/// Counts the ways of encoding: what was prepared another way does not splice and is not reused.
const ENCODING_VERSION: u32 = 2;

/// Frame rate, sound, and picture size and bitrate of every rung of a channel's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Picture size of the highest rung.
    pub resolution: Resolution,
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// H.264 bitrate of the highest rung, bounded by a VBV.
    pub video_bitrate: BitsPerSecond,
    /// AAC bitrate.
    pub audio_bitrate: BitsPerSecond,
    /// The rungs below the highest.
    #[serde(default, skip_serializing_if = "LowerRungs::is_none")]
    pub lower: LowerRungs,
    /// What is done to sound and pictures besides.
    #[serde(default, skip_serializing_if = "Treatment::is_plain")]
    pub treatment: Treatment,
}

impl Profile {
    /// The profile of a channel, whose texts are drawn in `font`. Nothing but those depends on it.
    pub fn of(config: &ChannelConfig, font: Font) -> Self {
        Self {
            resolution: config.resolution,
            frame_rate: config.frame_rate,
            video_bitrate: config.bitrate,
            audio_bitrate: DEFAULT_AUDIO_BITRATE,
            lower: {
                let lower = config.ladder.iter().skip(1).take(MAX_RUNGS - 1);
                LowerRungs::new(&lower.copied().collect::<Vec<_>>()).unwrap_or_default()
            },
            treatment: Treatment::of(config, font),
        }
    }

    /// What pieces of it have in common that splice: all of it but what is done to sound and pictures.
    pub fn spliced(&self) -> Self {
        Self {
            treatment: Treatment::PLAIN,
            ..*self
        }
    }

    /// The rungs, highest first.
    pub fn rungs(&self) -> impl Iterator<Item = Rung> {
        let own = Rung {
            resolution: self.resolution,
            bitrate: self.video_bitrate,
        };
        std::iter::once(own).chain(self.lower.iter())
    }

    /// This with the rung at `place`, counted from the highest, alone; with the highest where there is no such one.
    pub fn alone(&self, place: usize) -> Self {
        let rung = self.rungs().nth(place);
        Self {
            resolution: rung.map_or(self.resolution, |rung| rung.resolution),
            video_bitrate: rung.map_or(self.video_bitrate, |rung| rung.bitrate),
            lower: LowerRungs::NONE,
            ..*self
        }
    }

    /// A short, stable name, fit for a folder: `720p25-2500k-v2`, with a second rung and a loudness
    /// `720p25-2500k-480p-1200k-23lufs-v2`. Different profiles have different keys.
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
        let rung = |rung: Rung| format!("-{}-{}", rung.resolution, short(rung.bitrate));
        let lower: String = self.lower.iter().map(rung).collect();
        format!(
            "{resolution}{frame_rate}-{}{lower}{audio}{}-v{ENCODING_VERSION}",
            short(*video_bitrate),
            self.treatment.key()
        )
    }

    /// Video of all rungs and audio together, without the packaging.
    pub fn total_bitrate(&self) -> BitsPerSecond {
        let video: u64 = self.rungs().map(|rung| rung.bitrate.0).sum();
        BitsPerSecond(video + self.audio_bitrate.0)
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::languages::Languages;
    use crate::logo::Logo;
    use crate::loudness::{Loudness, Target};
    use crate::overlay::{Caption, LowerThird};
    use crate::treatment::Fit;

    #[test]
    fn the_key_is_short_stable_and_tells_profiles_apart() {
        let profile = Profile {
            resolution: Resolution::P720,
            frame_rate: FrameRate::F25,
            video_bitrate: BitsPerSecond(2_500_000),
            audio_bitrate: DEFAULT_AUDIO_BITRATE,
            lower: LowerRungs::NONE,
            treatment: Treatment::PLAIN,
        };
        assert_eq!(profile.key(), "720p25-2500k-v2");
        let ntsc = Profile {
            frame_rate: FrameRate::F29_97,
            ..profile
        };
        assert_eq!(ntsc.key(), "720p29.97-2500k-v2");
        let odd = Profile {
            video_bitrate: BitsPerSecond(2_500_001),
            ..profile
        };
        assert_eq!(odd.key(), "720p25-2500001b-v2");
        let loud = Profile {
            audio_bitrate: BitsPerSecond(192_000),
            ..profile
        };
        assert_eq!(loud.key(), "720p25-2500k-a192k-v2");
        let treated = Profile {
            treatment: Treatment {
                loudness: Loudness::default(),
                ..Treatment::PLAIN
            },
            ..profile
        };
        assert_eq!(treated.key(), "720p25-2500k-23lufs-v2");
        assert_eq!(treated.spliced(), profile);
        let third = LowerThird {
            title: "ab".to_owned(),
            subtitle: None,
        };
        let target = Target::new(-16.5, -2.0).unwrap();
        let louder = Profile {
            treatment: Treatment {
                loudness: Loudness::To(target),
                languages: Languages::new(&["ger", "eng"].map(|code| code.parse().unwrap()))
                    .unwrap(),
                fit: Fit::Crop,
                logo: Some(Logo::new([0xab; 32])),
                caption: Caption::new(&third, Font([0xcd; 8])),
            },
            ..profile
        };
        assert_eq!(
            louder.key(),
            "720p25-2500k-16.5lufs-2dbtp-de.en-crop-logo.abababababababab.tr.40.120.100-text.a68d622d538b5822836dbc7977affdf8.cdcdcdcdcdcdcdcd-v2"
        );
        let ladder = laddered(profile);
        assert_eq!(ladder.key(), "720p25-2500k-480p-1200k-240p-400k-v2");
    }

    fn laddered(profile: Profile) -> Profile {
        let rung = |resolution, bitrate| Rung {
            resolution,
            bitrate: BitsPerSecond(bitrate),
        };
        let lower = [
            rung(Resolution::P480, 1_200_000),
            rung(Resolution::P240, 400_000),
        ];
        Profile {
            lower: LowerRungs::new(&lower).unwrap(),
            ..profile
        }
    }

    #[test]
    fn a_profile_is_all_of_its_ladder_and_reads_as_it_is_written() {
        let one: Profile = serde_json::from_value(serde_json::json!({
            "resolution": "720p", "frameRate": 25, "videoBitrate": 2_500_000, "audioBitrate": 128_000
        }))
        .expect("what was stored before there were ladders");
        assert!(one.lower.is_none());
        assert_eq!(one.total_bitrate(), BitsPerSecond(2_628_000));
        let ladder = laddered(one);
        assert_eq!(ladder.total_bitrate(), BitsPerSecond(4_228_000));
        let sizes: Vec<_> = ladder.rungs().map(|rung| rung.resolution).collect();
        assert_eq!(
            sizes,
            [Resolution::P720, Resolution::P480, Resolution::P240]
        );
        let third = LowerThird {
            title: "It's".to_owned(),
            subtitle: Some("ünicode".to_owned()),
        };
        let mut captioned = ladder;
        captioned.treatment.caption = Caption::new(&third, Font([1; 8]));
        for profile in [one, ladder, captioned] {
            let written = serde_json::to_value(profile).unwrap();
            assert_eq!(serde_json::from_value::<Profile>(written).unwrap(), profile);
        }
        let second = ladder.alone(1);
        assert_eq!(
            (second.key(), second.audio_bitrate),
            ("480p25-1200k-v2".into(), one.audio_bitrate)
        );
        assert_eq!(ladder.alone(3), one);
        let rung = ladder.rungs().next().unwrap();
        assert_eq!(
            LowerRungs::new(&[rung; 4]),
            Err(crate::ladder::TooManyRungs(4))
        );
    }
}
