//! `[plans]`: what follows when a client has more than its plan allows.

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// `[plans]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanSettings {
    pub grace: Seconds<0, 31_536_000>,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            grace: Seconds::of(1_209_600),
        }
    }
}
