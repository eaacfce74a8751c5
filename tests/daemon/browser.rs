//! A viewer's browser: Chromium and hls.js on the watch page.

use std::process::Command;

use super::clips::clip;
use super::daemon::{Daemon, folder};

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
    let watched = Command::new("node")
        .args(["web/e2e/watch.mjs", &url, "--seconds", "20"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("node runs");
    let (out, err) = (
        String::from_utf8_lossy(&watched.stdout),
        String::from_utf8_lossy(&watched.stderr),
    );
    assert!(watched.status.success(), "{out}\n{err}");
}
