//! What a channel airs: the persisted facts from which frame N follows.

use playout_domain::{ChannelId, ClientId, Plan, Rotation, Timeline};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::changes::{change, lock_owner};
use super::digests::AirtimeColumns;
use crate::Store;
use crate::audit::record;
use crate::columns::{json, now};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::private_file::hex;

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
    /// [`StoreError::NotFound`] when there is no such channel for `who`.
    pub async fn save_airtime(
        &self,
        who: Option<&Principal>,
        id: ChannelId,
        airtime: &Airtime,
    ) -> Result<(), StoreError> {
        let (who, airtime) = (who.cloned(), airtime.clone());
        self.database()
            .transact(move |tx| Box::pin(async move { save(tx, who.as_ref(), id, &airtime).await }))
            .await
    }
}

async fn save(
    tx: &Transaction<'_>,
    who: Option<&Principal>,
    id: ChannelId,
    airtime: &Airtime,
) -> Result<(), StoreError> {
    if let Some(who) = who {
        lock_owner(tx, who, id).await?;
    }
    let channel = tx
        .query_opt(
            "SELECT client_id FROM channels WHERE id = $1 FOR KEY SHARE",
            &[&id.uuid()],
        )
        .await?;
    let owner = ClientId::from(channel.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    write(tx, id, airtime).await?;
    if let Some(who) = who {
        // A rotation may be thousands of items long: its digest tells whether it is a given one.
        let rotation = json(&airtime.rotation)?.to_string();
        let digest = hex(&Sha256::digest(rotation));
        let detail = json!({
            "rotationItems": airtime.rotation.items.len(),
            "rotationSha256": digest,
            "epoch": airtime.timeline.epoch,
            "frameRate": airtime.timeline.frame_rate,
        });
        record(tx, owner, who, change("channel.airtime", id, detail)).await?;
    }
    Ok(())
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
