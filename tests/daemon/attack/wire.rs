//! Heads, bodies and paths that are none, too much, or do not come.

use std::io::Write;

use serde_json::json;

use super::super::daemon::{Daemon, folder};
use super::super::http;
use super::{Bystander, JSON, open, rest};

/// The head of a `POST /channels` of the operator.
fn post(daemon: &Daemon, headers: &str) -> String {
    format!(
        "POST /api/v1/channels HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{headers}\r\n",
        daemon.token()
    )
}

/// Peak of the daemon's memory in KiB.
pub(super) fn peak(daemon: &Daemon) -> u64 {
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
    for fields in [
        "",
        "Host: t\r\nHost: u\r\n",
        "Host: t\r\nTransfer-Encoding: gzip, chunked\r\n",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        let answer = rest(open(&daemon, &request));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
    }
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
