//! What recovery takes and what it costs viewers, measured on the real daemon (`make bench`): what is written into
//! `docs/performance.md`.
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
#[path = "../tests/judge/mod.rs"]
mod judge;
#[path = "measures/mod.rs"]
#[allow(dead_code)]
mod measures;
#[path = "../tests/receiver/mod.rs"]
mod receiver;
#[path = "../tests/daemon/servers.rs"]
#[allow(dead_code)]
mod servers;
#[path = "../tests/daemon/viewer.rs"]
#[allow(dead_code)]
mod viewer;

use std::cell::OnceCell;
use std::path::Path;
use std::time::{Duration, Instant};

use clips::clip;
use daemon::{Daemon, folder, signal_process, until};
use measures::{cpu_seconds, pss, wanted};
use receiver::Receiver;
use serde_json::json;
use servers::Server;
use viewer::{Viewer, pictures_of_file};

/// Each kill is done so often.
const TIMES: usize = 3;
/// Seconds without a failure, and the next is the first again.
const HEALTHY: f64 = 64.0;
/// Frames of the item; its pictures tell what was lost.
const FRAMES: u32 = 1_500;
/// A frame's time.
const FRAME_MS: usize = 40;
/// What is waited for comes within this.
const LONG: Duration = Duration::from_secs(300);
/// How long the cost of outputs is measured.
const WATCHED: Duration = Duration::from_secs(60);
/// Channels with an output each.
const OUTPUTS: usize = 10;
const PRIVATE: &str = "[rtmp]\nallow_private = true\n";

fn main() {
    println!("| what | figure |\n|---|---|");
    let data = folder();
    let daemon = Daemon::start(data.path(), PRIVATE);
    let media = daemon.import(&clip(1, FRAMES));
    let channel = daemon.channel(&[&media]);
    until("the item is prepared", LONG, || daemon.is_prepared(&media));
    daemon.on_air(&channel);
    if wanted("kills") {
        source(&daemon, &channel, &media, "KILL");
        source(&daemon, &channel, &media, "STOP");
        push(&daemon, &channel, &media);
        for server in [Server::Postgres, Server::Redis] {
            store(&daemon, &channel, &media, server);
        }
    }
    if wanted("outputs") {
        outputs(&daemon, &media);
    }
    if wanted("restarts") {
        let daemon = killed(data.path(), daemon, &channel, &media);
        restarts(data.path(), daemon, &media);
    }
}

/// Looks more often than [`until`].
fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "waited {LONG:?} until {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn row(what: &str, mut times: Vec<Duration>, lost_ms: usize) {
    times.sort();
    let ms = |n: usize| times[n].as_millis();
    println!(
        "| {what}, {} times: recovery | median {} ms, worst {} ms |",
        times.len(),
        ms(times.len() / 2),
        ms(times.len() - 1)
    );
    println!("| {what}: media lost, all times together | {lost_ms} ms |");
}

/// What viewers did not see of the item, in ms: pictures left out, repeated, or of something else.
fn lost(daemon: &Daemon, media: &str, viewer: &Viewer<'_>) -> usize {
    viewer.judge();
    let shown = viewer.shown(&[&daemon.prepared_file(media)]);
    let strange = shown.iter().filter(|picture| picture.is_none()).count();
    let known: Vec<usize> = shown.iter().flatten().map(|(_, frame)| *frame).collect();
    let all = FRAMES as usize;
    let steps = known.windows(2).map(|pair| (pair[1] + all - pair[0]) % all);
    let missing: usize = steps.map(|step| step.abs_diff(1)).sum();
    // What something else stood for is missing, too: counted once.
    strange.max(missing) * FRAME_MS
}

/// Follows until all that was read ahead before a fault has been shown.
fn shown_through(viewer: &mut Viewer<'_>) {
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
}

/// Waits until the item on air goes on for a while, so that its source still reads.
fn amid(daemon: &Daemon, channel: &str, viewer: &mut Viewer<'_>) {
    viewer.follow("the item has begun anew", LONG, |_| {
        let status = daemon.get(&format!("/channels/{channel}/status"));
        let ends = status["onAir"]["until"].as_str().unwrap_or_default();
        let ends: Option<jiff::Timestamp> = ends.parse().ok();
        ends.is_some_and(|ends| ends.duration_since(jiff::Timestamp::now()).as_secs() > 20)
    });
}

/// Whether media has come from a process that is none of `before`.
fn delivers(daemon: &Daemon, channel: &str, before: &[u32]) -> bool {
    let processes = daemon.get(&format!("/channels/{channel}/processes"));
    let items = processes["items"].as_array().cloned().unwrap_or_default();
    let time =
        |text: &serde_json::Value| -> Option<jiff::Timestamp> { text.as_str()?.parse().ok() };
    items.iter().any(|p| {
        let new = p["ffmpegPid"]
            .as_u64()
            .is_some_and(|pid| before.iter().all(|b| u64::from(*b) != pid));
        new && time(&p["lastHeartbeat"]) > time(&p["startTime"])
    })
}

