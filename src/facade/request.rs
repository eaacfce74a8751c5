//! One request as the handlers see it: collected by a single warp filter, with a body that is
//! read only when asked for, and never beyond its limit.
//!
//! Invariant: a body is counted as it arrives, so a chunked one is bounded like any other.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use playout_domain::violation::{Violations, quoted};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use uuid::{Builder, Uuid};
use warp::Filter;
use warp::http::Method;
use warp::http::header::{self, HeaderMap, HeaderName};
use warp::http::request::Parts;
use warp::path::FullPath;

use super::json::{self, Unread};
use super::problem::Problem;

/// The address that a request comes from, as far as trusted proxies say it; the accept loop puts it into the
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Where no accept loop says it.
    const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
}

/// Names one request in logs and answers; the caller's own, if it sent a decent one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    /// The header that carries it, in and out.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The caller's id (at most 64 of `A–Z a–z 0–9 . _ -`), or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let decent = |id: &&str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let given = headers.get(Self::HEADER).and_then(|v| v.to_str().ok());
        match given.filter(decent) {
            Some(id) => Self(id.to_owned()),
            None => Self(fresh().to_string()),
        }
    }
}

/// Another id at each call, without the system call for chance that [`Uuid::now_v7`] is: nobody has to be unable to guess it.
fn fresh() -> Uuid {
    static CHANCE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&CHANCE.hash_one(asked).to_be_bytes());
    bytes[8..].copy_from_slice(&asked.to_be_bytes()[6..]);
    let now = Timestamp::now().as_millisecond();
    Builder::from_unix_timestamp_millis(now.unsigned_abs(), &bytes).into_uuid()
}

/// How much of a body is read, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Most bytes of a body.
    pub bytes: usize,
    /// Longest time from the head of the request to the end of its body.
    pub time: Duration,
}

type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// A request, its body still unread.
pub struct Request {
    pub method: Method,
    path: String,
    query: String,
    pub headers: HeaderMap,
    address: ClientAddress,
    body: BodyStream,
}

impl Request {
    /// A request that nobody reads the body of.
    pub(super) fn without_body(head: Parts, address: ClientAddress) -> Self {
        Self {
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            method: head.method,
            headers: head.headers,
            address,
            body: Box::pin(stream::empty()),
        }
    }

