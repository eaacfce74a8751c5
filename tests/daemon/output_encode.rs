//! A destination may have the stream encoded for itself: judged by what the platform recorded.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::receiver::Receiver;
use super::rtmp::{PRIVATE, add_with, change, output};
use super::viewer::{Viewer, pictures_of_file};

/// A LIVE channel with this configuration that plays an item of so many frames, which is prepared: the item's id and
/// the channel's.
pub fn on_air_with(daemon: &Daemon, config: &Value, frames: u32) -> (String, String) {
    let media = daemon.import(&clip(1, frames));
    let channel = daemon.post("/channels", config);
    let channel = channel["id"].as_str().unwrap().to_owned();
    let rotation = json!({ "items": [{ "mediaId": media }] });
    daemon.api("PUT", &format!("/channels/{channel}/rotation"), &rotation);
    until("the item is prepared", BOUND, || {
        let item = daemon.get(&format!("/media/{media}"));
        item["renditions"].to_string().contains("\"ready\"")
    });
    daemon.on_air(&channel);
    (media, channel)
}

/// What a recording holds.
pub struct Recorded {
    pub size: (u64, u64),
    rate: String,
    /// Video and audio, bits/s over the whole of it.
    pub bitrate: f64,
    seconds: f64,
    /// Seconds from one key frame to the next, at most.
    key_frames: f64,
}

fn probe(recording: &Path, entries: &[&str]) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json"])
        .args(entries)
        .arg(recording)
        .output()
        .expect("ffprobe is installed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub fn recorded(recording: &Path) -> Recorded {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(recording)
        // As it comes: FLV counts milliseconds, which is finer than its frame rate.
        .args(["-fps_mode", "passthrough", "-enc_time_base:v", "1:1000"])
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&decoded.stderr);
    assert!(
        decoded.status.success() && said.is_empty(),
        "{}: {said}",
        recording.display()
    );
    let shown = probe(
        recording,
        &[
            "-select_streams",
            "v",
            "-show_entries",
            "stream=width,height,r_frame_rate:packet=pts_time,flags",
        ],
    );
    let stream = &shown["streams"][0];
    let packets = shown["packets"].as_array().expect("packets");
    let time = |packet: &Value| packet["pts_time"].as_str().unwrap().parse::<f64>().unwrap();
    let is_key = |packet: &&Value| packet["flags"].as_str().unwrap().starts_with('K');
    let keys: Vec<f64> = packets.iter().filter(is_key).map(time).collect();
    let times: Vec<f64> = packets.iter().map(time).collect();
    let first = times.iter().copied().fold(f64::MAX, f64::min);
    let seconds = times.iter().copied().fold(0.0, f64::max) - first;
    let bytes = std::fs::metadata(recording).expect("a file").len();
    Recorded {
        size: (
            stream["width"].as_u64().unwrap(),
            stream["height"].as_u64().unwrap(),
        ),
        rate: stream["r_frame_rate"].as_str().unwrap().to_owned(),
        bitrate: bytes as f64 * 8.0 / seconds,
        seconds,
        key_frames: keys
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(0.0, f64::max),
    }
}

#[test]
fn an_output_is_encoded_as_asked_and_nobody_else_feels_it() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    // 640×360 with 800 kb/s.
    let larger = json!({ "name": "Larger", "resolution": "360p" });
    let (_, channel) = on_air_with(&daemon, &larger, 500);
    let mut viewer = Viewer::of_rung(&daemon, &channel, "360p");
    let copied = add_with(&daemon, &channel, &platform.url(), "copied", json!({}));
    let encode = json!({ "encode": { "videoBitrate": 200_000, "resolution": "240p", "audioBitrate": 64_000 } });
    let encoded = add_with(&daemon, &channel, &platform.url(), "encoded", encode);
    platform.until_published("copied");
    platform.until_received("encoded", 400_000);
    viewer.look();
    // On air this output alone is made anew.
    let less = json!({ "encode": { "videoBitrate": 400_000, "resolution": "240p", "fps": 24 } });
    change(&daemon, &channel, &encoded, &less);
    until("it delivers again", BOUND, || {
        let shown = output(&daemon, &channel, &encoded);
        shown["connections"] == 2 && shown["status"] == "LIVE"
    });
    platform.until_received("encoded", 400_000);
    let shown = output(&daemon, &channel, &copied);
    assert_eq!(
        (&shown["connections"], &shown["quality"]),
        (&json!(1), &json!("full"))
    );
    viewer.watch(8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    daemon.operate(&channel, "stop");
    platform.until_unpublished("copied");
    platform.until_unpublished("encoded");
    platform.stop();
    let [first, second] = &platform.recordings("encoded")[..] else {
        panic!("two connections were recorded");
    };
    let first = recorded(first);
    assert_eq!((first.size, first.rate.as_str()), ((426, 240), "25/1"));
    // What is asked for, and FLV's own share.
    assert!(
        (200_000.0..320_000.0).contains(&first.bitrate),
        "{} bits/s",
        first.bitrate
    );
    assert!(
        first.seconds > 8.0 && first.key_frames < 2.1,
        "{} s",
        first.key_frames
    );
    let second = recorded(second);
    assert_eq!((second.size, second.rate.as_str()), ((426, 240), "24/1"));
    assert!(
        (400_000.0..640_000.0).contains(&second.bitrate),
        "{} bits/s",
        second.bitrate
    );
    let copied = platform.recordings("copied");
    assert_eq!(copied.len(), 1, "the other output was left alone");
    assert_eq!(recorded(&copied[0]).size, (640, 360));
    assert!(pictures_of_file(&copied[0]).len() > 200);
}

