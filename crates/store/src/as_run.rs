//! The as-run log of channels. Written in batches; a row that is written again replaces what was written before, for what is on air
//! grows, and a batch whose fate is not known is sent again.

use jiff::Timestamp;
use playout_domain::as_run::{Entry, PlannedEntry, Row};
use playout_domain::{AsRunId, ChannelId, Frame, MediaId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::Store;
use crate::columns::{bigint, count, from_json, json, parsed, text, whole_micros};
use crate::error::StoreError;

/// So many rows before a time are looked at for those that reach beyond it: aired ones follow one another.
const LOOK_BACK: i64 = 50;

/// A planned entry as it is stored: in frames and in times.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    frames: playout_domain::as_run::Planned,
    times: PlannedEntry,
}

impl Store {
    /// Stores rows in one statement. Those of a channel that another daemon had taken by then are passed over.
    pub async fn save_as_run(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (columns, node) = (Columns::of(entries)?, self.0.leases.node());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "INSERT INTO as_run (channel_id, id, missing, from_at, until_at, first_frame, frames, kind,
                                 media_id, title, item_frame, encoded, planned, reason, detail, asked_by, ended)
                             SELECT u.* FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::timestamptz[],
                                 $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[], $9::uuid[], $10::text[],
                                 $11::bigint[], $12::bigint[], $13::jsonb[], $14::text[], $15::text[], $16::text[],
                                 $17::text[]) AS u (channel_id, id, missing, from_at, until_at)
                             LEFT JOIN channels c ON c.id = u.channel_id
                             WHERE c.node IS NULL OR c.node = $18 OR u.until_at <= c.taken_at
                             ON CONFLICT (channel_id, id) DO UPDATE SET until_at = excluded.until_at,
                                 frames = excluded.frames, kind = excluded.kind, media_id = excluded.media_id,
                                 title = excluded.title, item_frame = excluded.item_frame, encoded = excluded.encoded,
                                 planned = excluded.planned, reason = excluded.reason, detail = excluded.detail,
                                 asked_by = excluded.asked_by, ended = excluded.ended",
                            &[
                                &columns.channels,
                                &columns.ids,
                                &columns.missing,
                                &columns.froms,
                                &columns.untils,
                                &columns.firsts,
                                &columns.frames,
                                &columns.kinds,
                                &columns.media,
                                &columns.titles,
                                &columns.item_frames,
                                &columns.encoded,
                                &columns.planned,
                                &columns.reasons,
                                &columns.details,
                                &columns.asked_by,
                                &columns.ended,
                                &node.uuid(),
                            ],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The rows of a channel that lie, wholly or partly, between two times, in order, those after `after`, `limit` at
    /// most.
    pub async fn as_run(
        &self,
        channel: ChannelId,
        from: Timestamp,
        until: Timestamp,
        after: Option<AsRunId>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let (first, behind) = (Entry::first_id(from), Entry::first_id(until));
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    // Ids are in order of time. What began before reaches beyond `from` where it was long.
                    let sql = "SELECT * FROM as_run WHERE channel_id = $1 AND id < $3 AND from_at < $5
                                   AND until_at > $4 AND ($6::uuid IS NULL OR id > $6)
                                   AND id >= coalesce((SELECT id FROM (
                                       SELECT id, until_at FROM as_run WHERE channel_id = $1 AND id < $2
                                       ORDER BY id DESC LIMIT $8) AS before WHERE until_at > $4 ORDER BY id LIMIT 1), $2)
                               ORDER BY id LIMIT $7";
                    // An id does not keep what is below a millisecond.
                    let behind = Uuid::from_u128(behind.uuid().as_u128() + (1 << 80));
                    let after = after.map(AsRunId::uuid);
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let rows = session
                        .query(
                            sql,
                            &[
                                &channel.uuid(),
                                &first.uuid(),
                                &behind,
                                &from,
                                &until,
                                &after,
                                &limit,
                                &LOOK_BACK,
                            ],
                        )
                        .await?;
                    rows.iter().map(entry).collect()
                })
            })
            .await
    }

    /// Deletes rows that ended before `before`, `most` at most; answers how many.
    pub async fn prune_as_run(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM as_run WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM as_run WHERE until_at < $1 LIMIT $2))";
                    Ok(session.execute(sql, &[&before, &i64::from(most)]).await?)
                })
            })
            .await
    }
}

