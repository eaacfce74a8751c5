//! Writes down what a channel does by itself: its life and its plan, to the copies at once and to the database
//! when that takes it. A task beside the actor, so that nothing that happens on air waits for a database.
//!
//! The pen of a channel is held by whoever writes about it: an order or a change from before it is committed
//! until everybody sees it, this task for each writing. So nothing old is written over something newer.

use std::sync::Arc;
use std::time::Duration;

use playout_domain::lifecycle::LifeState;
use playout_store::{Airtime, Cause, Store, StoreError};
use ractor::ActorRef;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Msg;
use crate::channels::handle::{Handle, Snapshot};

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a channel that leaves the air with the daemon waits until that is written down.
const LAST: Duration = Duration::from_secs(3);

/// What the database has of a channel; nothing where that is not known.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    pub(crate) life: Option<LifeState>,
    pub(crate) airtime: Option<Airtime>,
    /// The channel was deleted: nothing is written any more.
    pub(crate) gone: bool,
    /// A change was given up before it was known what became of it: the database is read before anything else is
    /// written.
    pub(crate) in_doubt: bool,
    /// Orders that were refused and may come to pass all the same.
    pub(crate) refused: Vec<Uuid>,
}

impl Pen {
    /// It is not known what the database has.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
        (self.life, self.airtime) = (None, None);
    }

    fn has(&self, snapshot: &Snapshot) -> bool {
        self.life.as_ref() == Some(&snapshot.channel.life)
            && self.airtime.as_ref() == Some(&snapshot.airtime)
    }
}

/// Writes down every change of a channel, as long as its actor lives. What the database has is read by the actor.
pub(super) async fn record(store: Store, handle: Arc<Handle>, me: ActorRef<Msg>) {
    let mut behind = keep(&store, &handle).await;
    loop {
        tokio::select! {
            () = handle.changed() => behind = keep(&store, &handle).await,
            () = store.until_recordable(), if behind => {
                if handle.pen.lock().await.in_doubt || handle.has_left() {
                    // Its end is this task's end.
                    let _ = me.cast(Msg::Settle);
                    sleep(AGAIN).await;
                    continue;
                }
                behind = match write(&store, &handle).await {
                    Ok(()) => keep(&store, &handle).await,
                    Err(error) => {
                        tracing::debug!(channel = %handle.id, %error, "what the channel does is not recorded yet");
                        sleep(AGAIN).await;
                        true
                    }
                };
            }
        }
    }
}

/// Writes down what is not written yet, where it can be at once.
pub(super) async fn record_now(store: &Store, handle: &Handle) {
    let writing = async {
        if store.recordable().is_ok()
            && let Err(error) = write(store, handle).await
        {
            tracing::warn!(channel = %handle.id, %error, "how the channel ended is not recorded");
        }
        keep(store, handle).await
    };
    if timeout(LAST, writing).await.is_err() {
        tracing::warn!(channel = %handle.id, "how the channel ended is not recorded: no store answers");
    }
}

/// Puts the channel into the copies; answers whether the database is behind.
async fn keep(store: &Store, handle: &Handle) -> bool {
    let pen = handle.pen.lock().await;
    if pen.gone {
        return false;
    }
    let snapshot = handle.snapshot();
    let recorded = pen.has(&snapshot);
    store.keep_channel(&snapshot.channel, &snapshot.airtime, recorded);
    !recorded
}

async fn write(store: &Store, handle: &Handle) -> Result<(), StoreError> {
    let mut pen = handle.pen.lock().await;
    if pen.gone || pen.in_doubt || handle.has_left() {
        return Ok(());
    }
    let snapshot = handle.snapshot();
    let life = &snapshot.channel.life;
    if pen.life.as_ref() != Some(life) {
        match store.save_life(handle.id, life, Cause::Automatic).await {
            // Deleted by another: there is nothing to write to.
            Ok(()) | Err(StoreError::NotFound) => pen.life = Some(life.clone()),
            Err(error) => return Err(error),
        }
    }
    if pen.airtime.as_ref() != Some(&snapshot.airtime) {
        match store.save_airtime(None, handle.id, &snapshot.airtime).await {
            Ok(()) | Err(StoreError::NotFound) => pen.airtime = Some(snapshot.airtime.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
