//! Channels pushed to a platform: nginx with its RTMP module, judged by what it recorded.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, is_running, signal_process, until};
use super::receiver::Receiver;
use super::recovery;
use super::viewer::{Viewer, pictures_of_file};

pub const PRIVATE: &str = "[rtmp]\nallow_private = true\nstalled_after = 3\n";

/// A channel that is LIVE and plays one prepared clip in a loop: the item's id and the channel's.
pub fn on_air(daemon: &Daemon, frames: u32) -> (String, String) {
    recovery::on_air(daemon, 1, frames)
}

pub fn add(daemon: &Daemon, channel: &str, url: &str, key: &str) -> String {
    add_with(daemon, channel, url, key, json!({}))
}

/// The same with more to say of it.
pub fn add_with(daemon: &Daemon, channel: &str, url: &str, key: &str, more: Value) -> String {
    let mut destination = json!({ "serverUrl": url, "streamKey": key });
    let all = destination.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    let added = daemon.post(&format!("/channels/{channel}/destinations"), &destination);
    assert_eq!(added["streamKeySet"], true);
    added["id"].as_str().expect("an id").to_owned()
}

pub fn change(daemon: &Daemon, channel: &str, destination: &str, patch: &Value) {
    let path = format!("/channels/{channel}/destinations/{destination}");
    daemon.api("PATCH", &path, patch);
}

/// What the API says of an output.
pub fn output(daemon: &Daemon, channel: &str, destination: &str) -> Value {
    let outputs = daemon.get(&format!("/channels/{channel}/outputs"));
    let items = outputs["items"].as_array().expect("outputs");
    let found = items.iter().find(|o| o["destinationId"] == destination);
    found
        .cloned()
        .unwrap_or_else(|| panic!("no output {destination}: {outputs}"))
}

/// The pids of the processes that push.
pub fn pushes(daemon: &Daemon, channel: &str) -> Vec<u32> {
    let [_, pushes] = daemon.sources_and_pushes(channel);
    pushes
}

/// The pictures of a recording are those of one looped item, each following the one before.
pub fn assert_unbroken(recording: &Path, prepared: &Path, frames: usize) -> usize {
    let known = pictures_of_file(prepared);
    let shown = pictures_of_file(recording);
    let places: Vec<usize> = shown
        .iter()
        .map(|picture| {
            known
                .iter()
                .position(|k| k == picture)
                .expect("the item's picture")
        })
        .collect();
    for (n, pair) in places.windows(2).enumerate() {
        assert_eq!(
            (pair[0] + 1) % frames,
            pair[1],
            "no frame is lost or repeated: the {n}th is followed by another"
        );
    }
    places.len()
}

/// Takes the channel off air: the platform had it over one connection, and no frame is missing or shown twice.
/// Answers how many there were.
pub fn assert_recorded_unbroken(
    daemon: &Daemon,
    platform: &Receiver,
    (channel, media): (&str, &str),
    key: &str,
    frames: usize,
) -> usize {
    daemon.operate(channel, "stop");
    platform.until_unpublished(key);
    platform.stop();
    let recordings = platform.recordings(key);
    assert_eq!(recordings.len(), 1, "the connection was kept");
    assert_unbroken(&recordings[0], &daemon.prepared_file(media), frames)
}

#[test]
fn hung_and_killed_sources_cost_the_platform_no_frame_and_not_the_connection() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let (media, channel) = on_air(&daemon, 700);
    let destination = add(&daemon, &channel, &platform.url(), "live_sesame");
    platform.until_received("live_sesame", 200_000);
    // A hang takes five seconds to be noticed; behind other failures the delay before a restart comes on top.
    for signal in ["STOP", "KILL"] {
        let mut struck = Vec::new();
        until("there is a source to strike", BOUND, || {
            [struck, _] = daemon.sources_and_pushes(&channel);
            !struck.is_empty()
        });
        struck.iter().for_each(|pid| signal_process(*pid, signal));
        until("it is replaced", BOUND, || {
            !struck.iter().any(|pid| is_running(*pid))
        });
        let seen = platform
            .publisher("live_sesame")
            .expect("it is pushed")
            .bytes_in;
        platform.until_received("live_sesame", seen + 250_000);
    }
    let shown = output(&daemon, &channel, &destination);
    assert_eq!(
        (&shown["status"], &shown["connections"]),
        (&json!("LIVE"), &json!(1))
    );
    let of = (channel.as_str(), media.as_str());
    let frames = assert_recorded_unbroken(&daemon, &platform, of, "live_sesame", 700);
    assert!(frames > 300, "{frames} frames were recorded");
}

