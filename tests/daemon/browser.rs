//! A viewer's browser: Chromium and hls.js on the watch page.

use std::process::Command;

use super::clips::{clip, numbered};
use super::daemon::{Daemon, folder};
use super::ladder::{laddered, prepared};

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
