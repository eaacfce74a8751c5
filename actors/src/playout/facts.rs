//! What a playout tells its channel: facts, never bytes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ids::MediaId;
use playout_domain::lifecycle::Generation;
use playout_domain::units::Frame;
use tokio::sync::mpsc;

use crate::channels::OnAir;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    /// The first media has left: the channel is LIVE.
    FirstOut,
    /// Viewers see something else now.
    OnAirChanged(OnAir),
    /// A segment can be fetched.
    SegmentPublished {
        /// Its number.
        sequence: u64,
        /// Its wall time in the programme.
        starts: Timestamp,
        /// Its length in seconds.
        duration: f64,
        /// Its bytes, on all rungs.
        bytes: u64,
    },
    /// A source failed; it is started again after a delay.
    SourceFailed {
        /// What it played.
        media: MediaId,
        /// Why it failed.
        error: String,
        /// Failures in a row.
        attempt: u32,
        /// How long until it is started again.
        delay: Duration,
    },
    /// The item that failed before is delivered again.
    Recovered {
        /// The item.
        media: MediaId,
    },
    /// An item failed twice at one place: it cannot be played on from there.
    ItemBroken {
        /// The item.
        media: MediaId,
        /// The frame of the channel at which it failed.
        at: Frame,
    },
    /// An item is shorter than the plan says, by more than a GOP.
    EndedEarly {
        /// The item.
        media: MediaId,
        /// The frame of the channel at which it ended.
        at: Frame,
    },
    /// What is to be drawn over the programme cannot be; it goes out without.
    OverlayFailed {
        /// Why.
        error: Arc<str>,
        /// Failures in a row.
        attempt: u32,
        /// How long nothing is drawn.
        rest: Duration,
    },
    /// What is to be drawn is drawn, at first or again.
    OverlayDrawn,
    /// The time of what is to be drawn is over.
    OverlayOver,
    /// Scheduled media went out without a failure for a minute.
    Healthy,
    /// The playout has ended by itself.
    Ended {
        /// Why.
        reason: String,
    },
}

/// Sends the facts of one playout.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Which playout speaks.
    pub(crate) generation: Generation,
    /// To its channel. A few small messages a second at most, so no bound is needed.
    pub(crate) to: mpsc::UnboundedSender<(Generation, Fact)>,
}

impl Facts {
    pub(super) fn tell(&self, fact: Fact) {
        // The channel may be gone already.
        let _ = self.to.send((self.generation, fact));
    }
}
