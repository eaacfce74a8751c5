//! `playoutd ctl` before the real daemon, as scripts call it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use playout_partners::testing::{Behaviour, Receiver};
use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::servers::query;

/// The command, without what the machine's own environment says.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playoutd"));
    command
        .arg("ctl")
        .args(arguments)
        .env_remove("PLAYOUTD_URL")
        .env_remove("PLAYOUTD_TOKEN");
    command
}

/// Somebody at a terminal.
struct Terminal<'d> {
    daemon: &'d Daemon,
    data: &'d Path,
}

impl Terminal<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let url = format!("http://{}", self.daemon.address());
        let mut command = command(arguments);
        command.env("PLAYOUTD_URL", url);
        command.arg("--data-dir").arg(self.data);
        command.output().unwrap()
    }

    /// What a command that was done has written.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            err(&output)
        );
        out(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let all = [arguments, &["-o", "json"]].concat();
        serde_json::from_str(&self.done(&all)).unwrap()
    }

    /// What a command that was refused has said.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            err(&output)
        );
        err(&output)
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn channels_are_made_found_by_name_ordered_one_by_one_and_many_at_once() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let terminal = Terminal {
        daemon: &daemon,
        data: data.path(),
    };
    let made = terminal.json(&[
        "channels",
        "create",
        "News",
        "--resolution",
        "240p",
        "--label",
        "tier=gold",
    ]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["config"]["labels"], json!({ "tier": "gold" }));
    // Whatever lies between may send it again: it has a key.
    let sql = "SELECT count(*) FROM idempotency_keys WHERE subject_kind = 'channel'";
    assert_eq!(query(data.path(), sql).as_deref(), Some("1"));
    for name in ["Twin", "Twin"] {
        terminal.done(&[
            "channels",
            "create",
            name,
            "--data",
            "{\"resolution\": \"240p\"}",
        ]);
    }

    // Lists, in every form; what is piped into a loop is ids.
    let table = terminal.done(&["channels", "list"]);
    assert!(
        table.starts_with("ID ") && table.lines().count() == 4,
        "{table}"
    );
    assert!(table.contains("tier=gold"), "{table}");
    assert_eq!(
        terminal
            .json(&["channels", "list"])
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        terminal
            .done(&["channels", "list", "--selector", "tier=gold", "-o", "name"])
            .trim(),
        id
    );
    let lines = terminal.done(&["channels", "list", "-o", "jsonl"]);
    assert_eq!(
        lines
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok())
            .count(),
        3
    );
    assert_eq!(terminal.json(&["channels", "get", "News"])["id"], id);
    assert_eq!(terminal.json(&["channels", "get", id])["name"], "News");

    // A name that is none, one that several have, and what is wrong with a patch.
    assert!(
        terminal
            .refused(1, &["channels", "start", "Nwes"])
            .contains("no channel of the name")
    );
    let twins = terminal.refused(1, &["channels", "stop", "Twin"]);
    assert!(twins.contains("2 channels have the name"), "{twins}");
    let wrong = terminal.refused(
        1,
        &[
            "channels",
            "update",
            "News",
            "--data",
            "{\"frameRate\": 26, \"name\": \"\"}",
        ],
    );
    assert!(
        wrong.contains("2 violations")
            && wrong.contains("  /frameRate: ")
            && wrong.contains("  /name: "),
        "{wrong}"
    );
    let updated = terminal.json(&[
        "channels",
        "update",
        id,
        "--data",
        "{\"name\": \"Evening\"}",
    ]);
    assert_eq!(updated["name"], "Evening");

    terminal.done(&["channels", "start", "Evening"]);
    until("the channel is LIVE", BOUND, || {
        terminal.json(&["channels", "status", "Evening"])["status"] == "LIVE"
    });
    assert!(
        terminal
            .refused(1, &["channels", "delete", "Evening"])
            .contains("stop it first")
    );
    let stopped = terminal.json(&["channels", "stop", "--selector", "tier=gold"]);
    assert_eq!(stopped[0]["problem"], Value::Null, "{stopped}");
    until("the channel is STOPPED", BOUND, || {
        daemon.status(id) == "STOPPED"
    });
    // Several at once, of which one is none: that is told, and the others are done.
    let gone = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    let output = terminal.run(&["channels", "delete", id, gone, "-o", "jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("1 of 2 channels"), "{}", err(&output));
    assert_eq!(out(&output).lines().count(), 2);
    assert_eq!(
        daemon
            .ask("GET", &format!("/channels/{id}"), &[], b"")
            .status,
        404
    );
    assert_eq!(
        terminal
            .json(&["channels", "list"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn everything_else_is_listed_made_and_ended_and_any_request_can_be_made() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[alerts]\nallow_private_webhooks = true\n");
    let terminal = Terminal {
        daemon: &daemon,
        data: data.path(),
    };
    let film = clip(1, 50);
    let imported = terminal.json(&["media", "import", film.to_str().unwrap()]);
    let media = imported[0]["id"].as_str().unwrap();
    let refused = terminal.refused(1, &["media", "import", "/nowhere/x.mp4"]);
    assert!(!refused.is_empty());
    assert_eq!(
        terminal.done(&["media", "list", "-o", "name"]).trim(),
        media
    );
    terminal.done(&["media", "delete", media]);

    let plans = terminal.done(&["plans", "list"]);
    assert!(plans.contains("enterprise"), "{plans}");
    let client = terminal.json(&["clients", "create", "TV", "--plan", "pro"]);
    assert_eq!(terminal.json(&["clients", "limits", "TV"])["plan"], "pro");
    let token = terminal.done(&[
        "tokens", "create", "ci", "--client", "TV", "--scope", "read", "-o", "name",
    ]);
    assert!(token.starts_with("playoutd_"), "{token}");
    assert_eq!(
        terminal.json(&["tokens", "list"]).as_array().unwrap().len(),
        2
    );

    // Of every list every page.
    for _ in 0..3 {
        terminal.done(&[
            "api",
            "POST",
            "/channels",
            "--data",
            "{\"name\": \"x\", \"resolution\": \"240p\"}",
        ]);
    }
    let page: Value =
        serde_json::from_str(&terminal.done(&["api", "get", "/channels?limit=2"])).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let receiver = runtime.block_on(Receiver::start(Behaviour::status("204 No Content")));
    let url = format!("http://{}/in", receiver.address);
    let made = terminal.json(&[
        "webhooks",
        "create",
        &url,
        "--event",
        "channel.created",
        "--description",
        "mine",
    ]);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let hook = made["id"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&terminal.done(&["webhooks", "test", hook])).unwrap()["delivered"],
        true
    );
    terminal.done(&["channels", "create", "Told"]);
    until("it is told", BOUND, || {
        terminal
            .json(&["webhooks", "deliveries", hook, "--state", "delivered"])
            .as_array()
            .unwrap()
            .len()
            == 1
    });
    terminal.done(&["webhooks", "delete", hook]);
    assert!(
        terminal
            .json(&["alerts", "list", "--state", "open"])
            .is_array()
    );

    // With a token of somebody's own, in the environment or in a file: what it may not do is refused.
    let url = format!("http://{}", daemon.address());
    let own = |arguments: &[&str]| {
        let mut command = command(arguments);
        command
            .env("PLAYOUTD_URL", &url)
            .env("PLAYOUTD_TOKEN", token.trim());
        command.output().unwrap()
    };
    assert_eq!(out(&own(&["channels", "list", "-o", "json"])).trim(), "[]");
    let refused = own(&["channels", "create", "Mine"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("configure"), "{}", err(&refused));
    let file = data.path().join("own.token");
    std::fs::write(&file, &token).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(
        terminal.done(&["channels", "list", "-o", "name", "--token-file", path]),
        ""
    );
    let shown = terminal.json(&["clients", "get", client["id"].as_str().unwrap()]);
    assert_eq!(shown["name"], "TV");

    // What is not right is said before anything is asked; who does not answer is said, too.
    for wrong in [
        &["channels", "fly"][..],
        &["channels", "start"],
        &["api", "FLY", "/x"],
        &["api", "GET", "x"],
        &["plans", "put", "x", "--data", "{"],
    ] {
        terminal.refused(2, wrong);
    }
    let mut nobody = command(&["channels", "list", "--url", "http://127.0.0.1:1"]);
    nobody.env("PLAYOUTD_TOKEN", "playoutd_x");
    let nobody = nobody.output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        err(&nobody).contains("no daemon answers"),
        "{}",
        err(&nobody)
    );
}

#[test]
fn events_are_followed_through_a_restart_of_the_daemon() {
    let data = folder();
    // The same address again, which nobody else has in between.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let start = || Daemon::start_with(data.path(), "", &["--bind", &address]);
    let daemon = start();
    let ids = ["One", "Other"].map(|name| {
        let made = daemon.post("/channels", &json!({ "name": name, "resolution": "240p" }));
        made["id"].as_str().unwrap().to_owned()
    });
    // Of a lost event it hears whatever it has asked for.
    let kinds = ["--type", "channel.updated"];
    let mut follower = command(&["events", "--follow", "--channel", "One", "-o", "jsonl"]);
    follower.args(kinds);
    follower
        .env("PLAYOUTD_URL", format!("http://{address}"))
        .arg("--data-dir")
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut follower = follower.spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel::<Value>();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The test may have seen enough.
            let _ = tell.send(serde_json::from_str(&line).unwrap());
        }
    });
    // It hears of its channel as soon as it listens, and of no other.
    let change = |daemon: &Daemon, description: &str| {
        for id in &ids {
            let patch = json!({ "labels": { "n": description } });
            daemon.api("PATCH", &format!("/channels/{id}"), &patch);
        }
    };
    let mut first = Value::Null;
    let mut n = 0;
    until("it hears of its channel", BOUND, || {
        n += 1;
        change(&daemon, &n.to_string());
        first = told.try_recv().unwrap_or_default();
        !first.is_null()
    });
    assert_eq!(
        (&first["type"], &first["data"]["id"]),
        (&json!("channel.updated"), &json!(ids[0]))
    );
    daemon.signal("KILL");
    daemon.ended();
    let daemon = start();
    // It comes back with what it saw last, which this run does not know: it is told so, and goes on.
    let mut seen: Vec<Value> = Vec::new();
    until("it listens again", BOUND, || {
        n += 1;
        change(&daemon, &n.to_string());
        seen.extend(told.try_iter());
        let reset = seen.iter().position(|event| event["type"] == "reset");
        reset.is_some_and(|reset| {
            seen[reset..]
                .iter()
                .any(|event| event["type"] == "channel.updated")
        })
    });
    assert!(
        seen.iter()
            .all(|event| event["data"]["id"] != json!(ids[1])),
        "{seen:?}"
    );
    follower.kill().unwrap();
    follower.wait().unwrap();
    reader.join().unwrap();
}
