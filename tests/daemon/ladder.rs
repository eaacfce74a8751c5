//! Channels with a ladder: every rung is judged as a stream of its own, and all of them by one another.

use std::time::Duration;

use serde_json::{Value, json};

use super::clips::{clip, numbered};
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
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
fn laddered(daemon: &Daemon, rungs: &[(&str, u64)], media: &[String]) -> String {
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

fn prepared(daemon: &Daemon, media: &[String]) {
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

fn plays_four_rungs(source: &str) {
    let data = folder();
    let daemon = Daemon::start(data.path(), &format!("[playout]\nsource = \"{source}\"\n"));
    // Lengths that are no whole GOPs.
    let media = [numbered("ladder", 0, 131), numbered("ladder", 131, 77)]
        .map(|file| daemon.import(&file))
        .to_vec();
    let channel = laddered(&daemon, &FOUR, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &FOUR.map(|(name, _)| name));
    viewers.watch(28.0);
    viewers.judge();
    let numbers = viewers.numbers();
    let first = numbers[0].expect("a picture of the plan");
    let expected: Vec<_> = (first..)
        .map(|n| Some(n % 208))
        .take(numbers.len())
        .collect();
    assert_eq!(numbers, expected, "no picture is lost, repeated or swapped");
    // What the master playlist says of each rung is so.
    let offered = master(&daemon, &channel);
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
    let outputs = daemon.get(&format!("/channels/{channel}/outputs"));
    let rungs = outputs["items"][0]["rungs"].as_array().unwrap();
    let names: Vec<_> = rungs.iter().map(|rung| rung["name"].as_str()).collect();
    assert_eq!(names, FOUR.map(|(name, _)| Some(name)));
}

#[test]
fn ffmpeg_sources_play_four_rungs_as_one() {
    plays_four_rungs("ffmpeg");
}

#[test]
fn direct_sources_play_four_rungs_as_one() {
    plays_four_rungs("direct");
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
    let media = vec![daemon.import(&numbered("killed", 0, 700))];
    let channel = laddered(&daemon, &TWO, &media);
    prepared(&daemon, &media);
    daemon.on_air(&channel);
    let mut viewers = Viewers::of(&daemon, &channel, &TWO.map(|(name, _)| name));
    for _ in 0..3 {
        let mut killed = Vec::new();
        until("there is a source to kill", BOUND, || {
            killed = daemon.sources(&channel);
            !killed.is_empty()
        });
        killed.iter().for_each(|pid| signal_process(*pid, "KILL"));
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
        assert_eq!((before + 1) % 700, after, "no frame is lost or shown twice");
    }
}
