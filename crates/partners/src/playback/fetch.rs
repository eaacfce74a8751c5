//! Reads a small document over HTTP: a connection of its own for each request, to a checked address; redirects are
//! followed a few times, each checked like the first.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use playout_domain::destination::{HttpUrl, InvalidHttpUrl};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::address::{Reach, Unresolved, resolve};
use crate::http::exchange;
use crate::tls::TrustRoots;

/// Bytes of a document at most; a playlist of a day has fewer.
const MAX_BODY: usize = 1 << 20;
/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 5;
/// How long it may take to connect, over all addresses.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the playlist's host: {0}")]
    Unresolved(#[from] Unresolved),
    #[error("the playlist's server answered {0}")]
    Status(StatusCode),
    #[error("no connection to the playlist's server: {}", .0.kind())]
    Connect(io::Error),
    #[error("no trusted encrypted connection to the playlist's server")]
    Tls,
    #[error("the playlist's server does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("the playlist's server sent more than {MAX_BODY} bytes")]
    TooLong,
    #[error("the playlist's server redirects more than {MAX_REDIRECTS} times")]
    Redirects,
    #[error("the playlist's server leads to a URL that {0}")]
    Elsewhere(InvalidHttpUrl),
    #[error("the request cannot be made")]
    Request,
}

impl FetchError {
    /// Whether the server says that there is nothing.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status(StatusCode::NOT_FOUND | StatusCode::GONE))
    }
}

/// A document, and where it came from in the end.
pub(super) struct Fetched {
    pub(super) url: HttpUrl,
    pub(super) body: Bytes,
}

enum Answer {
    Document(Bytes),
    /// A redirect to this reference.
    Elsewhere(String),
}

/// See the module's head.
#[derive(Clone)]
pub(super) struct Fetcher {
    reach: Reach,
    /// Nothing where TLS does not work: every encrypted connection fails, and says so.
    tls: Option<TlsConnector>,
}

impl Fetcher {
    pub(super) fn new(roots: &TrustRoots, reach: Reach) -> Self {
        let tls = roots.client().ok().map(|mut config| {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        Self { reach, tls }
    }

    /// The document at `url`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(super) async fn fetch(&self, url: &HttpUrl) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.get(&url).await? {
                Answer::Document(body) => return Ok(Fetched { url, body }),
                Answer::Elsewhere(reference) => url = join(&url, &reference, self.reach)?,
            }
        }
        Err(FetchError::Redirects)
    }

    async fn get(&self, url: &HttpUrl) -> Result<Answer, FetchError> {
        let agent = concat!("playoutd/", env!("CARGO_PKG_VERSION"));
        let request = Request::get(url.path())
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, agent)
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchError::Request)?;
        let addresses = resolve(url.host(), url.port(), self.reach).await?;
        let connected = addresses.connect(CONNECT).await;
        let (stream, _) = connected.map_err(FetchError::Connect)?;
        if !url.is_tls() {
            return exchange(stream, request, read).await;
        }
        let name = ServerName::try_from(url.host().trim_end_matches('.').to_owned());
        let (Ok(name), Some(tls)) = (name, &self.tls) else {
            return Err(FetchError::Tls);
        };
        let stream = tls.connect(name, stream).await;
        exchange(stream.map_err(|_| FetchError::Tls)?, request, read).await
    }
}

/// What `reference` in a document at `base` leads to (RFC 3986 §5.2).
///
/// # Errors
/// [`FetchError::Elsewhere`] where it leads to what may not be read.
pub(super) fn join(base: &HttpUrl, reference: &str, reach: Reach) -> Result<HttpUrl, FetchError> {
    let base = Url::parse(base.as_str()).map_err(|_| FetchError::Request)?;
    let mut joined = base
        .join(reference)
        .map_err(|_| FetchError::Elsewhere(InvalidHttpUrl::Host))?;
    joined.set_fragment(None);
    let allow_private = reach != Reach::Public;
    HttpUrl::parse(joined.as_str(), allow_private).map_err(FetchError::Elsewhere)
}

/// What an answer amounts to.
async fn read(answer: Response<Incoming>) -> Result<Answer, FetchError> {
    let (head, body) = answer.into_parts();
    let location = head.headers.get(header::LOCATION);
    if let Some(location) = location.filter(|_| head.status.is_redirection()) {
        let reference = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return Ok(Answer::Elsewhere(reference));
    }
    if head.status != StatusCode::OK {
        return Err(FetchError::Status(head.status));
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(Answer::Document(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLong),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(FetchError::Http(*error)),
            Err(_) => Err(FetchError::Request),
        },
    }
}
