//! What is known of the units of a rotation while it is walked: which can be played, and when what has to stay apart
//! ended last. Items and series go by numbers here, since many units are looked at for each entry.

use super::basis::{Basis, PlannedItem};
use super::order::{Place, apart};
use crate::ids::MediaId;
use crate::units::Frame;
use std::collections::HashMap;

/// See the module's head.
#[derive(Debug, Clone)]
pub(super) struct KnownUnits {
    /// Of each unit.
    plays: Vec<bool>,
    /// The numbers of what is in each unit, one unit after another, and where the next one's begin.
    things: Vec<u32>,
    ends: Vec<usize>,
    items: HashMap<MediaId, u32>,
    series: HashMap<String, u32>,
    /// By number: the frames that it stays apart, and when it ended last.
    last: Vec<(u64, Option<Frame>)>,
}

impl KnownUnits {
    /// As `place` has it.
    pub(super) fn of(basis: &Basis, place: &Place) -> Self {
        let mut known = Self {
            plays: basis.units.iter().map(|unit| unit.frames() > 0).collect(),
            things: Vec::new(),
            ends: Vec::with_capacity(basis.units.len()),
            items: HashMap::new(),
            series: HashMap::new(),
            last: Vec::new(),
        };
        let (apart, series_apart) = (apart(basis), basis.series_apart);
        for unit in &basis.units {
            let mut its = Vec::new();
            for item in &unit.items {
                if apart > 0 {
                    its.push(known.item(item.media_id, apart, place));
                }
                if series_apart > 0
                    && let Some(series) = &item.series
                {
                    its.push(known.one_of(series, series_apart, place));
                }
            }
            its.sort_unstable();
            its.dedup();
            known.things.extend(its);
            known.ends.push(known.things.len());
        }
        known
    }

    fn item(&mut self, media: MediaId, apart: u64, place: &Place) -> u32 {
        let next = self.last.len() as u32;
        let number = *self.items.entry(media).or_insert(next);
        if number == next {
            self.last.push((apart, place.items.get(&media).copied()));
        }
        number
    }

    fn one_of(&mut self, series: &str, apart: u64, place: &Place) -> u32 {
        if let Some(number) = self.series.get(series) {
            return *number;
        }
        let number = self.last.len() as u32;
        self.series.insert(series.to_owned(), number);
        self.last.push((apart, place.series.get(series).copied()));
        number
    }

    /// Whether a unit can be played.
    pub(super) fn plays(&self, unit: usize) -> bool {
        self.plays[unit]
    }

    /// That `item` was shown up to `end`.
    pub(super) fn shown(&mut self, item: &PlannedItem, end: Frame) {
        let series = item.series.as_ref();
        let series = series.and_then(|series| self.series.get(series));
        for number in [self.items.get(&item.media_id), series]
            .into_iter()
            .flatten()
        {
            self.last[*number as usize].1 = Some(end);
        }
    }

    /// When the item or series of a unit that would come too soon ended, the last of them; nothing when all may be
    /// played at `at`.
    pub(super) fn too_soon(&self, unit: usize, at: Frame) -> Option<Frame> {
        let begins = unit.checked_sub(1).map_or(0, |before| self.ends[before]);
        let things = self.things[begins..self.ends[unit]].iter();
        let ended = things.filter_map(|thing| {
            let (apart, ended) = self.last[*thing as usize];
            ended.filter(|ended| at.since(*ended) < apart)
        });
        ended.max()
    }
}
