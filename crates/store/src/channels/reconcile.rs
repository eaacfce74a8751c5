//! An order that was carried out while the database was away, brought into it.

use playout_domain::lifecycle::LifeState;
use playout_domain::{ClientId, NodeId};
use serde_json::json;
use uuid::Uuid;

use super::changes::{change, name};
use super::rows;
use crate::audit::record;
use crate::columns::{now, whole_micros};
use crate::error::StoreError;
use crate::journal::Order;
use crate::limits::LockedClient;
use crate::session::Transaction;

/// Notes that the database has an order; `false` when it has it already.
pub(super) async fn note(tx: &Transaction<'_>, id: Uuid) -> Result<bool, StoreError> {
    let sql = "INSERT INTO orders (id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &[&id, &now()]).await? > 0)
}

/// Audits an order and gives the channel its life, unless a later order has given it another. The order was
/// allowed when it was given, so no limit is asked again. Its channel may be gone by now, or another daemon may
/// have taken it since: it is audited all the same, and changes nothing. Its client may be gone: then it concerns nobody.
pub(crate) async fn reconcile(
    tx: &Transaction<'_>,
    order: &Order,
    node: NodeId,
) -> Result<(), StoreError> {
    let locked = LockedClient::lock(tx, order.client).await;
    if matches!(locked, Err(StoreError::NotFound)) {
        return Ok(());
    }
    locked?;
    if !note(tx, order.id).await? {
        return Ok(());
    }
    let row = tx
        .query_opt(
            "SELECT client_id, desired, status, greatest(last_start_time, last_stop_time) AS ordered,
                    (node IS NULL OR node = $2) AND (taken_at IS NULL OR taken_at <= $3) AS ours
             FROM channels WHERE id = $1 FOR UPDATE",
            &[&order.channel.uuid(), &node.uuid(), &order.at],
        )
        .await?;
    let before = row.as_ref().map(|row| {
        let (desired, status): (&str, &str) = (row.try_get("desired")?, row.try_get("status")?);
        Ok::<_, StoreError>(json!({ "desired": desired, "status": status }))
    });
    let after = json!({
        "desired": order.life.desired,
        "status": order.life.status,
        "orderedAt": order.at,
        "order": order.id,
    });
    let operation = name(order.operation);
    let change = change(operation, order.channel, before.transpose()?, Some(after));
    record(tx, order.client, &order.who, change).await?;
    let Some(row) = row else { return Ok(()) };
    let owner = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
    let before: Option<jiff::Timestamp> = row.try_get("ordered")?;
    let ours: bool = row.try_get("ours")?;
    if ours && owner == order.client && ordered(&order.life).map(whole_micros) > before {
        rows::write_life(tx, order.channel, &order.life).await?;
    }
    Ok(())
}

/// When a life was last changed by an order.
pub(crate) fn ordered(life: &LifeState) -> Option<jiff::Timestamp> {
    life.last_start_time.max(life.last_stop_time)
}
