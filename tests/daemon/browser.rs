//! Chromium: a viewer's, with hls.js on the watch page, and a developer's on the reference of the API.

use std::process::Command;

use serde_json::json;

use super::clips::{clip, numbered};
use super::daemon::{Daemon, folder};
use super::ladder::{laddered, prepared};
use super::subtitles::{attach, offers, srt};

#[test]
fn chromium_plays_the_watch_page_for_twenty_seconds() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media: Vec<String> = [(1, 150), (2, 225)]
        .map(|(seed, frames)| daemon.import(&clip(seed, frames)))
        .to_vec();
    let channel = daemon.channel(&[&media[0], &media[1]]);
    media.iter().for_each(|media| daemon.prepared(media));
    daemon.on_air(&channel);
    let url = format!("http://{}/watch/{channel}", daemon.address());
    run(&["web/e2e/watch.mjs", &url, "--seconds", "20"]);
}

#[test]
fn chromium_goes_from_rung_to_rung_with_its_network_and_never_waits() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    // Noise takes every bit that it may have.
    let media = vec![daemon.import(&numbered("rungs", 0, 250))];
    let rungs = [("360p", 1_200_000), ("240p", 200_000)];
    let channel = laddered(&daemon, &rungs, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let url = format!("http://{}/watch/{channel}", daemon.address());
    // More than the lower rung needs, and less than the higher.
    let slow = ["--heights", "360,240", "--slow", "800000"];
    run(&[&["web/e2e/rungs.mjs", &url][..], &slow].concat());
}

#[test]
fn chromium_shows_each_cue_beside_its_picture_in_the_language_that_is_chosen() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    // A whole number of cues, so that the loop goes on with one.
    let media = daemon.import(&numbered("read", 1, 360));
    let channel = daemon.channel(&[&media]);
    let german = srt(1, 360, 60, 7).replace("\n1-", "\nDeutsch 1-");
    let german = (1..6).fold(german, |text, n| {
        let from = format!("\n{}-", 1 + 60 * n);
        text.replace(&from, &format!("\nDeutsch {}", &from[1..]))
    });
    attach(&daemon, &media, "en", &srt(1, 360, 60, 7));
    attach(&daemon, &media, "de", &german);
    let languages = json!([
        { "language": "de", "name": "Deutsch" }, { "language": "en", "name": "English", "default": true },
    ]);
    offers(&daemon, &channel, &languages);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let url = format!("http://{}/watch/{channel}", daemon.address());
    let said = [
        "--first", "1", "--every", "60", "--gap", "7", "--other", "Deutsch",
    ];
    run(&[&["web/e2e/subtitles.mjs", &url][..], &said].concat());
}

#[test]
fn chromium_shows_the_reference_of_the_api_whole() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let origin = format!("http://{}", daemon.address());
    run(&["web/e2e/reference.mjs", &origin]);
}

/// Runs a script that has to end well.
fn run(script: &[&str]) {
    let watched = Command::new("node")
        .args(script)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("node runs");
    let (out, err) = (
        String::from_utf8_lossy(&watched.stdout),
        String::from_utf8_lossy(&watched.stderr),
    );
    assert!(watched.status.success(), "{out}\n{err}");
}
