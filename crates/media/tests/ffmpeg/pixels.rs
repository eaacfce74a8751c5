//! Colours at places of decoded pictures.

use std::path::{Path, PathBuf};

use playout_domain::Resolution;

use crate::clips::decode;
use crate::run::make;

/// The pictures of program `rung` of a stream, in RGB, and how wide they are.
pub(crate) fn pictures(stream: &[u8], rung: usize, size: Resolution) -> Vec<Vec<u8>> {
    let filter =
        "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24";
    let map = format!("0:v:{rung}");
    let rgb = decode(
        stream,
        &[
            "-map",
            &map,
            "-fps_mode",
            "passthrough",
            "-vf",
            filter,
            "-f",
            "rawvideo",
        ],
    );
    let one = (size.width() * size.height() * 3) as usize;
    rgb.chunks_exact(one).map(<[u8]>::to_vec).collect()
}

/// The colour at a place told in parts of the picture.
pub(crate) fn at(picture: &[u8], size: Resolution, (x, y): (f64, f64)) -> [i32; 3] {
    let (column, row) = (
        (f64::from(size.width()) * x) as usize,
        (f64::from(size.height()) * y) as usize,
    );
    let pixel = 3 * (row * size.width() as usize + column);
    [0, 1, 2].map(|channel| i32::from(picture[pixel + channel]))
}

/// A grey clip with a tone.
pub(crate) fn grey(dir: &Path) -> PathBuf {
    let path = dir.join("grey.mkv");
    let source = "color=0x808080:s=320x180:r=25,format=gbrp";
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        source,
        "-f",
        "lavfi",
        "-i",
        "sine=r=48000",
        "-t",
        "1",
    ];
    make(
        inputs.iter().chain(&["-c:v", "ffv1", "-c:a", "flac"]),
        &path,
    );
    path
}
