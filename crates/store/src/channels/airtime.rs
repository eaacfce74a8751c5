//! What a channel airs: the persisted facts from which frame N follows.

use playout_domain::{ChannelId, ClientId, Plan, Rotation, Timeline};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::changes::{change, lock_owner};
use super::digests::AirtimeColumns;
use crate::Store;
use crate::audit::record;
use crate::columns::{json, now};
use crate::error::StoreError;
use crate::in_use;
use crate::leases::Fence;
use crate::principal::Principal;

/// Everything that makes what frame N shows, and when, a function of N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Airtime {
    /// Frame N in wall time and on the output clock.
    pub timeline: Timeline,
    /// What frame N shows.
    pub plan: Plan,
    /// What the client wants to be played in a loop.
    pub rotation: Rotation,
}

impl Store {
    /// Stores what a channel airs; audited when somebody asked for it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such channel for `who`; [`StoreError::LeaseLost`].
    pub async fn save_airtime(
        &self,
        who: Option<&Principal>,
        id: ChannelId,
        airtime: &Airtime,
    ) -> Result<(), StoreError> {
        let (who, airtime, fence) = (who.cloned(), airtime.clone(), self.fence(id));
        let saved = self.database().transact(move |tx| {
            Box::pin(async move { save(tx, fence, who.as_ref(), id, &airtime).await })
        });
        self.fenced(fence, saved.await)
    }
}

async fn save(
    tx: &Transaction<'_>,
    fence: Fence,
    who: Option<&Principal>,
    id: ChannelId,
    airtime: &Airtime,
) -> Result<(), StoreError> {
    if let Some(who) = who {
        lock_owner(tx, who, id).await?;
    }
    fence.hold(tx).await?;
    let sql = "SELECT client_id FROM channels WHERE id = $1";
    let channel = tx.query_opt(sql, &[&id.uuid()]).await?;
    let owner = ClientId::from(channel.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if who.is_some() {
        in_use::hold_rotation(tx, &airtime.rotation).await?;
    }
    if let Some(who) = who {
        let before = chosen(tx, id).await?;
        let after =
            json!({ "rotation": json(&airtime.rotation)?, "timeline": json(&airtime.timeline)? });
        let change = change("channel.airtime", id, before, Some(after));
        record(tx, owner, who, change).await?;
    }
    write(tx, id, airtime).await
}

/// What a channel airs by choice, as it is stored: the plan follows from it.
pub(super) async fn chosen(
    tx: &Transaction<'_>,
    id: ChannelId,
) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT rotation, timeline FROM airtime WHERE channel_id = $1";
    let Some(row) = tx.query_opt(sql, &[&id.uuid()]).await? else {
        return Ok(None);
    };
    let (rotation, timeline): (Value, Value) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(json!({ "rotation": rotation, "timeline": timeline })))
}

pub(super) async fn write(
    tx: &Transaction<'_>,
    id: ChannelId,
    airtime: &Airtime,
) -> Result<(), StoreError> {
    let columns = AirtimeColumns::of(airtime, now())?;
    tx.execute(
        "INSERT INTO airtime (channel_id, timeline, plan, rotation, updated_at, digest) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (channel_id) DO UPDATE SET timeline = excluded.timeline, plan = excluded.plan,
             rotation = excluded.rotation, updated_at = excluded.updated_at, digest = excluded.digest",
        &[
            &id.uuid(),
            &columns.timeline,
            &columns.plan,
            &columns.rotation,
            &columns.updated_at,
            &columns.digest(id).as_slice(),
        ],
    )
    .await?;
    Ok(())
}
