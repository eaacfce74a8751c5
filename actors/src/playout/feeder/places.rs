//! Whether there is a place on the node to transcode what is due. Without one the fallback stands in, GOP by GOP, until there is or
//! the item is prepared; and what is prepared goes out without what is to be drawn over it.
//!
//! The edges of entries are encoded without one: they are over at once.

use playout_domain::plan::PlanEntry;

use super::Feeder;
use crate::admission::Place;
use crate::playout::opening::{Playing, Wanted};
use crate::playout::source::SourceError;

/// A place on the node, and what it was claimed for last.
pub(super) struct Claimed {
    place: Place,
    entry: PlanEntry,
    /// Whether to draw over it.
    drawn: bool,
}

/// Whether a source encodes more than an edge.
fn encodes(playing: &Playing) -> bool {
    playing.drawn.is_some() || (playing.index.is_none() && playing.until.is_none())
}

impl Feeder {
    /// Whether the node has a place for a source of this; one that it has not is waited for.
    pub(super) fn has_place(&mut self, wanted: &Wanted) -> bool {
        let (entry, drawn) = (wanted.entry, wanted.drawn.is_some());
        if !drawn && self.is_prepared(&entry) {
            return true;
        }
        let equipment = &self.equipment;
        let place = match self.place.take() {
            Some(claimed) => claimed.place,
            None => equipment.transcodes.claim(&equipment.profile),
        };
        let held = place.is_held();
        if !held {
            // Prepared, it needs none.
            equipment.library.want(entry.media_id, &equipment.profile);
        }
        self.place = Some(Claimed {
            place,
            entry,
            drawn,
        });
        held
    }

    /// Whether `entry` waits for a place.
    pub(super) fn waits(&self, entry: &PlanEntry) -> bool {
        let waits = |claimed: &Claimed| !claimed.place.is_held();
        self.place.as_ref().is_some_and(waits) && !self.is_prepared(entry)
    }

    /// Leaves a source whose place a channel of a higher tier has taken, and gives back a place that nothing needs any more.
    pub(super) fn mind_place(&mut self) {
        let Some(claimed) = &self.place else { return };
        if !claimed.place.is_held() {
            self.ahead.take_if(|ahead| encodes(ahead));
            if self.draws() {
                self.fail_drawing(&SourceError::NoPlace);
            } else {
                self.current.take_if(|current| encodes(current));
            }
        }
        let encoding = self.current.iter().chain(&self.ahead).any(encodes);
        if !encoding && self.is_needless() {
            self.place = None;
        }
    }

    /// Whether what a place was claimed for is over, is not planned any more, or is there without it. Who waits keeps its
    /// turn for the entry that follows; who has a place gives it to who waits.
    fn is_needless(&self) -> bool {
        self.place.as_ref().is_some_and(|claimed| {
            let entry = &claimed.entry;
            if entry.end <= self.cursor || self.plan.plan.at(entry.start) != Some(*entry) {
                return claimed.place.is_held() || !self.needs_place();
            }
            match claimed.drawn {
                true => self
                    .wanted(*entry, self.cursor.max(entry.start))
                    .drawn
                    .is_none(),
                false => self.is_prepared(entry),
            }
        })
    }

    /// Whether what is due now is to be encoded while it plays.
    fn needs_place(&self) -> bool {
        let due = self.plan.plan.at(self.cursor);
        due.is_some_and(|entry| {
            self.wanted(entry, self.cursor).drawn.is_some() || !self.is_prepared(&entry)
        })
    }
}
