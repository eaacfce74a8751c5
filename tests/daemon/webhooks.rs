//! Webhooks of the whole daemon: made and changed by the API, told what really happens, kept through a kill.

use std::collections::BTreeSet;

use playout_partners::testing::{Behaviour, Received, Receiver};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};

const SETTINGS: &str = "[alerts]\nallow_private_webhooks = true\ndead_air = 1\n";

/// A receiver of webhooks, for tests without a runtime.
struct Hook {
    runtime: Runtime,
    receiver: Receiver,
}

impl Hook {
    fn that(behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let receiver = runtime.block_on(Receiver::start(behaviour));
        Self { runtime, receiver }
    }

    fn url(&self) -> String {
        format!("http://{}/in", self.receiver.address)
    }

    fn next(&mut self) -> Received {
        self.runtime.block_on(self.receiver.next())
    }

    /// What comes until this kind of event does, that included.
    fn until(&mut self, kind: &str) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let received = self.next();
            let ends = received.json()["type"] == kind;
            all.push(received);
            if ends {
                return all;
            }
        }
    }
}

fn takes() -> Behaviour {
    Behaviour::status("204 No Content")
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_happens_to_a_channel_reaches_a_webhook_and_the_log_has_it() {
    let data = folder();
    let daemon = Daemon::start(data.path(), SETTINGS);
    let mut hook = Hook::that(takes());
    let chosen =
        json!({ "url": hook.url(), "events": ["*", "channel.heartbeat"], "description": "all" });
    let made = daemon.post("/webhooks", &chosen);
    let (id, secret) = (text(&made["id"]), text(&made["secret"]));
    assert_eq!(made["allClients"], true);

    let channel = daemon.channel(&[]);
    daemon.on_air(&channel);
    let mut told = hook.until("alert.opened");
    told.extend(hook.until("channel.heartbeat"));
    let media = daemon.import(&clip(1, 150));
    told.extend(hook.until("media.imported"));
    daemon.operate(&channel, "stop");
    until("the channel is STOPPED", BOUND, || {
        daemon.status(&channel) == "STOPPED"
    });
    assert_eq!(
        daemon
            .ask("DELETE", &format!("/media/{media}"), &[], b"")
            .status,
        204
    );
    assert_eq!(
        daemon
            .ask("DELETE", &format!("/channels/{channel}"), &[], b"")
            .status,
        204
    );
    told.extend(hook.until("channel.deleted"));
    let kinds: BTreeSet<String> = told.iter().map(|one| text(&one.json()["type"])).collect();
    for kind in [
        "channel.created",
        "channel.updated",
        "channel.status",
        "channel.onair",
        "channel.heartbeat",
        "alert.opened",
        "media.imported",
        "media.deleted",
        "channel.deleted",
    ] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    assert!(
        !kinds.contains("channel.segment"),
        "nobody has asked for it"
    );
    for one in &told {
        assert!(one.is_signed_with(&secret));
    }
    let created = told
        .iter()
        .find(|one| one.json()["type"] == "channel.created")
        .unwrap();
    assert_eq!(created.json()["data"]["id"], channel);

    // The log: narrowed, page by page, and one as it was sent.
    let path = format!("/webhooks/{id}/deliveries");
    until("all is delivered", BOUND, || {
        items(&daemon.get(&format!("{path}?state=pending"))).is_empty()
    });
    let first = daemon.get(&format!("{path}?limit=2"));
    let next = daemon.get(&format!(
        "{path}?limit=500&cursor={}",
        text(&first["nextCursor"])
    ));
    assert_eq!(items(&first).len(), 2);
    assert!(
        items(&next)
            .iter()
            .all(|one| one["id"].as_str() < items(&first)[1]["id"].as_str())
    );
    let found = daemon.get(&format!("{path}?event=channel.created&state=delivered"));
    assert_eq!(items(&found).len(), 1);
    let delivery = text(&items(&found)[0]["id"]);
    let whole = daemon.get(&format!("{path}/{delivery}"));
    assert_eq!(whole["body"], created.json());
    assert_eq!(
        (&whole["lastStatus"], &whole["attempts"]),
        (&json!(204), &json!(1))
    );
    assert_eq!(
        daemon
            .ask("GET", &format!("{path}?state=lost"), &[], b"")
            .status,
        400
    );
    assert_eq!(
        daemon
            .ask("GET", &format!("{path}?event=lost"), &[], b"")
            .status,
        400
    );

    // Once more, under the same id.
    daemon.post(&format!("{path}/{delivery}/replay"), &Value::Null);
    let again = hook.next();
    assert_eq!(again.headers["webhook-id"], delivery);
    assert_eq!(again.body, created.body);
    let span =
        json!({ "from": "2020-01-01T00:00:00Z", "types": ["channel.created", "channel.deleted"] });
    let replayed = daemon.post(&format!("/webhooks/{id}/replay"), &span);
    assert_eq!(replayed["deliveries"], 2);
    assert_eq!(hook.next().headers["webhook-id"], delivery);
    assert_eq!(hook.next().json()["type"], "channel.deleted");
    assert!(
        !daemon.log().contains(&secret[6..]),
        "the secret is in the log"
    );
}

#[test]
fn a_webhook_is_changed_by_its_version_tested_rotated_and_nobody_elses() {
    let data = folder();
    let daemon = Daemon::start(data.path(), SETTINGS);
    let all = json!(["read", "operate", "configure"]);
    let (_, owner) = Caller::of_client(&daemon, "Zebra", "enterprise", all);
    let stranger = Caller::stranger(&daemon);
    let mut hook = Hook::that(Behaviour::status("503 Service Unavailable"));
    let chosen = json!({ "url": hook.url(), "events": ["channel.status"] });
    let made = owner.ask("POST", "/webhooks", &chosen);
    assert_eq!((made.status, made.headers["etag"].as_str()), (201, "\"1\""));
    let (made, at) = (made.json(), made.headers["location"].clone());
    let (path, secret) = (
        at.trim_start_matches("/api/v1").to_owned(),
        text(&made["secret"]),
    );
    assert_eq!(
        (&made["allClients"], &made["enabled"]),
        (&json!(false), &json!(true))
    );

    // What is wrong is told at once; where it leads is asked at the connection, too.
    let bad = json!({ "url": "gopher://x", "events": ["a"], "channelId": "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11" });
    let refused = owner.ask("POST", "/webhooks", &bad);
    let places: BTreeSet<String> = refused.json()["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wrong| text(&wrong["pointer"]))
        .collect();
    assert_eq!(refused.status, 422);
    assert_eq!(
        places,
        ["/channelId", "/events/0", "/url"]
            .map(str::to_owned)
            .into()
    );

    let tested = owner
        .ask("POST", &format!("{path}/test"), &Value::Null)
        .json();
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(false), &json!(503))
    );
    assert_eq!(tested["answer"], "ok");
    assert!(hook.next().is_signed_with(&secret));
    hook.receiver.behave(takes());
    let stale = [("If-Match", "\"7\"")];
    let patch = json!({ "events": ["*"], "description": "zebra" });
    assert_eq!(owner.ask_with("PATCH", &path, &patch, &stale).status, 412);
    let patched = owner.ask_with("PATCH", &path, &patch, &[("If-Match", "\"1\"")]);
    assert_eq!(
        (patched.status, patched.headers["etag"].as_str()),
        (200, "\"2\"")
    );
    assert!(patched.json().get("secret").is_none());
    let rotated = owner
        .ask("POST", &format!("{path}/rotate"), &Value::Null)
        .json();
    owner.ask("POST", &format!("{path}/test"), &Value::Null);
    let sent = hook.next();
    assert!(sent.is_signed_with(&secret) && sent.is_signed_with(&text(&rotated["secret"])));
    assert!(!owner.get("/webhooks").text().contains("whsec_"));

    let made = owner.ask("POST", "/channels", &json!({ "name": "Zebra One" }));
    let told = hook.next();
    assert_eq!(told.json()["data"]["id"], made.json()["id"]);
    let mut log = Value::Null;
    until("it is logged", BOUND, || {
        log = owner.get(&format!("{path}/deliveries")).json();
        items(&log).len() == 1 && items(&log)[0]["state"] == "delivered"
    });
    let delivery = format!("{path}/deliveries/{}", text(&items(&log)[0]["id"]));
    for (method, at) in [
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/rotate")),
        ("POST", format!("{path}/test")),
        ("GET", format!("{path}/deliveries")),
        ("GET", delivery.clone()),
        ("POST", format!("{delivery}/replay")),
    ] {
        let answer = stranger.ask(
            method,
            &at,
            &if method == "PATCH" {
                json!({})
            } else {
                Value::Null
            },
        );
        assert_eq!(answer.status, 404, "{method} {at}: {}", answer.text());
    }
    let span = json!({ "from": "2020-01-01T00:00:00Z" });
    assert_eq!(
        stranger
            .ask("POST", &format!("{path}/replay"), &span)
            .status,
        404
    );
    assert!(items(&stranger.get("/webhooks").json()).is_empty());
    assert_eq!(owner.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(owner.get(&path).status, 404);
}

#[test]
fn addresses_that_are_not_public_are_refused_unless_the_operator_allows_them() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stranger = Caller::stranger(&daemon);
    for url in [
        "https://127.0.0.1/",
        "https://10.0.0.7/x",
        "http://hooks.example.com/",
        "https://localhost/",
    ] {
        let refused = stranger.ask("POST", "/webhooks", &json!({ "url": url, "events": ["*"] }));
        assert_eq!(refused.status, 422, "{url}: {}", refused.text());
    }
    // A name is looked up when it is connected to, each time.
    let hook = json!({ "url": "https://localhost.localdomain:1/", "events": ["*"] });
    let made = stranger.ask("POST", "/webhooks", &hook);
    assert_eq!(made.status, 201, "{}", made.text());
    let path = format!("/webhooks/{}/test", text(&made.json()["id"]));
    let tested = stranger.ask("POST", &path, &Value::Null).json();
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(false), &Value::Null)
    );
    // Whatever the name stands for here, nobody was connected to.
    let why = text(&tested["error"]);
    assert!(!why.to_lowercase().contains("connect"), "{why}");
}

