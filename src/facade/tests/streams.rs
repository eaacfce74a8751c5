//! Event streams over real sockets: how many there may be, and how they end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use playout_store::{Principal, operator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warp::Filter;

use super::starting::settings;
use super::{LIMITS, Server, expect, rest};
use crate::facade::listener::Routes;
use crate::facade::problem::Problem;
use crate::facade::request::request;
use crate::facade::shutdown::{Shutdown, ShuttingDown};
use crate::facade::stream::{Audience, Streams};

/// `/endless` sends one event and waits, `/ending` sends one and ends, `/of/{client}` is as `/endless` for who has a token.
fn routes(shutting_down: ShuttingDown) -> Routes {
    let streams = Arc::new(Streams::new(&settings(), shutting_down));
    request()
        .map(move |request: crate::facade::request::Request| {
            let event = stream::iter([Bytes::from_static(b"data: 1\n\n")]);
            let opened = match request.segments()[..] {
                ["ending"] => streams.open(&request, Audience::Public, event),
                ["of", client] => {
                    let who = Principal {
                        client: client.parse().unwrap(),
                        ..Principal::daemon()
                    };
                    let endless = event.chain(stream::pending());
                    streams.open(&request, Audience::Known(&who), endless)
                }
                _ => streams.open(&request, Audience::Public, event.chain(stream::pending())),
            };
            opened.unwrap_or_else(Problem::into_response)
        })
        .boxed()
        .into()
}

/// An open stream, read up to its first event.
async fn open(server: &Server) -> TcpStream {
    open_at(server, "/endless").await
}

async fn open_at(server: &Server, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"data: 1\n\n\r\n") {
        read.push(connection.read_u8().await.unwrap());
    }
    connection
}

#[tokio::test]
async fn a_stream_says_what_it_is_and_ends_with_its_events() {
    let (_shutdown, shutting_down) = Shutdown::new();
    let server = Server::start(routes(shutting_down), LIMITS).await;
    for _ in 0..3 {
        let answer = server.ask("GET", "/ending", "").await;
        expect(
            &answer,
            200,
            &["content-type: text/event-stream", "cache-control: no-store"],
        );
        assert!(answer.contains("retry: 2000\n\n"), "{answer}");
        assert!(answer.contains("data: 1\n\n"), "{answer}");
    }
    let head = server.ask("HEAD", "/endless", "").await;
    expect(&head, 200, &["content-type: text/event-stream"]);
    server.stop().await;
}

#[tokio::test]
async fn one_stream_too_many_is_refused_until_another_leaves() {
    let (_shutdown, shutting_down) = Shutdown::new();
    let server = Server::start(routes(shutting_down), LIMITS).await;
    let first = open(&server).await;
    let refused = server.ask("GET", "/endless", "").await;
    expect(
        &refused,
        503,
        &[
            "retry-after: 10\r\n",
            "1 event streams of the address already",
        ],
    );
    // Whoever has a token has other places: one client some of them, all clients all of them, the operator any.
    let [uno, dos] = ["1", "2"].map(|n| format!("/of/0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c1{n}"));
    let _uno = open_at(&server, &uno).await;
    let refused = server.ask("GET", &uno, "").await;
    expect(&refused, 503, &["1 event streams of the client already"]);
    let own = format!("/of/{}", operator());
    let _operator = open_at(&server, &own).await;
    let refused = server.ask("GET", &dos, "").await;
    expect(&refused, 503, &["There are 2 event streams already"]);
    drop(first);
    // The daemon learns of it when the connection's end arrives, not before.
    let again = async {
        while server
            .ask("GET", "/ending", "")
            .await
            .starts_with("HTTP/1.1 503 ")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::BOUND, again).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_daemon_goes_and_no_new_one_begins() {
    let (shutdown, shutting_down) = Shutdown::new();
    let server = Server::start(routes(shutting_down), LIMITS).await;
    let mut open = open(&server).await;
    shutdown.begin();
    let end = tokio::time::timeout(super::BOUND, async {
        let mut last = [0; 5];
        open.read_exact(&mut last).await.map(|_| last)
    });
    assert_eq!(&end.await.unwrap().unwrap(), b"0\r\n\r\n");
    let refused = server.ask("GET", "/endless", "").await;
    expect(&refused, 503, &["shutting down"]);
    server.stop().await;
    assert_eq!(rest(&mut open).await, "");
}
