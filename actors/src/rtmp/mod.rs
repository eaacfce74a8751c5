//! RTMP outputs: one supervised FFmpeg for each enabled destination of a channel that is on air, fed
//! from the splicer.
//!
//! ```text
//! air ─▶ taps ─▶ push: paced into a pipe ─▶ FFmpeg -c copy ─▶ platform
//! ```
//!
//! An output fails alone: it is fed without ever making the air wait, and what it does is decided by its
//! own [`OutputLife`](playout_domain::output::OutputLife).

mod board;
mod output;
mod push;
mod validate;

pub(crate) use board::Board;
pub use board::RtmpView;
pub(crate) use output::{Outputs, Shared};
pub use validate::Validation;
pub(crate) use validate::validate;

use std::path::PathBuf;
use std::time::Duration;

use playout_domain::destination::Platform;
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
    /// How long a connection may last on each platform, before it is made anew at the beginning of an
    /// item.
    pub sessions: SessionLimits,
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
