//! Many operations at once, in no order: what runs afterwards is what should run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::numbers::Numbers;
use super::receiver::Receiver;

const CHANNELS: usize = 8;
const OPERATIONS: usize = 1_000;

/// The FFmpeg processes that are children of the daemon.
fn children(daemon: &Daemon) -> BTreeSet<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs");
    let mut found = BTreeSet::new();
    for task in tasks.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        found.extend(pids.filter(|pid| name(*pid).is_some_and(|name| name == "ffmpeg")));
    }
    found
}

/// A process's name; none when it has ended, reaped or not.
fn name(pid: u32) -> Option<String> {
    let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = cmdline.split(|byte| *byte == 0).next()?;
    (!first.is_empty()).then(|| String::from_utf8_lossy(first).into_owned())
}

#[test]
fn a_thousand_random_operations_leave_the_processes_that_should_be() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = Daemon::start(data.path(), "[rtmp]\nallow_private = true\n");
    let media = [(1, 150), (2, 260)].map(|(seed, frames)| daemon.import(&clip(seed, frames)));
    let channels: Vec<String> = (0..CHANNELS)
        .map(|n| {
            let channel = daemon.channel(&[&media[0], &media[1]]);
            let destination = serde_json::json!({
                "serverUrl": platform.url(), "streamKey": format!("key{n}"), "enabled": n % 2 == 0
            });
            daemon.post(&format!("/channels/{channel}/destinations"), &destination);
            channel
        })
        .collect();
    media.iter().for_each(|media| daemon.prepared(media));
    let mut numbers = Numbers::seeded(0x9e37_79b9_7f4a_7c15);
    for _ in 0..OPERATIONS {
        let channel = &channels[numbers.below(CHANNELS)];
        match numbers.below(10) {
            0..=3 => operate(&daemon, channel, "start"),
            4 | 5 => operate(&daemon, channel, "stop"),
            6 => operate(&daemon, channel, "restart"),
            7 => operate(&daemon, channel, "skip"),
            _ => {
                let running: Vec<u32> = children(&daemon).into_iter().collect();
                if !running.is_empty() {
                    signal_process(running[numbers.below(running.len())], "KILL");
                }
            }
        }
    }
    for (n, channel) in channels.iter().enumerate() {
        operate(&daemon, channel, "stop");
        if n < CHANNELS / 2 {
            operate(&daemon, channel, "start");
        }
    }
    until("every channel does what it was told last", BOUND, || {
        channels.iter().enumerate().all(|(n, channel)| {
            let wanted: &[&str] = if n < CHANNELS / 2 {
                &["LIVE", "ERROR"]
            } else {
                &["STOPPED"]
            };
            wanted.contains(&daemon.status(channel).as_str())
        })
    });
    // A channel's processes, and whether it has no more sources and as many pushes as it should: one source reads,
    // and the next may be ready; one pushes to the platform, where that is switched on.
    let processes = |n: usize| {
        let [sources, pushes] = daemon.sources_and_pushes(&channels[n]);
        let live = n < CHANNELS / 2;
        let right = sources.len() <= if live { 2 } else { 0 }
            && pushes.len() == usize::from(live && n.is_multiple_of(2));
        (sources, pushes, right)
    };
    // Short items are read at once, and then nothing reads for a while: so not all at one moment.
    for n in 0..CHANNELS / 2 {
        until("a live channel has a source, or two", BOUND, || {
            let (sources, _, right) = processes(n);
            right && !sources.is_empty()
        });
    }
    until("what runs is what should run", BOUND, || {
        let mut listed = BTreeSet::new();
        let right = (0..CHANNELS).all(|n| {
            let (sources, pushes, right) = processes(n);
            listed.extend(sources.into_iter().chain(pushes));
            right
        });
        right && children(&daemon) == listed
    });
    until(
        "the outputs that should be are there, and no others",
        Duration::from_secs(90),
        || {
            let mut keys: Vec<String> = platform.publishers().into_iter().map(|p| p.name).collect();
            keys.sort();
            keys == ["key0", "key2"]
        },
    );
}

fn operate(daemon: &Daemon, channel: &str, operation: &str) {
    let answer = daemon.ask(
        "POST",
        &format!("/channels/{channel}/{operation}"),
        &[],
        b"",
    );
    assert!(
        answer.status == 200 || answer.status == 409,
        "{operation}: {}",
        answer.text()
    );
}
