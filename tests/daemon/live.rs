//! Media that are not prepared yet: played by live transcode, and by copy as soon as they are.

use std::path::Path;

use serde_json::json;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

#[test]
fn what_is_not_prepared_plays_at_once_and_then_from_its_prepared_file() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(6, 260));
    let channel = daemon.channel(&[&media]);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    viewer.follow("the item is prepared", BOUND, |_| {
        daemon.is_prepared(&media)
    });
    // What was read ahead, the rest of the entry and the one after it, whose source has begun, are live.
    let seen = viewer.seconds;
    viewer.watch(seen + 44.0);
    viewer.judge();
    assert_eq!(
        viewer.discontinuities, 0,
        "a live transcode splices with a copy"
    );
    let file = daemon.prepared_file(&media);
    let shown = viewer.shown(&[Path::new(&file)]);
    assert!(
        shown.iter().any(Option::is_none),
        "at first it is transcoded while it plays"
    );
    assert!(
        shown.last().is_some_and(Option::is_some),
        "in the end the prepared file plays"
    );
}

#[test]
fn the_fallback_and_the_slate_stand_in() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let channel = daemon.channel(&[]);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let on_air =
        |kind: &str| daemon.get(&format!("/channels/{channel}/status"))["onAir"]["kind"] == kind;
    until("the slate is on air", BOUND, || on_air("slate"));
    let fallback = daemon.import(&clip(7, 150));
    daemon.api(
        "PATCH",
        &format!("/channels/{channel}"),
        &json!({ "fallbackVideo": fallback }),
    );
    viewer.follow("the fallback is on air", BOUND, |_| on_air("fallback"));
    let media = daemon.import(&clip(8, 150));
    daemon.api(
        "PUT",
        &format!("/channels/{channel}/rotation"),
        &json!({ "items": [{ "mediaId": media }] }),
    );
    viewer.follow("the plan is on air", BOUND, |_| on_air("scheduled"));
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

#[test]
fn a_skip_is_on_air_within_two_gops() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = [daemon.import(&clip(1, 700)), daemon.import(&clip(2, 700))];
    let channel = daemon.channel(&[&media[0], &media[1]]);
    media.iter().for_each(|media| daemon.prepared(media));
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let item = || daemon.get(&format!("/channels/{channel}/status"))["onAir"]["mediaId"].clone();
    assert_eq!(item(), json!(media[0]));
    let before = viewer.frames();
    daemon.operate(&channel, "skip");
    viewer.follow("the next item is on air", BOUND, |_| {
        item() == json!(media[1])
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let files = media.each_ref().map(|media| daemon.prepared_file(media));
    let shown = viewer.shown(&[&files[0], &files[1]]);
    let first = shown
        .iter()
        .position(|picture| *picture == Some((1, 0)))
        .expect("the next item from its beginning");
    // A segment of four seconds may have been complete but not published, and two GOPs of two.
    assert!(
        first as u64 <= before + 100 + 100,
        "skipped at {before}, seen at {first}"
    );
}
