//! Sources that deliver what is no media, and channels that have nothing to play.

use std::path::Path;

use serde_json::json;

use crate::clips::clip;
use crate::daemon::{BOUND, Daemon, folder, until};
use crate::receiver::Receiver;
use crate::recovery::assert_unbroken;
use crate::rtmp::{self, on_air};
use crate::viewer::Viewer;

/// An `ffmpeg` that does `instead`, once, where it should read a prepared file, while `lies` lies beside it.
fn lying_ffmpeg(dir: &Path, instead: &str) {
    let script = format!(
        "#!/bin/sh\n\
        here=$(dirname \"$0\")\n\
        PATH=${{PATH#*:}}\n\
        case \"$*\" in *'-c copy'*pipe:1*) if rm \"$here/lies\" 2>/dev/null; then {instead}; fi;; esac\n\
        exec ffmpeg \"$@\"\n"
    );
    // ISO/IEC 13818-1 §2.4.3.2: PID 0x1fff.
    let null = [[0x47, 0x1f, 0xff, 0x10].as_slice(), &[0xff; 184]].concat();
    std::fs::write(dir.join("null.ts"), null.repeat(1_000)).expect("null packets");
    let program = dir.join("ffmpeg");
    std::fs::write(&program, script).expect("a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).expect("a program");
}

/// A source that does `instead` costs viewers and a platform nothing, is told of, and is replaced where it was.
fn is_replaced(instead: &str) {
    let (data, tools) = (folder(), folder());
    lying_ffmpeg(tools.path(), instead);
    let daemon = Daemon::start_with_programs(data.path(), rtmp::PRIVATE, tools.path());
    let platform = Receiver::start();
    let (media, channel) = on_air(&daemon, 260);
    rtmp::add(&daemon, &channel, &platform.url(), "key");
    platform.until_published("key");
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let lies = tools.path().join("lies");
    std::fs::write(&lies, "").expect("lies from now on");
    // The next entry of the plan has a source of its own.
    viewer.follow("it has lied and been found out", BOUND, |_| {
        let health = daemon.get(&format!("/channels/{channel}/health"));
        !lies.exists() && health["restartCount"].as_u64() >= Some(1)
    });
    let history = daemon.get(&format!("/channels/{channel}/history"));
    assert_eq!(history["items"][0]["failure"], "source", "{history}");
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let file = daemon.prepared_file(&media);
    assert_unbroken(&viewer.shown(&[&file]), 260);
    assert_eq!(daemon.status(&channel), "LIVE");
    rtmp::assert_recorded_unbroken(&daemon, &platform, (&channel, &media), "key", 260);
}

#[test]
fn garbage_on_the_pipe_costs_no_frame() {
    is_replaced("exec cat /dev/urandom");
}

#[test]
fn packets_without_media_on_the_pipe_cost_no_frame() {
    is_replaced("while cat \"$here/null.ts\"; do :; done; exit");
}

#[test]
fn a_source_that_fails_without_a_word_costs_no_frame() {
    is_replaced("exit 1");
}

#[test]
fn a_source_that_says_all_is_well_before_the_items_end_costs_no_frame() {
    is_replaced("exit 0");
}

#[test]
fn a_fallback_that_cannot_be_read_gives_way_to_the_slate_and_that_is_dead_air() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[alerts]\ndead_air = 1\n");
    let fallback = daemon.import(&clip(7, 150));
    let channel = daemon.channel(&[]);
    let path = format!("/channels/{channel}");
    daemon.api("PATCH", &path, &json!({ "fallbackVideo": fallback }));
    daemon.prepared(&fallback);
    let file = daemon.prepared_file(&fallback);
    let whole = std::fs::read(&file).expect("a prepared file");
    let on_air =
        |kind: &str| daemon.get(&format!("/channels/{channel}/status"))["onAir"]["kind"] == kind;
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.follow("the fallback is on air", BOUND, |_| on_air("fallback"));
    std::fs::write(&file, vec![0x55; whole.len()]).expect("damages it");
    viewer.follow("the slate is on air", BOUND, |_| on_air("slate"));
    let dead_air = |state: &str| {
        let list = daemon.get(&format!("/alerts?channel={channel}&state={state}"));
        let all = list["items"].as_array().cloned().unwrap_or_default();
        all.iter().any(|alert| alert["kind"] == "channel.dead_air")
    };
    viewer.follow("somebody is told", BOUND, |_| dead_air("open"));
    std::fs::write(&file, &whole).expect("mends it");
    viewer.follow("the fallback is back", BOUND, |_| on_air("fallback"));
    until("the alert is over", BOUND, || dead_air("closed"));
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}
