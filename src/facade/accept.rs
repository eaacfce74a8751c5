//! The daemon's own accept loop: what `warp::serve` does not do.
//!
//! There is one loop for each listener, and all share their places: at most so many connections are open, and no address has
//! all of them. The end is bounded: after the grace, what is still open is cut. What happens on a connection is in [`super::connection`].

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, serve_on};
use super::listener::{Listener, Stream};
use super::origin::Origin;
use super::places::{Full, Places};
use super::problem::Problem;
use super::proxies::{Peer, TrustedProxies};
use super::shutdown::ShuttingDown;
use super::tls::Tls;

/// So often at most the log tells of connections that were refused.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What the accept loops hold their clients to.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most connections at once, over all listeners; one more is answered `503` and closed.
    pub connections: usize,
    /// Most of them from one address. Trusted proxies are not counted, nor is whoever comes by a Unix socket.
    pub of_address: usize,
    /// Whether this machine is not counted either: what stands before the daemon there is a proxy, named or not.
    pub spares_this_machine: bool,
    /// Longest wait for the head of a request, also on a connection kept open for the next one, and for the end of a
    /// TLS handshake.
    pub head: Duration,
    /// Longest time that sent bytes may stay unacknowledged, and that a part of an answer may wait to be taken.
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

impl Terms {
    /// Whose connections are counted together with this one; nothing: it is not counted.
    fn counted(&self, peer: Peer) -> Option<Origin> {
        let address: IpAddr = match peer {
            Peer::Tcp(_) => peer.address(),
            Peer::Unix => return None,
        };
        let spared = self.limits.spares_this_machine && address.is_loopback();
        (!spared && !self.proxies.trusts(address)).then(|| Origin::of(address))
    }
}

/// Accepts and serves until `shutting_down`, then ends within the grace. Earlier only where a listener failed.
pub async fn serve(listeners: Vec<Listener>, terms: Terms, shutting_down: ShuttingDown) {
    let places = Places::new(terms.limits.connections, terms.limits.of_address);
    let refusals = Arc::new(Refusals::default());
    let mut loops = JoinSet::new();
    for listener in listeners {
        let door = Door {
            listener,
            terms: terms.clone(),
            places: places.clone(),
            refusals: Arc::clone(&refusals),
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
    places: Places<Origin>,
    refusals: Arc<Refusals>,
}

/// Connections that were refused: the log tells of them now and then, not of each.
#[derive(Debug, Default)]
struct Refusals(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    told: Option<Instant>,
    /// Since then.
    refused: u64,
}

impl Refusals {
    /// One more; how many there were since the last time, where it is time to tell.
    fn one_more(&self, now: Instant) -> Option<u64> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.refused += 1;
        let is_time = untold.told.is_none_or(|told| now - told >= TOLD_EVERY);
        is_time.then(|| {
            untold.told = Some(now);
            std::mem::take(&mut untold.refused)
        })
    }
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
            let place = match self.places.take(self.terms.counted(peer)) {
                Ok(place) => place,
                Err(full) => {
                    self.tell(peer, full);
                    if self.listener.tls.is_none() {
                        connections.spawn(refuse(stream, full));
                    }
                    continue;
                }
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

    fn tell(&self, peer: Peer, full: Full) {
        let limit = match full {
            Full::All => self.places.most(),
            Full::Own => self.places.each(),
        };
        let of_one_address = full == Full::Own;
        if let Some(refused) = self.refusals.one_more(Instant::now()) {
            tracing::warn!(%peer, refused, limit, of_one_address, "too many connections");
        }
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
async fn refuse(stream: Stream, full: Full) {
    let detail = match full {
        Full::All => "There are too many connections.",
        Full::Own => "There are too many connections from this address.",
    };
    let told = async {
        match stream {
            Stream::Tcp(stream) => told(stream, detail).await,
            Stream::Unix(stream) => told(stream, detail).await,
        }
    };
    let _ = timeout(Duration::from_secs(1), told).await;

    async fn told(mut stream: impl AsyncWrite + Unpin, detail: &str) -> std::io::Result<()> {
        let problem = Problem::unavailable(detail, Duration::from_secs(2));
        stream.write_all(&problem.into_bytes()).await?;
        stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::facade::proxies::Told;

    #[test]
    fn proxies_this_machine_and_sockets_are_not_counted() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let terms = |spares_this_machine| Terms {
            limits: ConnectionLimits {
                spares_this_machine,
                ..crate::facade::tests::LIMITS
            },
            proxies: TrustedProxies::new(&trusted, Told::XForwardedFor),
        };
        let counted = |terms: &Terms, from: &str| terms.counted(Peer::Tcp(from.parse().unwrap()));
        let terms = [terms(true), terms(false)];
        assert_eq!(counted(&terms[0], "127.0.0.1:9"), None);
        assert_eq!(counted(&terms[0], "[::1]:9"), None);
        assert_eq!(counted(&terms[0], "10.1.2.3:9"), None);
        assert_eq!(terms[1].counted(Peer::Unix), None);
        assert!(counted(&terms[1], "127.0.0.1:9").is_some());
        let one = counted(&terms[0], "[2001:db8::1]:9");
        assert!(one.is_some());
        assert_eq!(one, counted(&terms[0], "[2001:db8::2]:10"));
        assert_ne!(one, counted(&terms[0], "[2001:db8:0:1::1]:9"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_tells_of_refused_connections_now_and_then() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.one_more(begun), Some(1));
        for _ in 0..1000 {
            assert_eq!(refusals.one_more(begun + TOLD_EVERY / 2), None);
        }
        assert_eq!(refusals.one_more(begun + TOLD_EVERY), Some(1001));
    }
}
