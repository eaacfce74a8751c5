//! Whether a schedule can be played: what it names is there, no block contains itself, no point lies beyond
//! the end of its item, and it does not unfold into more than can be planned.

use super::Schedule;
use super::element::Element;
use super::parts::Block;
use crate::ids::MediaId;
use crate::units::{FrameRate, Ticks90k};
use crate::violation::{Violations, quoted};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Items that one entry of a rotation, or one slot, unfolds into at most.
const MAX_UNFOLDED: u64 = 10_000;
/// Items that a whole schedule unfolds into at most.
const MAX_ALL_UNFOLDED: u64 = 50_000;
/// Slots that all templates have together, at most.
const MAX_TEMPLATE_SLOTS: usize = super::MAX_SLOTS;

/// What is known of a media item that may be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its length; nothing while that is not known.
    pub frames: Option<u64>,
}

/// Which parts of the schedule a request has, and where: only those can be wrong of themselves.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) rotation: Option<String>,
    pub(super) blocks: bool,
    pub(super) templates: bool,
    pub(super) slots: Vec<Option<String>>,
}

/// Notes everything that is wrong with `schedule`.
pub(super) fn check(
    schedule: &Schedule,
    places: &Places,
    known: &dyn Fn(MediaId) -> Option<Known>,
    rate: FrameRate,
    violations: &mut Violations,
) {
    let mut checker = Checker {
        sizes: sizes(&schedule.blocks, places, violations),
        known,
        rate,
        all: 0,
        violations,
    };
    for (n, block) in schedule.blocks.iter().enumerate() {
        let at = places.blocks.then(|| format!("/items/{n}/items"));
        for (k, element) in block.items.iter().enumerate() {
            let at = at.as_ref().map(|at| format!("{at}/{k}"));
            checker.element(element, at, &format!("the block {}", quoted(&block.name)));
        }
    }
    let rotation = &schedule.rotation;
    for (n, item) in rotation.items.iter().enumerate() {
        let at = places.rotation.as_ref().map(|at| format!("{at}/items/{n}"));
        let size = checker.element(&item.element, at.clone(), "the rotation");
        checker.unfolds(
            size.saturating_mul(item.weight.into()),
            at,
            "an entry of the rotation",
        );
    }
    for (n, filler) in rotation.fillers.iter().enumerate() {
        let at = places
            .rotation
            .as_ref()
            .map(|at| format!("{at}/fillers/{n}"));
        checker.element(filler, at, "the rotation");
    }
    for (n, slot) in schedule.slots.iter().enumerate() {
        let at = places.slots.get(n).cloned().flatten();
        checker.lasts(slot.duration, at.as_deref());
        checker.list(&slot.items, at, &format!("the slot {}", slot.id));
    }
    for (n, day) in schedule.templates.iter().enumerate() {
        for (k, slot) in day.slots.iter().enumerate() {
            let at = places.templates.then(|| format!("/items/{n}/slots/{k}"));
            checker.lasts(slot.duration, at.as_deref());
            checker.list(
                &slot.items,
                at,
                &format!("the template {}", quoted(&day.name)),
            );
        }
    }
    if checker.all > MAX_ALL_UNFOLDED {
        checker.violations.add(
            "",
            format!("the schedule unfolds into more than {MAX_ALL_UNFOLDED} items, blocks within blocks counted each time"),
        );
    }
    once_each(schedule, places, violations);
}

/// Names and ids that are given twice, and more slots of templates than there may be.
fn once_each(schedule: &Schedule, places: &Places, violations: &mut Violations) {
    let mut seen = BTreeSet::new();
    for (n, block) in schedule.blocks.iter().enumerate() {
        if places.blocks && !block.name.is_empty() && !seen.insert(block.name.as_str()) {
            let name = quoted(&block.name);
            violations.add(
                format!("/items/{n}/name"),
                format!("there are two blocks {name}"),
            );
        }
    }
    let mut seen = BTreeSet::new();
    for (n, day) in schedule.templates.iter().enumerate() {
        if places.templates && !day.name.is_empty() && !seen.insert(day.name.as_str()) {
            let name = quoted(&day.name);
            violations.add(
                format!("/items/{n}/name"),
                format!("there are two templates {name}"),
            );
        }
    }
    let mut seen = BTreeSet::new();
    for (n, slot) in schedule.slots.iter().enumerate() {
        if slot.id.uuid() != Uuid::nil() && !seen.insert(slot.id) {
            let at = places.slots.get(n).cloned().flatten().unwrap_or_default();
            violations.add(
                format!("{at}/id"),
                format!("there are two slots {}", slot.id),
            );
        }
    }
    let slots: usize = schedule.templates.iter().map(|day| day.slots.len()).sum();
    if slots > MAX_TEMPLATE_SLOTS {
        let message =
            format!("the templates have {slots} slots; at most {MAX_TEMPLATE_SLOTS} are allowed");
        violations.add("/items", message);
    }
}

