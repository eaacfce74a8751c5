//! Two daemons on one database: each airs its own, the other takes over what one leaves, and never do both air a
//! channel.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use playout_store::testing::{self, TestStore};
use serde_json::json;
use tokio::runtime::Runtime;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http::Answer;
use super::servers::Server;
use super::viewer::Viewer;
use crate::judge;

/// Servers that both daemons share.
struct Shared {
    runtime: Runtime,
    store: TestStore,
}

impl Shared {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let store = runtime.block_on(testing::fresh());
        Self { runtime, store }
    }

    /// A daemon of that name on a folder of its own, with the key that both need.
    fn daemon(&self, name: &str, data: &Path) -> Daemon {
        let config = self.store.config();
        let key = data.join("master.key");
        if !key.exists() {
            let source = std::fs::read(config.master_key.path()).expect("the key");
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(key);
            file.and_then(|mut file| file.write_all(&source))
                .expect("the key is copied");
        }
        let settings = format!(
            "[node]\nname = {name:?}\nlease = 5\n[database]\nurl = {:?}\n[redis]\nurl = {:?}\nprefix = {:?}\n",
            config.database_url, config.redis_url, config.key_prefix
        );
        Daemon::start(data, &settings)
    }

    /// What the database says, as text.
    fn query(&self, sql: &str) -> String {
        self.runtime.block_on(async {
            let session = self.store.session().await;
            session.query_one(sql, &[]).await.expect(sql).get(0)
        })
    }

    fn holder(&self, channel: &str) -> String {
        self.query(&format!(
            "SELECT n.name FROM channels c JOIN nodes n ON n.id = c.node WHERE c.id = '{channel}'"
        ))
    }
}

/// Which daemon holds a channel, as another one tells it; empty: it does itself.
fn held_by(daemon: &Daemon, channel: &str) -> String {
    let status = daemon.get(&format!("/channels/{channel}/status"));
    let name = status["heldBy"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

fn playlist(daemon: &Daemon, channel: &str) -> Option<judge::Playlist> {
    let answer = daemon.try_get(&format!("/hls/{channel}/240p.m3u8"))?;
    (answer.status == 200).then(|| judge::playlist(&answer.text()))
}

/// The number of the newest segment that a daemon serves.
fn newest(daemon: &Daemon, channel: &str) -> Option<u64> {
    let playlist = playlist(daemon, channel)?;
    Some(playlist.media_sequence + playlist.segments.len() as u64 - 1)
}

/// A channel of one prepared clip, on air.
fn on_air(daemon: &Daemon) -> String {
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    until("a playlist is out", BOUND, || {
        newest(daemon, &channel).is_some()
    });
    channel
}

/// Waits until both know of one another.
fn acquainted(one: &Daemon, other: &Daemon) {
    for daemon in [one, other] {
        until("it knows that it is not alone", BOUND, || {
            let ready = daemon.try_get("/readyz").expect("it answers").json();
            ready["parts"]["node"]["alone"] == false
        });
    }
}

fn change(daemon: &Daemon, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let json = [("Content-Type", "application/json")];
    daemon.ask(method, path, &json, body.to_string().as_bytes())
}

#[test]
fn each_airs_its_own_and_a_killed_ones_channels_go_on_at_the_other() {
    let shared = Shared::start();
    let (data_a, data_b) = (folder(), folder());
    let a = shared.daemon("a", data_a.path());
    let channel = on_air(&a);
    let b = shared.daemon("b", data_b.path());
    let other = b.channel(&[]);
    b.on_air(&other);
    acquainted(&a, &b);
    // Both show both, and say who has which.
    for (daemon, its, theirs, name) in [(&a, &channel, &other, "b"), (&b, &other, &channel, "a")] {
        let list = daemon.get("/channels");
        let shown: Vec<(&str, &str)> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                let holder = one["heldBy"]["name"].as_str().unwrap_or_default();
                (one["id"].as_str().unwrap_or_default(), holder)
            })
            .collect();
        let mut expected = [(its.as_str(), ""), (theirs.as_str(), name)];
        expected.sort_unstable();
        assert_eq!(shown, expected);
        for read in [
            "",
            "/status",
            "/health",
            "/processes",
            "/outputs",
            "/rotation",
            "/plan",
        ] {
            let read = daemon.get(&format!("/channels/{theirs}{read}"));
            assert_eq!(read["heldBy"]["name"], name, "{read}");
        }
        let live = daemon.get(&format!("/channels/{theirs}"));
        assert_eq!(live["status"], "LIVE");
        // Neither changes nor airs what is the other's.
        let at = |more: &str| format!("/channels/{theirs}{more}");
        for refused in [
            change(daemon, "PATCH", &at(""), &json!({ "name": "Mine" })),
            change(daemon, "PUT", &at("/rotation"), &json!({ "items": [] })),
            daemon.ask("POST", &at("/stop"), &[], b""),
            daemon.ask("DELETE", &at(""), &[], b""),
        ] {
            let problem = refused.json();
            assert_eq!(refused.status, 409, "{problem}");
            let kind = problem["type"].as_str().expect("a type");
            assert!(kind.ends_with("held-elsewhere"), "{problem}");
            assert_eq!(problem["node"]["name"], name);
        }
        assert!(playlist(daemon, theirs).is_none(), "it publishes nothing");
        assert!(daemon.sources(theirs).is_empty());
    }

    let last = playlist(&a, &channel).expect("it is on air");
    let last_number = newest(&a, &channel).expect("it is on air");
    a.signal("KILL");
    a.ended();
    until("the other has taken over", BOUND, || {
        held_by(&b, &channel).is_empty() && b.status(&channel) == "LIVE"
    });
    until("it publishes", BOUND, || playlist(&b, &channel).is_some());
    let first = playlist(&b, &channel).expect("it is on air");
    assert!(
        first.media_sequence > last_number,
        "{} {last_number}",
        first.media_sequence
    );
    assert!(first.discontinuity_sequence >= last.discontinuity_sequence);
    let taken = format!(
        "SELECT count(*)::text FROM audit WHERE subject_id = '{channel}' AND operation = 'channel.take-over'"
    );
    assert_eq!(shared.query(&taken), "1");
    let changed = change(
        &b,
        "PATCH",
        &format!("/channels/{channel}"),
        &json!({ "name": "Taken" }),
    );
    assert_eq!(changed.status, 200, "{}", changed.text());

    // The killed one comes back, and leaves the channel where it is.
    let a = shared.daemon("a", data_a.path());
    acquainted(&a, &b);
    assert_eq!(held_by(&a, &channel), "b");
    let mut viewer = Viewer::of(&b, &channel);
    viewer.watch(16.0);
    viewer.judge();
    assert!(playlist(&a, &channel).is_none());
    assert_eq!(shared.holder(&channel), "b");
    assert_eq!(shared.holder(&other), "b");
    assert_eq!(shared.query(&taken), "1");
}

