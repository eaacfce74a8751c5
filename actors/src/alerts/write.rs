//! Writes what waits to PostgreSQL, and deletes there what is too old.

use std::convert::Infallible;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use playout_store::StoreError;
use tokio::time::{Instant, timeout};

use super::Inner;
use crate::error::OpError;

/// How soon what was not written is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Entries or deliveries written at once.
const BATCH: usize = 200;
/// How often what is too old is deleted, and how old that is.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const HISTORY_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const ALERTS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const DELIVERIES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long somebody waits for what waits to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes for ever.
pub(super) async fn run(inner: &Inner) -> Infallible {
    let mut pruned: Option<Instant> = None;
    loop {
        if let Err(error) = inner.flush().await {
            tracing::debug!(%error, "alerts wait for PostgreSQL");
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            inner.prune().await;
        }
        let waits = !inner.is_loaded() || !inner.desk().journal.is_empty();
        let pause = if waits { RETRY } else { PRUNE_EVERY };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.to_write.notified(), if !waits => {}
        }
    }
}

impl Inner {
    /// Writes everything that waits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what is left waits on.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        self.noted(self.write().await)
    }

    /// Does `work` on the store when everything that waited is written, and before more is.
    ///
    /// # Errors
    /// As `work`; [`OpError::Unavailable`] when what waits cannot be written.
    pub(super) async fn after_writing<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, OpError> {
        let away = || OpError::unavailable("the database is not available at the moment");
        if self.is_away() {
            return Err(away());
        }
        let writing = timeout(PATIENCE, self.writing.lock()).await;
        let _writing = writing.map_err(|_| away())?;
        let done = async {
            self.write().await?;
            work.await
        };
        Ok(self.noted(done.await)?)
    }

    /// Whether the database was away a moment ago: then nobody waits to be told so again.
    fn is_away(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| since.elapsed() < RETRY)
    }

    fn noted<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let away = matches!(done, Err(StoreError::Unavailable(_)));
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away.then(Instant::now);
        done
    }

    /// The caller holds `writing`.
    async fn write(&self) -> Result<(), StoreError> {
        self.load().await?;
        while let Some(alert) = self.next(|desk| desk.journal.first_alert()) {
            settle("an alert", self.store.save_alert(&alert).await)?;
            self.desk().journal.alert_done(&alert);
        }
        while let Some(batch) = self.next(|desk| some(desk.journal.first_entries(BATCH))) {
            settle("the history", self.store.insert_history(&batch).await)?;
            self.desk().journal.entries_done(&batch);
        }
        while let Some(batch) = self.next(|desk| some(desk.journal.first_deliveries(BATCH))) {
            settle("deliveries", self.store.save_deliveries(&batch).await)?;
            self.desk().journal.deliveries_done(&batch);
        }
        Ok(())
    }

    fn next<T>(&self, look: impl FnOnce(&super::Desk) -> Option<T>) -> Option<T> {
        look(&self.desk())
    }

    async fn prune(&self) {
        let before = |age: Duration| Timestamp::now() - age;
        let pruned = async {
            self.store.prune_history(before(HISTORY_KEPT)).await?;
            self.store.prune_deliveries(before(DELIVERIES_KEPT)).await?;
            self.store.prune_alerts(before(ALERTS_KEPT)).await
        };
        if let Err(error) = pruned.await {
            tracing::debug!(%error, "old alerts are not deleted yet");
        }
    }
}

fn some<T>(batch: Vec<T>) -> Option<Vec<T>> {
    (!batch.is_empty()).then_some(batch)
}

/// What the database refuses for good is let go, so that it holds up nothing else.
fn settle(what: &str, written: Result<(), StoreError>) -> Result<(), StoreError> {
    match written {
        // Its client was deleted meanwhile.
        Ok(()) | Err(StoreError::NotFound) => Ok(()),
        Err(StoreError::Unavailable(cause)) => Err(StoreError::Unavailable(cause)),
        Err(error) => {
            tracing::error!(%error, what, "cannot be written");
            Ok(())
        }
    }
}
