//! The rotation of a channel: what it plays round after round where no slot is, and what fills up.

use super::element::{Bound, Element, elements, list, seconds};
use crate::ids::MediaId;
use crate::units::Ticks90k;
use crate::violation::{Fields, Violations, quoted};
use serde_json::{Map, Value, json};

/// Items that a rotation holds at most.
pub const MAX_ROTATION_ITEMS: usize = 10_000;
/// Fillers that a rotation holds at most.
pub const MAX_FILLERS: usize = 1_000;
/// How often an item comes in a round at most.
pub const MAX_WEIGHT: u64 = 100;
/// Seeds are whole numbers that every JSON reader keeps exactly.
pub const MAX_SEED: u64 = (1 << 53) - 1;

/// One item of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationItem {
    /// What is played.
    pub element: Element,
    /// How often it comes in one round of a weighted rotation.
    pub weight: u32,
}

impl RotationItem {
    /// The whole of a media item, once a round.
    pub const fn whole(media_id: MediaId) -> Self {
        Self {
            element: Element::whole(media_id),
            weight: 1,
        }
    }
}

/// In which order a rotation plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As written.
    #[default]
    Ordered,
    /// Every round in another order, which follows from the seed and the number of the round alone.
    Shuffled {
        /// The same seed, the same orders.
        seed: u64,
    },
    /// Each item as often in a round as its weight says, spread evenly.
    Weighted,
}

impl Order {
    /// Every order by its name.
    pub const NAMES: [&str; 3] = ["ordered", "shuffled", "weighted"];

    const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Shuffled { .. } => "shuffled",
            Self::Weighted => "weighted",
        }
    }
}

/// How long something stays away after it was played, as far as there is anything else to play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Separation {
    /// From the end of an item until the same one begins again.
    pub item: Ticks90k,
    /// From the end of an item until one of the same series begins.
    pub series: Ticks90k,
}

/// What a channel plays where no slot is; no items: the fallback plays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// In the order in which they are written; one may come more than once.
    pub items: Vec<RotationItem>,
    /// In which order they play.
    pub order: Order,
    /// What stays apart.
    pub separation: Separation,
    /// What pads up to a slot where the next item does not fit any more.
    pub fillers: Vec<Element>,
}

impl Rotation {
    /// Reads `{"items": [{"mediaId": "…"}, …], "order": "shuffled", "seed": 7, "separation": {"item": 600},
    /// "fillers": […]}`; all but `items` may be absent.
    ///
    /// # Errors
    /// Every violation, each with its pointer. Whether media and blocks exist is not known here.
    pub fn parse(value: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let rotation = Self::read(value, "", &mut violations);
        violations.or(rotation)
    }

    pub(super) fn read(value: &Value, pointer: &str, violations: &mut Violations) -> Self {
        let mut fields = Fields::open(value, pointer, violations);
        let order = read_order(&mut fields);
        let mut items = Vec::new();
        if fields.required("items").is_some() {
            let list = fields.list("items", MAX_ROTATION_ITEMS);
            let at = fields.pointer_to("items");
            for (n, item) in list.unwrap_or_default().iter().enumerate() {
                let mut entry = Fields::open(item, format!("{at}/{n}"), fields.violations());
                let weight = weight(&mut entry, order);
                let element = Element::read(&mut entry);
                entry.finish();
                let element = element.unwrap_or(Element::WRONG);
                items.push(RotationItem { element, weight });
            }
        }
        let mut separation = Separation::default();
        if let Some(given) = fields.value("separation") {
            let at = fields.pointer_to("separation");
            let mut entry = Fields::open(given, at, fields.violations());
            separation.item = seconds(&mut entry, "item", Bound::FromZero).unwrap_or_default();
            separation.series = seconds(&mut entry, "series", Bound::FromZero).unwrap_or_default();
            entry.finish();
        }
        let fillers = elements(&mut fields, "fillers", MAX_FILLERS, false);
        let at = fields.pointer_to("fillers");
        for (n, filler) in fillers.iter().enumerate() {
            if matches!(filler, Element::Block(name) if !name.is_empty()) {
                fields.violations().add(
                    format!("{at}/{n}/block"),
                    "a filler is a media item, not a block",
                );
            }
        }
        fields.finish();
        Self {
            items,
            order,
            separation,
            fillers,
        }
    }

    /// The rotation as it is read: what is as usual is left out.
    pub fn to_json(&self) -> Value {
        let item = |item: &RotationItem| {
            let mut map = Map::new();
            item.element.write(&mut map);
            if item.weight != 1 {
                map.insert("weight".into(), json!(item.weight));
            }
            Value::Object(map)
        };
        let mut map = Map::new();
        map.insert("items".into(), self.items.iter().map(item).collect());
        if self.order != Order::Ordered {
            map.insert("order".into(), json!(self.order.name()));
        }
        if let Order::Shuffled { seed } = self.order {
            map.insert("seed".into(), json!(seed));
        }
        if self.separation != Separation::default() {
            let Separation { item, series } = self.separation;
            let separation = json!({ "item": item.seconds(), "series": series.seconds() });
            map.insert("separation".into(), separation);
        }
        if !self.fillers.is_empty() {
            map.insert("fillers".into(), list(&self.fillers));
        }
        Value::Object(map)
    }
}

fn read_order(fields: &mut Fields<'_, '_>) -> Order {
    let seed = fields.whole_number("seed");
    let order = match fields.text("order") {
        None | Some("ordered") => Order::Ordered,
        Some("weighted") => Order::Weighted,
        Some("shuffled") => Order::Shuffled {
            seed: seed.unwrap_or(0),
        },
        Some(other) => {
            let (other, known) = (quoted(other), Order::NAMES.join(", "));
            fields.refuse("order", format!("order is {other}; it is one of {known}"));
            Order::Ordered
        }
    };
    if let Some(seed) = seed {
        if !matches!(order, Order::Shuffled { .. }) {
            fields.refuse("seed", "a seed is for a rotation that is shuffled");
        }
        if seed > MAX_SEED {
            fields.refuse(
                "seed",
                format!("seed is {seed}; it is at most {MAX_SEED} (2^53 - 1)"),
            );
        }
    }
    order
}

fn weight(entry: &mut Fields<'_, '_>, order: Order) -> u32 {
    let Some(given) = entry.whole_number("weight") else {
        return 1;
    };
    if order != Order::Weighted {
        entry.refuse("weight", "a weight is for a rotation that is weighted");
    }
    if !(1..=MAX_WEIGHT).contains(&given) {
        entry.refuse(
            "weight",
            format!("weight is {given}; it is from 1 to {MAX_WEIGHT}"),
        );
    }
    given.clamp(1, MAX_WEIGHT) as u32
}
