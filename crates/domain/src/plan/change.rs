//! Changes of a plan: another schedule, a skip, something that goes first. All of them settle what is on air,
//! and go on from its end.

use super::basis::{Basis, PlannedItem, Sequence, are_alike};
use super::calendar;
use super::order::Place;
use super::walk::{InSlot, Insert, State, Turn, Walker, cut, ends_with_its_slot};
use super::{Expansion, KEPT_ENTRIES, KEPT_FRAMES, Origin, Plan, PlanEntry, Tail};
use crate::units::Frame;
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far back a slot may have begun that a plan which starts finds on air.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);
/// Items that wait to be played by hand at most, the rests of what they interrupted among them.
pub const MOST_WAITING: usize = 100;
/// Entries that are on air one after another before they are settled.
const LONG: usize = 2_048;

impl Plan {
    /// A plan of `basis` from `starts` on: a slot that is on air then is joined where it is, else the rotation
    /// begins.
    pub fn starting(starts: Frame, basis: Basis) -> Self {
        let basis = Arc::new(basis);
        let (settled, state) = match joined(&basis, starts) {
            Some(walked) => walked,
            None => (Vec::new(), State::starting(starts, &basis)),
        };
        let mut plan = Self {
            settled,
            ..Self::default()
        };
        plan.go_on(basis, state);
        plan
    }

    /// Plans by `basis` from the end of the entry that is on air at `airing` (from `airing` itself when nothing
    /// is); a slot of `basis` that begins before that end begins at its time all the same.
    ///
    /// The rotation goes on where it was as far as `basis` has it still, and begins anew where not; a slot that
    /// is on air goes on where it has not changed. Nothing changes when that is the basis already, or where
    /// nothing is planned and nothing follows from it: the answer is then `false`.
    pub fn replace_from(&mut self, airing: Frame, basis: Basis) -> bool {
        let Some(tail) = &self.tail else {
            let shows = basis.shows_anything();
            if shows {
                *self = Self::starting(airing, basis);
            }
            return shows;
        };
        if *tail.basis == basis {
            return false;
        }
        let (old, mut state) = self.settle(airing);
        adapt(&mut state, &old, &basis);
        if let Some(timeline) = basis.timeline {
            state.from = state.from.max(timeline.wall(airing));
        }
        let basis = Arc::new(basis);
        self.bound_by(airing, &basis, &mut state);
        self.go_on(basis, state);
        true
    }

    /// Ends the entry on air at `at` there, and goes on with what comes after it; answers `false` and
    /// changes nothing when nothing is on air.
    pub fn skip(&mut self, at: Frame) -> bool {
        if self.at(at).is_none() {
            return false;
        }
        let (basis, mut state) = self.settle(at);
        self.end_at(at);
        state.at = at;
        self.go_on(basis, state);
        true
    }

    /// Shows `item` after the entry that is on air at `airing`, and after what was asked for before. Answers `false`
    /// and shows nothing else when too much waits.
    pub fn play_next(&mut self, airing: Frame, item: PlannedItem) -> bool {
        let (basis, mut state) = self.settle(airing);
        if state.inserts.len() >= MOST_WAITING {
            self.go_on(basis, state);
            return false;
        }
        let mut waiting = state.inserts.iter();
        let after = waiting.position(|insert| insert.origin != Origin::Play);
        let after = after.unwrap_or(state.inserts.len());
        state.inserts.insert(after, Insert::asked(item));
        self.go_on(basis, state);
        true
    }

    /// Shows `item` from `at` on, and then goes on where it interrupted. Answers `false` and shows nothing else when
    /// too much waits.
    pub fn play_now(&mut self, at: Frame, item: PlannedItem) -> bool {
        let on_air = self.at(at);
        let (basis, mut state) = self.settle(at);
        if state.inserts.len() >= MOST_WAITING {
            self.go_on(basis, state);
            return false;
        }
        if let Some(entry) = on_air {
            let rest = PlannedItem {
                media_id: entry.media_id,
                in_frame: entry.item_frame(at),
                frames: entry.end.since(at) + entry.cut,
                series: None,
            };
            state.inserts.push_front(Insert {
                item: rest,
                origin: origin_in(&basis, &entry),
                turn: Turn::Interrupted,
            });
            self.end_at(at);
            state.at = at;
        }
        state.inserts.push_front(Insert::asked(item));
        self.go_on(basis, state);
        true
    }

