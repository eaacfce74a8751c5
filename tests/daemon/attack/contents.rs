//! Names that lead out, lines that forge others, tokens in the query, cursors of somebody else.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::caller::Caller;
use super::super::clips::clip;
use super::super::daemon::{BOUND, Daemon, folder, until};
use super::super::{http, plain};
use super::wire::peak;
use super::{Bystander, JSON, open, rest};

#[test]
fn what_an_uploads_file_is_called_leads_nowhere() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bystander = Bystander::of(&daemon);
    let film = std::fs::read(clip(3, 50)).unwrap();
    let outside = folder();
    let evil = outside.path().join("evil.mp4");
    let climbing = format!("../../../../../../../../../..{}", evil.display());
    let begin = |name: &str, bytes: &[u8]| {
        let (length, name) = (
            film.len().to_string(),
            format!("filename {}", STANDARD.encode(name)),
        );
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", &length),
            ("Upload-Metadata", &name),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        daemon.ask("POST", "/media/uploads", &headers, bytes)
    };
    for name in [
        &*evil.display().to_string(),
        "..",
        "/",
        "a\0b.mp4",
        "a\nb.mp4",
        "\u{202e}4pm.exe",
        "-rf",
        &"x".repeat(3000),
    ] {
        let answer = begin(name, b"");
        assert!(
            matches!(answer.status, 201 | 400 | 422),
            "{name:?}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let answer = begin(&climbing, &film);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let upload = answer.headers["location"]
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let mut media = Value::Null;
    until("the film is in the library", BOUND, || {
        media = daemon.get(&format!("/media/uploads/{upload}"))["mediaId"].clone();
        media.is_string()
    });
    let item = daemon.get(&format!("/media/{}", media.as_str().unwrap()));
    let path = item["path"].as_str().unwrap_or_else(|| panic!("{item}"));
    let library = data.path().canonicalize().unwrap().join("media/library");
    assert!(
        Path::new(path).canonicalize().unwrap().starts_with(library),
        "{path}"
    );
    assert!(!evil.exists());
    // Nor does a path in a request to import.
    for path in [
        format!("{}/../../../../etc/passwd", data.path().display()),
        "/etc/passwd\0.mp4".to_owned(),
        "/proc/self/environ".to_owned(),
    ] {
        let answer = daemon.ask(
            "POST",
            "/media",
            &[JSON],
            json!({ "path": path }).to_string().as_bytes(),
        );
        assert_eq!(answer.status, 422, "{path:?}: {}", answer.text());
        assert!(!answer.text().contains("root:"), "{}", answer.text());
    }
    bystander.was_answered();
}

#[test]
fn what_is_logged_of_a_request_is_one_line_and_no_secret() {
    let data = folder();
    let daemon = Daemon::start_talkative(data.path(), "");
    let forged = "\n{\"level\":\"INFO\",\"message\":\"forged by me\"}\n\x1b[2J";
    let escaped: String = forged.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let bearer = format!("Bearer {}", daemon.token());
    for path in [
        format!("/api/v1/{escaped}"),
        format!("/api/v1/channels?cursor={escaped}"),
        format!("/{escaped}?{escaped}"),
    ] {
        let headers = [
            ("Authorization", &*bearer),
            ("X-Request-Id", "a\x1b[31m"),
            ("User-Agent", "\x1b]0;x\x07"),
        ];
        // Hyper refuses some of it itself, without a word.
        let answer = plain::request(daemon.address(), "GET", &path, &headers, b"");
        assert!(
            answer.is_ok_and(|answer| matches!(answer.status, 400 | 404)),
            "{path}"
        );
    }
    for raw in [
        "GET /a\x1b[2Jb HTTP/1.1\r\n",
        "GET /a\u{9b}b\u{202e} HTTP/1.1\r\n",
        "GET /a HTTP/1.1\r\nX-Request-Id: a\nforged by me\r\n",
    ] {
        rest(open(
            &daemon,
            &format!("{raw}Host: t\r\nConnection: close\r\n\r\n"),
        ));
    }
    let channel = daemon.post("/channels", &json!({ "name": "a", "resolution": "240p" }));
    let name = format!("One {forged}");
    let path = format!("/channels/{}", channel["id"].as_str().unwrap());
    daemon.ask(
        "PATCH",
        &path,
        &[JSON],
        json!({ "name": name }).to_string().as_bytes(),
    );
    // A token where it does not belong is refused, and is in no log.
    for query in [
        "token=hunter2-query",
        "access_token=hunter2-query",
        "api_key=hunter2-query",
    ] {
        let answer = http::request(
            daemon.address(),
            "GET",
            &format!("/api/v1/events?{query}"),
            &[("Authorization", &*bearer)],
            b"",
        )
        .unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(
            answer.text().contains("no place in the query"),
            "{}",
            answer.text()
        );
    }
    rest(open(
        &daemon,
        "GET http://me:hunter2-uri@t/api/v1/channels HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    ));
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let log = daemon.log();
    assert!(log.contains("\"path\":"), "requests are logged");
    for line in log.lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line:?}"));
        assert_ne!(event["message"], "forged by me");
        assert!(!line.contains(['\x1b', '\x07', '\r']), "{line:?}");
    }
    for secret in ["hunter2", daemon.token()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn huge_pages_and_forged_cursors_show_nothing_that_is_not_the_callers() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bystander = Bystander::of(&daemon);
    let scopes = || json!(["read", "operate", "configure"]);
    let (_, owner) = Caller::of_client(&daemon, "Zebra", "enterprise", scopes());
    let (_, other) = Caller::of_client(&daemon, "Canal Dos", "enterprise", scopes());
    for name in ["zebra 1", "zebra 2", "zebra 3"] {
        let made = owner.ask(
            "POST",
            "/channels",
            &json!({ "name": name, "resolution": "240p" }),
        );
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let others = other.ask(
        "POST",
        "/channels",
        &json!({ "name": "dos", "resolution": "240p" }),
    );
    assert_eq!(others.status, 201);
    let channel = owner.get("/channels?limit=1").json();
    let id = channel["items"][0]["id"].as_str().unwrap().to_owned();
    let cursor = channel["nextCursor"].as_str().unwrap().to_owned();
    let lists = [
        "/channels",
        "/media",
        "/media?sort=title",
        "/tokens",
        "/alerts",
        "/alert-routes",
        "/alert-deliveries",
        "/media/imports",
        "/media/queue/jobs",
        &format!("/channels/{id}/history"),
        &format!("/channels/{id}/as-run"),
        "/audit",
        "/webhooks",
        "/plans",
        "/clients",
        "/media/watched",
    ];
    let early = "from=-009000-01-01T00:00:00Z";
    for forged in [
        &format!("/audit?{early}"),
        "/audit?actor=%00",
        "/audit?operation=%00",
        "/audit?cursor=-300000000000000000.1.00000000-0000-7000-8000-000000000001",
        &format!("/channels/{id}/as-run?{early}"),
    ] {
        let answer = owner.get(forged);
        assert!(answer.status < 500, "{forged}: {}", answer.text());
    }
    for list in lists {
        let glue = if list.contains('?') { '&' } else { '?' };
        for limit in [
            "1000000000",
            "99999999999999999999999999",
            "-1",
            "0",
            "1e3",
            "501",
            "%31%30%30%30",
            "",
        ] {
            let answer = owner.get(&format!("{list}{glue}limit={limit}"));
            assert!(
                matches!(answer.status, 400 | 422),
                "{list} {limit}: {} {}",
                answer.status,
                answer.text()
            );
        }
        for forged in [
            "x",
            "",
            &cursor[..20],
            "%00",
            "%ff%fe",
            &"9".repeat(5000),
            "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11'%20OR%201=1--",
            "null",
            "%7B%22id%22:1%7D",
        ] {
            let answer = owner.get(&format!("{list}{glue}cursor={forged}"));
            assert!(
                matches!(answer.status, 400 | 422),
                "{list} {forged}: {} {}",
                answer.status,
                answer.text()
            );
        }
        // An id that is one, of somebody else's or of nobody's, is only a place in the order.
        for id in [
            &*cursor,
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ] {
            let answer = other.get(&format!("{list}{glue}cursor={id}"));
            assert!(
                matches!(answer.status, 200 | 400 | 404 | 409 | 422),
                "{list} {id}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(
                !answer.text().contains("zebra"),
                "{list} {id}: {}",
                answer.text()
            );
        }
    }
    let seen = other.get(&format!("/channels?cursor={cursor}")).json();
    assert_eq!(seen["items"].as_array().map(Vec::len), Some(1), "{seen}");
    bystander.was_answered();
}

#[test]
fn a_body_of_nothing_but_mistakes_gets_a_small_answer() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bystander = Bystander::of(&daemon);
    let (client, owner) = Caller::of_client(
        &daemon,
        "Canal Uno",
        "enterprise",
        json!(["read", "operate", "configure"]),
    );
    let channels: Vec<Value> = (0..20)
        .map(|n| {
            let new = json!({ "name": n.to_string(), "resolution": "240p" });
            let made = owner.ask("POST", "/channels", &new);
            assert_eq!(made.status, 201, "{}", made.text());
            made.json()["id"].clone()
        })
        .collect();
    let unknown: serde_json::Map<String, Value> =
        (0..85_000).map(|n| (format!("a{n}"), json!(1))).collect();
    let unknown = Value::Object(unknown);
    let nested: serde_json::Map<String, Value> =
        (0..5_000).map(|n| (format!("a{n}"), json!(1))).collect();
    let bulk =
        |patch: &Value| json!({ "operation": "update", "channelIds": channels, "patch": patch });
    let before = peak(&daemon);
    for (path, body) in [
        ("/channels", &unknown),
        (&*format!("/clients/{client}/limits/check"), &unknown),
        ("/channels/bulk", &bulk(&unknown)),
        ("/channels/bulk", &unknown),
        ("/webhooks", &unknown),
    ] {
        let refused = owner.ask("POST", path, body);
        assert_eq!(refused.status, 422, "{path}");
        assert!(
            refused.body.len() < 100_000,
            "{path}: {} bytes",
            refused.body.len()
        );
        let told = refused.json();
        assert_eq!(
            told["violations"].as_array().map(Vec::len),
            Some(100),
            "{path}"
        );
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("8500"), "{path}: {detail}");
    }
    // What no channel has below a field that there is, each channel says for itself, and shortly.
    let bearer = format!("Bearer {}", owner.token);
    let headers = [("Authorization", &*bearer), JSON];
    let body = bulk(&json!({ "recoverySettings": nested })).to_string();
    let path = "/api/v1/channels/bulk";
    let refused =
        plain::request(daemon.address(), "POST", path, &headers, body.as_bytes()).unwrap();
    assert_eq!(refused.status, 200, "{}", refused.text());
    let told = refused.json();
    assert_eq!(told["failed"], 20);
    let problem = &told["items"][0]["problem"];
    assert_eq!(
        problem["violations"].as_array().map(Vec::len),
        Some(10),
        "{problem}"
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("5000 violations"),
        "{problem}"
    );
    assert!(refused.body.len() < 200_000, "{} bytes", refused.body.len());
    let grown = peak(&daemon).saturating_sub(before) / 1024;
    assert!(grown < 150, "{grown} MiB");
    bystander.was_answered();
}
