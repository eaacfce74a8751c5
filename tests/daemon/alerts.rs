//! What fails is told to whom it concerns: on the event stream, by webhook, in the API; and over when it is.

use std::time::Duration;

use playout_partners::testing::{Behaviour, Fault, MailServer, Received, Receiver};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::http::{Event, EventStream};
use super::output_encode::on_air_with;

/// Webhooks of a test's own.
const SETTINGS: &str = "[alerts]\nallow_private_webhooks = true\n";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A receiver of webhooks, for tests without a runtime.
struct Hook {
    runtime: Runtime,
    receiver: Receiver,
}

impl Hook {
    fn answering(line: &str) -> Self {
        let runtime = runtime();
        let receiver = runtime.block_on(Receiver::start(Behaviour::status(line)));
        Self { runtime, receiver }
    }

    fn next(&mut self) -> Received {
        self.runtime.block_on(self.receiver.next())
    }

    /// Makes a route for one kind of alert that leads here; answers its id and its secret.
    fn route(&self, daemon: &Daemon, kind: &str) -> (String, String) {
        let url = format!("http://{}/in", self.receiver.address);
        let chosen = json!({ "type": "webhook", "url": url, "kinds": [kind] });
        let made = daemon.post("/alert-routes", &chosen);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }
}

/// The next event of this kind.
fn next(events: &mut EventStream, kind: &str) -> Event {
    let mut found = None;
    until("the event comes", BOUND, || {
        found = events.next().filter(|told| told.kind == kind);
        found.is_some()
    });
    found.unwrap()
}

/// The next event of this kind about this kind of alert, within two minutes and through silence.
fn awaited(events: &mut EventStream, event: &str, alert: &str) -> Value {
    let mut found = None;
    until("the event comes", Duration::from_secs(120), || {
        found = events
            .next()
            .filter(|told| told.kind == event && told.data["kind"] == alert);
        found.is_some()
    });
    found.unwrap().data
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// The alerts of a list that are of this kind: a slow machine may raise others.
fn of_kind<'l>(list: &'l Value, kind: &str) -> Vec<&'l Value> {
    let all = items(list).iter();
    all.filter(|alert| alert["kind"] == kind).collect()
}

/// Kills what a channel reads from until that is a failure, and waits until its item is delivered again. Answers
/// what was told meanwhile.
fn fail_sources(daemon: &Daemon, channel: &str, events: &mut EventStream) -> Vec<Event> {
    let mut killed = daemon.kill_sources(channel);
    let mut seen = Vec::new();
    until("its item is delivered again", BOUND, || {
        seen.extend(events.next());
        // One that had written all it had costs nothing, and the next entry has a source of its own.
        let running = daemon.sources(channel);
        if told(&seen, "channel.recovery").is_empty() && !running.iter().any(|p| killed.contains(p))
        {
            running.iter().for_each(|pid| signal_process(*pid, "KILL"));
            killed = running;
        }
        !told(&seen, "channel.recovered").is_empty()
    });
    seen
}

fn told<'e>(events: &'e [Event], kind: &str) -> Vec<&'e Value> {
    let of_kind = events.iter().filter(|event| event.kind == kind);
    of_kind.map(|event| &event.data).collect()
}

