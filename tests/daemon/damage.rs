//! Damaged media that are not prepared yet: what cannot be played costs its own time and no more. Judged by the
//! numbers that the pictures carry.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::clips::numbered;
use super::daemon::{Daemon, folder};
use super::viewer::Viewer;

/// Where the numbers of the item after the damaged one begin, and those of the fallback video.
const NEXT: u32 = 1024;
const FALLBACK: u32 = 1536;

/// An `ffmpeg` that never prepares a file called `doomed`, and of those called `failing` fails behind the first few
/// seconds, however often it is tried.
fn unwilling_ffmpeg(dir: &Path) {
    let script = r#"#!/bin/sh
PATH=${PATH#*:}
case "$*" in
*-progress*doomed*) exec sleep 1000 ;;
*failing*libx264*)
    at=0
    before=
    for arg; do
        [ "$before" != -ss ] || at=${arg%.*}
        before=$arg
    done
    [ "$at" -lt 3 ] || exit 1
    ffmpeg "$@" | head -c 400000
    exit 1
    ;;
esac
exec ffmpeg "$@"
"#;
    let program = dir.join("ffmpeg");
    std::fs::write(&program, script).expect("a script");
    let executable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).expect("a program");
}

/// A copy of `clip` under a name, with rubbish from `from` to `to`, as fractions of it.
fn copy(clip: &Path, dir: &Path, name: &str, (from, to): (f64, f64)) -> PathBuf {
    let mut bytes = std::fs::read(clip).expect("a clip");
    let at = |fraction: f64| (bytes.len() as f64 * fraction) as usize;
    let (from, to) = (at(from), at(to));
    bytes[from..to].fill(0x55);
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("writes");
    path
}

/// Airs a bad item of 500 frames and a good one, until the good one is seen; answers the numbers of the pictures
/// between the two beginnings.
fn aired(bad: &Path, tools: &Path, with_fallback: bool) -> Vec<Option<u32>> {
    let data = folder();
    let daemon = Daemon::start_with_programs(data.path(), "", tools);
    let next = daemon.import(&numbered("next", NEXT, 250));
    let channel = daemon.channel(&[&next]);
    let path = format!("/channels/{channel}");
    if with_fallback {
        let fallback = daemon.import(&numbered("fallback", FALLBACK, 150));
        daemon.api("PATCH", &path, &json!({ "fallbackVideo": fallback }));
        daemon.prepared(&fallback);
    }
    daemon.prepared(&next);
    // From here on nothing is prepared any more: the queue waits for the bad one.
    let bad = daemon.import(bad);
    let rotation = json!({ "items": [{ "mediaId": bad }, { "mediaId": next }] });
    daemon.api("PUT", &format!("{path}/rotation"), &rotation);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.follow("the next item is on air", Duration::from_secs(90), |_| {
        let status = daemon.get(&format!("{path}/status"));
        status["onAir"]["mediaId"] == json!(next)
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert!(!daemon.is_prepared(&bad), "it was not prepared meanwhile");
    let shown = viewer.numbers();
    let place = |number| shown.iter().position(|picture| *picture == Some(number));
    let (Some(begins), Some(ends)) = (place(0), place(NEXT)) else {
        panic!("both items are on air: {shown:?}");
    };
    shown[begins..ends].to_vec()
}

#[test]
fn damage_in_a_live_transcode_costs_the_damaged_stretch_and_the_next_item_starts_on_time() {
    let tools = folder();
    unwilling_ffmpeg(tools.path());
    let whole = numbered("whole", 0, 500);
    let torn = copy(&whole, tools.path(), "doomed-torn.mp4", (0.5, 0.53));
    let shown = aired(&torn, tools.path(), false);
    assert_eq!(shown.len(), 500, "the next item starts on time");
    // Half way, and up to the key frame after it.
    for (place, number) in (0..).zip(&shown) {
        if !(240..320).contains(&place) {
            assert_eq!(*number, Some(place), "a frame that is not damaged");
        }
    }
    let whole: Vec<_> = (0..500).map(Some).collect();
    assert_ne!(shown, whole, "it is damaged");
}

#[test]
fn of_an_item_that_cannot_go_on_only_the_remainder_is_filled() {
    let tools = folder();
    unwilling_ffmpeg(tools.path());
    let whole = numbered("whole", 0, 500);
    let failing = copy(&whole, tools.path(), "doomed-failing.mp4", (0.0, 0.0));
    let shown = aired(&failing, tools.path(), true);
    assert_eq!(shown.len(), 500, "the next item starts on time");
    let lasts = (0..)
        .zip(&shown)
        .take_while(|(n, shown)| **shown == Some(*n));
    let lasts = lasts.count();
    assert!(
        (100..300).contains(&lasts),
        "it plays as far as it goes: {lasts}"
    );
    for number in &shown[lasts..] {
        assert!(
            number.is_some_and(|number| number >= FALLBACK),
            "the fallback video fills the rest: {number:?}"
        );
    }
}

/// What is prepared of a damaged file is whole, and the item says where it is damaged.
#[test]
fn a_damaged_item_is_marked() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let files = folder();
    let whole = numbered("whole", 0, 500);
    let torn = copy(&whole, files.path(), "torn.mp4", (0.5, 0.53));
    let good = daemon.import(&whole);
    let torn = daemon.import(&torn);
    daemon.channel(&[&good, &torn]);
    for (media, damaged) in [(good, false), (torn, true)] {
        daemon.prepared(&media);
        let item = daemon.get(&format!("/media/{media}"));
        let damage = item["damage"].as_array().expect("a list");
        assert_eq!(!damage.is_empty(), damaged, "{item}");
        if let Some(first) = damage.first() {
            let from = first["from"].as_f64().expect("seconds");
            assert!((8.5..10.5).contains(&from), "{item}");
        }
        let list = daemon.get("/media");
        let listed = list["items"].as_array().expect("items");
        let listed = listed.iter().find(|listed| listed["id"] == item["id"]);
        assert_eq!(listed.expect("it is listed")["damage"], item["damage"]);
    }
}
