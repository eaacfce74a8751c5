//! gzip for what the API answers (RFC 9110 §12.5.3, RFC 1952).
//!
//! Only whole texts are compressed, and only in answers to `GET` and `HEAD`: secrets are shown once, in answers to
//! `POST`, and what is compressed beside a secret tells of it by its length (BREACH). Event streams are never, nor is what
//! viewers fetch (docs/decisions/0005).
//!
//! An `ETag` that is a version stays as it is: it names what is changed, not these bytes, and `If-Match` takes it. One of
//! bytes that ranges can be taken of becomes weak, and the ranges are taken back (RFC 9110 §8.8.1).

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;
use hyper::body::Body;
use warp::http::header::{self, HeaderMap, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::problem::Problem;

/// Shorter texts fit into a packet as they are.
const LEAST: u64 = 1024;
/// Longer ones are compressed on a thread of their own.
const LONG: usize = 64 << 10;
/// What is text.
const TEXTS: [&str; 7] = [
    "application/json",
    "application/problem+json",
    "application/xml",
    "audio/x-mpegurl",
    "text/csv",
    "text/html",
    "text/plain",
];

/// Whether what a request is answered may be compressed.
pub(super) fn wanted(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && takes_gzip(headers)
}

/// Whether `gzip` is taken as gladly as no coding at all.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for line in headers.get_all(header::ACCEPT_ENCODING) {
        for coding in line.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight(parameters);
            let name = name.trim();
            let seen = match name {
                "*" => &mut any,
                _ if name.eq_ignore_ascii_case("identity") => &mut identity,
                _ if ["gzip", "x-gzip"]
                    .iter()
                    .any(|gzip| name.eq_ignore_ascii_case(gzip)) =>
                {
                    &mut gzip
                }
                _ => continue,
            };
            *seen = (*seen).max(Some(weight));
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// `q=0.5` in thousandths (RFC 9110 §12.4.2); 0 for what is none.
fn weight(parameters: &str) -> u16 {
    let Some((name, value)) = parameters.split_once('=') else {
        return if parameters.trim().is_empty() {
            1000
        } else {
            0
        };
    };
    let value = value.trim();
    let right = name.trim().eq_ignore_ascii_case("q") && value.len() <= 5;
    match value.parse::<f32>() {
        Ok(q) if right && (0.0..=1.0).contains(&q) => (q * 1000.0) as u16,
        _ => 0,
    }
}

/// The answer, compressed where it is `wanted` and worth it.
pub(super) async fn compressed(mut response: Response, wanted: bool) -> Response {
    if !is_text(&response) {
        return response;
    }
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let length = response.body().size_hint().exact();
    if !wanted || length.is_none_or(|length| length < LEAST) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await else {
        return Problem::internal().into_response();
    };
    let whole = whole.to_bytes();
    let Some(short) = shorter(whole.clone()).await else {
        return Response::from_parts(parts, whole.into());
    };
    let headers = &mut parts.headers;
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(header::CONTENT_LENGTH);
    if headers.remove(header::ACCEPT_RANGES).is_some()
        && let Some(tag) = headers.get(header::ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
    Response::from_parts(parts, short.into())
}

/// Whether it is a text, whole and not coded yet.
fn is_text(response: &Response) -> bool {
    let headers = response.headers();
    let part = matches!(
        response.status(),
        StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    !part && !headers.contains_key(header::CONTENT_ENCODING) && TEXTS.contains(&kind)
}

/// The same in gzip; nothing where that fails.
async fn shorter(whole: Bytes) -> Option<Bytes> {
    match whole.len() > LONG {
        false => gzip(&whole, Compression::fast()),
        true => tokio::task::spawn_blocking(move || gzip(&whole, Compression::fast()))
            .await
            .ok()?,
    }
}

fn gzip(whole: &[u8], level: Compression) -> Option<Bytes> {
    let mut writer = GzEncoder::new(Vec::with_capacity(whole.len() / 4), level);
    writer.write_all(whole).ok()?;
    writer.finish().ok().map(Bytes::from)
}

/// JSON that stays as it is: compressed once, however often it is asked for.
#[derive(Debug)]
pub(super) struct LastingJson {
    whole: Bytes,
    short: Option<Bytes>,
}

impl LastingJson {
    pub(super) fn new(whole: Bytes) -> Self {
        let short = gzip(&whole, Compression::best());
        Self { whole, short }
    }

    /// The answer, compressed where that is `wanted`.
    pub(super) fn answer(&self, wanted: bool) -> Response {
        let short = self.short.as_ref().filter(|_| wanted);
        let mut response = Response::new(short.unwrap_or(&self.whole).clone().into());
        let headers = response.headers_mut();
        if short.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    fn takes(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header::ACCEPT_ENCODING,
                HeaderValue::from_str(line).unwrap(),
            );
        }
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_used_where_it_is_taken_as_gladly_as_nothing() {
        for yes in [
            "gzip",
            "deflate, GZIP;q=0.5, br",
            "x-gzip",
            "*",
            "gzip; q=0.001",
            "identity;q=0.5, gzip",
            "br;q=1.0, *;q=0.1",
        ] {
            assert!(takes(&[yes]), "{yes}");
        }
        for no in [
            "",
            "br",
            "gzip;q=0",
            "gzip;q=0.0, *",
            "identity, gzip;q=0.9",
            "*;q=0",
            "gzip;q=2",
            "gzip;q=nan",
            "gzip;level=9",
        ] {
            assert!(!takes(&[no]), "{no}");
        }
        assert!(takes(&["br", "gzip"]));
        assert!(!takes(&[]));
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(wanted(&Method::GET, &headers) && wanted(&Method::HEAD, &headers));
        assert!(!wanted(&Method::POST, &headers), "it may hold a secret");
    }

    fn answer(text: &str, headers: &[(header::HeaderName, &'static str)]) -> Response {
        let mut response = Response::new(text.to_owned().into());
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }

    async fn body(response: Response) -> Vec<u8> {
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec()
    }

    #[tokio::test]
    async fn what_is_compressed_is_the_same_and_says_so() {
        for length in [2_000, 200_000] {
            let text = "0123456789".repeat(length / 10);
            let json = [
                (header::CONTENT_TYPE, "application/json"),
                (header::ETAG, "\"7\""),
                (header::VARY, "Accept"),
            ];
            let response = compressed(answer(&text, &json), true).await;
            assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
            assert_eq!(response.headers()[header::ETAG], "\"7\"", "it is a version");
            let vary: Vec<_> = response.headers().get_all(header::VARY).iter().collect();
            assert_eq!(vary, ["Accept", "Accept-Encoding"]);
            let short = body(response).await;
            assert!(short.len() < length / 10);
            let mut read = String::new();
            flate2::read::GzDecoder::new(&short[..])
                .read_to_string(&mut read)
                .unwrap();
            assert_eq!(read, text);
        }
    }

    #[tokio::test]
    async fn a_tag_of_bytes_becomes_weak() {
        let text = "x".repeat(2_000);
        let guide = [
            (header::CONTENT_TYPE, "application/xml; charset=utf-8"),
            (header::ETAG, "\"abc\""),
            (header::ACCEPT_RANGES, "bytes"),
        ];
        let response = compressed(answer(&text, &guide), true).await;
        assert_eq!(response.headers()[header::ETAG], "W/\"abc\"");
        assert!(!response.headers().contains_key(header::ACCEPT_RANGES));
        let response = compressed(answer(&text, &guide), false).await;
        assert_eq!(response.headers()[header::ETAG], "\"abc\"");
        assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
    }

    #[tokio::test]
    async fn what_is_short_no_text_or_coded_stays_as_it_is() {
        let long = "x".repeat(2_000);
        let json = (header::CONTENT_TYPE, "application/json");
        for (text, headers) in [
            (&long[..1023], vec![json.clone()]),
            (&long[..], vec![(header::CONTENT_TYPE, "text/event-stream")]),
            (&long[..], vec![(header::CONTENT_TYPE, "image/jpeg")]),
            (
                &long[..],
                vec![json.clone(), (header::CONTENT_ENCODING, "br")],
            ),
        ] {
            let response = compressed(answer(text, &headers), true).await;
            assert_ne!(
                response.headers().get(header::CONTENT_ENCODING),
                Some(&HeaderValue::from_static("gzip")),
                "{headers:?}"
            );
            assert_eq!(body(response).await, text.as_bytes(), "{headers:?}");
        }
        let mut part = answer(&long, &[json]);
        *part.status_mut() = StatusCode::PARTIAL_CONTENT;
        assert_eq!(body(compressed(part, true).await).await, long.as_bytes());
    }
}
