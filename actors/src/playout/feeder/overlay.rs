//! What the feeder asks and does about what is drawn over the programme: where a source has to give way to one that draws, or to one that
//! does not, and what follows when drawing fails.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::overlay::Version;
use playout_domain::plan::PlanEntry;
use playout_domain::units::Frame;
use tokio::time::Instant;

use super::Feeder;
use crate::chance;
use crate::playout::facts::Fact;
use crate::playout::opening::{Playing, Wanted};
use crate::playout::source::SourceError;
use crate::playout::view::OverlayFailure;

/// How far ahead of what is on air drawing begins: its encoder has so long to deliver, or else what is prepared goes out.
const DRAWN_AHEAD: Duration = Duration::from_secs(5);
/// No encoder delivers in less.
const TOO_SHORT: Duration = Duration::from_secs(1);

impl Feeder {
    pub(super) fn wanted(&self, entry: PlanEntry, at: Frame) -> Wanted {
        let drawn = self.drawing.over(&self.gop(&entry, at));
        Wanted {
            entry,
            at,
            drawn: drawn.filter(|_| self.can_be_drawn(&entry, at)),
            goes_on: self.reached == Some((entry.start, at)),
        }
    }

    /// The GOP of `entry` that begins at `at`, as long as GOPs are.
    fn gop(&self, entry: &PlanEntry, at: Frame) -> Range<Frame> {
        let frames = self.equipment.profile.frame_rate.gop_frames();
        at..(at + frames).min(entry.end)
    }

    /// An encoder gives a single picture no decoding order that another could follow.
    fn can_be_drawn(&self, entry: &PlanEntry, at: Frame) -> bool {
        entry.end.since(at) >= 2 && !self.bare.contains(&entry.media_id)
    }

    /// Whether the GOP of `entry` that begins at `at` may go out with `drawn` over it.
    pub(super) fn is_as_drawn(&self, entry: &PlanEntry, at: Frame, drawn: Option<Version>) -> bool {
        !self.can_be_drawn(entry, at) || self.drawing.stands(&self.gop(entry, at), drawn)
    }

    /// Whether the current source draws.
    pub(super) fn draws(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|playing| playing.drawn.is_some())
    }

    /// Leaves the current source where what is drawn begins, ends or changes.
    pub(super) fn redrawn(&mut self, entry: &PlanEntry) {
        let at = self.cursor;
        let wanted = self.wanted(*entry, at).drawn;
        let is_begun = |playing: &Playing| playing.entry == *entry && playing.drawn == wanted;
        let begun = self.current.iter().chain(&self.ahead).any(is_begun);
        let begins = wanted.is_some() && !begun;
        let now = Instant::now();
        if begins && self.equipment.clock.instant(at) < now + TOO_SHORT {
            // It would fail. What plays goes on, until there is time again.
            let in_time = self.in_time();
            self.drawing.not_before(in_time);
        }
        let other = self.current.as_ref().is_some_and(|playing| {
            playing.entry == *entry && !self.is_as_drawn(entry, at, playing.drawn)
        });
        if other {
            self.current = None;
        }
    }

    /// The first frame on that there is time to draw on.
    pub(super) fn in_time(&self) -> Frame {
        self.equipment.clock.frame(Instant::now() + DRAWN_AHEAD)
    }

    /// Draws what the programme says, from the first frame on that there is time for: `in_time`.
    pub(super) fn redraw(&mut self, in_time: Frame) {
        let front = self.equipment.queue.front();
        let overlay = self.plan.overlay.as_ref();
        // A copy is there at once.
        let copied = |entry: PlanEntry| self.is_prepared(&entry);
        let earliest = match overlay {
            None if self.plan.plan.at(front).is_none_or(copied) => front,
            _ => front.max(in_time),
        };
        if self.drawing.change(overlay, earliest) {
            self.bare.clear();
            self.equipment
                .view
                .update(|view| view.overlay.failure = None);
        }
    }

    /// The source that draws failed: what is prepared goes out without what is drawn, which is tried again later.
    pub(super) fn fail_drawing(&mut self, error: &SourceError) {
        self.current = None;
        // Nothing is drawn for a while.
        self.ahead.take_if(|ahead| ahead.drawn.is_some());
        self.settled = None;
        let (attempt, rest) = self
            .drawing
            .failed(self.cursor, Timestamp::now(), chance::draw());
        let error: Arc<str> = error.to_string().into();
        let retry_at = self.equipment.timeline.wall(self.drawing.earliest());
        self.equipment.view.update(|view| {
            view.overlay.failure = Some(OverlayFailure {
                error: Arc::clone(&error),
                retry_at,
            });
        });
        self.equipment.facts.tell(Fact::OverlayFailed {
            error,
            attempt,
            rest,
        });
    }

    /// All is well with what is drawn: tells `fact` once, also when it is not known to have failed, for an alert may be older than this
    /// playout.
    pub(super) fn settle(&mut self, fact: Fact) {
        let version = Some(self.drawing.version());
        if self.settled == version {
            return;
        }
        self.settled = version;
        self.equipment
            .view
            .update(|view| view.overlay.failure = None);
        self.equipment.facts.tell(fact);
    }
}
