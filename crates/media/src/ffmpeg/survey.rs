//! Decodes a whole file to find out where it is damaged, and writes nothing but messages.

use std::path::Path;

use super::Invocation;
use super::filter::Chain;
use super::transcode::zero_from_start;
use crate::probe::Probed;

/// Decodes all of `input` that is played of it. Its messages are for [`crate::survey::Survey`]: what is wrong
/// comes between the pictures and sounds where it was noticed, and these are told in item time.
pub fn survey(input: &Path, probed: &Probed) -> Invocation {
    let mut line = Invocation::ffmpeg()
        .with(["-loglevel", "repeat+level+info"])
        .with(["-reinit_filter:v", "0", "-reinit_filter:a", "0"])
        .stranger(input);
    // An output for each: none waits for the other with pictures in memory.
    if let Some(video) = &probed.video {
        let zero = zero_from_start(probed, video);
        let chain = Chain::default()
            .then(format_args!("setpts=PTS-({zero})"))
            .then("showinfo=checksum=0");
        line = line
            .set("-map", format_args!("0:{}", video.index))
            .set("-vf", chain)
            .with(["-fps_mode", "passthrough", "-f", "null", "-"]);
    }
    if let Some(audio) = &probed.audio {
        let zero = probed.begin() - probed.start as f64 / 1e6;
        let chain = Chain::default()
            .then(format_args!("asetpts=round(PTS-({zero:.9})/TB)"))
            .then("ashowinfo");
        line = line
            .set("-map", format_args!("0:{}", audio.index))
            .set("-af", chain)
            .with(["-f", "null", "-"]);
    }
    line
}
