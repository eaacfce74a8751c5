//! The loops that carry heartbeats: memory to Redis, Redis to PostgreSQL, and the latest of each channel to its
//! hot copy.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_store::{Heartbeat, Server, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::pipe::{self, Fate, Queued};
use super::{Inner, lock};
use crate::supervise::Stopping;

/// How often what is in Redis goes to PostgreSQL; earlier when a batch waits.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// Heartbeats written at once.
pub(super) const BATCH: usize = 500;
/// How often PostgreSQL is written to straight, while Redis is away.
const STRAIGHT: Duration = Duration::from_secs(2);
/// How often it is tried again while no store takes anything, and losses are told.
const AGAIN: Duration = Duration::from_secs(2);
/// How often what is too old is deleted, and how old that is.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the last writing may take when the daemon ends.
const LAST: Duration = Duration::from_secs(3);

/// From memory to Redis at once; straight to PostgreSQL, a little later, while Redis does not take it.
pub(super) async fn ship(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut sent = 0;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            () = inner.came.notified() => {}
        }
        if !inner.store.condition(Server::Redis).borrow().works() {
            // In batches: single rows would cost PostgreSQL dearly.
            tokio::select! {
                () = stopping.asked() => break,
                () = sleep_until(next) => {}
            }
            next = Instant::now() + STRAIGHT;
        }
        let waited = lock(&inner.backlog).len();
        let all = tokio::select! {
            () = stopping.asked() => break,
            all = ship_now(&inner) => all,
        };
        inner.tell_losses();
        if all {
            inner.tell_written();
            sent += waited;
            if sent >= BATCH {
                sent = 0;
                inner.full.notify_one();
            }
        } else {
            tokio::select! {
                () = stopping.asked() => break,
                () = tokio::time::sleep(AGAIN) => inner.came.notify_one(),
            }
        }
    }
    if timeout(LAST, ship_now(&inner)).await != Ok(true) {
        let left = lock(&inner.backlog).len();
        tracing::warn!(
            left,
            "the last heartbeats are not written: no store takes them"
        );
    }
    Ok(())
}

async fn ship_now(inner: &Inner) -> bool {
    let store = &inner.store;
    let to_redis =
        |beats: Vec<Heartbeat>| async move { fate(store.queue_heartbeats(&beats).await) };
    let to_postgres =
        |beats: Vec<Heartbeat>| async move { fate(store.insert_heartbeats(&beats).await) };
    pipe::ship(&inner.backlog, BATCH, to_redis, to_postgres).await
}

/// From Redis to PostgreSQL.
pub(super) async fn drain(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut postgres = inner.store.condition(Server::Postgres);
    let mut pruned: Option<Instant> = None;
    let mut most = pipe::ENTRIES;
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = tick.tick() => {}
            () = inner.full.notified() => {}
            // It may be back.
            Ok(()) = postgres.changed() => {}
        }
        if !postgres.borrow_and_update().works() {
            continue;
        }
        tokio::select! {
            () = stopping.asked() => break,
            () = drain_now(&inner, &mut most) => {}
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            tokio::select! {
                () = stopping.asked() => break,
                () = prune(&inner) => {}
            }
        }
    }
    if timeout(LAST, drain_now(&inner, &mut most)).await.is_err() {
        tracing::warn!("the last heartbeats stay in Redis: PostgreSQL does not answer");
    }
    Ok(())
}

async fn drain_now(inner: &Inner, most: &mut usize) {
    let store = &inner.store;
    let read = |most: usize| async move {
        let entries = store.queued_heartbeats(most as u64).await.ok()?;
        let entry = |(id, json): (String, String)| {
            let beats = serde_json::from_str(&json);
            let beats = beats.inspect_err(|error| {
                tracing::error!(id, %error, "heartbeats in Redis cannot be read");
            });
            Queued {
                id,
                beats: beats.ok(),
            }
        };
        Some(entries.into_iter().map(entry).collect())
    };
    let to_postgres =
        |beats: Vec<Heartbeat>| async move { fate(store.insert_heartbeats(&beats).await) };
    let remove = |ids| async move { store.unqueue_heartbeats(ids).await.is_ok() };
    let (empty, lost) = pipe::drain(most, read, to_postgres, remove).await;
    {
        let mut backlog = lock(&inner.backlog);
        backlog.count_refused(lost.refused);
        backlog.lose(lost.unreadable);
    }
    inner.tell_losses();
    if empty {
        settle(inner).await;
    }
}

/// Nothing is under way: what was counted as lost and is in the database is not lost; the rest is noted
/// there.
async fn settle(inner: &Inner) {
    let doubt = lock(&inner.backlog).in_doubt();
    if !doubt.is_empty() {
        let Ok(found) = inner.store.stored_heartbeats(&doubt).await else {
            return;
        };
        lock(&inner.backlog).found(&doubt, found);
    }
    let lost = lock(&inner.backlog).lost();
    let seen = {
        let mut losses = lock(&inner.losses);
        losses.told = losses.told.min(lost);
        losses.seen.filter(|_| losses.noted != lost)
    };
    let Some((since, until)) = seen else { return };
    match inner.store.note_losses(since, until, lost).await {
        Ok(()) => lock(&inner.losses).noted = lost,
        Err(error) => tracing::debug!(%error, "what was lost is not noted yet"),
    }
}

async fn prune(inner: &Inner) {
    let before = Timestamp::now() - PRUNE_AFTER;
    if let Err(error) = inner.store.prune_heartbeats(before).await {
        tracing::debug!(%error, "old heartbeats are not deleted yet");
    }
}

fn fate(done: Result<(), StoreError>) -> Fate {
    match done {
        Ok(()) => Fate::Taken,
        Err(StoreError::Unavailable(away)) => {
            tracing::debug!(%away, "heartbeats wait");
            Fate::Unknown
        }
        Err(error) => {
            tracing::error!(%error, "heartbeats cannot be written");
            Fate::Refused
        }
    }
}

/// Best effort: what does not get through is replaced by the next heartbeat of that channel.
pub(super) async fn hot(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    loop {
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            () = inner.freshened.notified() => {}
        }
        let fresh = std::mem::take(&mut *lock(&inner.fresh));
        for beat in fresh.values() {
            let written = tokio::select! {
                () = stopping.asked() => return Ok(()),
                written = inner.store.hot().publish_heartbeat(beat) => written,
            };
            if let Err(error) = written {
                tracing::debug!(%error, "Redis takes no heartbeats");
                break;
            }
        }
    }
}
