//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a `POST` that is sent again with the same key is done
//! once, and answered as it was.
//!
//! A refusal is not kept: nothing was changed, so the same request may be sent again with the same key. Where a daemon was
//! killed between a change and its answer, the same request is answered `409` with what was made.
//!
//! What goes on while the database is away goes on with a key as well, as if there were none: what is on air waits for no
//! database.

use http_body_util::BodyExt;
use playout_store::{Attempt, Begun, KeptAnswer, StoreError};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use warp::http::header::{self, HeaderName};
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::request::Request;
use super::routes::{Needs, Operation, Protocol, Route, Work};
use super::sessions;

/// The header with the key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Headers that are given again.
const KEPT: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::ETAG,
    header::CACHE_CONTROL,
];
/// Of a key, in characters.
pub(super) const LONGEST: usize = 255;
/// Bytes of an answer that is kept. Of a longer one it is known only that it was given.
const LONGEST_ANSWER: usize = 64 << 10;

/// Whether what is answered to an operation is kept. A cookie is given once.
pub(super) fn is_kept(route: &Route, operation: &Operation) -> bool {
    operation.method == Method::POST && route.template != sessions::PATH
}

/// The key of a request.
///
/// # Errors
/// 400: what is given is none.
pub(super) fn key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(given) = request.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let given = given.to_str().unwrap_or_default().trim();
    // As the draft writes it, a quoted string; most write it bare.
    let quoted = given
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(given);
    let fits = (1..=LONGEST).contains(&key.len());
    let decent = key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match fits && decent {
        true => Ok(Some(key.to_owned())),
        false => Err(Problem::bad_request(format!(
            "`Idempotency-Key` has to be 1 to {LONGEST} printable ASCII characters, as a UUID is."
        ))),
    }
}

/// Does the work once for its key.
///
/// # Errors
/// As the work; 409: another request with the key is at it, or it was done and the answer is lost; 422: the key was used for
/// something else; 429: the client has too many; 503: that cannot be found out.
pub(super) async fn once(
    key: String,
    protocol: Protocol,
    needs: Needs,
    work: Work,
    mut call: Call,
) -> Result<Response, Problem> {
    let fingerprint = fingerprint(protocol, &mut call).await?;
    let (app, credential) = (call.app.clone(), call.credential.clone());
    let store = &app.store;
    let begun = store.idempotent_begin(&call.who, &credential, &key, fingerprint);
    let begun = match begun.await {
        Err(StoreError::Unavailable(away)) if needs == Needs::Nothing => {
            tracing::debug!(%away, "an Idempotency-Key is not kept");
            return work(call).await;
        }
        begun => begun.map_err(Problem::of_store)?,
    };
    let attempt = match begun {
        Begun::First(attempt) => attempt,
        Begun::TooMany => return Err(Problem::idempotency_keys()),
        Begun::Answered(kept) => return replayed(kept),
        Begun::UnderWay => return Err(Problem::idempotency_under_way()),
        Begun::Different => {
            let detail = "The Idempotency-Key was used for another request within a day.";
            return Err(Problem::idempotency_reused(detail));
        }
        Begun::Done { subject } => {
            let made = subject.map(|(kind, id)| json!({ "type": kind, "id": id }));
            return Err(Problem::idempotency_done(made));
        }
    };
    call.who.attempt = Some(attempt.clone());
    let answered = held(work(call), &attempt, store).await;
    let (answered, outcome) = match answered {
        Ok(response) => outcome(response).await,
        refused => (refused, Outcome::Nothing),
    };
    let noted = match &outcome {
        Outcome::Kept(kept) => {
            store
                .idempotent_end(&attempt, &credential, Some(kept))
                .await
        }
        Outcome::Done => store.idempotent_end(&attempt, &credential, None).await,
        Outcome::Nothing => store.idempotent_give_up(&attempt).await,
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "the answer to a request with an Idempotency-Key is not kept");
    }
    answered
}

/// Says meanwhile that it goes on.
async fn held<T>(
    work: impl Future<Output = T>,
    attempt: &Attempt,
    store: &playout_store::Store,
) -> T {
    let mut says = interval_at(Instant::now() + Attempt::EVERY, Attempt::EVERY);
    says.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = says.tick() => {
                if let Err(error) = store.idempotent_goes_on(attempt).await {
                    tracing::warn!(%error, "an Idempotency-Key may be taken for given up");
                }
            }
        }
    }
}

/// What makes two requests the same: what is asked for, and with what. Of an upload, what is said of it.
async fn fingerprint(protocol: Protocol, call: &mut Call) -> Result<[u8; 32], Problem> {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    add(call.request.method.as_str().as_bytes());
    add(call.request.target().as_bytes());
    match protocol {
        Protocol::Http => {
            let limits = call.facade.settings.body;
            add(&call.request.buffered(limits).await?);
        }
        Protocol::Tus => {
            for name in ["upload-length", "upload-metadata"] {
                let value = call.request.headers.get(name);
                add(value.map_or(&[], HeaderValue::as_bytes));
            }
        }
    }
    Ok(digest.finalize().into())
}

/// What is kept of an answer.
#[derive(Debug)]
enum Outcome {
    /// All of it.
    Kept(KeptAnswer),
    /// That it was given: it is too long.
    Done,
    /// Nothing: it is a refusal.
    Nothing,
}

/// An answer, and what is kept of it.
async fn outcome(response: Response) -> (Result<Response, Problem>, Outcome) {
    if !response.status().is_success() {
        return (Ok(response), Outcome::Nothing);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return (Err(Problem::internal()), Outcome::Done);
    };
    if body.len() > LONGEST_ANSWER {
        return (Ok(Response::from_parts(parts, body.into())), Outcome::Done);
    }
    let header = |name: &HeaderName| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let kept = KeptAnswer {
        status: parts.status.as_u16(),
        headers: KEPT.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    (
        Ok(Response::from_parts(parts, body.into())),
        Outcome::Kept(kept),
    )
}

fn replayed(kept: KeptAnswer) -> Result<Response, Problem> {
    let mut response = Response::new(kept.body.into());
    *response.status_mut() = StatusCode::from_u16(kept.status).map_err(|_| Problem::internal())?;
    for (name, value) in &kept.headers {
        if let Ok(name) = name.parse::<HeaderName>() {
            answer::set(&mut response, name, value);
        }
    }
    answer::set(&mut response, REPLAYED, "true");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_answers_are_given_and_not_kept_and_refusals_are_nothing() {
        let answer = |bytes: usize| Response::new("x".repeat(bytes).into());
        let (answered, what) = outcome(answer(LONGEST_ANSWER)).await;
        assert!(answered.is_ok());
        assert!(matches!(what, Outcome::Kept(kept) if kept.body.len() == LONGEST_ANSWER));
        let (answered, what) = outcome(answer(LONGEST_ANSWER + 1)).await;
        let given = answered.map(Response::into_body).map(BodyExt::collect);
        let given = given
            .map_err(|_| ())
            .expect("an answer")
            .await
            .expect("a body");
        assert_eq!(given.to_bytes().len(), LONGEST_ANSWER + 1);
        assert!(matches!(what, Outcome::Done));
        let (_, what) = outcome(Problem::not_found("channel").into_response()).await;
        assert!(matches!(what, Outcome::Nothing));
    }
}
