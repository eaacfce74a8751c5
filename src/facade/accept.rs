//! The daemon's own accept loop: what `warp::serve` does not do.
//!
//! A head that does not arrive in time closes its connection; at most so many connections are
//! open; `CONNECT` and requests without a path are refused before a filter sees them (warp
//! would panic); the client's address and a request id travel in the request's extensions; and
//! the end is bounded: after the grace, what is still open is cut.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Method, Request as HttpRequest, StatusCode};
use warp::reply::Response;

use super::first_bytes::FirstBytes;
use super::problem::Problem;
use super::proxies::{Peer, TrustedProxies};
use super::request::{ClientAddress, RequestId};
use super::shutdown::ShuttingDown;

/// Every route of the daemon, as one filter.
pub type Routes = BoxedFilter<(Response,)>;

/// What the accept loop holds its clients to.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most connections at once; one more is answered `503` and closed.
    pub connections: usize,
    /// Longest wait for the head of a request, also on a connection kept open for the next one.
    pub head: Duration,
    /// Longest time that sent bytes may stay unacknowledged.
    pub unacknowledged: Duration,
    /// How long open requests may go on once the daemon is going.
    pub grace: Duration,
}

/// Accepts and serves until `shutting_down`, then ends within the grace.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    limits: ConnectionLimits,
    proxies: TrustedProxies,
    mut shutting_down: ShuttingDown,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, limit = limits.connections, "too many connections");
            connections.spawn(refuse(stream));
            continue;
        };
        prepare(&stream, &limits);
        let peer = Peer::Tcp(peer);
        let connection = connection(stream, (peer, proxies.clone()), routes.clone(), &limits);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(open = connections.len(), "cutting what is still open");
    }
    connections.shutdown().await;
}

/// Small answers leave at once, and a peer that went away without a word is noticed.
fn prepare(stream: &TcpStream, limits: &ConnectionLimits) {
    let unacknowledged = u32::try_from(limits.unacknowledged.as_millis()).unwrap_or(u32::MAX);
    let set = stream.set_nodelay(true).and_then(|()| {
        setsockopt(stream, sockopt::TcpUserTimeout, &unacknowledged).map_err(Into::into)
    });
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}

/// One connection, HTTP/1.1 or HTTP/2 by its first bytes.
fn connection(
    stream: TcpStream,
    (peer, proxies): (Peer, TrustedProxies),
    routes: Routes,
    limits: &ConnectionLimits,
) -> auto::Connection<
    'static,
    TokioIo<FirstBytes>,
    impl Service<HttpRequest<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
    + use<>,
    TokioExecutor,
> {
    let filter = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |request| {
        let address = ClientAddress(proxies.client(peer, request.headers()));
        answer(filter.clone(), address, request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .max_concurrent_streams(256);
    builder
        .serve_connection(TokioIo::new(FirstBytes::new(stream, limits.head)), service)
        .into_owned()
}

/// One request: what must be so before a filter sees it, and what every answer carries.
async fn answer<F>(
    filter: F,
    address: ClientAddress,
    mut request: HttpRequest<Incoming>,
) -> Result<Response, Infallible>
where
    F: Service<HttpRequest<Incoming>, Response = Response, Error = Infallible>,
{
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = if method == Method::CONNECT || request.uri().path_and_query().is_none() {
        Problem::bad_request("This is no proxy: a request names a path.").into_response()
    } else {
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(id.clone());
        let span = tracing::info_span!("http", request = id.0);
        let Ok(response) = filter.call(request).instrument(span).await;
        response
    };
    let status = response.status();
    let id_value = HeaderValue::from_str(&id.0);
    if let Ok(value) = id_value {
        response.headers_mut().insert(RequestId::HEADER, value);
    }
    // Ours is a fault; that something is not available is an answer like any other.
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(client = %address.0, %method, path, request = id.0, "failed");
    } else {
        tracing::debug!(client = %address.0, %method, path, status = status.as_u16(), request = id.0, "answered");
    }
    Ok(response)
}

/// One connection too many: told so, not left hanging.
async fn refuse(mut stream: TcpStream) {
    let problem = Problem::unavailable("There are too many connections.", Duration::from_secs(2));
    let answer = problem.into_bytes();
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