    /// Whether so much was on air before `airing` since the last change that it should be settled.
    pub fn is_long(&self, airing: Frame) -> bool {
        self.ahead.count(airing) >= LONG
    }

    /// Settles what was on air before `airing`, when that has become long; what is shown stays the same.
    pub fn forget(&mut self, airing: Frame) -> bool {
        if !self.is_long(airing) {
            return false;
        }
        let (basis, state) = self.settle(airing);
        self.go_on(basis, state);
        true
    }

    /// Settles everything up to the end of the entry that is on air at `airing`, or up to `airing`; what is
    /// settled stays so. Answers what follows.
    pub(super) fn settle(&mut self, airing: Frame) -> (Arc<Basis>, State) {
        let Some(Tail { basis, state }) = self.tail.take() else {
            let basis = Arc::<Basis>::default();
            let state = State::starting(airing, &basis);
            return (basis, state);
        };
        let mut walker = Walker::new(basis, state);
        while walker.state.at <= airing {
            match walker.next(airing) {
                Some(entry) => {
                    // Off air that may be a long time.
                    if self.settled.len() >= 2 * KEPT_ENTRIES {
                        self.settled.drain(..KEPT_ENTRIES);
                    }
                    self.settled.push(entry);
                }
                None => {
                    walker.state.at = airing;
                    break;
                }
            }
        }
        let Walker { basis, state, .. } = walker;
        let old = |entry: &PlanEntry| entry.end <= airing.before(KEPT_FRAMES);
        let over = self.settled.partition_point(old);
        let many = self.settled.len().saturating_sub(KEPT_ENTRIES);
        self.settled.drain(..over.max(many));
        (basis, state)
    }

    /// Ends what is settled at `at`.
    pub(super) fn end_at(&mut self, at: Frame) {
        self.settled.retain(|entry| entry.start < at);
        if let Some(last) = self.settled.last_mut().filter(|last| last.end > at) {
            (last.end, last.cut) = (at, 0);
        }
    }

    /// Has the entry on air at `airing` end where `basis` has it end: earlier for a slot that begins meanwhile, later
    /// where it had been cut for one that does not any more.
    fn bound_by(&mut self, airing: Frame, basis: &Arc<Basis>, state: &mut State) {
        let coming = Walker::new(Arc::clone(basis), state.clone()).coming();
        let Some(last) = self.settled.last_mut() else {
            return;
        };
        if last.end != state.at || last.end <= airing {
            return;
        }
        let own = state
            .slot
            .as_ref()
            .filter(|_| ends_with_its_slot(last.origin));
        // What is left of a slot that is no more ends as it was planned.
        let lost = matches!(last.origin, Origin::Slot(_) | Origin::Template) && own.is_none();
        let whole = last.frames() + last.cut;
        let item = PlannedItem {
            media_id: last.media_id,
            in_frame: last.in_frame,
            frames: if lost { last.frames() } else { whole },
            series: None,
        };
        let begins = coming.map(|(_, begins)| begins);
        let bounds = [begins, own.and_then(|slot| slot.until(basis))];
        let frames = match bounds.into_iter().flatten().min() {
            Some(bound) => cut(&item, bound.since(last.start), basis.gop()),
            None => item.frames,
        };
        last.end = (last.start + frames).max(airing);
        state.at = last.end;
        last.cut = whole.saturating_sub(last.frames());
        self.settled.retain(|entry| entry.frames() > 0);
    }

    fn go_on(&mut self, basis: Arc<Basis>, mut state: State) {
        let at = state.at;
        state.place.forget(&basis, at);
        self.tail = Some(Tail { basis, state });
        self.ahead = Arc::new(Expansion::default());
    }
}

