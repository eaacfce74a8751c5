//! The prepare queue: so many jobs at a time, and what they change written to the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_store::StoreError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::Inner;
use super::catalogue::Catalogue;
use super::orders::Order;
use crate::supervise::Stopping;

/// How often what nobody needs any more is looked for, at least and at most.
const COLLECT: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(1)];
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
    let [seldom, often] = COLLECT;
    let every = (inner.collect_after / 10).clamp(often, seldom);
    let mut collect = interval_at(Instant::now() + every, every);
    collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = inner.room.subscribe();
    let mut paused_by_hand = inner.paused.subscribe();
    loop {
        let room = *told.borrow_and_update();
        let paused = room.paused || *paused_by_hand.borrow_and_update();
        if paused && !jobs.is_empty() {
            // What they have written goes with them.
            jobs.shutdown().await;
            for order in std::mem::take(&mut orders).into_values() {
                inner.leave(&order).await;
            }
            inner.write(Catalogue::requeue);
        }
        while !paused
            && jobs.len() < inner.parallel_prepares
            && let Some(order) = inner.write(|catalogue| catalogue.next(room.spare))
        {
            let job = jobs.spawn(Arc::clone(&inner).prepare(order.clone()));
            let id = job.id();
            inner.write(|catalogue| catalogue.working(&order, job));
            inner.tell_job(&order.job());
            orders.insert(id, order);
        }
        tokio::select! {
            () = stopping.asked() => break,
            Some(ended) = jobs.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                let order = orders.remove(&id);
                let Some(order) = order else { continue };
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!(media = %order.media, %error, "a prepare job panicked");
                    inner.settle(&order, Err("Preparing it failed within the daemon.".to_owned()));
                }
                inner.leave(&order).await;
            }
            Ok(()) = told.changed() => {}
            Ok(()) = paused_by_hand.changed() => {}
            _ = collect.tick() => inner.collect(Timestamp::now()).await,
            () = inner.work.notified() => save(&inner).await,
            _ = retry.tick() => save(&inner).await,
        }
    }
    inner.closing.send_replace(true);
    jobs.shutdown().await;
    for order in orders.into_values() {
        inner.leave(&order).await;
    }
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

impl Inner {
    /// A job has ended: unless it has done what it should, nothing of it is left.
    async fn leave(&self, order: &Order) {
        let (media, profile) = (order.media, order.profile);
        if self.read(|catalogue| catalogue.prepared(media, &profile).is_none()) {
            let (files, fate) = (self.files.clone(), order.fate.clone());
            let remove = move || {
                fate.call_off();
                files.remove_prepared(media, &profile);
            };
            // What cannot be removed now is a stray at the next start.
            let _ = tokio::task::spawn_blocking(remove).await;
        }
        self.write(|catalogue| catalogue.leaving.remove(&order.job()));
    }
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
