//! Walks a basis forward, entry by entry: what comes after what, and where it is cut.
//!
//! A slot begins at its time, or up to half a GOP before or after it, at the boundary of a GOP of the item before
//! it: so nothing has to be encoded, and nothing stands in. What it cuts does not come back. What was asked for by hand goes before
//! the slot's items and the rotation. The end of the slot that it interrupted does not cut it; the next slot ends it, too, and what has
//! not begun by then waits until that slot is over.

use super::basis::{Basis, PlannedItem};
use super::calendar::{self, Occurrence};
use super::order::{Place, Rounds};
use super::{Origin, PlanEntry};
use crate::units::Frame;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a walk is. Small, and all that is needed to go on from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct State {
    /// The first frame that is not planned yet.
    pub(super) at: Frame,
    /// Slots that begin before this are past.
    pub(super) from: Timestamp,
    /// Where the rotation goes on.
    #[serde(default)]
    pub(super) place: Place,
    /// The unit of the rotation that was begun last.
    #[serde(default)]
    pub(super) last: Option<usize>,
    /// The unit that is being played, and its next item.
    #[serde(default)]
    pub(super) unit: Option<(usize, usize)>,
    /// The slot that is being played.
    #[serde(default)]
    pub(super) slot: Option<InSlot>,
    /// What goes before everything else.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) inserts: VecDeque<Insert>,
    /// The filler that is next.
    #[serde(default)]
    pub(super) filler: usize,
    /// Whether a unit was begun since the last slot.
    #[serde(default)]
    pub(super) begun: bool,
}

/// Where in a slot a walk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InSlot {
    /// The slot of the basis.
    pub(super) slot: usize,
    /// Its next item.
    pub(super) next: usize,
    /// Where it began.
    pub(super) begins: Frame,
}

impl InSlot {
    /// Where it ends; nothing: with its last item.
    pub(super) fn until(&self, basis: &Basis) -> Option<Frame> {
        let frames = basis.slots[self.slot].frames?;
        Some(self.begins + frames)
    }
}

/// Something that goes before everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Insert {
    pub(super) item: PlannedItem,
    pub(super) origin: Origin,
    #[serde(default)]
    pub(super) turn: Turn,
}

/// When an insert has its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Turn {
    /// It is next.
    #[default]
    Next,
    /// It waited when a slot began, and is next when no slot is on air.
    AfterSlot,
    /// It was on air, and goes on; the next slot ends it.
    Interrupted,
}

impl Insert {
    /// What somebody asked for.
    pub(super) const fn asked(item: PlannedItem) -> Self {
        Self {
            item,
            origin: Origin::Play,
            turn: Turn::Next,
        }
    }
}

impl State {
    /// The beginning, at `at`.
    pub(super) fn starting(at: Frame, basis: &Basis) -> Self {
        let from = basis.timeline.map(|timeline| timeline.wall(at));
        Self {
            at,
            from: from.unwrap_or(Timestamp::UNIX_EPOCH),
            place: Place::default(),
            last: None,
            unit: None,
            slot: None,
            inserts: VecDeque::new(),
            filler: 0,
            begun: false,
        }
    }
}

/// See the module's head.
#[derive(Debug, Clone)]
pub(super) struct Walker {
    pub(super) basis: Arc<Basis>,
    pub(super) state: State,
    rounds: Rounds,
    /// Slots that begin next.
    coming: VecDeque<Occurrence>,
    /// No slot begins any more.
    no_more: bool,
}

impl Walker {
    pub(super) fn new(basis: Arc<Basis>, state: State) -> Self {
        Self {
            basis,
            state,
            rounds: Rounds::default(),
            coming: VecDeque::new(),
            no_more: false,
        }
    }

    /// The next entry; frames without one are passed over. Nothing when none follows, or none that begins by
    /// `limit`: the walk is then where it was.
    pub(super) fn next(&mut self, limit: Frame) -> Option<PlanEntry> {
        loop {
            let coming = self.coming();
            if let Some((occurrence, begins)) = coming
                && self.is_near(begins)
            {
                self.begin(occurrence, begins);
                continue;
            }
            if self.until().is_some_and(|until| self.is_near(until)) {
                self.leave_slot();
                continue;
            }
            let slot_begins = coming.map(|(_, begins)| begins);
            let Some((item, origin)) = self.choose(slot_begins) else {
                // Nothing to show before the next slot.
                let begins = slot_begins.filter(|begins| *begins <= limit)?;
                self.state.at = begins;
                continue;
            };
            // The slot may have been left meanwhile.
            let until = self.until().filter(|_| ends_with_its_slot(origin));
            let bound = [slot_begins, until].into_iter().flatten().min();
            let at = self.state.at;
            let frames = bound.map_or(item.frames, |bound| {
                cut(&item, bound.since(at), self.basis.gop())
            });
            let end = at.0.checked_add(frames).map(Frame)?;
            self.state.at = end;
            let place = &mut self.state.place;
            self.rounds.shown(&self.basis, place, &item, end);
            return Some(PlanEntry {
                start: at,
                end,
                media_id: item.media_id,
                in_frame: item.in_frame,
                origin,
                cut: item.frames - frames,
            });
        }
    }

    /// Where the slot that is being played ends, by the clock.
    fn until(&self) -> Option<Frame> {
        let slot = self.state.slot.as_ref()?;
        slot.until(&self.basis)
    }

    /// The slot that begins next, and its frame.
    pub(super) fn coming(&mut self) -> Option<(Occurrence, Frame)> {
        if self.coming.is_empty() && !self.no_more {
            self.coming = calendar::upcoming(&self.basis, self.state.from).into();
            self.no_more = self.coming.is_empty();
        }
        let occurrence = *self.coming.front()?;
        Some((occurrence, self.basis.frame_from(occurrence.at)))
    }

