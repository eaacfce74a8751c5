//! `[access]`: who comes in, and how fast.

use serde::{Deserialize, Serialize};

use super::bounded::{Count, Seconds};

/// `[access]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    pub session_idle: Seconds<60, 2_592_000>,
    pub session_longest: Seconds<60, 31_536_000>,
    pub requests_per_second: Count<0, 1_000_000>,
    pub burst: Count<1, 1_000_000>,
    pub wrong_tokens: Count<1, 1_000_000>,
    pub wrong_token_pause: Seconds<1, 3600>,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            session_idle: Seconds::of(43_200),
            session_longest: Seconds::of(2_592_000),
            requests_per_second: Count::of(500),
            burst: Count::of(1000),
            wrong_tokens: Count::of(20),
            wrong_token_pause: Seconds::of(5),
        }
    }
}
