//! `/api/v1/alert-routes…`: where alerts are told. A webhook's secret is in the answer that makes it and
//! nowhere else.

use playout_domain::AlertRouteId;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::page::Page;
use super::problem::Problem;

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let chosen = call.json(JSON).await?;
    let made = call.app.alerts.create_route(&call.who, &chosen).await?;
    let mut body = made.route.to_json();
    if let Some(secret) = &made.secret {
        body["secret"] = secret.as_str().into();
    }
    answer::created(&format!("/api/v1/alert-routes/{}", made.route.id), &body)
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let page = Page::<AlertRouteId>::of(&call.request)?;
    let alerts = &call.app.alerts;
    let fetched = alerts.routes(&call.who, page.after, page.fetch());
    let (routes, next) = page.cut(fetched, |route| route.id);
    answer::page(routes.iter().map(|route| route.to_json()).collect(), next)
}

pub(super) async fn get(call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.alerts.route(&call.who, id)?.to_json())
}

pub(super) async fn update(mut call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let patch = call.json(MERGE_PATCH).await?;
    let route = call.app.alerts.update_route(&call.who, id, &patch).await?;
    answer::ok(&route.to_json())
}

pub(super) async fn delete(call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    call.app.alerts.delete_route(&call.who, id).await?;
    Ok(answer::nothing())
}

pub(super) async fn test(call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.alerts.test_route(&call.who, id).await?)
}