#[test]
fn outputs_are_added_moved_switched_and_removed_live_each_by_itself() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let (media, channel) = on_air(&daemon, 700);
    let mut viewer = Viewer::of(&daemon, &channel);
    let kept = add(&daemon, &channel, &platform.url(), "kept");
    let moved = add(&daemon, &channel, &platform.url(), "before");
    platform.until_published("kept");
    platform.until_published("before");
    change(&daemon, &channel, &moved, &json!({ "streamKey": "after" }));
    platform.until_unpublished("before");
    platform.until_published("after");
    change(&daemon, &channel, &moved, &json!({ "enabled": false }));
    platform.until_unpublished("after");
    assert_eq!(output(&daemon, &channel, &moved)["status"], "OFF");
    change(&daemon, &channel, &moved, &json!({ "enabled": true }));
    platform.until_published("after");
    let path = format!("/channels/{channel}/destinations/{moved}");
    daemon.api("DELETE", &path, &Value::Null);
    platform.until_unpublished("after");
    viewer.watch(16.0);
    viewer.judge();
    assert_eq!(output(&daemon, &channel, &kept)["connections"], 1);
    daemon.operate(&channel, "stop");
    platform.until_unpublished("kept");
    until("no process is left", BOUND, || {
        daemon.sources(&channel).is_empty()
    });
    platform.stop();
    let recordings = platform.recordings("kept");
    assert_eq!(recordings.len(), 1, "nobody touched the other output");
    assert_unbroken(&recordings[0], &daemon.prepared_file(&media), 700);
}

#[test]
fn a_platform_that_refuses_is_named_suspended_and_nobody_elses_trouble() {
    let data = folder();
    let platform = Receiver::start();
    platform.deny("wrong");
    let daemon = Daemon::start(data.path(), PRIVATE);
    let mut events = daemon.events("");
    let (_, channel) = on_air(&daemon, 700);
    let good = add(&daemon, &channel, &platform.url(), "good");
    let bad = add(&daemon, &channel, &platform.url(), "wrong");
    platform.until_published("good");
    until("it is suspended", BOUND, || {
        output(&daemon, &channel, &bad)["status"] == "SUSPENDED"
    });
    let shown = output(&daemon, &channel, &bad);
    assert_eq!(shown["lastFailure"]["kind"], "rejected", "{shown}");
    assert_eq!(shown["failures"], 5);
    assert_eq!(
        shown["enabled"], true,
        "what the client chose is not touched"
    );
    assert!(shown["nextAttempt"].is_string());
    until("the client is told", BOUND, || {
        let event = events.next().expect("events go on");
        event.kind == "output.suspended" && event.data["destinationId"] == json!(bad)
    });
    assert_eq!(output(&daemon, &channel, &good)["connections"], 1);
    assert_eq!(daemon.status(&channel), "LIVE");
    platform.allow("wrong");
    change(&daemon, &channel, &bad, &json!({ "enabled": false }));
    change(&daemon, &channel, &bad, &json!({ "enabled": true }));
    platform.until_published("wrong");
}