/// The slot that is on air at `starts`, if one is: its entry, and what follows.
fn joined(basis: &Arc<Basis>, starts: Frame) -> Option<(Vec<PlanEntry>, State)> {
    let timeline = basis.timeline?;
    let now = timeline.wall(starts);
    let from = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    // Before the epoch nothing was on air.
    let from = from.max(timeline.epoch);
    let begun = calendar::upcoming(basis, from).into_iter();
    let last = begun.take_while(|occurrence| occurrence.at < now).last()?;
    let begins = basis.frame_from(last.at);
    let mut state = State::starting(begins, basis);
    // The frame may be due a little after the time.
    state.from = last.at;
    let mut walker = Walker::new(Arc::clone(basis), state);
    loop {
        let entry = walker.next(starts)?;
        walker.state.slot.as_ref()?;
        if entry.end > starts {
            return Some((vec![entry], walker.state));
        }
    }
}

/// Why the rest of `entry` is shown by `basis`: what is settled may be of a rotation that is no more.
fn origin_in(basis: &Basis, entry: &PlanEntry) -> Origin {
    let Origin::Rotation(index) = entry.origin else {
        return entry.origin;
    };
    let shows = |n: &usize| {
        let mut items = basis.units.get(*n).into_iter().flat_map(|unit| &unit.items);
        items.any(|item| item.media_id == entry.media_id)
    };
    let here = Some(index).filter(shows);
    let here = here.or_else(|| (0..basis.units.len()).find(shows));
    here.map_or(Origin::Play, Origin::Rotation)
}

/// Makes `state` of `old` one of `new`.
fn adapt(state: &mut State, old: &Basis, new: &Basis) {
    if let Some(on_air) = state.slot.take() {
        let was = &old.slots[on_air.slot];
        let same = |n: &usize| {
            let is = &new.slots[*n];
            is.id == was.id && are_alike(&is.items, &was.items)
        };
        let here = Some(on_air.slot).filter(|n| *n < new.slots.len() && same(n));
        let here = here.or_else(|| (0..new.slots.len()).find(same));
        state.slot = here.map(|slot| InSlot { slot, ..on_air });
        state.begun &= state.slot.is_some();
    }
    let last = state.last;
    let stays = |unit: usize| {
        let was = old.units.get(unit)?;
        let same = |n: &usize| new.units[*n].is_like(was);
        let here = Some(unit).filter(|n| *n < new.units.len() && same(n));
        here.or_else(|| (0..new.units.len()).find(same))
    };
    state.last = last.and_then(stays);
    state.unit = state
        .unit
        .and_then(|(unit, next)| Some((stays(unit)?, next)));
    if !new.rotates_like(old) {
        let place = std::mem::take(&mut state.place);
        state.place = Place {
            round: place.round,
            items: place.items,
            series: place.series,
            ..Place::default()
        };
        match (new.sequence, state.last) {
            (Sequence::Ordered, Some(last)) => {
                state.place.next = (last + 1) % new.units.len();
            }
            (Sequence::Ordered, None) => {}
            (Sequence::Shuffled(_) | Sequence::Weighted, _) => state.place.round += 1,
        }
    }
    state.filler = match new.fillers.len() {
        0 => 0,
        fillers => state.filler % fillers,
    };
    let inserts: VecDeque<Insert> = std::mem::take(&mut state.inserts);
    // What was interrupted comes back only as far as it is wanted still.
    state.inserts = inserts
        .into_iter()
        .filter_map(|insert| match insert.origin {
            Origin::Play | Origin::Filler => Some(insert),
            Origin::Rotation(unit) => stays(unit).map(|unit| Insert {
                origin: Origin::Rotation(unit),
                ..insert
            }),
            Origin::Slot(_) | Origin::Template => state.slot.is_some().then_some(insert),
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_long_time_off_air_is_not_gathered() {
        let item = PlannedItem::whole(Uuid::from_u128(1).into(), 25);
        let mut plan = Plan::looping(Frame(0), vec![item]);
        let airing = Frame(25 * 100_000 + 1);
        let _ = plan.settle(airing);
        assert!(plan.settled.capacity() < 4 * KEPT_ENTRIES);
        // All that is kept for who comes back is there: two minutes of it.
        let first = plan.settled.first().map(|entry| entry.start);
        assert!(first.is_some_and(|first| first <= airing.before(KEPT_FRAMES)));
    }
}
