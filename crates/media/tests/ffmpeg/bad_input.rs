//! Files that nobody wants and everybody has: each plays right, or is refused with a sentence about it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use playout_domain::units::FrameRate;
use playout_media::ffmpeg::{self, Means};
use playout_media::index::ITEM_START;
use playout_media::probe::Refusal;

use crate::clips::{clip, numbers};
use crate::run::{bytes, gops, import, make, prepare, probed, run, small};

const H264: [&str; 4] = ["-c:v", "libx264", "-preset", "ultrafast"];
const H264_AAC: [&str; 6] = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];

fn refused(path: &Path) -> Refusal {
    import(path).expect_err("a refusal")
}

/// The item plays: prepared, it has these frames, and live it gives its first ones.
fn plays(path: &Path, expected: impl Iterator<Item = u32>) {
    let expected: Vec<u32> = expected.collect();
    let prepared = prepare(path, &small());
    assert_eq!(numbers(&prepared.bytes), expected, "{}", path.display());
    let units: usize = gops(&prepared.bytes, ITEM_START)
        .iter()
        .map(|gop| gop.audio.len())
        .sum();
    let wanted = FrameRate::F25
        .ticks(prepared.index.frames)
        .get()
        .div_ceil(1920) as usize;
    assert!(
        units + 1 >= wanted,
        "{units} units of sound, {wanted} are due"
    );
    let some = expected.len().min(5);
    let live = bytes(&ffmpeg::live(
        path,
        &probed(path),
        &small(),
        Means::NONE,
        0..some as u64,
    ));
    assert_eq!(numbers(&live), expected[..some], "{} live", path.display());
}

#[test]
fn what_is_no_video_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    assert_eq!(refused(&file("empty.mp4", b"")), Refusal::NoIndex);
    assert_eq!(refused(&file("empty", b"")), Refusal::NotMedia);
    assert_eq!(
        refused(&file("text.mp4", b"Dear Sir or Madam,\n")),
        Refusal::NoIndex
    );
    assert_eq!(
        refused(&file("text.txt", &b"Dear Sir or Madam,\n".repeat(99))),
        Refusal::Format("tty".into())
    );
    let noise: Vec<u8> = (0..9999u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    assert_eq!(refused(&file("noise.mkv", &noise)), Refusal::NotMedia);
    assert_eq!(
        refused(dir.path()),
        Refusal::NotOpened("it is a folder".into())
    );
    assert_eq!(
        refused(&dir.path().join("none")),
        Refusal::NotOpened("there is no such file".into())
    );

    let make_from = |name: &str, options: &[&str]| {
        let path = dir.path().join(name);
        make(options, &path);
        path
    };
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1"];
    for name in ["image.png", "image.jpg", "image.gif", "image.webp"] {
        assert_eq!(
            refused(&make_from(name, &picture)),
            Refusal::Image,
            "{name}"
        );
    }
    let renamed = dir.path().join("image.mp4");
    std::fs::rename(dir.path().join("image.jpg"), &renamed).unwrap();
    assert_eq!(refused(&renamed), Refusal::Image);
    let sound = make_from("sound.m4a", &["-f", "lavfi", "-i", "sine", "-t", "1"]);
    assert_eq!(refused(&sound), Refusal::NoVideo);
    let (sound, cover) = (sound.to_str().unwrap(), dir.path().join("image.png"));
    let covered = [
        "-i",
        sound,
        "-i",
        cover.to_str().unwrap(),
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        "-disposition:v",
        "attached_pic",
    ];
    assert_eq!(
        refused(&make_from("covered.m4a", &covered)),
        Refusal::NoVideo
    );

    let video = clip(dir.path(), "whole.mp4", "25", "1", &H264_AAC);
    let whole = std::fs::read(video).unwrap();
    assert_eq!(
        refused(&file("cut.mp4", &whole[..whole.len() / 2])),
        Refusal::NoIndex
    );
}

#[test]
fn nothing_that_names_other_files_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let video = clip(dir.path(), "victim.ts", "25", "1", &H264_AAC);
    let url = format!("file://{}", video.display());
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{url}\n#EXT-X-ENDLIST\n");
    let texts = [
        ("hls.mp4", playlist.clone()),
        ("hls.m3u8", playlist),
        ("concat.mp4", format!("ffconcat version 1.0\nfile '{}'\n", video.display())),
        ("sdp.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n".into()),
        ("dash.mp4", format!("<MPD profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><BaseURL>{url}</BaseURL></MPD>")),
    ];
    for (name, text) in texts {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(refused(&path), Refusal::Playlist, "{name}");
        // Even a probe result from elsewhere does not make the encoders open it.
        for line in [
            ffmpeg::prepare(&path, &probed(&video), &small(), Means::NONE),
            ffmpeg::thumbnail(&path, &probed(&video)),
        ] {
            let ran = run(&line);
            assert!(!ran.ok && ran.stdout.is_empty(), "{name}: {}", ran.stderr);
        }
    }
}

#[test]
fn every_line_that_reads_a_strangers_file_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), "clip.mp4", "25", "1", &H264_AAC);
    let probed = probed(&path);
    for line in [
        ffmpeg::probe(&path),
        ffmpeg::thumbnail(&path, &probed),
        ffmpeg::prepare(&path, &probed, &small(), Means::NONE),
        ffmpeg::live(&path, &probed, &small(), Means::NONE, 0..5),
    ] {
        assert_eq!(line.reads.as_deref(), Some(&*path), "{line:?}");
    }
    for line in [ffmpeg::copy(&path, 1, ITEM_START), ffmpeg::slate(&small())] {
        assert_eq!(line.reads, None, "{line:?}");
    }
}

