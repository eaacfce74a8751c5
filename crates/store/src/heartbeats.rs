//! Heartbeats: how live channels do, every few seconds; written in batches.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::{BitsPerSecond, ChannelId, ChannelStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::columns::{bigint, count, from_json, json, length, micros, parsed, whole_micros};
use crate::error::StoreError;

/// How a channel does at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Which channel.
    pub channel: ChannelId,
    /// When.
    pub at: Timestamp,
    /// What it does.
    pub status: ChannelStatus,
    /// The time since it last went LIVE, in seconds.
    #[serde(with = "seconds")]
    pub uptime: Duration,
    /// When the last segment was published.
    pub last_segment: Option<Timestamp>,
    /// Segments published since the playout began.
    pub segments: u64,
    /// What goes out.
    pub bitrate: BitsPerSecond,
    /// Automatic restarts.
    pub restarts: u64,
    /// Its FFmpeg processes.
    pub processes: Vec<ProcessBeat>,
}

/// What one FFmpeg process uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessBeat {
    /// Its process id.
    pub pid: u32,
    /// What it does for the channel.
    pub role: String,
    /// CPU since the beat before, as a fraction of one core.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Bytes read since it began.
    pub read_bytes: u64,
    /// Bytes written since it began.
    pub written_bytes: u64,
}

/// A length in JSON: seconds.
mod seconds {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        length: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(length.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The stream of heartbeats that the database does not have yet.
const QUEUE: &str = "heartbeats";

impl Store {
    /// Puts heartbeats into the queue in Redis, from where they go to the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: they are not there, or not known to be.
    pub async fn queue_heartbeats(&self, beats: &[Heartbeat]) -> Result<(), StoreError> {
        if beats.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_string(beats).map_err(StoreError::internal)?;
        self.hot().append(QUEUE, &json).await.map(drop)
    }

    /// The oldest entries of the queue, `most` at most: their ids, and the JSON of heartbeats.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn queued_heartbeats(&self, most: u64) -> Result<Vec<(String, String)>, StoreError> {
        self.hot().oldest(QUEUE, most).await
    }

    /// Takes entries out of the queue: the database has them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn unqueue_heartbeats(&self, ids: Vec<String>) -> Result<(), StoreError> {
        self.hot().remove_entries(QUEUE, ids).await
    }

    /// How many of these heartbeats the database has.
    pub async fn stored_heartbeats(
        &self,
        ids: &[(ChannelId, Timestamp)],
    ) -> Result<u64, StoreError> {
        let channels: Vec<Uuid> = ids.iter().map(|(channel, _)| channel.uuid()).collect();
        let ats: Vec<Timestamp> = ids.iter().map(|(_, at)| whole_micros(*at)).collect();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT count(*) AS stored FROM heartbeats
                        JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::timestamptz[]) AS u (channel_id, at)) AS ids
                        USING (channel_id, at)";
                    count(&session.query_one(sql, &[&channels, &ats]).await?, "stored")
                })
            })
            .await
    }

    /// Notes how many heartbeats this daemon has lost since it began, and when.
    pub async fn note_losses(
        &self,
        since: Timestamp,
        until: Timestamp,
        lost: u64,
    ) -> Result<(), StoreError> {
        let run = self.0.run;
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "INSERT INTO telemetry_losses (run, since, until, lost) VALUES ($1, $2, $3, $4)
                        ON CONFLICT (run) DO UPDATE SET until = excluded.until, lost = excluded.lost";
                    session
                        .execute(sql, &[&run, &since, &until, &bigint(lost)])
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Stores a batch in one statement. One that is stored already is passed over, so a batch whose
    /// fate is unknown can be sent again; so is one of a channel that another daemon had taken by then.
    pub async fn insert_heartbeats(&self, beats: &[Heartbeat]) -> Result<(), StoreError> {
        if beats.is_empty() {
            return Ok(());
        }
        let (columns, node) = (Columns::of(beats)?, self.0.leases.node());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "INSERT INTO heartbeats (channel_id, at, status, uptime_us, last_segment, segments, bitrate,
                                                     restarts, processes)
                             SELECT u.* FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::bigint[],
                                 $5::timestamptz[], $6::bigint[], $7::bigint[], $8::bigint[], $9::jsonb[]) AS u (id, at)
                             LEFT JOIN channels c ON c.id = u.id
                             WHERE c.node IS NULL OR c.node = $10 OR u.at < c.taken_at
                             ON CONFLICT DO NOTHING",
                            &[
                                &columns.channels,
                                &columns.ats,
                                &columns.statuses,
                                &columns.uptimes,
                                &columns.last_segments,
                                &columns.segments,
                                &columns.bitrates,
                                &columns.restarts,
                                &columns.processes,
                                &node.uuid(),
                            ],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The last heartbeats of a channel, newest first.
    pub async fn heartbeats(
        &self,
        channel: ChannelId,
        limit: u32,
    ) -> Result<Vec<Heartbeat>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let rows = session
                        .query(
                            "SELECT * FROM heartbeats WHERE channel_id = $1 ORDER BY at DESC LIMIT $2",
                            &[&channel.uuid(), &i64::from(limit)],
                        )
                        .await?;
                    rows.iter().map(heartbeat).collect()
                })
            })
            .await
    }

    /// When a channel was last known alive, as far as any store that answers knows.
    pub async fn last_seen(&self, channel: ChannelId) -> Option<Timestamp> {
        let (stored, hot) =
            tokio::join!(self.heartbeats(channel, 1), self.hot().heartbeat(channel));
        let stored = stored.ok().and_then(|beats| Some(beats.first()?.at));
        stored.max(hot.ok().flatten().map(|beat| beat.at))
    }

    /// Deletes heartbeats from before `before`, at most 10 000 at once; answers how many.
    pub async fn prune_heartbeats(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM heartbeats WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM heartbeats WHERE at < $1 LIMIT 10000))";
                    Ok(session.execute(sql, &[&before]).await?)
                })
            })
            .await
    }
}

/// A batch, column by column.
#[derive(Default)]
struct Columns {
    channels: Vec<Uuid>,
    ats: Vec<Timestamp>,
    statuses: Vec<&'static str>,
    uptimes: Vec<i64>,
    last_segments: Vec<Option<Timestamp>>,
    segments: Vec<i64>,
    bitrates: Vec<i64>,
    restarts: Vec<i64>,
    processes: Vec<Value>,
}

impl Columns {
    fn of(beats: &[Heartbeat]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for beat in beats {
            columns.channels.push(beat.channel.uuid());
            columns.ats.push(whole_micros(beat.at));
            columns.statuses.push(beat.status.name());
            columns.uptimes.push(micros(beat.uptime));
            columns
                .last_segments
                .push(beat.last_segment.map(whole_micros));
            columns.segments.push(bigint(beat.segments));
            columns.bitrates.push(bigint(beat.bitrate.get()));
            columns.restarts.push(bigint(beat.restarts));
            columns.processes.push(json(&beat.processes)?);
        }
        Ok(columns)
    }
}

fn heartbeat(row: &Row) -> Result<Heartbeat, StoreError> {
    Ok(Heartbeat {
        channel: ChannelId::from(row.try_get::<_, Uuid>("channel_id")?),
        at: row.try_get("at")?,
        status: parsed(row, "status")?,
        uptime: length(row, "uptime_us")?,
        last_segment: row.try_get("last_segment")?,
        segments: count(row, "segments")?,
        bitrate: BitsPerSecond::new(count(row, "bitrate")?),
        restarts: count(row, "restarts")?,
        processes: from_json(row, "processes")?,
    })
}
