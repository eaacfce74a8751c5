//! How fast the API and what viewers fetch are answered, measured on the real daemon (`make bench`): what is written into
//! `docs/performance.md`. One part alone: `cargo bench --bench api -- status`, or `streams`, `viewers`, `starting`, `creating`.
//!
//! The load comes from wrk on the same cores; nginx serves the same bytes in turn with the daemon, which tells what the
//! machine could do at that moment. Prints one Markdown table row for each figure.
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]
#![allow(unreachable_pub)]

#[path = "../../tests/daemon/caller.rs"]
#[allow(dead_code)]
mod caller;
#[path = "../../tests/daemon/clips.rs"]
#[allow(dead_code)]
mod clips;
#[path = "../../tests/daemon/daemon.rs"]
#[allow(dead_code)]
mod daemon;
#[path = "../../tests/daemon/plain.rs"]
#[allow(dead_code)]
mod http;
#[path = "../measures/mod.rs"]
#[allow(dead_code)]
mod measures;
mod nginx;
mod subscribers;
mod wrk;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use caller::Caller;
use daemon::{Daemon, folder, until};
use measures::{clip, wanted};
use nginx::Nginx;
use serde_json::{Value, json};
use subscribers::SUBSCRIBERS;
use tempfile::TempDir;
use wrk::{Found, wrk};

/// Connections of wrk.
const CALLERS: usize = 64;
/// The daemon and nginx take turns, so often and for so many seconds each.
const TURNS: usize = 3;
const TURN: u32 = 3;
/// How long channels are created.
const CREATING: u32 = 8;
/// Clients that create at once.
const CLIENTS: usize = 64;
/// Channels of one bulk call.
const BULK: usize = 100;
/// What is waited for comes within this.
const LONG: Duration = Duration::from_secs(300);
/// Nobody is held back.
const SETTINGS: &str = "[access]\nrequests_per_second = 0\n";

fn main() {
    println!("| what | target | measured |\n|---|---|---|");
    let parts = ["status", "streams", "viewers", "starting"];
    let parts: Vec<&str> = parts.into_iter().filter(|part| wanted(part)).collect();
    if !parts.is_empty() {
        let stage = Stage::set();
        for part in parts {
            match part {
                "status" => status(&stage),
                "streams" => streams(&stage),
                "viewers" => viewers(&stage),
                _ => starting(&stage),
            }
        }
    }
    if wanted("creating") {
        creating();
    }
}

/// A daemon with one channel on air.
struct Stage {
    daemon: Daemon,
    media: String,
    channel: String,
    scripts: TempDir,
    _data: TempDir,
}

impl Stage {
    fn set() -> Self {
        let data = folder();
        let daemon = Daemon::start(data.path(), SETTINGS);
        let media = daemon.import(&clip(20));
        let stage = Self {
            channel: channel(&daemon, "On air", &media),
            daemon,
            media,
            scripts: folder(),
            _data: data,
        };
        let Self { daemon, media, .. } = &stage;
        until("the item is prepared", LONG, || {
            let item = daemon.get(&format!("/media/{media}"));
            item["renditions"][0]["status"] == "ready"
        });
        daemon.on_air(&stage.channel);
        stage
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address())
    }

    /// A script for wrk.
    fn script(&self, lua: &str) -> PathBuf {
        let file = self.scripts.path().join("script.lua");
        std::fs::write(&file, lua).unwrap();
        file
    }

    /// What viewers are answered.
    fn fetched(&self, path: &str) -> Vec<u8> {
        let answer = self.daemon.try_get(path).expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    }
}

/// A channel in 720p that plays one item.
fn channel(daemon: &Daemon, name: &str, media: &str) -> String {
    let made = daemon.post("/channels", &json!({ "name": name, "resolution": "720p" }));
    let id = made["id"].as_str().unwrap().to_owned();
    let rotation = json!({ "items": [{ "mediaId": media }] });
    daemon.api("PUT", &format!("/channels/{id}/rotation"), &rotation);
    id
}