#[test]
fn what_was_written_survives_a_kill_and_failures_are_tried_again() {
    let data = folder();
    let daemon = Daemon::start(data.path(), SETTINGS);
    let mut hook = Hook::that(Behaviour::Hangs);
    let chosen = json!({ "url": hook.url(), "events": ["channel.created"] });
    let made = daemon.post("/webhooks", &chosen);
    let (path, secret) = (
        format!("/webhooks/{}/deliveries", text(&made["id"])),
        text(&made["secret"]),
    );
    for n in 0..3 {
        daemon.post("/channels", &json!({ "name": format!("One {n}") }));
    }
    until("all is written", BOUND, || {
        items(&daemon.get(&path)).len() == 3
    });
    let under_way = hook.next();
    daemon.signal("KILL");
    daemon.ended();

    hook.receiver
        .behave(Behaviour::status("500 Internal Server Error"));
    let daemon = Daemon::start(data.path(), SETTINGS);
    let failed = hook.next();
    assert_eq!(
        failed.headers["webhook-id"],
        under_way.headers["webhook-id"]
    );
    hook.receiver.behave(takes());
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    while names.len() < 3 {
        let received = hook.next();
        assert!(received.is_signed_with(&secret));
        names.insert(text(&received.json()["data"]["name"]));
        ids.insert(received.headers["webhook-id"].clone());
    }
    assert_eq!(ids.len(), 3);
    assert!(ids.contains(&under_way.headers["webhook-id"]));
    until("all is delivered", BOUND, || {
        items(&daemon.get(&format!("{path}?state=delivered"))).len() == 3
    });
}
