//! RTMP outputs: one supervised FFmpeg for each enabled destination of a channel that is on air, fed
//! from the splicer.
//!
//! ```text
//! air ─▶ taps ─▶ push: paced into a pipe ─▶ FFmpeg -c copy ─▶ platform
//! ```
//!
//! An output fails alone: it is fed without ever making the air wait, and what it does is decided by its
//! own [`OutputLife`](playout_domain::output::OutputLife). Beside it a task looks now and then at what viewers are
//! shown ([`far_end`]).

mod board;
mod far_end;
mod output;
mod outputs;
mod push;
mod validate;

pub(crate) use board::Board;
pub use board::{FarEndView, Quality, RtmpView};
pub(crate) use output::Shared;
pub(crate) use outputs::Outputs;
pub use validate::Validation;
pub(crate) use validate::validate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::destination::{Platform, Preset};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use playout_partners::TrustRoots;
pub use playout_partners::address::Reach;

/// How channels are pushed to platforms.
#[derive(Debug, Clone)]
pub struct RtmpSettings {
    /// Which addresses destinations may have.
    pub reach: Reach,
    /// Certificates of the authorities that are trusted for `rtmps`, in PEM.
    pub authorities: PathBuf,
    /// The same, read.
    pub roots: TrustRoots,
    /// A server that takes nothing for so long has stalled.
    pub stalled_after: Duration,
    /// An output that failed too often is tried again so often.
    pub suspended_retry: Duration,
    /// How long a connection may last on each platform, before it is made anew at the beginning of an
    /// item.
    pub sessions: SessionLimits,
    /// How it is looked at what viewers are shown.
    pub far_end: FarEndSettings,
}

/// How it is looked at what viewers of a destination are shown. Clones share the bound on looks at once.
#[derive(Debug, Clone)]
pub struct FarEndSettings {
    /// From the first media that the server takes to the first look.
    pub grace: Duration,
    /// From one look to the next.
    pub interval: Duration,
    /// So many looks in a row without movement are an alert.
    pub looks: u32,
    /// Looks that may be under way, of all channels.
    at_once: Arc<Semaphore>,
}

impl FarEndSettings {
    /// Looks under way at once at most.
    const AT_ONCE: usize = 8;

    /// These, and at most 8 looks at once.
    pub fn new(grace: Duration, interval: Duration, looks: u32) -> Self {
        Self {
            grace,
            interval,
            looks,
            at_once: Arc::new(Semaphore::new(Self::AT_ONCE)),
        }
    }
}

impl Default for FarEndSettings {
    /// First after 60 s, then every 30 s; three looks.
    fn default() -> Self {
        Self::new(Duration::from_secs(60), Duration::from_secs(30), 3)
    }
}

/// How long platforms let a session last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// YouTube keeps no archive of a longer one.
    pub youtube: Duration,
    /// Facebook ends it.
    pub facebook: Duration,
    /// Twitch ends it.
    pub twitch: Duration,
    /// Any other server. A day at most: a clock of 33 bits wraps after 26.5 hours.
    pub custom: Duration,
}

impl SessionLimits {
    /// The limit on `platform`.
    pub const fn of(&self, platform: Platform) -> Duration {
        match platform {
            Platform::Youtube => self.youtube,
            Platform::Facebook => self.facebook,
            Platform::Twitch => self.twitch,
            Platform::Custom => self.custom,
        }
    }
}

/// Every platform, as the API shows it.
pub(crate) fn platforms(sessions: &SessionLimits) -> Vec<Value> {
    let view = |platform: Platform| {
        let Preset {
            servers, limits, ..
        } = platform.preset();
        json!({
            "platform": platform,
            "serverUrls": servers,
            "streamKeyRequired": platform.needs_key(),
            "sessionLimit": sessions.of(platform).as_secs(),
            "limits": limits.map(|limits| json!({
                "maxVideoBitrate": limits.video_bitrate,
                "maxAudioBitrate": limits.audio_bitrate,
                "maxResolution": limits.resolution,
                "maxFrameRate": limits.frame_rate,
                "maxKeyFrameInterval": limits.key_frames.as_secs(),
            })),
        })
    };
    Platform::ALL.map(view).into()
}
