//! How many failures are too many: a pure function of (history, now).

use std::time::{Duration, Instant};

/// The most failures within a time that are still answered with a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// So many restarts are granted …
    pub restarts: usize,
    /// … within this time.
    pub within: Duration,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is restarted; it was the `failures`-th failure within the time.
    Restart {
        /// Failures within the time, this one included.
        failures: u32,
    },
    /// There were too many.
    Exhausted {
        /// Failures within the time, this one included.
        failures: u32,
    },
}

/// The past failures that still count, oldest first.
pub type History = Vec<Instant>;

impl Intensity {
    /// What follows from a failure at `now` after those of `history`; and the history after it,
    /// which is never longer than the restarts granted and one more.
    pub fn judge(&self, history: &[Instant], now: Instant) -> (History, Verdict) {
        let recent = |then: &&Instant| now.saturating_duration_since(**then) <= self.within;
        let mut counted: History = history.iter().filter(recent).copied().collect();
        counted.push(now);
        let failures = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        let exhausted = counted.len() > self.restarts;
        let over = counted.len().saturating_sub(self.restarts + 1);
        counted.drain(..over);
        if exhausted {
            (counted, Verdict::Exhausted { failures })
        } else {
            (counted, Verdict::Restart { failures })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_failure_counts_up_to_the_last_moment() {
        let intensity = Intensity {
            restarts: 1,
            within: Duration::from_secs(10),
        };
        let start = Instant::now();
        let (history, _) = intensity.judge(&[], start);
        let (_, late) = intensity.judge(&history, start + Duration::from_secs(10));
        assert_eq!(late, Verdict::Exhausted { failures: 2 });
        let (_, later) = intensity.judge(&history, start + Duration::from_millis(10_001));
        assert_eq!(later, Verdict::Restart { failures: 1 });
    }

    proptest! {
        /// Against the definition: exhausted exactly when this failure and those before it within
        /// the time are more than the restarts granted; whatever was forgotten on the way.
        #[test]
        fn failures_are_counted_over_a_sliding_time(
            steps in proptest::collection::vec(0_u64..5_000, 1..60),
            restarts in 0_usize..8,
            within in 1_u64..20_000,
        ) {
            let intensity = Intensity { restarts, within: Duration::from_millis(within) };
            let start = Instant::now();
            let mut history = Vec::new();
            let mut times: Vec<u64> = Vec::new();
            for step in steps {
                let now = times.last().copied().unwrap_or(0) + step;
                times.push(now);
                let recent = times.iter().filter(|then| now - **then <= within).count();
                let (next, verdict) = intensity.judge(&history, start + Duration::from_millis(now));
                prop_assert_eq!(matches!(verdict, Verdict::Exhausted { .. }), recent > restarts);
                prop_assert!(next.len() <= restarts + 1);
                history = next;
            }
        }
    }
}
