//! The history of channels: what failed, and what was done about it. Written in batches.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::{FallbackStrategy, RecoveryAction};
use playout_domain::{ChannelId, DestinationId, HistoryId, MediaId};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::columns::{count, length, micros, parsed, text, whole_micros};
use crate::error::StoreError;

/// One failure on a channel, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its id.
    pub id: HistoryId,
    /// On which channel.
    #[serde(rename = "channelId")]
    pub channel: ChannelId,
    /// When.
    pub at: Timestamp,
    /// What failed: `source`, `item`, `playout`, `output` or `preparing`.
    pub failure: String,
    /// Of which item.
    pub media_id: Option<MediaId>,
    /// Of which output.
    pub destination_id: Option<DestinationId>,
    /// Why: a sentence.
    pub error: String,
    /// What was done.
    #[serde(flatten)]
    pub action: RecoveryAction,
}

impl HistoryEntry {
    /// The entry as the API and its events tell of it.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Store {
    /// Stores entries in one statement. One that is stored already is passed over, and one of a channel that
    /// another daemon had taken by then.
    pub async fn insert_history(&self, entries: &[HistoryEntry]) -> Result<(), StoreError> {
        let (columns, node) = (Columns::of(entries), self.0.leases.node());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "INSERT INTO channel_history (id, channel_id, at, failure, media_id, destination_id, error,
                                 action, delay_us, attempt, max_attempts, fallback)
                             SELECT u.* FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[],
                                 $6::uuid[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
                                 $12::text[]) AS u (id, channel_id, at)
                             LEFT JOIN channels c ON c.id = u.channel_id
                             WHERE c.node IS NULL OR c.node = $13 OR u.at < c.taken_at
                             ON CONFLICT DO NOTHING",
                            &[
                                &columns.ids,
                                &columns.channels,
                                &columns.ats,
                                &columns.failures,
                                &columns.media,
                                &columns.destinations,
                                &columns.errors,
                                &columns.actions,
                                &columns.delays,
                                &columns.attempts,
                                &columns.most,
                                &columns.fallbacks,
                                &node.uuid(),
                            ],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// What happened on a channel, newest first: what was before `before`, `limit` entries at most.
    pub async fn channel_history(
        &self,
        channel: ChannelId,
        before: Option<HistoryId>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM channel_history WHERE channel_id = $1
                                   AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
                    let before = before.map(HistoryId::uuid);
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let rows = session
                        .query(sql, &[&channel.uuid(), &before, &limit])
                        .await?;
                    rows.iter().map(entry).collect()
                })
            })
            .await
    }

    /// Deletes entries from before `before`, at most 10 000 at once; answers how many.
    pub async fn prune_history(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM channel_history WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM channel_history WHERE at < $1 LIMIT 10000))";
                    Ok(session.execute(sql, &[&before]).await?)
                })
            })
            .await
    }
}

/// A batch, column by column.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    channels: Vec<Uuid>,
    ats: Vec<Timestamp>,
    failures: Vec<String>,
    media: Vec<Option<Uuid>>,
    destinations: Vec<Option<Uuid>>,
    errors: Vec<String>,
    actions: Vec<&'static str>,
    delays: Vec<i64>,
    attempts: Vec<i64>,
    most: Vec<i64>,
    fallbacks: Vec<Option<&'static str>>,
}

impl Columns {
    fn of(entries: &[HistoryEntry]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            let action = &entry.action;
            columns.ids.push(entry.id.uuid());
            columns.channels.push(entry.channel.uuid());
            columns.ats.push(whole_micros(entry.at));
            columns.failures.push(text(&entry.failure));
            columns.media.push(entry.media_id.map(MediaId::uuid));
            columns
                .destinations
                .push(entry.destination_id.map(DestinationId::uuid));
            columns.errors.push(text(&entry.error));
            columns.actions.push(action.kind.name());
            columns.delays.push(micros(action.delay));
            columns.attempts.push(i64::from(action.attempt));
            columns.most.push(i64::from(action.max_attempts));
            columns
                .fallbacks
                .push(action.fallback_strategy.map(FallbackStrategy::name));
        }
        columns
    }
}

fn entry(row: &Row) -> Result<HistoryEntry, StoreError> {
    let number =
        |column| Ok::<_, StoreError>(u32::try_from(count(row, column)?).unwrap_or(u32::MAX));
    let delay: Duration = length(row, "delay_us")?;
    let fallback: Option<&str> = row.try_get("fallback")?;
    Ok(HistoryEntry {
        id: HistoryId::from(row.try_get::<_, Uuid>("id")?),
        channel: ChannelId::from(row.try_get::<_, Uuid>("channel_id")?),
        at: row.try_get("at")?,
        failure: row.try_get("failure")?,
        media_id: row
            .try_get::<_, Option<Uuid>>("media_id")?
            .map(MediaId::from),
        destination_id: row
            .try_get::<_, Option<Uuid>>("destination_id")?
            .map(DestinationId::from),
        error: row.try_get("error")?,
        action: RecoveryAction {
            kind: parsed(row, "action")?,
            delay,
            attempt: number("attempt")?,
            max_attempts: number("max_attempts")?,
            fallback_strategy: fallback
                .map(str::parse)
                .transpose()
                .map_err(StoreError::Internal)?,
        },
    })
}
