//! What is done to the sound and the pictures of everything that a channel plays, beside bringing them to its size and
//! rate. It is part of the profile, for what was prepared with another treatment looks or sounds otherwise; but any
//! two pieces of one size and rate splice, however they were treated.

use crate::config::ChannelConfig;
use crate::languages::Languages;
use crate::loudness::Loudness;
use serde::{Deserialize, Serialize};

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Treatment {
    /// How loud everything is.
    pub loudness: Loudness,
    /// Which languages are preferred, where there are several.
    #[serde(default)]
    pub languages: Languages,
}

impl Treatment {
    /// Nothing is done.
    pub const PLAIN: Self = Self {
        loudness: Loudness::AsItIs,
        languages: Languages::NONE,
    };

    /// That of a channel.
    pub fn of(config: &ChannelConfig) -> Self {
        Self {
            loudness: config.loudness,
            languages: config.audio_languages,
        }
    }

    /// Whether nothing is done.
    pub fn is_plain(&self) -> bool {
        *self == Self::PLAIN
    }

    /// Its part of a profile's key, a dash before everything that is done.
    pub(crate) fn key(&self) -> String {
        [self.loudness.key(), self.languages.key()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| format!("-{part}"))
            .collect()
    }
}

impl Default for Treatment {
    fn default() -> Self {
        Self::PLAIN
    }
}
