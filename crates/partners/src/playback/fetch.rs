//! Reads a small document over HTTP: a connection of its own for each request, to a checked address; redirects are
//! followed a few times, each checked like the first.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use playout_domain::destination::{HttpUrl, InvalidHttpUrl};

use crate::address::{Reach, Unresolved};
use crate::http::{self, Getter, MAX_REDIRECTS, NoAnswer};
use crate::tls::TrustRoots;

/// Bytes of a document at most; a playlist of a day has fewer.
const MAX_BODY: usize = 1 << 20;

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
    getter: Getter,
}

impl Fetcher {
    pub(super) fn new(roots: &TrustRoots, reach: Reach) -> Self {
        let getter = Getter::new(roots, reach);
        Self { reach, getter }
    }

    /// The document at `url`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(super) async fn fetch(&self, url: &HttpUrl) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.getter.get(&url, read).await? {
                Answer::Document(body) => return Ok(Fetched { url, body }),
                Answer::Elsewhere(reference) => url = join(&url, &reference, self.reach)?,
            }
        }
        Err(FetchError::Redirects)
    }
}

impl From<NoAnswer> for FetchError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Unresolved(error) => Self::Unresolved(error),
            NoAnswer::Connect(error) => Self::Connect(error),
            NoAnswer::Tls => Self::Tls,
            NoAnswer::Request => Self::Request,
        }
    }
}

/// What `reference` in a document at `base` leads to.
///
/// # Errors
/// [`FetchError::Elsewhere`] where it leads to what may not be read.
pub(super) fn join(base: &HttpUrl, reference: &str, reach: Reach) -> Result<HttpUrl, FetchError> {
    http::join(base, reference, reach).map_err(FetchError::Elsewhere)
}

/// What an answer amounts to.
async fn read(answer: Response<Incoming>) -> Result<Answer, FetchError> {
    if let Some(reference) = http::redirect(&answer) {
        return Ok(Answer::Elsewhere(reference));
    }
    let (head, body) = answer.into_parts();
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
