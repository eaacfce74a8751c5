//! The daemon's own accept loop: what `warp::serve` does not do.
//!
//! There is one loop for each listener, and all share their places: at most so many connections are open. The end is
//! bounded: after the grace, what is still open is cut. What happens on a connection is in [`super::connection`].

use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Connection, serve_on};
use super::listener::{Listener, Stream};
use super::problem::Problem;
use super::proxies::TrustedProxies;
use super::shutdown::ShuttingDown;
use super::tls::Tls;

/// What the accept loops hold their clients to.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most connections at once, over all listeners; one more is answered `503` and closed.
    pub connections: usize,
    /// Longest wait for the head of a request, also on a connection kept open for the next one, and for the end of a
    /// TLS handshake.
    pub head: Duration,
    /// Longest time that sent bytes may stay unacknowledged.
    pub unacknowledged: Duration,
    /// How long open requests may go on once the daemon is going.
    pub grace: Duration,
}

/// What holds on every listener.
#[derive(Debug, Clone)]
pub struct Terms {
    pub limits: ConnectionLimits,
    /// Who is believed when it says where a request comes from.
    pub proxies: TrustedProxies,
}

/// Accepts and serves until `shutting_down`, then ends within the grace. Earlier only where a listener failed.
pub async fn serve(listeners: Vec<Listener>, terms: Terms, shutting_down: ShuttingDown) {
    let places = Arc::new(Semaphore::new(terms.limits.connections));
    let mut loops = JoinSet::new();
    for listener in listeners {
        let door = Door {
            listener,
            terms: terms.clone(),
            places: Arc::clone(&places),
        };
        loops.spawn(door.serve(shutting_down.clone()));
    }
    while loops.join_next().await.is_some() && shutting_down.has_begun() {}
}

/// One listener's loop.
struct Door {
    listener: Listener,
    terms: Terms,
    /// Those of all listeners.
    places: Arc<Semaphore>,
}

impl Door {
    async fn serve(self, mut shutting_down: ShuttingDown) {
        let limits = self.terms.limits;
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.socket.accept() => accepted,
                () = shutting_down.begun() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A connection that broke before it was accepted is the client's affair; a
                    // lack of file descriptors passes, and spinning on it would not help.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!(%peer, limit = limits.connections, "too many connections");
                if self.listener.tls.is_none() {
                    connections.spawn(refuse(stream));
                }
                continue;
            };
            let connection = Connection {
                peer,
                routes: self.listener.routes.clone(),
                terms: self.terms.clone(),
                encrypted: false,
            };
            let (tls, watcher) = (self.listener.tls.clone(), graceful.watcher());
            connections.spawn(async move {
                serve_stream(stream, tls, connection, watcher).await;
                drop(place);
            });
        }
        drop(self.listener);
        if timeout(limits.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(open = connections.len(), "cutting what is still open");
        }
        connections.shutdown().await;
    }
}

/// A Unix socket is never encrypted: what goes over it does not leave the machine.
async fn serve_stream(
    stream: Stream,
    tls: Option<Tls>,
    mut connection: Connection,
    watcher: Watcher,
) {
    let limits = connection.terms.limits;
    match (stream, tls) {
        (Stream::Unix(stream), _) => serve_on(stream, connection, watcher).await,
        (Stream::Tcp(stream), None) => {
            super::listener::prepare(&stream, &limits);
            serve_on(stream, connection, watcher).await;
        }
        (Stream::Tcp(stream), Some(tls)) => {
            super::listener::prepare(&stream, &limits);
            let peer = connection.peer;
            match timeout(limits.head, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    connection.encrypted = true;
                    serve_on(stream, connection, watcher).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
            }
        }
    }
}

/// One connection too many: told so, not left hanging.
async fn refuse(stream: Stream) {
    async fn told(mut stream: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        let detail = "There are too many connections.";
        let problem = Problem::unavailable(detail, Duration::from_secs(2));
        stream.write_all(&problem.into_bytes()).await?;
        stream.shutdown().await
    }
    let told = async {
        match stream {
            Stream::Tcp(stream) => told(stream).await,
            Stream::Unix(stream) => told(stream).await,
        }
    };
    let _ = timeout(Duration::from_secs(1), told).await;
}
