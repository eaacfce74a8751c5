//! What is to be written to PostgreSQL: of alerts and deliveries the latest state of each, of the history
//! every entry. It waits here for as long as PostgreSQL is away, within bounds.

use std::collections::{BTreeMap, VecDeque};

use playout_domain::alert::delivery::{Delivery, DeliveryState};
use playout_domain::{Alert, AlertId, DeliveryId};
use playout_store::HistoryEntry;

/// Alerts, deliveries and entries that wait at most, of each.
const KEPT: usize = 10_000;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Journal {
    alerts: BTreeMap<AlertId, Alert>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    history: VecDeque<HistoryEntry>,
    /// What did not fit and was never written.
    lost: u64,
    kept: usize,
}

impl Default for Journal {
    fn default() -> Self {
        Self::of(KEPT)
    }
}

impl Journal {
    pub(super) fn of(kept: usize) -> Self {
        Self {
            alerts: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            history: VecDeque::new(),
            lost: 0,
            kept,
        }
    }

    /// An alert as it is now. The oldest that is over gives way, else the oldest.
    pub(super) fn alert(&mut self, alert: Alert) {
        self.alerts.insert(alert.id, alert);
        if self.alerts.len() > self.kept {
            let over = self.alerts.values().find(|alert| alert.closed_at.is_some());
            let gives_way = over.or_else(|| self.alerts.values().next());
            if let Some(id) = gives_way.map(|alert| alert.id) {
                self.alerts.remove(&id);
                self.lost += 1;
            }
        }
    }

    /// A delivery as it is now. The oldest that is done gives way, else the oldest.
    pub(super) fn delivery(&mut self, delivery: Delivery) {
        self.deliveries.insert(delivery.id, delivery);
        if self.deliveries.len() > self.kept {
            let mut all = self.deliveries.values();
            let done = all.find(|delivery| delivery.state != DeliveryState::Pending);
            let gives_way = done.or_else(|| self.deliveries.values().next());
            if let Some(id) = gives_way.map(|delivery| delivery.id) {
                self.deliveries.remove(&id);
                self.lost += 1;
            }
        }
    }

    /// One more entry of a history. The oldest gives way.
    pub(super) fn entry(&mut self, entry: HistoryEntry) {
        self.history.push_back(entry);
        if self.history.len() > self.kept {
            self.history.pop_front();
            self.lost += 1;
        }
    }

    /// The oldest alert that waits: older ones first, so that of one key the one before is closed in the
    /// database when the next is opened.
    pub(super) fn first_alert(&self) -> Option<Alert> {
        self.alerts.values().next().cloned()
    }

    /// Alerts that wait, oldest first.
    pub(super) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// This is done with. What has changed since waits on.
    pub(super) fn alert_done(&mut self, written: &Alert) {
        if self.alerts.get(&written.id) == Some(written) {
            self.alerts.remove(&written.id);
        }
    }

    pub(super) fn first_deliveries(&self, most: usize) -> Vec<Delivery> {
        self.deliveries.values().take(most).cloned().collect()
    }

    /// These are done with. What has changed since waits on.
    pub(super) fn deliveries_done(&mut self, written: &[Delivery]) {
        for delivery in written {
            if self.deliveries.get(&delivery.id) == Some(delivery) {
                self.deliveries.remove(&delivery.id);
            }
        }
    }

    pub(super) fn first_entries(&self, most: usize) -> Vec<HistoryEntry> {
        self.history.iter().take(most).cloned().collect()
    }

    /// These are done with.
    pub(super) fn entries_done(&mut self, written: &[HistoryEntry]) {
        // Some may have given way meanwhile. Ids are in order of age.
        if let Some(last) = written.last() {
            while self
                .history
                .front()
                .is_some_and(|entry| entry.id <= last.id)
            {
                self.history.pop_front();
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.deliveries.is_empty() && self.history.is_empty()
    }

    /// What was never written, because it did not fit.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}
