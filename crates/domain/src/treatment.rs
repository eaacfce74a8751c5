//! What is done to the sound and the pictures of everything that a channel plays, beside bringing them to its size and
//! rate. It is part of the profile, for what was prepared with another treatment looks or sounds otherwise; but any
//! two pieces of one size and rate splice, however they were treated.

use crate::config::ChannelConfig;
use crate::languages::Languages;
use crate::logo::Logo;
use crate::loudness::Loudness;
use crate::overlay::{Caption, Font};
use crate::violation::quoted;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What becomes of a picture of another shape than the channel's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// All of it is shown, with black beside it.
    #[default]
    Letterbox,
    /// It fills the channel's, and what is too much on two sides is cut off.
    Crop,
}

impl Fit {
    fn key(self) -> String {
        match self {
            Self::Letterbox => String::new(),
            Self::Crop => "crop".to_owned(),
        }
    }
}

impl FromStr for Fit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "letterbox" => Ok(Self::Letterbox),
            "crop" => Ok(Self::Crop),
            _ => Err(format!(
                "a fit {} is not known; it is letterbox or crop",
                quoted(text)
            )),
        }
    }
}

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Treatment {
    /// How loud everything is.
    pub loudness: Loudness,
    /// Which languages are preferred, where there are several.
    #[serde(default)]
    pub languages: Languages,
    /// What becomes of pictures of another shape.
    #[serde(default)]
    pub fit: Fit,
    /// What is drawn over all pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<Logo>,
    /// What is written over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<Caption>,
}

impl Treatment {
    /// Nothing is done.
    pub const PLAIN: Self = Self {
        loudness: Loudness::AsItIs,
        languages: Languages::NONE,
        fit: Fit::Letterbox,
        logo: None,
        caption: None,
    };

    /// That of a channel, whose texts are drawn in `font`.
    pub fn of(config: &ChannelConfig, font: Font) -> Self {
        let standing = config
            .overlay
            .as_ref()
            .and_then(|overlay| overlay.standing());
        Self {
            loudness: config.loudness,
            languages: config.audio_languages,
            fit: config.fit,
            logo: config.logo,
            caption: standing.and_then(|third| Caption::new(third, font)),
        }
    }

    /// Whether nothing is done.
    pub fn is_plain(&self) -> bool {
        *self == Self::PLAIN
    }

    /// Its part of a profile's key, a dash before everything that is done.
    pub(crate) fn key(&self) -> String {
        let logo = self.logo.map(|logo| logo.key()).unwrap_or_default();
        let caption = self.caption.map(|caption| caption.key());
        [
            self.loudness.key(),
            self.languages.key(),
            self.fit.key(),
            logo,
            caption.unwrap_or_default(),
        ]
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
