//! What a plan is expanded from: a schedule with the lengths of its items in frames. Stored with the plan, so
//! that whoever reads it expands the same.

use crate::ids::{MediaId, SlotId};
use crate::units::{Frame, Timeline};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

use super::calendar::Rule;

/// An item and how long it is on air.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedItem {
    /// What is shown.
    pub media_id: MediaId,
    /// The frame of the item that is shown first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_frame: u64,
    /// For how many frames: the prepared length, or what the probe promises until then. An item
    /// of no frames is passed over and keeps its place.
    pub frames: u64,
    /// The series that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
}

impl PlannedItem {
    /// The whole of an item of so many frames.
    pub const fn whole(media_id: MediaId, frames: u64) -> Self {
        Self {
            media_id,
            in_frame: 0,
            frames,
            series: None,
        }
    }

    /// Whether `other` shows the same from the same frame on, however long.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.media_id == other.media_id && self.in_frame == other.in_frame
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this form"
)]
pub(super) fn is_zero(frames: &u64) -> bool {
    *frames == 0
}

/// One entry of a rotation: an item, or the items of a block, which are played as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unit {
    /// In their order.
    pub items: Vec<PlannedItem>,
    /// How often it comes in one round of a weighted rotation.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub weight: u32,
}

const fn once() -> u32 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this form"
)]
fn is_once(weight: &u32) -> bool {
    *weight == 1
}

impl Unit {
    /// One item, once a round.
    pub fn of(item: PlannedItem) -> Self {
        Self {
            items: vec![item],
            weight: 1,
        }
    }

    /// For how many frames it is on air.
    pub fn frames(&self) -> u64 {
        let each = self.items.iter().map(|item| item.frames);
        each.fold(0, u64::saturating_add)
    }

    /// Whether both are the same entry of a rotation, however long their items are.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.weight == other.weight && are_alike(&self.items, &other.items)
    }
}

pub(super) fn are_alike(one: &[PlannedItem], other: &[PlannedItem]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

/// In which order the units of a rotation come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sequence {
    /// As they stand.
    #[default]
    Ordered,
    /// Every round in another order, by this seed.
    Shuffled(u64),
    /// As often as they weigh.
    Weighted,
}

/// What begins by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedSlot {
    /// The slot of the schedule; nothing: one of a template.
    pub id: Option<SlotId>,
    /// When.
    pub rule: Rule,
    /// What it plays.
    pub items: Vec<PlannedItem>,
    /// How long it is; nothing: as long as its items.
    pub frames: Option<u64>,
}

/// The slots of one kind of day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedDay {
    /// Whose clocks count.
    pub zone: crate::schedule::Zone,
    /// Days of the week.
    pub days: crate::schedule::Weekdays,
    /// Dates; they go before days of the week.
    pub dates: Vec<Date>,
    /// When each of its slots begins, and which of the basis' slots it is.
    pub slots: Vec<(Time, u32)>,
}

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Basis {
    /// Where frames lie in wall time; nothing: there are no slots.
    #[serde(default)]
    pub timeline: Option<Timeline>,
    /// What plays where no slot is.
    pub units: Vec<Unit>,
    /// In which order.
    #[serde(default)]
    pub sequence: Sequence,
    /// Frames from the end of an item until the same one begins again.
    #[serde(default)]
    pub apart: u64,
    /// Frames from the end of an item until one of the same series begins.
    #[serde(default)]
    pub series_apart: u64,
    /// What pads up to a slot.
    #[serde(default)]
    pub fillers: Vec<PlannedItem>,
    /// What begins by the clock.
    #[serde(default)]
    pub slots: Vec<PlannedSlot>,
    /// Kinds of days.
    #[serde(default)]
    pub days: Vec<PlannedDay>,
}

impl Basis {
    /// Whether anything follows from it.
    pub(super) fn shows_anything(&self) -> bool {
        !(self.units.is_empty() && self.slots.is_empty())
    }

    /// Items that are played in a loop.
    pub fn looping(items: Vec<PlannedItem>) -> Self {
        Self {
            units: items.into_iter().map(Unit::of).collect(),
            ..Self::default()
        }
    }

    /// Frames of a group of pictures: where an item can be cut without being encoded.
    pub(super) fn gop(&self) -> u64 {
        self.timeline
            .map_or(1, |timeline| timeline.frame_rate.gop_frames())
    }

    /// How far ahead of `frame` is looked for what comes next: 31 days, where there are slots.
    pub(super) fn horizon(&self, frame: Frame) -> Frame {
        match self.timeline {
            // A GOP is two seconds.
            Some(timeline) => frame + 31 * 43_200 * timeline.frame_rate.gop_frames(),
            None => Frame(u64::MAX),
        }
    }

    /// The first frame that is due at `at` or later.
    pub(super) fn frame_from(&self, at: Timestamp) -> Frame {
        let first = |timeline: Timeline| timeline.first_frame_from(at);
        self.timeline.map_or(Frame::default(), first)
    }

    /// Whether both have the same rotation, however long its items are.
    pub(super) fn rotates_like(&self, other: &Self) -> bool {
        let (units, others) = (&self.units, &other.units);
        self.sequence == other.sequence
            && units.len() == others.len()
            && units
                .iter()
                .zip(others)
                .all(|(one, other)| one.is_like(other))
    }
}
