//! Which pages of other origins may use the API (Fetch standard, CORS protocol): none but those that are configured.
//!
//! Invariant: no such page is ever let in by a cookie (there is no `Access-Control-Allow-Credentials`). It brings a token
//! of its own, so whoever may be read by any page gives away nothing that the page does not have.

use std::sync::Arc;

use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

/// What a page may send.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, \
     Range, Tus-Resumable, Upload-Checksum, Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, \
     X-Request-Id",
);
/// What a page may read of an answer, besides what it always may.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Allow, Content-Disposition, Content-Range, Deprecation, ETag, Idempotency-Replayed, Location, \
     RateLimit, RateLimit-Policy, Retry-After, Sunset, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, \
     Upload-Expires, Upload-Length, Upload-Offset, WWW-Authenticate, X-Request-Id",
);
/// How long a browser may remember the answer to its preflight: two hours, the most that they do.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");
const METHOD: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;

/// The origins that may.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// These ones, as browsers write them; `*` alone is every one.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// What a request asks for on behalf of a page; nothing where there is nothing to be said of it.
    pub(super) fn asked(&self, method: &Method, headers: &HeaderMap) -> Option<Asked> {
        let any = self.0.iter().any(|origin| origin == "*");
        if self.0.is_empty() {
            return None;
        }
        let given = headers.get(header::ORIGIN);
        let named = given.filter(|given| {
            let mut origins = self.0.iter();
            origins.any(|origin| given.as_bytes() == origin.as_bytes())
        });
        Some(Asked {
            by: match any {
                true => given.map(|_| HeaderValue::from_static("*")),
                false => named.cloned(),
            },
            any,
            preflight: method == Method::OPTIONS && headers.contains_key(METHOD),
        })
    }
}

/// What is asked for.
pub(super) struct Asked {
    /// The origin that is let in.
    by: Option<HeaderValue>,
    /// Whether every origin is, so that the answer does not hang on it.
    any: bool,
    /// Whether a browser asks before it lets the page ask.
    preflight: bool,
}

impl Asked {
    /// Says in the answer what the page may.
    pub(super) fn say(self, response: &mut Response) {
        let status = response.status();
        let headers = response.headers_mut();
        if !self.any {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.by else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !self.preflight || status != StatusCode::NO_CONTENT {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
            return;
        }
        if let Some(methods) = headers.get(header::ALLOW).cloned() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    }
}
