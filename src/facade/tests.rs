//! The accept loop and everything about HTTP that needs no database, over real sockets.
#![allow(clippy::unwrap_used)]

mod heads;
mod listeners;
mod starting;
mod streams;
mod tls;
mod unsent;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::accept::{ConnectionLimits, Terms, serve};
use super::listener::{Listener, Routes, Socket};
use super::problem::Problem;
use super::proxies::{Proxy, Told, TrustedProxies};
use super::representation::Representation;
use super::request::{BodyLimits, Request, request};
use super::shutdown::Shutdown;
use super::tls::Tls;

/// Nothing here takes longer; a test that does has hung.
const BOUND: Duration = Duration::from_secs(20);

pub(super) const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 64,
    of_address: 64,
    spares_this_machine: false,
    head: Duration::from_secs(10),
    unacknowledged: Duration::from_secs(10),
    grace: Duration::from_secs(10),
};

/// A listener of its own with `routes` behind it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(routes: Routes, limits: ConnectionLimits) -> Self {
        Self::start_with(routes, limits, None).await
    }

    pub(super) async fn start_with(
        routes: Routes,
        limits: ConnectionLimits,
        tls: Option<Tls>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, shutting_down) = Shutdown::new();
        let trusted: Vec<Proxy> = vec!["127.0.0.2".parse().unwrap()];
        let proxies = TrustedProxies::new(&trusted, Told::XForwardedFor);
        let terms = Terms { limits, proxies };
        let listener = Listener {
            socket: Socket::Tcp(listener),
            routes,
            tls,
        };
        let task = tokio::spawn(serve(vec![listener], terms, shutting_down));
        Self {
            address,
            shutdown,
            task,
        }
    }

    /// Sends `text`, answers everything up to the end of the connection.
    pub(super) async fn exchange(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    /// One request without a body on a connection of its own.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        self.exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
    }

    pub(super) async fn stop(self) {
        self.shutdown.begin();
        tokio::time::timeout(BOUND, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(BOUND, stream.read_to_end(&mut answer))
        .await
        .expect("the connection ends")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Routes: `/address` answers where the request comes from, `/echo` answers the JSON it was sent, `/bytes` serves ten of them, `/endless` never ends.
async fn answer(mut request: Request) -> Result<Response, Problem> {
    match request.segments()[..] {
        ["echo"] => {
            let limits = BodyLimits {
                bytes: 64,
                time: Duration::from_millis(300),
            };
            let body = request.json(&["application/json"], limits).await?;
            Ok(Response::new(body.to_string().into()))
        }
        ["bytes"] => Representation {
            body: Bytes::from_static(b"0123456789"),
            etag: "\"ten\"".to_owned(),
            content_type: "video/mp2t",
            cache_control: "max-age=60".to_owned(),
        }
        .answer(&request),
        ["address"] => Ok(Response::new(request.address().to_string().into())),
        ["endless"] => {
            let endless = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            Ok(warp::reply::stream(endless).into_response())
        }
        _ => Err(Problem::not_found("route")),
    }
}

fn routes() -> Routes {
    request()
        .and_then(async |request| {
            let answered: Result<Response, Problem> = answer(request).await;
            Ok::<_, warp::Rejection>(answered.unwrap_or_else(Problem::into_response))
        })
        .boxed()
        .into()
}

async fn server() -> Server {
    Server::start(routes(), LIMITS).await
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n{body}")
}

#[track_caller]
fn expect(answer: &str, status: u16, parts: &[&str]) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    for part in parts {
        assert!(answer.contains(part), "{part:?} not in: {answer}");
    }
    if status >= 400 {
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(
            answer.contains("content-type: application/problem+json"),
            "{answer}"
        );
        assert_eq!(document["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(
                !document[member].as_str().unwrap().is_empty(),
                "{member}: {document}"
            );
        }
    }
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

#[tokio::test]
async fn connect_and_a_request_without_a_path_are_refused_and_the_next_request_is_served() {
    let server = server().await;
    for line in [
        "CONNECT example.org:443",
        "CONNECT /echo",
        "OPTIONS *",
        "GET http://t",
    ] {
        let answer = server
            .exchange(&format!(
                "{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{line}: {answer}");
    }
    expect(&server.ask("GET", "/bytes", "").await, 200, &["0123456789"]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_is_bounded_whether_it_says_its_length_or_not() {
    let server = server().await;
    let long = format!("\"{}\"", "x".repeat(100));
    let declared = post(&format!("{JSON}Content-Length: {}\r\n", long.len()), &long);
    expect(
        &server.exchange(&declared).await,
        413,
        &["64 bytes at most", "\"limit\":64"],
    );
    let chunks = format!("{JSON}Transfer-Encoding: chunked\r\n");
    let chunk = "1e\r\n012345678901234567890123456789\r\n";
    let chunked = post(&chunks, &format!("{}0\r\n\r\n", chunk.repeat(3)));
    expect(&server.exchange(&chunked).await, 413, &[]);
    let fitting = post(&chunks, "5\r\n[1, 2\r\n4\r\n, 3]\r\n0\r\n\r\n");
    expect(&server.exchange(&fitting).await, 200, &["[1,2,3]"]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_with_its_place() {
    let server = server().await;
    for (body, line, column) in [("{\"a\": }", 1, 7), ("{\n\"a\" 1}", 2, 5)] {
        let request = post(&format!("{JSON}Content-Length: {}\r\n", body.len()), body);
        let place = format!("\"line\":{line},");
        let column = format!("\"column\":{column}");
        expect(
            &server.exchange(&request).await,
            400,
            &["malformed-json", &place, &column],
        );
    }
    let deep = post(&format!("{JSON}Content-Length: 60\r\n"), &"[".repeat(60));
    expect(&server.exchange(&deep).await, 400, &["malformed-json"]);
    for empty in ["", " \n"] {
        let request = post(&format!("{JSON}Content-Length: {}\r\n", empty.len()), empty);
        let answer = server.exchange(&request).await;
        expect(&answer, 400, &["malformed-json", "The body is empty"]);
        assert!(!answer.contains("column"), "{answer}");
    }
    let twice = r#"{"a": [{"b": 1, "b": 2}]}"#;
    let request = post(&format!("{JSON}Content-Length: {}\r\n", twice.len()), twice);
    expect(
        &server.exchange(&request).await,
        422,
        &["\"pointer\":\"/a/0/b\"", "comes twice"],
    );
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_another_type_or_coded_is_refused() {
    let server = server().await;
    let text = post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}");
    expect(
        &server.exchange(&text).await,
        415,
        &["accept: application/json"],
    );
    let none = post("Content-Length: 2\r\n", "{}");
    expect(&server.exchange(&none).await, 415, &["no Content-Type"]);
    let coded = post(
        &format!("{JSON}Content-Encoding: gzip\r\nContent-Length: 2\r\n"),
        "{}",
    );
    expect(&server.exchange(&coded).await, 415, &["gzip"]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = server().await;
    let half = post(&format!("{JSON}Content-Length: 20\r\n"), "{");
    expect(&server.exchange(&half).await, 408, &["body-timeout"]);
    server.stop().await;
}

#[tokio::test]
async fn serves_the_whole_a_part_or_nothing_new() {
    let server = server().await;
    let whole = server.ask("GET", "/bytes", "").await;
    expect(
        &whole,
        200,
        &[
            "etag: \"ten\"",
            "cache-control: max-age=60",
            "content-length: 10",
        ],
    );
    let head = server.ask("HEAD", "/bytes", "Range: bytes=0-1\r\n").await;
    expect(
        &head,
        200,
        &["content-length: 10", "content-type: video/mp2t"],
    );
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let part = server.ask("GET", "/bytes", "Range: bytes=2-4\r\n").await;
    expect(
        &part,
        206,
        &[
            "content-range: bytes 2-4/10",
            "content-length: 3",
            "\r\n\r\n234",
        ],
    );
    let stale = "Range: bytes=2-4\r\nIf-Range: \"nine\"\r\n";
    expect(
        &server.ask("GET", "/bytes", stale).await,
        200,
        &["0123456789"],
    );
    let outside = server.ask("GET", "/bytes", "Range: bytes=10-\r\n").await;
    expect(&outside, 416, &["content-range: bytes */10"]);
    let same = server
        .ask("GET", "/bytes", "If-None-Match: \"a\", \"ten\"\r\n")
        .await;
    expect(&same, 304, &["etag: \"ten\"", "cache-control: max-age=60"]);
    server.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_request_id() {
    let server = server().await;
    let given = server
        .ask("GET", "/nowhere", "X-Request-Id: job-7\r\n")
        .await;
    expect(&given, 404, &["x-request-id: job-7"]);
    expect(
        &server.ask("GET", "/nowhere", "").await,
        404,
        &["x-request-id: 0"],
    );
    server.stop().await;
}

#[tokio::test]
async fn a_request_comes_from_where_a_trusted_proxy_says_and_nobody_else() {
    let server = server().await;
    let told = "X-Forwarded-For: 198.51.100.1\r\n";
    let answer = server.ask("GET", "/address", told).await;
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut proxy = socket.connect(server.address).await.unwrap();
    let request = format!("GET /address HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{told}\r\n");
    proxy.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut proxy).await;
    assert!(answer.ends_with("\r\n\r\n198.51.100.1"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_is_closed() {
    let limits = ConnectionLimits {
        head: Duration::from_millis(200),
        ..LIMITS
    };
    let server = Server::start(routes(), limits).await;
    for begun in ["", "PRI * HTTP/2.0\r\n", "GET /bytes HTTP/1.1\r\nHost: t"] {
        let answer = server.exchange(begun).await;
        assert!(!answer.contains("200"), "{begun:?}: {answer}");
    }
    let kept = server
        .exchange("GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    expect(&kept, 200, &["0123456789"]);
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let limits = ConnectionLimits {
        connections: 1,
        ..LIMITS
    };
    let server = Server::start(routes(), limits).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first
        .write_all(b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    let mut begun = [0; 12];
    first.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let second = server.exchange("").await;
    assert!(
        second.starts_with("HTTP/1.1 503 ") && second.contains("retry-after: 2"),
        "{second}"
    );
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn one_address_has_not_all_connections() {
    let limits = ConnectionLimits {
        of_address: 1,
        ..LIMITS
    };
    let server = Server::start(routes(), limits).await;
    let request = b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n";
    let from = async |address: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(format!("{address}:0").parse().unwrap())
            .unwrap();
        let mut stream = socket.connect(server.address).await.unwrap();
        let mut begun = [0; 12];
        // What is refused may be closed before it has read this.
        let _ = stream.write_all(request).await;
        stream.read_exact(&mut begun).await.unwrap();
        (stream, String::from_utf8(begun.to_vec()).unwrap())
    };
    let (first, begun) = from("127.0.0.1").await;
    assert_eq!(begun, "HTTP/1.1 200");
    let refused = server.exchange("").await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("connections from this address"),
        "{refused}"
    );
    let (_other, begun) = from("127.0.0.3").await;
    assert_eq!(begun, "HTTP/1.1 200");
    let proxies = [from("127.0.0.2").await, from("127.0.0.2").await];
    assert!(
        proxies.iter().all(|(_, begun)| begun == "HTTP/1.1 200"),
        "a trusted proxy is not counted"
    );
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_the_grace_and_no_longer() {
    let limits = ConnectionLimits {
        grace: Duration::from_millis(200),
        ..LIMITS
    };
    let server = Server::start(routes(), limits).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    let mut begun = [0; 12];
    idle.read_exact(&mut begun).await.unwrap();
    let mut endless = TcpStream::connect(server.address).await.unwrap();
    endless
        .write_all(b"GET /endless HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    endless.read_exact(&mut begun).await.unwrap();
    server.stop().await;
    assert!(rest(&mut idle).await.ends_with("0123456789"));
    assert!(rest(&mut endless).await.ends_with("\r\n\r\n"));
}
