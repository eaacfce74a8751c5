//! Damage is found where it is and nowhere else; what is prepared of a damaged file is whole.

use std::path::{Path, PathBuf};

use playout_domain::damage::{Damage, Damaged};
use playout_media::ffmpeg::{self, Means};
use playout_media::survey::{Survey, hints_at_damage};

use crate::clips::{clip, decode};
use crate::run::{Prepared, import, make, probed, put, run, small};

const H264: [&str; 9] = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "25",
    "-c:a",
];

/// Ten seconds of pictures that have something to lose, and a tone.
fn busy(dir: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25,noise=alls=20:allf=t",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
        "-t",
        "10",
    ];
    make(inputs.iter().chain(options), &path);
    path
}

/// What a survey of a file finds.
fn survey(path: &Path) -> Vec<Damage> {
    let probed = probed(path);
    let mut survey = Survey::new(&probed);
    let ran = run(&ffmpeg::survey(path, &probed));
    ran.stderr.lines().for_each(|line| survey.line(line));
    survey.finish()
}

/// Prepares a file; answers whether that would have it surveyed, too.
fn hinted(path: &Path) -> (bool, Prepared) {
    let ran = run(&ffmpeg::prepare(path, &probed(path), &small(), Means::NONE));
    assert!(ran.ok, "{}", ran.stderr);
    let hint = ran.stderr.lines().any(hints_at_damage);
    (hint, put(&ran.stdout, &small()))
}

/// A file that is whole, and known to be.
fn assert_unmarked(path: &Path) {
    assert!(!hinted(path).0, "{}", path.display());
    assert_eq!(survey(path), [], "{}", path.display());
}

/// What a survey finds of a damaged file, and what is prepared of it.
fn surveyed(path: &Path) -> (Vec<Damage>, Prepared) {
    let (hint, prepared) = hinted(path);
    assert!(hint, "{} is surveyed", path.display());
    (survey(path), prepared)
}

/// A copy of `file` in which `change` has been made.
fn spoilt(file: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    let path = file.with_file_name(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Writes rubbish over what lies from `from` to `to` tenths of the file.
fn rubbish(from: f64, to: f64) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        let at = |tenths: f64| (bytes.len() as f64 * tenths / 10.0) as usize;
        let (from, to) = (at(from), at(to));
        let noise = |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        (from..to).for_each(|n| bytes[n] = noise(n));
    }
}

fn of(found: &[Damage], what: Damaged) -> Vec<(f64, f64)> {
    let of = found.iter().filter(|damage| damage.what == what);
    of.map(|damage| (damage.from.seconds(), damage.to.seconds()))
        .collect()
}

/// What is damaged from `from` to `to` is marked, to a GOP of a second and what settles it.
fn assert_marked(marked: &[(f64, f64)], from: f64, to: f64) {
    let [(begins, ends)] = marked else {
        panic!("one stretch from {from} to {to} s: {marked:?}");
    };
    assert!(
        (from - 1.5..from + 0.3).contains(begins),
        "from {from} s: {marked:?}"
    );
    assert!((to - 0.3..to + 2.5).contains(ends), "to {to} s: {marked:?}");
}

/// As long as it was, in step, and without an error.
fn assert_whole(prepared: &Prepared, frames: u64) {
    assert_eq!(prepared.index.frames, frames);
    let sound =
        decode(&prepared.bytes, &["-vn", "-ac", "1", "-f", "s16le"]).len() as f64 / 96_000.0;
    let pictures = decode(
        &prepared.bytes,
        &[
            "-an",
            "-vf",
            "scale=16:16",
            "-pix_fmt",
            "gray",
            "-f",
            "rawvideo",
        ],
    );
    assert_eq!(pictures.len() as u64, frames * 256);
    let length = frames as f64 / 25.0;
    assert!(
        (sound - length).abs() < 0.05,
        "{sound} s of sound beside {length} s of pictures"
    );
}

#[test]
fn damage_in_the_middle_of_an_mp4_is_marked_with_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let file = busy(dir.path(), "whole.mp4", &[&H264[..], &["aac"]].concat());
    assert_unmarked(&file);
    let torn = spoilt(&file, "torn.mp4", rubbish(5.0, 6.0));
    let (found, prepared) = surveyed(&torn);
    assert_marked(&of(&found, Damaged::Picture), 5.0, 6.0);
    assert_marked(&of(&found, Damaged::Sound), 5.0, 6.0);
    assert_eq!(of(&found, Damaged::Missing), []);
    assert_whole(&prepared, 250);
}