    /// Whether `frame` is here, as exactly as without encoding.
    fn is_near(&self, frame: Frame) -> bool {
        2 * frame.since(self.state.at) <= self.basis.gop()
    }

    fn begin(&mut self, occurrence: Occurrence, begins: Frame) {
        self.coming.pop_front();
        let state = &mut self.state;
        let after = occurrence.at.saturating_add(SignedDuration::from_nanos(1));
        state.from = after.unwrap_or(Timestamp::MAX);
        state.slot = Some(InSlot {
            slot: occurrence.slot,
            next: 0,
            begins,
        });
        state.unit = None;
        state
            .inserts
            .retain(|insert| insert.origin == Origin::Play && insert.turn != Turn::Interrupted);
        for insert in &mut state.inserts {
            insert.turn = Turn::AfterSlot;
        }
        state.begun = false;
    }

    fn leave_slot(&mut self) {
        self.state.slot = None;
        let is_its = |insert: &Insert| {
            matches!(
                insert.origin,
                Origin::Slot(_) | Origin::Template | Origin::Filler
            )
        };
        self.state.inserts.retain(|insert| !is_its(insert));
        self.state.begun = false;
    }

    /// What comes next, before the slot that begins at `slot_begins`.
    fn choose(&mut self, slot_begins: Option<Frame>) -> Option<(PlannedItem, Origin)> {
        while let Some(insert) = self.insert() {
            if insert.item.frames > 0 {
                return Some((insert.item, insert.origin));
            }
        }
        let basis = Arc::clone(&self.basis);
        if let Some(slot) = &mut self.state.slot {
            let planned = &basis.slots[slot.slot];
            while let Some(item) = planned.items.get(slot.next) {
                slot.next += 1;
                if item.frames > 0 {
                    let origin = planned.id.map_or(Origin::Template, Origin::Slot);
                    return Some((item.clone(), origin));
                }
            }
            if let Some(until) = slot.until(&basis)
                && let Some(filler) = self.filler(until)
            {
                return Some(filler);
            }
            self.leave_slot();
            // What waited for its end is next.
            return self.choose(slot_begins);
        }
        loop {
            if let Some((unit, next)) = &mut self.state.unit {
                let items = &basis.units[*unit].items;
                while let Some(item) = items.get(*next) {
                    *next += 1;
                    if item.frames > 0 {
                        return Some((item.clone(), Origin::Rotation(*unit)));
                    }
                }
                self.state.unit = None;
            }
            let at = self.state.at;
            let picked = self.rounds.pick(&basis, &self.state.place, at);
            let fits = |unit: usize| {
                slot_begins.is_none_or(|begins| {
                    basis.units[unit].frames() <= begins.since(at) + basis.gop() / 2
                })
            };
            // The first after a slot is begun, however long: else what fits nowhere would stop the rotation.
            let picked = picked.filter(|picked| !self.state.begun || fits(picked.unit));
            let Some(picked) = picked else {
                if let Some(begins) = slot_begins
                    && let Some(filler) = self.filler(begins)
                {
                    return Some(filler);
                }
                // Without fillers the item is begun, and cut.
                let picked = self.rounds.pick(&basis, &self.state.place, at)?;
                self.take(picked);
                continue;
            };
            self.take(picked);
        }
    }

    /// Takes out the insert whose turn it is.
    fn insert(&mut self) -> Option<Insert> {
        let State { inserts, slot, .. } = &mut self.state;
        let waits = |insert: &Insert| insert.turn == Turn::AfterSlot && slot.is_some();
        let next = inserts.iter().position(|insert| !waits(insert))?;
        inserts.remove(next)
    }

    fn take(&mut self, picked: super::order::Pick) {
        let basis = Arc::clone(&self.basis);
        self.rounds.take(&basis, &mut self.state.place, picked);
        self.state.unit = Some((picked.unit, 0));
        self.state.last = Some(picked.unit);
        self.state.begun = true;
    }

    /// A filler for the time up to `bound`: the next one that fits, else the shortest.
    fn filler(&mut self, bound: Frame) -> Option<(PlannedItem, Origin)> {
        let fillers = &self.basis.fillers;
        let room = bound.since(self.state.at) + self.basis.gop() / 2;
        let around = (0..fillers.len()).map(|n| (self.state.filler + n) % fillers.len());
        let mut shortest: Option<usize> = None;
        let mut chosen = None;
        for n in around.filter(|n| fillers[*n].frames > 0) {
            if fillers[n].frames <= room {
                chosen = Some(n);
                break;
            }
            if shortest.is_none_or(|other| fillers[n].frames < fillers[other].frames) {
                shortest = Some(n);
            }
        }
        let chosen = chosen.or(shortest)?;
        self.state.filler = (chosen + 1) % fillers.len();
        Some((fillers[chosen].clone(), Origin::Filler))
    }
}

/// Whether what is shown for this reason ends with the slot that it is in: what is played by hand goes on beyond.
pub(super) fn ends_with_its_slot(origin: Origin) -> bool {
    origin != Origin::Play
}

/// How many frames of `item` are shown where something begins after `room` frames: all of it, where it is over by half
/// a GOP after that; else up to the boundary of its GOPs that is nearest to that. Never nothing, as `room` is more than
/// half a GOP.
pub(super) fn cut(item: &PlannedItem, room: u64, gop: u64) -> u64 {
    if item.frames <= room.saturating_add(gop / 2) {
        return item.frames;
    }
    let past = (item.in_frame + room) % gop;
    let before = room.saturating_sub(past);
    let after = (room + (gop - past) % gop).min(item.frames);
    if room - before <= after - room {
        before
    } else {
        after
    }
}
