//! What channels report about themselves: to listeners at once, to Redis as it comes, to PostgreSQL
//! in batches.
//!
//! Invariants: reporting never waits; memory is bounded, and what did not fit is counted as lost,
//! the oldest first; a batch that could not be written is kept for the next attempt.

mod backlog;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, ClientId};
use playout_store::{Heartbeat, Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::hub::{Event, Hub, kind};
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;
use backlog::Backlog;

/// How often heartbeats are written to PostgreSQL; earlier when a batch is full.
const EVERY: Duration = Duration::from_secs(10);
/// Heartbeats written at once.
const BATCH: usize = 500;
/// Heartbeats kept while PostgreSQL is away: four minutes of 200 channels.
const KEPT: usize = 10_000;
/// How often what is too old is deleted, and how old that is.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the last batch may take when the daemon ends.
const LAST: Duration = Duration::from_secs(3);

/// Takes reports. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Arc<Hub>,
    backlog: Mutex<Backlog>,
    /// Told when a batch is full.
    full: Notify,
    /// The latest heartbeat of each channel that is not in Redis yet.
    fresh: Mutex<HashMap<ChannelId, Heartbeat>>,
    /// Told when there is one.
    came: Notify,
}

impl Telemetry {
    /// Takes reports from now on. They are written once [`Telemetry::children`] run.
    pub fn new(store: Store, hub: Arc<Hub>) -> Self {
        let inner = Inner {
            store,
            hub,
            backlog: Mutex::new(Backlog::new(KEPT)),
            full: Notify::new(),
            fresh: Mutex::default(),
            came: Notify::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What has to run for reports to be written.
    pub fn children(&self) -> Vec<ChildSpec> {
        let (batches, hot) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        vec![
            tree::HEARTBEATS.task(move |stopping| write_batches(Arc::clone(&batches), stopping)),
            tree::HOT_COPY.task(move |stopping| write_hot(Arc::clone(&hot), stopping)),
        ]
    }

    /// Takes a channel's heartbeat and tells listeners. Never waits.
    pub fn record(&self, client: ClientId, beat: Heartbeat) {
        let inner = &self.inner;
        inner.hub.publish(Event {
            kind: kind::CHANNEL_HEARTBEAT,
            client: Some(client),
            channel: Some(beat.channel),
            data: told(&beat),
        });
        lock(&inner.fresh).insert(beat.channel, beat.clone());
        inner.came.notify_one();
        let waiting = lock(&inner.backlog).push(beat);
        if waiting >= BATCH {
            inner.full.notify_one();
        }
    }

    /// Heartbeats that were never written, since the daemon began.
    pub fn lost(&self) -> u64 {
        lock(&self.inner.backlog).lost()
    }
}

/// A heartbeat as listeners see it; the public page is among them.
fn told(beat: &Heartbeat) -> Value {
    serde_json::to_value(beat).unwrap_or_else(|_| json!({}))
}

async fn write_batches(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pruned: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = tick.tick() => {}
            () = inner.full.notified() => {}
        }
        // Asked to end while PostgreSQL is slow: the last attempt has its own bound.
        tokio::select! {
            () = stopping.asked() => break,
            () = flush(&inner) => {}
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            tokio::select! {
                () = stopping.asked() => break,
                () = prune(&inner) => {}
            }
        }
    }
    if tokio::time::timeout(LAST, flush(&inner)).await.is_err() {
        tracing::warn!("the last heartbeats are not written: PostgreSQL does not answer");
    }
    Ok(())
}

async fn prune(inner: &Inner) {
    let before = Timestamp::now() - PRUNE_AFTER;
    if let Err(error) = inner.store.prune_heartbeats(before).await {
        tracing::debug!(%error, "old heartbeats are not deleted yet");
    }
}

/// Writes what waits, batch by batch, until nothing does or PostgreSQL does not take it. A batch
/// stays in the backlog until it is written, so giving up in the middle loses nothing.
async fn flush(inner: &Inner) {
    loop {
        let batch = lock(&inner.backlog).first(BATCH);
        if batch.is_empty() {
            return;
        }
        match inner.store.insert_heartbeats(&batch).await {
            Ok(()) => lock(&inner.backlog).written(&batch),
            Err(StoreError::Unavailable(cause) | StoreError::NoRoom(cause)) => {
                tracing::debug!(cause, "heartbeats wait for PostgreSQL");
                return;
            }
            Err(error) => {
                tracing::error!(%error, heartbeats = batch.len(), "heartbeats cannot be written");
                lock(&inner.backlog).refused(&batch);
            }
        }
    }
}

/// Best effort: what does not get through is replaced by the next heartbeat of that channel.
async fn write_hot(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    loop {
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            () = inner.came.notified() => {}
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
