//! What strangers give us: it plays right or is refused with a reason, and nobody else notices.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::clips::{clip, ffmpeg, make};
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// A clip of a kind of its own, encoded as `args` say.
fn kind(name: &str, inputs: &[&str], args: &[&str]) -> PathBuf {
    make(name, |out| {
        ffmpeg(inputs)
            .args(args)
            .arg(out)
            .status()
            .expect("ffmpeg runs")
            .success()
    })
}

#[test]
fn odd_media_play_side_by_side_without_a_fault() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let video = |size: &str, rate: &str| format!("testsrc2=size={size}:rate={rate}:duration=3");
    let sine = |rate: u32| format!("sine=frequency=300:sample_rate={rate}:duration=3");
    let (wide, tall, odd) = (
        video("320x180", "25"),
        video("180x320", "30"),
        video("321x181", "24000/1001"),
    );
    let (s48, s44) = (sine(48_000), sine(44_100));
    let x264 = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ];
    let with =
        |more: &[&'static str]| -> Vec<&'static str> { x264.iter().chain(more).copied().collect() };
    let files = [
        kind(
            "silent.mp4",
            &["-f", "lavfi", "-i", &wide],
            &with(&["-f", "mp4"]),
        ),
        kind(
            "tall-mono.mp4",
            &["-f", "lavfi", "-i", &tall, "-f", "lavfi", "-i", &s44],
            &with(&["-ac", "1", "-f", "mp4"]),
        ),
        kind(
            "odd.mkv",
            &["-f", "lavfi", "-i", &odd, "-f", "lavfi", "-i", &s48],
            &[
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv444p",
                "-ac",
                "6",
                "-c:a",
                "ac3",
                "-f",
                "matroska",
            ],
        ),
        kind(
            "hevc10.mkv",
            &["-f", "lavfi", "-i", &wide],
            &[
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p10le",
                "-x265-params",
                "log-level=none",
                "-f",
                "matroska",
            ],
        ),
        kind(
            "vp9.webm",
            &["-f", "lavfi", "-i", &wide, "-f", "lavfi", "-i", &s48],
            &[
                "-c:v",
                "libvpx-vp9",
                "-deadline",
                "realtime",
                "-cpu-used",
                "8",
                "-c:a",
                "libopus",
                "-f",
                "webm",
            ],
        ),
        kind(
            "wrapped.ts",
            &["-f", "lavfi", "-i", &wide, "-f", "lavfi", "-i", &s48],
            &[
                "-c:v",
                "mpeg2video",
                "-q:v",
                "4",
                "-c:a",
                "mp2",
                "-output_ts_offset",
                "95442",
                "-f",
                "mpegts",
            ],
        ),
        clip(9, 8),
    ];
    let media: Vec<String> = files.iter().map(|file| daemon.import(file)).collect();
    let names: Vec<&str> = media.iter().map(String::as_str).collect();
    let channel = daemon.channel(&names);
    media.iter().for_each(|media| daemon.prepared(media));
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(28.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

#[test]
fn what_is_no_media_is_refused_with_a_reason_and_a_channel_on_air_does_not_notice() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 150));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    let bad = folder();
    let write = |name: OsString, bytes: &[u8]| {
        let path = bad.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let whole = std::fs::read(clip(1, 150)).expect("a clip");
    write("empty.mp4".into(), b"");
    write(
        "text.mp4".into(),
        b"This is no film.\n".repeat(50).as_slice(),
    );
    write("truncated.mp4".into(), &whole[..whole.len() / 3]);
    write(
        "playlist.mp4".into(),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    );
    write(
        "concat.mp4".into(),
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    );
    write(
        OsString::from_vec(b"-not \"a\nfilm' \xff.mp4".to_vec()),
        b"no",
    );
    std::fs::copy(
        kind(
            "only-sound.m4a",
            &["-f", "lavfi", "-i", "sine=duration=1"],
            &["-c:a", "aac", "-f", "mp4"],
        ),
        bad.path().join("sound.mp4"),
    )
    .expect("copies");
    let body = json!({ "path": bad.path() }).to_string();
    let answer = daemon.ask(
        "POST",
        "/media",
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    );
    let problem = answer.json();
    assert_eq!(answer.status, 422, "{problem}");
    let refused = problem["violations"].as_array().expect("a list");
    assert_eq!(refused.len(), 7, "{problem}");
    for file in refused {
        let reason = file["message"].as_str().unwrap_or_default();
        let reason = reason.split_once(".mp4: ").expect("the file is named").1;
        assert!(
            reason.len() > 15 && !reason.contains("passwd"),
            "a reason that a person understands: {file}"
        );
    }
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
}

#[test]
fn strange_names_and_damage_in_the_middle_play() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let files = folder();
    let whole = std::fs::read(clip(2, 150)).expect("a clip");
    let named = files
        .path()
        .join(OsString::from_vec(b"-a \"b\" 'c'\nd \xfe.mp4".to_vec()));
    std::fs::write(&named, &whole).expect("writes");
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 3000].fill(0x55);
    std::fs::write(files.path().join("torn.mp4"), &torn).expect("writes");
    let report = daemon.post("/media", &json!({ "path": files.path() }));
    let ids: Vec<String> = report["accepted"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 2, "{report}");
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let channel = daemon.channel(&names);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(24.0);
    viewer.judge();
}

/// An item whose file vanishes is passed over; the others play on.
#[test]
fn an_item_that_vanishes_is_passed_over() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (good, bad) = (daemon.import(&clip(1, 150)), daemon.import(&clip(3, 150)));
    let channel = daemon.channel(&[&good, &bad]);
    daemon.prepared(&good);
    daemon.prepared(&bad);
    let file = daemon.prepared_file(&bad);
    damage(&file);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(40.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let good_file = daemon.prepared_file(&good);
    let shown = viewer.shown(&[&good_file]);
    let last: Vec<_> = shown.iter().rev().take(100).collect();
    assert!(
        last.iter().all(|picture| picture.is_some()),
        "in the end only the good item plays"
    );
    until("the channel is LIVE", BOUND, || {
        daemon.status(&channel) == "LIVE"
    });
}

/// Overwrites a prepared file with what is no transport stream.
fn damage(file: &Path) {
    let len = std::fs::metadata(file).expect("a file").len() as usize;
    std::fs::write(file, vec![0x55; len]).expect("writes");
}