#[test]
fn three_failures_of_a_channels_source_are_one_alert_that_recovery_closes() {
    let data = folder();
    let daemon = Daemon::start(data.path(), SETTINGS);
    let stranger = Caller::stranger(&daemon);
    // So many bits that a pipe holds a few seconds, and a killed source is soon missed.
    let much = json!({ "name": "Test", "resolution": "240p", "bitrate": 1_600_000 });
    let (media, channel) = on_air_with(&daemon, &much, 700);
    let mut hook = Hook::answering("204 No Content");
    let (route, secret) = hook.route(&daemon, "channel.source_failing");
    let mut events = daemon.events(&format!("?channel={channel}"));
    let mut theirs = stranger.events();
    let mut seen = Vec::new();
    while told(&seen, "channel.recovery").len() < 3 {
        assert!(told(&seen, "alert.opened").is_empty(), "{seen:?}");
        seen.extend(fail_sources(&daemon, &channel, &mut events));
    }

    // On the event stream, with what was done about each failure before it.
    for recovery in told(&seen, "channel.recovery") {
        assert_eq!(
            (
                &recovery["type"],
                &recovery["failure"],
                &recovery["mediaId"]
            ),
            (&json!("restart"), &json!("source"), &json!(media))
        );
        assert_eq!(recovery["maxAttempts"], 10);
    }
    let opened = told(&seen, "alert.opened");
    assert_eq!(opened.len(), 1, "{seen:?}");
    let opened = opened[0];
    assert_eq!(opened["kind"], "channel.source_failing");
    assert_eq!(opened["channelId"], channel);
    assert_eq!(
        (&opened["name"], &opened["state"]),
        (&json!("Test"), &json!("open"))
    );
    let id = opened["id"].as_str().unwrap().to_owned();

    // At the webhook, signed.
    let sent = hook.next();
    assert!(sent.is_signed_with(&secret));
    assert_eq!(sent.json()["type"], "alert.opened");
    assert_eq!(sent.json()["data"]["id"], id);

    // In the API: one, to be found by what it is.
    for query in [
        String::new(),
        "?state=open&severity=warning".to_owned(),
        format!("?channel={channel}&limit=1"),
    ] {
        let list = daemon.get(&format!("/alerts{query}"));
        let found = of_kind(&list, "channel.source_failing");
        assert_eq!(found.len(), 1, "{query}: {list}");
        assert_eq!(found[0]["id"], id);
    }
    for query in ["?state=closed", "?severity=critical", "?state=acknowledged"] {
        let list = daemon.get(&format!("/alerts{query}"));
        assert!(of_kind(&list, "channel.source_failing").is_empty());
    }
    let refused = daemon.ask("GET", "/alerts?state=bad", &[], b"");
    assert_eq!(refused.status, 400, "{}", refused.text());

    // Acknowledged, which everybody hears.
    let known = daemon.post(&format!("/alerts/{id}/acknowledge"), &Value::Null);
    assert_eq!(known["state"], "acknowledged");
    assert_eq!(known["acknowledgedBy"], "admin token file");
    while next(&mut events, "alert.updated").data["state"] != "acknowledged" {}

    // A minute without a failure, and it is over: by itself.
    let closed = awaited(&mut events, "alert.closed", "channel.source_failing");
    assert_eq!(
        (&closed["id"], &closed["state"]),
        (&json!(id), &json!("closed"))
    );
    let sent = hook.next();
    assert!(sent.is_signed_with(&secret));
    assert_eq!(sent.json()["type"], "alert.closed");
    let list = daemon.get(&format!("/alerts?channel={channel}"));
    assert_eq!(of_kind(&list, "channel.source_failing").len(), 1, "{list}");
    let late = daemon.ask("POST", &format!("/alerts/{id}/acknowledge"), &[], b"");
    assert_eq!(late.status, 409, "{}", late.text());

    // What was done is the channel's history, newest first.
    let history = daemon.get(&format!("/channels/{channel}/history?limit=2"));
    let entries = items(&history);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["type"], "restart");
    let cursor = history["nextCursor"].as_str().unwrap();
    let rest = daemon.get(&format!("/channels/{channel}/history?cursor={cursor}"));
    assert!(!items(&rest).is_empty());

    // Nobody else knows of it.
    for (method, path) in [
        ("GET", format!("/alerts/{id}")),
        ("POST", format!("/alerts/{id}/acknowledge")),
        ("GET", format!("/channels/{channel}/history")),
        ("GET", format!("/alert-routes/{route}")),
        ("DELETE", format!("/alert-routes/{route}")),
        ("POST", format!("/alert-routes/{route}/test")),
    ] {
        let answer = stranger.ask(method, &path, &Value::Null);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
    for path in ["/alerts", "/alert-routes", "/alert-deliveries"] {
        let answer = stranger.get(path);
        assert_eq!(answer.status, 200);
        assert!(items(&answer.json()).is_empty(), "{}", answer.text());
    }
    let made = stranger.ask("POST", "/channels", &json!({ "name": "Theirs" }));
    assert_eq!(made.status, 201, "{}", made.text());
    let first = theirs.next().expect("an event");
    assert_eq!(
        (first.kind.as_str(), &first.data["name"]),
        ("channel.created", &json!("Theirs"))
    );

    // The log tells each failure with its context in fields of their own, and no secret.
    let log = daemon.log();
    let handled = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "a failure was handled")
        .unwrap_or_else(|| panic!("no failure in:\n{log}"));
    assert_eq!(handled["channel"], channel);
    assert_eq!(handled["media"], media);
    assert_eq!(
        (&handled["failure"], &handled["action"]),
        (&json!("source"), &json!("restart"))
    );
    assert!(
        handled["attempt"].is_u64() && handled["delay"].is_f64(),
        "{handled}"
    );
    assert!(
        handled["client"].is_string() && handled["error"].is_string(),
        "{handled}"
    );
    assert!(!log.contains(&secret), "the secret is in the log");
    let routes = daemon.get("/alert-routes").to_string();
    assert!(
        routes.contains(&route) && !routes.contains("whsec_"),
        "{routes}"
    );
}