#[test]
fn damage_in_transport_streams_is_marked_with_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let mpeg2 = [
        "-c:v",
        "mpeg2video",
        "-g",
        "12",
        "-bf",
        "2",
        "-b:v",
        "2M",
        "-c:a",
        "mp2",
    ];
    let h264 = [&H264[..], &["aac"]].concat();
    for (name, options) in [("mpeg2.ts", &mpeg2[..]), ("h264.ts", &h264[..])] {
        let file = busy(dir.path(), name, options);
        assert_unmarked(&file);
        let torn = spoilt(&file, &format!("torn-{name}"), rubbish(5.0, 6.0));
        let (found, prepared) = surveyed(&torn);
        assert_marked(&of(&found, Damaged::Picture), 5.0, 6.0);
        assert_eq!(of(&found, Damaged::Missing), []);
        assert_whole(&prepared, 250);
        // A recording in which something was lost on the way.
        let lossy = spoilt(&file, &format!("lossy-{name}"), |bytes| {
            let from = bytes.len() / 2 / 188 * 188;
            bytes.drain(from..from + 50 * 188);
        });
        let (found, prepared) = surveyed(&lossy);
        assert_marked(&of(&found, Damaged::Picture), 5.0, 5.1);
        assert_whole(&prepared, 250);
    }
}

#[test]
fn a_file_that_breaks_off_is_marked_from_there_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mp4 = busy(
        dir.path(),
        "whole.mp4",
        &[&H264[..], &["aac", "-movflags", "+faststart"]].concat(),
    );
    let mkv = busy(dir.path(), "whole.mkv", &[&H264[..], &["aac"]].concat());
    for file in [mp4, mkv] {
        let name = format!("cut-{}", file.file_name().unwrap().display());
        let cut = spoilt(&file, &name, |bytes| bytes.truncate(bytes.len() * 6 / 10));
        let (found, prepared) = surveyed(&cut);
        let missing = of(&found, Damaged::Missing);
        let [(from, to)] = missing[..] else {
            panic!("{name}: {found:?}");
        };
        assert!((5.5..6.5).contains(&from), "{name}: {missing:?}");
        assert!((9.9..10.1).contains(&to), "{name}: {missing:?}");
        let frames = (from * 25.0).round() as u64;
        assert!(
            prepared.index.frames.abs_diff(frames) <= 1,
            "{name}: {missing:?}"
        );
        assert_whole(&prepared, prepared.index.frames);
    }
}

/// Rates, codecs, clocks and shapes that are unusual, and nothing else.
#[test]
fn what_is_odd_but_right_is_not_marked() {
    let dir = tempfile::tempdir().unwrap();
    let kinds: [(&str, &str, &[&str]); 8] = [
        (
            "open-gop.mkv",
            "25",
            &[
                "-c:v",
                "libx264",
                "-x264-params",
                "open-gop=1:keyint=30",
                "-bf",
                "3",
                "-c:a",
                "ac3",
            ],
        ),
        (
            "hevc.mp4",
            "24000/1001",
            &[
                "-c:v",
                "libx265",
                "-x265-params",
                "log-level=none",
                "-preset",
                "ultrafast",
                "-c:a",
                "aac",
            ],
        ),
        (
            "vp9.webm",
            "30",
            &[
                "-c:v",
                "libvpx-vp9",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
            ],
        ),
        (
            "wrapped.ts",
            "25",
            &[
                "-c:v",
                "mpeg2video",
                "-bf",
                "2",
                "-c:a",
                "mp2",
                "-output_ts_offset",
                "95442",
            ],
        ),
        ("silent.mov", "50", &["-c:v", "mjpeg", "-an"]),
        (
            "old.avi",
            "15",
            &["-c:v", "mpeg4", "-bf", "1", "-c:a", "mp3"],
        ),
        (
            "uneven.mkv",
            "25",
            &[
                "-c:v",
                "libx264",
                "-vf",
                "select='mod(n,7)*lt(n,60)+gt(n,130)'",
                "-fps_mode",
                "vfr",
                "-c:a",
                "aac",
            ],
        ),
        (
            "late.mp4",
            "25",
            &[
                "-c:v",
                "libx264",
                "-af",
                "adelay=900|900",
                "-c:a",
                "aac",
                "-ar",
                "44100",
            ],
        ),
    ];
    for (name, rate, options) in kinds {
        let options = [
            options,
            &["-pix_fmt", "yuvj420p"][..if name.ends_with("mov") { 2 } else { 0 }],
        ]
        .concat();
        let file = clip(dir.path(), name, rate, "6", &options);
        import(&file).unwrap();
        assert_eq!(survey(&file), [], "{name}");
    }
}

/// A title is no message.
#[test]
fn what_a_file_calls_itself_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let title = "title=corrupt decoded frame in stream 0\nError while decoding stream #0:0";
    let options = [&H264[..], &["aac", "-metadata", title]].concat();
    let file = clip(dir.path(), "named.mp4", "25", "1", &options);
    assert_unmarked(&file);
}
