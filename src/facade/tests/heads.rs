//! Heads of requests that are too much, or say what they should not; and what the heads of answers say.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::starting::settings;
use super::{BOUND, LIMITS, Server, expect, server};
use crate::facade::shutdown::Shutdown;
use crate::facade::{Facade, Serves};

#[tokio::test]
async fn a_flood_of_fields_is_refused_and_the_next_request_is_served() {
    let server = server().await;
    let many = "X-A: b\r\n".repeat(200);
    let long = format!("X-A: {}\r\n", "b".repeat(100_000));
    let endless = "X-A: b\r\n".repeat(100_000);
    for flood in [&many, &long, &endless] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may be cut off before everything was sent.
        let head = format!("GET /bytes HTTP/1.1\r\nHost: t\r\n{flood}\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer);
        // A reset may take the answer along.
        assert!(
            text.starts_with("HTTP/1.1 431 ") || (text.is_empty() && read.unwrap().is_err()),
            "{text}"
        );
    }
    let few = "X-A: b\r\n".repeat(90);
    expect(
        &server.ask("GET", "/bytes", &few).await,
        200,
        &["0123456789"],
    );
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_fields_is_refused_over_http_2_as_well() {
    let server = server().await;
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (mut sender, connection) = handshake(TokioExecutor::new(), stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let ask = |bytes: usize| {
        let request = hyper::Request::get("http://t/bytes").header("x-a", "b".repeat(bytes));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let few = sender.send_request(ask(1_000)).await.unwrap();
    assert_eq!(few.status(), 200);
    // The stream is refused, and perhaps the connection with it.
    if let Ok(answer) = sender.send_request(ask(200_000)).await {
        assert_eq!(answer.status(), 431);
    }
    drop(sender);
    let _ = tokio::time::timeout(BOUND, driven).await.unwrap();
    expect(&server.ask("GET", "/bytes", "").await, 200, &[]);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_asks_is_cut_off() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // `GET http://…/`, all from the static table (RFC 7541 A), and RST_STREAM with CANCEL.
    for stream in (1_u32..2_000).step_by(2) {
        sent.extend([0, 0, 3, 1, 5]);
        sent.extend(stream.to_be_bytes());
        sent.extend([0x82, 0x84, 0x86]);
        sent.extend([0, 0, 4, 3, 0]);
        sent.extend(stream.to_be_bytes());
        sent.extend([0, 0, 0, 8]);
    }
    let _ = stream.write_all(&sent).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer))
        .await
        .expect("the connection ends");
    // GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7); a reset may take it along.
    let goaway = answer
        .windows(17)
        .any(|frame| frame[3] == 7 && frame[13..17] == [0, 0, 0, 11]);
    assert!(goaway || answer.len() < 2_000 * 9, "{} bytes", answer.len());
    expect(&server.ask("GET", "/bytes", "").await, 200, &[]);
    server.stop().await;
}

#[tokio::test]
async fn a_whole_uri_is_taken_for_its_path_and_never_with_a_password() {
    let server = server().await;
    for uri in [
        "http://t/bytes",
        "http://elsewhere.example/bytes",
        "https://t:1/bytes",
    ] {
        expect(&server.ask("GET", uri, "").await, 200, &["0123456789"]);
    }
    expect(
        &server.ask("GET", "ftp://t/bytes", "").await,
        400,
        &["no proxy"],
    );
    for uri in ["http://user:secret@t/bytes", "http://user@t/bytes"] {
        let answer = server.ask("GET", uri, "").await;
        expect(&answer, 400, &["Authorization: Bearer"]);
        assert!(!answer.contains("secret"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_do_no_more_with_it_than_was_meant() {
    let server = server().await;
    for (method, path) in [
        ("GET", "/bytes"),
        ("GET", "/nowhere"),
        ("OPTIONS", "*"),
        ("GET", "http://a@t/"),
    ] {
        let answer = server.ask(method, path, "").await;
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "x-frame-options: DENY",
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "permissions-policy: camera=()",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.contains(header), "{header} of {path}: {answer}");
        }
        for header in ["\r\nserver:", "strict-transport-security"] {
            assert!(!answer.contains(header), "{header} of {path}: {answer}");
        }
    }
    server.stop().await;
}

async fn facade() -> Server {
    let facade = Facade::new(settings(), Shutdown::new().1);
    Server::start(Arc::clone(&facade).routes(Serves::Everything), LIMITS).await
}

#[tokio::test]
async fn what_players_fetch_may_be_embedded_by_pages_of_any_origin() {
    let server = facade().await;
    let id = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    let answer = server
        .ask("GET", &format!("/hls/{id}/index.m3u8"), "")
        .await;
    expect(
        &answer,
        503,
        &["cross-origin-resource-policy: cross-origin"],
    );
    server.stop().await;
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_use_the_api_and_no_others() {
    let server = facade().await;
    let ask = async |method, origin: &str, more: &str| {
        let headers = format!("Origin: {origin}\r\n{more}");
        server.ask(method, "/api/v1/channels", &headers).await
    };
    let wants =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    let ours = "https://dash.example.org";
    let preflight = ask("OPTIONS", ours, wants).await;
    for part in [
        "HTTP/1.1 204 ",
        "access-control-allow-origin: https://dash.example.org\r\n",
        "access-control-allow-methods: GET, HEAD, POST, OPTIONS\r\n",
        "access-control-max-age: 7200",
        "vary: Origin",
    ] {
        assert!(preflight.contains(part), "{part}: {preflight}");
    }
    assert!(
        preflight.contains("Authorization, Content-Type"),
        "{preflight}"
    );
    // A page that uploads may have to say `PATCH` so.
    assert!(preflight.contains("X-HTTP-Method-Override"), "{preflight}");
    assert!(!preflight.contains("allow-credentials"), "{preflight}");
    // A refusal can be read, too.
    let refused = ask("GET", ours, "").await;
    expect(
        &refused,
        503,
        &[
            "access-control-allow-origin: https://dash.example.org",
            "ETag, Idempotency-Replayed",
        ],
    );
    for origin in [
        "https://dash.example.org.evil.example",
        "http://dash.example.org",
        "https://dash.example.org:444",
        "null",
    ] {
        for answer in [
            ask("OPTIONS", origin, wants).await,
            ask("GET", origin, "").await,
        ] {
            assert!(!answer.contains("access-control-"), "{answer}");
            assert!(answer.contains("vary: Origin"), "{answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_in_the_query_is_refused_and_not_repeated() {
    let server = facade().await;
    for query in [
        "token=hunter2",
        "limit=1&access_token=hunter2",
        "%61pi_key=hunter2",
        "api-key",
        "Authorization=Bearer+hunter2",
    ] {
        let path = format!("/api/v1/channels?{query}");
        let answer = server.ask("GET", &path, "").await;
        expect(&answer, 400, &["no place in the query"]);
        assert!(!answer.contains("hunter2"), "{answer}");
    }
    expect(
        &server.ask("GET", "/api/v1/channels?cursor=token", "").await,
        503,
        &[],
    );
    server.stop().await;
}
