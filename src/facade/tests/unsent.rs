//! Answers that nobody takes, over real sockets.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use warp::http::Request as HttpRequest;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::{BOUND, LIMITS, Server};
use crate::facade::accept::{ConnectionLimits, Terms, serve};
use crate::facade::listener::{Listener, Routes, Socket};
use crate::facade::proxies::TrustedProxies;
use crate::facade::request::{Request, request};
use crate::facade::shutdown::Shutdown;

const HASTY: ConnectionLimits = ConnectionLimits {
    unacknowledged: std::time::Duration::from_millis(200),
    ..LIMITS
};

/// What an answer holds; tells when it is let go.
struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// `/endless` always has more to send, everything else is answered with a word.
fn routes(freed: Arc<Notify>) -> Routes {
    request()
        .map(move |request: Request| match request.segments()[..] {
            ["endless"] => {
                let held = Held(Arc::clone(&freed));
                let parts = stream::repeat_with(move || {
                    std::convert::identity(&held);
                    Ok::<_, Infallible>(Bytes::from_static(&[7; 1 << 16]))
                });
                warp::reply::stream(parts).into_response()
            }
            _ => Response::new("a word".into()),
        })
        .boxed()
        .into()
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_holds_nothing_and_its_connection_goes_on() {
    let freed = Arc::new(Notify::new());
    let server = Server::start(routes(Arc::clone(&freed)), HASTY).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let ask = |path: &str| {
        let request = HttpRequest::get(format!("http://t{path}"));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let held = sender.send_request(ask("/endless")).await.unwrap();
    assert_eq!(held.status(), 200);
    timeout(BOUND, freed.notified())
        .await
        .expect("it is given up");
    let other = sender.send_request(ask("/word")).await.unwrap();
    assert_eq!(other.status(), 200);
    drop((held, other, sender));
    let _ = timeout(BOUND, connection)
        .await
        .expect("the connection ends");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_whose_answer_nobody_reads_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let freed = Arc::new(Notify::new());
    let listener = Listener {
        socket: Socket::Unix(UnixListener::bind(&path).unwrap()),
        routes: routes(Arc::clone(&freed)),
        tls: None,
    };
    let terms = Terms {
        limits: HASTY,
        proxies: TrustedProxies::default(),
    };
    let (shutdown, shutting_down) = Shutdown::new();
    let task = tokio::spawn(serve(vec![listener], terms, shutting_down));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /endless HTTP/1.1\r\nHost: t\r\n\r\n";
    stream.write_all(request).await.unwrap();
    timeout(BOUND, freed.notified())
        .await
        .expect("it is given up");
    let mut sent = Vec::new();
    let ended = timeout(BOUND, stream.read_to_end(&mut sent)).await;
    ended.expect("the connection ends").unwrap();
    assert!(sent.starts_with(b"HTTP/1.1 200 "));
    shutdown.begin();
    timeout(BOUND, task).await.unwrap().unwrap();
}
