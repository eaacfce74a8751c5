//! Media that are not prepared yet: played by live transcode, and by copy as soon as they are.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::clips::{clip, ffmpeg, make};
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
    let dead_air =
        || daemon.get(&format!("/channels/{channel}/outputs/metrics"))["deadAir"].clone();
    let counted = dead_air();
    assert!(
        counted.as_f64() >= Some(2.0),
        "the slate lasts a GOP at least: {counted}"
    );
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_eq!(dead_air(), counted, "only the slate is dead air");
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

/// An `ffmpeg` that transcodes live at a fifth of real time, and prepares nothing, while `slow` lies beside it.
fn slow_ffmpeg(dir: &Path) {
    let script = "#!/bin/sh\n\
        here=$(dirname \"$0\")\n\
        PATH=${PATH#*:}\n\
        [ -e \"$here/slow\" ] || exec ffmpeg \"$@\"\n\
        case \"$*\" in *-progress*) exec sleep 1000;; *libx264*) exec ffmpeg -readrate 0.2 \"$@\";; esac\n\
        exec ffmpeg \"$@\"\n";
    let program = dir.join("ffmpeg");
    std::fs::write(&program, script).expect("a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).expect("a program");
}

#[test]
fn a_live_transcode_that_cannot_keep_up_is_given_up_for_what_can_be_played() {
    let data = folder();
    let tools = folder();
    slow_ffmpeg(tools.path());
    let daemon = Daemon::start_with_programs(data.path(), "", tools.path());
    let good = daemon.import(&clip(7, 150));
    let channel = daemon.channel(&[&good]);
    daemon.prepared(&good);
    std::fs::write(tools.path().join("slow"), "").expect("slow from now on");
    let slow = daemon.import(&clip(8, 400));
    daemon.api(
        "PUT",
        &format!("/channels/{channel}/rotation"),
        &json!({ "items": [{ "mediaId": slow }, { "mediaId": good }] }),
    );
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    let planned = || {
        let plan = daemon.get(&format!("/channels/{channel}/plan"));
        let entries = plan["items"].as_array().cloned().unwrap_or_default();
        let last = entries.iter().rev().map(|entry| entry["mediaId"].clone());
        last.take(4).collect::<Vec<_>>()
    };
    let given_up = Duration::from_secs(120);
    viewer.follow("only what plays is planned", given_up, |_| {
        planned() == vec![json!(good); 4]
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 20.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let file = daemon.prepared_file(&good);
    let last = viewer.shown(&[Path::new(&file)]);
    assert!(
        last.iter().rev().take(200).all(Option::is_some),
        "only what plays is on air"
    );
}

#[test]
fn a_file_that_breaks_off_gives_way_to_the_next_item() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    // It says at its beginning that it is 60 s long, and has about 12.
    let cut = make("cut-60s.mp4", |out| {
        let whole = clip(4, 1_500);
        let faststart = out.with_extension("whole");
        let made = ffmpeg(&["-i", &whole.display().to_string()])
            .args(["-c", "copy", "-movflags", "+faststart", "-f", "mp4"])
            .arg(&faststart)
            .status()
            .expect("ffmpeg runs");
        let bytes = std::fs::read(&faststart).expect("a file");
        std::fs::write(out, &bytes[..bytes.len() / 5]).expect("writes");
        std::fs::remove_file(&faststart).expect("removes");
        made.success()
    });
    let cut = daemon.import(&cut);
    let good = daemon.import(&clip(7, 150));
    let channel = daemon.channel(&[&cut, &good]);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    let item = || daemon.get(&format!("/channels/{channel}/status"))["onAir"]["mediaId"].clone();
    let long_before_the_claimed_end = Duration::from_secs(40);
    viewer.follow(
        "the next item is on air",
        long_before_the_claimed_end,
        |_| item() == json!(good),
    );
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}
