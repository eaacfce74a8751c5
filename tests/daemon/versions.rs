//! What can be changed has a version: whoever saw an earlier one is refused, and nothing is changed.

use serde_json::{Value, json};

use super::caller::Caller;
use super::clips;
use super::daemon::{Daemon, folder};
use super::http::{self, Answer};

/// A thing, and what changes it last of all: with the version that it has by then.
struct Thing {
    path: String,
    tag: String,
    change: (&'static str, Value),
}

impl Thing {
    fn made(path: String, made: &Answer, change: (&'static str, Value)) -> Self {
        assert!(matches!(made.status, 200 | 201), "{}", made.text());
        let tag = made.headers["etag"].clone();
        Self { path, tag, change }
    }
}

#[test]
fn nobody_changes_what_another_has_changed_since() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (id, owner) = Caller::of_client(
        &daemon,
        "one",
        "pro",
        json!(["read", "operate", "configure"]),
    );
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let location = |answer: &Answer| {
        let location = &answer.headers["location"];
        location.trim_start_matches("/api/v1").to_owned()
    };
    let media = owner.upload("clip.ts", &clips::clip(1, 50));
    let subtitles = format!("/media/{media}/subtitles/en");
    let cue = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";
    let spoken_with = |name: &str, tag: &str| {
        let bearer = format!("Bearer {}", owner.token);
        let headers = [
            ("Authorization", &*bearer),
            ("Content-Type", "text/vtt"),
            (name, tag),
        ];
        let path = format!("/api/v1{subtitles}");
        http::request(daemon.address(), "PUT", &path, &headers, cue.as_bytes()).expect("an answer")
    };
    let spoken_in = |tag: &str| spoken_with("If-Match", tag);
    assert_eq!(spoken_in("*").status, 412, "there is nothing yet");
    let spoken = spoken_with("If-None-Match", "*");
    assert_eq!(spoken_with("If-None-Match", "*").status, 412);
    assert_eq!(spoken_with("If-None-Match", "\"1\"").status, 400);
    let route = json!({ "type": "webhook", "url": "https://hooks.example/a" });
    let route = owner.ask("POST", "/alert-routes", &route);
    let webhook = json!({ "url": "https://hooks.example/b", "events": ["*"] });
    let webhook = owner.ask("POST", "/webhooks", &webhook);
    let token = owner.ask(
        "POST",
        "/tokens",
        &json!({ "name": "ci", "expiresAt": null }),
    );
    let over = format!("/clients/{id}/overrides/maxChannels");
    let lifted = json!({ "value": 7, "reason": "festival", "expiresAt": null });
    let set = operator.ask("PUT", &over, &lifted);
    let channel = owner.ask("POST", "/channels", &json!({ "name": "One" }));
    let at = location(&channel);
    let things = [
        (
            &owner,
            Thing::made(
                location(&route),
                &route,
                ("PATCH", json!({ "minimumSeverity": "critical" })),
            ),
        ),
        (
            &owner,
            Thing::made(
                location(&webhook),
                &webhook,
                ("PATCH", json!({ "description": "x" })),
            ),
        ),
        (
            &owner,
            Thing::made(
                format!("{}/rotate", location(&token)),
                &token,
                ("POST", Value::Null),
            ),
        ),
        (
            &operator,
            Thing::made(over.clone(), &set, ("PUT", lifted.clone())),
        ),
        (
            &owner,
            Thing::made(at.clone(), &channel, ("PATCH", json!({ "name": "Two" }))),
        ),
        (
            &owner,
            Thing::made(
                format!("/media/{media}"),
                &owner.get(&format!("/media/{media}")),
                ("PATCH", json!({ "title": "T" })),
            ),
        ),
    ];
    for (who, thing) in &things {
        let Thing {
            path,
            tag,
            change: (method, body),
        } = thing;
        let change = |tag: &str| who.ask_with(method, path, body, &[("If-Match", tag)]);
        let stale = change("\"1234567\"");
        assert_eq!(stale.status, 412, "{path}: {}", stale.text());
        let first = change(tag);
        assert_eq!(first.status, 200, "{path}: {}", first.text());
        // Whoever comes second with the same version does not undo it.
        let second = change(tag);
        assert_eq!(second.status, 412, "{path}: {}", second.text());
        let now = &first.headers["etag"];
        assert_ne!(now, tag, "{path}");
        let one = path.trim_end_matches("/rotate");
        assert_eq!(&who.get(one).headers["etag"], now, "{path}");
        assert_eq!(
            who.ask_with("DELETE", one, &Value::Null, &[("If-Match", tag)])
                .status,
            412
        );
    }
    // Texts are no JSON.
    let tag = &spoken.headers["etag"];
    assert_eq!(&owner.get(&subtitles).headers["etag"], tag);
    let replaced = spoken_in(tag);
    assert_eq!((replaced.status, spoken_in(tag).status), (200, 412));
    let gone = owner.ask_with("DELETE", &subtitles, &Value::Null, &[("If-Match", tag)]);
    assert_eq!(gone.status, 412);
    let now = &replaced.headers["etag"];
    let gone = owner.ask_with("DELETE", &subtitles, &Value::Null, &[("If-Match", now)]);
    assert_eq!(gone.status, 204);
    for (who, thing) in &things {
        let one = thing.path.trim_end_matches("/rotate");
        let now = who.get(one).headers["etag"].clone();
        let gone = who.ask_with("DELETE", one, &Value::Null, &[("If-Match", &now)]);
        assert_eq!(gone.status, 204, "{one}: {}", gone.text());
    }
    // To the client, the operator is the operator.
    operator.ask("PUT", &over, &lifted);
    let shown = owner.get(&over).json();
    assert_eq!(shown["setBy"], "operator");
    assert_ne!(operator.get(&over).json()["setBy"], "operator");
    let told = owner.get("/audit?operation=override.set").json();
    let entry = &told["items"][0];
    assert_eq!(
        (&entry["actor"], &entry["tokenId"]),
        (&json!("operator"), &Value::Null)
    );
    assert!(entry["detail"]["after"].get("setBy").is_none(), "{entry}");
    let own = owner.get("/audit?operation=channel.create").json();
    assert_eq!(own["items"][0]["actor"], "script");
    let hidden = owner.get("/audit?actor=operator&operation=override").json();
    assert_eq!(hidden["items"].as_array().unwrap().len(), 4);
}
