//! The delivery log of a webhook: looked at, sent again, swept.

use jiff::Timestamp;
use playout_domain::alert::delivery::DeliveryState;
use playout_domain::webhook::WebhookDelivery;
use playout_domain::webhook::delivery::MAX_WAITING;
use playout_domain::{WebhookDeliveryId, WebhookId};
use serde_json::json;

use super::rows::{delivery, seen};
use super::{SWITCHED_OFF, lock};
use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{now, text};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::Transaction;

/// Which deliveries are asked for; the default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookDeliveryFilter {
    /// Only those that have come so far.
    pub state: Option<DeliveryState>,
    /// Only of this kind of event.
    pub event: Option<String>,
}

/// Which deliveries are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaySpan {
    /// Of what happened from here on.
    pub from: Timestamp,
    /// Of what happened before.
    pub to: Timestamp,
    /// Only these kinds of events; none: every kind.
    pub types: Vec<&'static str>,
    /// Only those that have come so far.
    pub state: Option<DeliveryState>,
}

const AGAIN: &str = "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = $2, finished_at = NULL";

impl Store {
    /// The deliveries of a webhook, newest first: those made before `before`, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such webhook that `who` may see.
    pub async fn webhook_deliveries(
        &self,
        who: &Principal,
        id: WebhookId,
        filter: WebhookDeliveryFilter,
        before: Option<WebhookDeliveryId>,
        limit: usize,
    ) -> Result<Vec<WebhookDelivery>, StoreError> {
        let who = who.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    seen(&*session, &who, id).await?;
                    let sql = "SELECT * FROM webhook_deliveries WHERE webhook_id = $1 AND ($2::uuid IS NULL OR id < $2)
                                   AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR event = $4)
                               ORDER BY id DESC LIMIT $5";
                    let before = before.map(WebhookDeliveryId::uuid);
                    let state = filter.state.map(DeliveryState::name);
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let rows = session
                        .query(sql, &[&id.uuid(), &before, &state, &filter.event, &limit])
                        .await?;
                    rows.iter().map(delivery).collect()
                })
            })
            .await
    }

    /// One delivery of a webhook.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such webhook that `who` may see, or no such delivery of it.
    pub async fn webhook_delivery(
        &self,
        who: &Principal,
        id: WebhookId,
        of: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, StoreError> {
        let who = who.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    seen(&*session, &who, id).await?;
                    let sql = "SELECT * FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2";
                    let row = session.query_opt(sql, &[&of.uuid(), &id.uuid()]).await?;
                    delivery(&row.ok_or(StoreError::NotFound)?)
                })
            })
            .await
    }

    /// Has a delivery sent again, whatever became of it, as if it were new: under its own id. Answers it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when the webhook is off.
    pub async fn replay_webhook_delivery(
        &self,
        who: &Principal,
        id: WebhookId,
        of: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let webhook = enabled(tx, &who, id).await?;
                    let sql = "SELECT * FROM webhook_deliveries WHERE id = $1 AND webhook_id = $2 FOR UPDATE";
                    let row = tx.query_opt(sql, &[&of.uuid(), &id.uuid()]).await?;
                    let before = delivery(&row.ok_or(StoreError::NotFound)?)?;
                    let sql = format!("{AGAIN} WHERE id = $1 RETURNING *");
                    let after = delivery(&tx.query_one(&sql, &[&of.uuid(), &now()]).await?)?;
                    trust(tx, id).await?;
                    let told = |delivery: &WebhookDelivery| {
                        json!({ "webhookId": id, "state": delivery.state, "attempts": delivery.attempts })
                    };
                    let change = Change::between(
                        "webhook_delivery.replay",
                        "webhook_delivery",
                        of.uuid(),
                        Some(told(&before)),
                        Some(told(&after)),
                    );
                    record(tx, webhook, &who, change).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Has the deliveries of what happened in a span of time sent again, each under its own id; answers how many.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when the webhook is off, or there are more than
    /// [`MAX_WAITING`].
    pub async fn replay_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        span: ReplaySpan,
    ) -> Result<u64, StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let webhook = enabled(tx, &who, id).await?;
                    let types = (!span.types.is_empty()).then_some(&span.types);
                    let state = span.state.map(DeliveryState::name);
                    let sql = format!(
                        "{AGAIN} WHERE webhook_id = $1 AND created_at >= $3 AND created_at < $4
                             AND ($5::text[] IS NULL OR event = ANY ($5)) AND ($6::text IS NULL OR state = $6)"
                    );
                    let again = tx
                        .execute(&sql, &[&id.uuid(), &now(), &span.from, &span.to, &types, &state])
                        .await?;
                    if again > MAX_WAITING as u64 {
                        return Err(StoreError::Conflict(format!(
                            "{again} deliveries are in this span of time; {MAX_WAITING} are sent again at once, so narrow it"
                        )));
                    }
                    trust(tx, id).await?;
                    let told = json!({
                        "from": span.from, "to": span.to, "types": types, "state": span.state, "deliveries": again,
                    });
                    let change =
                        Change::between("webhook.replay", "webhook", id.uuid(), None, Some(told));
                    record(tx, webhook, &who, change).await?;
                    Ok(again)
                })
            })
            .await
    }

    /// Deletes deliveries that were finished before `before`, at most 10 000 at once, and secrets that sign no more;
    /// answers how many deliveries.
    pub async fn prune_webhooks(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "UPDATE webhooks SET old_secret = NULL, old_secret_until = NULL
                               WHERE old_secret_until <= $1";
                    session.execute(sql, &[&now()]).await?;
                    let sql = "DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM webhook_deliveries WHERE state <> 'pending' AND finished_at < $1
                                   LIMIT 10000))";
                    Ok(session.execute(sql, &[&before]).await?)
                })
            })
            .await
    }
}

/// Holds a webhook that is on, and its owner; answers whose it is.
async fn enabled(
    tx: &Transaction<'_>,
    who: &Principal,
    id: WebhookId,
) -> Result<playout_domain::ClientId, StoreError> {
    let webhook = lock(tx, who, id, None).await?;
    match webhook.config.enabled {
        true => Ok(webhook.client),
        false => Err(StoreError::Conflict(
            "the webhook is switched off; switch it on first".to_owned(),
        )),
    }
}

/// Somebody says that the receiver listens: it is not left alone any longer.
async fn trust(tx: &Transaction<'_>, id: WebhookId) -> Result<(), StoreError> {
    let sql = "UPDATE webhooks SET failures = 0, left_alone_until = NULL WHERE id = $1";
    tx.execute(sql, &[&id.uuid()]).await?;
    Ok(())
}

/// What waits for a webhook is dead.
pub(super) async fn give_up(
    tx: &Transaction<'_>,
    id: WebhookId,
    why: &str,
) -> Result<(), StoreError> {
    let why = match why {
        SWITCHED_OFF => why.to_owned(),
        why => format!("{SWITCHED_OFF}: {why}"),
    };
    let sql = "UPDATE webhook_deliveries SET state = 'dead', finished_at = $2, error = $3
               WHERE webhook_id = $1 AND state = 'pending'";
    tx.execute(sql, &[&id.uuid(), &now(), &text(&why)]).await?;
    Ok(())
}
