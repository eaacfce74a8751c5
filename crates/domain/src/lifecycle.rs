//! The life of a channel: what it should do, what it does, and what follows from an order or a fact.
//!
//! Decides only; an actor performs the [`Effect`]s. The clock is an argument.
//!
//! Invariants (P3): a channel that should not be live is STOPPED; LIVE is exactly when uptime is
//! counted; an order that is already fulfilled has no effect; a fact of an earlier generation
//! changes nothing; generations only grow.

use crate::backoff::Budget;
use crate::config::RecoverySettings;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a channel does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChannelStatus {
    /// Nothing is on air.
    #[default]
    Stopped,
    /// Asked to be live; no segment is out yet.
    Starting,
    /// Segments go out, be it the plan, the fallback or the slate.
    Live,
    /// The budget of recovery is spent: fallback or slate is on air, retried slowly.
    Error,
}

/// What a channel should do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Desired {
    /// Off air.
    #[default]
    Stopped,
    /// On air, for ever.
    Live,
}

/// Counts the playouts of a channel; what an earlier one reports is stale.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// What a client asks of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Go on air.
    Start,
    /// Go off air.
    Stop,
    /// Begin the playout anew, on the same playlist.
    Restart,
    /// End the item on air and go on with the next; no change of state.
    Skip,
}

/// An order or a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A client's order.
    Operate(Operation),
    /// The daemon has come up; the channel was last known alive at `last_seen`.
    Booted {
        /// The last heartbeat or segment, when one is known: uptime is counted up to it.
        last_seen: Option<Timestamp>,
    },
    /// The daemon goes down: off air, but still wanted.
    Drain,
    /// The first segment of a playout is out.
    FirstSegment {
        /// Of the playout.
        generation: Generation,
    },
    /// A playout restarted its source by itself.
    SourceRestarted {
        /// Of the playout.
        generation: Generation,
    },
    /// A playout has failed as a whole.
    PlayoutFailed {
        /// Of the playout.
        generation: Generation,
    },
    /// The delay before another attempt is over.
    RetryDue {
        /// Of the playout to be started.
        generation: Generation,
    },
    /// Scheduled media has been on air without a failure for [`crate::backoff::HEALTHY_AFTER`].
    Healthy {
        /// Of the playout.
        generation: Generation,
    },
    /// A playout has ended; without an order that is a failure.
    Stopped {
        /// Of the playout.
        generation: Generation,
    },
}

/// What the actor has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start a playout of this generation.
    StartPlayout(Generation),
    /// End the playout of this generation, whatever is left of it.
    StopPlayout(Generation),
    /// Report [`Event::RetryDue`] after [`RecoverySettings::delay`] for so many failures, or after
    /// [`crate::backoff::SLOW_RETRY`] when `slow`.
    RetryAfter {
        /// The generation to report.
        generation: Generation,
        /// Failures in a row, this one included.
        failures: u32,
        /// Whether the budget is spent.
        slow: bool,
    },
    /// End the item on air in the playout of this generation.
    SkipItem(Generation),
}

/// An order that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel that is {state} cannot {operation}; it can when it is {}", .operation.allowed())]
pub struct Refused {
    /// What was asked.
    pub operation: Operation,
    /// What the channel does.
    pub state: ChannelStatus,
}

/// The state of a channel's life: plain data, persisted with the channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifeState {
    /// What it should do.
    pub desired: Desired,
    /// What it does.
    pub status: ChannelStatus,
    /// The latest playout.
    pub generation: Generation,
    /// Time LIVE, up to `live_since`.
    pub uptime: Duration,
    /// Since when it is LIVE; nothing when it is not.
    pub live_since: Option<Timestamp>,
    /// Automatic restarts since creation.
    pub restart_count: u64,
    /// Automatic restarts since the last start.
    pub restarts_since_start: u64,
    /// When a client last started (or restarted) it.
    pub last_start_time: Option<Timestamp>,
    /// When a client last stopped (or restarted) it.
    pub last_stop_time: Option<Timestamp>,
}

impl LifeState {
    /// The time it has been LIVE, counted up to `now`.
    pub fn uptime_at(&self, now: Timestamp) -> Duration {
        self.uptime + self.live_for(now)
    }