/// From the signal until another process delivers what the first should have.
fn source(daemon: &Daemon, channel: &str, media: &str, signal: &str) {
    let mut viewer = Viewer::of(daemon, channel);
    let mut times = Vec::new();
    for _ in 0..TIMES {
        // So that the next failure is the first in a row again.
        let seen = viewer.seconds;
        viewer.watch(seen + HEALTHY);
        amid(daemon, channel, &mut viewer);
        let sources = daemon.sources(channel);
        let begun = Instant::now();
        sources.iter().for_each(|pid| signal_process(*pid, signal));
        soon("another delivers", || delivers(daemon, channel, &sources));
        times.push(begun.elapsed());
    }
    shown_through(&mut viewer);
    let what = match signal {
        "KILL" => "`kill -9` of the source",
        _ => "SIGSTOP of the source",
    };
    row(what, times, lost(daemon, media, &viewer));
}

/// From the signal until the platform receives media again; lost is what it did not get.
fn push(daemon: &Daemon, channel: &str, media: &str) {
    let platform = Receiver::start();
    let path = format!("/channels/{channel}/destinations");
    let destination = json!({ "serverUrl": platform.url(), "streamKey": "key" });
    let added = daemon.post(&path, &destination);
    let mut times = Vec::new();
    for _ in 0..TIMES {
        platform.until_received("key", 300_000);
        let pids = pushes(daemon, channel);
        let begun = Instant::now();
        pids.iter().for_each(|pid| signal_process(*pid, "KILL"));
        let gone = || {
            platform
                .publisher("key")
                .is_none_or(|p| p.bytes_in < 300_000)
        };
        soon("the platform notices", gone);
        soon("media comes again", || {
            platform.publisher("key").is_some_and(|p| p.bytes_in > 0)
        });
        times.push(begun.elapsed());
        // So that the next failure is the first in a row again.
        for enabled in [false, true] {
            let patch = json!({ "enabled": enabled });
            let id = added["id"].as_str().unwrap();
            daemon.api("PATCH", &format!("{path}/{id}"), &patch);
            match enabled {
                true => drop(platform.until_published("key")),
                false => platform.until_unpublished("key"),
            }
        }
    }
    platform.stop();
    let known = pictures_of_file(&daemon.prepared_file(media));
    let edges: Vec<(usize, usize)> = platform
        .recordings("key")
        .iter()
        .filter_map(|recording| {
            let shown = pictures_of_file(recording);
            let place = |picture: Option<&String>| known.iter().position(|k| Some(k) == picture);
            Some((place(shown.first())?, place(shown.last())?))
        })
        .collect();
    // Every second connection follows a kill, the others a switch.
    let all = FRAMES as usize;
    let lost = edges
        .windows(2)
        .step_by(2)
        .map(|pair| (pair[1].0 + all - pair[0].1 - 1) % all);
    row(
        "`kill -9` of an RTMP output",
        times,
        lost.sum::<usize>() * FRAME_MS,
    );
    let id = added["id"].as_str().unwrap();
    daemon.api("DELETE", &format!("{path}/{id}"), &serde_json::Value::Null);
}

fn pushes(daemon: &Daemon, channel: &str) -> Vec<u32> {
    let processes = daemon.get(&format!("/channels/{channel}/processes"));
    let items = processes["items"].as_array().cloned().unwrap_or_default();
    let pushes = items
        .iter()
        .filter(|p| p["outputTargets"][0]["kind"] == "rtmp");
    pushes
        .filter_map(|p| u32::try_from(p["ffmpegPid"].as_u64()?).ok())
        .collect()
}

/// From the signal until the daemon uses another process of the server.
fn store(daemon: &Daemon, channel: &str, media: &str, server: Server) {
    let mut viewer = Viewer::of(daemon, channel);
    viewer.look();
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let before = server.signal(daemon, "KILL");
        server.replaced(daemon, before);
        // Before the daemon has noticed at all it says that all is well.
        until("an order is recorded", LONG, || {
            let path = format!("/channels/{channel}");
            let body = json!({ "name": format!("After {before}") }).to_string();
            let headers = [("Content-Type", "application/json")];
            let changed = daemon.ask("PATCH", &path, &headers, body.as_bytes());
            changed.status == 200 && server.works(daemon)
        });
        times.push(begun.elapsed());
        let seen = viewer.seconds;
        viewer.watch(seen + 8.0);
    }
    let what = format!("`kill -9` of {server:?}");
    row(&what, times, lost(daemon, media, &viewer));
}

