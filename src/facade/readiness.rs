//! `/healthz`: the process answers. `/readyz`: the daemon can do its work.
//!
//! Ready means that the channels are up and PostgreSQL answers. Without Redis everything works,
//! only slower, so its state is told and decides nothing. Nor does a channel that is stored damaged:
//! the others are on air.

use playout_actors::stores;
use playout_store::{Condition, Server};
use serde_json::json;
use warp::http::Method;
use warp::reply::Response;

use super::Facade;
use super::answer;
use super::api::{self, Asked};
use super::problem::Problem;
use super::request::Request;

pub(super) fn healthz(request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    answer::ok(&json!({ "status": "ok" }))
}

pub(super) fn readyz(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let app = facade.app()?;
    let store = &app.store;
    let condition = |server| store.condition(server).borrow().clone();
    let (postgres, redis) = (condition(Server::Postgres), condition(Server::Redis));
    let parts = json!({
        "postgres": postgres.works(),
        "redis": redis.works(),
        "conditions": { "postgres": stores::name(&postgres), "redis": stores::name(&redis) },
        "quarantinedChannels": app.channels.quarantined(),
        "journaledOrders": store.journaled(),
        "telemetry": app.telemetry.view(),
    });
    if store.writable().is_err() {
        return Err(Problem::not_ready(read_only(&postgres), parts));
    }
    answer::ok(&json!({ "status": "ready", "parts": parts }))
}

/// Why nothing can be changed, as everybody may know it.
pub(super) fn read_only(postgres: &Condition) -> &'static str {
    match postgres {
        Condition::Full(_) => {
            "PostgreSQL takes nothing new, so nothing can be changed until it does; channels on air go on."
        }
        Condition::Works => {
            "PostgreSQL is back, and nothing can be changed until what it has is taken up; channels on air go on."
        }
        Condition::Away(_) => {
            "PostgreSQL does not answer, so nothing can be changed until it does; channels on air go on."
        }
    }
}
