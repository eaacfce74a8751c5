//! Several listeners, and what each of them serves.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::starting::settings;
use super::{BOUND, LIMITS, expect, routes};
use crate::facade::accept::{ConnectionLimits, Terms, serve};
use crate::facade::listener::{Listener, Routes, Socket};
use crate::facade::proxies::{Told, TrustedProxies};
use crate::facade::shutdown::Shutdown;
use crate::facade::{Facade, Serves};

fn listener(socket: Socket, routes: Routes) -> Listener {
    Listener {
        socket,
        routes,
        tls: None,
    }
}

fn terms(limits: ConnectionLimits) -> Terms {
    let proxies = TrustedProxies::new(&["unix".parse().unwrap()], Told::XForwardedFor);
    Terms { limits, proxies }
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"
    )
}

#[tokio::test]
async fn listeners_share_their_places_and_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let limits = ConnectionLimits {
        connections: 1,
        ..LIMITS
    };
    let listeners = vec![
        listener(Socket::Tcp(tcp), routes()),
        listener(Socket::Unix(UnixListener::bind(&path).unwrap()), routes()),
    ];
    let (shutdown, shutting_down) = Shutdown::new();
    let task = tokio::spawn(serve(listeners, terms(limits), shutting_down));
    // Whoever comes by the socket is a proxy where that was said.
    let answer = exchange(UnixStream::connect(&path).await.unwrap(), &get("/address")).await;
    assert!(answer.ends_with("\r\n\r\n198.51.100.1"), "{answer}");
    let mut first = TcpStream::connect(address).await.unwrap();
    // The place is given back a moment after the answer.
    let mut begun = [0; 12];
    loop {
        first
            .write_all(b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
            .await
            .unwrap();
        first.read_exact(&mut begun).await.unwrap();
        if &begun == b"HTTP/1.1 200" {
            break;
        }
        assert_eq!(&begun, b"HTTP/1.1 503");
        first = TcpStream::connect(address).await.unwrap();
    }
    let full = exchange(UnixStream::connect(&path).await.unwrap(), "").await;
    assert!(
        full.starts_with("HTTP/1.1 503 ") && full.contains("x-content-type-options"),
        "{full}"
    );
    shutdown.begin();
    tokio::time::timeout(BOUND, task).await.unwrap().unwrap();
    assert!(
        UnixStream::connect(&path).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn viewers_have_a_listener_with_nothing_but_what_they_fetch() {
    let facade = Facade::new(settings(), Shutdown::new().1);
    let (shutdown, shutting_down) = Shutdown::new();
    let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
    for serves in [Serves::Everything, Serves::Viewers] {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(tcp.local_addr().unwrap());
        listeners.push(listener(
            Socket::Tcp(tcp),
            Arc::clone(&facade).routes(serves),
        ));
    }
    let task = tokio::spawn(serve(listeners, terms(LIMITS), shutting_down));
    let id = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    for (path, control, viewers) in [
        ("/healthz", 200, 200),
        (&*format!("/hls/{id}/index.m3u8"), 503, 503),
        (&*format!("/watch/{id}/events"), 503, 503),
        ("/readyz", 503, 404),
        ("/api/v1/channels", 503, 404),
        ("/", 404, 404),
    ] {
        for (address, status) in addresses.iter().zip([control, viewers]) {
            let answer = exchange(TcpStream::connect(address).await.unwrap(), &get(path)).await;
            expect(&answer, status, &[]);
        }
    }
    shutdown.begin();
    tokio::time::timeout(BOUND, task).await.unwrap().unwrap();
}
