//! The ladder: a channel's pictures in several sizes, so that every connection is offered one that it can take.
//!
//! Rungs stand in order, the channel's own resolution and bitrate first; each is smaller than the one
//! above it, in both. So a rung is called by its resolution.

use crate::resolution::Resolution;
use crate::units::BitsPerSecond;
use serde::{Deserialize, Serialize};

/// Rungs of a ladder at most.
pub const MAX_RUNGS: usize = 4;

/// One rung of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rung {
    /// The size of its picture.
    pub resolution: Resolution,
    /// Its video bitrate.
    pub bitrate: BitsPerSecond,
}

/// The rungs below the channel's own, highest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<Rung>", try_from = "Vec<Rung>")]
pub struct LowerRungs([Option<Rung>; MAX_RUNGS - 1]);

/// More rungs than a ladder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} rungs below the highest; a ladder has {MAX_RUNGS} at most, that one included")]
pub struct TooManyRungs(pub usize);

impl LowerRungs {
    /// None: a ladder of one rung.
    pub const NONE: Self = Self([None; MAX_RUNGS - 1]);

    /// These.
    ///
    /// # Errors
    /// More than a ladder has.
    pub fn new(rungs: &[Rung]) -> Result<Self, TooManyRungs> {
        let mut lower = Self::NONE;
        if rungs.len() > lower.0.len() {
            return Err(TooManyRungs(rungs.len()));
        }
        for (place, rung) in lower.0.iter_mut().zip(rungs) {
            *place = Some(*rung);
        }
        Ok(lower)
    }

    /// The rungs in order.
    pub fn iter(&self) -> impl Iterator<Item = Rung> {
        self.0.into_iter().flatten()
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl From<LowerRungs> for Vec<Rung> {
    fn from(lower: LowerRungs) -> Self {
        lower.iter().collect()
    }
}

impl TryFrom<Vec<Rung>> for LowerRungs {
    type Error = TooManyRungs;

    fn try_from(rungs: Vec<Rung>) -> Result<Self, TooManyRungs> {
        Self::new(&rungs)
    }
}
