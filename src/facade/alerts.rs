//! `/api/v1/alerts…`, the deliveries of alerts, and a channel's history.

use playout_domain::{AlertId, ChannelId, DeliveryId, HistoryId};
use playout_store::{AlertFilter, DeliveryFilter, HistoryEntry};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::page::Page;
use super::problem::Problem;
use super::request::narrowed;

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [limit, cursor, state, severity, channel] = call
        .request
        .query(["limit", "cursor", "state", "severity", "channel"])?;
    let page = Page::<AlertId>::read(limit, cursor)?;
    let filter = AlertFilter {
        state: narrowed("state", state)?,
        severity: narrowed("severity", severity)?,
        channel: narrowed("channel", channel)?,
    };
    let alerts = &call.app.alerts;
    let fetched = alerts
        .list(&call.who, filter, page.after, page.fetch())
        .await?;
    let (alerts, next) = page.cut(fetched, |alert| alert.id);
    answer::page(alerts.iter().map(|alert| alert.to_json()).collect(), next)
}

pub(super) async fn get(call: Call, id: AlertId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.alerts.get(&call.who, id).await?.to_json())
}

pub(super) async fn acknowledge(call: Call, id: AlertId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let alert = call.app.alerts.acknowledge(&call.who, id).await?;
    answer::ok(&alert.to_json())
}

pub(super) async fn deliveries(call: Call) -> Result<Response, Problem> {
    let [limit, cursor, state, route, alert] = call
        .request
        .query(["limit", "cursor", "state", "route", "alert"])?;
    let page = Page::<DeliveryId>::read(limit, cursor)?;
    let filter = DeliveryFilter {
        state: narrowed("state", state)?,
        route: narrowed("route", route)?,
        alert: narrowed("alert", alert)?,
    };
    let alerts = &call.app.alerts;
    let fetched = alerts
        .deliveries(&call.who, filter, page.after, page.fetch())
        .await?;
    let (deliveries, next) = page.cut(fetched, |delivery| delivery.id);
    let deliveries = deliveries.iter().map(|delivery| delivery.to_json());
    answer::page(deliveries.collect(), next)
}

pub(super) async fn retry(call: Call, id: DeliveryId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let delivery = call.app.alerts.retry_delivery(&call.who, id).await?;
    answer::ok(&delivery.to_json())
}

pub(super) async fn history(call: Call, channel: ChannelId) -> Result<Response, Problem> {
    let page = Page::<HistoryId>::of(&call.request)?;
    call.app.channels.get(&call.who, channel).await?;
    let alerts = &call.app.alerts;
    let fetched = alerts.history(channel, page.after, page.fetch()).await?;
    let (entries, next) = page.cut(fetched, |entry| entry.id);
    answer::page(entries.iter().map(HistoryEntry::to_json).collect(), next)
}
