//! What a channel airs: the persisted facts from which frame N follows.

use playout_domain::{ChannelId, ClientId, MediaId, Plan, Schedule, Timeline};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::changes::{change, lock_owner};
use super::digests::AirtimeColumns;
use crate::Store;
use crate::audit::{differences, record};
use crate::columns::{json, now};
use crate::error::StoreError;
use crate::in_use;
use crate::leases::Fence;
use crate::principal::Principal;
use crate::session::Transaction;

/// Everything that makes what frame N shows, and when, a function of N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Airtime {
    /// Frame N in wall time and on the output clock.
    pub timeline: Timeline,
    /// What frame N shows.
    pub plan: Plan,
    /// What the client wants to be played, and when. Copies that were made before there was more than a
    /// rotation have that under its name.
    #[serde(alias = "rotation")]
    pub schedule: Schedule,
}

/// What somebody asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// Another schedule.
    Schedule,
    /// An item that goes before everything else.
    Play { media: MediaId, at_once: bool },
}

impl Store {
    /// Stores what a channel airs; audited as a change of its schedule when somebody asked for it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such channel for `who`; [`StoreError::LeaseLost`].
    pub async fn save_airtime(
        &self,
        who: Option<&Principal>,
        id: ChannelId,
        airtime: &Airtime,
    ) -> Result<(), StoreError> {
        let asked = who.map(|who| (who.clone(), Asked::Schedule));
        self.save_asked(asked, id, airtime).await
    }

    /// Stores what a channel airs after `who` has asked for `media` to be played, at once or else next.
    ///
    /// # Errors
    /// As [`Store::save_airtime`]; the item is gone.
    pub async fn save_played(
        &self,
        who: &Principal,
        id: ChannelId,
        airtime: &Airtime,
        media: MediaId,
        at_once: bool,
    ) -> Result<(), StoreError> {
        let asked = (who.clone(), Asked::Play { media, at_once });
        self.save_asked(Some(asked), id, airtime).await
    }

    async fn save_asked(
        &self,
        asked: Option<(Principal, Asked)>,
        id: ChannelId,
        airtime: &Airtime,
    ) -> Result<(), StoreError> {
        let (airtime, fence) = (airtime.clone(), self.fence(id));
        let saved = self.database().transact(move |tx| {
            Box::pin(async move { save(tx, fence, asked.as_ref(), id, &airtime).await })
        });
        self.fenced(fence, saved.await)
    }
}

async fn save(
    tx: &Transaction<'_>,
    fence: Fence,
    asked: Option<&(Principal, Asked)>,
    id: ChannelId,
    airtime: &Airtime,
) -> Result<(), StoreError> {
    if let Some((who, _)) = asked {
        lock_owner(tx, who, id).await?;
    }
    fence.hold(tx).await?;
    let sql = "SELECT client_id FROM channels WHERE id = $1";
    let channel = tx.query_opt(sql, &[&id.uuid()]).await?;
    let owner = ClientId::from(channel.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if let Some((who, what)) = asked {
        let change = match what {
            Asked::Schedule => {
                in_use::hold_schedule(tx, &airtime.schedule).await?;
                let before = chosen(tx, id).await?;
                let schedule = json(&airtime.schedule)?;
                let after = json!({ "schedule": schedule, "timeline": json(&airtime.timeline)? });
                let (before, after) = match before.map(|before| differences(&before, &after)) {
                    None => (None, Some(after)),
                    Some(None) => (None, None),
                    Some(Some((before, after))) => (Some(before), Some(after)),
                };
                change("channel.airtime", id, before, after)
            }
            Asked::Play { media, at_once } => {
                in_use::hold(tx, vec![*media]).await?;
                let when = if *at_once { "now" } else { "next" };
                let after = json!({ "mediaId": media, "when": when });
                change("channel.play", id, None, Some(after))
            }
        };
        record(tx, owner, who, change).await?;
    }
    write(tx, id, airtime).await
}

/// What a channel airs by choice, as it is stored: the plan follows from it.
pub(super) async fn chosen(
    tx: &Transaction<'_>,
    id: ChannelId,
) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT schedule, timeline FROM airtime WHERE channel_id = $1";
    let Some(row) = tx.query_opt(sql, &[&id.uuid()]).await? else {
        return Ok(None);
    };
    let (schedule, timeline): (Value, Value) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(json!({ "schedule": schedule, "timeline": timeline })))
}

pub(super) async fn write(
    tx: &Transaction<'_>,
    id: ChannelId,
    airtime: &Airtime,
) -> Result<(), StoreError> {
    let columns = AirtimeColumns::of(airtime, now())?;
    tx.execute(
        "INSERT INTO airtime (channel_id, timeline, plan, schedule, updated_at, digest) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (channel_id) DO UPDATE SET timeline = excluded.timeline, plan = excluded.plan,
             schedule = excluded.schedule, updated_at = excluded.updated_at, digest = excluded.digest",
        &[
            &id.uuid(),
            &columns.timeline,
            &columns.plan,
            &columns.schedule,
            &columns.updated_at,
            &columns.digest(id).as_slice(),
        ],
    )
    .await?;
    Ok(())
}