    /// The path's segments, undecoded: no route of the daemon has an escaped one.
    /// A doubled or trailing slash yields an empty segment, which matches nothing.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').skip(1).collect()
    }

    /// A header as text; `None` if absent, repeated headers answer their first.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The address it comes from, as far as trusted proxies say it.
    pub fn address(&self) -> IpAddr {
        self.address.0
    }

    /// The query, each parameter of it known and given once.
    ///
    /// # Errors
    /// 400 for an unknown or repeated parameter and a broken escape.
    pub fn query<const N: usize>(&self, known: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let Some(slot) = known.iter().position(|k| *k == name) else {
                let known = match known.join("`, `") {
                    none if none.is_empty() => "none".to_owned(),
                    some => format!("`{some}`"),
                };
                return Err(Problem::bad_request(format!(
                    "The parameter `{name}` is not known here; known: {known}."
                )));
            };
            if values[slot].replace(decode(value)?).is_some() {
                return Err(Problem::bad_request(format!(
                    "The parameter `{name}` is given twice."
                )));
            }
        }
        Ok(values)
    }

    /// The names in the query; one with a broken escape as it stands.
    pub(super) fn parameter_names(&self) -> impl Iterator<Item = String> {
        let pairs = self.query.split('&');
        pairs.map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            decode(name).unwrap_or_else(|_| name.to_owned())
        })
    }

    /// The body as JSON, of one of the `accepted` media types.
    ///
    /// # Errors
    /// 415 for another type or a coded body, 413 past the limit, 408 when it does not arrive,
    /// 400 when it is not JSON, 422 when an object in it names a member twice.
    pub async fn json(&mut self, accepted: &[&str], limits: BodyLimits) -> Result<Value, Problem> {
        self.check_type(accepted)?;
        let bytes = self.bytes(limits).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::empty_body());
        }
        json::read(&bytes).map_err(|unread| match unread {
            Unread::Malformed(error) => Problem::malformed_json(&error),
            Unread::Twice(pointer, message) => Problem::invalid(&Violations::one(pointer, message)),
        })
    }

    /// The body as it is.
    ///
    /// # Errors
    /// 415 for another type or a coded body, 413 past the limit, 408 when it does not arrive.
    pub async fn whole(&mut self, accepted: &[&str], limits: BodyLimits) -> Result<Bytes, Problem> {
        self.check_type(accepted)?;
        self.bytes(limits).await
    }

    /// The next bytes of the body; nothing at its end.
    ///
    /// # Errors
    /// 408 when nothing comes for `idle`, 400 when the body breaks off.
    pub async fn chunk(&mut self, idle: Duration) -> Result<Option<Bytes>, Problem> {
        match timeout_at(Instant::now() + idle, self.body.next()).await {
            Err(_) => Err(Problem::body_timeout(idle)),
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(_))) => Err(Problem::bad_request("The body broke off.")),
        }
    }

    /// Path and query, as they were sent.
    pub(super) fn target(&self) -> String {
        format!("{}?{}", self.path, self.query)
    }

    /// The body as it is; it can be read again.
    ///
    /// # Errors
    /// 413 past the limit, 408 when it does not arrive, 400 when it breaks off.
    pub(super) async fn buffered(&mut self, limits: BodyLimits) -> Result<Bytes, Problem> {
        let bytes = self.bytes(limits).await?;
        let again = bytes.clone();
        self.body = Box::pin(stream::once(async move { Ok(again) }));
        Ok(bytes)
    }

    pub(super) fn check_type(&self, accepted: &[&str]) -> Result<(), Problem> {
        let given = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default().trim();
        if !accepted.iter().any(|a| essence.eq_ignore_ascii_case(a)) {
            let detail = match essence {
                "" => format!(
                    "The body has no Content-Type; expected {}.",
                    accepted.join(" or ")
                ),
                other => format!("Expected {}, not {other}.", accepted.join(" or ")),
            };
            return Err(Problem::unsupported_media_type(detail, accepted));
        }
        let codings = self.headers.get_all(header::CONTENT_ENCODING).iter();
        let mut codings = codings.map(|coding| coding.to_str().unwrap_or("something else"));
        match codings.find(|coding| !matches!(*coding, "identity" | "")) {
            None => Ok(()),
            Some(coding) => Err(Problem::unsupported_media_type(
                format!("The body is coded as {coding}; send it as it is."),
                accepted,
            )),
        }
    }

    /// The body as it is, of one of the `accepted` media types; which one.
    ///
    /// # Errors
    /// 415, 413, 408; 400 when the body breaks off.
    pub(super) async fn file<'a>(
        &mut self,
        accepted: &[&'a str],
        limits: BodyLimits,
    ) -> Result<(&'a str, Bytes), Problem> {
        self.check_type(accepted)?;
        let given = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim();
        let known = accepted
            .iter()
            .find(|known| given.eq_ignore_ascii_case(known));
        let known = known.copied().unwrap_or_default();
        Ok((known, self.bytes(limits).await?))
    }

    async fn bytes(&mut self, limits: BodyLimits) -> Result<Bytes, Problem> {
        let declared = self
            .header(header::CONTENT_LENGTH)
            .and_then(|v| v.parse::<u64>().ok());
        if declared.is_some_and(|n| n > limits.bytes as u64) {
            self.discard(limits).await;
            return Err(Problem::body_too_large(limits.bytes));
        }
        let deadline = Instant::now() + limits.time;
        let mut read = BytesMut::new();
        loop {
            let Ok(chunk) = timeout_at(deadline, self.body.next()).await else {
                return Err(Problem::body_timeout(limits.time));
            };
            match chunk {
                None => return Ok(read.freeze()),
                Some(Ok(chunk)) if read.len() + chunk.len() > limits.bytes => {
                    self.discard(limits).await;
                    return Err(Problem::body_too_large(limits.bytes));
                }
                Some(Ok(chunk)) => read.extend_from_slice(&chunk),
                Some(Err(_)) => {
                    return Err(Problem::bad_request("The body broke off."));
                }
            }
        }
    }

    /// Reads on for a little, so that a client still sending sees the answer and not a reset.
    /// A client that asked first (`Expect: 100-continue`) is not waited for.
    pub(super) async fn discard(&mut self, limits: BodyLimits) {
        if self.headers.contains_key(header::EXPECT) {
            return;
        }
        let deadline = Instant::now() + limits.time.min(Duration::from_secs(2));
        let mut left = limits.bytes.saturating_mul(16);
        while let Ok(Some(Ok(chunk))) = timeout_at(deadline, self.body.next()).await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// The filter that collects a [`Request`]. It matches every path and rejects nothing.
pub fn request() -> impl Filter<Extract = (Request,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<ClientAddress>())
        .and(warp::body::stream())
        .map(
            |method, path: FullPath, query, headers, address: Option<_>, body| Request {
                method,
                path: path.as_str().to_owned(),
                query,
                headers,
                address: address.unwrap_or(ClientAddress::UNKNOWN),
                body: boxed(body),
            },
        )
}

