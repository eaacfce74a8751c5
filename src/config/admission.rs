//! `[admission]`: what this node has for channels.

use serde::{Deserialize, Serialize};

use super::bounded::Count;

/// `[admission]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionSettings {
    pub cpu: Count<0, 100_000>,
    pub memory: Count<0, 1_125_899_906_842_624>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            cpu: Count::of(0),
            memory: Count::of(0),
        }
    }
}