/// How many items each block unfolds into; blocks that contain themselves are noted and count as nothing.
fn sizes<'a>(
    blocks: &'a [Block],
    places: &Places,
    violations: &mut Violations,
) -> BTreeMap<&'a str, u64> {
    let mut walk = Walk {
        blocks: blocks
            .iter()
            .map(|block| (block.name.as_str(), block))
            .collect(),
        path: Vec::new(),
        sizes: BTreeMap::new(),
    };
    for (n, block) in blocks.iter().enumerate() {
        if let Some(circle) = walk.size(&block.name).err() {
            let at = if places.blocks {
                format!("/items/{n}")
            } else {
                String::new()
            };
            violations.add(
                at,
                format!("it leads in a circle, which could never be played: {circle}"),
            );
            walk.path.clear();
            walk.sizes.insert(&block.name, 0);
        }
    }
    walk.sizes
}

struct Walk<'a> {
    blocks: BTreeMap<&'a str, &'a Block>,
    /// The blocks that are being looked at, outermost first.
    path: Vec<&'a str>,
    sizes: BTreeMap<&'a str, u64>,
}

impl<'a> Walk<'a> {
    /// The size of a block, or the circle that it is in.
    fn size(&mut self, name: &'a str) -> Result<u64, String> {
        if let Some(size) = self.sizes.get(name) {
            return Ok(*size);
        }
        if let Some(begins) = self.path.iter().position(|outer| *outer == name) {
            let circle = self.path[begins..].iter().chain([&name]);
            return Err(circle
                .map(|name| quoted(name))
                .collect::<Vec<_>>()
                .join(" → "));
        }
        // One that is missing is noted where it is named.
        let Some(block) = self.blocks.get(name).copied() else {
            return Ok(0);
        };
        self.path.push(name);
        let mut size = 0_u64;
        for element in &block.items {
            size = size.saturating_add(match element {
                Element::Media { .. } => 1,
                Element::Block(inner) => self.size(inner)?,
            });
        }
        self.path.pop();
        self.sizes.insert(name, size);
        Ok(size)
    }
}

struct Checker<'a, 'v> {
    sizes: BTreeMap<&'a str, u64>,
    known: &'a dyn Fn(MediaId) -> Option<Known>,
    rate: FrameRate,
    /// Items that everything together unfolds into.
    all: u64,
    violations: &'v mut Violations,
}

impl Checker<'_, '_> {
    /// Looks at one element, at `at` in the request or else where `whose` says; answers its size.
    fn element(&mut self, element: &Element, at: Option<String>, whose: &str) -> u64 {
        match element {
            Element::Block(name) if name.is_empty() => 0,
            Element::Block(name) => match (self.sizes.get(name.as_str()), at) {
                (Some(size), _) => *size,
                (None, Some(at)) => {
                    let name = quoted(name);
                    self.violations
                        .add(format!("{at}/block"), format!("there is no block {name}"));
                    0
                }
                (None, None) => {
                    let name = quoted(name);
                    self.violations.add(
                        "/items",
                        format!("{whose} plays the block {name}, which would be gone"),
                    );
                    0
                }
            },
            Element::Media {
                media_id,
                begins,
                ends,
            } => {
                if let Some(at) = at {
                    self.media(*media_id, *begins, *ends, &at);
                }
                1
            }
        }
    }

    fn media(&mut self, media: MediaId, begins: Ticks90k, ends: Option<Ticks90k>, at: &str) {
        let Some(known) = (self.known)(media) else {
            return self.violations.add(
                format!("{at}/mediaId"),
                format!("there is no media {media}"),
            );
        };
        let Some(frames) = known.frames else { return };
        let length = self.rate.duration(frames).as_secs_f64();
        let (first, last) = (
            self.rate.nearest(begins),
            ends.map(|ends| self.rate.nearest(ends)),
        );
        if first >= frames && begins.get() > 0 {
            let begins = begins.seconds();
            let message = format!("in is {begins} s, but the item ends at {length:.3} s");
            self.violations.add(format!("{at}/in"), message);
        }
        let Some((last, ends)) = last.zip(ends) else {
            return;
        };
        if last > frames {
            let message = format!(
                "out is {} s, but the item ends at {length:.3} s",
                ends.seconds()
            );
            self.violations.add(format!("{at}/out"), message);
        } else if last <= first {
            let message = "in and out lie less than a frame apart; nothing would be shown";
            self.violations.add(format!("{at}/out"), message);
        }
    }

    /// A slot begins and ends where an item can be cut: one that is shorter than a GOP would show nothing.
    fn lasts(&mut self, duration: Option<Ticks90k>, at: Option<&str>) {
        let (Some(duration), Some(at)) = (duration, at) else {
            return;
        };
        let least = self.rate.gop_frames();
        if self.rate.nearest(duration) < least {
            let (given, least) = (duration.seconds(), self.rate.duration(least).as_secs_f64());
            let message = format!("duration is {given} s; it has to be {least:.3} s at least");
            self.violations.add(format!("{at}/duration"), message);
        }
    }

    fn list(&mut self, elements: &[Element], at: Option<String>, whose: &str) {
        let mut size = 0_u64;
        for (n, element) in elements.iter().enumerate() {
            let at = at.as_ref().map(|at| format!("{at}/items/{n}"));
            size = size.saturating_add(self.element(element, at, whose));
        }
        self.unfolds(size, at, whose);
    }

    fn unfolds(&mut self, size: u64, at: Option<String>, whose: &str) {
        self.all = self.all.saturating_add(size);
        if size > MAX_UNFOLDED {
            let message =
                format!("{whose} unfolds into {size} items; at most {MAX_UNFOLDED} are allowed");
            self.violations.add(at.unwrap_or_default(), message);
        }
    }
}
