//! The prepare queue: so many jobs at a time, and what they change written to the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use playout_store::StoreError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::Inner;
use super::catalogue::Catalogue;
use super::orders::Order;
use crate::supervise::Stopping;

/// How often what the store did not take is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until it is asked to end; jobs and examinations under way end with it, and jobs are begun
/// anew next time.
pub(super) async fn run(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    inner.closing.send_replace(false);
    inner.write(Catalogue::requeue);
    let mut jobs = JoinSet::new();
    // Whose job is which, for those that panic.
    let mut orders: HashMap<Id, Order> = HashMap::new();
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = inner.room.subscribe();
    loop {
        let room = *told.borrow_and_update();
        if room.paused && !jobs.is_empty() {
            // What they have written goes with them.
            jobs.shutdown().await;
            orders.clear();
            inner.write(Catalogue::requeue);
        }
        while !room.paused
            && jobs.len() < inner.parallel_prepares
            && let Some(order) = inner.write(|catalogue| catalogue.next(room.spare))
        {
            let job = jobs.spawn(Arc::clone(&inner).prepare(order.clone()));
            let id = job.id();
            inner.write(|catalogue| catalogue.working(&order, job));
            orders.insert(id, order);
        }
        tokio::select! {
            () = stopping.asked() => break,
            Some(ended) = jobs.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                let order = orders.remove(&id);
                if let (Err(error), Some(order)) = (ended, order)
                    && error.is_panic()
                {
                    tracing::error!(media = %order.media, %error, "a prepare job panicked");
                    inner.settle(&order, Err("Preparing it failed within the daemon.".to_owned()));
                }
            }
            Ok(()) = told.changed() => {}
            () = inner.work.notified() => save(&inner).await,
            _ = retry.tick() => save(&inner).await,
        }
    }
    inner.closing.send_replace(true);
    jobs.shutdown().await;
    // An examination holds a permit for as long as its process lives.
    drop(
        inner
            .examinations
            .acquire_many(inner.parallel_examinations as u32)
            .await,
    );
    save(&inner).await;
    Ok(())
}

/// Writes what the store does not know yet. While it is away, nothing but that waits.
async fn save(inner: &Inner) {
    while let Some((item, renditions)) = inner.write(Catalogue::take_unsaved) {
        let saved = async {
            inner.store.update_media(&item).await?;
            for rendition in &renditions {
                inner.store.save_rendition(rendition).await?;
            }
            Ok(())
        };
        match saved.await {
            // Deleted meanwhile: there is nothing left to be known of it.
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => {
                tracing::warn!(media = %item.id, %error, "the state of an item is not written yet");
                inner.write(|catalogue| catalogue.not_saved(item.id, &renditions));
                return;
            }
        }
    }
}