/// What an output costs: the process that pushes, and what the daemon has to do for it.
fn outputs(daemon: &Daemon, media: &str) {
    let platform = Receiver::without_recordings();
    let ids: Vec<String> = (0..OUTPUTS).map(|_| daemon.channel(&[media])).collect();
    ids.iter().for_each(|id| daemon.on_air(id));
    read_ahead(daemon, &ids);
    let (without, memory_without) = own(daemon);
    for (n, id) in ids.iter().enumerate() {
        let destination = json!({ "serverUrl": platform.url(), "streamKey": format!("cost{n}") });
        daemon.post(&format!("/channels/{id}/destinations"), &destination);
    }
    (0..OUTPUTS).for_each(|n| drop(platform.until_published(&format!("cost{n}"))));
    let pids: Vec<u32> = ids.iter().flat_map(|id| pushes(daemon, id)).collect();
    let before: f64 = pids.iter().map(|pid| cpu_seconds(*pid)).sum();
    let begun = Instant::now();
    let (with, memory_with) = own(daemon);
    let pushing: f64 = pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>() - before;
    let each = pushing / begun.elapsed().as_secs_f64() / OUTPUTS as f64 * 100.0;
    let memory: f64 = pids.iter().map(|pid| pss(*pid)).sum::<f64>() / OUTPUTS as f64;
    println!("| one RTMP output, of {OUTPUTS}, 240p: CPU of its FFmpeg | {each:.3} % of a core |");
    println!("| one RTMP output: memory of its FFmpeg (PSS) | {memory:.1} MB |");
    let more = (with - without) / OUTPUTS as f64 * 100.0;
    println!("| one RTMP output: more CPU of the daemon | {more:.3} % of a core |");
    let more = (memory_with - memory_without) / OUTPUTS as f64;
    println!("| one RTMP output: more memory of the daemon (PSS) | {more:.1} MB |");
    for id in &ids {
        daemon.operate(id, "stop");
    }
}

fn read_ahead(daemon: &Daemon, ids: &[String]) {
    until("the read-ahead is full", LONG, || {
        let ahead = |id: &String| {
            daemon.get(&format!("/channels/{id}/health"))["buffered"].as_f64() >= Some(6.0)
        };
        ids.iter().all(ahead)
    });
}

/// The daemon's own CPU, as a fraction of a core over a while, and its memory in megabytes then.
fn own(daemon: &Daemon) -> (f64, f64) {
    let (begun, before) = (Instant::now(), cpu_seconds(daemon.pid()));
    until("a while has passed", WATCHED * 2, || {
        begun.elapsed() >= WATCHED
    });
    let used = cpu_seconds(daemon.pid()) - before;
    (used / begun.elapsed().as_secs_f64(), pss(daemon.pid()))
}

/// From the signal until the channel is on air again, of a daemon that begins at once.
fn killed(data: &Path, daemon: Daemon, channel: &str, media: &str) -> Daemon {
    const KILLS: usize = 3;
    let mut lives: [OnceCell<Daemon>; KILLS + 1] = Default::default();
    let mut before = lives[0].get_or_init(|| daemon);
    let mut viewer = Viewer::of(before, channel);
    viewer.watch(16.0);
    let mut times = Vec::new();
    for life in &lives[1..] {
        let begun = Instant::now();
        before.signal("KILL");
        before.ended();
        let again = life.get_or_init(|| Daemon::start(data, PRIVATE));
        soon("it is on air", || again.status(channel) == "LIVE");
        times.push(begun.elapsed());
        viewer = viewer.moved_to(again);
        shown_through(&mut viewer);
        before = again;
    }
    let lost = lost(before, media, &viewer);
    row("`kill -9` of the daemon, another at once", times, lost);
    lives[KILLS].take().expect("a daemon")
}

/// Kills a daemon with so many channels on air; another begins at once.
fn restarts(data: &Path, daemon: Daemon, media: &str) {
    let mut lives = vec![daemon];
    let mut ids: Vec<String> = Vec::new();
    for count in [1, 20, 100] {
        let before = lives.last().expect("a daemon");
        while ids.len() < count {
            ids.push(before.channel(&[media]));
        }
        ids.iter().for_each(|id| drop(before.operate(id, "start")));
        until("all are LIVE", LONG, || {
            ids.iter().all(|id| before.status(id) == "LIVE")
        });
        read_ahead(before, &ids);
        before.signal("KILL");
        before.ended();
        let begun = Instant::now();
        let again = Daemon::start(data, PRIVATE);
        let answers = begun.elapsed();
        until("all are LIVE", LONG, || {
            ids.iter().all(|id| again.status(id) == "LIVE")
        });
        println!(
            "| a killed daemon with {count} channels begins again: until it answers, until all are on air | {:.2} s, {:.2} s |",
            answers.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        lives.push(again);
    }
}
