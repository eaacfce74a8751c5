//! The built-in slate: what is on air when nothing else is. A quiet card, without text, without fonts.

use playout_domain::media::Profile;

use super::Invocation;
use super::encode::Effort;
use super::filter::Chain;
use super::picture::{self, Over};
use super::sound::SILENCE;

/// The lengths of the slate's GOPs in frames, in order: one of full length, to be repeated, then every
/// power of two below it, falling. Any remainder is a sum of some of the short ones, each taken once;
/// taking the longest that fits always leads there.
pub fn slate_gops(profile: &Profile) -> Vec<u64> {
    let full = profile.frame_rate.gop_frames();
    let longest = full.saturating_sub(1).checked_ilog2().unwrap_or(0);
    std::iter::once(full)
        .chain((0..=longest).rev().map(|power| 1 << power))
        .collect()
}

/// Makes the slate of a profile, with silence, as a transport stream on standard output.
pub fn slate(profile: &Profile) -> Invocation {
    let (width, height) = (profile.resolution.width(), profile.resolution.height());
    let rate = profile.frame_rate;
    let gops = slate_gops(profile);
    let frames: u64 = gops.iter().sum();
    let starts = gops.iter().scan(0, |next, gop| {
        let start = *next;
        *next += gop;
        Some(format!("eq(n,{start})"))
    });
    let keys = starts.collect::<Vec<_>>().join("+");
    // The sign for "pause": two bars, a third of the picture high.
    let (bar, tall) = (height / 12, height / 3);
    let (left, right, top) = (
        width / 2 - bar * 3 / 2,
        width / 2 + bar / 2,
        (height - tall) / 2,
    );
    let card = format!(
        "color=c=0x18222d:s={width}x{height}:r={}/{},format=gbrp,trim=end_frame=1,\
         drawbox={left}:{top}:{bar}:{tall}:0x8ea3b8:fill,drawbox={right}:{top}:{bar}:{tall}:0x8ea3b8:fill,\
         scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,loop=-1:1,trim=end_frame={frames}",
        rate.num(),
        rate.den(),
    );
    let finish = Chain::default().then(picture::finish(profile.resolution));
    Invocation::ffmpeg()
        .with(["-f", "lavfi", "-i", &card])
        .with(SILENCE)
        .pictures("0:v", &finish, profile, Over::default())
        .with(["-map", "1:a", "-shortest"])
        .set("-force_key_frames", format_args!("expr:{keys}"))
        .encode(profile, Effort::Live)
}

#[cfg(test)]
mod tests {
    use super::*;
    use playout_domain::{FrameRate, LowerRungs, Resolution};

    #[test]
    fn any_remainder_can_be_composed_of_short_gops() {
        for frame_rate in FrameRate::ALL {
            let video_bitrate = Resolution::P240.default_bitrate(frame_rate);
            let profile = Profile {
                resolution: Resolution::P240,
                frame_rate,
                video_bitrate,
                audio_bitrate: video_bitrate,
                lower: LowerRungs::NONE,
                treatment: playout_domain::Treatment::PLAIN,
            };
            let gops = slate_gops(&profile);
            assert_eq!(gops[0], frame_rate.gop_frames());
            for remainder in 1..gops[0] {
                let left =
                    gops[1..].iter().fold(
                        remainder,
                        |left, gop| if *gop <= left { left - gop } else { left },
                    );
                assert_eq!(left, 0, "{remainder} frames of {gops:?}");
            }
        }
    }
}
