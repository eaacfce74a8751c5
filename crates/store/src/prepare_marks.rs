//! What people have said about the prepare queue of this daemon: what waits, what goes first, whether all of it waits.

use jiff::Timestamp;
use playout_domain::prepare::{Hand, JobOrder, JobState};
use playout_domain::{ClientId, MediaId, Profile};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{self, from_json, now, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;

/// What was said about preparing an item into a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareMark {
    /// The item.
    pub media_id: MediaId,
    /// The profile.
    pub profile: Profile,
    /// [`JobState::Paused`] or [`JobState::Cancelled`], where it is not to be begun.
    pub held: Option<JobState>,
    /// What was said about its turn.
    pub hand: Option<Hand>,
}

impl PrepareMark {
    fn says_nothing(&self) -> bool {
        self.held.is_none() && self.hand.is_none()
    }

    /// What the audit tells of it.
    fn told(&self, state: JobState) -> Value {
        json!({ "profile": self.profile.key(), "status": state })
    }
}

impl Store {
    /// Stores what was said about a job of a client's item that was in state `before`, with its audit entry.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the item is gone.
    pub async fn mark_job(
        &self,
        who: &Principal,
        client: ClientId,
        mark: &PrepareMark,
        order: JobOrder,
        [before, after]: [JobState; 2],
    ) -> Result<(), StoreError> {
        let (who, mark, node) = (who.clone(), mark.clone(), self.0.leases.node());
        let operation = match order {
            JobOrder::Pause => "prepare.pause",
            JobOrder::Resume => "prepare.resume",
            JobOrder::Cancel => "prepare.cancel",
            JobOrder::Retry => "prepare.retry",
            JobOrder::Next => "prepare.next",
        };
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, client).await?;
                    let media = mark.media_id.uuid();
                    let there = "SELECT FROM media WHERE id = $1 FOR KEY SHARE";
                    if tx.query_opt(there, &[&media]).await?.is_none() {
                        return Err(StoreError::NotFound);
                    }
                    let (key, node) = (mark.profile.key(), node.uuid());
                    if mark.says_nothing() {
                        let sql = "DELETE FROM prepare_marks WHERE media_id = $1 AND profile_key = $2 AND node = $3";
                        tx.execute(sql, &[&media, &key, &node]).await?;
                    } else {
                        tx.execute(
                            "INSERT INTO prepare_marks (media_id, profile_key, profile, node, held, place, due)
                             VALUES ($1, $2, $3, $4, $5, $6, $7)
                             ON CONFLICT (media_id, profile_key, node) DO UPDATE
                                 SET held = excluded.held, place = excluded.place, due = excluded.due",
                            &[
                                &media,
                                &key,
                                &columns::json(&mark.profile)?,
                                &node,
                                &mark.held.map(JobState::name),
                                &mark.hand.map(|hand| hand.place),
                                &mark.hand.and_then(|hand| hand.due).map(whole_micros),
                            ],
                        )
                        .await?;
                    }
                    let (before, after) = (mark.told(before), mark.told(after));
                    let change =
                        Change::between(operation, "media", media, Some(before), Some(after));
                    record(tx, client, &who, change).await
                })
            })
            .await
    }

    /// Forgets what was said about a job.
    pub async fn forget_mark(&self, media: MediaId, profile: &Profile) -> Result<(), StoreError> {
        let (node, key) = (self.0.leases.node(), profile.key());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM prepare_marks WHERE media_id = $1 AND profile_key = $2 AND node = $3";
                    session
                        .execute(sql, &[&media.uuid(), &key, &node.uuid()])
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Everything that was said about jobs of this daemon.
    pub async fn prepare_marks(&self) -> Result<Vec<PrepareMark>, StoreError> {
        let node = self.0.leases.node();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql =
                        "SELECT * FROM prepare_marks WHERE node = $1 ORDER BY media_id, profile_key";
                    let rows = session.query(sql, &[&node.uuid()]).await?;
                    rows.iter().map(mark).collect()
                })
            })
            .await
    }

    /// Pauses the prepare queue of this daemon, or has it go on; with its audit entry.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn pause_queue(&self, who: &Principal, paused: bool) -> Result<(), StoreError> {
        let (who, node) = (who.clone(), self.0.leases.node().uuid());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, who.client).await?;
                    let operation = match paused {
                        true => {
                            let sql = "INSERT INTO paused_queues (node, paused_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                            tx.execute(sql, &[&node, &now()]).await?;
                            "queue.pause"
                        }
                        false => {
                            let sql = "DELETE FROM paused_queues WHERE node = $1";
                            tx.execute(sql, &[&node]).await?;
                            "queue.resume"
                        }
                    };
                    let told = |paused: bool| Some(json!({ "paused": paused }));
                    let change =
                        Change::between(operation, "prepare queue", node, told(!paused), told(paused));
                    record(tx, who.client, &who, change).await
                })
            })
            .await
    }

    /// Whether somebody has paused the prepare queue of this daemon.
    pub async fn is_queue_paused(&self) -> Result<bool, StoreError> {
        let node = self.0.leases.node().uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT FROM paused_queues WHERE node = $1";
                    Ok(session.query_opt(sql, &[&node]).await?.is_some())
                })
            })
            .await
    }
}

fn mark(row: &Row) -> Result<PrepareMark, StoreError> {
    let held: Option<String> = row.try_get("held")?;
    let due: Option<Timestamp> = row.try_get("due")?;
    let place: Option<i64> = row.try_get("place")?;
    Ok(PrepareMark {
        media_id: MediaId::from(row.try_get::<_, Uuid>("media_id")?),
        profile: from_json(row, "profile")?,
        held: held.and_then(|held| JobState::named(&held)),
        hand: place.map(|place| Hand { due, place }),
    })
}
