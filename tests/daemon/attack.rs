//! Attacks on the HTTP listener, each with somebody beside it who asks all the while and has to be answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Somebody who asks for the channels again and again.
struct Bystander {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<usize>,
}

impl Bystander {
    fn of(daemon: &Daemon) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), daemon.address().to_owned());
        let bearer = format!("Bearer {}", daemon.token());
        let asking = std::thread::spawn(move || {
            let headers = [("Authorization", &*bearer)];
            let mut answered = 0;
            while answered == 0 || !stopped.load(Ordering::Relaxed) {
                for path in ["/healthz", "/api/v1/channels"] {
                    let answer = http::request(&address, "GET", path, &headers, b"");
                    let answer = answer.expect("the bystander is answered");
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                }
                answered += 1;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            answered
        });
        Self { stop, asking }
    }

    /// It was answered all along.
    fn was_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.asking.join().expect("the bystander was answered");
        assert!(answered > 0);
    }
}

fn open(daemon: &Daemon, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// What comes until the connection ends; a reset ends it, too.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of a `POST /channels` of the operator.
fn post(daemon: &Daemon, headers: &str) -> String {
    format!(
        "POST /api/v1/channels HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{headers}\r\n",
        daemon.token()
    )
}

/// Peak of the daemon's memory in KiB.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|rest| rest.split_whitespace().next());
    peak.unwrap().parse().unwrap()
}

#[test]
fn heads_and_bodies_that_do_not_come_are_not_waited_for() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[http]\nhead_timeout = 1\nbody_timeout = 1\n");
    let bystander = Bystander::of(&daemon);
    let heads = [
        "",
        "GET",
        "GET /api/v1/channels HTTP/1.1\r\nX-A: b",
        "PRI * HTTP/2.0\r\n\r\n",
    ];
    let bodies = [
        post(&daemon, "Content-Length: 1000\r\n") + "{",
        post(&daemon, "Transfer-Encoding: chunked\r\n") + "5\r\n{",
        post(&daemon, "Transfer-Encoding: chunked\r\n"),
    ];
    let (mut slow, mut half) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        slow.extend(heads.iter().map(|head| open(&daemon, head)));
        half.extend(bodies.iter().map(|body| open(&daemon, body)));
    }
    for stream in slow {
        let answer = rest(stream);
        assert!(!answer.contains("200"), "{answer}");
    }
    for stream in half {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    bystander.was_answered();
    assert_eq!(daemon.get("/channels")["items"], json!([]));
}

/// Sends pieces until the daemon takes no more; answers what it says.
fn pour(daemon: &Daemon, head: &str, piece: &[u8], times: usize) -> String {
    let mut stream = open(daemon, head);
    let reading = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || rest(reading));
    for _ in 0..times {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    reading.join().unwrap()
}

#[test]
fn bodies_that_are_too_much_or_no_json_are_refused_and_not_kept() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bystander = Bystander::of(&daemon);
    let before = peak(&daemon);
    let mebibyte = vec![b' '; 1 << 20];
    let declared = post(&daemon, "Content-Length: 104857600\r\n");
    let chunk = [b"100000\r\n", &mebibyte[..], b"\r\n"].concat();
    let chunked = post(&daemon, "Transfer-Encoding: chunked\r\n");
    for (head, piece) in [(&declared, &mebibyte), (&chunked, &chunk)] {
        let answer = pour(&daemon, head, piece, 100);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    let grown = peak(&daemon).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    let deep = "[".repeat(100_000);
    let objects = "{\"a\":".repeat(100_000);
    let name = [&b"{\"name\": \"caf\xe9 "[..], &[0xff, 0xfe], b"\"}"].concat();
    for (body, status) in [
        (deep.as_bytes(), 400),
        (objects.as_bytes(), 400),
        (&name, 400),
        (b"\"\\ud800\"", 400),
        (br#"{"name": "a", "name": "b"}"#, 422),
        (
            br#"{"name": "a", "resourceSettings": {"cpu": 1, "cpu": 2}}"#,
            422,
        ),
        (br#"{"name": "a\u0000b"}"#, 422),
        (b"", 400),
    ] {
        let answer = daemon.ask("POST", "/channels", &[JSON], body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    bystander.was_answered();
    assert_eq!(daemon.get("/channels")["items"], json!([]));
}

#[test]
fn requests_that_are_none_and_paths_that_lead_out_get_nothing() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bystander = Bystander::of(&daemon);
    for begin in [
        "CONNECT 127.0.0.1:22",
        "CONNECT /api/v1/channels",
        "OPTIONS *",
        "GET http://user:hunter2@t/healthz",
        "GET file:///etc/passwd",
        "GET ftp://t/healthz",
        "GET healthz",
        "GET /healthz HTTP/9.9\r\nX:",
        "\0\x01\x02",
    ] {
        let answer = rest(open(
            &daemon,
            &format!("{begin} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
        ));
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{begin}: {answer}"
        );
        assert!(!answer.contains("hunter2"), "{answer}");
    }
    let flood = "X-A: b\r\n".repeat(50_000);
    let answer = pour(
        &daemon,
        "GET /healthz HTTP/1.1\r\nHost: t\r\n",
        flood.as_bytes(),
        10,
    );
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    // A proxy's way to write a request is taken.
    let answer = rest(open(
        &daemon,
        "GET http://t/healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    ));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let id = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    let ups = [
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "..\\..\\etc\\passwd",
        "%00",
        "a%00.ts",
        "%252e%252e%252fetc%252fpasswd",
        "....//....//etc/passwd",
        "/etc/passwd",
    ];
    for base in [
        "/",
        "/api/v1/",
        "/api/v1/channels/",
        "/api/v1/media/",
        "/api/v1/media/uploads/",
        "/hls/",
        &format!("/hls/{id}/"),
        "/watch/",
        "/watch/assets/",
    ] {
        for up in ups {
            let path = format!("{base}{up}");
            let bearer = format!("Bearer {}", daemon.token());
            let headers = [("Authorization", &*bearer), ("Tus-Resumable", "1.0.0")];
            for method in ["GET", "DELETE"] {
                let answer = http::request(daemon.address(), method, &path, &headers, b"").unwrap();
                assert!(
                    matches!(answer.status, 400 | 404 | 405),
                    "{method} {path}: {}",
                    answer.status
                );
                assert!(!answer.text().contains("root:"), "{path}");
            }
        }
    }
    bystander.was_answered();
}

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
        let answer = http::request(daemon.address(), "GET", &path, &headers, b"");
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
    ];
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
