//! What channels report about themselves: to listeners at once, to Redis as it comes, from there to PostgreSQL
//! in batches.
//!
//! ```text
//! record ─▶ memory ─▶ Redis (a stream) ─▶ PostgreSQL       as a rule
//!             │                               ▲
//!             └──────── Redis is away ────────┘
//! ```
//!
//! Invariants: reporting never waits; memory is bounded, and what did not fit is counted as lost,
//! the oldest first; what is in Redis leaves it only when PostgreSQL has it; PostgreSQL keeps one heartbeat of a
//! channel and a moment, however often it is given.

mod backlog;
mod loops;
mod pipe;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, ClientId};
use playout_store::{Heartbeat, Store};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::hub::{Event, Hub, kind};
use crate::supervise::ChildSpec;
use crate::tree;
use backlog::Backlog;

/// Heartbeats kept while no store takes them: four minutes of 200 channels.
const KEPT: usize = 10_000;

/// Takes reports. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Arc<Hub>,
    /// What no store has.
    backlog: Mutex<Backlog>,
    /// Told when there is something in it.
    came: Notify,
    /// Told when a batch waits in Redis.
    full: Notify,
    losses: Mutex<Losses>,
    /// The latest heartbeat of each channel that is not in its hot copy yet.
    fresh: Mutex<HashMap<ChannelId, Heartbeat>>,
    /// Told when there is one.
    freshened: Notify,
}

/// What was lost since the daemon began.
#[derive(Debug, Default)]
struct Losses {
    /// The first and the last time that a loss was seen.
    seen: Option<(Timestamp, Timestamp)>,
    /// How many listeners know of.
    told: u64,
    /// How many the database knows of.
    noted: u64,
    /// Whether listeners think that more is being lost.
    losing: bool,
}

/// How telemetry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryView {
    /// Heartbeats in memory that no store has yet.
    pub waiting: usize,
    /// Heartbeats that were never written, since the daemon began.
    pub lost: u64,
    /// When the first was lost.
    pub lost_since: Option<Timestamp>,
    /// When the last was.
    pub lost_until: Option<Timestamp>,
}

impl Telemetry {
    /// Takes reports from now on. They are written once [`Telemetry::children`] run.
    pub fn new(store: Store, hub: Arc<Hub>) -> Self {
        Self::keeping(KEPT, store, hub)
    }

    fn keeping(capacity: usize, store: Store, hub: Arc<Hub>) -> Self {
        let inner = Inner {
            store,
            hub,
            backlog: Mutex::new(Backlog::new(capacity)),
            came: Notify::new(),
            full: Notify::new(),
            losses: Mutex::default(),
            fresh: Mutex::default(),
            freshened: Notify::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What has to run for reports to be written, in the order of the table.
    pub fn children(&self) -> Vec<ChildSpec> {
        let inner = || Arc::clone(&self.inner);
        let (drain, ship, hot) = (inner(), inner(), inner());
        vec![
            tree::DRAIN.task(move |stopping| loops::drain(Arc::clone(&drain), stopping)),
            tree::HEARTBEATS.task(move |stopping| loops::ship(Arc::clone(&ship), stopping)),
            tree::HOT_COPY.task(move |stopping| loops::hot(Arc::clone(&hot), stopping)),
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
        inner.freshened.notify_one();
        lock(&inner.backlog).push(beat);
        inner.came.notify_one();
    }

    /// How it does.
    pub fn view(&self) -> TelemetryView {
        let (waiting, lost) = {
            let backlog = lock(&self.inner.backlog);
            (backlog.len(), backlog.lost())
        };
        let seen = lock(&self.inner.losses).seen.filter(|_| lost > 0);
        TelemetryView {
            waiting,
            lost,
            lost_since: seen.map(|(since, _)| since),
            lost_until: seen.map(|(_, until)| until),
        }
    }
}

impl Inner {
    /// Tells of what was lost since that was told last.
    fn tell_losses(&self) {
        let lost = lock(&self.backlog).lost();
        let mut losses = lock(&self.losses);
        let more = lost.saturating_sub(losses.told);
        losses.told = lost;
        if more == 0 {
            return;
        }
        let now = Timestamp::now();
        losses.seen = Some((losses.seen.map_or(now, |(since, _)| since), now));
        losses.losing = true;
        drop(losses);
        tracing::warn!(more, lost, "heartbeats are lost: no store takes them");
        self.hub.publish(Event {
            kind: kind::TELEMETRY_LOST,
            client: None,
            channel: None,
            data: json!({ "more": more, "lost": lost }),
        });
    }

    /// Tells, once, that nothing is lost any more: all that waited is written.
    fn tell_written(&self) {
        if !std::mem::take(&mut lock(&self.losses).losing) {
            return;
        }
        let lost = lock(&self.backlog).lost();
        self.hub.publish(Event {
            kind: kind::TELEMETRY_RECOVERED,
            client: None,
            channel: None,
            data: json!({ "lost": lost }),
        });
    }
}

/// A heartbeat as listeners see it; the public page is among them.
fn told(beat: &Heartbeat) -> Value {
    serde_json::to_value(beat).unwrap_or_else(|_| json!({}))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
