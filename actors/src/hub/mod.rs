//! Events for whoever listens: SSE now, other nodes later.
//!
//! A plain shared log with a bounded memory, no actor: publishing never waits and never fails, so
//! no listener can slow a channel. A subscriber that does not keep up is dropped and comes back
//! with the last id it saw; what is not remembered any more is announced by a `reset` event, after
//! which the subscriber reads everything anew.

mod event;
mod log;
mod subscription;
#[cfg(test)]
mod tests;

pub use event::{Event, EventId, Filter, Published, kind};
pub use subscription::Subscription;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

use log::{Log, Missed};

/// Events remembered for subscribers that come back.
pub const CAPACITY: usize = 10_000;
/// How long an event is remembered.
pub const KEEP: Duration = Duration::from_secs(600);
/// Events waiting for a subscriber; one more and it is dropped.
const QUEUE: usize = 512;

struct Subscriber {
    filter: Filter,
    queue: mpsc::Sender<Arc<Published>>,
}

struct Inner {
    log: Log,
    subscribers: Vec<Subscriber>,
}

/// The event hub. Shared by everything that publishes or listens.
pub struct Hub {
    /// Tells ids of this hub from those of an earlier run of the daemon.
    boot: u64,
    /// Held only for as long as an event takes to be queued.
    inner: Mutex<Inner>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(CAPACITY, KEEP)
    }
}

impl Hub {
    /// A hub that remembers at most `capacity` events for at most `keep`.
    pub fn new(capacity: usize, keep: Duration) -> Self {
        let inner = Inner {
            log: Log::new(capacity, keep),
            subscribers: Vec::new(),
        };
        let (_, boot) = uuid::Uuid::now_v7().as_u64_pair();
        Self {
            boot,
            inner: Mutex::new(inner),
        }
    }

    /// Publishes an event: gives it the next id, remembers it, and queues it for every subscriber
    /// that wants it. Never waits.
    pub fn publish(&self, event: Event) -> EventId {
        // Else no webhook could ask for it, and no document would tell of it.
        debug_assert!(
            playout_domain::event::ALL.contains(&event.kind),
            "{} is no kind of event",
            event.kind
        );
        let mut inner = self.lock();
        let id = EventId {
            boot: self.boot,
            number: inner.log.next(),
        };
        let published = Arc::new(Published::new(id, Timestamp::now(), event));
        inner.log.push(Arc::clone(&published), Instant::now());
        // A full queue belongs to a subscriber that does not keep up, a closed one to none at all.
        inner.subscribers.retain(|subscriber| {
            !subscriber.filter.wants(&published)
                || subscriber.queue.try_send(Arc::clone(&published)).is_ok()
        });
        id
    }

    /// Subscribes to what `filter` wants, from now on.
    ///
    /// With `last_event_id` (as the subscriber last saw it), what it missed comes first; if that
    /// is not remembered, or was published by an earlier run of the daemon, a `reset` event does.
    pub fn subscribe(&self, filter: Filter, last_event_id: Option<&str>) -> Subscription {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let mut inner = self.lock();
        // Those who have left are also noticed here: without events nobody else would.
        inner
            .subscribers
            .retain(|subscriber| !subscriber.queue.is_closed());
        let missed = match last_event_id {
            None => Vec::new(),
            Some(text) => match self.missed_since(&inner.log, text) {
                Some(events) => events
                    .into_iter()
                    .filter(|event| filter.wants(event))
                    .collect(),
                None => vec![self.reset(&inner.log)],
            },
        };
        inner.subscribers.push(Subscriber { filter, queue });
        Subscription::new(missed, receiver)
    }

    /// The id of the latest event: what a reader of the present state has seen.
    pub fn last_id(&self) -> EventId {
        EventId {
            boot: self.boot,
            number: self.lock().log.last(),
        }
    }

    /// Subscribers that have not left, as far as is known.
    pub fn subscribers(&self) -> usize {
        self.lock()
            .subscribers
            .iter()
            .filter(|subscriber| !subscriber.queue.is_closed())
            .count()
    }

    fn missed_since(&self, log: &Log, last_event_id: &str) -> Option<Vec<Arc<Published>>> {
        let id: EventId = last_event_id.parse().ok()?;
        match log.since(id.number, Instant::now()) {
            Missed::Events(events) if id.boot == self.boot => Some(events),
            _ => None,
        }
    }

    fn reset(&self, log: &Log) -> Arc<Published> {
        let id = EventId {
            boot: self.boot,
            number: log.last(),
        };
        let event = Event {
            kind: kind::RESET,
            client: None,
            channel: None,
            data: json!({}),
        };
        Arc::new(Published::new(id, Timestamp::now(), event))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
