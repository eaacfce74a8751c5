//! One request over HTTP/1.1 on a connection of its own, to a checked address.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use playout_domain::destination::{HttpUrl, InvalidHttpUrl};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::address::{Reach, Unresolved, resolve};
use crate::tls::TrustRoots;

/// How long it may take to connect, over all addresses.
const CONNECT: Duration = Duration::from_secs(5);
/// Redirects that are followed at most.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Bytes of the head of an answer at most.
const MAX_HEAD: usize = 16 << 10;

/// Sends `request` and gives the answer to `read`. The connection ends when that is done: what else the server says is
/// never read.
pub(crate) async fn exchange<S, B, T, E>(
    stream: S,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: From<hyper::Error>,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let answer = async { read(sender.send_request(request).await?).await };
    tokio::pin!(answer, connection);
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // It may have ended with the answer, which is then at hand.
            _ = &mut connection, if !ended => ended = true,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    #[error("no connection: {}", .0.kind())]
    Connect(io::Error),
    #[error("no trusted encrypted connection")]
    Tls,
    #[error("the request cannot be made")]
    Request,
}

/// Asks for what is at a URL.
#[derive(Clone)]
pub(crate) struct Getter {
    reach: Reach,
    /// Nothing where TLS does not work: every encrypted connection fails, and says so.
    tls: Option<TlsConnector>,
}

impl Getter {
    pub(crate) fn new(roots: &TrustRoots, reach: Reach) -> Self {
        let tls = roots.client().ok().map(|mut config| {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        Self { reach, tls }
    }

    /// Sends one `GET`, and gives the answer to `read`. A redirect is an answer like any other.
    pub(crate) async fn get<T, E>(
        &self,
        url: &HttpUrl,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<NoAnswer> + From<hyper::Error>,
    {
        let agent = concat!("playoutd/", env!("CARGO_PKG_VERSION"));
        let request = Request::get(url.path())
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, agent)
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| NoAnswer::Request)?;
        let addresses = resolve(url.host(), url.port(), self.reach).await;
        let addresses = addresses.map_err(NoAnswer::Unresolved)?;
        let connected = addresses.connect(CONNECT).await;
        let (stream, _) = connected.map_err(NoAnswer::Connect)?;
        if !url.is_tls() {
            return exchange(stream, request, read).await;
        }
        let name = ServerName::try_from(url.host().trim_end_matches('.').to_owned());
        let (Ok(name), Some(tls)) = (name, &self.tls) else {
            return Err(NoAnswer::Tls.into());
        };
        let stream = tls.connect(name, stream).await;
        exchange(stream.map_err(|_| NoAnswer::Tls)?, request, read).await
    }
}

/// Where a redirect leads to; nothing: the answer is none.
pub(crate) fn redirect(answer: &Response<Incoming>) -> Option<String> {
    let location = answer.headers().get(header::LOCATION);
    let location = location.filter(|_| answer.status().is_redirection())?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// What `reference` at `base` leads to (RFC 3986 §5.2).
///
/// # Errors
/// It leads to what may not be read.
pub(crate) fn join(
    base: &HttpUrl,
    reference: &str,
    reach: Reach,
) -> Result<HttpUrl, InvalidHttpUrl> {
    let base = Url::parse(base.as_str()).map_err(|_| InvalidHttpUrl::Host)?;
    let joined = base.join(reference);
    let mut joined = joined.map_err(|_| InvalidHttpUrl::Host)?;
    joined.set_fragment(None);
    HttpUrl::parse(joined.as_str(), reach != Reach::Public)
}
