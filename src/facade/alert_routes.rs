//! `/api/v1/alert-routes…`: where alerts are told. A webhook's secret is in the answer that makes it and
//! nowhere else.

use playout_domain::AlertRouteId;
use playout_domain::alert::route::AlertRoute;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::page::Page;
use super::problem::Problem;
use super::representation::if_match;

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let chosen = call.json(JSON).await?;
    let made = call.app.alerts.create_route(&call.who, &chosen).await?;
    let mut body = made.route.to_json();
    if let Some(secret) = &made.secret {
        body["secret"] = secret.as_str().into();
    }
    let location = format!("/api/v1/alert-routes/{}", made.route.id);
    let response = answer::created(&location, &body)?;
    Ok(answer::tagged(response, made.route.version()))
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
    one(&call.app.alerts.route(&call.who, id)?)
}

pub(super) async fn update(mut call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let patch = call.json(MERGE_PATCH).await?;
    let alerts = &call.app.alerts;
    one(&alerts.update_route(&call.who, id, &patch, version).await?)
}

pub(super) async fn delete(call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let alerts = &call.app.alerts;
    alerts.delete_route(&call.who, id, version).await?;
    Ok(answer::nothing())
}

fn one(route: &AlertRoute) -> Result<Response, Problem> {
    Ok(answer::tagged(
        answer::ok(&route.to_json())?,
        route.version(),
    ))
}

pub(super) async fn test(call: Call, id: AlertRouteId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.alerts.test_route(&call.who, id).await?)
}
