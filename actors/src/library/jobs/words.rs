//! What people say about a job, as the catalogue takes it: planned before it is stored, and applied when it is.

use jiff::Timestamp;
use playout_domain::ids::ClientId;
use playout_domain::prepare::{Becomes, Hand, JobId, JobOrder, JobState, Rank};
use playout_store::{PrepareMark, Principal};

use super::super::catalogue::Catalogue;
use super::super::known::{Entry, Work};
use crate::error::OpError;

/// An order, and what is to be stored of it.
pub(in crate::library) struct Planned {
    pub(super) client: ClientId,
    pub(in crate::library) mark: PrepareMark,
    pub(super) states: [JobState; 2],
}

impl Catalogue {
    /// What is to be stored of an order; nothing when it changes nothing.
    pub(in crate::library) fn plan(
        &self,
        job: &JobId,
        order: JobOrder,
        who: &Principal,
    ) -> Result<Option<Planned>, OpError> {
        let known = self
            .items
            .get(&job.media)
            .filter(|known| who.sees(known.item.client_id));
        let known = known.ok_or(OpError::NotFound("media"))?;
        let entry = known.renditions.get(&*job.profile);
        let entry = entry.ok_or(OpError::NotFound("rendition"))?;
        let before = entry.state();
        let (after, hand) = match before.ordered(order) {
            Err(refused) => {
                return Err(OpError::Conflict {
                    state: before.name().to_owned(),
                    message: refused.to_string(),
                });
            }
            Ok(Becomes::Same) => return Ok(None),
            Ok(Becomes::First) => {
                let hand = Hand {
                    due: self.soonest(|client| who.sees(client)),
                    place: self.places.0.saturating_sub(1),
                };
                (before, Some(hand))
            }
            Ok(Becomes::State(after)) => {
                let hand = match order {
                    JobOrder::Retry => Some(Hand {
                        due: None,
                        place: self.places.1.saturating_add(1),
                    }),
                    JobOrder::Cancel => None,
                    _ => entry.hand,
                };
                (after, hand)
            }
        };
        let is_held = matches!(after, JobState::Paused | JobState::Cancelled);
        Ok(Some(Planned {
            client: known.item.client_id,
            mark: PrepareMark {
                media_id: job.media,
                profile: *entry.profile,
                held: is_held.then_some(after),
                hand,
            },
            states: [before, after],
        }))
    }

    /// When the first job that waits is due, of those whose clients `sees`.
    fn soonest(&self, sees: impl Fn(ClientId) -> bool) -> Option<Timestamp> {
        let its = |job: &&JobId| {
            self.item(job.media)
                .is_some_and(|item| sees(item.client_id))
        };
        let first = self.lineup.iter().find(its)?;
        match self.lineup.rank(first)? {
            Rank::Due(at, _) => Some(at),
            _ => None,
        }
    }

    /// An order takes effect.
    pub(in crate::library) fn apply(
        &mut self,
        job: &JobId,
        order: JobOrder,
        hand: Option<Hand>,
    ) -> Result<(), OpError> {
        let entry = self.entry_of(job).ok_or(OpError::NotFound("rendition"))?;
        let state = entry.state();
        let becomes = state.ordered(order).map_err(|refused| OpError::Conflict {
            state: state.name().to_owned(),
            message: refused.to_string(),
        })?;
        let work = match becomes {
            Becomes::State(JobState::Paused) => Some(Work::Paused),
            Becomes::State(JobState::Cancelled) => Some(Work::Cancelled),
            Becomes::State(_) => Some(Work::Waiting),
            Becomes::Same | Becomes::First => None,
        };
        self.give_place(hand);
        self.end_if_held(job, work, hand);
        Ok(())
    }

    fn end_if_held(&mut self, job: &JobId, work: Option<Work>, hand: Option<Hand>) {
        if matches!(work, Some(Work::Paused | Work::Cancelled)) {
            self.end(job);
        }
        if let Some(entry) = self.entry_of_mut(job) {
            entry.hand = hand;
            if let Some(work) = work {
                entry.work = work;
            }
        }
        self.line_up(job);
        self.settle(job.media);
    }

    fn give_place(&mut self, hand: Option<Hand>) {
        if let Some(Hand { place, .. }) = hand {
            self.places = (self.places.0.min(place), self.places.1.max(place));
        }
    }

    /// Keeps to what people have said.
    pub(in crate::library) fn recall(&mut self, marks: &[PrepareMark]) {
        for mark in marks {
            let job = JobId::new(mark.media_id, mark.profile.key());
            let Some(known) = self.items.get_mut(&mark.media_id) else {
                continue;
            };
            let entry = known.renditions.entry(mark.profile.key());
            let entry = entry.or_insert_with(|| Entry::new(mark.profile, Work::Waiting));
            if matches!(entry.work, Work::Ready { .. }) {
                continue;
            }
            let work = mark.held.map(|held| match held {
                JobState::Paused => Work::Paused,
                _ => Work::Cancelled,
            });
            self.give_place(mark.hand);
            self.end_if_held(&job, work, mark.hand);
        }
    }
}
