//! Speed, measured on the real daemon (`make bench`): what is written into `docs/performance.md`.
//!
//! Takes minutes and wants the machine for itself. Prints one Markdown table row for each figure.
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]
#![allow(unreachable_pub)]

#[path = "../tests/daemon/clips.rs"]
#[allow(dead_code)]
mod clips;
#[path = "../tests/daemon/daemon.rs"]
#[allow(dead_code)]
mod daemon;
#[path = "../tests/daemon/plain.rs"]
#[allow(dead_code)]
mod http;
#[path = "measures/mod.rs"]
#[allow(dead_code)]
mod measures;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use daemon::{Daemon, folder, until};
use measures::{arguments, children, clip, cpu_seconds, pss, tree_cpu};
use serde_json::{Value, json};

/// Channels at once.
const CHANNELS: usize = 50;
/// How long they are watched, once all are on air.
const WATCHED: Duration = Duration::from_secs(60);

fn main() {
    println!("| what | figure |\n|---|---|");
    let data = folder();
    let media = preparing(&Daemon::start(data.path(), ""));
    for source in ["ffmpeg", "direct"] {
        let daemon = Daemon::start(data.path(), &format!("[playout]\nsource = \"{source}\"\n"));
        starting(source, &daemon, &media);
        many(source, &daemon, &media);
    }
}

fn preparing(daemon: &Daemon) -> String {
    let clip = clip(60);
    let begun = Instant::now();
    let media = daemon.import(&clip);
    let imported = begun.elapsed();
    channel(daemon, 0, &media);
    prepared(daemon, &media);
    let took = begun.elapsed();
    println!(
        "| import of a 60 s clip, until it can be played (live) | {:.2} s |",
        imported.as_secs_f64()
    );
    println!(
        "| prepare, 720p25, 2 cores | {:.1} × real time |",
        60.0 / took.as_secs_f64()
    );
    by_hand(daemon, &media);
    media
}

