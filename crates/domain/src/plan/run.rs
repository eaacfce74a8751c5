//! One run of a plan: items that loop for ever from a first frame.

use super::PlanEntry;
use crate::ids::MediaId;
use crate::units::Frame;
use serde::{Deserialize, Serialize};

/// An item of a run and how long it is on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedItem {
    /// What is shown.
    pub media_id: MediaId,
    /// For how many frames: the prepared length, or what the probe promises until then. An item
    /// of no frames is passed over and keeps its place in the rotation.
    pub frames: u64,
}

/// Items that loop for ever from a first frame until the next run begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRun {
    /// The first frame of the run.
    pub starts: Frame,
    /// The item it begins with, from 0.
    #[serde(default)]
    pub first: usize,
    /// The loop, in the order of the rotation; empty: nothing is shown.
    pub items: Vec<PlannedItem>,
}

impl PlanRun {
    /// Frames of one round; none when nothing is shown.
    pub fn round(&self) -> u64 {
        self.items
            .iter()
            .fold(0, |sum, item| sum.saturating_add(item.frames))
    }

    /// What it shows at `frame`, as if no run followed.
    pub(super) fn entry_at(&self, frame: Frame) -> Option<PlanEntry> {
        let round = self.round();
        let into = frame.0.checked_sub(self.starts.0)?.checked_rem(round)?;
        let mut before = 0_u64;
        for step in 0..self.items.len() {
            let rotation_index = (self.first + step) % self.items.len();
            let item = self.items[rotation_index];
            if into - before < item.frames {
                let start = frame.before(into - before);
                let end = start + item.frames;
                let media_id = item.media_id;
                return Some(PlanEntry {
                    start,
                    end,
                    media_id,
                    in_frame: 0,
                    rotation_index,
                });
            }
            before += item.frames;
        }
        None
    }

    /// Whether `later` shows just what this run would show anyhow from there on.
    pub(super) fn continues_as(&self, later: &Self) -> bool {
        if self.items != later.items {
            return false;
        }
        match (self.entry_at(later.starts), later.entry_at(later.starts)) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => true,
            _ => false,
        }
    }
}
