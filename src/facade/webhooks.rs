//! `/api/v1/webhooks…`: where events are told, the log of what was, and sending it again. A secret is in the answer
//! that makes it and nowhere else.

use std::str::FromStr;

use jiff::Timestamp;
use playout_actors::OpError;
use playout_actors::webhooks::NewSecret;
use playout_domain::alert::delivery::DeliveryState;
use playout_domain::violation::{Fields, Violations, quoted};
use playout_domain::webhook::{Webhook, WebhookConfig, WebhookDelivery};
use playout_domain::{ChannelId, WebhookDeliveryId, WebhookId, event};
use playout_store::{ReplaySpan, WebhookDeliveryFilter};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::page::Page;
use super::problem::Problem;
use super::representation::if_match;
use super::request::{narrowed, time_of};

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let page = Page::<WebhookId>::of(&call.request)?;
    let webhooks = &call.app.webhooks;
    let fetched = webhooks.list(&call.who, page.after, page.fetch()).await?;
    let (webhooks, next) = page.cut(fetched, |webhook| webhook.id);
    answer::page(webhooks.iter().map(Webhook::to_json).collect(), next)
}

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let chosen = call.json(JSON).await?;
    let config = WebhookConfig::parse(&chosen, call.app.webhooks.allow_private());
    let unknown = unknown_channel(&call, &chosen).await?;
    let config = match (config, unknown) {
        (Ok(config), None) => config,
        (config, unknown) => {
            let mut wrong = config.err().unwrap_or_default();
            wrong.append(unknown.unwrap_or_default());
            return Err(Problem::invalid(&wrong));
        }
    };
    let made = call.app.webhooks.create(&call.who, &config).await?;
    let location = format!("/api/v1/webhooks/{}", made.webhook.id);
    let response = answer::created(&location, &with_secret(&made))?;
    Ok(answer::tagged(response, made.webhook.version))
}

pub(super) async fn get(call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    one(&call.app.webhooks.get(&call.who, id).await?)
}

pub(super) async fn update(mut call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let patch = call.json(MERGE_PATCH).await?;
    let webhooks = &call.app.webhooks;
    // What is not there is not judged.
    webhooks.get(&call.who, id).await?;
    if let Some(wrong) = unknown_channel(&call, &patch).await? {
        return Err(Problem::invalid(&wrong));
    }
    one(&webhooks.update(&call.who, id, &patch, version).await?)
}

pub(super) async fn delete(call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    call.app.webhooks.delete(&call.who, id, version).await?;
    Ok(answer::nothing())
}

pub(super) async fn rotate(call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let rotated = call.app.webhooks.rotate(&call.who, id, version).await?;
    let response = answer::ok(&with_secret(&rotated))?;
    Ok(answer::tagged(response, rotated.webhook.version))
}

pub(super) async fn test(call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.webhooks.test(&call.who, id).await?)
}

pub(super) async fn deliveries(call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [limit, cursor, state, event] =
        call.request.query(["limit", "cursor", "state", "event"])?;
    let page = Page::<WebhookDeliveryId>::read(limit, cursor)?;
    let filter = WebhookDeliveryFilter {
        state: narrowed::<DeliveryState>("state", state)?,
        event: narrowed::<Kind>("event", event)?.map(|kind| kind.0.to_owned()),
    };
    let webhooks = &call.app.webhooks;
    let fetched = webhooks
        .deliveries(&call.who, id, filter, page.after, page.fetch())
        .await?;
    let (deliveries, next) = page.cut(fetched, |delivery| delivery.id);
    answer::page(
        deliveries.iter().map(WebhookDelivery::to_json).collect(),
        next,
    )
}

pub(super) async fn delivery(
    call: Call,
    id: WebhookId,
    of: WebhookDeliveryId,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let delivery = call.app.webhooks.delivery(&call.who, id, of).await?;
    answer::ok(&delivery.to_json_whole())
}

