//! What the daemon listens on: TCP, encrypted or not, and Unix sockets.

use std::io;
use std::sync::Arc;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::accept::ConnectionLimits;
use super::proxies::Peer;
use super::request::Request;
use super::tls::Tls;

/// What answers what viewers fetch every few seconds: from memory, without a wait.
pub(super) type Viewers = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// What is served.
#[derive(Clone)]
pub struct Routes {
    /// What is below `/hls`, past all that it does not need.
    pub(super) viewers: Option<Viewers>,
    /// Everything else, as one filter.
    pub(super) filter: BoxedFilter<(Response,)>,
}

impl From<BoxedFilter<(Response,)>> for Routes {
    fn from(filter: BoxedFilter<(Response,)>) -> Self {
        Self {
            viewers: None,
            filter,
        }
    }
}

/// A socket, what is served on it, and how.
pub struct Listener {
    pub socket: Socket,
    pub routes: Routes,
    /// With what connections by TCP are encrypted.
    pub tls: Option<Tls>,
}

/// A socket that listens.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// The next connection, and who is at its other end. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// Small answers leave at once, and a peer that went away without a word is noticed.
pub(super) fn prepare(stream: &TcpStream, limits: &ConnectionLimits) {
    let unacknowledged = u32::try_from(limits.unacknowledged.as_millis()).unwrap_or(u32::MAX);
    let set = stream.set_nodelay(true).and_then(|()| {
        setsockopt(stream, sockopt::TcpUserTimeout, &unacknowledged).map_err(Into::into)
    });
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}
