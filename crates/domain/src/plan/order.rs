//! Which unit of the rotation is next: rounds of a sequence, and what is put off so that things stay apart.
//!
//! A round is a pure function of the basis and its number. What would come too soon again is put off, not left
//! out, unless it waits already: it goes before everything else as soon as it may. Where nothing may, what was away longest
//! comes.

use super::apart::KnownUnits;
use super::basis::{Basis, PlannedItem, Sequence};
use crate::ids::MediaId;
use crate::units::Frame;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many units are looked at for one that may be played.
const LOOKS: usize = 200;

/// Where in a rotation one is. Small, and all that is needed to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Place {
    /// The round, from 0.
    #[serde(default)]
    pub(super) round: u64,
    /// What is next in it.
    #[serde(default)]
    pub(super) next: usize,
    /// Units that were put off, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) put_off: Vec<u32>,
    /// When each item ended last, where that matters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) items: BTreeMap<MediaId, Frame>,
    /// When each series ended last, where that matters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) series: BTreeMap<String, Frame>,
}

impl Place {
    /// That `item` was shown up to `end`.
    fn shown(&mut self, basis: &Basis, item: &PlannedItem, end: Frame) {
        if apart(basis) > 0 {
            self.items.insert(item.media_id, end);
        }
        if basis.series_apart > 0
            && let Some(series) = &item.series
        {
            match self.series.get_mut(series) {
                Some(last) => *last = end,
                None => drop(self.series.insert(series.clone(), end)),
            }
        }
    }

    /// Forgets what is longer ago than anything has to stay apart.
    pub(super) fn forget(&mut self, basis: &Basis, at: Frame) {
        let (items, series) = (apart(basis), basis.series_apart);
        self.items.retain(|_, end| at.since(*end) < items);
        self.series.retain(|_, end| at.since(*end) < series);
    }
}

/// What the same item stays apart: shuffled, it never follows itself.
pub(super) fn apart(basis: &Basis) -> u64 {
    match basis.sequence {
        Sequence::Shuffled(_) => basis.apart.max(1),
        _ => basis.apart,
    }
}

/// Answers which unit is next. What it keeps follows from one basis, and from the place that it is asked for each time.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounds {
    /// A round by its number, and the one after it.
    kept: Option<(u64, Round, Round)>,
    /// What is known of the units; nothing: not looked at yet.
    known: Option<KnownUnits>,
}

/// The units of a round that can be played, each with its place in the round.
#[derive(Debug, Clone)]
struct Round {
    playable: Vec<(usize, u32)>,
    /// All of its places.
    length: usize,
}

impl Round {
    fn of(basis: &Basis, known: &KnownUnits, number: u64) -> Self {
        let all = round(basis, number);
        let length = all.len();
        let playable = all.into_iter().enumerate();
        Self {
            playable: playable
                .filter(|(_, unit)| known.plays(*unit as usize))
                .collect(),
            length,
        }
    }

    fn from(&self, place: usize) -> &[(usize, u32)] {
        let n = self.playable.partition_point(|(at, _)| *at < place);
        &self.playable[n..]
    }
}

/// A unit that is next, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) unit: usize,
    from: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// One that was put off, by its place among them.
    PutOff(usize),
    /// So many after the next one of the round.
    Round(usize),
}

impl Rounds {
    /// The unit that is next at `at`; nothing when none can be played.
    pub(super) fn pick(&mut self, basis: &Basis, place: &Place, at: Frame) -> Option<Pick> {
        let (known, this, next) = self.look(basis, place);
        let put_off = place.put_off.iter().enumerate().map(|(n, unit)| Pick {
            unit: *unit as usize,
            from: Source::PutOff(n),
        });
        let put_off = put_off.filter(|pick| known.plays(pick.unit));
        let coming = coming(this, next, place).map(|(step, unit)| Pick {
            unit: unit as usize,
            from: Source::Round(step),
        });
        let mut best: Option<(Frame, Pick)> = None;
        for pick in put_off.chain(coming).take(LOOKS) {
            match known.too_soon(pick.unit, at) {
                None => return Some(pick),
                Some(last) if best.is_none_or(|(best, _)| last < best) => best = Some((last, pick)),
                Some(_) => {}
            }
        }
        best.map(|(_, pick)| pick)
    }