#[test]
fn less_is_sent_to_a_network_that_takes_no_more_where_that_is_allowed() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    // Enough that what the kernel keeps for a server is soon full.
    let much = json!({ "name": "Much", "resolution": "240p", "bitrate": 1_600_000 });
    let (_, channel) = on_air_with(&daemon, &much, 700);
    let lower = json!({ "allowLowerQuality": true });
    let lowered = add_with(&daemon, &channel, &platform.url(), "lowered", lower);
    let full = add_with(&daemon, &channel, &platform.url(), "full", json!({}));
    platform.until_published("lowered");
    platform.until_published("full");
    platform.freeze();
    let failures = |destination: &str| output(&daemon, &channel, destination)["failures"].as_u64();
    until("both have failed twice", 2 * BOUND, || {
        failures(&lowered) >= Some(2) && failures(&full) >= Some(2)
    });
    platform.thaw();
    for (destination, quality) in [(&lowered, "lower"), (&full, "full")] {
        until("it delivers again", BOUND, || {
            output(&daemon, &channel, destination)["status"] == "LIVE"
        });
        assert_eq!(output(&daemon, &channel, destination)["quality"], quality);
    }
    platform.until_received("lowered", 600_000);
    // Whoever takes the leave back has all of it at once.
    change(
        &daemon,
        &channel,
        &lowered,
        &json!({ "allowLowerQuality": false }),
    );
    until("all of it is sent", BOUND, || {
        let shown = output(&daemon, &channel, &lowered);
        shown["quality"] == "full" && shown["status"] == "LIVE"
    });
    daemon.operate(&channel, "stop");
    platform.until_unpublished("lowered");
    platform.stop();
    let recordings = platform.recordings("lowered");
    let less = recorded(&recordings[recordings.len() - 2]);
    // 800 kb/s of video and 96 of sound, of 1600 and 128.
    assert_eq!(less.size, (426, 240));
    assert!(less.bitrate < 1_200_000.0, "{} bits/s", less.bitrate);
}

#[test]
fn platforms_are_data_and_what_exceeds_them_is_told_by_the_test_of_a_destination() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let platforms = daemon.get("/platforms");
    let items = platforms["items"].as_array().unwrap();
    let of = |name: &str| items.iter().find(|one| one["platform"] == name).unwrap();
    assert_eq!(items.len(), 4);
    assert_eq!(of("twitch")["limits"]["maxVideoBitrate"], 6_000_000);
    assert_eq!(of("facebook")["sessionLimit"], 28_800);
    assert_eq!(of("youtube")["serverUrls"].as_array().unwrap().len(), 2);
    assert_eq!(of("custom")["limits"], Value::Null);
    let large = json!({ "name": "Large", "resolution": "1080p", "bitrate": 8_000_000 });
    let channel = daemon.post("/channels", &large)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let destinations = format!("/channels/{channel}/destinations");
    let filled_in = json!({ "platform": "twitch", "streamKey": "k" });
    let added = daemon.post(&destinations, &filled_in);
    assert_eq!(added["serverUrl"], of("twitch")["serverUrls"][0]);
    let warnings = |more: Value| {
        let id = add_with(&daemon, &channel, &platform.url(), "k", more);
        let tested = daemon.post(&format!("{destinations}/{id}/validate"), &Value::Null);
        assert_eq!(tested["ok"], true, "{tested}");
        let warnings = tested["warnings"].as_array().unwrap().clone();
        warnings
            .iter()
            .map(|one| one["limit"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        warnings(json!({ "platform": "twitch" })),
        ["maxVideoBitrate"]
    );
    assert_eq!(
        warnings(json!({ "platform": "twitch", "encode": { "videoBitrate": 4_500_000 } })),
        [""; 0]
    );
    assert_eq!(warnings(json!({})), [""; 0]);
}
