//! `[as_run]`: what went out.

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// `[as_run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsRunSettings {
    pub keep: Seconds<3_600, 3_155_760_000>,
}

impl Default for AsRunSettings {
    fn default() -> Self {
        Self {
            keep: Seconds::of(7_776_000),
        }
    }
}
