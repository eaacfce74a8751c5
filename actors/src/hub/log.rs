//! The events that are remembered: the latest, so many and for so long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::event::Published;

/// What a subscriber has missed.
pub(super) enum Missed {
    /// These, in order.
    Events(Vec<Arc<Published>>),
    /// More than is remembered.
    Unknown,
}

pub(super) struct Log {
    events: VecDeque<(Instant, Arc<Published>)>,
    /// The number of the latest event, remembered or not; 0 before the first.
    last: u64,
    capacity: usize,
    keep: Duration,
}

impl Log {
    pub(super) fn new(capacity: usize, keep: Duration) -> Self {
        Self {
            events: VecDeque::new(),
            last: 0,
            capacity,
            keep,
        }
    }

    /// The number of the latest event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number that the next event gets.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    pub(super) fn push(&mut self, event: Arc<Published>, now: Instant) {
        self.last += 1;
        self.events.push_back((now, event));
        self.forget(now);
    }

    /// What was published after the event with this number. A number that has not been given
    /// yet was not given by this log.
    pub(super) fn since(&self, number: u64, now: Instant) -> Missed {
        let missed = match self.last.checked_sub(number) {
            Some(missed) => usize::try_from(missed).unwrap_or(usize::MAX),
            None => return Missed::Unknown,
        };
        let Some(first) = self.events.len().checked_sub(missed) else {
            return Missed::Unknown;
        };
        let events = self.events.range(first..);
        if events
            .clone()
            .next()
            .is_some_and(|(at, _)| self.is_old(*at, now))
        {
            return Missed::Unknown;
        }
        Missed::Events(events.map(|(_, event)| Arc::clone(event)).collect())
    }

    fn forget(&mut self, now: Instant) {
        while self.events.len() > self.capacity
            || self
                .events
                .front()
                .is_some_and(|(at, _)| self.is_old(*at, now))
        {
            self.events.pop_front();
        }
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.keep
    }
}
