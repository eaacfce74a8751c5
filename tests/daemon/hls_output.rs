//! What becomes of a playlist when its channel stops, comes back, or is not to be served.

use std::time::{Duration, Instant};

use serde_json::json;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

#[test]
fn hls_is_switched_off_and_on_while_on_air() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let master = format!("/hls/{channel}/index.m3u8");
    let answers = |status: u16| daemon.try_get(&master).is_some_and(|a| a.status == status);
    let serve = |enabled: bool| {
        let path = format!("/channels/{channel}");
        daemon.api("PATCH", &path, &json!({ "hlsEnabled": enabled }));
    };
    serve(false);
    until("HLS is gone", BOUND, || answers(404));
    until("the channel is LIVE without HLS", BOUND, || {
        daemon.status(&channel) == "LIVE"
    });
    serve(true);
    until("HLS is back", BOUND, || answers(200));
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(daemon.status(&channel), "LIVE");
}

#[test]
fn after_a_stop_longer_than_the_window_a_fresh_window_begins_with_higher_numbers() {
    let data = folder();
    let settings = "[hls]\ntarget_duration = 2\nwindow = 3\n";
    let daemon = Daemon::start(data.path(), settings);
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut before = Viewer::of(&daemon, &channel);
    before.watch(8.0);
    before.judge();
    daemon.operate(&channel, "stop");
    let stopped = Instant::now();
    // A start goes three segments back, which is a window here.
    until("more than two windows have gone by", BOUND, || {
        stopped.elapsed() > Duration::from_secs(14)
    });
    daemon.on_air(&channel);
    let mut after = Viewer::of(&daemon, &channel);
    after.watch(8.0);
    after.judge();
    assert!(after.sequences[0] > before.sequences[before.sequences.len() - 1]);
    let playlist = daemon.try_get(&format!("/hls/{channel}/240p.m3u8"));
    let text = playlist.expect("a playlist").text();
    assert!(
        text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"),
        "the break between the windows is counted: {text}"
    );
}
