//! Deliveries of alerts, and among them the dead letters.

use jiff::Timestamp;
use playout_domain::alert::delivery::{Delivery, DeliveryState};
use playout_domain::{AlertId, AlertRouteId, ChannelId, ClientId, DeliveryId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{count, json, now, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;

/// Which deliveries are asked for; the default asks for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those that have come so far.
    pub state: Option<DeliveryState>,
    /// Only those of this route.
    pub route: Option<AlertRouteId>,
    /// Only those of this alert.
    pub alert: Option<AlertId>,
}

impl Store {
    /// Stores deliveries as they are now, all of them or none. Those whose route was deleted meanwhile are
    /// passed over.
    pub async fn save_deliveries(&self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        let deliveries = deliveries.to_vec();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    for delivery in &deliveries {
                        save(tx, delivery).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The deliveries that `who` may see, newest first: those made before `before`, `limit` at most.
    pub async fn alert_deliveries(
        &self,
        who: &Principal,
        filter: DeliveryFilter,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM alert_deliveries WHERE ($1::uuid IS NULL OR client_id = $1)
                                   AND ($2::uuid IS NULL OR id < $2) AND ($3::text IS NULL OR state = $3)
                                   AND ($4::uuid IS NULL OR route_id = $4) AND ($5::uuid IS NULL OR alert_id = $5)
                               ORDER BY id DESC LIMIT $6";
                    let before = before.map(DeliveryId::uuid);
                    let state = filter.state.map(DeliveryState::name);
                    let route = filter.route.map(AlertRouteId::uuid);
                    let alert = filter.alert.map(AlertId::uuid);
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let rows = session
                        .query(sql, &[&only, &before, &state, &route, &alert, &limit])
                        .await?;
                    rows.iter().map(delivery).collect()
                })
            })
            .await
    }

    /// Every delivery that this daemon has still to try, oldest first: those of its own alerts; of the alerts on
    /// one channel alone, where it is named.
    pub async fn pending_deliveries(
        &self,
        channel: Option<ChannelId>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (node, channel) = (self.0.leases.node(), channel.map(ChannelId::uuid));
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql =
                        "SELECT d.* FROM alert_deliveries d LEFT JOIN alerts a ON a.id = d.alert_id
                        WHERE d.state = 'pending' AND (a.node IS NULL OR a.node = $1)
                            AND ($2::uuid IS NULL OR a.channel_id = $2) ORDER BY d.id";
                    let rows = session.query(sql, &[&node.uuid(), &channel]).await?;
                    rows.iter().map(delivery).collect()
                })
            })
            .await
    }

    /// Has a dead delivery tried again, as if it were new. Answers it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::Conflict`] when it is
    /// not dead.
    pub async fn put_back_delivery(
        &self,
        who: &Principal,
        id: DeliveryId,
    ) -> Result<Delivery, StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| Box::pin(async move { put_back(tx, &who, id).await }))
            .await
    }

    /// Deletes deliveries that were finished before `before`, at most 10 000 at once; answers how many.
    pub async fn prune_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM alert_deliveries WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM alert_deliveries WHERE finished_at < $1 LIMIT 10000))";
                    Ok(session.execute(sql, &[&before]).await?)
                })
            })
            .await
    }
}

async fn save(tx: &Transaction<'_>, delivery: &Delivery) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO alert_deliveries (id, route_id, client_id, alert_id, event, payload, state, attempts, next_at,
             created_at, finished_at, error)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
         WHERE EXISTS (SELECT FROM alert_routes WHERE id = $2 FOR KEY SHARE)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
             next_at = excluded.next_at, finished_at = excluded.finished_at, error = excluded.error",
        &[
            &delivery.id.uuid(),
            &delivery.route.uuid(),
            &delivery.client.uuid(),
            &delivery.alert.uuid(),
            &delivery.event,
            &json(&delivery.payload)?,
            &delivery.state.name(),
            &i64::from(delivery.attempts),
            &whole_micros(delivery.next_at),
            &whole_micros(delivery.created_at),
            &delivery.finished_at.map(whole_micros),
            &delivery.error.as_deref().map(text),
        ],
    )
    .await?;
    Ok(())
}

async fn put_back(
    tx: &Transaction<'_>,
    who: &Principal,
    id: DeliveryId,
) -> Result<Delivery, StoreError> {
    let sql = "SELECT client_id FROM alert_deliveries WHERE id = $1";
    let owner = tx.query_opt(sql, &[&id.uuid()]).await?;
    let owner = ClientId::from(owner.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if !who.sees(owner) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, owner).await?;
    let sql = "SELECT * FROM alert_deliveries WHERE id = $1 FOR UPDATE";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let mut delivery = delivery(&row.ok_or(StoreError::NotFound)?)?;
    if delivery.state != DeliveryState::Dead {
        return Err(StoreError::Conflict(format!(
            "the delivery is {}; only one that is dead can be tried again",
            delivery.state
        )));
    }
    let before =
        json!({ "state": delivery.state, "attempts": delivery.attempts, "error": delivery.error });
    delivery.put_back(now());
    save(tx, &delivery).await?;
    let change = Change {
        operation: "alert_delivery.retry",
        subject_kind: "alert_delivery",
        subject: id.uuid(),
        detail: json!({ "before": before, "after": { "state": delivery.state, "attempts": 0 } }),
    };
    record(tx, owner, who, change).await?;
    Ok(delivery)
}

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: DeliveryId::from(row.try_get::<_, Uuid>("id")?),
        route: AlertRouteId::from(row.try_get::<_, Uuid>("route_id")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        alert: AlertId::from(row.try_get::<_, Uuid>("alert_id")?),
        event: row.try_get("event")?,
        payload: row.try_get("payload")?,
        state: parsed(row, "state")?,
        attempts: u32::try_from(count(row, "attempts")?).unwrap_or(u32::MAX),
        next_at: row.try_get("next_at")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        error: row.try_get("error")?,
    })
}