#[test]
fn a_platform_that_goes_away_or_stands_still_is_reached_again() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let (_, channel) = on_air(&daemon, 700);
    let mut viewer = Viewer::of(&daemon, &channel);
    let destination = add(&daemon, &channel, &platform.url(), "key");
    platform.until_published("key");
    let failed = |kinds: &[&str]| {
        let shown = output(&daemon, &channel, &destination);
        let kind = shown["lastFailure"]["kind"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        kinds.contains(&kind.as_str())
    };
    platform.drop_publisher("key");
    until("it is noticed", BOUND, || failed(&["remoteClosed"]));
    platform.until_published("key");
    platform.kill();
    until("nobody listens", BOUND, || failed(&["refused"]));
    platform.start_again();
    platform.until_published("key");
    platform.freeze();
    viewer.follow("it is noticed that nothing is taken", BOUND, |_| {
        failed(&["stalled"])
    });
    platform.thaw();
    platform.until_published("key");
    let seen = viewer.seconds;
    viewer.watch(seen + 4.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

#[test]
fn the_stream_key_is_shown_nowhere() {
    const KEY: &str = "live_sesame_4711";
    let data = folder();
    let platform = Receiver::start();
    platform.deny(KEY);
    let daemon = Daemon::start_talkative(data.path(), PRIVATE);
    let (_, channel) = on_air(&daemon, 700);
    let destination = add(&daemon, &channel, &platform.url(), KEY);
    until("it has failed", BOUND, || {
        output(&daemon, &channel, &destination)["failures"] == 2
    });
    platform.allow(KEY);
    let mut lines = Vec::new();
    until("it is published, and its process looked at", BOUND, || {
        for pid in pushes(&daemon, &channel) {
            for file in ["cmdline", "environ"] {
                lines.push(std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default());
            }
        }
        platform.publisher(KEY).is_some()
    });
    assert!(
        lines.iter().any(|line| line.starts_with(b"ffmpeg")),
        "a process was seen"
    );
    let answers = ["", "/outputs", "/processes", "/destinations", "/status"];
    let answers = answers.map(|path| {
        daemon
            .get(&format!("/channels/{channel}{path}"))
            .to_string()
    });
    lines.extend(answers.map(String::into_bytes));
    lines.push(daemon.log().into_bytes());
    for line in &lines {
        let found = line
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes());
        assert!(!found, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn an_encrypted_destination_is_verified() {
    let data = folder();
    let platform = Receiver::start();
    let host = platform.address().ip().to_string();
    let (right, other) = (platform.tls(&host), platform.tls(&host));
    let trusted = right.ca_file().display().to_string();
    let settings = format!("{PRIVATE}authorities = {trusted:?}\n");
    let daemon = Daemon::start(data.path(), &settings);
    let (_, channel) = on_air(&daemon, 700);
    add(&daemon, &channel, &right.url_of("live"), "encrypted");
    let wrong = add(&daemon, &channel, &other.url_of("live"), "never");
    platform.until_published("encrypted");
    until(
        "a certificate that nobody vouches for is noticed",
        BOUND,
        || output(&daemon, &channel, &wrong)["lastFailure"]["kind"] == "tls",
    );
    assert!(!platform.asked().contains(&"never".to_owned()));
}

#[test]
fn a_destination_is_tested_with_a_reason() {
    let data = folder();
    let platform = Receiver::start();
    platform.deny("denied-key");
    let daemon = Daemon::start(data.path(), PRIVATE);
    let channel = daemon.channel(&[]);
    let test = |url: &str, key: &str, query: &str| {
        let id = add(&daemon, &channel, url, key);
        let path = format!("/channels/{channel}/destinations/{id}/validate{query}");
        let tested = daemon.post(&path, &Value::Null);
        assert!(!tested.to_string().contains(key), "{tested}");
        (
            tested["ok"].clone(),
            tested["reason"].clone(),
            tested["step"].clone(),
        )
    };
    let ok = (json!(true), Value::Null, Value::Null);
    assert_eq!(test(&platform.url(), "right-key", ""), ok);
    assert_eq!(test(&platform.url(), "right-key", "?publish=true"), ok);
    let refused = |reason: &str, step: &str| (json!(false), json!(reason), json!(step));
    assert_eq!(
        test(&platform.url(), "denied-key", "?publish=true"),
        refused("keyRejected", "publish")
    );
    assert_eq!(
        test(&platform.url_of("other"), "right-key", ""),
        refused("appRejected", "app")
    );
    platform.stop();
    assert_eq!(
        test(&platform.url(), "right-key", ""),
        refused("refused", "connect")
    );
}

/// The steps from packet to packet of a recording, in milliseconds: of its pictures, and of its sound.
fn steps(recording: &Path) -> [Vec<i64>; 2] {
    let listed = Command::new("ffprobe")
        .args(["-loglevel", "error", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=codec_type,dts"])
        .arg(recording)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8_lossy(&listed.stdout);
    ["video", "audio"].map(|kind| {
        let times: Vec<i64> = text
            .lines()
            .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(',')?.parse().ok())
            .collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

/// Of a clock with 33 bits FLV has 32 bits of milliseconds, and FFmpeg stands between them.
#[test]
fn the_clock_wraps_without_a_platform_noticing() {
    let data = folder();
    let platform = Receiver::start();
    // 48 s before its start; 33 bits of 90 kHz end at 95 443.7 s.
    let settings = format!("{PRIVATE}[playout]\nclock_origin = 95365\n");
    let daemon = Daemon::start(data.path(), &settings);
    let (media, channel) = recovery::on_air_at_once(&daemon, 1, 700);
    let destination = add(&daemon, &channel, &platform.url(), "key");
    platform.until_received("key", 100_000);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.follow("the clock has wrapped", Duration::from_secs(90), |viewer| {
        let span = (viewer.frames() > 0).then(|| viewer.span());
        span.is_some_and(|(first, last)| last < first)
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
    let shown = output(&daemon, &channel, &destination);
    assert_eq!(
        (&shown["status"], &shown["connections"]),
        (&json!("LIVE"), &json!(1))
    );
    daemon.operate(&channel, "stop");
    platform.until_unpublished("key");
    platform.stop();
    let recordings = platform.recordings("key");
    assert_eq!(recordings.len(), 1, "the connection was kept");
    let frames = assert_unbroken(&recordings[0], &daemon.prepared_file(&media), 700);
    // Those before the wrap, and those behind it.
    assert!(frames > 700, "{frames} frames were recorded");
    let [pictures, sound] = steps(&recordings[0]);
    assert!(pictures.iter().all(|step| *step == 40), "{pictures:?}");
    assert!(
        sound.iter().all(|step| (21..=22).contains(step)),
        "{sound:?}"
    );
}

#[test]
fn a_session_is_made_anew_at_the_beginning_of_an_item_before_its_limit() {
    let data = folder();
    let platform = Receiver::start();
    let settings = format!("{PRIVATE}[rtmp.session_limits]\ncustom = 60\n");
    let daemon = Daemon::start(data.path(), &settings);
    // Two items of one GOP each: one begins within the 3 s that are for it.
    let media = [1, 2].map(|seed| daemon.import(&clip(seed, 50)));
    let channel = daemon.channel(&[&media[0], &media[1]]);
    media.iter().for_each(|media| daemon.prepared(media));
    daemon.on_air(&channel);
    let destination = add(&daemon, &channel, &platform.url(), "key");
    until("a second session delivers", BOUND, || {
        let shown = output(&daemon, &channel, &destination);
        shown["connections"] == 2 && shown["status"] == "LIVE"
    });
    platform.until_received("key", 1);
    let shown = output(&daemon, &channel, &destination);
    assert_eq!(shown["failures"], 0, "{shown}");
    platform.stop();
    let recordings: [_; 2] = platform.recordings("key").try_into().expect("two");
    let known = media.map(|media| pictures_of_file(&daemon.prepared_file(&media)));
    let shown = recordings.map(|recording| pictures_of_file(&recording));
    let item = known
        .iter()
        .position(|known| known.last() == shown[0].last())
        .expect("the first session ends with an item");
    assert_eq!(
        shown[1][0],
        known[1 - item][0],
        "the second begins with the next"
    );
}
