//! The rows of channels, read and written.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::lifecycle::{Generation, LifeState};
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId};
use serde_json::Value;
use tokio_postgres::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::airtime::Airtime;
use super::destinations;
use crate::columns::{bigint, count, from_json, length, micros, parsed, whole_micros};
use crate::error::StoreError;

/// A channel with what it airs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChannel {
    /// The channel.
    pub channel: Channel,
    /// What it airs.
    pub airtime: Airtime,
    /// Its last heartbeat that reached the database: when it was last known alive.
    pub last_seen: Option<Timestamp>,
}

/// One channel, or all of them, oldest first.
pub(super) async fn read(
    session: &impl GenericClient,
    id: Option<ChannelId>,
) -> Result<Vec<StoredChannel>, StoreError> {
    let id = id.map(ChannelId::uuid);
    let rows = session
        .query(
            "SELECT c.*, a.timeline, a.plan, a.rotation,
                    (SELECT max(at) FROM heartbeats h WHERE h.channel_id = c.id) AS last_seen
             FROM channels c JOIN airtime a ON a.channel_id = c.id
             WHERE $1::uuid IS NULL OR c.id = $1 ORDER BY c.id",
            &[&id],
        )
        .await?;
    let mut destinations = destinations::read(session, id).await?;
    rows.iter()
        .map(|row| {
            let id = ChannelId::from(row.try_get::<_, Uuid>("id")?);
            let its = destinations.remove(&id).unwrap_or_default();
            let stored: Value = row.try_get("config")?;
            let config = ChannelConfig::from_stored(&stored, its).map_err(|wrong| {
                StoreError::Internal(format!("the stored configuration of channel {id}: {wrong}"))
            })?;
            let channel = Channel {
                id,
                client_id: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
                config,
                life: life(row)?,
                version: count(row, "version")?,
                created_at: row.try_get("created_at")?,
                updated_at: row.try_get("updated_at")?,
            };
            let airtime = Airtime {
                timeline: from_json(row, "timeline")?,
                plan: from_json(row, "plan")?,
                rotation: from_json(row, "rotation")?,
            };
            Ok(StoredChannel {
                channel,
                airtime,
                last_seen: row.try_get("last_seen")?,
            })
        })
        .collect()
}

fn life(row: &Row) -> Result<LifeState, StoreError> {
    Ok(LifeState {
        desired: parsed(row, "desired")?,
        status: parsed(row, "status")?,
        generation: Generation(count(row, "generation")?),
        uptime: length(row, "uptime_us")?,
        live_since: row.try_get("live_since")?,
        restart_count: count(row, "restart_count")?,
        restarts_since_start: count(row, "restarts_since_start")?,
        last_start_time: row.try_get("last_start_time")?,
        last_stop_time: row.try_get("last_stop_time")?,
    })
}

/// Takes from a channel what the database does not keep: the nanoseconds.
pub(super) fn round(channel: &mut Channel) {
    channel.created_at = whole_micros(channel.created_at);
    channel.updated_at = whole_micros(channel.updated_at);
    let life = &mut channel.life;
    life.uptime = Duration::from_micros(u64::try_from(life.uptime.as_micros()).unwrap_or(u64::MAX));
    life.live_since = rounded(life.live_since);
    life.last_start_time = rounded(life.last_start_time);
    life.last_stop_time = rounded(life.last_stop_time);
}

/// Answers `false` when the id is taken.
pub(super) async fn insert(tx: &Transaction<'_>, channel: &Channel) -> Result<bool, StoreError> {
    let inserted = tx
        .execute(
            "INSERT INTO channels (id, client_id, config, version, desired, status, generation, uptime_us,
                                   restart_count, restarts_since_start, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'STOPPED', 'STOPPED', 0, 0, 0, 0, $5, $6) ON CONFLICT (id) DO NOTHING",
            &[
                &channel.id.uuid(),
                &channel.client_id.uuid(),
                &channel.config.to_json_stored(),
                &bigint(channel.version.max(1)),
                &channel.created_at,
                &channel.updated_at,
            ],
        )
        .await?;
    if inserted == 0 {
        return Ok(false);
    }
    write_life(tx, channel.id, &channel.life)
        .await
        .map(|()| true)
}

pub(super) async fn write_life(
    tx: &Transaction<'_>,
    id: ChannelId,
    life: &LifeState,
) -> Result<(), StoreError> {
    let written = tx
        .execute(
            "UPDATE channels SET desired = $2, status = $3, generation = $4, uptime_us = $5, live_since = $6,
                    restart_count = $7, restarts_since_start = $8, last_start_time = $9, last_stop_time = $10
             WHERE id = $1",
            &[
                &id.uuid(),
                &life.desired.name(),
                &life.status.name(),
                &bigint(life.generation.0),
                &micros(life.uptime),
                &rounded(life.live_since),
                &bigint(life.restart_count),
                &bigint(life.restarts_since_start),
                &rounded(life.last_start_time),
                &rounded(life.last_stop_time),
            ],
        )
        .await?;
    if written == 0 {
        Err(StoreError::NotFound)
    } else {
        Ok(())
    }
}

/// An optional time in whole microseconds.
fn rounded(at: Option<jiff::Timestamp>) -> Option<jiff::Timestamp> {
    at.map(whole_micros)
}
