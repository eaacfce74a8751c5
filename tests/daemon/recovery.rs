//! What fails is replaced, and viewers see nothing of it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, is_running, signal_process, until};
use super::viewer::Viewer;

/// A channel that is LIVE and plays one prepared clip in a loop: the item's id and the channel's.
pub fn on_air(daemon: &Daemon, seed: u32, frames: u32) -> (String, String) {
    let media = daemon.import(&clip(seed, frames));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    (media, channel)
}

/// The same with a clock that begins when its item is prepared already: preparing takes as long as it takes.
pub fn on_air_at_once(daemon: &Daemon, seed: u32, frames: u32) -> (String, String) {
    let media = daemon.import(&clip(seed, frames));
    // It is prepared because a channel plays it.
    daemon.channel(&[&media]);
    daemon.prepared(&media);
    let channel = daemon.channel(&[&media]);
    daemon.on_air(&channel);
    (media, channel)
}

/// The pictures shown are those of one item of so many frames, in a loop, each following the one before.
pub fn assert_unbroken(shown: &[Option<(usize, usize)>], frames: usize) {
    for pair in shown.windows(2) {
        let (before, after) = (pair[0].expect("the item"), pair[1].expect("the item"));
        assert_eq!(
            (before.1 + 1) % frames,
            after.1,
            "no frame is lost or shown twice"
        );
    }
}

#[test]
fn killed_sources_cost_no_frame() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (media, channel) = on_air(&daemon, 1, 700);
    let mut viewer = Viewer::of(&daemon, &channel);
    for _ in 0..3 {
        let killed = daemon.kill_sources(&channel);
        viewer.follow("another source has taken over", BOUND, |_| {
            let sources = daemon.sources(&channel);
            !sources.is_empty() && sources.iter().all(|pid| !killed.contains(pid))
        });
        let seen = viewer.seconds;
        viewer.watch(seen + 6.0);
    }
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let file = daemon.prepared_file(&media);
    let shown = viewer.shown(&[&file]);
    assert_unbroken(&shown, 700);
    let health = daemon.get(&format!("/channels/{channel}/health"));
    assert!(
        health["restartCount"].as_u64() >= Some(3),
        "restarts are counted: {health}"
    );
    assert_eq!(daemon.status(&channel), "LIVE");
}

