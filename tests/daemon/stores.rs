//! Whatever becomes of PostgreSQL and Redis, channels do not notice, reads are answered, nothing that was
//! acknowledged is lost, and all comes back by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::http::{Answer, Event, EventStream};
use super::servers::{RedisPlace, Server, SmallDisk, audited, occupy, query};
use super::viewer::Viewer;

/// A daemon with a channel on air and another off air, both of the same prepared item.
fn two_channels(data: &Path) -> (Daemon, String, String) {
    let daemon = Daemon::start(data, "");
    let media = daemon.import(&clip(1, 700));
    let (on_air, other) = (daemon.channel(&[&media]), daemon.channel(&[&media]));
    daemon.prepared(&media);
    // Heartbeats as dense as they come.
    let dense = json!({ "recoverySettings": { "healthCheckInterval": 1 } });
    daemon.api("PATCH", &format!("/channels/{on_air}"), &dense);
    daemon.on_air(&on_air);
    (daemon, on_air, other)
}

fn patch(daemon: &Daemon, channel: &str, name: &str) -> Answer {
    daemon.ask(
        "PATCH",
        &format!("/channels/{channel}"),
        &[("Content-Type", "application/json")],
        json!({ "name": name }).to_string().as_bytes(),
    )
}

/// Automatic restarts since the channel's start.
fn restarts(daemon: &Daemon, channel: &str) -> u64 {
    let health = daemon.get(&format!("/channels/{channel}/health"));
    health["restartCount"].as_u64().expect("a count")
}

fn assert_read_only(daemon: &Daemon, channel: &str) {
    let refused = patch(daemon, channel, "Later");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    let problem = refused.json();
    let why = problem["detail"].as_str().unwrap_or_default();
    assert!(
        why.contains("PostgreSQL") && why.contains("nothing can be changed"),
        "{problem}"
    );
}

/// Reads the API and the playlist all the time, while `doing` does its worst; every read has to be answered.
fn with_readers<T>(daemon: &Daemon, channel: &str, doing: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u32;
            while !over.load(Ordering::Relaxed) {
                for path in [
                    format!("/channels/{channel}/health"),
                    format!("/channels/{channel}"),
                    "/channels".to_owned(),
                    "/media".to_owned(),
                ] {
                    let answer = daemon.ask("GET", &path, &[], b"");
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                    reads += 1;
                }
                let playlist = daemon.try_get(&format!("/hls/{channel}/240p.m3u8"));
                assert_eq!(playlist.expect("it answers").status, 200);
                std::thread::park_timeout(Duration::from_millis(30));
            }
            reads
        });
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ending = Over(&over);
        let done = doing();
        drop(ending);
        assert!(reader.join().expect("every read was answered") > 10);
        done
    })
}

/// The heartbeats that listeners were told of: when each was.
struct Heard(EventStream);

impl Heard {
    fn begin(daemon: &Daemon, channel: &str) -> Self {
        Self(daemon.events(&format!("?channel={channel}")))
    }

    /// Those up to the next `channel.updated`, which is made to come by a change of the channel's name.
    fn end(self, daemon: &Daemon, channel: &str) -> BTreeSet<String> {
        let changed = patch(daemon, channel, "The end");
        assert_eq!(changed.status, 200, "{}", changed.text());
        self.up_to(|event| event.data["name"] == "The end")
    }

    fn up_to(mut self, is_end: impl Fn(&Event) -> bool) -> BTreeSet<String> {
        let mut heard = BTreeSet::new();
        loop {
            let event = self.0.next().expect("the stream goes on");
            if event.kind == "channel.heartbeat" {
                let at = event.data["at"].as_str().expect("a time");
                heard.insert(micros(at));
            } else if is_end(&event) {
                return heard;
            }
        }
    }
}

/// A time as exactly as the database keeps it.
fn micros(at: &str) -> String {
    let at: jiff::Timestamp = at.parse().expect("a time");
    at.as_microsecond().to_string()
}

/// The heartbeats of a channel that the database has, each once by its key.
fn recorded(data: &Path, channel: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT (extract(epoch FROM at) * 1000000)::bigint FROM heartbeats WHERE channel_id = '{channel}'"
    );
    let text = query(data, &sql).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn assert_no_hole(data: &Path, channel: &str, heard: &BTreeSet<String>) {
    assert!(!heard.is_empty(), "nothing was heard");
    until("every heartbeat is in the database", BOUND, || {
        heard.is_subset(&recorded(data, channel))
    });
}

fn whole(daemon: &Daemon) {
    until("the daemon is whole again", BOUND, || {
        let answer = daemon.try_get("/readyz").expect("it answers");
        let state = answer.json();
        answer.status == 200
            && state["parts"]["redis"] == true
            && state["parts"]["journaledOrders"] == 0
    });
}

