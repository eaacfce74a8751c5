//! The named and the timed parts of a schedule: blocks, slots and day templates.

use super::element::{Bound, Element, elements, list, name, seconds};
use super::when::{Weekdays, When, Zone, time};
use crate::ids::SlotId;
use crate::units::Ticks90k;
use crate::violation::{Fields, Violations, quoted};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Blocks of a schedule, at most.
pub const MAX_BLOCKS: usize = 1_000;
/// Slots of a schedule, at most; those of its templates have a bound of the same size for themselves.
pub const MAX_SLOTS: usize = 1_000;
/// Templates of a schedule, at most.
pub const MAX_TEMPLATES: usize = 100;
/// Entries of a block or a slot, at most.
pub const MAX_ELEMENTS: usize = 1_000;
/// Dates of a template, at most.
pub const MAX_DATES: usize = 366;

/// A named sequence that is played as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is called by.
    pub name: String,
    /// In the order in which they play; blocks among them play whole.
    pub items: Vec<Element>,
}

impl Block {
    /// What cannot be read of it has been noted, and stands empty.
    pub(super) fn read(value: &Value, pointer: String, violations: &mut Violations) -> Self {
        let mut fields = Fields::open(value, pointer, violations);
        let name = name(&mut fields, "name", true);
        let items = elements(&mut fields, "items", MAX_ELEMENTS, true);
        fields.finish();
        Self {
            name: name.unwrap_or_default(),
            items,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "name": self.name, "items": list(&self.items) })
    }
}

/// What begins at a time of the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// What it is called by.
    pub id: SlotId,
    /// When it begins.
    pub when: When,
    /// What it plays, once, in this order.
    pub items: Vec<Element>,
    /// Where it ends at the latest, and up to where fillers pad it; `None`: with its last item.
    pub duration: Option<Ticks90k>,
}

impl Slot {
    /// Reads a slot; one that names no id takes the next of `ids`. As [`Block::read`].
    pub(super) fn read(
        value: &Value,
        pointer: String,
        ids: &mut dyn FnMut() -> Option<SlotId>,
        violations: &mut Violations,
    ) -> Self {
        let mut fields = Fields::open(value, pointer, violations);
        let given = fields.parsed("id", str::parse::<SlotId>);
        if given.is_some_and(|id| id.uuid().is_nil()) {
            fields.refuse(
                "id",
                "id is the nil UUID, which names nothing; leave it out for a new slot",
            );
        }
        let when = When::read(&mut fields);
        let items = elements(&mut fields, "items", MAX_ELEMENTS, true);
        let duration = seconds(&mut fields, "duration", Bound::AboveZero);
        let id = match fields.value("id") {
            Some(_) => given,
            None => ids().or_else(|| fields.required_parsed("id", str::parse)),
        };
        fields.finish();
        Self {
            id: id.unwrap_or(SlotId::from(Uuid::nil())),
            when: when.unwrap_or(When::Once(Timestamp::UNIX_EPOCH)),
            items,
            duration,
        }
    }

    /// The slot as it is read.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("id".into(), json!(self.id));
        self.when.write(&mut map);
        map.insert("items".into(), list(&self.items));
        if let Some(duration) = self.duration {
            map.insert("duration".into(), json!(duration.seconds()));
        }
        Value::Object(map)
    }
}

/// The slots of one kind of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What it is called by.
    pub name: String,
    /// Whose clocks count.
    pub zone: Zone,
    /// The days of the week that it is for.
    pub days: Weekdays,
    /// The dates that it is for; they go before days of the week.
    pub dates: Vec<Date>,
    /// What begins when.
    pub slots: Vec<TemplateSlot>,
}

/// One slot of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSlot {
    /// When it begins.
    pub time: Time,
    /// As of a [`Slot`].
    pub items: Vec<Element>,
    /// As of a [`Slot`].
    pub duration: Option<Ticks90k>,
}

impl Template {
    /// What cannot be read of it has been noted, and stands empty.
    pub(super) fn read(value: &Value, pointer: String, violations: &mut Violations) -> Self {
        let mut fields = Fields::open(value, pointer, violations);
        let name = name(&mut fields, "name", true);
        let zone = fields.required_parsed("zone", str::parse::<Zone>);
        let days = Weekdays::read(&mut fields);
        let dates = dates(&mut fields);
        if fields.value("days").is_none() && fields.value("dates").is_none() {
            fields.refuse("days", "a template needs days or dates that it is for");
        }
        let mut slots = Vec::new();
        if fields.required("slots").is_some() {
            let given = fields.list("slots", MAX_SLOTS).unwrap_or_default();
            let at = fields.pointer_to("slots");
            for (n, slot) in given.iter().enumerate() {
                let mut entry = Fields::open(slot, format!("{at}/{n}"), fields.violations());
                entry.required("time");
                let time = time(&mut entry);
                let items = elements(&mut entry, "items", MAX_ELEMENTS, true);
                let duration = seconds(&mut entry, "duration", Bound::AboveZero);
                entry.finish();
                slots.push(TemplateSlot {
                    time: time.unwrap_or_default(),
                    items,
                    duration,
                });
            }
        }
        fields.finish();
        Self {
            name: name.unwrap_or_default(),
            zone: zone.unwrap_or_default(),
            days: days.unwrap_or_default(),
            dates,
            slots,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let slot = |slot: &TemplateSlot| {
            let mut map = Map::new();
            map.insert("time".into(), json!(slot.time));
            map.insert("items".into(), list(&slot.items));
            if let Some(duration) = slot.duration {
                map.insert("duration".into(), json!(duration.seconds()));
            }
            Value::Object(map)
        };
        let slots: Value = self.slots.iter().map(slot).collect();
        let mut map = Map::new();
        map.insert("name".into(), json!(self.name));
        map.insert("zone".into(), json!(self.zone.to_string()));
        if self.days != Weekdays::default() {
            map.insert("days".into(), self.days.to_json());
        }
        if !self.dates.is_empty() {
            map.insert("dates".into(), json!(self.dates));
        }
        map.insert("slots".into(), slots);
        Value::Object(map)
    }
}

fn dates(fields: &mut Fields<'_, '_>) -> Vec<Date> {
    let list = fields.list("dates", MAX_DATES);
    if list.is_some_and(<[Value]>::is_empty) {
        fields.refuse("dates", "dates is empty; name a date, or leave it out");
    }
    let mut dates = Vec::new();
    for (n, value) in list.unwrap_or_default().iter().enumerate() {
        let text = value.as_str().unwrap_or_default();
        let plain = text.len() == 10;
        match text.parse::<Date>().ok().filter(|_| plain) {
            Some(date) => dates.push(date),
            None => {
                let at = format!("{}/{n}", fields.pointer_to("dates"));
                let message = format!(
                    "{} is no date of the calendar; a date is written as in 2028-02-29",
                    quoted(text)
                );
                fields.violations().add(at, message);
            }
        }
    }
    dates
}
