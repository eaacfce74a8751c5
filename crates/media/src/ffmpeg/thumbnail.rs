//! One picture of a file, for lists.

use std::path::Path;

use super::Invocation;
use crate::probe::Probed;

/// The longer side in pixels, at most.
const SIDE: u32 = 480;

/// Makes one JPEG on standard output, from a tenth into the item: the first picture is often black.
pub fn thumbnail(input: &Path, probed: &Probed) -> Invocation {
    let mut line = Invocation::ffmpeg();
    let into = probed
        .length()
        .map_or(0.0, |length| (length.as_secs_f64() / 10.0).min(60.0));
    if into > 0.1 {
        line = line
            .with(["-noaccurate_seek"])
            .set("-ss", format_args!("{into:.3}"));
    }
    line = line.stranger(input);
    if let Some(video) = &probed.video {
        line = line.set("-map", format_args!("0:{}", video.index));
    }
    let fit = format!(
        "scale=iw*sar:ih,scale={SIDE}:{SIDE}:force_original_aspect_ratio=decrease:out_range=pc"
    );
    line.with(["-frames:v", "1"])
        .set("-vf", format_args!("{fit},setsar=1,format=yuvj420p"))
        .with([
            "-map_metadata",
            "-1",
            "-c:v",
            "mjpeg",
            "-q:v",
            "4",
            "-f",
            "image2pipe",
            "pipe:1",
        ])
}
