//! From a folder of videos to a flawless stream.

use std::path::Path;

use serde_json::json;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// Pictures that were shown, as `(file, frame)`, have to follow each other as the loop says.
fn assert_loop(shown: &[Option<(usize, usize)>], lengths: &[usize]) {
    let first = shown
        .first()
        .copied()
        .flatten()
        .expect("the first picture is the plan's");
    let mut expected = first;
    for (n, picture) in shown.iter().enumerate() {
        assert_eq!(*picture, Some(expected), "picture {n} of {}", shown.len());
        expected.1 += 1;
        if expected.1 == lengths[expected.0] {
            expected = ((expected.0 + 1) % lengths.len(), 0);
        }
    }
}

fn plays_a_rotation_without_a_fault(source: &str) {
    let data = folder();
    let daemon = Daemon::start(data.path(), &format!("[playout]\nsource = \"{source}\"\n"));
    // Lengths that are no whole GOPs, seconds or audio frames.
    let lengths = [131, 77, 203];
    let media: Vec<String> = (1..)
        .zip(lengths)
        .map(|(seed, frames)| daemon.import(&clip(seed, frames)))
        .collect();
    let names: Vec<&str> = media.iter().map(String::as_str).collect();
    let channel = daemon.channel(&names);
    media.iter().for_each(|media| daemon.prepared(media));
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    // Two rounds of the loop and more, so that every item follows every other.
    viewer.watch(36.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0, "the stream breaks nowhere");
    let files: Vec<_> = media
        .iter()
        .map(|media| daemon.prepared_file(media))
        .collect();
    let files: Vec<&Path> = files.iter().map(|file| file.as_path()).collect();
    assert_loop(&viewer.shown(&files), &[131, 77, 203]);
}

#[test]
fn ffmpeg_sources_play_a_rotation_without_a_fault() {
    plays_a_rotation_without_a_fault("ffmpeg");
}

#[test]
fn direct_sources_play_a_rotation_without_a_fault() {
    plays_a_rotation_without_a_fault("direct");
}

#[test]
fn what_is_on_air_only_because_it_was_asked_for_is_not_deleted_before_it_is_over() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(4, 200));
    let played = daemon.import(&clip(5, 300));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(4.0);
    let asked = json!({ "mediaId": played, "when": "now" });
    daemon.post(&format!("/channels/{channel}/play"), &asked);
    let on_air = || {
        let status = daemon.get(&format!("/channels/{channel}/status"));
        status["onAir"]["mediaId"].clone()
    };
    viewer.follow("it is on air", BOUND, |_| on_air() == json!(played));
    let delete = || daemon.ask("DELETE", &format!("/media/{played}"), &[], b"");
    let refused = delete();
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("Test"), "{}", refused.text());
    viewer.follow("it is over", BOUND, |_| on_air() == json!(media));
    viewer.follow("it is deleted", BOUND, |_| delete().status == 204);
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

#[test]
fn stop_and_start_go_on_with_the_numbers() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(4, 100));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    daemon.operate(&channel, "stop");
    assert_eq!(daemon.status(&channel), "STOPPED");
    let gone = daemon
        .try_get(&format!("/hls/{channel}/index.m3u8"))
        .expect("answers");
    assert_eq!(gone.status, 404, "nothing is served off air");
    until("the sources are gone", BOUND, || {
        daemon.sources(&channel).is_empty()
    });
    daemon.on_air(&channel);
    viewer.watch(28.0);
    daemon.operate(&channel, "restart");
    viewer.watch(40.0);
    viewer.judge();
    assert_eq!(
        viewer.discontinuities, 0,
        "so short a stop is caught up with"
    );
}
