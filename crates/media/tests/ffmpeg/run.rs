//! Runs command lines with the real programs and reads what they give.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use playout_domain::media::{DEFAULT_AUDIO_BITRATE, Profile};
use playout_domain::units::{FrameRate, Ticks90k};
use playout_domain::{LowerRungs, Resolution, Treatment};
use playout_media::demux::Demuxer;
use playout_media::ffmpeg::{self, Invocation, Means, Tool};
use playout_media::gop::Gop;
use playout_media::index::GopIndex;
use playout_media::prepare::Preparer;
use playout_media::probe::{self, Judged, Probed, Refusal};

/// What a program wrote, and whether it ended well.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A program that takes what others leave: no clock waits for it, but for those beside it one does.
pub(crate) fn nice(program: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19", program]);
    command
}

pub(crate) fn run(invocation: &Invocation) -> Ran {
    let program = match invocation.program {
        Tool::Ffmpeg => "ffmpeg",
        Tool::Ffprobe => "ffprobe",
    };
    let output = nice(program)
        .args(&invocation.args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran {
        ok: output.status.success(),
        stdout: output.stdout,
        stderr,
    }
}

/// Runs and expects a good end.
pub(crate) fn bytes(invocation: &Invocation) -> Vec<u8> {
    let ran = run(invocation);
    assert!(ran.ok, "{:?}: {}", invocation.args, ran.stderr);
    ran.stdout
}

/// `ffmpeg -y ARGS… OUT`: makes a clip.
pub(crate) fn make<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, out: &Path) {
    let mut command = nice("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
        .args(args)
        .arg(out);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn profile(resolution: Resolution, frame_rate: FrameRate) -> Profile {
    let video_bitrate = resolution.default_bitrate(frame_rate);
    Profile {
        resolution,
        frame_rate,
        video_bitrate,
        audio_bitrate: DEFAULT_AUDIO_BITRATE,
        lower: LowerRungs::NONE,
        treatment: Treatment::PLAIN,
    }
}

/// The profile of most tests.
pub(crate) fn small() -> Profile {
    profile(Resolution::P240, FrameRate::F25)
}

/// Probes and judges, as an import does.
pub(crate) fn import(path: &Path) -> Result<(Probed, Judged), Refusal> {
    let ran = run(&ffmpeg::probe(path));
    let probed = probe::parse(&ran.stdout, &ran.stderr)?;
    let judged = probe::judge(&probed)?;
    Ok((probed, judged))
}

pub(crate) fn probed(path: &Path) -> Probed {
    import(path)
        .unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()))
        .0
}

/// A prepared file and its index.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) index: GopIndex,
}

/// Puts an encoder's output through the preparer, in pieces as a pipe gives them.
pub(crate) fn put(encoded: &[u8], profile: &Profile) -> Prepared {
    let mut preparer = Preparer::new(profile);
    let mut bytes = Vec::new();
    for piece in encoded.chunks(65_536) {
        preparer
            .push(piece)
            .unwrap()
            .iter()
            .for_each(|b| bytes.extend_from_slice(b));
    }
    let (last, index) = preparer.finish().unwrap();
    last.iter().for_each(|b| bytes.extend_from_slice(b));
    assert_eq!(index.bytes, bytes.len() as u64);
    Prepared { bytes, index }
}

pub(crate) fn prepare(path: &Path, profile: &Profile) -> Prepared {
    put(
        &bytes(&ffmpeg::prepare(path, &probed(path), profile, Means::NONE)),
        profile,
    )
}

/// The GOPs of a stream, from the first key frame at or after `from`.
pub(crate) fn gops(stream: &[u8], from: Ticks90k) -> Vec<Gop> {
    let mut demuxer = Demuxer::starting_at(from);
    demuxer.push(stream).unwrap();
    demuxer.finish(true).unwrap();
    std::iter::from_fn(|| demuxer.next_gop()).collect()
}

pub(crate) fn frames(gops: &[Gop]) -> u64 {
    gops.iter().map(|gop| u64::from(gop.frames)).sum()
}
