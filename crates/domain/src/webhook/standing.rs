//! How the receiver of a webhook does: since when it fails, when it is asked again, and when it is given up.

use std::time::Duration;

use jiff::Timestamp;

use crate::alert::outbox::{LEFT_ALONE, LEFT_ALONE_AFTER};

/// What is held against a receiver; the default is nothing.
///
/// Invariant: a receiver that failed [`LEFT_ALONE_AFTER`] times in a row, whatever was sent, is asked again only when
/// the last of these would be, [`LEFT_ALONE`] later at most: one delivery then finds out for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Failures in a row.
    pub failures: u32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
    /// Until when it is left alone.
    pub left_alone_until: Option<Timestamp>,
}

impl Standing {
    /// It has failed once more at `now`; what failed is tried again at `next`, or never.
    pub fn failed(&mut self, next: Option<Timestamp>, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
        let most = now.checked_add(LEFT_ALONE).unwrap_or(Timestamp::MAX);
        let until = next.map_or(most, |next| next.min(most));
        self.left_alone_until = (self.failures >= LEFT_ALONE_AFTER).then_some(until);
    }

    /// Whether it has taken nothing for `patience` or longer.
    pub fn is_given_up(&self, patience: Duration, now: Timestamp) -> bool {
        let failing = self.failing_since.map(|since| now.duration_since(since));
        failing.is_some_and(|time| Duration::try_from(time).is_ok_and(|time| time >= patience))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn three_failures_in_a_row_leave_a_receiver_alone_until_the_next_attempt_and_never_long() {
        let mut standing = Standing::default();
        standing.failed(Some(at(105)), at(100));
        standing.failed(Some(at(106)), at(101));
        assert_eq!(standing.left_alone_until, None);
        standing.failed(Some(at(130)), at(102));
        assert_eq!(standing.left_alone_until, Some(at(130)));
        assert_eq!(standing.failing_since, Some(at(100)));
        for next in [Some(at(100_000)), None] {
            standing.failed(next, at(200));
            assert_eq!(standing.left_alone_until, Some(at(800)));
        }
    }

    #[test]
    fn a_receiver_is_given_up_when_it_has_failed_for_long_and_not_when_it_failed_often() {
        let patience = Duration::from_secs(60);
        let mut standing = Standing::default();
        assert!(!standing.is_given_up(patience, at(1_000)));
        for _ in 0..50 {
            standing.failed(None, at(100));
        }
        assert!(!standing.is_given_up(patience, at(159)));
        assert!(standing.is_given_up(patience, at(160)));
        // A clock that was set back.
        assert!(!standing.is_given_up(patience, at(10)));
    }
}