fn boxed(
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + Sync + 'static,
) -> BodyStream {
    Box::pin(body.map(|chunk| chunk.map(|mut buf| buf.copy_to_bytes(buf.remaining()))))
}

/// A parameter of the query that narrows a list.
///
/// # Errors
/// 400: it is none.
pub(super) fn narrowed<T: FromStr<Err: Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    let value = text.map(|text| text.parse::<T>()).transpose();
    value.map_err(|error| Problem::bad_request(format!("`{name}`: {error}.")))
}

/// A time as the API writes it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn time_of(text: &str) -> Result<Timestamp, String> {
    // RFC 3339 has no years before 0, and the database none long before.
    let time = text.parse::<Timestamp>().ok();
    let time = time.filter(|_| !text.starts_with('-'));
    time.ok_or_else(|| {
        let given = quoted(text);
        format!("{given} is no time as in 2030-01-31T20:15:00Z (RFC 3339)")
    })
}

/// Undoes `%XX` and `+` of a query (WHATWG URL, `application/x-www-form-urlencoded`).
fn decode(text: &str) -> Result<String, Problem> {
    let broken = || Problem::bad_request("The query has a broken %-escape.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let [high, low, after @ ..] = tail else {
                    return Err(broken());
                };
                let digit = |b: u8| char::from(b).to_digit(16).ok_or_else(broken);
                bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use warp::http::HeaderValue;

    #[test]
    fn decodes_a_query_and_refuses_a_broken_one() {
        assert_eq!(decode("a%20b+c%C3%A9").unwrap(), "a b cé");
        for broken in ["%", "%1", "%zz", "%+f", "%ff"] {
            assert!(decode(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn keeps_a_decent_request_id_and_replaces_any_other() {
        let mut headers = HeaderMap::new();
        headers.insert(RequestId::HEADER, HeaderValue::from_static("job-7.a_b"));
        assert_eq!(RequestId::of(&headers).0, "job-7.a_b");
        for bad in ["", "a b", &"x".repeat(65)] {
            headers.insert(RequestId::HEADER, HeaderValue::from_str(bad).unwrap());
            assert_eq!(RequestId::of(&headers).0.len(), 36, "{bad:?}");
        }
    }

    #[test]
    fn every_request_has_another_id_that_tells_when() {
        let ids: HashSet<Uuid> = (0..100_000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 100_000);
        let now = Timestamp::now().as_second();
        for id in ids.into_iter().take(10) {
            assert_eq!(id.get_version_num(), 7);
            let (at, _) = id.get_timestamp().unwrap().to_unix();
            assert!(now.abs_diff(i64::try_from(at).unwrap()) < 3600);
        }
    }
}
