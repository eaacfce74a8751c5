//! `/api/v1/plans`: what each plan allows. Everybody may look, for a refusal names them; the operator edits them.

use playout_domain::plans::{Plan, PlanName};
use playout_store::StoredPlan;
use serde_json::json;
use warp::http::StatusCode;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::JSON;
use super::problem::Problem;
use super::representation::if_match;

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let plans = call.app.store.plans().await;
    let plans = plans.map_err(|error| Problem::of_stored("plan", error))?;
    answer::ok(&json!({ "items": plans }))
}

pub(super) async fn get(call: Call, name: PlanName) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let plan = call.app.store.plan(&name).await;
    one(&plan.map_err(|error| Problem::of_stored("plan", error))?)
}

/// `PUT`: makes it, or puts this in its place; 201 where it was made.
pub(super) async fn put(mut call: Call, name: PlanName) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let body = call.json(JSON).await?;
    let plan = Plan::parse(name, &body).map_err(|wrong| Problem::invalid(&wrong.0))?;
    let put = call.app.store.put_plan(&call.who, &plan, version).await;
    let (plan, is_new) = put.map_err(|error| Problem::of_stored("plan", error))?;
    let mut response = one(&plan)?;
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

pub(super) async fn delete(call: Call, name: PlanName) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let deleted = call.app.store.delete_plan(&call.who, &name, version).await;
    deleted.map_err(|error| Problem::of_stored("plan", error))?;
    Ok(answer::nothing())
}

fn one(plan: &StoredPlan) -> Result<Response, Problem> {
    Ok(answer::tagged(answer::ok(plan)?, plan.version))
}