/// What preparing costs beside the encoder: the item in other bitrates, all that is found out about it being known, and then
/// the same FFmpeg command by hand, its output thrown away.
fn by_hand(daemon: &Daemon, media: &str) {
    let mut ratios: Vec<f64> = (1..=3_u32)
        .map(|n| {
            let begun = Instant::now();
            let config = json!({ "name": format!("Again {n}"), "resolution": "720p", "bitrate": 2_500_000 + n * 1_000 });
            named(daemon, &config, media);
            let mut line = Vec::new();
            until("it is being prepared", Duration::from_secs(30), || {
                let lines = children(daemon.pid()).into_iter().map(arguments);
                // The slate is encoded as well; what prepares tells how far it is.
                let parts = ["libx264", "-progress"];
                let mut lines = lines.filter(|line| parts.iter().all(|part| line.iter().any(|p| p == part)));
                line = lines.next().unwrap_or_default();
                !line.is_empty()
            });
            ready(daemon, media, n as usize + 1);
            let took = begun.elapsed();
            let begun = Instant::now();
            let mut hand = Command::new("nice");
            hand.args(["-n", "19", "ionice", "-c", "3"]).args(line);
            let hand = hand.stdout(Stdio::null()).stderr(Stdio::null()).status();
            assert!(hand.unwrap().success());
            begun.elapsed().as_secs_f64() / took.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "| prepare against the same FFmpeg command by hand, 3 times | median {:.2} × its speed |",
        ratios[1]
    );
}

fn prepared(daemon: &Daemon, media: &str) {
    ready(daemon, media, 1);
}

/// Waits until so many renditions of an item are ready.
fn ready(daemon: &Daemon, media: &str, renditions: usize) {
    until("the item is prepared", Duration::from_secs(300), || {
        let item = daemon.get(&format!("/media/{media}"));
        let all = item["renditions"].as_array().cloned().unwrap_or_default();
        let ready = all
            .iter()
            .filter(|rendition| rendition["status"] == "ready");
        ready.count() >= renditions
    });
}

fn channel(daemon: &Daemon, n: usize, media: &str) -> String {
    let config = json!({ "name": format!("Channel {n}"), "resolution": "720p" });
    named(daemon, &config, media)
}

/// A channel that plays one item.
fn named(daemon: &Daemon, config: &Value, media: &str) -> String {
    let channel = daemon.post("/channels", config);
    let id = channel["id"].as_str().unwrap().to_owned();
    daemon.api(
        "PUT",
        &format!("/channels/{id}/rotation"),
        &json!({ "items": [{ "mediaId": media }] }),
    );
    id
}

fn starting(source: &str, daemon: &Daemon, media: &str) {
    let mut times: Vec<f64> = (0..10)
        .map(|n| {
            let id = channel(daemon, n, media);
            let path = format!("/hls/{id}/720p.m3u8");
            let begun = Instant::now();
            daemon.operate(&id, "start");
            while daemon
                .try_get(&path)
                .is_none_or(|answer| answer.status != 200)
            {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            let took = begun.elapsed().as_secs_f64();
            daemon.operate(&id, "stop");
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "| start → first complete playlist, {source}, 10 starts | median {:.0} ms, worst {:.0} ms |",
        times[5] * 1000.0,
        times[9] * 1000.0
    );
}

fn many(source: &str, daemon: &Daemon, media: &str) {
    let ids: Vec<String> = (0..CHANNELS).map(|n| channel(daemon, n, media)).collect();
    let begun = Instant::now();
    for id in &ids {
        daemon.operate(id, "start");
    }
    until("all are LIVE", Duration::from_secs(120), || {
        ids.iter().all(|id| daemon.status(id) == "LIVE")
    });
    let all_live = begun.elapsed().as_secs_f64();
    // The burst is over when the read-ahead is full; only then is the load that of every hour.
    until("the read-ahead is full", Duration::from_secs(60), || {
        ids.iter().all(|id| {
            daemon.get(&format!("/channels/{id}/health"))["buffered"].as_f64() >= Some(6.0)
        })
    });
    let metrics = |field: &str| -> u64 {
        let of = |id: &String| {
            daemon.get(&format!("/channels/{id}/outputs/metrics"))["hls"][field]
                .as_u64()
                .unwrap()
        };
        ids.iter().map(of).sum()
    };
    let (segments, late) = (metrics("segments"), metrics("lateSegments"));
    let children = || -> Vec<u32> { ids.iter().flat_map(|id| daemon.sources(id)).collect() };
    let (cpu, all_cpu) = (cpu_seconds(daemon.pid()), tree_cpu(daemon.pid()));
    let watched = Instant::now();
    while watched.elapsed() < WATCHED {
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let seconds = watched.elapsed().as_secs_f64();
    let own = (cpu_seconds(daemon.pid()) - cpu) / seconds / CHANNELS as f64 * 100.0;
    let all = (tree_cpu(daemon.pid()) - all_cpu) / seconds / CHANNELS as f64 * 100.0;
    let pids = children();
    let sources: f64 = pids.iter().map(|pid| pss(*pid)).sum::<f64>() / CHANNELS as f64;
    let memory = pss(daemon.pid()) / CHANNELS as f64;
    println!("| {CHANNELS} channels, {source}: time to have all LIVE | {all_live:.1} s |");
    println!(
        "| {CHANNELS} channels, {source}, {seconds:.0} s: segments, late ones | {}, {} |",
        metrics("segments") - segments,
        metrics("lateSegments") - late
    );
    println!(
        "| {CHANNELS} channels, {source}: the daemon's CPU a channel | {own:.3} % of a core |"
    );
    println!(
        "| {CHANNELS} channels, {source}: CPU a channel with FFmpeg, PostgreSQL and Redis | {all:.3} % of a core |"
    );
    println!(
        "| {CHANNELS} channels, {source}: the daemon's memory a channel (PSS) | {memory:.1} MB |"
    );
    println!(
        "| {CHANNELS} channels, {source}: FFmpeg's memory a channel (PSS) | {sources:.1} MB |"
    );
    for id in &ids {
        daemon.operate(id, "stop");
    }
}