#[test]
fn a_list_goes_on_behind_what_is_stored_damaged() {
    let shared = Shared::start();
    let (data_a, data_b) = (folder(), folder());
    let a = shared.daemon("a", data_a.path());
    let mut all: Vec<String> = (0..4).map(|_| a.channel(&[])).collect();
    all.sort_unstable();
    let b = shared.daemon("b", data_b.path());
    acquainted(&a, &b);
    for damaged in &all[1..3] {
        shared.query(&format!(
            "UPDATE channels SET config = jsonb_set(config, '{{bitrate}}', '400001') WHERE id = '{damaged}' RETURNING 'done'"
        ));
    }
    let (mut listed, mut query) = (Vec::new(), String::new());
    loop {
        let page = b.get(&format!("/channels?limit=1{query}"));
        let items = page["items"].as_array().expect("a list");
        listed.extend(
            items
                .iter()
                .filter_map(|one| one["id"].as_str().map(str::to_owned)),
        );
        match page["nextCursor"].as_str() {
            Some(next) => query = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, [all[0].clone(), all[3].clone()]);
}

#[test]
fn one_that_stood_still_leaves_the_air_by_itself() {
    let shared = Shared::start();
    let (data_a, data_b) = (folder(), folder());
    let a = shared.daemon("a", data_a.path());
    let channel = on_air(&a);
    let b = shared.daemon("b", data_b.path());
    acquainted(&a, &b);
    let last = newest(&a, &channel).expect("it is on air");
    let spool = data_a.path().join(format!("channels/{channel}/spool"));
    // Just after a segment: the next one is seconds away, and nothing is half written.
    until("another segment is out", BOUND, || {
        newest(&a, &channel).is_some_and(|newest| newest > last)
    });
    a.signal("STOP");
    until("the other has taken over", BOUND, || {
        newest(&b, &channel).is_some()
    });
    let first = playlist(&b, &channel).expect("on air").media_sequence;
    assert!(first > last + 1, "{first} {last}");
    let published = files(&spool);
    let epoch = format!("SELECT epoch::text FROM channels WHERE id = '{channel}'");
    let before = shared.query(&epoch);
    a.signal("CONT");
    until("it knows that the channel is another's", BOUND, || {
        // From the first moment on nothing is served that the other might have.
        if let Some(newest) = newest(&a, &channel) {
            panic!("segment {newest} is published while the other is on air");
        }
        held_by(&a, &channel) == "b"
    });
    assert!(
        files(&spool).iter().all(|file| published.contains(file)),
        "it has published nothing more"
    );
    let at = newest(&b, &channel).expect("on air");
    until("the other goes on", BOUND, || {
        newest(&b, &channel).is_some_and(|newest| newest > at + 2)
    });
    assert!(newest(&a, &channel).is_none());
    assert_eq!(shared.query(&epoch), before);
    assert_eq!(shared.holder(&channel), "b");
    assert_eq!(b.status(&channel), "LIVE");
}

/// What is in a folder, by name.
fn files(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

#[test]
fn one_that_is_alone_airs_on_without_the_database_for_longer_than_its_lease() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[node]\nlease = 5\n");
    let channel = on_air(&daemon);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let hung = Server::Postgres.signal(&daemon, "STOP");
    Server::Postgres.found(&daemon, false);
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
    Server::Postgres.replaced(&daemon, hung);
    Server::Postgres.found(&daemon, true);
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_eq!(daemon.status(&channel), "LIVE");
    let ready = daemon.try_get("/readyz").expect("it answers").json();
    assert_eq!(ready["parts"]["node"]["alone"], true, "{ready}");
}
