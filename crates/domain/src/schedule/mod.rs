//! What a client wants a channel to play, and when: a rotation, slots by the clock, blocks, templates of days.
//!
//! A schedule is checked whole before it is taken ([`edit`]), so whatever is stored plays. [`Schedule::resolve`]
//! makes it into what a plan is expanded from, with the lengths that are known.

mod beyond;
mod check;
mod edit;
mod element;
mod parts;
mod resolve;
mod rotation;
mod when;

pub use check::Known;
pub use edit::{Edit, Refused};
pub use element::{Element, MAX_NAME, MAX_SECONDS};
pub use parts::{
    Block, MAX_BLOCKS, MAX_DATES, MAX_ELEMENTS, MAX_SLOTS, MAX_TEMPLATES, Slot, Template,
    TemplateSlot,
};
pub use resolve::Facts;
pub use rotation::{
    MAX_FILLERS, MAX_ROTATION_ITEMS, MAX_SEED, MAX_WEIGHT, Order, Rotation, RotationItem,
    Separation,
};
pub use when::{UnknownZone, Weekdays, When, Zone};

use crate::ids::MediaId;
use crate::violation::{Fields, Violations};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Everything that a channel is to play.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Counts the edits: what `If-Match` compares.
    pub version: u64,
    /// What plays where no slot is.
    pub rotation: Rotation,
    /// Named sequences.
    pub blocks: Vec<Block>,
    /// Kinds of days.
    pub templates: Vec<Template>,
    /// What begins by the clock.
    pub slots: Vec<Slot>,
}

impl Schedule {
    /// A rotation alone.
    pub fn rotating(rotation: Rotation) -> Self {
        Self {
            rotation,
            ..Self::default()
        }
    }

    /// Whole items in a loop.
    pub fn looping(media: impl IntoIterator<Item = MediaId>) -> Self {
        Self::rotating(Rotation {
            items: media.into_iter().map(RotationItem::whole).collect(),
            ..Rotation::default()
        })
    }

    /// Every media item that is named, fillers and blocks included, in no order of meaning.
    pub fn media(&self) -> BTreeSet<MediaId> {
        self.all_media().collect()
    }

    /// Whether it names a media item anywhere.
    pub fn names(&self, media: MediaId) -> bool {
        self.all_media().any(|named| named == media)
    }

    fn all_media(&self) -> impl Iterator<Item = MediaId> + '_ {
        let rotation = self.rotation.items.iter().map(|item| &item.element);
        let blocks = self.blocks.iter().flat_map(|block| &block.items);
        let slots = self.slots.iter().flat_map(|slot| &slot.items);
        let days = self.templates.iter().flat_map(|day| &day.slots);
        let days = days.flat_map(|slot| &slot.items);
        let all = rotation.chain(&self.rotation.fillers).chain(blocks);
        let media = |element: &Element| match element {
            Element::Media { media_id, .. } => Some(*media_id),
            Element::Block(_) => None,
        };
        all.chain(slots).chain(days).filter_map(media)
    }

    /// The schedule as it is stored.
    pub fn to_json(&self) -> Value {
        json!({
            "version": self.version,
            "rotation": self.rotation.to_json(),
            "blocks": self.blocks.iter().map(Block::to_json).collect::<Value>(),
            "templates": self.templates.iter().map(Template::to_json).collect::<Value>(),
            "slots": self.slots.iter().map(Slot::to_json).collect::<Value>(),
        })
    }

    /// Reads what [`Schedule::to_json`] wrote, and the rotation alone that was stored before there was more.
    ///
    /// # Errors
    /// What is no schedule.
    pub fn stored(value: &Value) -> Result<Self, Violations> {
        if value.get("items").is_some() {
            return Rotation::parse(value).map(Self::rotating);
        }
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let version = fields.whole_number("version").unwrap_or_default();
        let rotation = fields.required("rotation");
        let blocks = fields.list("blocks", MAX_BLOCKS).unwrap_or_default();
        let templates = fields.list("templates", MAX_TEMPLATES).unwrap_or_default();
        let slots = fields.list("slots", MAX_SLOTS).unwrap_or_default();
        fields.finish();
        let rotation =
            rotation.map(|rotation| Rotation::read(rotation, "/rotation", &mut violations));
        let schedule = Self {
            version,
            rotation: rotation.unwrap_or_default(),
            blocks: read_all(blocks, "/blocks", |value, at| {
                Block::read(value, at, &mut violations)
            }),
            templates: read_all(templates, "/templates", |value, at| {
                Template::read(value, at, &mut violations)
            }),
            slots: read_all(slots, "/slots", |value, at| {
                Slot::read(value, at, &mut || None, &mut violations)
            }),
        };
        violations.or(schedule)
    }
}

/// Reads every value of a list at `pointer`.
fn read_all<T>(
    values: &[Value],
    pointer: &str,
    mut read: impl FnMut(&Value, String) -> T,
) -> Vec<T> {
    let each = values.iter().enumerate();
    each.map(|(n, value)| read(value, format!("{pointer}/{n}")))
        .collect()
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::stored(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
