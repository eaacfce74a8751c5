//! The rows of channels, read and written.

use std::time::Duration;

use playout_domain::lifecycle::{Generation, LifeState};
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::airtime::Airtime;
use super::destinations::{self, DestinationRow};
use super::digests::{self, AirtimeColumns, LifeColumns, SETTINGS, UNSTAMPED};
use super::quarantine::Quarantined;
use crate::columns::{bigint, count, from_json, length, parsed, whole_micros};
use crate::error::{self, StoreError};
use crate::leases::{FIRST_EPOCH, NodeConfig};
use crate::session::{Connection, Remembering, Transaction};

/// A channel with what it airs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChannel {
    /// The channel.
    pub channel: Channel,
    /// What it airs.
    pub airtime: Airtime,
}

/// The first statement of a transaction that reads channels without holding their locks: rows and digests
/// of one moment, whatever is written meanwhile.
pub(crate) const ONE_MOMENT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// One channel, or all of them, oldest first; damaged ones with what is wrong with them. The caller
/// holds the channel's lock or begins with [`ONE_MOMENT`].
pub(super) async fn read(
    session: &Remembering<impl Connection>,
    id: Option<ChannelId>,
) -> Result<Vec<Result<StoredChannel, Quarantined>>, StoreError> {
    let id = id.map(ChannelId::uuid);
    let (filter, given): (_, &[&(dyn ToSql + Sync)]) = match &id {
        Some(id) => ("WHERE c.id = $1", &[id]),
        None => ("", &[]),
    };
    let sql = format!(
        "SELECT c.*, a.timeline, a.plan, a.schedule, a.updated_at AS airtime_updated_at,
                a.digest AS airtime_digest
         FROM channels c LEFT JOIN airtime a ON a.channel_id = c.id
         {filter} ORDER BY c.id"
    );
    let rows = session.query(&sql, given).await?;
    let mut destinations = destinations::rows(session, id).await?;
    let read = rows.iter().map(|row| {
        let id: Uuid = row.try_get("id")?;
        let its = destinations.remove(&id).unwrap_or_default();
        let id = ChannelId::from(id);
        Ok(stored(row, id, &its).map_err(|reason| Quarantined::of(row, id, reason)))
    });
    read.collect()
}

/// Begins a transaction that reads channels without holding their locks.
pub(crate) async fn one_moment(tx: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(tx.batch_execute(ONE_MOMENT).await?)
}

/// A channel, or what is wrong with it. The caller begins with [`one_moment`], or holds its lease.
pub(crate) async fn one(
    tx: &Transaction<'_>,
    id: ChannelId,
) -> Result<Option<Result<StoredChannel, Quarantined>>, StoreError> {
    Ok(read(tx, Some(id)).await?.pop())
}

/// The channel that `tx` holds the lock of.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Quarantined`] when it is damaged.
pub(super) async fn read_locked(
    tx: &Transaction<'_>,
    id: ChannelId,
) -> Result<StoredChannel, StoreError> {
    let read = read(tx, Some(id)).await?.pop();
    read.ok_or(StoreError::NotFound)?
        .map_err(|damaged| StoreError::Quarantined(damaged.reason))
}

