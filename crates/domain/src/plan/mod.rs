//! The plan: what frame N of a channel shows, for every N.
//!
//! It is settled up to a frame and expanded from a basis after that, as far as anybody asks, by the same rules each time. Whoever
//! asks at whatever time gets the same answer, so a source, a process or a daemon that comes back knows what is
//! on air.
//!
//! Invariants (P-plan): entries do not overlap, and leave no hole while there is something to show; what a change
//! finds on air stays on air to its end, or to the next slot; the same schedule gives the same entries.

mod apart;
mod basis;
mod calendar;
mod change;
mod expansion;
mod order;
mod stored;
mod walk;

pub use basis::{Basis, PlannedDay, PlannedItem, PlannedSlot, Sequence, Unit};
pub use calendar::Rule;
pub use change::MOST_WAITING;
pub use stored::InvalidPlan;

use crate::ids::{MediaId, SlotId};
use crate::units::Frame;
use expansion::Expansion;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use stored::StoredPlan;
use walk::{State, Walker};

/// Frames behind a change of which a plan still tells what they show: two minutes at least. What is
/// published may lie behind what is planned, and who comes back goes on from what is published.
pub const KEPT_FRAMES: u64 = 7_200;

/// Entries behind a change that are kept at most, however short they are.
const KEPT_ENTRIES: usize = 512;

/// Entries that a look at a plan walks over at most: what is asked for may lie far ahead, and items be short.
const MOST_WALKED: usize = 1_000_000;

/// Why something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The rotation has it, at this place, from 0.
    Rotation(usize),
    /// A slot has it.
    Slot(SlotId),
    /// A template of a day has it.
    Template,
    /// It pads up to a slot.
    Filler,
    /// Somebody asked for it.
    Play,
}

/// One item on air, from its first frame to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanEntry {
    /// The first frame that shows it.
    pub start: Frame,
    /// The first frame that no longer does.
    pub end: Frame,
    /// What is shown.
    pub media_id: MediaId,
    /// The frame of the item that is shown at `start`.
    pub in_frame: u64,
    /// Why.
    pub origin: Origin,
    /// So many frames more it would show, if nothing began by the clock.
    #[serde(default, skip_serializing_if = "basis::is_zero")]
    pub cut: u64,
}

impl PlanEntry {
    /// How many frames it shows.
    pub const fn frames(&self) -> u64 {
        self.end.since(self.start)
    }

    /// The frame of the item that output frame `frame` shows.
    pub const fn item_frame(&self, frame: Frame) -> u64 {
        self.in_frame + frame.since(self.start)
    }

    /// Its place in the rotation, from 0, where the rotation has it.
    pub const fn rotation_index(&self) -> Option<usize> {
        match self.origin {
            Origin::Rotation(index) => Some(index),
            _ => None,
        }
    }
}

/// What every frame of a channel shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "StoredPlan", into = "StoredPlan")]
pub struct Plan {
    /// What is settled, in order: what was on air lately, and what a change found on air.
    settled: Vec<PlanEntry>,
    /// What follows.
    tail: Option<Tail>,
    /// What follows, as far as it was asked for. Follows from the tail.
    ahead: Arc<Expansion>,
}

/// What the rest of a plan is expanded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    #[serde(with = "stored::shared")]
    basis: Arc<Basis>,
    state: State,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.settled == other.settled && self.tail == other.tail
    }
}

impl Eq for Plan {}

impl Plan {
    /// A plan that shows `items` in a loop from `starts` on.
    pub fn looping(starts: Frame, items: Vec<PlannedItem>) -> Self {
        Self::starting(starts, Basis::looping(items))
    }

    /// What is on air at `frame`.
    pub fn at(&self, frame: Frame) -> Option<PlanEntry> {
        self.after(frame).filter(|entry| entry.start <= frame)
    }

    /// What is on air at `frame`, or else comes next; nothing when nothing follows up to the [horizon](Self::horizon).
    pub fn after(&self, frame: Frame) -> Option<PlanEntry> {
        let n = self.settled.partition_point(|entry| entry.end <= frame);
        if let Some(entry) = self.settled.get(n) {
            return Some(*entry);
        }
        self.ahead.after(self.tail.as_ref()?, frame)
    }

    /// Every entry that shows a frame at or after `from` and begins before `until`, in order, each whole. Remembers
    /// nothing, so it may be asked for any time.
    pub fn entries_from(&self, from: Frame, until: Frame) -> Entries<'_> {
        let tail = self.tail.as_ref();
        Entries {
            settled: self.settled.iter(),
            ahead: tail.map(|tail| Walker::new(Arc::clone(&tail.basis), tail.state.clone())),
            from,
            until,
            left: MOST_WALKED,
        }
    }

    /// Every entry that shows a frame of `frames`, in order, each whole.
    pub fn entries(&self, frames: Range<Frame>) -> Vec<PlanEntry> {
        if frames.is_empty() {
            return Vec::new();
        }
        self.entries_from(frames.start, frames.end).collect()
    }

    /// How far ahead of `frame` is looked for what comes next.
    pub fn horizon(&self, frame: Frame) -> Frame {
        let tail = self.tail.as_ref();
        tail.map_or(frame, |tail| tail.basis.horizon(frame))
    }

    /// What is shown at `frame` and later whatever the schedule becomes: what is settled, and what somebody asked for; each
    /// with the frame that ends it, where that is known.
    pub fn kept(&self, frame: Frame) -> impl Iterator<Item = (MediaId, Option<Frame>)> {
        let settled = self.settled.iter().filter(move |entry| entry.end > frame);
        let settled = settled.copied().chain(self.at(frame));
        let settled = settled.map(|entry| (entry.media_id, Some(entry.end)));
        let inserts = self.tail.iter().flat_map(|tail| &tail.state.inserts);
        settled.chain(inserts.map(|insert| (insert.item.media_id, None)))
    }

    /// Whether `media` is on air at `frame` or waits to be, because somebody asked for it.
    pub fn holds(&self, media: MediaId, frame: Frame) -> bool {
        let waits = |state: &State| {
            let mut inserts = state.inserts.iter();
            inserts.any(|insert| insert.item.media_id == media)
        };
        let waited = self.tail.as_ref().is_some_and(|tail| waits(&tail.state));
        self.at(frame).is_some_and(|entry| entry.media_id == media)
            // It may have been on air since.
            || (waited && waits(&self.clone().settle(frame).1))
    }
}

/// Entries of a plan, in order.
pub struct Entries<'a> {
    settled: std::slice::Iter<'a, PlanEntry>,
    ahead: Option<Walker>,
    from: Frame,
    until: Frame,
    /// How many more are walked over.
    left: usize,
}

impl Entries<'_> {
    /// The same, walking over so many entries at most, those before the first that is wanted among them.
    pub const fn at_most(mut self, most: usize) -> Self {
        if most < self.left {
            self.left = most;
        }
        self
    }

    /// Whether it ended because the walk was too long, not because nothing follows.
    pub const fn is_cut_short(&self) -> bool {
        self.left == 0
    }
}

impl Iterator for Entries<'_> {
    type Item = PlanEntry;

    fn next(&mut self) -> Option<PlanEntry> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let settled = self.settled.next().copied();
            let entry = settled.or_else(|| self.ahead.as_mut()?.next(self.until))?;
            if entry.end > self.from {
                return (entry.start < self.until).then_some(entry);
            }
        }
    }
}
