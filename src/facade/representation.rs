//! Bytes that are already there, answered as HTTP wants them: strong `ETag`, `If-None-Match`,
//! `HEAD`, and a single byte range with `If-Range` (RFC 9110 §8.8, §13, §14).
//!
//! Several ranges, and a `Range` that cannot be read, are answered with the whole, as RFC 9110
//! §14.2 allows.

use std::ops::Range;

use bytes::Bytes;
use playout_store::Expected;
use warp::http::header::{self, HeaderName, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::problem::Problem;
use super::request::Request;

/// One thing to be served, whole.
#[derive(Debug, Clone)]
pub struct Representation {
    pub body: Bytes,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    pub content_type: &'static str,
    pub cache_control: String,
}

impl Representation {
    /// The answer to `request`, which is a `GET` or a `HEAD`.
    ///
    /// # Errors
    /// 416 when the range lies outside.
    pub fn answer(self, request: &Request) -> Result<Response, Problem> {
        let none_match = request.header(header::IF_NONE_MATCH);
        if none_match.is_some_and(|list| matches_weakly(list, &self.etag)) {
            let mut response = Response::new(Bytes::new().into());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            self.describe(&mut response);
            return Ok(response);
        }
        let whole = self.body.len();
        let part = match self.wanted(request) {
            None => None,
            Some(Wanted::Part(range)) => Some(range),
            Some(Wanted::Outside) => return Err(Problem::range_not_satisfiable(whole)),
        };
        let body = match &part {
            Some(range) => self.body.slice(range.clone()),
            None => self.body.clone(),
        };
        let mut response = Response::new(body.into());
        self.describe(&mut response);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content_type),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(Range { start, end }) = part {
            let place = format!("bytes {start}-{}/{whole}", end - 1);
            insert(&mut response, header::CONTENT_RANGE, &place);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    /// What every answer about it carries, also `304`.
    fn describe(&self, response: &mut Response) {
        insert(response, header::ETAG, &self.etag);
        insert(response, header::CACHE_CONTROL, &self.cache_control);
    }

    fn wanted(&self, request: &Request) -> Option<Wanted> {
        if request.method != Method::GET {
            return None;
        }
        let range = request.header(header::RANGE)?;
        match request.header(header::IF_RANGE) {
            Some(tag) if tag != self.etag => None,
            _ => wanted(range, self.body.len()),
        }
    }
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        Err(_) => tracing::error!(%name, value, "not a header value"),
    }
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Part(Range<usize>),
    Outside,
}

/// What `Range: …` asks of `length` bytes; `None` means the whole.
fn wanted(header: &str, length: usize) -> Option<Wanted> {
    let (unit, spec) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    match (first.is_empty(), last.is_empty()) {
        (true, _) => {
            let tail = number(last)?.min(length);
            Some(match tail {
                0 => Wanted::Outside,
                tail => Wanted::Part(length - tail..length),
            })
        }
        (false, open) => {
            let first = number(first)?;
            let last = if open { usize::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            Some(match first < length {
                true => Wanted::Part(first..last.saturating_add(1).min(length)),
                false => Wanted::Outside,
            })
        }
    }
}

/// Whether the list names the tag, by weak comparison (RFC 9110 §8.8.3.2).
fn matches_weakly(list: &str, etag: &str) -> bool {
    list.trim() == "*"
        || list
            .split(',')
            .map(|tag| tag.trim())
            .any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// What a `PUT` that makes what is not there expects to find, by `If-Match` and `If-None-Match: *` (RFC 9110 §13.1).
///
/// # Errors
/// As [`if_match`]; 400: both are given, or tags that are not to be there.
pub fn expected(request: &Request) -> Result<Expected, Problem> {
    let Some(not_there) = request.headers.get(header::IF_NONE_MATCH) else {
        let is_given = request.headers.contains_key(header::IF_MATCH);
        return Ok(match if_match(request)? {
            None if is_given => Expected::Something,
            version => version.into(),
        });
    };
    if not_there.as_bytes().trim_ascii() != b"*" {
        let sentence = "If-None-Match takes * here: that there is nothing yet.";
        return Err(Problem::bad_request(sentence));
    }
    match request.headers.contains_key(header::IF_MATCH) {
        true => Err(Problem::bad_request(
            "If-Match and If-None-Match say opposite things here.",
        )),
        false => Ok(Expected::Nothing),
    }
}

/// The version that `If-Match` demands of what is there; `None` without the header, or for `*`.
///
/// # Errors
/// 400 for several tags, 412 for a tag that no version has, and for `If-None-Match`: it is there.
pub fn if_match(request: &Request) -> Result<Option<u64>, Problem> {
    if request.headers.contains_key(header::IF_NONE_MATCH) {
        return Err(Problem::version_mismatch(None));
    }
    let Some(given) = request.headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let given = given.to_str().unwrap_or_default().trim();
    if given == "*" {
        return Ok(None);
    }
    if given.contains(',') {
        return Err(Problem::bad_request(
            "If-Match takes one version here, as in \"3\".",
        ));
    }
    let version = given
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .and_then(|digits| digits.parse().ok());
    version
        .map(Some)
        .ok_or_else(|| Problem::version_mismatch(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_range_as_rfc_9110_says() {
        let part = |range| Some(Wanted::Part(range));
        for (header, length, expected) in [
            ("bytes=0-0", 10, part(0..1)),
            ("bytes=2-5", 10, part(2..6)),
            ("bytes=2-", 10, part(2..10)),
            ("bytes=2-99", 10, part(2..10)),
            ("bytes=-3", 10, part(7..10)),
            ("bytes=-99", 10, part(0..10)),
            ("bytes=10-", 10, Some(Wanted::Outside)),
            ("bytes=-0", 10, Some(Wanted::Outside)),
            ("bytes=0-", 0, Some(Wanted::Outside)),
            ("bytes=99999999999999999999999-", 10, Some(Wanted::Outside)),
            ("bytes=5-2", 10, None),
            ("bytes=0-1,4-5", 10, None),
            ("bytes=a-b", 10, None),
            ("bytes=+1-2", 10, None),
            ("bytes=-", 10, None),
            ("frames=0-1", 10, None),
            ("nonsense", 10, None),
        ] {
            assert_eq!(wanted(header, length), expected, "{header} of {length}");
        }
    }

    #[test]
    fn finds_a_tag_in_a_list() {
        assert!(matches_weakly("*", "\"a\""));
        assert!(matches_weakly("\"b\", W/\"a\"", "\"a\""));
        assert!(!matches_weakly("\"b\"", "\"a\""));
    }
}
