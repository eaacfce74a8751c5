//! From memory into PostgreSQL, some at a time; while that is away it waits here, within bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::AlertKind;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::labels::Labels;
use playout_store::{QueuedEvent, StoreError, operator};
use serde_json::json;
use uuid::Uuid;

use super::backlog::{Batch, Lost};
use super::{Inner, lock};
use crate::hub::{Published, kind};

/// How long events are gathered, so that many are written at once.
const GATHER: Duration = Duration::from_millis(50);
/// How soon what was not written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Events that are written at once.
const BATCH: usize = 500;

const LOST: Key = Key::new(AlertKind::WebhookEventsLost, Subject::Daemon);

/// Writes for ever.
pub(super) async fn run(inner: &Inner) -> Infallible {
    let mut losses = Losses::default();
    // What an earlier run of the daemon has lost is lost; this one has begun with nothing that waits.
    inner.alerts.recovered(LOST);
    loop {
        if lock(&inner.backlog).is_empty() {
            inner.to_write.notified().await;
        }
        tokio::time::sleep(GATHER).await;
        let written = inner.flush().await;
        inner.tell_losses(&mut losses, written.is_ok());
        if let Err(error) = written {
            tracing::debug!(%error, "events for webhooks wait for PostgreSQL");
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Inner {
    /// Writes everything that waits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what is left waits on.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let mut most = BATCH;
        loop {
            let batch = lock(&self.backlog).first(most);
            if batch.is_empty() {
                return Ok(());
            }
            match self.store.queue_webhook_events(queued(&batch)).await {
                Ok(0) => {}
                Ok(_) => self.to_deliver.notify_one(),
                Err(StoreError::Unavailable(away)) => return Err(StoreError::Unavailable(away)),
                // One that the database refuses for good holds up no other: it is found by itself.
                Err(_) if batch.events.len() > 1 => {
                    most = 1;
                    continue;
                }
                Err(error) => tracing::error!(%error, "an event cannot be written for webhooks"),
            }
            lock(&self.backlog).done(&batch);
            most = BATCH;
        }
    }

    /// The operator is told when events begin to be lost, and when all that waited is written. Not of each: what tells of
    /// it is an event, too.
    fn tell_losses(&self, losses: &mut Losses, written: bool) {
        let lost = lock(&self.backlog).lost_ever();
        if lost > losses.told && !losses.losing {
            losses.losing = true;
            self.alerts.raise(Report {
                key: LOST,
                client: operator(),
                name: None,
                error: "PostgreSQL is away, and more has happened than fits into memory".to_owned(),
            });
        }
        if written && losses.losing {
            let more = lost - losses.told;
            tracing::error!(
                more,
                lost,
                "events were lost for webhooks: PostgreSQL was away for too long"
            );
            self.alerts.recovered(LOST);
            *losses = Losses {
                told: lost,
                losing: false,
            };
        }
    }
}

/// What the operator knows of losses.
#[derive(Debug, Default)]
struct Losses {
    /// Lost when all was written last.
    told: u64,
    /// Whether more were since.
    losing: bool,
}

fn queued(batch: &Batch) -> Vec<QueuedEvent> {
    let reset = (!batch.lost.is_nothing()).then(|| reset(batch.lost));
    let events = batch.events.iter().map(|(_, event)| queued_one(event));
    reset.into_iter().chain(events).collect()
}

fn queued_one(event: &Arc<Published>) -> QueuedEvent {
    // Who is told that a channel was made, changed or deleted is told by the labels that the event has.
    let labels = match event.kind {
        kind::CHANNEL_CREATED | kind::CHANNEL_UPDATED => Some(Labels::of(&event.data["config"])),
        kind::CHANNEL_DELETED => Some(Labels::of(&event.data)),
        _ => None,
    };
    QueuedEvent {
        id: event.id.to_string(),
        at: event.at,
        kind: event.kind,
        client: event.client,
        channel: event.channel,
        labels,
        // Members in the order of Standard Webhooks, each written once.
        body: format!(
            r#"{{"type":"{}","timestamp":"{}","eventId":"{}","clientId":{},"data":{}}}"#,
            event.kind,
            event.at,
            event.id,
            json!(event.client),
            event.told(),
        ),
        frequent_only: false,
    }
}

/// What tells a receiver that it may have missed something.
fn reset(lost: Lost) -> QueuedEvent {
    let now = Timestamp::now();
    let id = format!("reset-{}", Uuid::now_v7());
    let data = json!({ "at": now, "since": lost.since });
    QueuedEvent {
        body: json!({
            "type": kind::RESET, "timestamp": now, "eventId": id, "clientId": null, "data": data,
        })
        .to_string(),
        id,
        at: now,
        kind: kind::RESET,
        client: None,
        channel: None,
        labels: None,
        frequent_only: lost.usual == 0,
    }
}
