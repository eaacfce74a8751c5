//! In which order jobs have their turn.
//!
//! First what is on air soonest, over all channels; then what somebody asked for; then what channels name without a time
//! at which they show it; then what nobody asked for, the oldest item first. What is moved to the front by hand counts
//! as due when the job was that was the soonest then: it goes before that one, and what airs even sooner goes before both.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What somebody said about a job's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hand {
    /// It counts as due at that time.
    pub due: Option<Timestamp>,
    /// Its place among those that somebody spoke of, the lowest first.
    pub place: i64,
}

/// Why a job should have its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// When a channel shows it next.
    pub due: Option<Timestamp>,
    /// Its place among what a channel names, where one does.
    pub named: Option<u32>,
    /// What somebody said.
    pub hand: Option<Hand>,
}

/// A job's turn: the lowest has it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It is on air at that time, or counts so by hand; then by the place that it was given.
    Due(Timestamp, i64),
    /// Somebody asked for it.
    Asked(i64),
    /// A channel names it.
    Named(u32),
    /// Nobody asked for it.
    Unasked,
}

impl Claim {
    /// The turn that follows.
    pub fn rank(&self) -> Rank {
        let by_hand = self.hand.and_then(|hand| Some((hand.due?, hand.place)));
        let on_air = self.due.map(|due| (due, i64::MAX));
        match (by_hand.into_iter().chain(on_air).min(), self) {
            (Some((due, place)), _) => Rank::Due(due, place),
            (
                None,
                Self {
                    hand: Some(hand), ..
                },
            ) => Rank::Asked(hand.place),
            (
                None,
                Self {
                    named: Some(place), ..
                },
            ) => Rank::Named(*place),
            (None, _) => Rank::Unasked,
        }
    }
}

/// Jobs in the order of their turns.
#[derive(Debug, Clone)]
pub struct Lineup<J> {
    order: BTreeSet<(Rank, J)>,
    ranks: BTreeMap<J, Rank>,
}

impl<J> Default for Lineup<J> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            ranks: BTreeMap::new(),
        }
    }
}

impl<J: Ord + Clone> Lineup<J> {
    /// Puts a job where its claim says, also one that is in it already.
    pub fn put(&mut self, job: J, claim: &Claim) {
        self.remove(&job);
        let rank = claim.rank();
        self.order.insert((rank, job.clone()));
        self.ranks.insert(job, rank);
    }

    /// Takes a job out; answers whether it was in.
    pub fn remove(&mut self, job: &J) -> bool {
        let Some((job, rank)) = self.ranks.remove_entry(job) else {
            return false;
        };
        self.order.remove(&(rank, job))
    }

    /// The job whose turn it is, of those that fit.
    pub fn first(&self, mut fits: impl FnMut(&J) -> bool) -> Option<&J> {
        self.iter().find(|job| fits(job))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &J> {
        self.order.iter().map(|(_, job)| job)
    }

    /// Those whose turn comes after a place in the order, be there a job or not.
    pub fn after(&self, place: &(Rank, J)) -> impl Iterator<Item = &(Rank, J)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.order.range((Excluded(place), Unbounded))
    }

    /// Where a job stands.
    pub fn rank(&self, job: &J) -> Option<Rank> {
        self.ranks.get(job).copied()
    }

    /// How many have their turn before a place in the order.
    pub fn before(&self, place: &(Rank, J)) -> usize {
        self.order.range(..place).count()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    fn hand(due: Option<Timestamp>, place: i64) -> Option<Hand> {
        Some(Hand { due, place })
    }

    #[test]
    fn soonest_on_air_then_by_hand_then_named_then_the_oldest() {
        let claims = [
            Claim::default(),
            Claim {
                named: Some(3),
                ..Claim::default()
            },
            Claim {
                named: Some(1),
                ..Claim::default()
            },
            Claim {
                hand: hand(None, 1),
                ..Claim::default()
            },
            Claim {
                due: at(500),
                ..Claim::default()
            },
            // What somebody asked for is not put off for that.
            Claim {
                due: at(20),
                hand: hand(None, 5),
                ..Claim::default()
            },
            Claim {
                due: at(20),
                named: Some(0),
                ..Claim::default()
            },
            Claim {
                hand: hand(None, -2),
                named: Some(7),
                ..Claim::default()
            },
            // Moved to the front, when that was due at 20.
            Claim {
                due: at(900),
                hand: hand(at(20), 0),
                ..Claim::default()
            },
            Claim {
                hand: hand(at(20), -1),
                ..Claim::default()
            },
            // What is on air sooner than that goes before.
            Claim {
                due: at(10),
                ..Claim::default()
            },
            Claim::default(),
        ];
        let mut lineup = Lineup::default();
        for (n, claim) in claims.iter().enumerate() {
            lineup.put(n, claim);
        }
        let order: Vec<usize> = lineup.iter().copied().collect();
        assert_eq!(order, [10, 9, 8, 5, 6, 4, 7, 3, 2, 1, 0, 11]);
    }

    #[test]
    fn a_job_moves_up_and_sinks_and_is_in_it_once() {
        let mut lineup = Lineup::default();
        let due = |second| Claim {
            due: at(second),
            ..Claim::default()
        };
        lineup.put('a', &due(10));
        lineup.put('b', &due(20));
        lineup.put('b', &due(5));
        assert_eq!(lineup.first(|_| true), Some(&'b'));
        lineup.put('b', &Claim::default());
        assert_eq!(lineup.iter().collect::<String>(), "ab");
        assert_eq!(lineup.first(|job| *job != 'a'), Some(&'b'));
        assert!(lineup.remove(&'a') && !lineup.remove(&'a'));
        assert_eq!((lineup.len(), lineup.rank(&'b')), (1, Some(Rank::Unasked)));
    }
}
