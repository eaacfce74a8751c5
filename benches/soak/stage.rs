//! What the soak plays on: a daemon, its channels with two outputs each, two platforms behind proxies, and a viewer
//! for each channel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clips::clip;
use crate::daemon::{Daemon, is_running, until};
use crate::follower::{Airing, Followed, Follower, Scene};
use crate::gauges;
use crate::pictures::Programme;
use crate::proxy::Proxy;
use crate::receiver::{Receiver, free_address};

/// How many channels.
pub const CHANNELS: usize = 6;
/// After the last fault everything is back within this: a channel in ERROR is tried every minute.
const BACK: Duration = Duration::from_secs(240);
/// Preparing has the lowest priority.
const PREPARED: Duration = Duration::from_secs(900);
/// Read ahead when nothing is wrong, in seconds.
const READ_AHEAD: f64 = 6.0;
const SETTINGS: &str = "[rtmp]\nallow_private = true\nstalled_after = 4\n";
/// Frames of the items of the rotation.
const ITEMS: [u32; 3] = [700, 431, 977];

/// A platform and the network before it.
pub struct Platform {
    pub receiver: Receiver,
    pub proxy: Proxy,
}

/// A channel as the soak wants it.
pub struct Channel {
    pub id: String,
    pub destinations: Vec<String>,
    pub airing: Arc<Airing>,
    /// Items that its client skipped.
    pub skips: u64,
}

/// See the module's head.
pub struct Stage {
    data: PathBuf,
    pub daemon: Arc<Daemon>,
    /// Daemons that were killed; each takes its files along when it is dropped.
    before: Vec<Arc<Daemon>>,
    pub platforms: Vec<Platform>,
    pub channels: Vec<Channel>,
    scene: Arc<Scene>,
    followers: Vec<Follower>,
}

impl Stage {
    /// Puts everything on air.
    pub fn set(data: &Path) -> Self {
        let daemon = Arc::new(start(data));
        let platforms: Vec<Platform> = (0..2).map(|_| platform()).collect();
        let media: Vec<String> = (1..)
            .zip(ITEMS)
            .map(|(seed, frames)| daemon.import(&clip(seed, frames)))
            .collect();
        let fallback = daemon.import(&clip(9, 300));
        let items: Vec<&str> = media.iter().map(String::as_str).collect();
        let ids: Vec<String> = (0..CHANNELS).map(|_| daemon.channel(&items)).collect();
        for id in &ids[..CHANNELS / 2] {
            let patch = json!({ "fallbackVideo": fallback });
            daemon.api("PATCH", &format!("/channels/{id}"), &patch);
        }
        until("the items are prepared", PREPARED, || {
            media
                .iter()
                .chain([&fallback])
                .all(|media| daemon.is_prepared(media))
        });
        let files: Vec<PathBuf> = media.iter().map(|id| daemon.prepared_file(id)).collect();
        let programme = Arc::new(Programme::of(&files));
        let scene = Arc::new(Scene::at(Arc::clone(&daemon)));
        let channels: Vec<Channel> = ids
            .into_iter()
            .enumerate()
            .map(|(n, id)| channel(&daemon, n, id, &platforms))
            .collect();
        let follow = |channel: &Channel| {
            let airing = Arc::clone(&channel.airing);
            Follower::of(
                &channel.id,
                airing,
                Arc::clone(&scene),
                Arc::clone(&programme),
            )
        };
        let followers = channels.iter().map(follow).collect();
        let mut stage = Self {
            data: data.to_owned(),
            daemon,
            before: Vec::new(),
            platforms,
            channels,
            scene,
            followers,
        };
        for n in 0..CHANNELS {
            assert!(stage.order(n, "start"), "channel {n} starts");
        }
        stage
    }

    /// Gives an order to a channel; answers whether it was taken. Refused are what cannot be done now, by 409, and
    /// what cannot be recorded now, by 503.
    pub fn order(&mut self, n: usize, operation: &str) -> bool {
        let channel = &mut self.channels[n];
        let was = channel.airing.since();
        if operation == "stop" {
            channel.airing.off();
        }
        let path = format!("/channels/{}/{operation}", channel.id);
        let answer = self.daemon.ask("POST", &path, &[], b"");
        let taken = answer.status == 200;
        let refused = matches!(answer.status, 409 | 503);
        assert!(taken || refused, "{operation}: {}", answer.text());
        match operation {
            "start" if taken => channel.airing.on(),
            "stop" if !taken => channel.airing.stayed_on(was),
            "skip" if taken => channel.skips += 1,
            _ => {}
        }
        taken
    }

    /// Switches an output; answers whether that was taken.
    pub fn switch(&self, n: usize, output: usize, enabled: bool) -> bool {
        let channel = &self.channels[n];
        let id = &channel.destinations[output];
        let path = format!("/channels/{}/destinations/{id}", channel.id);
        let patch = json!({ "enabled": enabled }).to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = self.daemon.ask("PATCH", &path, &headers, patch.as_bytes());
        let expected = matches!(answer.status, 200 | 503);
        assert!(expected, "switching an output: {}", answer.text());
        answer.status == 200
    }

    /// Every channel's FFmpeg processes: those that read and those that push.
    pub fn processes(&self, n: usize) -> [Vec<u32>; 2] {
        self.daemon.sources_and_pushes(&self.channels[n].id)
    }

