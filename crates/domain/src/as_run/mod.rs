//! The as-run log: what really went out, from when until when and why, and what was planned and did not.
//!
//! [`Log`] is told of every frame that went out, in order, with what the plan had for it, and makes [`Row`]s of them. A row is
//! either *aired*, a stretch of frames that showed one thing for one reason, or *missing*, a part of a planned entry that
//! did not go out.
//!
//! Invariants (P-as-run): aired rows do not overlap, and cover exactly what went out; of every planned entry that is over, the
//! frames that were aired and those that are missing are together as many as were planned when it began.

mod entry;
mod log;
mod reason;

pub use entry::{Entry, PlannedEntry};
pub use log::{Log, Order, Seen, Shown};
pub use reason::{Kind, Reason};

use crate::ids::MediaId;
use crate::plan::{Origin, PlanEntry};
use crate::units::Frame;
use serde::{Deserialize, Serialize};

/// An entry of the plan as it stood when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Planned {
    /// The frame of the channel at which it was planned to begin.
    pub start: Frame,
    /// For how many frames.
    pub frames: u64,
    /// What it shows.
    pub media_id: MediaId,
    /// The frame of the item that it shows first.
    pub in_frame: u64,
    /// Why the plan has it.
    pub origin: Origin,
}

impl Planned {
    /// `entry` as it stands.
    pub fn of(entry: &PlanEntry) -> Self {
        Self {
            start: entry.start,
            frames: entry.frames(),
            media_id: entry.media_id,
            in_frame: entry.in_frame,
            origin: entry.origin,
        }
    }

    /// The first frame of the item that it does not show.
    const fn item_end(&self) -> u64 {
        self.in_frame + self.frames
    }

    /// Where the item's frame `item` was planned.
    fn place_of(&self, item: u64) -> Frame {
        self.start + item.saturating_sub(self.in_frame)
    }
}

/// One line of the log, in frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// Whether this did not go out.
    pub missing: bool,
    /// The first frame: on air, or, of what is missing, where it was planned.
    pub start: Frame,
    /// How many frames.
    pub frames: u64,
    /// What was shown; of what is missing, what it would have been.
    pub kind: Kind,
    /// The item that was shown; of what is missing, the one that was not.
    pub media_id: Option<MediaId>,
    /// The frame of the item that was, or would have been, shown first. Unknown of what stands in.
    pub item_frame: Option<u64>,
    /// How many of the frames were encoded while they were on air; the others were copied.
    pub encoded: u64,
    /// The entry of the plan that it belongs to.
    pub planned: Option<Planned>,
    /// Why it was shown, or why it was not.
    pub reason: Reason,
    /// More about that: the failure of a source, say.
    pub detail: Option<String>,
    /// Who asked for it, where somebody did and that is known.
    pub by: Option<String>,
    /// What ended it before the end of its item as planned.
    pub ended: Option<Reason>,
}

impl Row {
    /// The frame that follows it.
    pub fn end(&self) -> Frame {
        self.start + self.frames
    }
}
