//! `/api/v1`: how a request comes to whoever handles it ([`super::routes`] says who that is).
//!
//! The order of refusal is fixed: unknown path 404, wrong method 405, no valid token 401, too small a
//! scope 403 (429 between the two), then whatever the handler finds.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use playout_actors::App;
use playout_store::{Credential, Principal, Server, StoreError};
use serde_json::Value;
use tracing::Instrument;
use warp::http::{Method, header};
use warp::reply::Response;

use super::problem::{Problem, allow_header};
use super::request::Request;
use super::routes::{self, Needs, Operation, Protocol, Route, Work};
use super::{Facade, answer, caller, idempotency, readiness, uploads};

/// What may take as long as it takes: it looks into every file of a folder; it is done to many channels, and what became of
/// each is nowhere but in the answer.
const LONG: [&str; 2] = ["importMedia", "bulkChannels"];

/// The id in a path: a UUID in its usual form, so that one thing has one URL.
///
/// # Errors
/// 404: nothing has such an id.
pub(super) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    let usual = text.len() == 36;
    text.parse()
        .ok()
        .filter(|_| usual)
        .ok_or_else(|| Problem::not_found(what))
}

/// The method, with `HEAD` seen as the `GET` it stands for; an answer to `OPTIONS` at once.
///
/// # Errors
/// 405 with what is allowed.
pub(super) fn method(request: &Request, allowed: &[Method]) -> Result<Asked, Problem> {
    let method = match &request.method {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    if allowed.contains(&method) {
        return Ok(Asked::For(method));
    }
    if method == Method::OPTIONS {
        return Ok(Asked::Options(options(allowed)));
    }
    Err(Problem::method_not_allowed(&request.method, allowed))
}

/// What a request's method comes to.
pub(super) enum Asked {
    /// One of the allowed methods.
    For(Method),
    /// `OPTIONS`, already answered.
    Options(Response),
}

fn options(allowed: &[Method]) -> Response {
    let mut response = answer::nothing();
    answer::set(&mut response, header::ALLOW, &allow_header(allowed));
    response
}

/// One request that was let in.
pub(super) struct Call {
    pub(super) facade: Arc<Facade>,
    pub(super) app: App,
    /// Who asks.
    pub(super) who: Principal,
    /// With what.
    pub(super) credential: Credential,
    pub(super) request: Request,
}

impl Call {
    /// The body as JSON, of one of the `accepted` media types.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub(super) async fn json(&mut self, accepted: &[&str]) -> Result<Value, Problem> {
        self.request.json(accepted, self.facade.settings.body).await
    }

    /// The body of the request, as it is.
    ///
    /// # Errors
    /// As [`Request::whole`].
    pub(super) async fn bytes(&mut self, accepted: &[&str]) -> Result<Bytes, Problem> {
        self.request
            .whole(accepted, self.facade.settings.body)
            .await
    }

    /// Where others reach the daemon, without a slash at the end.
    pub(super) fn public_url(&self) -> &str {
        self.facade.public_url()
    }

    /// Where viewers reach it, without a slash at the end.
    pub(super) fn viewer_url(&self) -> &str {
        self.facade.viewer_url()
    }
}

/// Answers a request below `/api/v1`.
pub(super) async fn answer(facade: Arc<Facade>, request: Request) -> Result<Response, Problem> {
    let segments = request.segments();
    let (route, values) = routes::at(segments.get(2..).unwrap_or_default())?;
    if route.protocol == Protocol::Http {
        return answer_for(route, &values, facade, request).await;
    }
    let answered = match uploads::as_meant(request) {
        Ok(request) => answer_for(route, &values, facade, request).await,
        Err(problem) => Err(problem),
    };
    Ok(uploads::spoken(
        answered.unwrap_or_else(Problem::into_response),
    ))
}

async fn answer_for(
    route: &'static Route,
    values: &[String],
    facade: Arc<Facade>,
    request: Request,
) -> Result<Response, Problem> {
    let method = match method(&request, &route.methods())? {
        Asked::For(method) => method,
        Asked::Options(response) if route.protocol == Protocol::Tus => {
            return Ok(uploads::options(&facade, response));
        }
        Asked::Options(response) => return Ok(response),
    };
    let Some(operation) = route.operation(&method) else {
        return Err(Problem::method_not_allowed(&method, &route.methods()));
    };
    let work = (operation.bind)(values)?;
    let app = facade.app()?.clone();
    let patience = match route.protocol == Protocol::Tus || LONG.contains(&operation.id) {
        true => None,
        false => Some(facade.settings.handler),
    };
    within(patience, async move {
        let (who, credential) = caller::of(&facade, &app, &request).await?;
        let quota = facade.access.request(&who, &credential)?;
        let call = Call {
            facade,
            app,
            who,
            credential,
            request,
        };
        let answered = done(route, operation, work, call).await;
        Ok(quota.told(answered.unwrap_or_else(Problem::into_response)))
    })
    .await
}