#[test]
fn a_daemon_that_was_killed_tells_so_and_one_that_ended_does_not() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    daemon.signal("KILL");
    daemon.ended();
    let daemon = Daemon::start(data.path(), "");
    let list = daemon.get("/alerts");
    let alert = of_kind(&list, "daemon.unclean_stop")[0];
    assert_eq!(alert["audience"], "operator");
    let id = alert["id"].as_str().unwrap().to_owned();
    until(
        "it is over: nothing is off air that should not be",
        BOUND,
        || daemon.get(&format!("/alerts/{id}"))["state"] == "closed",
    );
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let daemon = Daemon::start(data.path(), "");
    let list = daemon.get("/alerts");
    assert_eq!(of_kind(&list, "daemon.unclean_stop").len(), 1, "{list}");
}

#[test]
fn a_slate_that_stays_is_dead_air_until_something_is_shown() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[alerts]\ndead_air = 1\n");
    let channel = daemon.channel(&[]);
    let mut events = daemon.events(&format!("?channel={channel}"));
    daemon.on_air(&channel);
    let opened = next(&mut events, "alert.opened").data;
    assert_eq!(
        (&opened["kind"], &opened["severity"]),
        (&json!("channel.dead_air"), &json!("critical"))
    );
    let metrics = daemon.get(&format!("/channels/{channel}/outputs/metrics"));
    let dead = metrics["deadAir"].as_f64().expect("seconds");
    assert!(dead >= 1.0, "{metrics}");
    let media = daemon.import(&clip(1, 300));
    let rotation = json!({ "items": [{ "mediaId": media }] });
    daemon.api("PUT", &format!("/channels/{channel}/rotation"), &rotation);
    assert_eq!(
        awaited(&mut events, "alert.closed", "channel.dead_air")["id"],
        opened["id"]
    );
}

#[test]
fn routes_are_made_changed_tested_and_their_dead_letters_sent_again() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &format!("{SETTINGS}dead_air = 1\n"));
    let mut hook = Hook::answering("410 Gone");
    let (id, secret) = hook.route(&daemon, "channel.dead_air");
    let path = format!("/alert-routes/{id}");
    let tested = daemon.post(&format!("{path}/test"), &Value::Null);
    assert_eq!(tested["delivered"], false);
    assert!(
        tested["error"].as_str().unwrap().contains("410"),
        "{tested}"
    );
    assert_eq!(hook.next().json()["type"], "alert.test");
    let read = daemon.get(&path);
    assert_eq!(
        (&read["enabled"], &read["minimumSeverity"]),
        (&json!(true), &json!("warning"))
    );
    assert!(read.get("secret").is_none(), "{read}");

    // A receiver that wants nothing more: a dead letter, and a route that is off.
    let channel = daemon.channel(&[]);
    daemon.on_air(&channel);
    hook.next();
    until("the route is off", BOUND, || {
        daemon.get(&path)["enabled"] == false
    });
    assert!(daemon.get(&path)["disabledReason"].is_string());
    let dead = daemon.get("/alert-deliveries?state=dead");
    let dead = items(&dead);
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0]["routeId"], &dead[0]["event"]),
        (&json!(id), &json!("alert.opened"))
    );
    let letter = dead[0]["id"].as_str().unwrap().to_owned();
    hook.receiver.behave(Behaviour::status("200 OK"));
    let patch = json!({ "enabled": true, "minimumSeverity": "critical" });
    let patched = daemon.api("PATCH", &path, &patch);
    assert_eq!(
        (&patched["enabled"], &patched["disabledReason"]),
        (&json!(true), &Value::Null)
    );
    let retried = daemon.post(&format!("/alert-deliveries/{letter}/retry"), &Value::Null);
    assert_eq!(retried["state"], "pending");
    let sent = hook.next();
    assert!(sent.is_signed_with(&secret));
    assert_eq!(sent.headers["webhook-id"], letter);
    until("it is delivered", BOUND, || {
        items(&daemon.get("/alert-deliveries?state=delivered")).len() == 1
    });

    for (body, status) in [
        (
            json!({ "type": "webhook", "url": "ftp://example.org" }),
            422,
        ),
        (
            json!({ "type": "email", "address": "ops@example.org" }),
            409,
        ),
    ] {
        let headers = [("Content-Type", "application/json")];
        let body = body.to_string();
        let refused = daemon.ask("POST", "/alert-routes", &headers, body.as_bytes());
        assert_eq!(refused.status, status, "{}", refused.text());
    }
    let deleted = daemon.ask("DELETE", &path, &[], b"");
    assert_eq!(deleted.status, 204);
    assert_eq!(daemon.ask("GET", &path, &[], b"").status, 404);
    assert!(items(&daemon.get("/alert-deliveries")).is_empty());
}

