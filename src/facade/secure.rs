//! The headers that keep browsers from doing more with an answer than was meant.
//!
//! They are on every answer. What is meant for pages of any origin (`Access-Control-Allow-Origin: *`, as playlists and
//! segments are) may be embedded by them, and what has a policy of its own keeps it.

use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How long a browser that came by TLS once comes by TLS alone: a year.
const BY_TLS_ALONE: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// An answer of the API is data, and no page.
const NO_PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Nothing here wants any of it.
const NO_DEVICES: HeaderValue = HeaderValue::from_static(
    "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=()",
);

/// Puts them there.
pub(super) fn secure(headers: &mut HeaderMap, encrypted: bool) {
    let shared = headers
        .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        .is_some_and(|origin| origin == "*");
    let reach = match shared {
        true => HeaderValue::from_static("cross-origin"),
        false => HeaderValue::from_static("same-origin"),
    };
    for (name, value) in [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::CONTENT_SECURITY_POLICY, NO_PAGE),
        (HeaderName::from_static("permissions-policy"), NO_DEVICES),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            reach,
        ),
    ] {
        headers.entry(name).or_insert(value);
    }
    if encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, BY_TLS_ALONE);
    }
}
