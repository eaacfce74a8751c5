//! One connection, whatever it goes over.
//!
//! A head that does not arrive in time, or is too large, closes its connection; `CONNECT` and requests without a path are
//! refused before a filter sees them (warp would panic); the client's address and a request id travel in the
//! request's extensions; every answer has the headers of [`super::secure`]; one that nobody takes is given up
//! ([`super::unsent`]).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::Instrument;
use warp::http::{HeaderValue, Method, Request as HttpRequest, StatusCode, Version, header};
use warp::reply::Response;

use super::accept::Terms;
use super::first_bytes::FirstBytes;
use super::listener::{Routes, Viewers};
use super::problem::Problem;
use super::proxies::Peer;
use super::request::{ClientAddress, Request, RequestId};
use super::secure::secure;
use super::unsent::Unsent;

/// Fields in the head of a request; one more is answered 431. Of HTTP/2 their bytes are counted alone.
const HEAD_FIELDS: usize = 100;
/// Bytes of a head; more are answered 431.
const HEAD_BYTES: usize = 64 << 10;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 256;
/// Requests that a client of HTTP/2 may take back before they were begun, or that were broken, until its connection is
/// closed.
const RESETS: usize = 64;

/// What is known of a connection.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) routes: Routes,
    pub(super) terms: Terms,
    /// Whether nobody between can read it.
    pub(super) encrypted: bool,
}

/// Serves a connection to its end, HTTP/1.1 or HTTP/2 by its first bytes.
pub(super) async fn serve_on<S>(stream: S, connection: Connection, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Connection {
        peer,
        routes,
        terms,
        encrypted,
    } = connection;
    let (head, patience) = (terms.limits.head, terms.limits.unacknowledged);
    let unsent = Arc::new(Unsent::new(patience));
    let answers = Arc::clone(&unsent);
    let Routes { viewers, filter } = routes;
    let filter = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let address = terms.proxies.client(peer, request.headers());
        let (alone, answers) = (request.version() != Version::HTTP_2, Arc::clone(&answers));
        let answered = answer(viewers.clone(), filter.clone(), address, encrypted, request);
        async move {
            let response = answered.await?;
            Ok::<_, Infallible>(response.map(|body| answers.parts(body, alone)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(head)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS);
    let stream = TokioIo::new(FirstBytes::new(stream, head));
    let served = builder.serve_connection(stream, service).into_owned();
    let served = watcher.watch(served);
    tokio::pin!(served);
    let mut looks = interval_at(Instant::now() + patience, patience / 4);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            now = looks.tick() => if unsent.give_up(now) {
                tracing::debug!(%peer, "nobody takes the answer");
                return;
            }
        }
    }
}

/// One request: what must be so before a filter sees it, and what every answer carries.
async fn answer<F>(
    viewers: Option<Viewers>,
    filter: F,
    client: IpAddr,
    encrypted: bool,
    mut request: HttpRequest<Incoming>,
) -> Result<Response, Infallible>
where
    F: Service<HttpRequest<Incoming>, Response = Response, Error = Infallible>,
{
    let id = RequestId::of(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let viewers = viewers.filter(|_| uri.path().starts_with("/hls/"));
    let mut response = match (refused(&request), viewers) {
        (Some(problem), _) => problem.into_response(),
        (None, Some(viewers)) => {
            let (head, _) = request.into_parts();
            viewers(Request::without_body(head, ClientAddress(client)))
        }
        (None, None) => {
            request.extensions_mut().insert(ClientAddress(client));
            request.extensions_mut().insert(id.clone());
            let span = tracing::info_span!("http", request = id.0);
            let Ok(response) = filter.call(request).instrument(span).await;
            response
        }
    };
    let status = response.status();
    let id_value = HeaderValue::from_str(&id.0);
    if let Ok(value) = id_value {
        response.headers_mut().insert(RequestId::HEADER, value);
    }
    secure(response.headers_mut(), encrypted);
    // Ours is a fault; that something is not available is an answer like any other.
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(%client, %method, path = uri.path(), request = id.0, "failed");
    } else {
        tracing::debug!(%client, %method, path = uri.path(), status = status.as_u16(), request = id.0, "answered");
    }
    Ok(response)
}

/// What no route is asked. A whole URI in place of a path is taken (RFC 9112 §3.2.2), whatever host it names: proxies give
/// the daemon many names, and no answer depends on them. That one is named, and one alone, is asked for (§3.2): two are
/// read in two ways by those before the daemon.
fn refused(request: &HttpRequest<Incoming>) -> Option<Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let detail = "A request has one Host.";
        return Some(Problem::bad_request(detail));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let detail = "The one Transfer-Encoding taken here is chunked.";
        return Some(Problem::bad_request(detail));
    }
    if request.method() == Method::CONNECT || uri.path_and_query().is_none() {
        let detail = "This is no proxy: a request names a path.";
        return Some(Problem::bad_request(detail));
    }
    if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
        let detail = "This is no proxy: a URI here begins with http:// or https://.";
        return Some(Problem::bad_request(detail));
    }
    let named = uri.authority().map(|authority| authority.as_str());
    if named.is_some_and(|authority| authority.contains('@')) {
        let detail = "A user and a password have no place in a URI, where logs and histories keep them; \
            send a token, as in `Authorization: Bearer …`.";
        return Some(Problem::bad_request(detail));
    }
    None
}
