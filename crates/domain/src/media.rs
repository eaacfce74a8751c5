//! An item of the media library as the rest of the house sees it: where it is, what it is, whether
//! it plays.

use crate::damage::Damage;
use crate::details::Details;
use crate::ids::{ClientId, MediaId};
use crate::loudness::Measured;
pub use crate::profile::{DEFAULT_AUDIO_BITRATE, Profile};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaStatus {
    /// Being looked at; not playable yet.
    Probing,
    /// Not playable, for a reason that is told; the original stays as it is.
    Refused,
    /// Playable by live transcode; being prepared, or waiting for its turn.
    Preparing,
    /// Prepared: playing it costs a copy.
    Ready,
    /// Preparing failed, for a reason that is told; playable by live transcode.
    Failed,
}

impl MediaStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Probing,
        Self::Refused,
        Self::Preparing,
        Self::Ready,
        Self::Failed,
    ];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Refused => "refused",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// Whether a plan may hold such an item.
    pub const fn is_playable(self) -> bool {
        matches!(self, Self::Preparing | Self::Ready | Self::Failed)
    }
}

impl fmt::Display for MediaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MediaStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| {
            format!(
                "{text:?} is no media status; it is probing, refused, preparing, ready or failed"
            )
        })
    }
}

/// What a probe found, for people and for lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeSummary {
    /// The container, as its demuxer is called.
    pub format: String,
    /// The video codec.
    pub video_codec: String,
    /// Pixels across, as shown (rotation applied).
    pub width: u32,
    /// Pixels down, as shown.
    pub height: u32,
    /// Frames per second on average; nothing when unknown.
    pub frame_rate: Option<f64>,
    /// Whether frames hold two fields.
    pub interlaced: bool,
    /// The audio codec; nothing when there is no audio (it then plays with silence).
    pub audio_codec: Option<String>,
    /// Audio channels.
    pub audio_channels: Option<u32>,
    /// Audio samples a second.
    pub sample_rate: Option<u32>,
}

/// An item of the media library.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaItem {
    /// Its id.
    pub id: MediaId,
    /// Whose it is.
    pub client_id: ClientId,
    /// Where the original is; any bytes that a file system allows.
    pub path: PathBuf,
    /// What people call it; the title among the details is the same.
    pub title: String,
    /// What else is said about it.
    pub details: Details,
    /// The fields that were written through the API, and do not follow the file any more.
    pub edited: Vec<String>,
    /// Counts the changes of title and details: what `If-Match` compares.
    pub version: u64,
    /// SHA-256 of its file, where that was needed to tell it from another.
    pub sha256: Option<[u8; 32]>,
    /// Since when its file is not where it was.
    pub missing_since: Option<Timestamp>,
    /// How long it is; zero while unknown.
    pub duration: Duration,
    /// The size of the original in bytes.
    pub size: u64,
    /// What was found in it; nothing before it was probed.
    pub probe: Option<ProbeSummary>,
    /// How far it has come.
    pub status: MediaStatus,
    /// Why it was refused or could not be prepared: a sentence.
    pub reason: Option<String>,
    /// Where it is damaged, as found while preparing it; in the order of time.
    pub damage: Vec<Damage>,
    /// How loud it is, as measured before it was prepared: of every sound that was wanted of it.
    pub loudness: Vec<Measured>,
    /// When it was imported.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl MediaItem {
    /// The item as the API answers it. A path that is not UTF-8 is shown with replacements.
    pub fn to_json(&self) -> Value {
        let hex = |digest: &[u8; 32]| -> String {
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let mut item = json!({
            "id": self.id,
            "clientId": self.client_id,
            "path": self.path.to_string_lossy(),
            "sha256": self.sha256.as_ref().map(hex),
            "missingSince": self.missing_since,
            "version": self.version,
            "duration": self.duration.as_secs_f64(),
            "size": self.size,
            "probe": self.probe,
            "status": self.status,
            "reason": self.reason,
            "damage": self.damage.iter().map(Damage::to_json).collect::<Vec<_>>(),
            "loudness": self.loudness,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        });
        if let (Value::Object(fields), Value::Object(details)) = (&mut item, self.details.to_json())
        {
            fields.extend(details);
            fields.insert("title".into(), json!(self.title));
        }
        item
    }

    /// Takes over what its file and its sidecar say now, but for what was edited.
    pub fn described(mut self, found: Details) -> Self {
        self.details = self.details.refreshed(found, &self.edited);
        if let Some(title) = &self.details.title {
            self.title.clone_from(title);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_lead_back_and_agree_with_json() {
        for status in MediaStatus::ALL {
            assert_eq!(status.name().parse(), Ok(status));
            assert_eq!(json!(status), json!(status.name()));
        }
    }
}