    /// The time until `now` since it last went LIVE; zero when it is not.
    pub fn live_for(&self, now: Timestamp) -> Duration {
        self.live_since
            .map_or(Duration::ZERO, |since| span(since, now))
    }
}

/// A channel's life: the state, and what is known only while the daemon runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// What is persisted.
    state: LifeState,
    /// How many failures are too many.
    recovery: RecoverySettings,
    /// The failures that count: forgotten with the daemon, which is a fresh chance.
    budget: Budget,
    /// Whether a playout of this generation should be running (else a retry is due).
    running: bool,
}

impl From<LifeState> for Lifecycle {
    fn from(state: LifeState) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }
}

impl Lifecycle {
    /// Measures failures by `recovery` from now on.
    pub fn recover_by(&mut self, recovery: RecoverySettings) {
        self.recovery = recovery;
        self.budget.resize(recovery.max_restarts as usize);
    }

    /// The state as it is persisted.
    pub const fn state(&self) -> &LifeState {
        &self.state
    }

    /// Failures in a row; none after a time of health.
    pub const fn failures(&self) -> u32 {
        self.budget.in_a_row()
    }

    /// What follows from `event` at `now`.
    ///
    /// # Errors
    /// [`Refused`] when it is an order that the state does not allow; nothing has changed then.
    pub fn on(&mut self, event: Event, now: Timestamp) -> Result<Vec<Effect>, Refused> {
        let status = self.state.status;
        Ok(match event {
            Event::Operate(operation) => return self.operate(operation, now),
            Event::Booted { last_seen } => self.boot(last_seen),
            Event::Drain => self.leave_air(now),
            _ if event.generation() != Some(self.state.generation) => Vec::new(),
            _ if status == ChannelStatus::Stopped => Vec::new(),
            Event::FirstSegment { .. } => {
                if status == ChannelStatus::Starting {
                    self.go_live(now);
                }
                Vec::new()
            }
            Event::SourceRestarted { .. } => {
                self.count_failure(now);
                Vec::new()
            }
            Event::PlayoutFailed { generation } | Event::Stopped { generation } => {
                self.retry(generation, now)
            }
            Event::RetryDue { generation } => {
                if std::mem::replace(&mut self.running, true) {
                    Vec::new()
                } else {
                    vec![Effect::StartPlayout(generation)]
                }
            }
            Event::Healthy { .. } => {
                self.budget = self.recovery.budget();
                if status == ChannelStatus::Error {
                    self.go_live(now);
                }
                Vec::new()
            }
        })
    }

    fn operate(&mut self, operation: Operation, now: Timestamp) -> Result<Vec<Effect>, Refused> {
        let state = self.state.status;
        if !operation.is_allowed(state) {
            return Err(Refused { operation, state });
        }
        Ok(match (operation, state) {
            (Operation::Start, ChannelStatus::Starting | ChannelStatus::Live) => Vec::new(),
            (Operation::Start, ChannelStatus::Stopped) => {
                self.state.last_start_time = Some(now);
                self.start()
            }
            (Operation::Start, ChannelStatus::Error) => {
                self.state.last_start_time = Some(now);
                self.replace(now)
            }
            (Operation::Restart, _) => {
                self.state.last_stop_time = Some(now);
                self.state.last_start_time = Some(now);
                self.replace(now)
            }
            (Operation::Stop, _) => {
                if self.state.desired == Desired::Live {
                    self.state.last_stop_time = Some(now);
                }
                self.state.desired = Desired::Stopped;
                self.leave_air(now)
            }
            (Operation::Skip, _) => vec![Effect::SkipItem(self.state.generation)],
        })
    }

    fn boot(&mut self, last_seen: Option<Timestamp>) -> Vec<Effect> {
        let seen = last_seen.or(self.state.live_since);
        if let Some(seen) = seen {
            self.count_uptime(seen);
        }
        self.state.status = ChannelStatus::Stopped;
        self.budget = self.recovery.budget();
        self.running = false;
        match self.state.desired {
            Desired::Live => {
                let restarts = self.state.restarts_since_start;
                let effects = self.start();
                self.state.restarts_since_start = restarts;
                effects
            }
            Desired::Stopped => Vec::new(),
        }
    }

