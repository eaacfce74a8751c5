//! The only place that knows status codes: what goes wrong, as `application/problem+json`
//! (RFC 9457).
//!
//! Every refusal of the daemon passes here, so a client finds the same members everywhere:
//! `type` (a stable name to program against), `title`, `status`, `detail` (one sentence for a
//! person) and, for invalid input, `violations` with every fault at once.
//! Invariant: no private cause (SQL, path of the daemon, panic) is ever put into an answer.

mod kind;

use std::time::Duration;

use playout_actors::OpError;
use playout_domain::plans::PlanRefusal;
use playout_domain::violation::Violations;
use playout_store::{NodeView, Scope, StoreError};
use serde_json::{Map, Value, json};
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

pub(super) use self::kind::Kind;
use super::secure::secure;

/// The media type of every refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One refusal, ready to be sent.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    /// Members besides the standard ones (`violations`, `limit`, `line` …).
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// The sentence for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same, with a header.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.headers.push((name, value)),
            Err(_) => tracing::error!(%name, value, "not a header value"),
        }
        self
    }

    /// 400: query, header or URL are not what they should be.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// 400: the body is not JSON; line and column (from 1) say where it stops being it.
    pub fn malformed_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let what = text.strip_suffix(&place).unwrap_or(&text);
        Self::new(
            Kind::MalformedJson,
            format!("line {line}, column {column}: {what}"),
        )
        .member("line", line)
        .member("column", column)
    }

    /// 400: there is no body where one is needed.
    pub fn empty_body() -> Self {
        Self::new(
            Kind::MalformedJson,
            "The body is empty; a JSON value is needed.",
        )
    }

    /// 401: no token, or one that is not known.
    pub fn unauthenticated(detail: &str) -> Self {
        Self::new(Kind::Unauthenticated, detail).header(
            header::WWW_AUTHENTICATE,
            "Bearer realm=\"playoutd\", charset=\"UTF-8\"",
        )
    }

    /// 403: the token is known, and does not have the scope that this needs.
    pub fn scope_missing(scope: Scope) -> Self {
        Self::new(
            Kind::Forbidden,
            format!("The token needs the scope `{scope}` for this."),
        )
        .member("scope", json!(scope))
    }

    /// 403: a session alone is not enough for what changes something.
    pub fn csrf_token_missing() -> Self {
        Self::new(
            Kind::CsrfTokenMissing,
            "With a session, send its `csrfToken` in `X-CSRF-Token` to change something.",
        )
    }

    /// 429, with the time after which there is one more.
    pub(super) fn too_many_requests(detail: &str, more_in: Duration) -> Self {
        let seconds = more_in.as_millis().div_ceil(1000).max(1);
        Self::new(Kind::TooManyRequests, detail)
            .header(header::RETRY_AFTER, &seconds.to_string())
            .member("retryAfter", u64::try_from(seconds).unwrap_or(u64::MAX))
    }

    /// 402: the plan's limit would be passed.
    pub fn limit_exceeded(refusal: &PlanRefusal) -> Self {
        let problem = Self::new(Kind::LimitExceeded, format!("{refusal}."));
        match serde_json::to_value(refusal) {
            Ok(Value::Object(members)) => {
                members.into_iter().fold(problem, |problem, (name, value)| {
                    problem.member(&name, value)
                })
            }
            _ => problem,
        }
    }

    /// 404: `what` names the thing that is not there, as in "channel".
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}."))
    }

    /// 404, with a sentence of its own.
    pub fn missing(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// 405, with the methods that are allowed.
    pub fn method_not_allowed(method: &Method, allowed: &[Method]) -> Self {
        let allow = allow_header(allowed);
        Self::new(
            Kind::MethodNotAllowed,
            format!("{method} is not allowed here; allowed: {allow}."),
        )
        .header(header::ALLOW, &allow)
    }

    /// 408: the body came too slowly.
    pub fn body_timeout(within: Duration) -> Self {
        Self::new(
            Kind::BodyTimeout,
            format!(
                "The body has to arrive within {} seconds.",
                within.as_secs()
            ),
        )
        .header(header::CONNECTION, "close")
    }

    /// 409: `state` is the state that does not allow it.
    pub fn conflict(state: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail).member("state", state.into())
    }

    /// 409: another request with the same `Idempotency-Key` is at it.
    pub(super) fn idempotency_under_way() -> Self {
        Self::conflict(
            "inProgress",
            "A request with this Idempotency-Key is under way; wait for it.",
        )
        .header(header::RETRY_AFTER, "1")
    }

    /// 409: it was done, to `made`, and what was answered is not known.
    pub(super) fn idempotency_done(made: Option<Value>) -> Self {
        let detail = "The request with this Idempotency-Key was done; its answer was lost, or given to another token.";
        let problem = Self::conflict("done", detail);
        match made {
            Some(made) => problem.member("made", made),
            None => problem,
        }
    }

    /// 429: a client has as many keys as are kept.
    pub(super) fn idempotency_keys() -> Self {
        let detail = "There are too many Idempotency-Keys of the client: a key is kept for a day. Send what needs none without.";
        Self::too_many_requests(detail, Duration::from_secs(60))
    }

    /// 422: an `Idempotency-Key` stands for another request.
    pub(super) fn idempotency_reused(detail: &str) -> Self {
        Self::new(Kind::IdempotencyKeyReused, detail)
    }

    /// 409: it is stored damaged; what is wrong with it is for the operator alone.
    pub fn quarantined(reason: Option<&str>) -> Self {
        let detail = "What is stored of it does not match its digest, so it is off air and left as it \
            is until it is restored or deleted.";
        let problem = Self::new(Kind::Quarantined, detail).member("state", "QUARANTINED");
        match reason {
            Some(reason) => problem.member("reason", sentence(reason)),
            None => problem,
        }
    }

    /// 409: another daemon holds the channel; `node` names it.
    pub fn held_elsewhere(node: &NodeView) -> Self {
        let detail = format!(
            "Node {} holds the channel, and takes changes and orders to it.",
            node.name
        );
        let node = serde_json::to_value(node).unwrap_or_default();
        Self::new(Kind::HeldElsewhere, detail).member("node", node)
    }

    /// 412: `current` is the version that is there now.
    pub fn version_mismatch(current: Option<u64>) -> Self {
        let detail = match current {
            Some(current) => {
                format!("If-Match names another version; the current one is \"{current}\".")
            }
            None => "If-Match names no version of this resource.".to_owned(),
        };
        let problem = Self::new(Kind::PreconditionFailed, detail);
        match current {
            Some(current) => problem
                .member("currentVersion", current)
                .header(header::ETAG, &format!("\"{current}\"")),
            None => problem,
        }
    }

    /// 413: more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            Kind::BodyTooLarge,
            format!("A body may have {limit} bytes at most."),
        )
        .member("limit", limit)
        .header(header::CONNECTION, "close")
    }

    /// 413: an upload may have `limit` bytes.
    pub fn upload_too_large(limit: u64) -> Self {
        let detail = format!("The upload may have {limit} bytes at most.");
        Self::new(Kind::BodyTooLarge, detail).member("limit", limit)
    }

    /// 409: the piece does not begin where the upload ends.
    pub fn upload_offset(current: u64) -> Self {
        let detail = format!("The upload has {current} bytes; the next piece begins there.");
        Self::conflict("offset", detail).member("offset", current)
    }

    /// 460: a piece is not what its checksum says.
    pub fn checksum_mismatch() -> Self {
        let detail = "The piece is not what its checksum says; none of it was kept.";
        Self::new(Kind::ChecksumMismatch, detail)
    }

    /// 507: there is no room on the daemon's disk.
    pub fn no_room() -> Self {
        Self::new(
            Kind::NoRoom,
            "There is no room for it on the daemon's disk.",
        )
    }

    /// 412: the client speaks another version of the protocol of uploads.
    pub fn upload_protocol(detail: &str) -> Self {
        Self::new(Kind::PreconditionFailed, detail)
    }

    /// 415: `accepted` are the media types that this route takes.
    pub fn unsupported_media_type(detail: impl Into<String>, accepted: &[&str]) -> Self {
        Self::new(Kind::UnsupportedMediaType, detail).header(header::ACCEPT, &accepted.join(", "))
    }

    /// 416: the thing has `length` bytes.
    pub fn range_not_satisfiable(length: usize) -> Self {
        Self::new(
            Kind::RangeNotSatisfiable,
            format!("There are {length} bytes."),
        )
        .header(header::CONTENT_RANGE, &format!("bytes */{length}"))
    }

    /// 422, with every violation; of very many the first ones.
    pub fn invalid(violations: &Violations) -> Self {
        let (told, count) = (violations.0.len(), violations.count());
        let detail = match &violations.0[..] {
            [one] if count == 1 && one.pointer.is_empty() => sentence(&one.message),
            [one] if count == 1 => format!("{}: {}", one.pointer, one.message),
            _ if count > told => {
                format!("There are {count} violations; the first {told} are told.")
            }
            _ => format!("There are {count} violations."),
        };
        let list: Vec<Value> = violations
            .0
            .iter()
            .map(|v| json!({ "pointer": v.pointer, "message": v.message }))
            .collect();
        Self::new(Kind::Invalid, detail).member("violations", list)
    }

    /// 500: ours; what happened is in the log only.
    pub fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "The fault is the daemon's; its log tells more under this request's id.",
        )
    }

    /// 503, with the time after which it is worth trying again.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs().max(1);
        Self::new(Kind::Unavailable, detail)
            .header(header::RETRY_AFTER, &seconds.to_string())
            .member("retryAfter", seconds)
    }

    /// 503: the work takes longer than the answer is waited for.
    pub fn takes_long(patience: Duration) -> Self {
        let detail = format!(
            "It takes longer than {} seconds, and goes on: look later whether it was done.",
            patience.as_secs()
        );
        Self::unavailable(detail, Duration::from_secs(10))
    }

    /// 503 of `/readyz`: `parts` says which part does not answer.
    pub fn not_ready(detail: impl Into<String>, parts: Value) -> Self {
        Self::unavailable(detail, Duration::from_secs(2)).member("parts", parts)
    }

    /// What the store refuses to a handler that speaks to it itself.
    pub fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(ref away) if away.is_for_want_of_room() => {
                Self::from(OpError::from(error))
            }
            StoreError::Unavailable(away) => {
                tracing::debug!(%away, "a store is not available");
                Self::unavailable("The database does not answer.", away.retry_after())
            }
            StoreError::Limit(exceeded) => Self::limit_exceeded(&exceeded),
            error => {
                tracing::error!(%error, "the store failed");
                Self::internal()
            }
        }
    }

    /// Why the store did not do what was asked about `what`, as in "channel".
    pub(super) fn of_stored(what: &'static str, error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found(what),
            error => Self::from(OpError::from(error)),
        }
    }

    /// The status that is sent.
    pub fn status(&self) -> StatusCode {
        self.kind.facts().0
    }

    /// The document of RFC 9457 §3.
    pub(super) fn document(&self) -> Value {
        let (status, name, title) = self.kind.facts();
        let mut document = Map::new();
        document.insert(
            "type".to_owned(),
            format!("urn:problem-type:playoutd:{name}").into(),
        );
        document.insert("title".to_owned(), title.into());
        document.insert("status".to_owned(), status.as_u16().into());
        document.insert("detail".to_owned(), self.detail.clone().into());
        document.extend(self.members.clone());
        Value::Object(document)
    }

    /// The whole HTTP/1.1 answer, for a connection that no server drives; it ends with it.
    pub fn into_bytes(self) -> Vec<u8> {
        let body = self.document().to_string();
        let status = self.status();
        let mut head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {PROBLEM_JSON}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n",
            body.len()
        )
        .into_bytes();
        let mut headers: HeaderMap = self.headers.into_iter().collect();
        secure(&mut headers, false);
        for (name, value) in &headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(body.as_bytes());
        head
    }

    /// The answer that carries it.
    pub fn into_response(self) -> Response {
        let mut body = self.document().to_string();
        body.push('\n');
        let status = self.status();
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NotFound(what) => Self::not_found(what),
            OpError::Invalid(violations) => Self::invalid(&violations),
            OpError::Conflict { state, message } => Self::conflict(state, sentence(&message)),
            OpError::Quarantined { reason } => Self::quarantined(reason.as_deref()),
            OpError::HeldElsewhere(node) => Self::held_elsewhere(&node),
            OpError::VersionMismatch { current } => Self::version_mismatch(Some(current)),
            OpError::Limit(exceeded) => Self::limit_exceeded(&exceeded),
            OpError::Unavailable {
                message,
                retry_after,
            } => Self::unavailable(sentence(&message), retry_after),
            OpError::Internal => Self::internal(),
        }
    }
}