#[test]
fn channels_go_on_while_postgresql_hangs_and_orders_are_in_it_afterwards() {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let heard = Heard::begin(&daemon, &channel);
    with_readers(&daemon, &channel, || {
        let hung = Server::Postgres.signal(&daemon, "STOP");
        Server::Postgres.found(&daemon, false);
        assert_read_only(&daemon, &channel);
        let started = daemon.operate(&other, "start");
        assert_eq!(started["desired"], "LIVE");
        until("the other channel is LIVE", BOUND, || {
            daemon.status(&other) == "LIVE"
        });
        daemon.operate(&other, "restart");
        // Also where a script sends a key with everything.
        let key = [("Idempotency-Key", "stop-1")];
        let stopped = daemon.ask("POST", &format!("/channels/{other}/stop"), &key, b"");
        assert_eq!(stopped.status, 200, "{}", stopped.text());
        let bulk = json!({ "operation": "stop", "channelIds": [other] }).to_string();
        let keyed = [
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "stop-2"),
        ];
        let stopped = daemon.ask("POST", "/channels/bulk", &keyed, bulk.as_bytes());
        assert_eq!(
            (stopped.status, &stopped.json()["failed"]),
            (200, &json!(0)),
            "{}",
            stopped.text()
        );
        let skipped = daemon.ask("POST", &format!("/channels/{channel}/skip"), &[], b"");
        assert_eq!(skipped.status, 503, "{}", skipped.text());
        let seen = viewer.seconds;
        viewer.watch(seen + 12.0);
        // It is killed for not answering, and another takes its place.
        Server::Postgres.replaced(&daemon, hung);
        whole(&daemon);
    });
    assert_eq!(
        audited(data.path(), &other),
        [
            "channel.create",
            "channel.airtime",
            "channel.start",
            "channel.restart",
            "channel.stop"
        ]
    );
    let sql = format!("SELECT desired || ' ' || status FROM channels WHERE id = '{other}'");
    assert_eq!(query(data.path(), &sql).as_deref(), Some("STOPPED STOPPED"));
    let heard = heard.end(&daemon, &channel);
    assert_no_hole(data.path(), &channel, &heard);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

/// Does things to servers one after another, with a channel on air and readers all the time.
fn comes_through(faults: &[&[(Server, &str)]]) {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(8.0);
    let heard = Heard::begin(&daemon, &channel);
    let mut ordered = 0;
    with_readers(&daemon, &channel, || {
        for fault in faults {
            let before: Vec<(Server, u32)> = fault
                .iter()
                .map(|(server, signal)| (*server, server.signal(&daemon, signal)))
                .collect();
            // An order in the middle of it, which is carried out or refused, and never half of it.
            let operation = if ordered % 2 == 0 { "start" } else { "stop" };
            let answer = daemon.ask("POST", &format!("/channels/{other}/{operation}"), &[], b"");
            match answer.status {
                200 => ordered += 1,
                503 => assert!(answer.headers.contains_key("retry-after")),
                status => panic!("{status}: {}", answer.text()),
            }
            for (server, before) in before {
                server.replaced(&daemon, before);
            }
            whole(&daemon);
            let seen = viewer.seconds;
            viewer.watch(seen + 4.0);
        }
    });
    let operations = ["channel.start", "channel.stop"]
        .into_iter()
        .cycle()
        .take(ordered);
    let expected: Vec<&str> = ["channel.create", "channel.airtime"]
        .into_iter()
        .chain(operations)
        .collect();
    assert_eq!(audited(data.path(), &other), expected);
    let heard = heard.end(&daemon, &channel);
    assert_no_hole(data.path(), &channel, &heard);
    let state = daemon.try_get("/readyz").expect("it answers").json();
    assert_eq!(state["parts"]["telemetry"]["lost"], 0, "{state}");
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_eq!(daemon.status(&channel), "LIVE");
}

use Server::{Postgres, Redis};

#[test]
fn killed_and_restarted_servers_come_back_by_themselves_in_any_order() {
    comes_through(&[
        &[(Postgres, "KILL")],
        &[(Redis, "KILL")],
        &[(Postgres, "KILL"), (Redis, "KILL")],
        &[(Redis, "TERM")],
        &[(Postgres, "INT")],
        &[(Redis, "KILL"), (Postgres, "INT")],
    ]);
}

#[test]
fn hung_servers_come_back_by_themselves_in_any_order() {
    comes_through(&[
        &[(Redis, "STOP")],
        &[(Postgres, "STOP"), (Redis, "KILL")],
        &[(Redis, "STOP"), (Postgres, "KILL")],
        &[(Redis, "STOP"), (Postgres, "STOP")],
    ]);
}

