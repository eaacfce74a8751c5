//! An RTMP destination: where a channel is pushed to, and with which key.

mod encode;
mod http_url;
mod playback_url;
mod preset;
mod server_url;
mod stream_key;

pub use encode::{Encode, EncodeSettings, Feed, LEAST_AUDIO};
pub use http_url::{HttpUrl, InvalidHttpUrl};
pub use playback_url::{InvalidPlaybackUrl, PlaybackUrl};
pub use preset::{Limits, Preset, Warning};
pub(crate) use server_url::check_host;
pub use server_url::{InvalidServerUrl, MAX_URL_LENGTH, ServerUrl, is_public_address};
pub use stream_key::{InvalidStreamKey, MAX_KEY_LENGTH, StreamKey, StreamKeySetting};

use crate::ids::DestinationId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// A platform that takes RTMP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// YouTube Live
    Youtube,
    /// Facebook Live
    Facebook,
    /// Twitch
    Twitch,
    /// Any other server.
    #[default]
    Custom,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 4] = [Self::Youtube, Self::Facebook, Self::Twitch, Self::Custom];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Youtube => "youtube",
            Self::Facebook => "facebook",
            Self::Twitch => "twitch",
            Self::Custom => "custom",
        }
    }

    /// Whether it takes no stream without a key.
    pub const fn needs_key(self) -> bool {
        !matches!(self, Self::Custom)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|platform| platform.name() == text);
        found.ok_or_else(|| {
            let given = crate::violation::quoted(text);
            format!(
                "a platform {given} is not known; it is one of youtube, facebook, twitch, custom"
            )
        })
    }
}

/// An RTMP destination of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    /// Its id; none until it is stored.
    pub id: Option<DestinationId>,
    /// Where it is.
    pub server_url: ServerUrl,
    /// The key that names the stream there.
    pub stream_key: StreamKeySetting,
    /// What kind of server it is.
    pub platform: Platform,
    /// Whether the channel is pushed there.
    pub enabled: bool,
    /// Where viewers see what it shows, to be looked at now and then.
    pub playback_url: Option<PlaybackUrl>,
    /// What is done to the stream on its way.
    pub encode: Encode,
    /// Whether a retry may send less than that, where the network does not take it.
    pub allow_lower_quality: bool,
}

impl DestinationConfig {
    /// The destination as the API answers it: whether there is a key, never the key.
    pub fn to_json_public(&self) -> Value {
        json!({
            "id": self.id,
            "serverUrl": self.server_url.as_str(),
            "streamKeySet": self.stream_key.is_set(),
            "platform": self.platform,
            "enabled": self.enabled,
            "playbackUrl": self.playback_url.as_ref().map(PlaybackUrl::as_str),
            "encode": self.encode.to_json(),
            "allowLowerQuality": self.allow_lower_quality,
        })
    }
}