#[test]
fn any_name_is_only_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let video = clip(dir.path(), "plain.mp4", "25", "0.4", &H264_AAC);
    let names: [OsString; 7] = [
        "with spaces.mp4".into(),
        "it's \"quoted\".mp4".into(),
        "two\nlines.mp4".into(),
        "-i.mp4".into(),
        "http:%3d%s?#[x],;.mp4".into(),
        "concat:a|b.mp4".into(),
        OsString::from_vec(b"latin1-\xe9\xff.mp4".to_vec()),
    ];
    for name in names {
        let path = dir.path().join(&name);
        std::fs::copy(&video, &path).unwrap();
        assert_eq!(
            prepare(&path, &small()).index.frames,
            10,
            "{}",
            path.display()
        );
        let live = ffmpeg::live(&path, &probed(&path), &small(), Means::NONE, 0..5);
        assert!(
            !bytes(&live).is_empty()
                && !bytes(&ffmpeg::thumbnail(&path, &probed(&path))).is_empty()
        );
        // Nor is it anything else without a folder before it.
        let mut here = Command::new("ffprobe");
        here.current_dir(dir.path())
            .args(ffmpeg::probe(Path::new(&name)).args);
        let said = here.output().unwrap();
        assert!(
            said.status.success(),
            "{name:?}: {}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
}

#[test]
fn codecs_and_containers_of_all_kinds_play() {
    let dir = tempfile::tempdir().unwrap();
    let kinds: [(&str, &[&str]); 5] = [
        (
            "hevc10.mp4",
            &[
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p10le",
                "-x265-params",
                "log-level=error",
                "-c:a",
                "aac",
            ],
        ),
        (
            "vp9.webm",
            &[
                "-c:v",
                "libvpx-vp9",
                "-cpu-used",
                "8",
                "-deadline",
                "realtime",
                "-b:v",
                "1M",
                "-c:a",
                "libopus",
            ],
        ),
        (
            "mpeg2.mpg",
            &["-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2"],
        ),
        (
            "wrapped.ts",
            &[
                "-c:v",
                "mpeg2video",
                "-q:v",
                "2",
                "-c:a",
                "mp2",
                "-output_ts_offset",
                "95442.3",
            ],
        ),
        (
            "surround.mkv",
            &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-c:a",
                "ac3",
                "-ac",
                "6",
            ],
        ),
    ];
    for (name, options) in kinds {
        plays(&clip(dir.path(), name, "25", "1.6", options), 0..40);
    }
    let mono = [&H264_AAC[..], &["-ac", "1", "-ar", "44100"]].concat();
    plays(&clip(dir.path(), "mono.mp4", "25", "1.6", &mono), 0..40);
    plays(
        &clip(
            dir.path(),
            "silent.mp4",
            "25",
            "1.6",
            &[&H264[..], &["-an"]].concat(),
        ),
        0..40,
    );
    plays(
        &clip(dir.path(), "blink.mp4", "25", "0.28", &H264_AAC),
        0..7,
    );
}

#[test]
fn a_file_that_is_damaged_or_cut_plays_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let video = clip(
        dir.path(),
        "whole.mp4",
        "25",
        "4",
        &[&H264_AAC[..], &["-g", "25", "-movflags", "+faststart"]].concat(),
    );
    let mut damaged = std::fs::read(video).unwrap();
    let cut = dir.path().join("cut.mp4");
    std::fs::write(&cut, &damaged[..damaged.len() * 2 / 3]).unwrap();
    let frames = prepare(&cut, &small()).index.frames;
    assert!(
        (25..100).contains(&frames),
        "{frames} frames of a file cut off"
    );

    let (from, to) = (damaged.len() * 4 / 10, damaged.len() * 6 / 10);
    damaged[from..to]
        .iter_mut()
        .enumerate()
        .for_each(|(n, byte)| *byte = (n * 89) as u8);
    let path = dir.path().join("damaged.mp4");
    std::fs::write(&path, damaged).unwrap();
    let prepared = prepare(&path, &small());
    assert_eq!(prepared.index.frames, 100);
    let units: usize = gops(&prepared.bytes, ITEM_START)
        .iter()
        .map(|gop| gop.audio.len())
        .sum();
    assert!(units >= 187, "{units} units of sound, 187.5 are due");
}

/// Size and channels change on the way, as in a recording from the air.
#[test]
fn a_stream_that_changes_on_the_way_keeps_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let first = clip(
        dir.path(),
        "1.ts",
        "25",
        "2",
        &[
            &H264_AAC[..],
            &["-bf", "0", "-ac", "1", "-output_ts_offset", "6"],
        ]
        .concat(),
    );
    let other = [
        "-bf",
        "0",
        "-ac",
        "2",
        "-ar",
        "44100",
        "-s",
        "640x360",
        "-sws_flags",
        "neighbor",
        "-output_ts_offset",
        "8",
    ];
    let second = clip(
        dir.path(),
        "2.ts",
        "25",
        "2",
        &[&H264_AAC[..], &other].concat(),
    );
    let path = dir.path().join("both.ts");
    std::fs::write(
        &path,
        [
            std::fs::read(first).unwrap(),
            std::fs::read(second).unwrap(),
        ]
        .concat(),
    )
    .unwrap();
    plays(&path, (0..50).chain(0..50));
}

#[test]
fn a_thumbnail_is_a_small_jpeg_in_the_shape_of_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let options = [&["-vf", "setsar=2"][..], &H264_AAC].concat();
    let path = clip(dir.path(), "wide.mp4", "25", "0.4", &options);
    let jpeg = dir.path().join("thumbnail.jpg");
    std::fs::write(&jpeg, bytes(&ffmpeg::thumbnail(&path, &probed(&path)))).unwrap();
    let shape = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name,width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(OsStr::new(&jpeg))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&shape.stdout).trim(),
        "mjpeg,480,135"
    );
}