/// A channel out of its rows, or what is wrong with them.
fn stored(
    row: &Row,
    id: ChannelId,
    destinations: &[DestinationRow],
) -> Result<StoredChannel, String> {
    let unreadable = |error: tokio_postgres::Error| error::sentence(&error);
    let matches = |digest: [u8; 32], column: &str, what: &str| match row.try_get(column) {
        Ok(kept) if digest == kept => Ok(()),
        Ok::<&[u8], _>(_) => Err(format!("{what} do not match their digest")),
        Err(error) => Err(unreadable(error)),
    };
    let settings = digests::settings(row, destinations).map_err(unreadable)?;
    matches(settings, "digest", "the settings and destinations")?;
    let life_columns = LifeColumns::read(row).map_err(unreadable)?;
    matches(
        life_columns.digest(id.uuid()),
        "life_digest",
        "state and counters",
    )?;
    if !matches!(
        row.try_get::<_, Option<&[u8]>>("airtime_digest"),
        Ok(Some(_))
    ) {
        return Err("what it airs is missing".to_owned());
    }
    let airs = AirtimeColumns::read(row).map_err(unreadable)?;
    matches(
        airs.digest(id),
        "airtime_digest",
        "timeline, plan and schedule",
    )?;
    let sentence = |error: StoreError| error.to_string();
    let its = destinations.iter().map(DestinationRow::config);
    let config: Value = row.try_get("config").map_err(unreadable)?;
    let config =
        ChannelConfig::from_stored(&config, its.collect::<Result<_, _>>().map_err(sentence)?)
            .map_err(|wrong| format!("the configuration cannot be read: {wrong}"))?;
    let channel = Channel {
        id,
        client_id: ClientId::from(row.try_get::<_, Uuid>("client_id").map_err(unreadable)?),
        config,
        life: life(row).map_err(sentence)?,
        version: count(row, "version").map_err(sentence)?,
        created_at: row.try_get("created_at").map_err(unreadable)?,
        updated_at: row.try_get("updated_at").map_err(unreadable)?,
    };
    let airtime = Airtime {
        timeline: from_json(row, "timeline").map_err(sentence)?,
        plan: from_json(row, "plan").map_err(sentence)?,
        schedule: from_json(row, "schedule").map_err(sentence)?,
    };
    Ok(StoredChannel { channel, airtime })
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

/// Answers [`digests::SETTINGS`] as they are stored; nothing when the id is taken. The caller stamps the channel once
/// its destinations are there.
pub(super) async fn insert(
    tx: &Transaction<'_>,
    channel: &Channel,
    node: &NodeConfig,
) -> Result<Option<Row>, StoreError> {
    let life = LifeColumns::of(&channel.life);
    let sql = format!(
        "INSERT INTO channels (id, client_id, config, version, created_at, updated_at, digest, node, epoch, lease_until,
                               desired, status, generation, uptime_us, live_since, restart_count, restarts_since_start,
                               last_start_time, last_stop_time, life_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10),
                 $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
         ON CONFLICT (id) DO NOTHING RETURNING {SETTINGS}"
    );
    let inserted = tx
        .query_opt(
            &sql,
            &[
                &channel.id.uuid(),
                &channel.client_id.uuid(),
                &channel.config.to_json_stored(),
                &bigint(channel.version.max(1)),
                &channel.created_at,
                &channel.updated_at,
                &UNSTAMPED.as_slice(),
                &node.id.uuid(),
                &FIRST_EPOCH,
                &node.lease.as_secs_f64(),
                &life.desired,
                &life.status,
                &life.generation,
                &life.uptime_us,
                &life.live_since,
                &life.restart_count,
                &life.restarts_since_start,
                &life.last_start_time,
                &life.last_stop_time,
                &life.digest(channel.id.uuid()).as_slice(),
            ],
        )
        .await?;
    Ok(inserted)
}

pub(super) async fn write_life(
    tx: &Transaction<'_>,
    id: ChannelId,
    life: &LifeState,
) -> Result<(), StoreError> {
    let columns = LifeColumns::of(life);
    let written = tx
        .execute(
            "UPDATE channels SET desired = $2, status = $3, generation = $4, uptime_us = $5, live_since = $6,
                    restart_count = $7, restarts_since_start = $8, last_start_time = $9, last_stop_time = $10,
                    life_digest = $11
             WHERE id = $1",
            &[
                &id.uuid(),
                &columns.desired,
                &columns.status,
                &columns.generation,
                &columns.uptime_us,
                &columns.live_since,
                &columns.restart_count,
                &columns.restarts_since_start,
                &columns.last_start_time,
                &columns.last_stop_time,
                &columns.digest(id.uuid()).as_slice(),
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
