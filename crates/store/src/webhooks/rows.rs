//! Between rows and webhooks and their deliveries.

use playout_domain::alert::route::WebhookUrl;
use playout_domain::event;
use playout_domain::webhook::delivery::Answer;
use playout_domain::webhook::{Channels, EVERY, Standing, Webhook, WebhookConfig, WebhookDelivery};
use playout_domain::{ChannelId, ClientId, WebhookDeliveryId, WebhookId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::columns::{count, parsed};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::{Connection, Remembering};

/// A webhook that `who` may see; any other is not there.
pub(super) async fn seen(
    session: &Remembering<impl Connection>,
    who: &Principal,
    id: WebhookId,
) -> Result<Webhook, StoreError> {
    let sql = "SELECT * FROM webhooks WHERE id = $1";
    let row = session.query_opt(sql, &[&id.uuid()]).await?;
    let webhook = webhook(&row.ok_or(StoreError::NotFound)?)?;
    let theirs = who.is_operator() || (who.client == webhook.client && !webhook.all_clients);
    theirs.then_some(webhook).ok_or(StoreError::NotFound)
}

pub(super) fn webhook(row: &Row) -> Result<Webhook, StoreError> {
    let events: Vec<&str> = row.try_get("events")?;
    // Kinds that another build knows tell nothing here.
    let known = |kind: &&str| match *kind {
        EVERY => Some(EVERY),
        other => event::named(other),
    };
    let channel: Option<Uuid> = row.try_get("channel_id")?;
    let selector: Option<String> = row.try_get("selector")?;
    let channels = match (channel, selector) {
        (Some(channel), _) => Channels::One(ChannelId::from(channel)),
        (None, Some(text)) => {
            let selector = text.parse().map_err(StoreError::Internal)?;
            Channels::Selected(text, selector)
        }
        (None, None) => Channels::All,
    };
    // Whether private addresses are allowed was asked when it was written, and is when it is used.
    let url = WebhookUrl::parse(row.try_get("url")?, true).map_err(StoreError::internal)?;
    Ok(Webhook {
        id: WebhookId::from(row.try_get::<_, Uuid>("id")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        all_clients: row.try_get("all_clients")?,
        config: WebhookConfig {
            url,
            events: events.iter().filter_map(known).collect(),
            channels,
            enabled: row.try_get("enabled")?,
            description: row.try_get("description")?,
        },
        disabled_reason: row.try_get("disabled_reason")?,
        standing: Standing {
            failures: u32::try_from(count(row, "failures")?).unwrap_or(u32::MAX),
            failing_since: row.try_get("failing_since")?,
            left_alone_until: row.try_get("left_alone_until")?,
        },
        old_secret_until: row.try_get("old_secret_until")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        version: count(row, "version")?,
    })
}

pub(super) fn delivery(row: &Row) -> Result<WebhookDelivery, StoreError> {
    let status: Option<i32> = row.try_get("status")?;
    Ok(WebhookDelivery {
        id: WebhookDeliveryId::from(row.try_get::<_, Uuid>("id")?),
        webhook: WebhookId::from(row.try_get::<_, Uuid>("webhook_id")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        event_id: row.try_get("event_id")?,
        event: row.try_get("event")?,
        channel: row
            .try_get::<_, Option<Uuid>>("channel_id")?
            .map(ChannelId::from),
        body: row.try_get("body")?,
        state: parsed(row, "state")?,
        attempts: u32::try_from(count(row, "attempts")?).unwrap_or(u32::MAX),
        next_at: row.try_get("next_at")?,
        created_at: row.try_get("created_at")?,
        attempted_at: row.try_get("attempted_at")?,
        finished_at: row.try_get("finished_at")?,
        answer: Answer {
            status: status.and_then(|status| u16::try_from(status).ok()),
            excerpt: row.try_get("answer")?,
            error: row.try_get("error")?,
        },
    })
}
