//! Changing a configuration: JSON merge patch (RFC 7396) onto what reads answer, then read again.

use super::{ChannelConfig, Policy, Rung};
use crate::violation::{Violations, describe};
use serde_json::{Map, Value};

/// `target` changed by `patch`: members of `null` go, objects merge, anything else replaces
/// (RFC 7396 §2).
pub fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut merged = target.as_object().cloned().unwrap_or_else(Map::new);
    for (name, change) in changes {
        if change.is_null() {
            merged.remove(name);
        } else {
            let before = merged.get(name).unwrap_or(&Value::Null);
            let after = merge_patch(before, change);
            merged.insert(name.clone(), after);
        }
    }
    Value::Object(merged)
}

impl ChannelConfig {
    /// This configuration with `patch` merged onto it. A bitrate or ladder that is the default one
    /// follows resolution and frame rate. A destination that names a known id and no key keeps its
    /// key; a list of destinations replaces the list.
    ///
    /// # Errors
    /// Every violation of the result, each with its pointer.
    pub fn patched(&self, patch: &Value, policy: &Policy) -> Result<Self, Violations> {
        if !patch.is_object() {
            let message = format!(
                "an object of changes is needed here, not {}",
                describe(patch)
            );
            return Err(Violations::one("", message));
        }
        let mut base = self.to_json_public();
        if let Some(fields) = base.as_object_mut() {
            let default = self.resolution.default_bitrate(self.frame_rate);
            if self.bitrate == default {
                fields.remove("bitrate");
            }
            if self.ladder
                == [Rung {
                    resolution: self.resolution,
                    bitrate: self.bitrate,
                }]
            {
                fields.remove("ladder");
            }
        }
        Self::parse_with(&merge_patch(&base, patch), policy, &self.rtmp_destinations)
    }
}
