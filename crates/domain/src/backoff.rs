//! How long to wait before another attempt, and when attempts have become too many.
//!
//! Pure functions of (history, now, chance): delays of 0, 0.5, 1, 2, 4 … 30 s with ±20 % jitter, and
//! a budget of failures within a time.

use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// So long without a failure, and the count of failures begins anew.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// How long to wait once the budget is spent.
pub const SLOW_RETRY: Duration = Duration::from_secs(60);

/// The longest delay, before jitter.
pub const LONGEST: Duration = Duration::from_secs(30);

/// So many failures within [`BUDGET_TIME`] spend the budget, unless its owner chose another number.
pub const BUDGET_FAILURES: usize = 10;

/// The first delay that is not zero, unless its owner chose another.
pub const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The time within which failures are counted.
pub const BUDGET_TIME: Duration = Duration::from_secs(300);

/// A number from 0 to 1 drawn at the edge: the pure tier has no randomness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance(f64);

impl Chance {
    /// The middle: no jitter.
    pub const EVEN: Self = Self(0.5);

    /// `draw`, brought into 0 … 1; what is no number counts as the middle.
    pub const fn new(draw: f64) -> Self {
        if draw.is_nan() {
            Self::EVEN
        } else {
            Self(draw.clamp(0.0, 1.0))
        }
    }

    /// A factor from `1 - spread` to `1 + spread`.
    pub fn around_one(self, spread: f64) -> f64 {
        1.0 + (2.0 * self.0 - 1.0) * spread
    }

    /// A chance from 32 random bits.
    pub fn from_bits(bits: u32) -> Self {
        Self(f64::from(bits) / f64::from(u32::MAX))
    }
}

/// The delay before the attempt that follows the `failures`-th failure in a row.
pub fn delay(failures: u32, chance: Chance) -> Duration {
    delay_from(FIRST_DELAY, failures, chance)
}

/// The same, doubling from `first` on.
pub fn delay_from(first: Duration, failures: u32, chance: Chance) -> Duration {
    let base = match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => first
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(LONGEST),
    };
    base.mul_f64(0.8 + 0.4 * chance.0)
}

/// The failures of one thing: how many in a row, and whether they are too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// So many failures within [`BUDGET_TIME`] are too many.
    failures: usize,
    /// Failures without [`HEALTHY_AFTER`] between them.
    in_a_row: u32,
    /// When the last failures happened, as many as are too many, oldest first.
    times: VecDeque<Timestamp>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(BUDGET_FAILURES)
    }
}

impl Budget {
    /// A budget that `failures` within [`BUDGET_TIME`] spend; one at least.
    pub fn of(failures: usize) -> Self {
        Self {
            failures: failures.max(1),
            in_a_row: 0,
            times: VecDeque::new(),
        }
    }

    /// The same failures, measured by another number of them.
    pub fn resize(&mut self, failures: usize) {
        self.failures = failures.max(1);
        let surplus = self.times.len().saturating_sub(self.failures);
        self.times.drain(..surplus);
    }

    /// Counts a failure at `now`; answers how many there are in a row.
    pub fn failed(&mut self, now: Timestamp) -> u32 {
        let last = self.times.back();
        if last.is_some_and(|last| age(*last, now) >= HEALTHY_AFTER + self.waited()) {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.times.push_back(now);
        if self.times.len() > self.failures {
            self.times.pop_front();
        }
        self.in_a_row
    }

    /// Failures in a row.
    pub const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Whether too many failures happened in the [`BUDGET_TIME`] before `now`.
    pub fn is_spent(&self, now: Timestamp) -> bool {
        self.times.len() >= self.failures
            && self
                .times
                .front()
                .is_some_and(|first| age(*first, now) <= BUDGET_TIME)
    }

    /// The longest time spent waiting, not working, since the last failure.
    fn waited(&self) -> Duration {
        delay(self.in_a_row, Chance(1.0))
    }
}

/// The time from `then` to `now`; none when the clock was set back.
fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then)
        .try_into()
        .unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_grow_to_thirty_seconds() {
        let seconds: Vec<_> = (0..12)
            .map(|n| delay(n, Chance::EVEN).as_secs_f64())
            .collect();
        assert_eq!(
            seconds,
            [
                0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0
            ]
        );
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(failures in any::<u32>(), draw in any::<f64>()) {
            let even = delay(failures, Chance::EVEN);
            let drawn = delay(failures, Chance::new(draw));
            prop_assert!(drawn >= even.mul_f64(0.799_999) && drawn <= even.mul_f64(1.200_001));
            prop_assert!(drawn <= LONGEST.mul_f64(1.2));
        }

        #[test]
        fn a_longer_row_of_failures_never_waits_less(failures in 0_u32..40) {
            prop_assert!(delay(failures, Chance::EVEN) <= delay(failures + 1, Chance::EVEN));
        }
    }

    #[test]
    fn a_minute_of_health_begins_the_count_anew() {
        let mut budget = Budget::default();
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(budget.failed(start), 1);
        assert_eq!(budget.failed(start + Duration::from_secs(59)), 2);
        assert_eq!(budget.failed(start + Duration::from_secs(59 + 61)), 1);
    }

    #[test]
    fn ten_failures_in_five_minutes_spend_the_budget_and_ten_in_an_hour_do_not() {
        for (step, spent) in [(30, true), (33, true), (34, false), (360, false)] {
            let mut budget = Budget::default();
            let mut now = Timestamp::UNIX_EPOCH;
            for n in 0..10 {
                assert!(!budget.is_spent(now), "spent after {n}");
                now += Duration::from_secs(step);
                budget.failed(now);
            }
            assert_eq!(budget.is_spent(now), spent, "ten failures, one in {step} s");
        }
    }
}
