//! Whether there is a place on the node to transcode what is due. Without one the fallback stands in, GOP by GOP, until there is or
//! the item is prepared; and what is prepared goes out without what is to be drawn over it.
//!
//! The edges of entries are encoded without one: they are over at once.

use playout_domain::plan::PlanEntry;

use super::Feeder;
use crate::playout::opening::{Playing, Wanted};
use crate::playout::source::SourceError;

impl Feeder {
    /// Whether the node has a place for a source of this; one that it has not is waited for.
    pub(super) fn has_place(&mut self, wanted: &Wanted) -> bool {
        if wanted.drawn.is_none() && self.is_prepared(&wanted.entry) {
            return true;
        }
        let equipment = &self.equipment;
        let claim = || equipment.transcodes.claim(&equipment.profile);
        let place = self.place.get_or_insert_with(claim);
        if !place.is_held() {
            // Prepared, it needs none.
            let media = wanted.entry.media_id;
            equipment.library.want(media, &equipment.profile);
        }
        place.is_held()
    }

    /// Whether `entry` waits for a place.
    pub(super) fn waits(&self, entry: &PlanEntry) -> bool {
        let waits = self.place.as_ref().is_some_and(|place| !place.is_held());
        waits && !self.is_prepared(entry)
    }

    /// Leaves a source whose place a channel of a higher tier has taken, and gives back a place that nothing needs.
    pub(super) fn mind_place(&mut self) {
        let encodes = |playing: &Playing| {
            playing.drawn.is_some() || (playing.index.is_none() && playing.until.is_none())
        };
        let current = self.current.as_ref().is_some_and(encodes);
        match &self.place {
            Some(place) if !place.is_held() => {
                self.ahead.take_if(|ahead| encodes(ahead));
                if current && self.draws() {
                    self.fail_drawing(&SourceError::NoPlace);
                } else if current {
                    self.current = None;
                }
            }
            Some(_) if !current && self.current.is_some() => {
                self.place
                    .take_if(|_| !self.ahead.as_ref().is_some_and(encodes));
            }
            _ => {}
        }
    }
}