pub(super) async fn replay(
    call: Call,
    id: WebhookId,
    of: WebhookDeliveryId,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let again = call.app.webhooks.replay(&call.who, id, of).await?;
    answer::ok(&again.to_json())
}

pub(super) async fn replay_span(mut call: Call, id: WebhookId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let span = span_of(&body, Timestamp::now()).map_err(|wrong| Problem::invalid(&wrong))?;
    let webhooks = &call.app.webhooks;
    let deliveries = webhooks.replay_span(&call.who, id, span).await?;
    answer::ok(&json!({ "deliveries": deliveries }))
}

fn one(webhook: &Webhook) -> Result<Response, Problem> {
    Ok(answer::tagged(
        answer::ok(&webhook.to_json())?,
        webhook.version,
    ))
}

fn with_secret(made: &NewSecret) -> Value {
    let mut told = made.webhook.to_json();
    told["secret"] = made.secret.as_str().into();
    told
}

/// What is wrong with the channel that a webhook is to be narrowed to: nothing, or that there is none.
async fn unknown_channel(call: &Call, chosen: &Value) -> Result<Option<Violations>, Problem> {
    let Some(id) = chosen["channelId"]
        .as_str()
        .and_then(|text| text.parse::<ChannelId>().ok())
    else {
        return Ok(None);
    };
    match call.app.channels.get(&call.who, id).await {
        Err(OpError::NotFound(_)) => {
            let message = "there is no such channel";
            Ok(Some(Violations::one("/channelId", message)))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(None),
    }
}

/// A span of time whose deliveries are sent again: until now, unless it says otherwise.
fn span_of(body: &Value, now: Timestamp) -> Result<ReplaySpan, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let from = fields.required_parsed("from", time_of);
    let to = fields.parsed("to", time_of).unwrap_or(now);
    let state = fields.parsed("state", str::parse::<DeliveryState>);
    let given = fields.list("types", event::ALL.len()).unwrap_or_default();
    let mut types = Vec::new();
    for (n, value) in given.iter().enumerate() {
        match value.as_str().unwrap_or_default().parse::<Kind>() {
            Ok(Kind(kind)) => types.push(kind),
            Err(wrong) => fields.violations().add(format!("/types/{n}"), wrong),
        }
    }
    if from.is_some_and(|from| from >= to) {
        fields.refuse("to", "to is not after from");
    }
    fields.finish();
    violations.or(ReplaySpan {
        from: from.unwrap_or(to),
        to,
        types,
        state,
    })
}

/// A kind of event, by its name.
struct Kind(&'static str);

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = event::named(text).map(Self);
        known.ok_or_else(|| format!("{} is no kind of event", quoted(text)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_span_ends_now_and_everything_wrong_with_one_is_told() {
        let now: Timestamp = "2030-01-31T20:15:00Z".parse().unwrap();
        let span = span_of(&json!({ "from": "2030-01-31T00:00:00+01:00" }), now).unwrap();
        assert_eq!((span.to, span.types.len(), span.state), (now, 0, None));
        assert_eq!(span.from.to_string(), "2030-01-30T23:00:00Z");
        let chosen =
            json!({ "from": "2030-01-01T00:00:00Z", "types": ["media.ready"], "state": "dead" });
        let span = span_of(&chosen, now).unwrap();
        assert_eq!(
            (span.types, span.state),
            (vec!["media.ready"], Some(DeliveryState::Dead))
        );
        let wrong =
            json!({ "to": "soon", "types": ["media.ready", "x", 7], "state": "lost", "form": 1 });
        let places = span_of(&wrong, now).unwrap_err().0.into_iter();
        let places: Vec<String> = places.map(|wrong| wrong.pointer).collect();
        assert_eq!(
            places,
            ["/from", "/to", "/state", "/types/1", "/types/2", "/form"]
        );
        let backwards = json!({ "from": "2030-01-02T00:00:00Z", "to": "2030-01-01T00:00:00Z" });
        assert_eq!(span_of(&backwards, now).unwrap_err().0[0].pointer, "/to");
    }
}
