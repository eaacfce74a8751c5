//! What is to be prepared next, and what has become of it.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::damage::Damage;
use playout_domain::ids::{MediaId, RenditionId};
use playout_domain::media::{MediaItem, Profile};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Prepared;
use super::catalogue::Catalogue;
use super::known::{Entry, Findings, Known, Work, patience};

/// Something to prepare, and of which edition.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) media: MediaId,
    pub(super) profile: Profile,
    pub(super) edition: u64,
}

impl Catalogue {
    /// Puts a rendition into the queue, unless it is there or further; answers whether it did.
    pub(super) fn want(&mut self, media: MediaId, profile: &Profile, urgent: bool) -> bool {
        let Some(known) = self.items.get_mut(&media) else {
            return false;
        };
        if !known.item.status.is_playable() {
            return false;
        }
        let key = profile.key();
        let failures = match known.renditions.get(&key) {
            None => 0,
            Some(Entry {
                work: Work::Waiting { urgent: false },
                ..
            }) if urgent => {
                self.later.retain(|waiting| *waiting != (media, *profile));
                0
            }
            Some(Entry {
                work: Work::Failed { at, .. },
                failures,
                ..
            }) if at.elapsed() >= patience(*failures) => *failures,
            Some(_) => return false,
        };
        let entry = Entry {
            profile: *profile,
            work: Work::Waiting { urgent },
            failures,
            job: None,
        };
        known.renditions.insert(key, entry);
        let queue = if urgent {
            &mut self.urgent
        } else {
            &mut self.later
        };
        queue.push_back((media, *profile));
        self.settle(media);
        true
    }

    /// The job of an order has found another file than the item was: that is what the item is from now on, and
    /// the job goes on with it. What else was made of the old one, or is being made, is made anew. Answers
    /// whether the order still counts.
    pub(super) fn exchanged(
        &mut self,
        order: &Order,
        item: &MediaItem,
        findings: &Findings,
    ) -> bool {
        if self.entry(order).is_none() {
            return false;
        }
        let Some(known) = self.items.get_mut(&order.media) else {
            return false;
        };
        known.item = item.clone();
        known.findings = Some(findings.clone());
        let own = order.profile.key();
        for (_, entry) in known.renditions.iter_mut().filter(|(key, _)| **key != own) {
            if matches!(entry.work, Work::Waiting { .. }) {
                continue;
            }
            if let Some(job) = entry.job.take() {
                job.abort();
            }
            entry.work = Work::Waiting { urgent: true };
            entry.failures = 0;
            self.urgent.push_back((order.media, entry.profile));
        }
        self.unsaved.insert(order.media);
        true
    }

    /// The next thing to prepare that fits into `spare` bytes beside what runs already; it counts as running from
    /// now on.
    pub(super) fn next(&mut self, spare: u64) -> Option<Order> {
        let promised: u64 = match spare {
            u64::MAX => 0,
            _ => self.items.values().map(Known::promised).sum(),
        };
        let spare = spare.saturating_sub(promised);
        let fits = |(media, profile): &(MediaId, Profile)| {
            let expected = self.items.get(media).map(|known| known.expected(profile));
            expected.is_none_or(|expected| expected <= spare)
        };
        let urgent = self.urgent.iter().position(fits);
        let later = self.later.iter().position(fits);
        let (media, profile) = match (urgent, later) {
            (Some(at), _) => self.urgent.remove(at)?,
            (None, Some(at)) => self.later.remove(at)?,
            (None, None) => return None,
        };
        let known = self.items.get_mut(&media);
        let order = known.and_then(|known| {
            let entry = known.renditions.get_mut(&profile.key())?;
            entry.work = Work::Running {
                percent: 0.0,
                eta: None,
            };
            Some(Order {
                media,
                profile,
                edition: known.edition,
            })
        });
        // What is gone meanwhile is passed over.
        order.or_else(|| self.next(spare.saturating_add(promised)))
    }

    /// Notes which job works on an order, so that it ends with the item.
    pub(super) fn working(&mut self, order: &Order, job: AbortHandle) {
        match self.entry(order) {
            Some(entry) => entry.job = Some(job),
            None => job.abort(),
        }
    }

    /// Whether an order is still wanted.
    pub(super) fn is_wanted(&mut self, order: &Order) -> bool {
        self.entry(order).is_some()
    }

    /// Notes how far an order is; answers whether it is still wanted.
    pub(super) fn progress(&mut self, order: &Order, percent: f64, eta: Option<Duration>) -> bool {
        let Some(entry) = self.entry(order) else {
            return false;
        };
        entry.work = Work::Running { percent, eta };
        true
    }

    /// Notes where the file of an order is damaged.
    pub(super) fn damaged(&mut self, order: &Order, damage: Option<Vec<Damage>>) {
        if let Some(damage) = damage
            && self.entry(order).is_some()
            && let Some(known) = self.items.get_mut(&order.media)
        {
            known.item.damage = damage;
        }
    }

    /// An order is done. Answers the item; nothing when it is not wanted any more: what was made
    /// of an item that is gone, or another by now.
    pub(super) fn done(
        &mut self,
        order: &Order,
        outcome: Result<(Prepared, RenditionId), String>,
    ) -> Option<MediaItem> {
        let entry = self.entry(order)?;
        entry.job = None;
        match outcome {
            Ok((prepared, id)) => {
                entry.failures = 0;
                entry.work = Work::Ready {
                    prepared,
                    id,
                    created_at: Timestamp::now(),
                    saved: false,
                };
            }
            Err(reason) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.work = Work::Failed {
                    reason,
                    at: Instant::now(),
                };
            }
        }
        let prepared = self.prepared(order.media, &order.profile);
        if let (Some(known), Some(prepared)) = (self.items.get_mut(&order.media), prepared) {
            known.measure(&order.profile, prepared.index.frames);
        }
        self.settle(order.media);
        self.unsaved.insert(order.media);
        self.item(order.media).cloned()
    }

    /// Work that was begun and will not be ended, because its queue has ended: it waits again.
    pub(super) fn requeue(&mut self) {
        for (media, known) in &mut self.items {
            for entry in known.renditions.values_mut() {
                if matches!(entry.work, Work::Running { .. }) {
                    entry.work = Work::Waiting { urgent: true };
                    entry.job = None;
                    self.urgent.push_front((*media, entry.profile));
                }
            }
        }
    }

    fn entry(&mut self, order: &Order) -> Option<&mut Entry> {
        let known = self
            .items
            .get_mut(&order.media)
            .filter(|known| known.edition == order.edition)?;
        let entry = known.renditions.get_mut(&order.profile.key())?;
        matches!(entry.work, Work::Running { .. }).then_some(entry)
    }
}
