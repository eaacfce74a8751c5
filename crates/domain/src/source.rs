//! What follows when the source of an item fails: another start at the same place, the damaged stretch passed
//! over, or the rest of the item given up. A source that ends well before its item does has failed too.
//!
//! Decides only. Frames are the channel's; the clock and chance are arguments.
//!
//! Invariant (P4): an item never costs more than its own time: what cannot be played is filled up to its
//! end, and the next entry starts when it should.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::backoff::{Budget, Chance, SLOW_RETRY};
use crate::config::RecoverySettings;
use crate::ids::MediaId;
use crate::plan::PlanEntry;
use crate::units::Frame;

/// Failures at one place after which the place is passed over.
const AT_ONE_PLACE: u32 = 2;
/// Stretches of one entry that are passed over before its rest is given up.
const STRETCHES: u32 = 3;

/// Why a source failed, as far as it matters for what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It ended, hung, or delivered what it should not.
    Failed,
    /// It delivers, but slower than it plays.
    TooSlow,
    /// There is nothing to be played.
    Missing,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Start it again where it stopped.
    Restart,
    /// Pass over what cannot be played in the middle of the item, and start it again at this frame.
    PassOver(Frame),
    /// Nothing more is to be had of this entry.
    GiveUp,
}

/// Whether `entry` is over when a source that ended well has delivered frames of its item up to `next`. `frames`:
/// how many the item has, where that is known, as of prepared media; elsewhere the plan has an estimate, and an
/// item is as long as it turns out to be.
pub fn is_over(entry: &PlanEntry, next: u64, frames: Option<u64>) -> bool {
    let planned = entry.in_frame + entry.frames();
    frames.is_none_or(|frames| next >= frames.min(planned))
}

/// The answer to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Failures in a row, this one included.
    pub attempt: u32,
    /// How long to wait before the next start.
    pub delay: Duration,
    /// What follows then.
    pub then: Then,
}

/// The failures of a channel's sources. See the module's head.
#[derive(Debug, Clone)]
pub struct SourceFailures {
    settings: RecoverySettings,
    budget: Budget,
    /// Where the last failure was, and how many there were at that place.
    place: Option<(Frame, u32)>,
    /// The entry of which stretches were passed over, by its first frame, and how many.
    stretches: Option<(Frame, u32)>,
    /// The entry that delivered last, by its first frame.
    delivered: Option<Frame>,
    /// Items that were found too slow, once.
    slow: HashSet<MediaId>,
}

impl SourceFailures {
    /// None yet.
    pub fn new(settings: RecoverySettings) -> Self {
        Self {
            settings,
            budget: settings.budget(),
            place: None,
            stretches: None,
            delivered: None,
            slow: HashSet::new(),
        }
    }

    /// Measures failures by `settings` from now on.
    pub fn recover_by(&mut self, settings: RecoverySettings) {
        self.settings = settings;
        self.budget.resize(settings.max_restarts as usize);
    }

    /// Media of `entry` came: what fails next fails at another place.
    pub fn delivered(&mut self, entry: &PlanEntry) {
        self.place = None;
        self.delivered = Some(entry.start);
    }

    /// The source of `entry` failed when frame `at` was due; `stretch` is how many frames are passed over at a
    /// time.
    pub fn failed(
        &mut self,
        entry: &PlanEntry,
        at: Frame,
        cause: Cause,
        stretch: u64,
        now: Timestamp,
        chance: Chance,
    ) -> Verdict {
        let attempt = self.budget.failed(now);
        let delay = if self.budget.is_spent(now) {
            SLOW_RETRY
        } else {
            self.settings.delay(attempt, chance)
        };
        let then = match cause {
            Cause::TooSlow => self.too_slow(entry.media_id),
            Cause::Failed => self.at_place(entry, at, stretch),
            Cause::Missing => Then::GiveUp,
        };
        Verdict {
            attempt,
            delay,
            then,
        }
    }

    /// Once may be the fault of a busy moment.
    fn too_slow(&mut self, media: MediaId) -> Then {
        if self.slow.insert(media) {
            Then::Restart
        } else {
            self.slow.remove(&media);
            Then::GiveUp
        }
    }

    fn at_place(&mut self, entry: &PlanEntry, at: Frame, stretch: u64) -> Then {
        let here = match self.place {
            Some((place, count)) if place == at => count + 1,
            _ => 1,
        };
        self.place = Some((at, here));
        if here < AT_ONE_PLACE {
            return Then::Restart;
        }
        self.place = None;
        let passed = match self.stretches {
            Some((start, count)) if start == entry.start => count + 1,
            _ => 1,
        };
        self.stretches = Some((entry.start, passed));
        let behind = at + stretch;
        // One that never delivered anything is not damaged in the middle.
        let hopeless = self.delivered != Some(entry.start) || passed > STRETCHES;
        if hopeless || behind >= entry.end {
            Then::GiveUp
        } else {
            Then::PassOver(behind)
        }
    }
}
