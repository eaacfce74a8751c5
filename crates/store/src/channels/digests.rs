//! What the digests of a stored channel cover. There are three, because three kinds of writers each
//! know their own part whole: what the client chose (`channels.digest`, destinations and their sealed
//! keys included), its life (`channels.life_digest`, written at every turn without a look at the rest),
//! and what it airs (`airtime.digest`). Together they cover every column, so nothing can change unseen.
//!
//! They tell damage, not deceit: who can write rows can write digests. Deceit is seen in the audit.

use jiff::Timestamp;
use playout_domain::ChannelId;
use playout_domain::lifecycle::LifeState;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Airtime;
use super::destinations::{self, DestinationRow};
use crate::columns::{bigint, json, micros, whole_micros};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::session::Transaction;

type Sha256 = [u8; 32];

/// The columns of a channel that [`settings`] covers.
pub(super) const SETTINGS: &str = "id, client_id, config, version, created_at, updated_at";

/// Stands in a new row until it was seen whole, as it is stored.
pub(super) const UNSTAMPED: Sha256 = [0; 32];

/// What the digest of what the client chose is to be, by what is stored.
pub(super) fn settings(
    row: &Row,
    destinations: &[DestinationRow],
) -> Result<Sha256, tokio_postgres::Error> {
    let mut digest = Digest::of("channel settings");
    digest
        .id(row.try_get("id")?)
        .id(row.try_get("client_id")?)
        .json(&row.try_get("config")?)
        .number(row.try_get("version")?)
        .time(row.try_get("created_at")?)
        .time(row.try_get("updated_at")?)
        .number(destinations.len() as i64);
    for destination in destinations {
        destination.add_to(&mut digest);
    }
    for destination in destinations {
        destination.add_options_to(&mut digest);
    }
    Ok(digest.finish())
}

/// Gives a channel the digest of what is stored of it now. Whoever calls this has just written it, or
/// has seen it match its digest under the lock that it holds.
pub(super) async fn stamp(tx: &Transaction<'_>, id: Uuid) -> Result<(), StoreError> {
    let sql = format!("SELECT {SETTINGS} FROM channels WHERE id = $1");
    let row = tx.query_one(&sql, &[&id]).await?;
    let destinations = destinations::of(tx, ChannelId::from(id)).await?;
    stamp_row(tx, &row, &destinations).await
}

/// The same by what was just written: [`SETTINGS`], and the rows of its destinations.
pub(super) async fn stamp_row(
    tx: &Transaction<'_>,
    row: &Row,
    destinations: &[DestinationRow],
) -> Result<(), StoreError> {
    let (id, digest): (Uuid, _) = (row.try_get("id")?, settings(row, destinations)?);
    tx.execute(
        "UPDATE channels SET digest = $2 WHERE id = $1",
        &[&id, &digest.as_slice()],
    )
    .await?;
    Ok(())
}

/// The columns of a channel's life.
pub(super) struct LifeColumns<'a> {
    pub(super) desired: &'a str,
    pub(super) status: &'a str,
    pub(super) generation: i64,
    pub(super) uptime_us: i64,
    pub(super) live_since: Option<Timestamp>,
    pub(super) restart_count: i64,
    pub(super) restarts_since_start: i64,
    pub(super) last_start_time: Option<Timestamp>,
    pub(super) last_stop_time: Option<Timestamp>,
}

impl<'a> LifeColumns<'a> {
    pub(super) fn of(life: &LifeState) -> LifeColumns<'static> {
        LifeColumns {
            desired: life.desired.name(),
            status: life.status.name(),
            generation: bigint(life.generation.0),
            uptime_us: micros(life.uptime),
            live_since: life.live_since.map(whole_micros),
            restart_count: bigint(life.restart_count),
            restarts_since_start: bigint(life.restarts_since_start),
            last_start_time: life.last_start_time.map(whole_micros),
            last_stop_time: life.last_stop_time.map(whole_micros),
        }
    }

    pub(super) fn read(row: &'a Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            desired: row.try_get("desired")?,
            status: row.try_get("status")?,
            generation: row.try_get("generation")?,
            uptime_us: row.try_get("uptime_us")?,
            live_since: row.try_get("live_since")?,
            restart_count: row.try_get("restart_count")?,
            restarts_since_start: row.try_get("restarts_since_start")?,
            last_start_time: row.try_get("last_start_time")?,
            last_stop_time: row.try_get("last_stop_time")?,
        })
    }

    pub(super) fn digest(&self, channel: Uuid) -> Sha256 {
        Digest::of("channel life")
            .id(channel)
            .text(self.desired)
            .text(self.status)
            .number(self.generation)
            .number(self.uptime_us)
            .optional(self.live_since, Digest::time)
            .number(self.restart_count)
            .number(self.restarts_since_start)
            .optional(self.last_start_time, Digest::time)
            .optional(self.last_stop_time, Digest::time)
            .finish()
    }
}

/// The columns of what a channel airs.
pub(super) struct AirtimeColumns {
    pub(super) timeline: Value,
    pub(super) plan: Value,
    pub(super) schedule: Value,
    pub(super) updated_at: Timestamp,
}

impl AirtimeColumns {
    pub(super) fn of(airtime: &Airtime, updated_at: Timestamp) -> Result<Self, StoreError> {
        Ok(Self {
            timeline: json(&airtime.timeline)?,
            plan: json(&airtime.plan)?,
            schedule: json(&airtime.schedule)?,
            updated_at,
        })
    }

    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            timeline: row.try_get("timeline")?,
            plan: row.try_get("plan")?,
            schedule: row.try_get("schedule")?,
            updated_at: row.try_get("airtime_updated_at")?,
        })
    }

    pub(super) fn digest(&self, channel: ChannelId) -> Sha256 {
        Digest::of("airtime")
            .id(channel.uuid())
            .json(&self.timeline)
            .json(&self.plan)
            .json(&self.schedule)
            .time(self.updated_at)
            .finish()
    }
}

/// Gives every channel of a database from before digests its digests: of what is there now. What cannot
/// even be read keeps none, and is found damaged when it is loaded.
pub(crate) async fn stamp_all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "SELECT c.*, a.timeline, a.plan, a.schedule, a.updated_at AS airtime_updated_at
             FROM channels c LEFT JOIN airtime a ON a.channel_id = c.id",
            &[],
        )
        .await?;
    let mut destinations = destinations::rows(tx, None).await?;
    for row in &rows {
        let id: Uuid = row.try_get("id")?;
        let its = destinations.remove(&id).unwrap_or_default();
        let digests = (
            settings(row, &its),
            LifeColumns::read(row).map(|life| life.digest(id)),
        );
        if let (Ok(settings), Ok(life)) = digests {
            let sql = "UPDATE channels SET digest = $2, life_digest = $3 WHERE id = $1";
            let digests = [settings, life];
            tx.execute(sql, &[&id, &digests[0].as_slice(), &digests[1].as_slice()])
                .await?;
        }
        if let Ok(airtime) = AirtimeColumns::read(row) {
            let sql = "UPDATE airtime SET digest = $2 WHERE channel_id = $1";
            let digest = airtime.digest(id.into());
            tx.execute(sql, &[&id, &digest.as_slice()]).await?;
        }
    }
    Ok(())
}