#[test]
fn used_up_connections_are_told_and_cost_nothing() {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let postgres = Server::Postgres.pid(&daemon).expect("it runs");
    let mut viewer = Viewer::of(&daemon, &channel);
    with_readers(&daemon, &channel, || {
        let mut places = Vec::new();
        while let Some(place) = occupy(data.path()) {
            places.push(place);
            assert!(places.len() <= 200, "there is no end of connections");
        }
        // Those that the daemon has may do, or not; nobody hangs either way.
        for _ in 0..20 {
            let changed = patch(&daemon, &channel, "Crowded");
            assert!([200, 503].contains(&changed.status), "{}", changed.text());
        }
        assert_eq!(daemon.operate(&other, "start")["desired"], "LIVE");
        until("the other channel is LIVE", BOUND, || {
            daemon.status(&other) == "LIVE"
        });
        // Longer than a server may be silent.
        viewer.watch(36.0);
        drop(places);
        whole(&daemon);
        assert_eq!(patch(&daemon, &channel, "Room again").status, 200);
    });
    assert_eq!(
        Server::Postgres.pid(&daemon),
        Some(postgres),
        "a crowd is no hang"
    );
    viewer.judge();
    let expected = ["channel.create", "channel.airtime", "channel.start"];
    assert_eq!(audited(data.path(), &other), expected);
}

/// A server on a disk that fills up while a channel is on air.
fn on_a_full_disk(server: Server, name: &str, mib: u32) {
    let data = folder();
    // The server's folder has to be there before it can be put onto a small disk.
    drop(Daemon::start(data.path(), ""));
    let Some(disk) = SmallDisk::over(&data.path().join(name), mib) else {
        return;
    };
    let (daemon, channel, other) = two_channels(data.path());
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(8.0);
    let heard = Heard::begin(&daemon, &channel);
    with_readers(&daemon, &channel, || {
        let filler = disk.fill();
        until("it is told", BOUND, || {
            // What needs room, until there is none.
            patch(&daemon, &channel, &"x".repeat(90));
            server.condition(&daemon) == "full"
        });
        if server == Postgres {
            assert_read_only(&daemon, &channel);
        }
        assert_eq!(daemon.operate(&other, "start")["desired"], "LIVE");
        let seen = viewer.seconds;
        viewer.watch(seen + 8.0);
        std::fs::remove_file(filler).expect("removes");
        whole(&daemon);
    });
    daemon.operate(&other, "stop");
    let audited = audited(data.path(), &other);
    assert_eq!(audited[2..], ["channel.start", "channel.stop"]);
    let heard = heard.end(&daemon, &channel);
    assert_no_hole(data.path(), &channel, &heard);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    drop(daemon);
}

#[test]
fn a_full_disk_of_postgresql_is_told_and_what_waits_is_written_when_there_is_room() {
    on_a_full_disk(Postgres, "postgres", 160);
}

#[test]
fn a_full_disk_of_redis_is_told_and_what_waits_is_written_when_there_is_room() {
    on_a_full_disk(Redis, "redis", 24);
}

