//! `/api/v1/plans`: what each plan allows. Everybody may look, for a refusal names them; the operator edits them.

use std::fmt;
use std::str::FromStr;

use playout_domain::plans::{Plan, PlanName};
use playout_store::StoredPlan;
use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::JSON;
use super::page::Page;
use super::problem::Problem;
use super::representation::{expected, if_match};

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let page = Page::<Place>::of(&call.request)?;
    let plans = call.app.store.plans().await;
    let mut plans = plans.map_err(|error| Problem::of_stored("plan", error))?;
    plans.sort_by_key(Place::of);
    let after = page.after.as_ref();
    plans.retain(|plan| after.is_none_or(|after| Place::of(plan) > *after));
    let (plans, next) = page.cut(plans, Place::of);
    let plans: Vec<Value> = plans.iter().map(|plan| shown(&call, plan)).collect();
    answer::page(plans, next)
}

/// The place of a plan in the list: those of one tier are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u32, PlanName);

impl Place {
    fn of(plan: &StoredPlan) -> Self {
        Self(plan.plan.tier, plan.plan.name.clone())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (tier, name) = text.split_once('.').ok_or(())?;
        let tier = tier.parse().map_err(|_| ())?;
        Ok(Self(tier, name.parse().map_err(|_| ())?))
    }
}

pub(super) async fn get(call: Call, name: PlanName) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let plan = call.app.store.plan(&name).await;
    let plan = plan.map_err(|error| Problem::of_stored("plan", error))?;
    one(&call, &plan)
}

/// `PUT`: makes it, or puts this in its place; 201 where it was made.
pub(super) async fn put(mut call: Call, name: PlanName) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let expected = expected(&call.request)?;
    let body = call.json(JSON).await?;
    let plan = Plan::parse(name, &body).map_err(|wrong| Problem::invalid(&wrong))?;
    let put = call.app.store.put_plan(&call.who, &plan, expected).await;
    let (plan, is_new) = put.map_err(|error| Problem::of_stored("plan", error))?;
    let mut response = one(&call, &plan)?;
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

fn one(call: &Call, plan: &StoredPlan) -> Result<Response, Problem> {
    let response = answer::ok(&shown(call, plan))?;
    Ok(answer::tagged(response, plan.version))
}

/// How many clients are on a plan is for the operator alone.
fn shown(call: &Call, plan: &StoredPlan) -> Value {
    let mut shown = json!(plan);
    if let Some(members) = shown.as_object_mut().filter(|_| !call.who.is_operator()) {
        members.remove("clients");
    }
    shown
}
