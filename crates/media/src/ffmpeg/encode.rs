//! The encoder's settings. Whatever is encoded for one profile gets the same SPS and PPS.

use playout_domain::ladder::Rung;
use playout_domain::media::Profile;
use playout_domain::resolution::Resolution;
use playout_domain::units::FrameRate;

use super::Invocation;

/// What the VBV of a rung holds, in seconds of its bitrate: how far a piece of the stream may be above it.
pub const VBV_SECONDS: u64 = 2;
/// Milliseconds between two program clock references: so short that at every frame rate they come often enough
/// (every 100 ms; ISO/IEC 13818-1 §2.7.2), although they come with frames only.
const PCR_PERIOD: &str = "40";

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
    /// Encodes to `profile`, its rungs being the first streams and the sound the one behind them, and writes a
    /// transport stream to standard output, item time 0 at [`crate::index::ITEM_START`].
    pub(super) fn encode(self, profile: &Profile, effort: Effort) -> Self {
        self.compress(profile, effort)
            .with(["-map_metadata", "-1", "-map_chapters", "-1"])
            .with(["-output_ts_offset", "10"])
            .stream(profile.rungs().count())
    }

    /// Writes a transport stream to standard output: a program for each of so many rungs, which are the first
    /// streams; all share the sound, which is the one behind them.
    pub(super) fn stream(self, rungs: usize) -> Self {
        let program = |line: Self, n: usize| {
            let number = n + 1;
            line.set(
                "-program",
                format_args!("program_num={number}:st={n}:st={rungs}"),
            )
        };
        // One is a program by itself.
        let programs = if rungs > 1 { 0..rungs } else { 0..0 };
        programs
            .fold(self, program)
            .with(["-muxdelay", "0", "-muxpreload", "0"])
            .with(["-pcr_period", PCR_PERIOD])
            .with(["-f", "mpegts", "pipe:1"])
    }

    /// Encodes pictures, rung by rung, and sound to `profile`; each bitrate is as constant as the VBV keeps it.
    pub(super) fn compress(self, profile: &Profile, effort: Effort) -> Self {
        let line = self
            .with([
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
            .with(["-forced-idr", "1"]);
        let rung = |line: Self, (n, rung): (usize, Rung)| {
            let bitrate = rung.bitrate.get();
            let params = x264_params(rung.resolution, profile.frame_rate, effort);
            line.set(&format!("-b:v:{n}"), bitrate)
                .set(&format!("-maxrate:v:{n}"), bitrate)
                .set(&format!("-bufsize:v:{n}"), VBV_SECONDS * bitrate)
                .set(&format!("-x264-params:v:{n}"), params)
        };
        profile
            .rungs()
            .enumerate()
            .fold(line, rung)
            .with(["-c:a", "aac", "-ar", "48000", "-ac", "2"])
            .set("-b:a", profile.audio_bitrate.get())
    }
}

fn x264_params(size: Resolution, rate: FrameRate, effort: Effort) -> String {
    let gop = rate.gop_frames();
    let level = level(size, rate);
    let offset = effort.chroma_qp_offset();
    format!(
        "stitchable=1:force-cfr=1:open-gop=0:scenecut=0:ref=3:bframes=2:b-pyramid=none:b-adapt=1:weightb=1:weightp=1:\
         cabac=1:8x8dct=1:interlaced=0:nal-hrd=none:cqm=flat:psy-rd=1.0,0.0:slices=1:colorprim=bt709:transfer=bt709:\
         colormatrix=bt709:range=tv:level={level}:keyint={gop}:min-keyint={gop}:chroma-qp-offset={offset}"
    )
}

/// The lowest level of High profile that has room for the picture, its rate and three reference
/// frames (ITU-T H.264 table A-1); every bitrate that a profile may have fits as well.
fn level(size: Resolution, rate: FrameRate) -> &'static str {
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
    let blocks = u64::from(size.width().div_ceil(16) * size.height().div_ceil(16));
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
        let level_of = level;
        assert_eq!(level_of(Resolution::P240, FrameRate::F25), "2.1");
        assert_eq!(level_of(Resolution::P720, FrameRate::F25), "3.1");
        assert_eq!(level_of(Resolution::P720, FrameRate::F50), "3.2");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F25), "4.0");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F50), "4.2");
        assert_eq!(level_of(Resolution::P1080, FrameRate::F60), "4.2");
        assert_eq!(level_of(Resolution::P2160, FrameRate::F60), "5.2");
    }
}
