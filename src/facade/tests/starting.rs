//! What the facade answers while the living tier is still starting: routes and methods are judged
//! all the same, the rest has to wait.

use std::sync::Arc;
use std::time::Duration;

use playout_domain::pace::Pace;
use playout_store::SessionTimes;

use super::{LIMITS, Server, expect};
use crate::facade::access::AccessPolicy;
use crate::facade::cors::Origins;
use crate::facade::request::BodyLimits;
use crate::facade::shutdown::Shutdown;
use crate::facade::{Facade, Serves, Settings, StreamLimits};

const ID: &str = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";

pub(super) fn settings() -> Settings {
    Settings {
        body: BodyLimits {
            bytes: 1024,
            time: Duration::from_secs(10),
        },
        public_url: "http://t".to_owned(),
        viewer_url: "http://v".to_owned(),
        origins: Origins::new(&["https://dash.example.org".to_owned()]),
        handler: Duration::from_secs(10),
        data_dir: "/nowhere".into(),
        max_file: 1 << 30,
        access: AccessPolicy {
            session: SessionTimes {
                idle: Duration::from_secs(60),
                longest: Duration::from_secs(60),
            },
            requests: None,
            attempts: Pace {
                burst: 10,
                every: Duration::from_secs(1),
            },
        },
        heartbeat: Duration::from_secs(15),
        streams: StreamLimits {
            all: 2,
            of_client: 1,
            public: 2,
            of_address: 1,
        },
        patience: Duration::from_secs(10),
    }
}

async fn server() -> Server {
    let facade = Facade::new(settings(), Shutdown::new().1);
    Server::start(Arc::clone(&facade).routes(Serves::Everything), LIMITS).await
}

#[tokio::test]
async fn an_unknown_route_comes_first_then_a_wrong_method_then_the_rest() {
    let server = server().await;
    for path in [
        "/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/channels",
        "/api/v1/channel",
        "/api/v1/channels/7",
        "/api/v1/channels/",
        "//api/v1/channels",
        "/watch",
        "/watch/7",
        "/watch/assets/../watch.html",
        "/hls",
        "/hls/7/index.m3u8",
        "/healthz/",
    ] {
        let answer = server.ask("DELETE", path, "").await;
        expect(&answer, 404, &["urn:problem-type:playoutd:not-found"]);
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/channels".to_owned(), "GET, HEAD, POST"),
        (
            "PUT",
            format!("/api/v1/channels/{ID}"),
            "GET, HEAD, PATCH, DELETE",
        ),
        ("GET", format!("/api/v1/channels/{ID}/start"), "POST"),
        (
            "POST",
            format!("/api/v1/channels/{ID}/rotation"),
            "GET, HEAD, PUT",
        ),
        ("HEAD", format!("/api/v1/channels/{ID}/stop"), "POST"),
        ("POST", "/api/v1/events".to_owned(), "GET, HEAD"),
        ("BREW", "/healthz".to_owned(), "GET, HEAD"),
        ("POST", format!("/hls/{ID}/index.m3u8"), "GET, HEAD"),
    ] {
        let answer = server.ask(method, &path, "").await;
        let allow = format!("allow: {allow}, OPTIONS\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 405 "),
            "{method} {path}: {answer}"
        );
        assert!(answer.contains(&allow), "{method} {path}: {answer}");
    }
    for path in [
        "/api/v1/channels".to_owned(),
        "/readyz".to_owned(),
        format!("/hls/{ID}/index.m3u8"),
        format!("/watch/{ID}/events"),
    ] {
        let answer = server.ask("GET", &path, "").await;
        expect(
            &answer,
            503,
            &["retry-after: 1\r\n", "The daemon is starting."],
        );
    }
    expect(
        &server.ask("GET", "/healthz", "").await,
        200,
        &["{\"status\":\"ok\"}"],
    );
    server.stop().await;
}

#[tokio::test]
async fn options_are_answered_without_a_token() {
    let server = server().await;
    let answer = server.ask("OPTIONS", "/api/v1/channels", "").await;
    expect(&answer, 204, &["allow: GET, HEAD, POST, OPTIONS\r\n"]);
    server.stop().await;
}

#[tokio::test]
async fn streams_may_be_read_by_pages_of_any_origin() {
    let server = server().await;
    let path = format!("/hls/{ID}/index.m3u8");
    let origin = "Origin: https://tv.example.org\r\n";
    let refused = server.ask("GET", &path, origin).await;
    expect(&refused, 503, &["access-control-allow-origin: *\r\n"]);
    let preflight = format!("{origin}Access-Control-Request-Method: GET\r\n");
    let allowed = server.ask("OPTIONS", &path, &preflight).await;
    let methods = "access-control-allow-methods: GET, HEAD, OPTIONS\r\n";
    expect(
        &allowed,
        204,
        &["access-control-allow-origin: *\r\n", methods],
    );
    let api = server.ask("OPTIONS", "/api/v1/channels", &preflight).await;
    assert!(!api.contains("access-control"), "{api}");
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_where_there_are_none() {
    let server = server().await;
    let answer = server.ask("GET", "/healthz?verbose=1", "").await;
    expect(&answer, 400, &["`verbose` is not known here"]);
    server.stop().await;
}
