//! `/healthz`: the process answers. `/readyz`: the daemon can do its work.
//!
//! Ready means that the channels are up and PostgreSQL answers. Without Redis everything works,
//! only slower, so its state is told and decides nothing. Nor does a channel that is stored damaged:
//! the others are on air.

use std::sync::Arc;

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

pub(super) async fn readyz(facade: Arc<Facade>, request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let app = facade.app()?;
    let (store, quarantined) = (app.store.clone(), app.channels.quarantined());
    let health = api::task(async move { Ok(store.ping().await) }).await?;
    let parts = json!({
        "postgres": health.postgres,
        "redis": health.redis,
        "quarantinedChannels": quarantined,
    });
    if !health.postgres {
        return Err(Problem::not_ready("PostgreSQL does not answer.", parts));
    }
    answer::ok(&json!({ "status": "ready", "parts": parts }))
}
