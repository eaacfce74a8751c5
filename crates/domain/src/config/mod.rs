//! The configuration of a channel: what its client chose, complete and valid by construction.
//!
//! Three JSON forms: what reads answer ([`ChannelConfig::to_json_public`]), what the store keeps
//! ([`ChannelConfig::to_json_stored`], without the destinations, which have a table of their own),
//! and what writes send ([`ChannelConfig::parse`], [`ChannelConfig::patched`]).
//!
//! Invariant (P1): what is read can be sent back, and nothing changes.

mod edit;
mod parse;
mod patch;
mod recovery;
mod resources;
mod subtitles;

pub use edit::DestinationEdit;
pub use parse::{MAX_DESTINATIONS, MAX_NAME_LENGTH, Policy, can_be_read};
pub use patch::merge_patch;
pub use recovery::{HEALTH_CHECK_INTERVAL, MAX_RESTARTS, RESTART_DELAY, RecoverySettings};
pub use resources::{CPU, MEMORY, ResourceSettings};
pub use subtitles::{LONGEST_NAME, MAX_SUBTITLES, SubtitleSetting};

pub use crate::ladder::Rung;

use crate::destination::DestinationConfig;
use crate::ids::MediaId;
use crate::labels::Labels;
use crate::languages::Languages;
use crate::logo::Logo;
use crate::loudness::Loudness;
use crate::overlay::Overlay;
use crate::resolution::Resolution;
use crate::treatment::Fit;
use crate::units::{BitsPerSecond, FrameRate};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What a client chose for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// What people call it: 1 … 100 characters.
    pub name: String,
    /// The size of the picture.
    pub resolution: Resolution,
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// The video bitrate. When it is the default one it follows resolution and frame rate.
    pub bitrate: BitsPerSecond,
    /// The rungs, highest first; the first is the channel's own resolution and bitrate.
    pub ladder: Vec<Rung>,
    /// What plays when the plan has nothing; none: the built-in slate.
    pub fallback_video: Option<MediaId>,
    /// Whether the channel is served as HLS.
    pub hls_enabled: bool,
    /// Where it is pushed to by RTMP.
    pub rtmp_destinations: Vec<DestinationConfig>,
    /// How it earns.
    pub monetization: MonetizationSettings,
    /// Whether viewers are counted.
    pub analytics_enabled: bool,
    /// What viewers can do, each feature at most once.
    pub interaction_features: Vec<InteractionSetting>,
    /// The engines that it uses.
    pub features: FeatureFlags,
    /// How its processes are kept running.
    pub recovery: RecoverySettings,
    /// What its processes may use.
    pub resources: ResourceSettings,
    /// What is made of the loudness of what it plays.
    pub loudness: Loudness,
    /// The languages that are preferred, where a file has its sound in several.
    pub audio_languages: Languages,
    /// What becomes of pictures of another shape than the channel's.
    pub fit: Fit,
    /// What is drawn over all that it plays.
    pub logo: Option<Logo>,
    /// What is drawn over it for a while.
    pub overlay: Option<Arc<Overlay>>,
    /// The languages that viewers can read along in, at most one of them by default.
    pub subtitles: Vec<SubtitleSetting>,
    /// What the client finds it by.
    pub labels: Labels,
}

/// How a channel earns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonetizationSettings {
    /// Whether it does.
    pub enabled: bool,
    /// In which money: an ISO 4217 code.
    pub currency: Currency,
}

impl Default for MonetizationSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            currency: Currency(*b"USD"),
        }
    }
}

/// A currency: the three letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => {
                let given = crate::violation::quoted(text);
                Err(format!(
                    "a currency {given} is not known; an ISO 4217 code such as USD is needed"
                ))
            }
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What viewers can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InteractionFeature {
    /// Write to one another.
    Chat,
    /// Vote.
    Polls,
    /// See posts of social networks.
    Social,
    /// Collect points and badges.
    Gamification,
}

impl InteractionFeature {
    /// Every feature.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Polls, Self::Social, Self::Gamification];
}

impl FromStr for InteractionFeature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "chat" => Self::Chat,
            "polls" => Self::Polls,
            "social" => Self::Social,
            "gamification" => Self::Gamification,
            _ => {
                let given = crate::violation::quoted(text);
                return Err(format!(
                    "a feature {given} is not known; it is one of chat, polls, social, gamification"
                ));
            }
        })
    }
}

/// Whether viewers can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InteractionSetting {
    /// What.
    pub feature: InteractionFeature,
    /// Whether they can.
    pub enabled: bool,
}

/// The engines that a channel uses; a plan may withhold them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureFlags {
    /// `monetizationEnabled`
    pub monetization: bool,
    /// `aiOptimizationEnabled`
    pub ai_optimization: bool,
    /// `multiPlatformEnabled`
    pub multi_platform: bool,
    /// `interactionEnabled`
    pub interaction: bool,
}

impl ChannelConfig {
    /// A configuration of defaults under a name, which is taken as valid.
    pub fn named(name: impl Into<String>) -> Self {
        let (resolution, frame_rate) = (Resolution::default(), FrameRate::default());
        let bitrate = resolution.default_bitrate(frame_rate);
        Self {
            name: name.into(),
            resolution,
            frame_rate,
            bitrate,
            ladder: vec![Rung {
                resolution,
                bitrate,
            }],
            fallback_video: None,
            hls_enabled: true,
            rtmp_destinations: Vec::new(),
            monetization: MonetizationSettings::default(),
            analytics_enabled: true,
            interaction_features: Vec::new(),
            features: FeatureFlags::default(),
            recovery: RecoverySettings::default(),
            resources: ResourceSettings::default(),
            loudness: Loudness::default(),
            audio_languages: Languages::NONE,
            fit: Fit::default(),
            logo: None,
            overlay: None,
            subtitles: Vec::new(),
            labels: Labels::default(),
        }
    }

    /// What reads answer: everything, of each stream key only whether there is one.
    pub fn to_json_public(&self) -> Value {
        let mut json = self.to_json_stored();
        let destinations = self
            .rtmp_destinations
            .iter()
            .map(DestinationConfig::to_json_public);
        json["rtmpDestinations"] = destinations.collect();
        json
    }

    /// What the store keeps of it beside the rows of its destinations.
    pub fn to_json_stored(&self) -> Value {
        json!({
            "name": self.name,
            "resolution": self.resolution,
            "frameRate": self.frame_rate,
            "bitrate": self.bitrate,
            "ladder": self.ladder,
            "fallbackVideo": self.fallback_video,
            "hlsEnabled": self.hls_enabled,
            "monetizationSettings": self.monetization,
            "analyticsEnabled": self.analytics_enabled,
            "interactionFeatures": self.interaction_features,
            "monetizationEnabled": self.features.monetization,
            "aiOptimizationEnabled": self.features.ai_optimization,
            "multiPlatformEnabled": self.features.multi_platform,
            "interactionEnabled": self.features.interaction,
            "recoverySettings": self.recovery,
            "resourceSettings": self.resources,
            "loudness": self.loudness,
            "audioLanguages": self.audio_languages,
            "fit": self.fit,
            "logo": self.logo,
            "overlay": self.overlay.as_deref(),
            "subtitles": self.subtitles,
            "labels": self.labels,
        })
    }
}
