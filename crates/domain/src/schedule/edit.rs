//! One change of a schedule: read, put in the place of what it replaces, and the result checked whole.
//!
//! Invariant: a schedule that an edit answers has no block that is missing or contains itself, no medium that
//! is not there, and no point beyond the end of its item; a refusal names everything that is wrong.

use super::check::{Known, Places, check};
use super::parts::{Block, MAX_BLOCKS, MAX_SLOTS, MAX_TEMPLATES, Slot, Template};
use super::rotation::Rotation;
use super::{Schedule, read_all};
use crate::config::merge_patch;
use crate::ids::{MediaId, SlotId};
use crate::units::FrameRate;
use crate::violation::{Fields, Violations};
use serde_json::Value;

/// What is to be changed. Values are requests as they came.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Another rotation.
    Rotation(Value),
    /// Other blocks, all of them.
    Blocks(Value),
    /// Other templates, all of them.
    Templates(Value),
    /// Other slots, all of them.
    Slots(Value),
    /// One slot more, or several.
    AddSlots(Value),
    /// A merge patch (RFC 7396) for a slot.
    Slot(SlotId, Value),
    /// A slot less.
    RemoveSlot(SlotId),
    /// No slots any more.
    ClearSlots,
}

/// Why an edit was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such slot.
    NoSuchSlot,
    /// Everything that is wrong.
    Violations(Violations),
}

impl From<Violations> for Refused {
    fn from(violations: Violations) -> Self {
        Self::Violations(violations)
    }
}

impl Schedule {
    /// The schedule with `edit` done. New slots take their ids from `ids`; `known` tells of the media that may
    /// be played.
    ///
    /// # Errors
    /// [`Refused`]; the schedule is as it was.
    pub fn edited(
        &self,
        edit: &Edit,
        ids: &mut dyn FnMut() -> SlotId,
        known: &dyn Fn(MediaId) -> Option<Known>,
        rate: FrameRate,
    ) -> Result<Self, Refused> {
        let mut next = self.clone();
        next.version += 1;
        let mut violations = Violations::default();
        let mut places = Places::default();
        let mut ids = || Some(ids());
        match edit {
            Edit::Rotation(value) => {
                next.rotation = Rotation::read(value, "", &mut violations);
                places.rotation = Some(String::new());
            }
            Edit::Blocks(value) => {
                let given = items(value, MAX_BLOCKS, &mut violations);
                let read = |value: &Value, at| Block::read(value, at, &mut violations);
                next.blocks = read_all(given, "/items", read);
                places.blocks = true;
            }
            Edit::Templates(value) => {
                let given = items(value, MAX_TEMPLATES, &mut violations);
                let read = |value: &Value, at| Template::read(value, at, &mut violations);
                next.templates = read_all(given, "/items", read);
                places.templates = true;
            }
            Edit::Slots(value) => {
                let given = items(value, MAX_SLOTS, &mut violations);
                let read = |value: &Value, at| Slot::read(value, at, &mut ids, &mut violations);
                next.slots = read_all(given, "/items", read);
                let all = 0..next.slots.len();
                places.slots = all.map(|n| Some(format!("/items/{n}"))).collect();
            }
            Edit::AddSlots(value) => {
                let old = next.slots.len();
                places.slots = vec![None; old];
                if holds_slots(value) {
                    let given = items(value, MAX_SLOTS, &mut violations);
                    let read = |value: &Value, at| Slot::read(value, at, &mut ids, &mut violations);
                    next.slots.extend(read_all(given, "/items", read));
                    let new = 0..next.slots.len() - old;
                    places
                        .slots
                        .extend(new.map(|n| Some(format!("/items/{n}"))));
                } else {
                    let slot = Slot::read(value, String::new(), &mut ids, &mut violations);
                    next.slots.push(slot);
                    places.slots.push(Some(String::new()));
                }
                let have = next.slots.len();
                if have > MAX_SLOTS {
                    violations.add(
                        "",
                        format!("with these there would be {have} slots; at most {MAX_SLOTS} are allowed"),
                    );
                }
            }
            Edit::Slot(id, patch) => {
                let n = next.slots.iter().position(|slot| slot.id == *id);
                let n = n.ok_or(Refused::NoSuchSlot)?;
                let value = merge_patch(&next.slots[n].to_json(), patch);
                let mut same = || Some(*id);
                let slot = Slot::read(&value, String::new(), &mut same, &mut violations);
                if slot.id != *id && violations.0.is_empty() {
                    violations.add("/id", format!("the slot is {id}, and stays so"));
                }
                next.slots[n] = slot;
                places.slots = vec![None; next.slots.len()];
                places.slots[n] = Some(String::new());
            }
            Edit::RemoveSlot(id) => {
                next.slots.retain(|slot| slot.id != *id);
                if next.slots.len() == self.slots.len() {
                    return Err(Refused::NoSuchSlot);
                }
            }
            Edit::ClearSlots => next.slots.clear(),
        }
        check(&next, &places, known, rate, &mut violations);
        violations.or(next).map_err(Refused::Violations)
    }
}

/// The list of a request `{"items": […]}`.
fn items<'a>(value: &'a Value, most: usize, violations: &mut Violations) -> &'a [Value] {
    let mut fields = Fields::open(value, "", violations);
    fields.required("items");
    let items = fields.list("items", most).unwrap_or_default();
    fields.finish();
    items
}

/// Whether a request to add is a list of slots: a slot has items of its own, but they have none.
fn holds_slots(value: &Value) -> bool {
    let items = value.get("items").and_then(Value::as_array);
    value.get("at").is_none()
        && value.get("time").is_none()
        && items.is_some_and(|items| items.iter().any(|item| item.get("items").is_some()))
}
