//! Channels with a ladder: every rung is judged as a stream of its own, and all of them by one another.

use std::time::Duration;

use serde_json::{Value, json};

use super::clips::{clip, numbered};
use super::daemon::{BOUND, Daemon, folder, until};
use super::output_encode::recorded;
use super::receiver::Receiver;
use super::rtmp::{PRIVATE, add_with, change, output};
use super::viewer::Viewer;

/// Viewers of every rung of a channel.
struct Viewers<'a>(Vec<Viewer<'a>>);

impl<'a> Viewers<'a> {
    fn of(daemon: &'a Daemon, channel: &str, rungs: &[&str]) -> Self {
        let of = |rung: &&str| Viewer::of_rung(daemon, channel, rung);
        Self(rungs.iter().map(of).collect())
    }

    fn look(&mut self) {
        for viewer in &mut self.0 {
            viewer.look();
        }
    }

    /// Until each has fetched so many seconds more, and the same segments.
    fn watch(&mut self, seconds: f64) {
        let enough = self.0[0].seconds + seconds;
        let bound = Duration::from_secs_f64(seconds * 2.0 + 30.0);
        until("media goes out on every rung", bound, || {
            self.look();
            let first = &self.0[0].sequences;
            self.0
                .iter()
                .all(|viewer| viewer.seconds >= enough && viewer.sequences == *first)
        });
    }

    /// Each rung is flawless, and segment by segment they have the same frames at the same times.
    fn judge(&self) {
        let first = &self.0[0];
        for viewer in &self.0 {
            viewer.judge();
            assert_eq!(viewer.discontinuities, 0);
            assert_eq!(viewer.sequences, first.sequences);
            assert_eq!(viewer.ends, first.ends, "segments end together");
            assert_eq!(viewer.span(), first.span());
        }
    }

    /// The numbers of the pictures, which are the same on every rung.
    fn numbers(&self) -> Vec<Option<u32>> {
        let numbers = self.0[0].numbers();
        for viewer in &self.0[1..] {
            assert_eq!(viewer.numbers(), numbers, "the same pictures");
        }
        numbers
    }
}

/// A STOPPED channel of these rungs that plays `media` in a loop.
pub fn laddered(daemon: &Daemon, rungs: &[(&str, u64)], media: &[String]) -> String {
    let rung = |(resolution, bitrate): &(&str, u64)| json!({ "resolution": resolution, "bitrate": bitrate });
    let ladder: Vec<Value> = rungs.iter().map(rung).collect();
    let (resolution, bitrate) = rungs[0];
    let config =
        json!({ "name": "Ladder", "resolution": resolution, "bitrate": bitrate, "ladder": ladder });
    let channel = daemon.post("/channels", &config)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let items: Vec<Value> = media.iter().map(|id| json!({ "mediaId": id })).collect();
    let rotation = json!({ "items": items });
    daemon.api("PUT", &format!("/channels/{channel}/rotation"), &rotation);
    channel
}

fn is_ready(daemon: &Daemon, media: &str) -> bool {
    let item = daemon.get(&format!("/media/{media}"));
    item["renditions"].to_string().contains("\"ready\"")
}

pub fn prepared(daemon: &Daemon, media: &[String]) {
    until("the items are prepared", 3 * BOUND, || {
        media.iter().all(|media| is_ready(daemon, media))
    });
}

/// One variant of a master playlist: its attributes and its URI.
#[derive(Debug)]
struct Offered {
    attributes: Vec<(String, String)>,
    uri: String,
}