/// A batch, column by column.
#[derive(Default)]
struct Columns {
    channels: Vec<Uuid>,
    ids: Vec<Uuid>,
    missing: Vec<bool>,
    froms: Vec<Timestamp>,
    untils: Vec<Timestamp>,
    firsts: Vec<i64>,
    frames: Vec<i64>,
    kinds: Vec<&'static str>,
    media: Vec<Option<Uuid>>,
    titles: Vec<Option<String>>,
    item_frames: Vec<Option<i64>>,
    encoded: Vec<i64>,
    planned: Vec<Option<Value>>,
    reasons: Vec<&'static str>,
    details: Vec<Option<String>>,
    asked_by: Vec<Option<String>>,
    ended: Vec<Option<&'static str>>,
}

impl Columns {
    fn of(entries: &[Entry]) -> Result<Self, StoreError> {
        // A statement writes a row once: the last word counts.
        let last: BTreeMap<(ChannelId, AsRunId), &Entry> = entries
            .iter()
            .map(|entry| ((entry.channel_id, entry.id), entry))
            .collect();
        let words = |given: &Option<String>| given.as_deref().map(text);
        let mut columns = Self::default();
        for entry in last.values() {
            let row = &entry.row;
            columns.channels.push(entry.channel_id.uuid());
            columns.ids.push(entry.id.uuid());
            columns.missing.push(row.missing);
            columns.froms.push(whole_micros(entry.from));
            columns.untils.push(whole_micros(entry.until));
            columns.firsts.push(bigint(row.start.get()));
            columns.frames.push(bigint(row.frames));
            columns.kinds.push(row.kind.word());
            columns.media.push(row.media_id.map(MediaId::uuid));
            columns.titles.push(words(&entry.title));
            columns.item_frames.push(row.item_frame.map(bigint));
            columns.encoded.push(bigint(row.encoded));
            let planned = row.planned.zip(entry.planned.clone());
            let planned = planned.map(|(frames, times)| json(&Planned { frames, times }));
            columns.planned.push(planned.transpose()?);
            columns.reasons.push(row.reason.word());
            columns.details.push(words(&row.detail));
            columns.asked_by.push(words(&row.by));
            columns.ended.push(row.ended.map(|ended| ended.word()));
        }
        Ok(columns)
    }
}

fn entry(row: &tokio_postgres::Row) -> Result<Entry, StoreError> {
    let planned: Option<Value> = row.try_get("planned")?;
    let planned = planned.map(|_| from_json::<Planned>(row, "planned"));
    let (frames, times) = match planned.transpose()? {
        Some(planned) => (Some(planned.frames), Some(planned.times)),
        None => (None, None),
    };
    let ended: Option<&str> = row.try_get("ended")?;
    let item: Option<i64> = row.try_get("item_frame")?;
    Ok(Entry {
        id: AsRunId::from(row.try_get::<_, Uuid>("id")?),
        channel_id: ChannelId::from(row.try_get::<_, Uuid>("channel_id")?),
        from: row.try_get("from_at")?,
        until: row.try_get("until_at")?,
        title: row.try_get("title")?,
        planned: times,
        row: Row {
            missing: row.try_get("missing")?,
            start: Frame::new(count(row, "first_frame")?),
            frames: count(row, "frames")?,
            kind: parsed(row, "kind")?,
            media_id: row
                .try_get::<_, Option<Uuid>>("media_id")?
                .map(MediaId::from),
            item_frame: item.and_then(|frame| u64::try_from(frame).ok()),
            encoded: count(row, "encoded")?,
            planned: frames,
            reason: parsed(row, "reason")?,
            detail: row.try_get("detail")?,
            by: row.try_get("asked_by")?,
            ended: ended
                .map(str::parse)
                .transpose()
                .map_err(StoreError::Internal)?,
        },
    })
}
