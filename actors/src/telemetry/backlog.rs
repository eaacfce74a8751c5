//! Heartbeats that no store has yet: bounded, the oldest is lost first, losses are counted.
//!
//! A batch whose fate is not known (its store went silent) stays, and is given again; what of it is pushed out
//! meanwhile is counted as lost, in doubt: it may turn up in a store later, and is then counted as lost no
//! more.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use playout_domain::ids::ChannelId;
use playout_store::Heartbeat;

/// Heartbeats in doubt that are remembered; more are lost for good.
const IN_DOUBT: usize = 50_000;

/// What tells one heartbeat from another.
pub(super) type BeatId = (ChannelId, Timestamp);

#[derive(Debug)]
pub(super) struct Backlog {
    beats: VecDeque<Heartbeat>,
    /// So many of the first in `beats` were given to a store that did not say that it has them.
    tried: usize,
    /// The number of the first one in `beats`, counted from the beginning.
    first: u64,
    /// The number of the first one of the batch handed out last.
    handed: u64,
    capacity: usize,
    lost: u64,
    in_doubt: BTreeSet<BeatId>,
    /// What was refused lately, and is counted: it may be met again in Redis.
    refused: BTreeSet<BeatId>,
}

impl Backlog {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            beats: VecDeque::new(),
            tried: 0,
            first: 0,
            handed: 0,
            capacity,
            lost: 0,
            in_doubt: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Takes one more.
    pub(super) fn push(&mut self, beat: Heartbeat) {
        self.beats.push_back(beat);
        while self.beats.len() > self.capacity {
            let Some(out) = self.beats.pop_front() else {
                return;
            };
            if self.tried > 0 {
                self.tried -= 1;
                self.doubt([&out]);
            }
            self.first += 1;
            if !self.refused.contains(&(out.channel, out.at)) {
                self.lost += 1;
            }
        }
    }

    /// The oldest ones, `most` at most. They stay until they are written.
    pub(super) fn first(&mut self, most: usize) -> Vec<Heartbeat> {
        self.handed = self.first;
        self.beats.iter().take(most).cloned().collect()
    }

    /// The batch handed out last is in a store. What was pushed out of the backlog meanwhile was
    /// counted as lost, and is not.
    pub(super) fn written(&mut self, batch: &[Heartbeat]) {
        let pushed_out = self.pushed_out(batch);
        self.lost -= pushed_out as u64;
        self.settle_doubt(&batch[..pushed_out]);
        self.remove(batch.len() - pushed_out);
    }

    /// The batch handed out last will never be written.
    pub(super) fn refused(&mut self, batch: &[Heartbeat]) {
        let pushed_out = self.pushed_out(batch);
        self.count_refused(
            batch[pushed_out..]
                .iter()
                .map(|beat| (beat.channel, beat.at)),
        );
        self.remove(batch.len() - pushed_out);
    }

    /// These will never be written: each is counted as lost, once.
    pub(super) fn count_refused(&mut self, ids: impl IntoIterator<Item = BeatId>) {
        for id in ids {
            // What is in doubt is counted already.
            let counted = self.in_doubt.remove(&id);
            if self.refused.insert(id) && !counted {
                self.lost += 1;
            }
        }
        while self.refused.len() > IN_DOUBT {
            self.refused.pop_first();
        }
    }

    /// No store has said that it has the batch handed out last.
    pub(super) fn failed(&mut self, batch: &[Heartbeat]) {
        let pushed_out = self.pushed_out(batch);
        self.doubt(&batch[..pushed_out]);
        self.tried = self.tried.max(batch.len() - pushed_out);
    }

    /// Notes that something that cannot even be read was lost.
    pub(super) fn lose(&mut self, count: u64) {
        self.lost += count;
    }

    /// How many were never written, as far as is known.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.beats.len()
    }

    /// What was counted as lost and may be in a store.
    pub(super) fn in_doubt(&self) -> Vec<BeatId> {
        self.in_doubt.iter().copied().collect()
    }

    /// These were in doubt and looked for, and so many are in a store.
    pub(super) fn found(&mut self, asked: &[BeatId], found: u64) {
        for id in asked {
            self.in_doubt.remove(id);
        }
        self.lost = self.lost.saturating_sub(found);
    }

    /// How many of a batch were pushed out since it was handed out.
    fn pushed_out(&self, batch: &[Heartbeat]) -> usize {
        let out = usize::try_from(self.first - self.handed).unwrap_or(usize::MAX);
        out.min(batch.len())
    }

    fn doubt<'a>(&mut self, beats: impl IntoIterator<Item = &'a Heartbeat>) {
        for beat in beats {
            if self.in_doubt.len() < IN_DOUBT {
                self.in_doubt.insert((beat.channel, beat.at));
            }
        }
    }

    fn settle_doubt(&mut self, written: &[Heartbeat]) {
        for beat in written {
            self.in_doubt.remove(&(beat.channel, beat.at));
        }
    }

    fn remove(&mut self, count: usize) {
        let count = count.min(self.beats.len());
        self.beats.drain(..count);
        self.tried = self.tried.saturating_sub(count);
        self.first += count as u64;
    }
}