#[test]
fn used_up_connections_to_redis_are_told_and_cost_nothing() {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let redis = Server::Redis.pid(&daemon).expect("it runs");
    let heard = Heard::begin(&daemon, &channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    with_readers(&daemon, &channel, || {
        // One place, and it is taken: the daemon's connection is cut and cannot come back.
        let mut place = RedisPlace::take(data.path());
        place.say("CONFIG SET maxclients 1");
        place.say("CLIENT KILL TYPE normal SKIPME yes");
        until("it is told", BOUND, || !Server::Redis.works(&daemon));
        assert_eq!(daemon.operate(&other, "start")["desired"], "LIVE");
        assert_eq!(patch(&daemon, &channel, "Without Redis").status, 200);
        // Longer than a server may be silent.
        viewer.watch(36.0);
        place.say("CONFIG SET maxclients 10000");
        whole(&daemon);
    });
    assert_eq!(
        Server::Redis.pid(&daemon),
        Some(redis),
        "a crowd is no hang"
    );
    viewer.judge();
    let heard = heard.end(&daemon, &channel);
    assert_no_hole(data.path(), &channel, &heard);
}

/// Keeps a server whose daemon is gone from starting, whatever it does about it, until what is returned is called:
/// PostgreSQL lacks its control file, where the socket of Redis would be is a folder.
pub fn broken(data: &Path, server: Server) -> Box<dyn FnOnce()> {
    match server {
        Server::Postgres => {
            let file = data.join("postgres/global/pg_control");
            let aside = file.with_extension("aside");
            std::fs::rename(&file, &aside).expect("renames");
            Box::new(move || std::fs::rename(&aside, &file).expect("renames"))
        }
        Server::Redis => {
            let socket = data.join("run/redis/redis.sock");
            // The server of before may still be ending, and take it along itself.
            drop(std::fs::remove_file(&socket));
            std::fs::create_dir_all(socket.join("taken")).expect("makes a folder");
            Box::new(move || std::fs::remove_dir_all(&socket).expect("removes the folder"))
        }
    }
}

#[test]
fn what_happens_on_air_while_postgresql_cannot_start_is_recorded_afterwards() {
    let data = folder();
    let (daemon, channel, _) = two_channels(data.path());
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(8.0);
    let mend = broken(data.path(), Server::Postgres);
    Server::Postgres.signal(&daemon, "KILL");
    Server::Postgres.found(&daemon, false);
    viewer.follow("a killed source was replaced", BOUND, |_| {
        let sources = daemon.sources(&channel);
        sources.iter().for_each(|pid| signal_process(*pid, "KILL"));
        restarts(&daemon, &channel) >= 1
    });
    assert_read_only(&daemon, &channel);
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    mend();
    whole(&daemon);
    let sql = format!("SELECT restarts_since_start FROM channels WHERE id = '{channel}'");
    until("the restarts are in the database", BOUND, || {
        let recorded = query(data.path(), &sql).and_then(|text| text.parse().ok());
        recorded == Some(restarts(&daemon, &channel))
    });
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}

/// A daemon that was killed starts without `servers`: its channel goes on where it was, reads are answered; mended,
/// they come back, and all is written.
fn starts_without(servers: &[Server], takes_orders: bool) {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    daemon.signal("KILL");
    daemon.ended();
    let mend: Vec<_> = servers
        .iter()
        .map(|server| broken(data.path(), *server))
        .collect();
    let again = Daemon::start_without_stores(data.path());
    let mut viewer = viewer.moved_to(&again);
    until("the channel is LIVE again", BOUND, || {
        again.status(&channel) == "LIVE"
    });
    let mut expected = vec!["channel.create", "channel.airtime"];
    with_readers(&again, &channel, || {
        assert_read_only(&again, &channel);
        let order = again.ask("POST", &format!("/channels/{other}/start"), &[], b"");
        if takes_orders {
            assert_eq!(order.status, 200, "{}", order.text());
            until("the other channel is LIVE", BOUND, || {
                again.status(&other) == "LIVE"
            });
            again.operate(&other, "stop");
            expected.extend(["channel.start", "channel.stop"]);
        } else {
            assert_eq!(order.status, 503, "{}", order.text());
            assert_eq!(again.status(&other), "STOPPED");
        }
        let seen = viewer.seconds;
        viewer.watch(seen + 12.0);
        mend.into_iter().for_each(|mend| mend());
        whole(&again);
    });
    assert_eq!(audited(data.path(), &other), expected);
    let changed = patch(&again, &other, "Whole again");
    assert_eq!(changed.status, 200, "{}", changed.text());
    viewer.judge();
    assert_eq!(
        viewer.discontinuities, 0,
        "so short an absence is caught up with"
    );
}

#[test]
fn a_daemon_starts_from_redis_without_postgresql() {
    starts_without(&[Server::Postgres], true);
}

#[test]
fn a_daemon_starts_from_the_disk_without_both() {
    starts_without(&[Server::Postgres, Server::Redis], false);
}

#[test]
fn orders_and_heartbeats_survive_the_daemon_while_postgresql_is_away() {
    let data = folder();
    let (daemon, channel, other) = two_channels(data.path());
    let heard = Heard::begin(&daemon, &channel);
    Server::Postgres.signal(&daemon, "STOP");
    Server::Postgres.found(&daemon, false);
    daemon.operate(&channel, "stop");
    daemon.operate(&other, "start");
    until("the other channel is LIVE", BOUND, || {
        daemon.status(&other) == "LIVE"
    });
    let heard = heard.up_to(|event| event.data["status"] == "STOPPED");
    daemon.signal("KILL");
    daemon.ended();
    let mend = broken(data.path(), Server::Postgres);
    let again = Daemon::start_without_stores(data.path());
    assert_eq!(again.status(&channel), "STOPPED");
    until("the other channel is LIVE", BOUND, || {
        again.status(&other) == "LIVE"
    });
    mend();
    whole(&again);
    let given = ["channel.create", "channel.airtime", "channel.start"];
    assert_eq!(audited(data.path(), &other), given);
    let given = ["channel.update", "channel.start", "channel.stop"];
    assert_eq!(audited(data.path(), &channel)[2..], given);
    assert_no_hole(data.path(), &channel, &heard);
}
