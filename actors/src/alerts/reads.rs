//! The handle's half that answers people: which alerts there are, and that somebody knows of one.
//!
//! What waits to be written is written first, so that whoever heard of an alert also finds it. While
//! PostgreSQL is away, what is in memory is answered: every alert that is open.

use playout_domain::alert::Signal;
use playout_domain::{Alert, AlertId, ChannelId, HistoryId};
use playout_store::{AlertFilter, HistoryEntry, Principal};

use super::ErrorHandler;
use crate::error::OpError;

impl ErrorHandler {
    /// The alerts that `who` may see, newest first: those raised before `before`, `limit` at most.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(
        &self,
        who: &Principal,
        filter: AlertFilter,
        before: Option<AlertId>,
        limit: usize,
    ) -> Result<Vec<Alert>, OpError> {
        let stored = self.inner.store.alerts(who, filter, before, limit);
        match self.inner.after_writing(stored).await {
            Err(OpError::Unavailable { .. }) => Ok(self.in_memory(who, filter, before, limit)),
            other => other,
        }
    }

    /// An alert.
    ///
    /// # Errors
    /// There is none that `who` may see.
    pub async fn get(&self, who: &Principal, id: AlertId) -> Result<Alert, OpError> {
        let stored = self.inner.store.alert(who, id);
        match self.inner.after_writing(stored).await {
            Err(OpError::Unavailable {
                message,
                retry_after,
            }) => {
                let known = self.in_memory(who, AlertFilter::default(), None, usize::MAX);
                let known = known.into_iter().find(|alert| alert.id == id);
                known.ok_or(OpError::Unavailable {
                    message,
                    retry_after,
                })
            }
            other => other.map_err(no_alert),
        }
    }

    /// Somebody knows of an alert: committed with its audit entry, then told. Again it changes nothing.
    ///
    /// # Errors
    /// There is none that `who` may see; it is closed.
    pub async fn acknowledge(&self, who: &Principal, id: AlertId) -> Result<Alert, OpError> {
        let acknowledging = self.inner.store.acknowledge_alert(who, id);
        let known = self.inner.after_writing(acknowledging).await;
        let alert = known.map_err(no_alert)?;
        if let Some(known) = &alert.acknowledged {
            let by = known.by.clone();
            self.inner
                .signal_at(Signal::Acknowledged { id, by }, known.at);
        }
        Ok(alert)
    }

    /// What was done about failures on a channel, newest first: what was before `before`, `limit` at most.
    /// Whether `channel` may be seen is asked before.
    ///
    /// # Errors
    /// The store fails.
    pub async fn history(
        &self,
        channel: ChannelId,
        before: Option<HistoryId>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, OpError> {
        let stored = self.inner.store.channel_history(channel, before, limit);
        self.inner.after_writing(stored).await
    }

    /// Entries, alerts and deliveries that were never written for want of room, since the daemon began.
    pub fn lost(&self) -> u64 {
        self.inner.desk().journal.lost()
    }

    fn in_memory(
        &self,
        who: &Principal,
        filter: AlertFilter,
        before: Option<AlertId>,
        limit: usize,
    ) -> Vec<Alert> {
        let desk = self.inner.desk();
        let mut known: Vec<Alert> = desk
            .open()
            .chain(desk.journal.alerts())
            .filter(|alert| who.sees(alert.client) && filter.takes(alert))
            .filter(|alert| before.is_none_or(|before| alert.id < before))
            .cloned()
            .collect();
        drop(desk);
        known.sort_by_key(|alert| std::cmp::Reverse(alert.id));
        known.dedup_by_key(|alert| alert.id);
        known.truncate(limit);
        known
    }
}

/// What the store does not find is an alert.
fn no_alert(error: OpError) -> OpError {
    match error {
        OpError::NotFound(_) => OpError::NotFound("alert"),
        other => other,
    }
}
