//! What is to be prepared next, and what has become of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::damage::Damage;
use playout_domain::ids::{ChannelId, MediaId, RenditionId};
use playout_domain::media::{MediaItem, Profile};
use playout_domain::prepare::{Claim, JobId, Need};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Prepared;
use super::catalogue::Catalogue;
use super::known::{Entry, Findings, Pace, Work, patience};

/// Something to prepare, and of which edition.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) media: MediaId,
    pub(super) profile: Profile,
    pub(super) edition: u64,
    pub(super) fate: Fate,
}

impl Order {
    pub(super) fn job(&self) -> JobId {
        JobId::new(self.media, self.profile.key())
    }
}

/// Whether what an order makes is still to appear: a job that was ended may be about to put its file in place.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<Mutex<bool>>);

impl Fate {
    /// Nothing appears from now on. Waits for what is appearing.
    pub(super) fn call_off(&self) {
        *self.lock() = true;
    }

    /// Nothing is called off while this is held; nothing when it is already.
    pub(super) fn hold(&self) -> Option<MutexGuard<'_, bool>> {
        Some(self.lock()).filter(|off| !**off)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalogue {
    pub(super) fn entry_of(&self, job: &JobId) -> Option<&Entry> {
        self.items.get(&job.media)?.renditions.get(&*job.profile)
    }

    pub(super) fn entry_of_mut(&mut self, job: &JobId) -> Option<&mut Entry> {
        let known = self.items.get_mut(&job.media)?;
        known.renditions.get_mut(&*job.profile)
    }

    /// Has an item prepared into a profile, unless it is in the queue or further; answers whether something is to be
    /// done now. What has failed is tried again after a while, what is paused or cancelled is not.
    pub(super) fn want(&mut self, media: MediaId, profile: &Profile) -> bool {
        let Some(known) = self.items.get_mut(&media) else {
            return false;
        };
        if !known.item.status.is_playable() {
            return false;
        }
        let key = profile.key();
        match known.renditions.get_mut(&key) {
            None => {
                let entry = Entry::new(*profile, Work::Waiting);
                known.renditions.insert(key.clone(), entry);
            }
            Some(entry) => match entry.work {
                Work::Failed { at, .. }
                    if at.is_none_or(|at| at.elapsed() >= patience(entry.failures)) =>
                {
                    entry.work = Work::Waiting;
                }
                _ => return false,
            },
        }
        self.line_up(&JobId::new(media, key));
        self.settle(media);
        true
    }

    /// Has an item prepared into everything that channels and the default need it in.
    pub(super) fn want_needed(&mut self, media: MediaId) {
        let profiles = self.demands.profiles_of(media).copied();
        let profiles: Vec<Profile> = profiles.chain(self.default_profile).collect();
        for profile in profiles {
            self.want(media, &profile);
        }
    }

    /// A channel needs these items in a profile, and nothing else: what is missing of it is prepared, what nobody needs
    /// any more is not. Answers whether that changes anything.
    pub(super) fn need(
        &mut self,
        channel: ChannelId,
        profile: &Profile,
        needs: &BTreeMap<MediaId, Need>,
    ) -> bool {
        let changed = self.demands.set(channel, profile, needs);
        let mut any = !changed.is_empty();
        for media in needs.keys() {
            any |= self.want(*media, profile);
        }
        for job in changed {
            if !self.let_go(&job) {
                self.line_up(&job);
            }
        }
        any
    }

    pub(super) fn is_needed(&self, job: &JobId) -> bool {
        let default = self.default_profile.as_ref();
        self.demands.is_needed(job) || default.is_some_and(|profile| *profile.key() == *job.profile)
    }

    /// Drops a job that nobody needs and nobody spoke of; answers whether it did.
    fn let_go(&mut self, job: &JobId) -> bool {
        let lets_go = |entry: &Entry| {
            matches!(entry.work, Work::Waiting | Work::Running(_)) && entry.hand.is_none()
        };
        if self.is_needed(job) || !self.entry_of(job).is_some_and(lets_go) {
            return false;
        }
        self.end(job);
        self.lineup.remove(job);
        if let Some(known) = self.items.get_mut(&job.media) {
            known.renditions.remove(&*job.profile);
        }
        self.settle(job.media);
        true
    }

    /// Gives a job the turn that it should have, if it waits for one.
    pub(super) fn line_up(&mut self, job: &JobId) {
        let waiting = self
            .entry_of(job)
            .filter(|entry| matches!(entry.work, Work::Waiting));
        let Some(hand) = waiting.map(|entry| entry.hand) else {
            self.lineup.remove(job);
            return;
        };
        let need = self.demands.soonest(job).map(|soonest| soonest.need);
        let claim = Claim {
            due: need.and_then(|need| need.due),
            named: need.map(|need| need.place),
            hand,
        };
        self.lineup.put(job.clone(), &claim);
    }

    /// Ends what works on a job. It is not begun again before nothing is left of that.
    pub(super) fn end(&mut self, job: &JobId) {
        if self.running.remove(job) {
            self.leaving.insert(job.clone());
        }
        let handle = self.entry_of_mut(job).and_then(|entry| entry.job.take());
        if let Some(handle) = handle {
            handle.abort();
        }
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
        let own = order.job();
        let others = known.renditions.iter().filter(|(key, entry)| {
            let stays = matches!(entry.work, Work::Waiting | Work::Paused | Work::Cancelled);
            **key != *own.profile && !stays
        });
        let others: Vec<JobId> = others
            .map(|(key, _)| JobId::new(own.media, key.as_str()))
            .collect();
        for job in others {
            self.end(&job);
            if let Some(entry) = self.entry_of_mut(&job) {
                entry.work = Work::Waiting;
                entry.failures = 0;
            }
            self.line_up(&job);
        }
        self.unsaved.insert(order.media);
        true
    }

    /// The next thing to prepare that fits into `spare` bytes beside what runs already; it counts as running from
    /// now on.
    pub(super) fn next(&mut self, spare: u64) -> Option<Order> {
        let expected = |job: &JobId| {
            let known = self.items.get(&job.media)?;
            Some((known, known.renditions.get(&*job.profile)?))
        };
        let promised = self.running.iter().filter_map(expected);
        let promised: u64 = promised.map(|(known, entry)| known.promised(entry)).sum();
        let spare = spare.saturating_sub(promised);
        let fits = |job: &JobId| {
            let its = expected(job);
            let fits = its.is_some_and(|(known, entry)| known.expected(&entry.profile) <= spare);
            fits && !self.leaving.contains(job)
        };
        let job = self.lineup.first(fits)?.clone();
        self.lineup.remove(&job);
        let known = self.items.get_mut(&job.media)?;
        let entry = known.renditions.get_mut(&*job.profile)?;
        entry.work = Work::Running(Pace::default());
        let order = Order {
            media: job.media,
            profile: *entry.profile,
            edition: known.edition,
            fate: Fate::default(),
        };
        self.running.insert(job);
        Some(order)
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
    pub(super) fn progress(&mut self, order: &Order, pace: Pace) -> bool {
        let Some(entry) = self.entry(order) else {
            return false;
        };
        entry.work = Work::Running(pace);
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
        // What was said about its turn is done with.
        entry.hand = None;
        match outcome {
            Ok((prepared, id)) => {
                entry.failures = 0;
                entry.work = Work::Ready {
                    prepared,
                    id,
                    created_at: Timestamp::now(),
                    unneeded_since: None,
                    saved: false,
                };
            }
            Err(reason) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.work = Work::Failed {
                    reason,
                    at: Some(Instant::now()),
                };
            }
        }
        self.running.remove(&order.job());
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
        self.leaving.clear();
        for job in std::mem::take(&mut self.running) {
            if let Some(entry) = self.entry_of_mut(&job) {
                entry.work = Work::Waiting;
                entry.job = None;
            }
            self.line_up(&job);
        }
    }

    fn entry(&mut self, order: &Order) -> Option<&mut Entry> {
        let known = self
            .items
            .get_mut(&order.media)
            .filter(|known| known.edition == order.edition)?;
        let entry = known.renditions.get_mut(&order.profile.key())?;
        matches!(entry.work, Work::Running(_)).then_some(entry)
    }
}
