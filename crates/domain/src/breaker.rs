//! A circuit breaker: whether a server is asked, or taken for away without asking.
//!
//! ```text
//! closed ──so many failures in a row, or too many slow answers──▶ open
//!   ▲                                                              │ the pause is over, and somebody probes
//!   └───────────── the probe is answered ──── probing ◀────────────┘
//!                                                └── it is not: open again
//! ```
//!
//! Decides only. `now` is the time since any fixed moment, by a clock that is never set back.
//!
//! Invariants: while it is not closed no call passes but one probe at a time; what is reported of a call
//! that began before the last change of state changes nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// Time since a fixed moment, by a clock that is never set back.
pub type Moment = Duration;

/// So long after it closed, a breaker that opens again pauses as long as before.
const STEADY: Duration = Duration::from_secs(60);
/// The longest time that a caller is told to stay away.
const LONGEST_HINT: Duration = Duration::from_secs(30);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// So many failures in a row open it; one at least.
    pub failures: u32,
    /// An answer that takes so long is slow.
    pub slow: Duration,
    /// Answers looked at: more than half of them slow, and it opens.
    pub window: usize,
    /// The time between two probes.
    pub pause: Duration,
    /// The same at most, for a server that comes and goes: the pause doubles each time.
    pub longest_pause: Duration,
}

impl Settings {
    /// Three failures in a row, or more than half of 20 answers slower than 3 s; probed every second, every
    /// 16 s where it comes and goes.
    pub const STORE: Self = Self {
        failures: 3,
        slow: Duration::from_secs(3),
        window: 20,
        pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(16),
    };
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered, be it with a refusal, after this time.
    Answered(Duration),
    /// It answered, but how long that took says nothing about it: a lock was waited for, say.
    AnsweredAtLength,
    /// It did not: refused, cut, or silent for too long.
    Failed,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Callers are refused from now on.
    Opened,
    /// Callers pass again.
    Closed,
}

/// The leave to make one call; to be given back with what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    epoch: u64,
}

impl Pass {
    /// Tells states of a breaker apart: it grows with every change.
    pub const fn epoch(self) -> u64 {
        self.epoch
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        since: Moment,
    },
    Open {
        since: Moment,
        /// When it may be probed.
        probe_at: Moment,
    },
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    epoch: u64,
    /// Failures in a row.
    in_a_row: u32,
    /// Whether the last answers were slow, newest last.
    slow: VecDeque<bool>,
    /// The pause of the present or the next time it is open.
    pause: Duration,
    /// When it closed last after having been open.
    closed_at: Option<Moment>,
}

impl Breaker {
    /// A closed breaker.
    pub fn closed(settings: Settings, now: Moment) -> Self {
        Self {
            settings,
            state: State::Closed { since: now },
            epoch: 0,
            in_a_row: 0,
            slow: VecDeque::new(),
            pause: settings.pause,
            closed_at: None,
        }
    }

    /// An open breaker, that may be probed at once.
    pub fn open(settings: Settings, now: Moment) -> Self {
        Self {
            state: State::Open {
                since: now,
                probe_at: now,
            },
            ..Self::closed(settings, now)
        }
    }

    /// Whether calls pass.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Since when it is what it is.
    pub const fn since(&self) -> Moment {
        match self.state {
            State::Closed { since } | State::Open { since, .. } => since,
        }
    }

    /// Counts the changes of state.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Leave to make a call.
    ///
    /// # Errors
    /// When it is worth another try: never at once, later the longer the server is away.
    pub fn pass(&self, now: Moment) -> Result<Pass, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Pass { epoch: self.epoch }),
            State::Open { since, probe_at } => {
                let away = now.saturating_sub(since);
                let next = probe_at.saturating_sub(now).max(Duration::from_secs(1));
                Err((away / 4).max(next).min(LONGEST_HINT))
            }
        }
    }

    /// Leave to find out whether the server is back; nothing before its time. Who has it holds it for the
    /// length of a pause, and then another may try.
    pub fn probe(&mut self, now: Moment) -> Option<Pass> {
        match &mut self.state {
            State::Open { probe_at, .. } if *probe_at <= now => {
                *probe_at = now + self.pause;
                Some(Pass { epoch: self.epoch })
            }
            _ => None,
        }
    }

    /// Notes what became of a call. Answers whether the state is another now.
    pub fn note(&mut self, pass: Pass, outcome: Outcome, now: Moment) -> Option<Change> {
        if pass.epoch != self.epoch {
            return None;
        }
        match (self.state, outcome) {
            (State::Closed { .. }, outcome) => self.count(outcome, now),
            (State::Open { .. }, Outcome::Answered(_) | Outcome::AnsweredAtLength) => {
                Some(self.close(now))
            }
            (State::Open { since, .. }, Outcome::Failed) => {
                let probe_at = now + self.pause;
                self.state = State::Open { since, probe_at };
                None
            }
        }
    }

    fn count(&mut self, outcome: Outcome, now: Moment) -> Option<Change> {
        let slow = match outcome {
            Outcome::Answered(time) => {
                self.in_a_row = 0;
                time >= self.settings.slow
            }
            Outcome::AnsweredAtLength => {
                self.in_a_row = 0;
                return None;
            }
            Outcome::Failed => {
                self.in_a_row += 1;
                true
            }
        };
        self.slow.push_back(slow);
        if self.slow.len() > self.settings.window {
            self.slow.pop_front();
        }
        let slow = self.slow.iter().filter(|slow| **slow).count();
        let too_slow = self.slow.len() == self.settings.window && slow * 2 > self.slow.len();
        let too_many = self.in_a_row >= self.settings.failures.max(1);
        (too_many || too_slow).then(|| self.trip(now))
    }

    fn trip(&mut self, now: Moment) -> Change {
        let steady = |closed_at: Moment| now.saturating_sub(closed_at) >= STEADY;
        self.pause = match self.closed_at {
            Some(closed_at) if !steady(closed_at) => {
                (self.pause * 2).min(self.settings.longest_pause)
            }
            _ => self.settings.pause,
        };
        self.state = State::Open {
            since: now,
            probe_at: now + self.pause,
        };
        self.turn();
        Change::Opened
    }

    fn close(&mut self, now: Moment) -> Change {
        self.state = State::Closed { since: now };
        self.closed_at = Some(now);
        self.turn();
        Change::Closed
    }

    fn turn(&mut self) {
        self.epoch += 1;
        self.in_a_row = 0;
        self.slow.clear();
    }
}
