//! Clips whose every picture carries its own number, as twelve bars: a bar is a bit, white is one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::run::{make, nice};

/// Bars in a picture.
const BARS: usize = 12;

/// A source of numbered pictures, `rate` a second, without end.
pub(crate) fn numbered(rate: &str) -> String {
    format!(
        "color=black:s=48x4:r={rate},geq=lum='if(bitand(floor(N/pow(2,floor(X*{BARS}/W))),1),235,16)':cb=128:cr=128,\
         scale=320:180:flags=neighbor,setsar=1"
    )
}

/// A clip of numbered pictures with a tone, `seconds` long, coded by `options`.
pub(crate) fn clip(dir: &Path, name: &str, rate: &str, seconds: &str, options: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let video = numbered(rate);
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        &video,
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
        "-t",
        seconds,
    ];
    make(inputs.iter().chain(options), &path);
    path
}

/// The numbers of the pictures in a stream, in the order of their showing.
pub(crate) fn numbers(stream: &[u8]) -> Vec<u32> {
    let filter = format!("scale={BARS}:1:flags=area:in_range=tv:out_range=tv,format=gray");
    let lumas = decode(
        stream,
        &[
            "-an",
            "-vf",
            &filter,
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
        ],
    );
    let read = |picture: &[u8]| {
        let bit = |(bar, luma): (usize, &u8)| {
            assert!(
                !(90..160).contains(luma),
                "a bar that is neither black nor white: {picture:?}"
            );
            u32::from(*luma > 125) << bar
        };
        picture.iter().enumerate().map(bit).sum()
    };
    lumas.chunks_exact(BARS).map(read).collect()
}

/// The samples of a stream's sound, of both channels mixed.
pub(crate) fn samples(stream: &[u8]) -> Vec<i16> {
    let bytes = decode(stream, &["-vn", "-ac", "1", "-f", "s16le"]);
    bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Decodes a transport stream, which must go without any error.
pub(crate) fn decode(stream: &[u8], options: &[&str]) -> Vec<u8> {
    let mut child = nice("ffmpeg")
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-xerror",
            "-f",
            "mpegts",
            "-i",
            "pipe:0",
        ])
        .args(options)
        .arg("pipe:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(stream).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(
        output.status.success(),
        "a stream that does not decode without an error"
    );
    output.stdout
}