    fn start(&mut self) -> Vec<Effect> {
        self.state.desired = Desired::Live;
        self.state.status = ChannelStatus::Starting;
        self.state.restarts_since_start = 0;
        self.state.generation.0 += 1;
        self.budget = self.recovery.budget();
        self.running = true;
        vec![Effect::StartPlayout(self.state.generation)]
    }

    fn replace(&mut self, now: Timestamp) -> Vec<Effect> {
        let old = self.state.generation;
        self.count_uptime(now);
        let mut effects = vec![Effect::StopPlayout(old)];
        effects.extend(self.start());
        effects
    }

    fn leave_air(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.state.status == ChannelStatus::Stopped {
            return Vec::new();
        }
        self.count_uptime(now);
        self.state.status = ChannelStatus::Stopped;
        self.running = false;
        vec![Effect::StopPlayout(self.state.generation)]
    }

    /// The failed playout is cleared away and another prepared; a live channel stays LIVE, for
    /// what is buffered, the fallback and the slate go on.
    fn retry(&mut self, failed: Generation, now: Timestamp) -> Vec<Effect> {
        if !std::mem::replace(&mut self.running, false) {
            return Vec::new();
        }
        let (failures, slow) = self.count_failure(now);
        self.state.generation.0 += 1;
        let generation = self.state.generation;
        vec![
            Effect::StopPlayout(failed),
            Effect::RetryAfter {
                generation,
                failures,
                slow,
            },
        ]
    }

    fn count_failure(&mut self, now: Timestamp) -> (u32, bool) {
        self.state.restart_count += 1;
        self.state.restarts_since_start += 1;
        let failures = self.budget.failed(now);
        let spent = self.budget.is_spent(now);
        if spent && self.state.status != ChannelStatus::Error {
            self.count_uptime(now);
            self.state.status = ChannelStatus::Error;
        }
        (failures, spent || self.state.status == ChannelStatus::Error)
    }

    fn go_live(&mut self, now: Timestamp) {
        self.state.status = ChannelStatus::Live;
        self.state.live_since = Some(now);
    }

    fn count_uptime(&mut self, until: Timestamp) {
        if let Some(since) = self.state.live_since.take() {
            self.state.uptime += span(since, until);
        }
    }
}

impl Event {
    /// The playout that a fact is about; orders have none.
    pub const fn generation(&self) -> Option<Generation> {
        match *self {
            Self::FirstSegment { generation }
            | Self::SourceRestarted { generation }
            | Self::PlayoutFailed { generation }
            | Self::RetryDue { generation }
            | Self::Healthy { generation }
            | Self::Stopped { generation } => Some(generation),
            Self::Operate(_) | Self::Booted { .. } | Self::Drain => None,
        }
    }
}

impl Operation {
    /// Whether a channel in `state` can do it.
    pub const fn is_allowed(self, state: ChannelStatus) -> bool {
        match self {
            Self::Start | Self::Stop => true,
            Self::Restart => !matches!(state, ChannelStatus::Stopped),
            Self::Skip => matches!(state, ChannelStatus::Live | ChannelStatus::Error),
        }
    }

    const fn allowed(self) -> &'static str {
        match self {
            Self::Start | Self::Stop => "in any state",
            Self::Restart => "STARTING, LIVE or ERROR",
            Self::Skip => "LIVE or ERROR",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Skip => "skip",
        })
    }
}

impl ChannelStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Stopped, Self::Starting, Self::Live, Self::Error];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Live => "LIVE",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ChannelStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| {
                format!("{text:?} is no channel status; it is STOPPED, STARTING, LIVE or ERROR")
            })
    }
}

impl Desired {
    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Live => "LIVE",
        }
    }
}

impl fmt::Display for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Desired {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Stopped, Self::Live];
        let found = all.into_iter().find(|desired| desired.name() == text);
        found.ok_or_else(|| format!("{text:?} is no desired state; it is STOPPED or LIVE"))
    }
}

/// The time from `since` to `until`; none when the clock was set back.
fn span(since: Timestamp, until: Timestamp) -> Duration {
    until
        .duration_since(since)
        .try_into()
        .unwrap_or(Duration::ZERO)
}