/// What comes of an operation that somebody asks for.
async fn done(
    route: &Route,
    operation: &Operation,
    work: Work,
    call: Call,
) -> Result<Response, Problem> {
    if !call.who.scopes.allow(operation.scope) {
        return Err(Problem::scope_missing(operation.scope));
    }
    if operation.needs == Needs::Database {
        let writable = call.app.store.writable();
        writable.map_err(|error| read_only(&call.app, error))?;
    }
    // What waits for a client's own row is not to hold the connections of all.
    let brief = route.protocol != Protocol::Tus && !LONG.contains(&operation.id);
    let _turn = match operation.needs == Needs::Database && brief {
        true => Some(call.facade.changes.turn(call.who.client).await),
        false => None,
    };
    let key = match idempotency::is_kept(route, operation) {
        true => idempotency::key(&call.request)?,
        false => None,
    };
    match key {
        Some(key) => idempotency::once(key, route.protocol, operation.needs, work, call).await,
        None => work(call).await,
    }
}

/// 503 at once: nobody waits for a database that is known to be away.
fn read_only(app: &App, error: StoreError) -> Problem {
    let postgres = app.store.condition(Server::Postgres).borrow().clone();
    match error {
        StoreError::Unavailable(away) => {
            Problem::unavailable(readiness::read_only(&postgres), away.retry_after())
        }
        error => Problem::of_store(error),
    }
}

/// Does `work` to its end, and answers for it within `patience`.
///
/// # Errors
/// As [`task`]; 503 when it takes longer.
fn within<T: Send + 'static>(
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> impl Future<Output = Result<T, Problem>> + Send {
    let done = task(work);
    async move {
        let Some(patience) = patience else {
            return done.await;
        };
        let answered = tokio::time::timeout(patience, done).await;
        answered.unwrap_or_else(|_| Err(Problem::takes_long(patience)))
    }
}

/// Does `work` to its end, also when the client leaves. What waits for nothing is answered at once; a task is for the rest.
///
/// # Errors
/// As `work`; 500 when it panics.
pub(super) fn task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> impl Future<Output = Result<T, Problem>> + Send {
    // Boxed before anything else, because it is large and what is awaited is moved.
    let work = Box::pin(work);
    begun_here(work)
}

async fn begun_here<T: Send + 'static>(
    mut work: Pin<Box<impl Future<Output = Result<T, Problem>> + Send + 'static>>,
) -> Result<T, Problem> {
    let begun = poll_fn(|cx| {
        let begun = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        Poll::Ready(begun)
    });
    let failed = |error: &(dyn Display + Sync)| {
        tracing::error!(%error, "a handler failed");
        Err(Problem::internal())
    };
    match begun.await {
        Ok(Poll::Ready(done)) => done,
        Ok(Poll::Pending) => {
            let done = tokio::spawn(work.in_current_span()).await;
            done.unwrap_or_else(|error| failed(&error))
        }
        // What it said is in the log already.
        Err(_) => failed(&"it panicked"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_not_waited_for_and_goes_on() {
        let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let work = |length: u64| {
            let done = done.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(length)).await;
                let _ = done.send(length);
                Ok(length)
            }
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(within(minute, work(59)).await.unwrap(), 59);
        let problem = within(minute, work(61)).await.unwrap_err();
        assert_eq!(problem.status(), 503);
        assert!(
            problem.detail().contains("60 seconds"),
            "{}",
            problem.detail()
        );
        assert_eq!(within(None, work(3600)).await.unwrap(), 3600);
        assert_eq!((seen.recv().await, seen.recv().await), (Some(59), Some(61)));
    }

    #[tokio::test]
    async fn work_that_waits_goes_on_without_its_client_and_one_that_panics_is_a_failure() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, seen) = tokio::sync::oneshot::channel();
        let mut client = Box::pin(task(async move {
            let _ = gone.await;
            let _ = done.send(());
            Ok(())
        }));
        let begun = poll_fn(|cx| Poll::Ready(client.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
        drop(client);
        go.send(()).unwrap();
        seen.await.unwrap();
        let panics = || -> Result<(), Problem> { panic!("on purpose") };
        let at_once = task(async move { panics() });
        assert_eq!(at_once.await.unwrap_err().status(), 500);
        let later = task(async move {
            tokio::task::yield_now().await;
            panics()
        });
        assert_eq!(later.await.unwrap_err().status(), 500);
    }

    #[test]
    fn what_takes_long_is_in_the_table() {
        for id in LONG {
            let known = routes::ROUTES.iter().flat_map(|route| route.operations);
            assert!(
                known.into_iter().any(|operation| operation.id == id),
                "{id}"
            );
        }
    }
}
