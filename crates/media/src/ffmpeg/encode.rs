//! The encoder's settings. Whatever is encoded for one profile gets the same SPS and PPS.

use playout_domain::media::Profile;
use playout_domain::units::FrameRate;

use super::Invocation;

/// How much work an encoder puts into a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// In the background, once: for quality.
    Prepare,
    /// On air: in real time beside other channels.
    Live,
    /// For one output, in real time: what it makes is spliced with nothing.
    Push,
}

impl Effort {
    const fn preset(self) -> &'static str {
        match self {
            Self::Prepare => "fast",
            Self::Live => "superfast",
            Self::Push => "veryfast",
        }
    }

    /// Psycho-visual rate distortion, which only slower presets have, lowers x264's chroma QP offset
    /// by 2, and the offset stands in the PPS. So that all presets agree, the faster ones ask for it.
    const fn chroma_qp_offset(self) -> i32 {
        match self {
            Self::Prepare => 0,
            Self::Live | Self::Push => -2,
        }
    }
}

impl Invocation {
    /// Encodes to `profile` and writes a transport stream to standard output, item time 0 at
    /// [`crate::index::ITEM_START`].
    pub(super) fn encode(self, profile: &Profile, effort: Effort) -> Self {
        self.compress(profile, effort)
            .with(["-map_metadata", "-1", "-map_chapters", "-1"])
            .with([
                "-muxdelay",
                "0",
                "-muxpreload",
                "0",
                "-output_ts_offset",
                "10",
                "-f",
                "mpegts",
                "pipe:1",
            ])
    }

    /// Encodes pictures and sound to `profile`; the bitrate is as constant as the VBV keeps it.
    pub(super) fn compress(self, profile: &Profile, effort: Effort) -> Self {
        let bitrate = profile.video_bitrate.get();
        self.with([
            "-c:v",
            "libx264",
            "-profile:v",
            "high",
            "-pix_fmt",
            "yuv420p",
            "-fps_mode",
            "passthrough",
        ])
        .set("-preset", effort.preset())
        .set("-b:v", bitrate)
        .set("-maxrate", bitrate)
        .set("-bufsize", 2 * bitrate)
        .with(["-forced-idr", "1"])
        .set("-x264-params", x264_params(profile, effort))
        .with(["-c:a", "aac", "-ar", "48000", "-ac", "2"])
        .set("-b:a", profile.audio_bitrate.get())
    }
}

fn x264_params(profile: &Profile, effort: Effort) -> String {
    let gop = profile.frame_rate.gop_frames();
    let level = level(profile);
    let offset = effort.chroma_qp_offset();
    format!(
        "stitchable=1:force-cfr=1:open-gop=0:scenecut=0:ref=3:bframes=2:b-pyramid=none:b-adapt=1:weightb=1:weightp=1:\
         cabac=1:8x8dct=1:interlaced=0:nal-hrd=none:cqm=flat:psy-rd=1.0,0.0:slices=1:colorprim=bt709:transfer=bt709:\
         colormatrix=bt709:range=tv:level={level}:keyint={gop}:min-keyint={gop}:chroma-qp-offset={offset}"
    )
}

/// The lowest level of High profile that has room for the picture, its rate and three reference
/// frames (ITU-T H.264 table A-1); every bitrate that a profile may have fits as well.
fn level(profile: &Profile) -> &'static str {
    /// Level, macroblocks a second, macroblocks a frame, in the decoded picture buffer.
    const LEVELS: [(&str, u64, u64, u64); 11] = [
        ("2.1", 19_800, 792, 4_752),
        ("2.2", 20_250, 1_620, 8_100),
        ("3.0", 40_500, 1_620, 8_100),
        ("3.1", 108_000, 3_600, 18_000),
        ("3.2", 216_000, 5_120, 20_480),
        ("4.0", 245_760, 8_192, 32_768),
        ("4.2", 522_240, 8_704, 34_816),
        ("5.0", 589_824, 22_080, 110_400),
        ("5.1", 983_040, 36_864, 184_320),
        ("5.2", 2_073_600, 36_864, 184_320),
        ("6.0", 4_177_920, 139_264, 696_320),
    ];
    let blocks = u64::from(
        profile.resolution.width().div_ceil(16) * profile.resolution.height().div_ceil(16),
    );
    let rate: FrameRate = profile.frame_rate;
    let each_second = (blocks * u64::from(rate.num())).div_ceil(u64::from(rate.den()));
    let fits = |&&(_, second, frame, buffer): &&(&str, u64, u64, u64)| {
        each_second <= second && blocks <= frame && 3 * blocks <= buffer
    };
    LEVELS.iter().find(fits).map_or("6.2", |(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use playout_domain::Resolution;

    #[test]
    fn levels_are_those_of_the_standard() {
        let level_of = |resolution: Resolution, frame_rate| {
            let video_bitrate = resolution.default_bitrate(frame_rate);
            level(&Profile {
                resolution,
                frame_rate,
                video_bitrate,
                audio_bitrate: video_bitrate,
            })
        };
        assert_eq!(level_of(Resolution::P240, FrameRate::F25), "2.1");
        assert_eq!(level_of(Resolution::P720, FrameRate::F25), "3.1");
        assert_eq!(level_of(Resolution::P720, FrameRate::F50), "3.2");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F25), "4.0");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F50), "4.2");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F60), "4.2");
        assert_eq!(level_of(Resolution::P2160, FrameRate::F60), "5.2");
    }
}