    /// Goes on after `pick`: what was passed over for it is put off, unless it cannot be played at all. A unit waits once: what
    /// comes more often than it may would fill all that is looked at.
    pub(super) fn take(&mut self, basis: &Basis, place: &mut Place, pick: Pick) {
        let step = match pick.from {
            Source::PutOff(n) => {
                place.put_off.remove(n);
                return;
            }
            Source::Round(step) => step,
        };
        let (_, this, next) = self.look(basis, place);
        let passed = coming(this, next, place).take_while(|(n, _)| *n < step);
        let passed: Vec<u32> = passed.map(|(_, unit)| unit).collect();
        let length = this.length;
        for unit in passed {
            if !place.put_off.contains(&unit) {
                place.put_off.push(unit);
            }
        }
        place.next += step + 1;
        for _ in 0..2 {
            if place.next < length {
                return;
            }
            place.next -= length;
            place.round += 1;
        }
    }

    /// That `item` was shown up to `end`.
    pub(super) fn shown(
        &mut self,
        basis: &Basis,
        place: &mut Place,
        item: &PlannedItem,
        end: Frame,
    ) {
        place.shown(basis, item, end);
        if let Some(known) = &mut self.known {
            known.shown(item, end);
        }
    }

    /// What is known of the units, the round that one is in, and the one after it.
    fn look(&mut self, basis: &Basis, place: &Place) -> (&KnownUnits, &Round, &Round) {
        let known: &KnownUnits = self
            .known
            .get_or_insert_with(|| KnownUnits::of(basis, place));
        let number = place.round;
        let is_steady = !matches!(basis.sequence, Sequence::Shuffled(_));
        let of = |number| Round::of(basis, known, number);
        let kept = match self.kept.take() {
            Some((kept, this, next)) if kept == number || is_steady => (number, this, next),
            Some((before, _, this)) if before + 1 == number => (number, this, of(number + 1)),
            _ => (number, of(number), of(number + 1)),
        };
        let (_, this, next) = self.kept.insert(kept);
        (known, this, next)
    }
}

/// What follows in the round that one is in and in the one after it: each with how many places away it is.
fn coming<'a>(
    this: &'a Round,
    next: &'a Round,
    place: &Place,
) -> impl Iterator<Item = (usize, u32)> + use<'a> {
    let (at, length) = (place.next, this.length);
    let here = this.from(at).iter().map(move |(n, unit)| (n - at, *unit));
    let later = next.from(at.saturating_sub(length)).iter();
    here.chain(later.map(move |(n, unit)| (n + length - at, *unit)))
}

/// The units of one round, in their order.
pub(super) fn round(basis: &Basis, number: u64) -> Vec<u32> {
    let count = basis.units.len() as u32;
    match basis.sequence {
        Sequence::Ordered => (0..count).collect(),
        Sequence::Shuffled(seed) => {
            let mut order: Vec<u32> = (0..count).collect();
            let mut state = seed ^ number.wrapping_mul(0xd134_2543_de82_ef95);
            for last in (1..order.len()).rev() {
                let other = draw(&mut state, last as u64 + 1) as usize;
                order.swap(last, other);
            }
            order
        }
        Sequence::Weighted => {
            let units = basis.units.iter().zip(0..count);
            let mut spread: Vec<(u64, u32)> = units
                .flat_map(|(unit, n)| {
                    let weight = u64::from(unit.weight.max(1));
                    // The middle of its share of the round, as a fraction of 2^32.
                    (0..weight).map(move |k| (((2 * k + 1) << 32) / (2 * weight), n))
                })
                .collect();
            spread.sort_unstable();
            spread.into_iter().map(|(_, n)| n).collect()
        }
    }
}

/// A number below `bound`, by SplitMix64 and a widening multiplication.
fn draw(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests;