    /// Waits until all is as if nothing had ever happened: stores whole, channels LIVE and read ahead, outputs LIVE.
    /// A client would have a suspended output tried at once; so does this.
    pub fn calm(&mut self) {
        let mut waits_for = String::new();
        let begun = Instant::now();
        while let Some(missing) = self.missing() {
            waits_for = missing;
            assert!(
                begun.elapsed() < BACK,
                "{BACK:?} after the last fault: {waits_for}\n{}",
                self.daemon
                    .log()
                    .lines()
                    .rev()
                    .take(80)
                    .collect::<Vec<_>>()
                    .join("\n")
            );
            std::thread::park_timeout(Duration::from_millis(500));
        }
        eprintln!(
            "soak: calm after {:?}; the last was: {waits_for}",
            begun.elapsed()
        );
    }

    /// What is not as it should be.
    fn missing(&self) -> Option<String> {
        let ready = self.daemon.try_get("/readyz").map(|answer| answer.json());
        let ready = ready.unwrap_or_default();
        let parts = &ready["parts"];
        let whole = parts["redis"] == true && parts["journaledOrders"] == 0;
        if ready["status"] != "ready" || !whole {
            return Some(ready.to_string());
        }
        for (n, channel) in self.channels.iter().enumerate() {
            let health = self.daemon.get(&format!("/channels/{}/health", channel.id));
            let ahead = health["buffered"].as_f64().unwrap_or_default();
            let live = health["status"] == "LIVE" && health["recovering"] == false;
            if !live || ahead < READ_AHEAD {
                return Some(format!("channel {n} is not whole: {health}"));
            }
            let outputs = self
                .daemon
                .get(&format!("/channels/{}/outputs", channel.id));
            for (m, id) in channel.destinations.iter().enumerate() {
                let output = outputs["items"]
                    .as_array()
                    .and_then(|all| all.iter().find(|output| output["destinationId"] == *id))
                    .unwrap_or(&Value::Null);
                if output["status"] == "SUSPENDED" {
                    self.switch(n, m, false);
                    self.switch(n, m, true);
                }
                if output["status"] != "LIVE" {
                    return Some(format!("output {m} of channel {n} is not whole: {output}"));
                }
            }
        }
        None
    }

    /// `kill -9` of the daemon, and another `after` that.
    pub fn kill_daemon(&mut self, after: Duration) {
        self.channels
            .iter()
            .for_each(|channel| channel.airing.off());
        self.daemon.signal("KILL");
        self.daemon.ended();
        let killed = Instant::now();
        until("it is time for another daemon", after * 2, || {
            killed.elapsed() >= after
        });
        let again = Arc::new(start(&self.data));
        self.scene.moved_to(Arc::clone(&again));
        self.before.push(std::mem::replace(&mut self.daemon, again));
        self.channels.iter().for_each(|channel| channel.airing.on());
    }

    /// Segments that came late, over all channels, since the last start of each.
    pub fn late_segments(&self) -> u64 {
        let of = |channel: &Channel| {
            let path = format!("/channels/{}/outputs/metrics", channel.id);
            self.daemon.get(&path)["hls"]["lateSegments"]
                .as_u64()
                .unwrap_or_default()
        };
        self.channels.iter().map(of).sum()
    }

    /// Ends everything; answers what is left that should not be.
    pub fn end(&mut self) -> Vec<String> {
        self.channels
            .iter()
            .for_each(|channel| channel.airing.off());
        self.daemon.signal("TERM");
        let status = self.daemon.ended();
        let mut left = Vec::new();
        if !status.success() {
            left.push(format!("the daemon ended with {status}"));
        }
        let begun = Instant::now();
        while !gauges::marked().is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let outlived = gauges::marked().into_iter().filter(|pid| is_running(*pid));
        left.extend(outlived.map(|pid| format!("process {pid} outlived the daemon")));
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.log");
        match std::fs::write(&kept, self.daemon.log()) {
            Ok(()) => eprintln!("soak: the daemon's log is {}", kept.display()),
            Err(error) => eprintln!("soak: the daemon's log is lost: {error}"),
        }
        left
    }

    /// What the viewers saw; before the daemon ends.
    pub fn followed(&mut self) -> Vec<Followed> {
        self.scene.end();
        let saw = self.followers.drain(..).map(Follower::end);
        let mut saw: Vec<Followed> = saw.collect();
        for (channel, saw) in self.channels.iter().zip(&mut saw) {
            saw.skips = channel.skips;
            // What failed twice at one place is passed over, which is a cut as well.
            let alerts = self.daemon.get(&format!("/alerts?channel={}", channel.id));
            let passed_over = alerts.to_string().contains("channel.item_broken");
            if saw.pictures.cuts > saw.skips && !passed_over {
                saw.faults
                    .push("the programme was cut without an order".to_owned());
            }
        }
        saw
    }
}

impl Drop for Stage {
    /// Viewers hold the daemon: it ends when they have, also where the soak cannot go on.
    fn drop(&mut self) {
        self.scene.end();
        self.followers
            .drain(..)
            .for_each(|viewer| drop(viewer.end()));
    }
}

fn start(data: &Path) -> Daemon {
    let mark = Path::new(gauges::mark());
    Daemon::start_in(data, SETTINGS, &[], &[(gauges::MARK, mark)])
}

fn platform() -> Platform {
    let receiver = Receiver::without_recordings();
    let proxy = Proxy::start(free_address(), receiver.address());
    Platform { receiver, proxy }
}

fn channel(daemon: &Daemon, n: usize, id: String, platforms: &[Platform]) -> Channel {
    let push = |platform: &Platform| {
        let url = format!("rtmp://{}/live", platform.proxy.address());
        let destination = json!({ "serverUrl": url, "streamKey": format!("key{n}") });
        let added = daemon.post(&format!("/channels/{id}/destinations"), &destination);
        added["id"].as_str().unwrap().to_owned()
    };
    let destinations = platforms.iter().map(push).collect();
    Channel {
        id,
        destinations,
        airing: Arc::default(),
        skips: 0,
    }
}
