//! Webhooks: what happens, told to whoever asked for it, by HTTP.
//!
//! ```text
//! hub ─▶ backlog (memory, bounded) ─▶ PostgreSQL: one row for each webhook that wants it
//!                                        │ a daemon claims a webhook, and delivers in order
//!                                        ▼
//!                                     receiver: taken, tried again for a day, or dead
//! ```
//!
//! Unlike alerts, which are told while PostgreSQL is away, what waits for a receiver is in the database: it outlives the
//! daemon, any daemon on it delivers, and it is the log afterwards.
//!
//! Invariants:
//! - W1: nothing that publishes waits for a webhook, a receiver or a database.
//! - W2: memory is bounded; what did not fit is counted, and whoever may have missed something is told `reset`.
//! - W3: what was written is delivered at least once, or is dead in the log, however the daemon ends.
//! - W4: a receiver that hangs or fails holds up no other, and of its own deliveries it is asked for one at a time.
//! - W5: no secret is in a log, an event or an answer but the one that makes it.

mod backlog;
mod collect;
mod courier;
mod manage;
#[cfg(test)]
mod tests;
mod write;

pub use manage::{NewSecret, Tested};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::webhook::delivery;
use playout_partners::webhook::Webhooks as Sender;
use playout_store::{Store, StoreError};
use tokio::sync::Notify;

use crate::alerts::ErrorHandler;
use crate::hub::{EventId, Hub};
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;
use backlog::Backlog;

/// How long the last writing may take when the daemon ends.
const LAST: Duration = Duration::from_millis(1_500);
/// How often what is too old is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Events that wait for PostgreSQL at most.
const KEPT: usize = 10_000;

/// How webhooks are kept and delivered.
#[derive(Debug, Clone)]
pub struct WebhooksConfig {
    /// How long the log keeps a delivery that is done.
    pub keep: Duration,
    /// Whether they may lead to addresses that are not public, and go without TLS.
    pub allow_private: bool,
    /// The delays between attempts of a delivery; after the last it is dead.
    pub delays: Vec<Duration>,
    /// So long a receiver may take nothing before its webhook is switched off.
    pub patience: Duration,
    /// Events that wait for PostgreSQL at most.
    pub kept: usize,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(7 * 24 * 3_600),
            allow_private: false,
            delays: delivery::DELAYS.to_vec(),
            patience: delivery::PATIENCE,
            kept: KEPT,
        }
    }
}

/// Keeps webhooks, and delivers by them. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    config: WebhooksConfig,
    store: Store,
    hub: Arc<Hub>,
    alerts: ErrorHandler,
    sender: Sender,
    /// What has happened and is not written yet.
    backlog: Mutex<Backlog>,
    /// The id of the last event that was taken from the hub.
    seen: Mutex<String>,
    /// Told when there is something to write.
    to_write: Notify,
    /// Told when there is something to deliver.
    to_deliver: Notify,
}

impl Webhooks {
    /// Takes in what the hub has published after an event, once [`Webhooks::child`] runs.
    pub fn new(
        config: WebhooksConfig,
        store: Store,
        (hub, after): (Arc<Hub>, EventId),
        alerts: ErrorHandler,
    ) -> Self {
        let inner = Inner {
            sender: Sender::new(config.allow_private),
            backlog: Mutex::new(Backlog::of(config.kept)),
            seen: Mutex::new(after.to_string()),
            to_write: Notify::new(),
            to_deliver: Notify::new(),
            config,
            store,
            hub,
            alerts,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What collects, writes and delivers, to be run by the root.
    pub fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::WEBHOOKS.task(move |stopping| run(Arc::clone(&inner), stopping))
    }
}

async fn run(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let work = async {
        tokio::join!(
            collect::run(&inner),
            write::run(&inner),
            courier::run(&inner),
            sweep(&inner),
        )
    };
    tokio::select! {
        () = stopping.asked() => {}
        _never = work => {}
    }
    // What was published last is in the hub still.
    collect::take_what_is_there(&inner);
    if tokio::time::timeout(LAST, inner.flush()).await.is_err() {
        tracing::warn!("the last events for webhooks are not written: PostgreSQL does not answer");
    }
    Ok(())
}

/// Deletes what is too old, for ever.
async fn sweep(inner: &Inner) {
    loop {
        let before = Timestamp::now().checked_sub(inner.config.keep);
        if let Err(error) = prune(inner, before.unwrap_or(Timestamp::MIN)).await {
            tracing::debug!(%error, "old deliveries of webhooks are not deleted yet");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn prune(inner: &Inner, before: Timestamp) -> Result<(), StoreError> {
    while inner.store.prune_webhooks(before).await? > 0 {}
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
