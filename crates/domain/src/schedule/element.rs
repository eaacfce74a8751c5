//! What a rotation, a block or a slot is made of: an item of the library, or a block by its name; and the
//! numbers and lists that schedules share.

use crate::ids::MediaId;
use crate::units::Ticks90k;
use crate::violation::{Fields, describe, quoted};
use serde_json::{Map, Value, json};

/// Characters that a name of a block or a template has at most.
pub const MAX_NAME: usize = 100;
/// Seconds that a length or a position has at most: a week.
pub const MAX_SECONDS: f64 = 604_800.0;

/// Something that is played: one thing, or many that are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// An item of the library.
    Media {
        /// Which.
        media_id: MediaId,
        /// Where in the item it begins.
        begins: Ticks90k,
        /// Where in the item it ends; `None`: with the item.
        ends: Option<Ticks90k>,
    },
    /// Everything that the block of this name has, in its order.
    Block(String),
}

impl Element {
    /// Stands for one that could not be read, which has been noted, so that those after it keep their places.
    pub(super) const WRONG: Self = Self::Block(String::new());

    /// The whole of an item.
    pub const fn whole(media_id: MediaId) -> Self {
        Self::Media {
            media_id,
            begins: Ticks90k(0),
            ends: None,
        }
    }

    /// Reads `{"mediaId": "…", "in": 1.5, "out": 20}` or `{"block": "…"}` out of an object that may have
    /// more; nothing where that is wrong, which has been noted.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let begins = seconds(fields, "in", Bound::FromZero);
        let ends = seconds(fields, "out", Bound::AboveZero);
        if let Some(block) = name(fields, "block", false) {
            if fields.value("mediaId").is_some() {
                fields.refuse(
                    "mediaId",
                    "an entry is a media item or a block, not both; leave out mediaId or block",
                );
            }
            for point in ["in", "out"] {
                if fields.value(point).is_some() {
                    fields.refuse(point, format!("{point} is for media; a block plays whole"));
                }
            }
            return Some(Self::Block(block));
        }
        if fields.value("block").is_some() {
            return None;
        }
        let media_id = fields.required_parsed("mediaId", str::parse::<MediaId>)?;
        let begins = begins.unwrap_or_default();
        if let Some(ends) = ends.filter(|ends| *ends <= begins) {
            let (ends, begins) = (ends.seconds(), begins.seconds());
            fields.refuse(
                "out",
                format!("out is {ends} s, not after in, which is {begins} s"),
            );
            return None;
        }
        Some(Self::Media {
            media_id,
            begins,
            ends,
        })
    }

    /// The fields as they are read.
    pub(super) fn write(&self, into: &mut Map<String, Value>) {
        match self {
            Self::Block(name) => {
                into.insert("block".into(), json!(name));
            }
            Self::Media {
                media_id,
                begins,
                ends,
            } => {
                into.insert("mediaId".into(), json!(media_id));
                if begins.get() > 0 {
                    into.insert("in".into(), json!(begins.seconds()));
                }
                if let Some(ends) = ends {
                    into.insert("out".into(), json!(ends.seconds()));
                }
            }
        }
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        self.write(&mut map);
        Value::Object(map)
    }
}

/// Reads the list `field` of elements, `most` at most; `needed`: it must be there and hold one.
pub(super) fn elements(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    most: usize,
    needed: bool,
) -> Vec<Element> {
    if needed && fields.required(field).is_none() {
        return Vec::new();
    }
    let list = fields.list(field, most);
    if needed && list.is_some_and(<[Value]>::is_empty) {
        fields.refuse(
            field,
            format!("{field} is empty; there has to be one entry at least"),
        );
    }
    let at = fields.pointer_to(field);
    let mut read = Vec::new();
    for (n, value) in list.unwrap_or_default().iter().enumerate() {
        let mut entry = Fields::open(value, format!("{at}/{n}"), fields.violations());
        let element = Element::read(&mut entry);
        entry.finish();
        read.push(element.unwrap_or(Element::WRONG));
    }
    read
}

/// Elements as they are read.
pub(super) fn list(elements: &[Element]) -> Value {
    elements.iter().map(Element::to_json).collect()
}

/// What a number of seconds may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    FromZero,
    AboveZero,
}

/// Reads a number of seconds.
pub(super) fn seconds(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    bound: Bound,
) -> Option<Ticks90k> {
    let value = fields.value(field)?;
    let Some(given) = value.as_f64() else {
        let given = describe(value);
        fields.refuse(
            field,
            format!("{field} is {given}; a number of seconds is needed"),
        );
        return None;
    };
    let ticks = (given * Ticks90k::PER_SECOND as f64).round();
    let enough = match bound {
        Bound::FromZero => given >= 0.0,
        Bound::AboveZero => ticks >= 1.0,
    };
    if !enough || given > MAX_SECONDS {
        let least = match bound {
            Bound::FromZero => "from 0",
            Bound::AboveZero => "above 0",
        };
        fields.refuse(
            field,
            format!("{field} is {given} s; it has to be {least}, up to {MAX_SECONDS} s"),
        );
        return None;
    }
    Some(Ticks90k(ticks as u64))
}

/// Reads a name: of 1 to 100 characters, none of them a control character.
pub(super) fn name(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    needed: bool,
) -> Option<String> {
    let text = match needed {
        true => fields.required_text(field),
        false => fields.text(field),
    }?;
    let long = text.chars().count();
    if text.trim().is_empty() || long > MAX_NAME || text.chars().any(char::is_control) {
        let given = quoted(text);
        fields.refuse(
            field,
            format!("{field} is {given}; it has to have 1 to {MAX_NAME} characters, none of them a control character"),
        );
        return None;
    }
    Some(text.to_owned())
}