impl Offered {
    fn get(&self, name: &str) -> &str {
        let mut found = self.attributes.iter().filter(|(known, _)| known == name);
        let (_, value) = found.next().expect("the attribute");
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    fn number(&self, name: &str) -> f64 {
        self.get(name).parse().expect("a number")
    }
}

fn master(daemon: &Daemon, channel: &str) -> Vec<Offered> {
    let answer = daemon.try_get(&format!("/hls/{channel}/index.m3u8"));
    let text = answer.expect("a master playlist").text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#EXTM3U"));
    let mut offered = Vec::new();
    while let Some(line) = lines.next() {
        let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") else {
            continue;
        };
        // A comma within quotes separates nothing.
        let mut quoted = false;
        let split = list.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let attributes = split.map(|one| {
            let (name, value) = one.split_once('=').expect("an attribute");
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        offered.push(Offered {
            attributes: attributes.collect(),
            uri: lines.next().expect("a URI").to_owned(),
        });
    }
    offered
}

const FOUR: [(&str, u64); 4] = [
    ("720p", 1_500_000),
    ("480p", 900_000),
    ("360p", 500_000),
    ("240p", 250_000),
];

/// Prepared once, and read by either kind of source; one goes on where the other was.
#[test]
fn ffmpeg_and_direct_sources_play_four_rungs_as_one() {
    let data = folder();
    let start = |source: &str| {
        let settings = format!("[playout]\nsource = \"{source}\"\n");
        Daemon::start(data.path(), &settings)
    };
    let daemon = start("ffmpeg");
    // Lengths that are no whole GOPs.
    let media = [numbered("ladder", 0, 131), numbered("ladder", 131, 77)]
        .map(|file| daemon.import(&file))
        .to_vec();
    let channel = laddered(&daemon, &FOUR, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &FOUR.map(|(name, _)| name));
    viewers.watch(24.0);
    until("a process reads", BOUND, || {
        viewers.look();
        !daemon.sources(&channel).is_empty()
    });
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let next = start("direct");
    let moved = viewers.0.into_iter().map(|viewer| viewer.moved_to(&next));
    let mut viewers = Viewers(moved.collect());
    viewers.watch(24.0);
    let by_itself = next.sources(&channel);
    assert!(by_itself.is_empty(), "no process reads: {by_itself:?}");
    viewers.judge();
    let numbers = viewers.numbers();
    let first = numbers[0].expect("a picture of the plan");
    let expected: Vec<_> = (first..)
        .map(|n| Some(n % 208))
        .take(numbers.len())
        .collect();
    assert_eq!(numbers, expected, "no picture is lost, repeated or swapped");
    // What the master playlist says of each rung is so.
    let offered = master(&next, &channel);
    assert_eq!(offered.len(), 4);
    let sizes = ["1280x720", "854x480", "640x360", "426x240"];
    let levels = ["1f", "1e", "1e", "15"];
    for (n, (variant, viewer)) in offered.iter().zip(&viewers.0).enumerate() {
        assert_eq!(variant.uri, format!("{}.m3u8", FOUR[n].0));
        assert_eq!(variant.get("RESOLUTION"), sizes[n]);
        assert_eq!(variant.get("FRAME-RATE"), "25.000");
        let codecs = format!("avc1.6400{},mp4a.40.2", levels[n]);
        assert_eq!(variant.get("CODECS"), codecs);
        let peak = viewer.rates.iter().copied().fold(0.0, f64::max);
        let average = viewer.rates.iter().sum::<f64>() / viewer.rates.len() as f64;
        let (bandwidth, said) = (
            variant.number("BANDWIDTH"),
            variant.number("AVERAGE-BANDWIDTH"),
        );
        assert!(
            bandwidth >= peak && bandwidth < 2.2 * FOUR[n].1 as f64 + 300_000.0,
            "rung {n}: {peak} bits/s at most, said {bandwidth}"
        );
        assert!(
            (said / average - 1.0).abs() < 0.1,
            "rung {n}: {average} bits/s, said {said}"
        );
    }
    let outputs = next.get(&format!("/channels/{channel}/outputs"));
    let rungs = outputs["items"][0]["rungs"].as_array().unwrap();
    let names: Vec<_> = rungs.iter().map(|rung| rung["name"].as_str()).collect();
    assert_eq!(names, FOUR.map(|(name, _)| Some(name)));
}

const TWO: [(&str, u64); 2] = [("360p", 600_000), ("240p", 300_000)];

/// The slate, a live transcode, the fallback and prepared media follow one another.
#[test]
fn whatever_is_on_air_is_on_every_rung_and_splices() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let channel = laddered(&daemon, &TWO, &[]);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    viewers.watch(12.0);
    let on_air =
        |kind: &str| daemon.get(&format!("/channels/{channel}/status"))["onAir"]["kind"] == kind;
    assert!(on_air("slate"));
    let media = daemon.import(&clip(6, 260));
    let rotation = json!({ "items": [{ "mediaId": media }] });
    daemon.api("PUT", &format!("/channels/{channel}/rotation"), &rotation);
    until("the plan is on air", BOUND, || {
        viewers.look();
        on_air("scheduled")
    });
    // What was read ahead, the rest of the entry and the one after it, whose source has begun, are live.
    until("the item is prepared", BOUND, || {
        viewers.look();
        is_ready(&daemon, &media)
    });
    viewers.watch(36.0);
    let fallback = daemon.import(&clip(7, 150));
    let path = format!("/channels/{channel}");
    daemon.api("PATCH", &path, &json!({ "fallbackVideo": fallback }));
    until("the fallback is prepared", BOUND, || {
        viewers.look();
        is_ready(&daemon, &fallback)
    });
    daemon.api("PUT", &format!("{path}/rotation"), &json!({ "items": [] }));
    until("the fallback is on air", BOUND, || {
        viewers.look();
        on_air("fallback")
    });
    viewers.watch(8.0);
    viewers.judge();
}

#[test]
fn killed_sources_cost_no_frame_on_any_rung() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = vec![daemon.import(&numbered("killed", 0, 350))];
    let channel = laddered(&daemon, &TWO, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    for _ in 0..3 {
        let killed = daemon.kill_sources(&channel);
        until("another source has taken over", BOUND, || {
            viewers.look();
            let sources = daemon.sources(&channel);
            !sources.is_empty() && sources.iter().all(|pid| !killed.contains(pid))
        });
        viewers.watch(6.0);
    }
    viewers.judge();
    let numbers = viewers.numbers();
    for pair in numbers.windows(2) {
        let (before, after) = (pair[0].expect("a number"), pair[1].expect("a number"));
        assert_eq!((before + 1) % 350, after, "no frame is lost or shown twice");
    }
}

#[test]
fn a_platform_gets_the_rung_that_was_asked_for() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let media = vec![daemon.import(&clip(1, 500))];
    let channel = laddered(&daemon, &TWO, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    let highest = add_with(&daemon, &channel, &platform.url(), "highest", json!({}));
    let rung = json!({ "encode": { "rung": "240p" } });
    let lower = add_with(&daemon, &channel, &platform.url(), "lower", rung);
    platform.until_received("highest", 400_000);
    platform.until_received("lower", 200_000);
    viewers.look();
    // On air this output alone is made anew.
    change(&daemon, &channel, &lower, &json!({ "encode": "copy" }));
    until("it delivers again", BOUND, || {
        let shown = output(&daemon, &channel, &lower);
        shown["connections"] == 2 && shown["status"] == "LIVE"
    });
    platform.until_received("lower", 300_000);
    assert_eq!(output(&daemon, &channel, &highest)["connections"], 1);
    viewers.watch(4.0);
    viewers.judge();
    daemon.operate(&channel, "stop");
    platform.until_unpublished("highest");
    platform.until_unpublished("lower");
    platform.stop();
    let sizes = |key: &str| -> Vec<_> {
        let recordings = platform.recordings(key);
        recordings.iter().map(|one| recorded(one).size).collect()
    };
    assert_eq!(sizes("highest"), [(640, 360)]);
    assert_eq!(sizes("lower"), [(426, 240), (640, 360)]);
}

/// Less is the next lower rung, copied: it costs nothing to make.
#[test]
fn a_network_that_takes_no_more_gets_the_next_lower_rung() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    // Noise takes every bit that it may have: enough that what the kernel keeps for a server is soon full.
    let media = vec![daemon.import(&numbered("rungs", 0, 250))];
    let rungs = [("360p", 2_400_000), ("240p", 800_000)];
    let channel = laddered(&daemon, &rungs, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let lower = json!({ "allowLowerQuality": true });
    let lowered = add_with(&daemon, &channel, &platform.url(), "lowered", lower);
    platform.until_published("lowered");
    platform.freeze();
    until("it has failed twice", 2 * BOUND, || {
        output(&daemon, &channel, &lowered)["failures"].as_u64() >= Some(2)
    });
    platform.thaw();
    until("it delivers again", BOUND, || {
        output(&daemon, &channel, &lowered)["status"] == "LIVE"
    });
    assert_eq!(output(&daemon, &channel, &lowered)["quality"], "lower");
    platform.until_received("lowered", 600_000);
    daemon.operate(&channel, "stop");
    platform.until_unpublished("lowered");
    platform.stop();
    let recordings = platform.recordings("lowered");
    let less = recorded(&recordings[recordings.len() - 1]);
    assert_eq!(less.size, (426, 240));
    assert!(less.bitrate > 500_000.0, "{} bits/s", less.bitrate);
}

/// Rungs come and go while the channel is STOPPED. What was published keeps its numbers, and no name stands for other
/// bytes than before.
#[test]
fn a_ladder_is_changed_between_two_times_on_air() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = vec![daemon.import(&clip(2, 400))];
    let channel = laddered(&daemon, &TWO[..1], &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut before = Viewer::of_rung(&daemon, &channel, "360p");
    before.watch(12.0);
    before.judge();
    let rung = |(resolution, bitrate): (&str, u64)| json!({ "resolution": resolution, "bitrate": bitrate });
    let both = json!({ "ladder": TWO.map(rung) }).to_string();
    let path = format!("/channels/{channel}");
    let json = [("Content-Type", "application/merge-patch+json")];
    let refused = daemon.ask("PATCH", &path, &json, both.as_bytes());
    assert_eq!(refused.status, 409, "{}", refused.text());
    daemon.operate(&channel, "stop");
    daemon.api("PATCH", &path, &serde_json::from_str(&both).unwrap());
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    viewers.watch(16.0);
    viewers.judge();
    let last = before.sequences[before.sequences.len() - 1];
    assert!(viewers.0[0].sequences[0] > last);
    assert_eq!(master(&daemon, &channel).len(), 2);
    daemon.operate(&channel, "stop");
    daemon.api("PATCH", &path, &json!({ "ladder": null }));
    daemon.on_air(&channel);
    let mut after = Viewer::of_rung(&daemon, &channel, "360p");
    after.watch(8.0);
    after.judge();
    assert_eq!(master(&daemon, &channel).len(), 1);
    let gone = daemon.try_get(&format!("/hls/{channel}/240p.m3u8"));
    assert_eq!(gone.map(|answer| answer.status), Some(404));
}

/// What was published of every rung is there again, and goes on without a break.
#[test]
fn a_killed_daemon_goes_on_with_every_rung() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = vec![daemon.import(&numbered("killed", 0, 350))];
    let channel = laddered(&daemon, &TWO, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    viewers.watch(12.0);
    daemon.signal("KILL");
    daemon.ended();
    let next = Daemon::start(data.path(), "");
    let moved = viewers.0.into_iter().map(|viewer| viewer.moved_to(&next));
    let mut viewers = Viewers(moved.collect());
    viewers.watch(12.0);
    viewers.judge();
    for pair in viewers.numbers().windows(2) {
        let (before, after) = (pair[0].expect("a number"), pair[1].expect("a number"));
        assert_eq!((before + 1) % 350, after, "no frame is lost or shown twice");
    }
}
