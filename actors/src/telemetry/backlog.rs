//! Heartbeats that are not written yet: bounded, the oldest is lost first, losses are counted.

use std::collections::VecDeque;

use playout_store::Heartbeat;

#[derive(Debug)]
pub(super) struct Backlog {
    beats: VecDeque<Heartbeat>,
    /// The number of the first one in `beats`, counted from the beginning.
    first: u64,
    /// The number of the first one of the batch handed out last.
    handed: u64,
    capacity: usize,
    lost: u64,
}

impl Backlog {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            beats: VecDeque::new(),
            first: 0,
            handed: 0,
            capacity,
            lost: 0,
        }
    }

    /// Takes one more; answers how many wait.
    pub(super) fn push(&mut self, beat: Heartbeat) -> usize {
        self.beats.push_back(beat);
        while self.beats.len() > self.capacity {
            self.beats.pop_front();
            self.first += 1;
            self.lost += 1;
        }
        self.beats.len()
    }

    /// The oldest ones, `most` at most. They stay until they are written.
    pub(super) fn first(&mut self, most: usize) -> Vec<Heartbeat> {
        self.handed = self.first;
        self.beats.iter().take(most).cloned().collect()
    }

    /// The batch handed out last is written. What was pushed out of the backlog meanwhile was
    /// counted as lost, and is not.
    pub(super) fn written(&mut self, batch: &[Heartbeat]) {
        let pushed_out = (self.first - self.handed).min(batch.len() as u64);
        self.lost -= pushed_out;
        self.remove(batch.len() as u64 - pushed_out);
    }

    /// The batch handed out last will never be written.
    pub(super) fn refused(&mut self, batch: &[Heartbeat]) {
        let pushed_out = (self.first - self.handed).min(batch.len() as u64);
        let left = batch.len() as u64 - pushed_out;
        self.lost += left;
        self.remove(left);
    }

    /// How many were never written.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn remove(&mut self, count: u64) {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.beats.len());
        self.beats.drain(..count);
        self.first += count as u64;
    }
}
