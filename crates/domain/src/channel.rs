//! A channel as it is stored and answered: its configuration, its state and its counters.

use crate::config::ChannelConfig;
use crate::ids::{ChannelId, ClientId};
use crate::lifecycle::LifeState;
pub use crate::lifecycle::{ChannelStatus, Desired};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A channel: every field of the API's, the desired state and the version besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its id, which also names its HLS URL.
    pub id: ChannelId,
    /// Whose it is.
    pub client_id: ClientId,
    /// What its client chose.
    pub config: ChannelConfig,
    /// What it should do, what it does, and since when.
    pub life: LifeState,
    /// Counts the changes of the configuration; what `If-Match` compares.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its configuration last changed.
    pub updated_at: Timestamp,
}

impl Channel {
    /// What it does now.
    pub const fn status(&self) -> ChannelStatus {
        self.life.status
    }

    /// What it should do.
    pub const fn desired(&self) -> Desired {
        self.life.desired
    }

    /// The path of its master playlist: a function of the id, so it never changes.
    pub fn hls_path(&self) -> String {
        hls_path(self.id)
    }

    /// The channel as the API answers it at `now`; `base` precedes the path of the playlist (empty
    /// for a path alone). No stream key is in it.
    pub fn to_json(&self, now: Timestamp, base: &str) -> Value {
        let config = self.config.to_json_public();
        json!({
            "id": self.id,
            "clientId": self.client_id,
            "name": self.config.name,
            "status": self.life.status,
            "desired": self.life.desired,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "resolution": self.config.resolution,
            "bitrate": self.config.bitrate,
            "fallbackVideo": self.config.fallback_video,
            "hlsEndpoint": format!("{}{}", base.trim_end_matches('/'), self.hls_path()),
            "rtmpDestinations": config["rtmpDestinations"],
            "analyticsEnabled": self.config.analytics_enabled,
            "monetizationEnabled": self.config.features.monetization,
            "aiOptimizationEnabled": self.config.features.ai_optimization,
            "multiPlatformEnabled": self.config.features.multi_platform,
            "interactionEnabled": self.config.features.interaction,
            "totalUptime": self.life.uptime_at(now).as_secs_f64(),
            "restartCount": self.life.restart_count,
            "lastStartTime": self.life.last_start_time,
            "lastStopTime": self.life.last_stop_time,
            "version": self.version,
            "config": config,
        })
    }
}

/// The path of a channel's master playlist.
pub fn hls_path(id: ChannelId) -> String {
    format!("/hls/{id}/index.m3u8")
}
