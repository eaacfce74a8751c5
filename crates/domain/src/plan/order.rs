//! Which unit of the rotation is next: rounds of a sequence, and what is put off so that things stay apart.
//!
//! A round is a pure function of the basis and its number. What would come too soon again is put off, not left
//! out: it goes before everything else as soon as it may. Where nothing may, what was away longest comes.

use super::basis::{Basis, PlannedItem, Sequence, Unit};
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
    pub(super) fn shown(&mut self, basis: &Basis, item: &PlannedItem, end: Frame) {
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
fn apart(basis: &Basis) -> u64 {
    match basis.sequence {
        Sequence::Shuffled(_) => basis.apart.max(1),
        _ => basis.apart,
    }
}

/// Answers which unit is next; keeps the rounds that it works on.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounds {
    /// A round by its number, and the one after it.
    kept: Option<(u64, Vec<u32>, Vec<u32>)>,
    /// Whether any unit can be played; nothing: not looked at yet.
    playable: Option<bool>,
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
        let units = &basis.units;
        let plays = |unit: &Unit| unit.frames() > 0;
        if !*self.playable.get_or_insert_with(|| units.iter().any(plays)) {
            return None;
        }
        let mut best: Option<(Frame, Pick)> = None;
        let mut looked = 0;
        // At most what is put off, the rest of this round and the next one.
        let (mut put_off, mut step) = (0, 0);
        while looked < LOOKS {
            let pick = if let Some(unit) = place.put_off.get(put_off) {
                put_off += 1;
                Pick {
                    unit: *unit as usize,
                    from: Source::PutOff(put_off - 1),
                }
            } else if let Some(unit) = self.unit_after(basis, place, step) {
                step += 1;
                Pick {
                    unit,
                    from: Source::Round(step - 1),
                }
            } else {
                break;
            };
            if !plays(&units[pick.unit]) {
                continue;
            }
            looked += 1;
            match too_soon(basis, place, &units[pick.unit], at) {
                None => return Some(pick),
                Some(last) if best.is_none_or(|(best, _)| last < best) => best = Some((last, pick)),
                Some(_) => {}
            }
        }
        best.map(|(_, pick)| pick)
    }

    /// Goes on after `pick`: what was passed over for it is put off, unless it cannot be played at all.
    pub(super) fn take(&mut self, basis: &Basis, place: &mut Place, pick: Pick) {
        let step = match pick.from {
            Source::PutOff(n) => {
                place.put_off.remove(n);
                return;
            }
            Source::Round(step) => step,
        };
        for passed in 0..step {
            let unit = self.unit_after(basis, place, passed);
            let plays = |unit: &usize| basis.units[*unit].frames() > 0;
            place
                .put_off
                .extend(unit.filter(plays).map(|unit| unit as u32));
        }
        place.next += step + 1;
        for _ in 0..2 {
            let (this, _) = self.rounds(basis, place.round);
            if place.next < this.len() {
                return;
            }
            place.next -= this.len();
            place.round += 1;
        }
    }

    /// The unit `step` after the next one of the round, as far as the end of the round after it.
    fn unit_after(&mut self, basis: &Basis, place: &Place, step: usize) -> Option<usize> {
        let (this, next) = self.rounds(basis, place.round);
        let at = place.next + step;
        let unit = this.get(at).or_else(|| next.get(at - this.len()))?;
        Some(*unit as usize)
    }

    fn rounds(&mut self, basis: &Basis, number: u64) -> (&[u32], &[u32]) {
        let kept = match self.kept.take() {
            Some(kept) if kept.0 == number => kept,
            Some((before, _, this)) if before + 1 == number => {
                let next = round(basis, number + 1);
                (number, this, next)
            }
            _ => (number, round(basis, number), round(basis, number + 1)),
        };
        let (_, this, next) = self.kept.insert(kept);
        (this, next)
    }
}

/// When the item or series of `unit` that would come too soon ended; nothing when all may be played at `at`.
fn too_soon(basis: &Basis, place: &Place, unit: &Unit, at: Frame) -> Option<Frame> {
    let mut latest = None;
    for item in &unit.items {
        let ended = place.items.get(&item.media_id);
        let series = item
            .series
            .as_ref()
            .and_then(|series| place.series.get(series));
        for (ended, apart) in [(ended, apart(basis)), (series, basis.series_apart)] {
            if let Some(ended) = ended.filter(|ended| at.since(**ended) < apart) {
                latest = latest.max(Some(*ended));
            }
        }
    }
    latest
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
