//! A schedule made into what a plan is expanded from: blocks unfolded, times of items in frames.

use super::element::Element;
use super::rotation::Order;
use super::{Schedule, When};
use crate::ids::MediaId;
use crate::plan::{Basis, PlannedDay, PlannedItem, PlannedSlot, Rule, Sequence, Unit};
use crate::units::{FrameRate, Ticks90k, Timeline};
use std::collections::BTreeMap;
use std::ops::Range;

/// What is known of an item when a plan is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its length; nothing: it is passed over on air.
    pub frames: Option<u64>,
    /// The series that it is of.
    pub series: Option<String>,
}

impl Schedule {
    /// The basis of a plan on `timeline`. Items of unknown length are passed over on air and keep their places.
    pub fn resolve(&self, timeline: Timeline, facts: impl Fn(MediaId) -> Facts) -> Basis {
        let blocks = self.blocks.iter();
        let mut resolver = Resolver {
            blocks: blocks
                .map(|block| (block.name.as_str(), block.items.as_slice()))
                .collect(),
            rate: timeline.frame_rate,
            facts,
            unfolded: Vec::new(),
            known: BTreeMap::new(),
        };
        let rotation = &self.rotation;
        let frames = |ticks: Ticks90k| timeline.frame_rate.nearest(ticks);
        let units = rotation.items.iter().map(|item| Unit {
            items: resolver.items(std::slice::from_ref(&item.element)),
            weight: item.weight,
        });
        let units = units.collect();
        let mut slots: Vec<PlannedSlot> = Vec::new();
        for slot in &self.slots {
            slots.push(PlannedSlot {
                id: Some(slot.id),
                rule: match &slot.when {
                    When::Once(at) => Rule::Once(*at),
                    When::Daily(time, zone) => Rule::Daily(*time, zone.clone()),
                    When::Weekly(days, time, zone) => Rule::Weekly(*days, *time, zone.clone()),
                },
                items: resolver.items(&slot.items),
                frames: slot.duration.map(frames),
            });
        }
        let mut days = Vec::new();
        for day in &self.templates {
            let mut its = Vec::new();
            for slot in &day.slots {
                its.push((slot.time, slots.len() as u32));
                slots.push(PlannedSlot {
                    id: None,
                    rule: Rule::OfDays,
                    items: resolver.items(&slot.items),
                    frames: slot.duration.map(frames),
                });
            }
            days.push(PlannedDay {
                zone: day.zone.clone(),
                days: day.days,
                dates: day.dates.clone(),
                slots: its,
            });
        }
        Basis {
            timeline: Some(timeline),
            units,
            sequence: match rotation.order {
                Order::Ordered => Sequence::Ordered,
                Order::Shuffled { seed } => Sequence::Shuffled(seed),
                Order::Weighted => Sequence::Weighted,
            },
            apart: frames(rotation.separation.item),
            series_apart: frames(rotation.separation.series),
            fillers: resolver.items(&rotation.fillers),
            slots,
            days,
        }
    }
}

/// Unfolds each block once, however often and however deep it is named: the work is bounded by what is written in the
/// schedule and by the items that it unfolds into.
struct Resolver<'a, F> {
    blocks: BTreeMap<&'a str, &'a [Element]>,
    rate: FrameRate,
    facts: F,
    /// The items of blocks that were unfolded; those of a block within a block are a part of its items.
    unfolded: Vec<PlannedItem>,
    /// Where among them the items of each are.
    known: BTreeMap<&'a str, Range<usize>>,
}

impl<'a, F: Fn(MediaId) -> Facts> Resolver<'a, F> {
    /// The items that `elements` unfold into.
    fn items(&mut self, elements: &'a [Element]) -> Vec<PlannedItem> {
        let mut items = Vec::new();
        for element in elements {
            match element {
                Element::Media {
                    media_id,
                    begins,
                    ends,
                } => items.push(self.item(*media_id, *begins, *ends)),
                Element::Block(name) => {
                    let its = self.block(name);
                    items.extend_from_slice(&self.unfolded[its]);
                }
            }
        }
        items
    }

    /// Where the items of a block are; what was not unfolded yet is now, at the end of all.
    fn block(&mut self, name: &'a str) -> Range<usize> {
        if let Some(its) = self.known.get(name) {
            return its.clone();
        }
        let begins = self.unfolded.len();
        // Schedules that were checked have no circle; one would show nothing.
        self.known.insert(name, begins..begins);
        for element in self.blocks.get(name).copied().unwrap_or_default() {
            match element {
                Element::Media {
                    media_id,
                    begins,
                    ends,
                } => {
                    let item = self.item(*media_id, *begins, *ends);
                    self.unfolded.push(item);
                }
                Element::Block(inner) => match self.known.get(inner.as_str()) {
                    Some(its) => self.unfolded.extend_from_within(its.clone()),
                    None => drop(self.block(inner)),
                },
            }
        }
        let its = begins..self.unfolded.len();
        self.known.insert(name, its.clone());
        its
    }

    /// As much of an item as there is between its points.
    fn item(&self, media_id: MediaId, begins: Ticks90k, ends: Option<Ticks90k>) -> PlannedItem {
        let Facts { frames, series } = (self.facts)(media_id);
        let all = frames.unwrap_or(0);
        let in_frame = self.rate.nearest(begins);
        let out = ends.map_or(all, |ends| self.rate.nearest(ends).min(all));
        PlannedItem {
            media_id,
            in_frame,
            frames: out.saturating_sub(in_frame),
            series,
        }
    }
}