#[test]
fn an_unclean_stop_reaches_a_mailbox_by_the_operators_server() {
    let data = folder();
    let runtime = runtime();
    let mut server = runtime.block_on(MailServer::start(Fault::default(), None));
    let settings = format!(
        "[alerts.smtp]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\nfrom = \"TV <tv@example.org>\"\n",
        server.address.port()
    );
    let daemon = Daemon::start(data.path(), &settings);
    let chosen =
        json!({ "type": "email", "address": "ops@example.com", "kinds": ["daemon.unclean_stop"] });
    let route = daemon.post("/alert-routes", &chosen);
    assert!(route.get("secret").is_none(), "{route}");
    let path = format!("/alert-routes/{}/test", route["id"].as_str().unwrap());
    assert_eq!(daemon.post(&path, &Value::Null)["delivered"], true);
    let mail = runtime.block_on(server.next());
    assert!(mail.text.contains("Subject: [test] playoutd: "), "{mail:?}");
    daemon.signal("KILL");
    daemon.ended();
    let _daemon = Daemon::start(data.path(), &settings);
    let mail = runtime.block_on(server.next());
    assert!(mail.to.contains("ops@example.com"), "{mail:?}");
    assert!(
        mail.text.contains("Subject: [WARNING] playoutd: "),
        "{mail:?}"
    );
}

#[test]
fn a_channel_in_error_is_escalated_and_over_when_it_is_live_again_or_stopped() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    let once = json!({ "recoverySettings": { "maxRestarts": 1 } });
    daemon.api("PATCH", &format!("/channels/{channel}"), &once);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut events = daemon.events(&format!("?channel={channel}"));
    for ending in ["restart", "stop"] {
        daemon.kill_sources(&channel);
        let recovery = next(&mut events, "channel.recovery").data;
        assert_eq!(
            (&recovery["type"], &recovery["fallbackStrategy"]),
            (&json!("escalate"), &json!("fallbackVideo")),
            "{recovery}"
        );
        let opened = awaited(&mut events, "alert.opened", "channel.error");
        assert_eq!(opened["audience"], "both");
        daemon.operate(&channel, ending);
        let closed = awaited(&mut events, "alert.closed", "channel.error");
        assert_eq!(closed["id"], opened["id"]);
    }
    let open = daemon.get(&format!("/alerts?state=open&channel={channel}"));
    assert!(items(&open).is_empty(), "{open}");
}

#[test]
fn an_item_that_breaks_is_an_alert_until_it_plays_or_is_not_played_any_more() {
    const BROKEN: &str = "channel.item_broken";
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (good, bad) = (daemon.import(&clip(1, 150)), daemon.import(&clip(3, 150)));
    let channel = daemon.channel(&[&good, &bad]);
    let rotate = |media: &[&String]| {
        let list: Vec<Value> = media.iter().map(|id| json!({ "mediaId": id })).collect();
        let path = format!("/channels/{channel}/rotation");
        daemon.api("PUT", &path, &json!({ "items": list }));
    };
    daemon.prepared(&good);
    daemon.prepared(&bad);
    let file = daemon.prepared_file(&bad);
    let whole = std::fs::read(&file).unwrap();
    let damage = || std::fs::write(&file, vec![0x55; whole.len()]).unwrap();
    damage();
    let mut events = daemon.events(&format!("?channel={channel}"));
    daemon.on_air(&channel);
    let opened = awaited(&mut events, "alert.opened", BROKEN);
    assert_eq!(opened["mediaId"], bad);
    let history = daemon.get(&format!("/channels/{channel}/history"));
    let entry = items(&history)
        .iter()
        .find(|entry| entry["failure"] == "item");
    let entry = entry.unwrap_or_else(|| panic!("{history}"));
    assert_eq!(
        (
            &entry["type"],
            &entry["fallbackStrategy"],
            &entry["mediaId"]
        ),
        (&json!("fallback"), &json!("nextItem"), &json!(bad))
    );

    // Mended, and tried again because the rotation is set.
    std::fs::write(&file, &whole).unwrap();
    rotate(&[&good, &bad]);
    assert_eq!(
        awaited(&mut events, "alert.closed", BROKEN)["id"],
        opened["id"]
    );

    // So soon after it is the same alert; without the item there is none.
    damage();
    let again = awaited(&mut events, "alert.opened", BROKEN);
    assert_eq!(
        (&again["id"], &again["reopened"]),
        (&opened["id"], &json!(1))
    );
    rotate(&[&good]);
    assert_eq!(
        awaited(&mut events, "alert.closed", BROKEN)["id"],
        opened["id"]
    );
}
