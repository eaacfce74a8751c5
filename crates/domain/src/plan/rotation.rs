//! The rotation of a channel: the items it plays in a loop, as its client wrote them.

use super::PlannedItem;
use crate::ids::MediaId;
use crate::violation::{Fields, Violations, member};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Items that a rotation holds at most.
pub const MAX_ROTATION_ITEMS: usize = 10_000;

/// One item of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationItem {
    /// What is played.
    pub media_id: MediaId,
}

/// The items a channel plays in a loop; empty: the fallback plays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// In the order in which they play; one may come more than once.
    pub items: Vec<RotationItem>,
}

impl Rotation {
    /// Reads `{"items": [{"mediaId": "…"}, …]}`.
    ///
    /// # Errors
    /// Every violation, each with its pointer. Whether the media exist is not known here.
    pub fn parse(value: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let mut items = Vec::new();
        if fields.required("items").is_some() {
            for (n, item) in fields
                .list("items", MAX_ROTATION_ITEMS)
                .unwrap_or(&[])
                .iter()
                .enumerate()
            {
                let mut entry = Fields::open(item, member("/items", n), fields.violations());
                let media_id = entry.required_parsed("mediaId", str::parse::<MediaId>);
                entry.finish();
                items.extend(media_id.map(|media_id| RotationItem { media_id }));
            }
        }
        fields.finish();
        violations.or(Self { items })
    }

    /// The items with their lengths in frames; those of unknown length are passed over on air.
    pub fn planned(&self, frames: impl Fn(MediaId) -> Option<u64>) -> Vec<PlannedItem> {
        let planned = |item: &RotationItem| PlannedItem {
            media_id: item.media_id,
            frames: frames(item.media_id).unwrap_or(0),
        };
        self.items.iter().map(planned).collect()
    }
}
