//! Media that channels play: what a schedule or a fallback names is there, and stays there while it is named.
//!
//! Both sides lock the rows of the media, so that of a change that names one and a deletion that takes it away
//! at the same time the later one is refused.

use playout_domain::{ChannelConfig, MediaId, Schedule};
use uuid::Uuid;

use crate::error::StoreError;
use crate::session::Transaction;

/// Makes sure that everything `schedule` names is there until the transaction ends.
pub(crate) async fn hold_schedule(
    tx: &Transaction<'_>,
    schedule: &Schedule,
) -> Result<(), StoreError> {
    hold(tx, schedule.media().into_iter().collect()).await
}

/// Makes sure that the fallback of `config` is there until the transaction ends.
pub(crate) async fn hold_fallback(
    tx: &Transaction<'_>,
    config: &ChannelConfig,
) -> Result<(), StoreError> {
    hold(tx, config.fallback_video.into_iter().collect()).await
}

/// Makes sure that `media` are there until the transaction ends.
pub(crate) async fn hold(tx: &Transaction<'_>, mut media: Vec<MediaId>) -> Result<(), StoreError> {
    // In one order, so that two who hold the same do not wait for one another.
    media.sort_unstable();
    media.dedup();
    let ids: Vec<Uuid> = media.iter().map(|media| media.uuid()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let held = tx
        .query(
            "SELECT id FROM media WHERE id = ANY($1) ORDER BY id FOR KEY SHARE",
            &[&ids],
        )
        .await?;
    let held: Vec<Uuid> = held
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    match ids.iter().find(|id| !held.contains(id)) {
        None => Ok(()),
        Some(gone) => Err(StoreError::Conflict(format!(
            "the media item {gone} was deleted in the meantime"
        ))),
    }
}

/// Locks an item that is to be deleted, and makes sure that no channel names it.
pub(crate) async fn release(tx: &Transaction<'_>, id: MediaId) -> Result<(), StoreError> {
    tx.query_opt(
        "SELECT id FROM media WHERE id = $1 FOR UPDATE",
        &[&id.uuid()],
    )
    .await?
    .ok_or(StoreError::NotFound)?;
    let user = tx
        .query_opt(
            "SELECT config->>'name' FROM channels LEFT JOIN airtime ON channel_id = id
             WHERE jsonb_path_exists(schedule, '$.**.mediaId ? (@ == $id)', jsonb_build_object('id', $1::text))
                OR config->>'fallbackVideo' = $1 LIMIT 1",
            &[&id.to_string()],
        )
        .await?;
    match user {
        None => Ok(()),
        Some(row) => {
            let name: Option<String> = row.try_get(0)?;
            Err(StoreError::Conflict(format!(
                "the channel {:?} plays it; take it out of the channel first",
                name.unwrap_or_default()
            )))
        }
    }
}