/// A message as a sentence of its own: begun with a capital, ended with a full stop.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string());
    let stop = if message.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.unwrap_or_default(), characters.as_str())
}

/// `GET` implies `HEAD`, and `OPTIONS` is answered everywhere (RFC 9110 §9).
pub(super) fn allow_header(allowed: &[Method]) -> String {
    let mut names = Vec::new();
    for method in allowed {
        names.push(method.as_str());
        if method == Method::GET {
            names.push("HEAD");
        }
    }
    names.push("OPTIONS");
    names.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playout_domain::NodeId;
    use playout_domain::limits::{Amount, Limit, LimitExceeded};
    use playout_domain::violation::Violations;

    #[test]
    fn says_where_the_json_ends_being_json() {
        let error = serde_json::from_str::<Value>("{\n  \"a\": nul }").unwrap_err();
        let document = Problem::malformed_json(&error).document();
        assert_eq!(document["status"], 400);
        assert_eq!(document["line"], 2);
        assert!(
            document["detail"]
                .as_str()
                .unwrap()
                .starts_with("line 2, column ")
        );
        assert!(!document["detail"].as_str().unwrap().contains(" at line "));
    }

    #[test]
    fn a_violation_of_the_whole_has_no_place_to_name() {
        let detail = |pointer: &str| {
            let message = "an object is needed here, not a list";
            Problem::invalid(&Violations::one(pointer, message)).document()["detail"].clone()
        };
        assert_eq!(detail(""), "An object is needed here, not a list.");
        assert_eq!(detail("/a"), "/a: an object is needed here, not a list");
    }

    #[test]
    fn every_refusal_of_the_living_tier_has_its_status() {
        let limit = LimitExceeded {
            limit: Limit::MaxChannels,
            current: Amount::Count(2),
            requested: Amount::Count(3),
            allowed: Amount::Count(2),
        };
        let limit = PlanRefusal::from(limit);
        let conflict = || OpError::Conflict {
            state: "LIVE".into(),
            message: "no".into(),
        };
        let soon = Duration::from_secs(5);
        let node = NodeView {
            id: NodeId::from(uuid::Uuid::nil()),
            name: "tv2".to_owned(),
            url: None,
        };
        for (error, status) in [
            (OpError::NotFound("channel"), 404),
            (
                OpError::Invalid(Violations::one("/name", "is missing")),
                422,
            ),
            (conflict(), 409),
            (OpError::Quarantined { reason: None }, 409),
            (OpError::HeldElsewhere(node), 409),
            (OpError::VersionMismatch { current: 7 }, 412),
            (OpError::Limit(limit), 402),
            (
                OpError::Unavailable {
                    message: "away".into(),
                    retry_after: soon,
                },
                503,
            ),
            (OpError::Internal, 500),
        ] {
            assert_eq!(Problem::from(error).status().as_u16(), status);
        }
        let full = || StoreError::no_room("53100");
        for problem in [
            Problem::of_store(full()),
            Problem::from(OpError::from(full())),
        ] {
            assert_eq!(problem.status(), 503);
            let detail = "There is no room left on the disk of the database.";
            assert_eq!(problem.document()["detail"], detail);
        }
        let document = Problem::from(conflict()).document();
        assert_eq!(
            (&document["state"], &document["detail"]),
            (&json!("LIVE"), &json!("No."))
        );
        let mismatch = Problem::from(OpError::VersionMismatch { current: 7 }).into_response();
        assert_eq!(mismatch.headers()[header::ETAG], "\"7\"");
    }

    #[test]
    fn allow_names_what_get_implies() {
        assert_eq!(
            allow_header(&[Method::GET, Method::POST]),
            "GET, HEAD, POST, OPTIONS"
        );
    }
}