/// Both in turns, so that what else the machine does falls on both alike: the mean of each.
fn in_turns(ours: impl Fn() -> Found, theirs: impl Fn() -> Found) -> [Found; 2] {
    let turns: Vec<[Found; 2]> = (0..TURNS).map(|_| [ours(), theirs()]).collect();
    [0, 1].map(|whose| {
        let all = turns.iter().map(|turn| turn[whose]);
        assert_eq!(all.clone().map(|found| found.refused).sum::<u64>(), 0);
        let count = TURNS as u32;
        Found {
            per_second: all.clone().map(|found| found.per_second).sum::<f64>() / TURNS as f64,
            median: all.clone().map(|found| found.median).sum::<Duration>() / count,
            late: all.map(|found| found.late).max().unwrap(),
            refused: 0,
        }
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What the API answers a script that looks at a channel again and again.
fn status(stage: &Stage) {
    let Stage {
        daemon, channel, ..
    } = stage;
    let path = format!("/channels/{channel}/status");
    let bearer = format!("Bearer {}", daemon.token());
    let body = daemon.ask("GET", &path, &[], b"").body;
    let path = format!("/api/v1{path}");
    let nginx = Nginx::start();
    let theirs = nginx.serve(&path, &body);
    let script = stage.script(&wrk::get(&[("Authorization", &bearer)]));
    let url = stage.url(&path);
    let run = |url: &str| wrk(url, CALLERS, TURN, &script);
    let [ours, theirs] = in_turns(|| run(&url), || run(&theirs));
    println!(
        "| authenticated `GET …/status`, {CALLERS} connections | ≥ 20 000/s | {:.0}/s (nginx with the same bytes, by no token: {:.0}/s) |",
        ours.per_second, theirs.per_second
    );
    println!(
        "| the same: median, p99 of the worst turn | p99 ≤ 10 ms | {:.1} ms, {:.1} ms |",
        ms(ours.median),
        ms(ours.late)
    );
}

fn streams(stage: &Stage) {
    let channel = channel(&stage.daemon, "Told of", &stage.media);
    let found = subscribers::measured(&stage.daemon, &channel);
    let ms = |n: usize| found.to_last[n].as_secs_f64() * 1000.0;
    let count = found.to_last.len();
    println!(
        "| {SUBSCRIBERS} event streams: event to last subscriber, {count} events | ≤ 250 ms | median {:.0} ms, worst {:.0} ms |",
        ms(count / 2),
        ms(count - 1)
    );
    println!(
        "| the daemon's memory for one of them (PSS) | – | {:.1} kB |",
        found.memory
    );
}

/// What players fetch, beside nginx.
fn viewers(stage: &Stage) {
    let nginx = Nginx::start();
    let script = stage.script("");
    let playlist = format!("/hls/{}/720p.m3u8", stage.channel);
    let newest = || {
        let text = String::from_utf8(stage.fetched(&playlist)).unwrap();
        let name = text.lines().rfind(|line| !line.starts_with('#'));
        format!("/hls/{}/{}", stage.channel, name.unwrap())
    };
    for (what, path, target) in [
        ("media playlist", playlist.clone(), 1.0),
        ("segment", newest(), 0.8),
    ] {
        let body = stage.fetched(&path);
        let (ours, theirs) = (stage.url(&path), nginx.serve(&path, &body));
        let run = |url: &str| wrk(url, CALLERS, TURN, &script);
        let [ours, theirs] = in_turns(|| run(&ours), || run(&theirs));
        println!(
            "| {what} of {} bytes against nginx | ≥ {target:.1} × | {:.0}/s against {:.0}/s: {:.2} × |",
            body.len(),
            ours.per_second,
            theirs.per_second,
            ours.per_second / theirs.per_second
        );
    }
}

fn starting(stage: &Stage) {
    let Stage { daemon, media, .. } = stage;
    let name = |n: usize| format!("Started {n}");
    let ids: Vec<String> = (0..BULK)
        .map(|n| channel(daemon, &name(n), media))
        .collect();
    let begun = Instant::now();
    let order = json!({ "operation": "start", "channelIds": ids });
    let done = daemon.post("/channels/bulk", &order);
    let answered = begun.elapsed();
    assert_eq!(done["failed"], 0, "{done}");
    until("all are LIVE", LONG, || {
        let all = daemon.get("/channels?limit=200");
        let live = |one: &&Value| one["status"] == "LIVE";
        all["items"].as_array().unwrap().iter().filter(live).count() == BULK + 1
    });
    println!(
        "| {BULK} channels started by one bulk call: until it is answered, until all are LIVE | – | {:.1} s, {:.1} s |",
        answered.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}

/// Channels that are committed with their audit, which is a chain for each client.
fn creating() {
    let data = folder();
    let daemon = Daemon::start(data.path(), SETTINGS);
    let all = json!(["read", "operate", "configure"]);
    let clients: Vec<(String, String)> = (0..=CLIENTS)
        .map(|n| {
            let name = format!("Client {n}");
            let (id, caller) = Caller::of_client(&daemon, &name, "enterprise", all.clone());
            (id, caller.token)
        })
        .collect();
    let body = json!({ "name": "Made", "resolution": "240p" });
    let (one, many) = clients.split_at(1);
    let url = format!("http://{}/api/v1/channels", daemon.address());
    let scripts = folder();
    let run = |callers: usize, clients: &[(String, String)]| {
        let tokens: Vec<String> = clients.iter().map(|(_, token)| token.clone()).collect();
        let script = scripts.path().join("script.lua");
        std::fs::write(&script, wrk::post(&tokens, &body)).unwrap();
        let before = made(&daemon, clients);
        let mut found = wrk(&url, callers, CREATING, &script);
        // wrk tells of seconds, and of refusals in all.
        found.per_second -= found.refused as f64 / f64::from(CREATING);
        let more = made(&daemon, clients) - before;
        assert!(more as f64 >= found.per_second * f64::from(CREATING) * 0.9);
        found
    };
    for (who, callers, clients) in [
        ("one caller", 1, one),
        ("64 callers of one client", CALLERS, one),
        ("64 callers of 64 clients", CALLERS, many),
    ] {
        let target = if callers == 1 { "–" } else { "≥ 300/s" };
        let found = run(callers, clients);
        println!(
            "| `POST /channels`, {who} | {target} | {:.0}/s (median {:.0} ms, p99 {:.0} ms; refused {}) |",
            found.per_second,
            ms(found.median),
            ms(found.late),
            found.refused
        );
    }
}

/// How many channels clients have, as the database counts them.
fn made(daemon: &Daemon, clients: &[(String, String)]) -> u64 {
    let of = |(id, _): &(String, String)| {
        let limits = daemon.get(&format!("/clients/{id}/limits"));
        limits["usage"]["channels"].as_u64().unwrap()
    };
    clients.iter().map(of).sum()
}
