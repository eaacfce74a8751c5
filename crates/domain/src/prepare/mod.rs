//! The prepare queue's decisions: what is prepared next, for whom, and what people may order about it.
//!
//! ```text
//!              retry                 pause ─▶ PAUSED ──▶ cancel
//!     FAILED ────────▶ WAITING ──────────────────────┐       │
//!        ▲                │  ▲                 resume │       ▼
//!        │                ▼  └──────────────────────┘   CANCELLED ─▶ retry
//!        └─────────── PREPARING ──▶ READY
//! ```
//!
//! A job is an item in a profile. Nobody makes jobs by hand: they follow from what channels show and from the
//! library's default. People say in which order, and what has to wait.

mod demand;
mod lineup;
mod state;

pub use demand::{Demands, Need, Soonest};
pub use lineup::{Claim, Hand, Lineup, Rank};
pub use state::{Becomes, JobOrder, JobState, OrderRefused};

use crate::ids::MediaId;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A job: an item in a profile, by the profile's [key](crate::Profile::key). In order of the items' age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The item.
    pub media: MediaId,
    /// The profile's key.
    pub profile: Arc<str>,
}

impl JobId {
    /// The job of an item in the profile with this key.
    pub fn new(media: MediaId, profile: impl Into<Arc<str>>) -> Self {
        Self {
            media,
            profile: profile.into(),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.media, self.profile)
    }
}

/// A text that is no [`JobId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a media id, a slash and the key of a profile")]
pub struct InvalidJobId;

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let (media, profile) = text.split_once('/').ok_or(InvalidJobId)?;
        let media = media.parse().map_err(|_| InvalidJobId)?;
        Ok(Self::new(media, profile))
    }
}
