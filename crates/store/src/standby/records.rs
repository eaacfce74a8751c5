//! What is kept of each thing, as JSON.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::damage::Damage;
use playout_domain::destination::{Encode, PlaybackUrl, ServerUrl, StreamKeySetting};
use playout_domain::lifecycle::LifeState;
use playout_domain::loudness::Measured;
use playout_domain::media::ProbeSummary;
use playout_domain::{
    Channel, ChannelConfig, ChannelId, ClientId, DestinationConfig, DestinationId, Details,
    MediaId, MediaItem, MediaStatus, Platform,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channels::{Airtime, StoredChannel};
use crate::error::StoreError;
use crate::leases::Lease;
use crate::private_file::{hex, unhex};

/// A channel with what it airs, all but its stream keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    client_id: ClientId,
    pub(crate) version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    config: Value,
    destinations: Vec<KeptDestination>,
    pub(crate) life: LifeState,
    pub(crate) airtime: Airtime,
    /// Whether the database has this life and airtime, too.
    pub(crate) recorded: bool,
    /// Under which epoch it was held.
    #[serde(default)]
    pub(crate) epoch: i64,
    /// When it had been taken from another daemon, the last time.
    #[serde(default)]
    pub(crate) taken: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptDestination {
    id: DestinationId,
    server_url: String,
    platform: Platform,
    enabled: bool,
    has_key: bool,
    #[serde(default)]
    playback_url: Option<String>,
    /// Nothing: it is copied.
    #[serde(default)]
    encode: Option<Value>,
    #[serde(default)]
    allow_lower_quality: bool,
}

impl Kept {
    pub(crate) fn of(channel: &Channel, airtime: &Airtime, recorded: bool) -> Self {
        let destination = |destination: &DestinationConfig| {
            Some(KeptDestination {
                id: destination.id?,
                server_url: destination.server_url.as_str().to_owned(),
                platform: destination.platform,
                enabled: destination.enabled,
                has_key: destination.stream_key.is_set(),
                playback_url: destination
                    .playback_url
                    .as_ref()
                    .map(|url| url.as_str().to_owned()),
                encode: (destination.encode != Encode::Copy).then(|| destination.encode.to_json()),
                allow_lower_quality: destination.allow_lower_quality,
            })
        };
        Self {
            client_id: channel.client_id,
            version: channel.version,
            created_at: channel.created_at,
            updated_at: channel.updated_at,
            config: channel.config.to_json_stored(),
            destinations: channel
                .config
                .rtmp_destinations
                .iter()
                .filter_map(destination)
                .collect(),
            life: channel.life.clone(),
            airtime: airtime.clone(),
            recorded,
            epoch: 0,
            taken: None,
        }
    }

    /// The same, as it is held.
    pub(crate) fn under(self, lease: &Lease) -> Self {
        Self {
            epoch: lease.epoch(),
            taken: lease.taken_at(),
            ..self
        }
    }

    /// The channel, as if it came from the database.
    ///
    /// # Errors
    /// One sentence, when it is none.
    pub(crate) fn stored(self, id: ChannelId) -> Result<StoredChannel, String> {
        let destination = |kept: KeptDestination| {
            let server_url = ServerUrl::parse(&kept.server_url, true);
            let playback_url = kept.playback_url.as_deref();
            let playback_url = playback_url.map(|url| PlaybackUrl::parse(url, true));
            let encode = kept.encode.as_ref().map(Encode::from_stored);
            Ok(DestinationConfig {
                id: Some(kept.id),
                server_url: server_url.map_err(|wrong| wrong.to_string())?,
                stream_key: match kept.has_key {
                    true => StreamKeySetting::Kept,
                    false => StreamKeySetting::Absent,
                },
                platform: kept.platform,
                enabled: kept.enabled,
                playback_url: playback_url
                    .transpose()
                    .map_err(|wrong| wrong.to_string())?,
                encode: encode
                    .transpose()
                    .map_err(|wrong| wrong.to_string())?
                    .unwrap_or_default(),
                allow_lower_quality: kept.allow_lower_quality,
            })
        };
        let destinations: Result<Vec<_>, String> =
            self.destinations.into_iter().map(destination).collect();
        let config = ChannelConfig::from_stored(&self.config, destinations?)
            .map_err(|wrong| wrong.to_string())?;
        Ok(StoredChannel {
            channel: Channel {
                id,
                client_id: self.client_id,
                config,
                life: self.life,
                version: self.version,
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
            airtime: self.airtime,
        })
    }
}

/// The sealed stream key of a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DestinationKey {
    pub(crate) channel_id: ChannelId,
    sealed: String,
}

impl DestinationKey {
    pub(crate) fn of(channel_id: ChannelId, sealed: &[u8]) -> Self {
        let sealed = hex(sealed);
        Self { channel_id, sealed }
    }

    pub(crate) fn sealed(&self) -> Result<Vec<u8>, StoreError> {
        unhex(&self.sealed).ok_or_else(|| StoreError::internal("a kept stream key is no key"))
    }
}

/// An item of the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MediaRecord {
    client_id: ClientId,
    /// In hexadecimal digits: a path need not be text.
    path: String,
    title: String,
    duration: Duration,
    size: u64,
    probe: Option<ProbeSummary>,
    status: String,
    reason: Option<String>,
    #[serde(default)]
    damage: Vec<Damage>,
    #[serde(default)]
    loudness: Vec<Measured>,
    #[serde(default)]
    details: Details,
    #[serde(default)]
    edited: Vec<String>,
    #[serde(default = "first")]
    version: u64,
    #[serde(default)]
    sha256: Option<[u8; 32]>,
    #[serde(default)]
    missing_since: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// The version of what was kept without one.
fn first() -> u64 {
    1
}

impl MediaRecord {
    pub(crate) fn of(item: &MediaItem) -> Self {
        Self {
            client_id: item.client_id,
            path: hex(item.path.as_os_str().as_bytes()),
            title: item.title.clone(),
            duration: item.duration,
            size: item.size,
            probe: item.probe.clone(),
            status: item.status.name().to_owned(),
            reason: item.reason.clone(),
            damage: item.damage.clone(),
            loudness: item.loudness.clone(),
            details: item.details.clone(),
            edited: item.edited.clone(),
            version: item.version,
            sha256: item.sha256,
            missing_since: item.missing_since,
            created_at: item.created_at,
            updated_at: item.updated_at,
        }
    }

    /// The item, as if it came from the database; nothing when it is none.
    pub(crate) fn item(self, id: MediaId) -> Option<MediaItem> {
        let status: MediaStatus = self.status.parse().ok()?;
        Some(MediaItem {
            id,
            client_id: self.client_id,
            path: PathBuf::from(OsString::from_vec(unhex(&self.path)?)),
            title: self.title,
            duration: self.duration,
            size: self.size,
            probe: self.probe,
            status,
            reason: self.reason,
            damage: self.damage,
            loudness: self.loudness,
            details: self.details,
            edited: self.edited,
            version: self.version,
            sha256: self.sha256,
            missing_since: self.missing_since,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