#[test]
fn a_source_that_hangs_is_replaced_and_costs_no_frame() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (media, channel) = on_air(&daemon, 1, 700);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let stopped = daemon.sources(&channel);
    assert!(!stopped.is_empty());
    for pid in &stopped {
        signal_process(*pid, "STOP");
    }
    viewer.follow("the hung sources are gone", BOUND, |_| {
        !stopped.iter().any(|pid| is_running(*pid))
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let shown = viewer.shown(&[&daemon.prepared_file(&media)]);
    assert_unbroken(&shown, 700);
}

/// Its source fails once too often; the fallback stands in until the source is tried again, slowly.
#[test]
fn a_channel_in_error_shows_its_fallback_and_comes_back_by_itself_while_its_neighbour_feels_nothing()
 {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (_, channel) = on_air(&daemon, 1, 700);
    let (media, neighbour) = on_air(&daemon, 2, 700);
    let fallback = daemon.import(&clip(3, 150));
    let settings = json!({ "fallbackVideo": fallback, "recoverySettings": { "maxRestarts": 1 } });
    daemon.api("PATCH", &format!("/channels/{channel}"), &settings);
    daemon.prepared(&fallback);
    let mut viewer = Viewer::of(&daemon, &channel);
    let mut beside = Viewer::of(&daemon, &neighbour);
    viewer.follow("both are on air", BOUND, |viewer| {
        beside.look();
        viewer.seconds >= 12.0 && beside.seconds >= 12.0
    });
    let status = format!("/channels/{channel}/status");
    viewer.follow("the fallback is on air", BOUND, |_| {
        beside.look();
        let status = daemon.get(&status);
        let health = daemon.get(&format!("/channels/{channel}/health"));
        if status["status"] == "LIVE" && health["errorCount"] == 0 {
            // One may have delivered all that it had.
            let sources = daemon.sources(&channel);
            sources.iter().for_each(|pid| signal_process(*pid, "KILL"));
        }
        status["status"] == "ERROR" && status["onAir"]["kind"] == "fallback"
    });
    viewer.follow("it is LIVE again", Duration::from_secs(200), |_| {
        beside.look();
        daemon.status(&channel) == "LIVE"
    });
    assert_eq!(daemon.get(&status)["onAir"]["kind"], "scheduled");
    for viewer in [&viewer, &beside] {
        viewer.judge();
        assert_eq!(viewer.discontinuities, 0);
    }
    assert_unbroken(&beside.shown(&[&daemon.prepared_file(&media)]), 700);
}

#[test]
fn a_killed_daemon_takes_its_children_along_and_goes_on_where_it_was() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (media, channel) = on_air(&daemon, 2, 700);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(16.0);
    let sources = daemon.sources(&channel);
    assert!(!sources.is_empty());
    daemon.signal("KILL");
    daemon.ended();
    let killed = Instant::now();
    until(
        "FFmpeg has died with the daemon",
        Duration::from_secs(5),
        || !sources.iter().any(|pid| is_running(*pid)),
    );
    // Longer than the three segments that a start goes back, shorter than the playlist's window.
    until("viewers have run dry", BOUND, || {
        killed.elapsed() > Duration::from_secs(18)
    });
    let again = Daemon::start(data.path(), "");
    drop_quietly(&mut viewer);
    let mut viewer = viewer.moved_to(&again);
    until("the channel is LIVE again", BOUND, || {
        again.status(&channel) == "LIVE"
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
    viewer.judge();
    assert_eq!(
        viewer.discontinuities, 0,
        "an absence shorter than the window is caught up with"
    );
    let file = again.prepared_file(&media);
    assert_unbroken(&viewer.shown(&[&file]), 700);
}

#[test]
fn damage_in_the_middle_costs_the_damaged_stretch_and_the_next_item_starts_on_time() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media =
        [(1, 900), (2, 250), (3, 150)].map(|(seed, frames)| daemon.import(&clip(seed, frames)));
    let channel = daemon.channel(&[&media[0], &media[1]]);
    let path = format!("/channels/{channel}");
    daemon.api("PATCH", &path, &json!({ "fallbackVideo": media[2] }));
    media.iter().for_each(|media| daemon.prepared(media));
    let files = media.each_ref().map(|media| daemon.prepared_file(media));
    let whole = std::fs::read(&files[0]).expect("a prepared file");
    let mut damaged = whole.clone();
    let hole = whole.len() * 4 / 10..whole.len() / 2;
    damaged[hole].fill(0);
    std::fs::write(&files[0], &damaged).expect("damages it");
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(44.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    std::fs::write(&files[0], &whole).expect("makes it whole");
    let shown = viewer.shown(&[&files[0], &files[1], &files[2]]);
    let place = |frame| shown.iter().position(|picture| *picture == Some(frame));
    let (begins, next) = (place((0, 0)), place((1, 0)));
    let (Some(begins), Some(next)) = (begins, next) else {
        panic!("both items are on air: {begins:?} {next:?}");
    };
    assert_eq!(next - begins, 900, "the next item starts on time");
    let of = |file| {
        shown[begins..next]
            .iter()
            .flatten()
            .filter(|(f, _)| *f == file)
            .count()
    };
    assert_eq!(of(0) + of(2), 900, "its own pictures, and the fallback's");
    assert!(
        of(2) >= 50 && of(0) >= 450,
        "only the damaged stretch is lost: {} of 900 are left",
        of(0)
    );
    assert!(place((0, 899)).is_some(), "it goes on behind the damage");
}

/// The last look at a daemon that is gone finds nobody.
fn drop_quietly(viewer: &mut Viewer<'_>) {
    assert!(!viewer.look());
}

#[test]
fn a_terminated_daemon_leaves_nothing_running_and_comes_back() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (_, channel) = on_air(&daemon, 3, 300);
    let sources = daemon.sources(&channel);
    daemon.signal("TERM");
    let status = daemon.ended();
    assert!(status.success(), "{status}\n{}", daemon.log());
    assert!(
        !sources.iter().any(|pid| is_running(*pid)),
        "children are reaped before the end"
    );
    let again = Daemon::start(data.path(), "");
    until("the channel is back on air", BOUND, || {
        again.status(&channel) == "LIVE"
    });
}

#[test]
fn the_clock_wraps_without_anybody_noticing() {
    let data = folder();
    // A new channel's clock begins 48 s before its start; 33 bits of 90 kHz end at 95 443.7 s.
    let daemon = Daemon::start(data.path(), "[playout]\nclock_origin = 95385\n");
    let (_, channel) = on_air_at_once(&daemon, 5, 200);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.follow("the clock has wrapped", Duration::from_secs(90), |viewer| {
        let (first, last) = if viewer.frames() > 0 {
            viewer.span()
        } else {
            (0, 0)
        };
        last < first
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

#[test]
fn direct_sources_cross_a_killed_daemon_and_the_wrap() {
    let data = folder();
    let settings = "[playout]\nsource = \"direct\"\nclock_origin = 95385\n";
    let daemon = Daemon::start(data.path(), settings);
    let (media, channel) = on_air_at_once(&daemon, 5, 200);
    assert!(daemon.sources(&channel).is_empty(), "there is no process");
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(16.0);
    daemon.signal("KILL");
    daemon.ended();
    let again = Daemon::start(data.path(), settings);
    let mut viewer = viewer.moved_to(&again);
    viewer.follow("the clock has wrapped", Duration::from_secs(90), |viewer| {
        let (first, last) = viewer.span();
        last < first
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let shown = viewer.shown(&[&again.prepared_file(&media)]);
    assert_unbroken(&shown, 200);
}
