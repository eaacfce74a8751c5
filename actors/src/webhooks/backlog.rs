//! What has happened and is not written yet: bounded, in order. What comes every few seconds gives way first, and then
//! the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::event::FREQUENT;

use crate::hub::Published;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Backlog {
    /// By their place in the order.
    events: BTreeMap<u64, Arc<Published>>,
    /// The places of those that are frequent.
    frequent: BTreeSet<u64>,
    next: u64,
    kept: usize,
    lost: Lost,
    /// What was lost since the daemon began.
    lost_ever: u64,
}

/// What was lost, and those who may want it have not been told yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Of any kind that is not frequent.
    pub(super) usual: u64,
    /// Of the frequent kinds.
    pub(super) frequent: u64,
    /// When the first of them happened.
    pub(super) since: Option<Timestamp>,
}

/// What is written at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) lost: Lost,
    pub(super) events: Vec<(u64, Arc<Published>)>,
}

impl Lost {
    pub(super) const fn is_nothing(&self) -> bool {
        self.usual + self.frequent == 0
    }
}

impl Batch {
    pub(super) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.lost.is_nothing()
    }
}

impl Backlog {
    pub(super) fn of(kept: usize) -> Self {
        Self {
            events: BTreeMap::new(),
            frequent: BTreeSet::new(),
            next: 0,
            kept: kept.max(1),
            lost: Lost::default(),
            lost_ever: 0,
        }
    }

    /// Takes an event; another gives way where there are too many.
    pub(super) fn push(&mut self, event: Arc<Published>) {
        let place = self.next;
        self.next += 1;
        if FREQUENT.contains(&event.kind) {
            self.frequent.insert(place);
        }
        self.events.insert(place, event);
        if self.events.len() > self.kept {
            self.drop_one();
        }
    }

    fn drop_one(&mut self) {
        let frequent = self.frequent.pop_first();
        let place = frequent.or_else(|| self.events.keys().next().copied());
        let Some(event) = place.and_then(|place| self.events.remove(&place)) else {
            return;
        };
        match frequent {
            Some(_) => self.lost.frequent += 1,
            None => self.lost.usual += 1,
        }
        let since = self.lost.since.get_or_insert(event.at);
        *since = event.at.min(*since);
        self.lost_ever += 1;
    }

    /// The hub has forgotten what came before `now`: how much, nobody knows.
    pub(super) fn missed(&mut self, now: Timestamp) {
        self.lost.usual += 1;
        self.lost.since.get_or_insert(now);
        self.lost_ever += 1;
    }

    /// What is to be written first, `most` events at most.
    pub(super) fn first(&self, most: usize) -> Batch {
        let events = self.events.iter().take(most);
        Batch {
            lost: self.lost,
            events: events
                .map(|(place, event)| (*place, Arc::clone(event)))
                .collect(),
        }
    }

    /// These are done with. What was lost since waits on.
    pub(super) fn done(&mut self, batch: &Batch) {
        for (place, _) in &batch.events {
            self.events.remove(place);
            self.frequent.remove(place);
        }
        self.lost.usual = self.lost.usual.saturating_sub(batch.lost.usual);
        self.lost.frequent = self.lost.frequent.saturating_sub(batch.lost.frequent);
        if self.lost.is_nothing() {
            self.lost.since = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.lost.is_nothing()
    }

    /// What was lost since the daemon began.
    pub(super) const fn lost_ever(&self) -> u64 {
        self.lost_ever
    }
}
