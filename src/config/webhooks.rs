//! `[webhooks]`: how events are told to whoever asked for it.

use serde::{Deserialize, Serialize};

use super::bounded::Seconds;

/// `[webhooks]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    pub keep: Seconds<3_600, 31_536_000>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            keep: Seconds::of(604_800),
        }
    }
}
