//! How fast somebody may do something: so many times at once, and one more each so often (the generic cell rate
//! algorithm, ITU-T I.371 Annex A).
//!
//! Decides only. `now` is the time since any fixed moment, by a clock that is never set back.
//!
//! Invariant: in any span no more is allowed than `burst` and what the span itself brings.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::breaker::Moment;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many at once; one at least.
    pub burst: u32,
    /// After so long there is one more.
    pub every: Duration,
}

impl Pace {
    /// How long it takes until all of them are there again.
    pub fn whole(self) -> Duration {
        self.every * self.burst
    }
}

/// What is left to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// So many at once, now.
    pub count: u32,
    /// After so long there is one more than now; nothing where all are there.
    pub more_in: Duration,
}

/// Everybody that is at it, each by a key.
#[derive(Debug)]
pub struct Paces<K> {
    pace: Pace,
    most: usize,
    /// When each will have as much as at the beginning; those that have are not here.
    until: HashMap<K, Moment>,
}

impl<K: Clone + Eq + Hash> Paces<K> {
    /// For `most` keys at once; where there are more, the one that has most left is let go.
    pub fn new(pace: Pace, most: usize) -> Self {
        Self {
            pace,
            most: most.max(1),
            until: HashMap::new(),
        }
    }

    /// How fast.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// What is left to `key`; nothing is taken.
    pub fn left(&self, key: &K, now: Moment) -> Left {
        let until = self.until.get(key).copied().unwrap_or_default();
        let owed = until.saturating_sub(now).as_nanos();
        let every = self.pace.every.as_nanos().max(1);
        let taken = u32::try_from(owed.div_ceil(every)).unwrap_or(u32::MAX);
        let part = match owed % every {
            0 if owed > 0 => every,
            part => part,
        };
        Left {
            count: self.pace.burst.max(1).saturating_sub(taken),
            more_in: Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX)),
        }
    }

    /// Takes one; answers what is left then.
    ///
    /// # Errors
    /// After what time there is one again.
    pub fn take(&mut self, key: K, now: Moment) -> Result<Left, Duration> {
        let left = self.left(&key, now);
        if left.count == 0 {
            return Err(left.more_in);
        }
        let until = self.until.get(&key).copied().unwrap_or_default().max(now);
        self.make_room(&key, now);
        self.until.insert(key.clone(), until + self.pace.every);
        Ok(self.left(&key, now))
    }

    /// What was taken last was none after all.
    pub fn give_back(&mut self, key: &K) {
        if let Some(until) = self.until.get_mut(key) {
            *until = until.saturating_sub(self.pace.every);
        }
    }

    fn make_room(&mut self, key: &K, now: Moment) {
        if self.until.len() < self.most || self.until.contains_key(key) {
            return;
        }
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= self.most {
            let first = self.until.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.until.remove(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PACE: Pace = Pace {
        burst: 3,
        every: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn so_many_at_once_and_one_more_each_so_often() {
        let mut paces = Paces::new(PACE, 10);
        let counts: Vec<u32> = (0..3)
            .map(|_| paces.take('a', at(100)).unwrap().count)
            .collect();
        assert_eq!(counts, [2, 1, 0]);
        assert_eq!(paces.take('a', at(100)), Err(at(10)));
        assert_eq!(paces.take('a', at(104)), Err(at(6)));
        assert_eq!(paces.take('b', at(104)).unwrap().count, 2, "another");
        assert_eq!(paces.take('a', at(110)).unwrap().count, 0);
        assert_eq!(paces.take('a', at(111)), Err(at(9)));
        let all = paces.left(&'a', at(200));
        assert_eq!((all.count, all.more_in), (3, Duration::ZERO));
    }

    #[test]
    fn what_is_given_back_was_not_taken() {
        let mut paces = Paces::new(PACE, 10);
        for _ in 0..3 {
            paces.take('a', at(5)).unwrap();
        }
        paces.give_back(&'a');
        paces.give_back(&'b');
        assert_eq!(paces.take('a', at(5)).unwrap().count, 0);
        assert_eq!(paces.left(&'b', at(5)).count, 3);
    }

    #[test]
    fn a_look_takes_nothing() {
        let mut paces = Paces::new(PACE, 10);
        paces.take('a', at(0)).unwrap();
        for _ in 0..10 {
            assert_eq!(paces.left(&'a', at(1)).count, 2);
        }
    }

    #[test]
    fn where_there_are_too_many_the_one_with_most_left_goes() {
        let mut paces = Paces::new(PACE, 2);
        for key in ['a', 'a', 'a', 'b'] {
            paces.take(key, at(0)).unwrap();
        }
        paces.take('c', at(1)).unwrap();
        assert_eq!(
            paces.left(&'a', at(1)).count,
            0,
            "what is used up is remembered"
        );
        assert_eq!(paces.left(&'b', at(1)).count, 3);
        // Those that have all again leave first.
        paces.take('d', at(15)).unwrap();
        assert_eq!(paces.until.len(), 2);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        #[test]
        fn in_no_span_is_more_allowed_than_the_burst_and_what_the_span_brings(
            burst in 1u32..6, every in 1u64..50, gaps in proptest::collection::vec(0u64..40, 1..120)
        ) {
            let pace = Pace { burst, every: Duration::from_millis(every) };
            let mut paces = Paces::new(pace, 4);
            let (mut now, mut allowed) = (0u64, Vec::new());
            for gap in gaps {
                now += gap;
                let moment = Duration::from_millis(now);
                let left = paces.left(&(), moment);
                match paces.take((), moment) {
                    Ok(_) => allowed.push(now),
                    Err(wait) => {
                        proptest::prop_assert_eq!(left.count, 0);
                        proptest::prop_assert!(paces.left(&(), moment + wait).count > 0, "it is there when it is said to be");
                    }
                }
            }
            for (n, first) in allowed.iter().enumerate() {
                for (m, last) in allowed.iter().enumerate().skip(n) {
                    let most = u64::from(burst) + (last - first) / every;
                    proptest::prop_assert!((m - n + 1) as u64 <= most);
                }
            }
        }
    }
}
