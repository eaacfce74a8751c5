//! The plan: what frame N of a channel shows, for every N, as a pure function of persisted runs.
//!
//! A run is a list of items that loops for ever from its first frame until the next run begins.
//! Whoever asks at whatever time gets the same answer, so a source, a process or a daemon that
//! comes back knows what is on air.
//!
//! Invariants (P-plan): entries neither overlap nor leave a hole within a run that has something to
//! show; what a change finds on air stays on air to its end; the same runs give the same entries.

mod rotation;
mod run;

pub use rotation::{MAX_ROTATION_ITEMS, Rotation, RotationItem};
pub use run::{PlanRun, PlannedItem};

use crate::ids::MediaId;
use crate::units::Frame;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Frames behind a change of which a plan still tells what they show: two minutes at least. What is
/// published may lie behind what is planned, and who comes back goes on from what is published.
pub const KEPT_FRAMES: u64 = 7_200;

/// Runs behind a change that are kept at most, however often it is changed.
const KEPT_RUNS: usize = 16;

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
    /// Its place in the rotation, from 0.
    pub rotation_index: usize,
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
}

/// Runs that do not make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Runs must begin one after another.
    #[error("run {index} of the plan begins at frame {starts}, not after the run before it")]
    OutOfOrder {
        /// The run, from 0.
        index: usize,
        /// Where it begins.
        starts: Frame,
    },
    /// The item with which a run begins must be one of its own.
    #[error("run {index} of the plan begins with item {first}, but has {items}")]
    NoSuchItem {
        /// The run, from 0.
        index: usize,
        /// The item it names.
        first: usize,
        /// How many items it has.
        items: usize,
    },
}

/// What every frame of a channel shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPlan", into = "StoredPlan")]
pub struct Plan {
    /// In the order in which they begin, no two at one frame.
    runs: Vec<PlanRun>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPlan {
    runs: Vec<PlanRun>,
}

impl Plan {
    /// A plan of `runs`.
    ///
    /// # Errors
    /// [`InvalidPlan`] when they do not begin one after another, or one names an item it has not.
    pub fn from_runs(runs: Vec<PlanRun>) -> Result<Self, InvalidPlan> {
        for (index, run) in runs.iter().enumerate() {
            if index > 0 && run.starts <= runs[index - 1].starts {
                return Err(InvalidPlan::OutOfOrder {
                    index,
                    starts: run.starts,
                });
            }
            if run.first >= run.items.len().max(1) {
                let (first, items) = (run.first, run.items.len());
                return Err(InvalidPlan::NoSuchItem {
                    index,
                    first,
                    items,
                });
            }
        }
        Ok(Self { runs })
    }

    /// A plan that shows `items` in a loop from `starts` on.
    pub fn starting(starts: Frame, items: Vec<PlannedItem>) -> Self {
        Self {
            runs: vec![PlanRun {
                starts,
                first: 0,
                items,
            }],
        }
    }

    /// The runs, in the order in which they begin: what is persisted.
    pub fn runs(&self) -> &[PlanRun] {
        &self.runs
    }

    /// What is on air at `frame`; nothing before the first run and in a run with nothing to show.
    pub fn at(&self, frame: Frame) -> Option<PlanEntry> {
        let index = self.run_at(frame)?;
        let mut entry = self.runs[index].entry_at(frame)?;
        if let Some(next) = self.runs.get(index + 1) {
            entry.end = entry.end.min(next.starts);
        }
        Some(entry)
    }

    /// Every entry that shows a frame at or after `from`, in order, whole and for ever; frames
    /// without one are passed over.
    pub fn entries_from(&self, from: Frame) -> impl Iterator<Item = PlanEntry> + '_ {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            loop {
                let frame = next?;
                if let Some(entry) = self.at(frame) {
                    // The end of time ends the plan, too.
                    next = (entry.end > frame).then_some(entry.end);
                    return Some(entry);
                }
                let run = self.runs.partition_point(|run| run.starts <= frame);
                next = self.runs.get(run).map(|run| run.starts);
            }
        })
    }

    /// Every entry that shows a frame of `frames`, in order, each whole.
    pub fn entries(&self, frames: Range<Frame>) -> Vec<PlanEntry> {
        self.entries_from(frames.start)
            .take_while(|entry| entry.start.max(frames.start) < frames.end)
            .collect()
    }

    /// Shows `items` from the end of the entry that is on air at `airing` (from `airing` itself
    /// when nothing is), and forgets the runs that were over [`KEPT_FRAMES`] before.
    ///
    /// The loop goes on after the item on air where `items` still has it, and begins anew where not.
    /// Nothing changes when that is what the plan says already: the answer is then `false`.
    pub fn replace_from(&mut self, airing: Frame, items: Vec<PlannedItem>) -> bool {
        let on_air = self.at(airing);
        let starts = on_air.map_or(airing, |entry| entry.end);
        let first = on_air.map_or(0, |entry| next_item(&items, &entry));
        self.cut(
            airing,
            PlanRun {
                starts,
                first,
                items,
            },
        )
    }

    /// Ends the entry on air at `at` there, and goes on with the next one of its run; answers
    /// `false` and changes nothing when nothing is on air.
    pub fn skip(&mut self, at: Frame) -> bool {
        let (Some(index), Some(on_air)) = (self.run_at(at), self.at(at)) else {
            return false;
        };
        let items = self.runs[index].items.clone();
        let first = (on_air.rotation_index + 1) % items.len();
        self.cut(
            at,
            PlanRun {
                starts: at,
                first,
                items,
            },
        )
    }

    /// Puts `run` in the place of everything that begins with it or later.
    fn cut(&mut self, airing: Frame, run: PlanRun) -> bool {
        let before = self.runs.clone();
        self.runs.retain(|old| old.starts < run.starts);
        if self.runs.last().is_none_or(|old| !old.continues_as(&run)) {
            self.runs.push(run);
        }
        let begun = |by: Frame| self.runs.partition_point(|run| run.starts <= by);
        let long_over = begun(airing.before(KEPT_FRAMES)).saturating_sub(1);
        let too_many = begun(airing).saturating_sub(KEPT_RUNS);
        self.runs.drain(..long_over.max(too_many));
        self.runs != before
    }

    /// The run that decides about `frame`.
    fn run_at(&self, frame: Frame) -> Option<usize> {
        self.runs
            .partition_point(|run| run.starts <= frame)
            .checked_sub(1)
    }
}

/// Where in `items` the loop goes on after `on_air`: after the same item at the same place, else
/// after its first occurrence, else at the beginning.
fn next_item(items: &[PlannedItem], on_air: &PlanEntry) -> usize {
    let same = |item: &PlannedItem| item.media_id == on_air.media_id;
    let place = match items.get(on_air.rotation_index) {
        Some(item) if same(item) => Some(on_air.rotation_index),
        _ => items.iter().position(same),
    };
    place.map_or(0, |place| (place + 1) % items.len())
}

impl TryFrom<StoredPlan> for Plan {
    type Error = InvalidPlan;

    fn try_from(stored: StoredPlan) -> Result<Self, InvalidPlan> {
        Self::from_runs(stored.runs)
    }
}

impl From<Plan> for StoredPlan {
    fn from(plan: Plan) -> Self {
        Self { runs: plan.runs }
    }
}
