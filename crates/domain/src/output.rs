//! The life of one RTMP output: when it connects, with which variant of the parameters, and what
//! follows from a failure.
//!
//! Decides only; the actors' tier performs the [`Effect`]s. The clock and chance are arguments.
//!
//! Invariants (P4): an output that is not wanted has no connection; five failures in a row suspend it and
//! it goes on trying slowly; whatever fails here is nobody else's; a fact of an earlier connection
//! changes nothing.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::backoff::{self, Chance, HEALTHY_AFTER};

/// So many failures in a row suspend an output.
pub const SUSPEND_AFTER: u32 = 5;

/// After so many failures for want of a network that takes the stream, less is sent where that is allowed.
pub const LOWER_AFTER: u32 = 2;

/// How often a suspended output tries again.
pub const SUSPENDED_RETRY: Duration = Duration::from_secs(300);

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// The host's name has no address, or none that may be used.
    Dns,
    /// Nobody listens there.
    Refused,
    /// The network does not lead there, or the connection broke.
    Network,
    /// The connection could not be encrypted, or the certificate is not good.
    Tls,
    /// The server does not take the application or the stream key.
    Rejected,
    /// The server ended the connection.
    RemoteClosed,
    /// The server stopped taking media.
    Stalled,
    /// The process that pushes could not run.
    Local,
    /// It ended, and nothing says why.
    Unknown,
}

impl fmt::Display for FailureKind {
    /// A sentence for people, without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host cannot be found",
            Self::Refused => "nobody listens on the server's port",
            Self::Network => "the server does not answer",
            Self::Tls => "no trusted encrypted connection can be made",
            Self::Rejected => "the server does not take the app or the stream key",
            Self::RemoteClosed => "the server closed the connection",
            Self::Stalled => "the server stopped taking media",
            Self::Local => "the process that pushes cannot run",
            Self::Unknown => "the push ended, and nothing says why",
        })
    }
}

impl FailureKind {
    /// Whether sending less may help: the network, or the server, does not take what is sent.
    pub const fn is_congestion(self) -> bool {
        matches!(self, Self::Network | Self::Stalled)
    }
}

/// What an output does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OutputStatus {
    /// It is not wanted.
    #[default]
    Off,
    /// It connects; no media has been taken yet.
    Connecting,
    /// The server takes media.
    Live,
    /// It waits before it connects again.
    Waiting,
    /// It failed too often, and waits long before each attempt.
    Suspended,
}

/// Counts the connections of an output; what an earlier one reports is stale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

/// An order or a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Whether the client wants it, on a channel that is on air.
    Wanted(bool),
    /// The client changed where it goes: what failed before does not count.
    Redirected,
    /// The server takes media.
    Delivering(Connection),
    /// The connection ended or could not be made.
    Failed(Connection, FailureKind),
    /// The delay before another attempt is over.
    RetryDue(Connection),
    /// The platform's limit of a session is near: the connection is made anew.
    SessionOver(Connection),
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Make a connection; `variant` counts from 0 and tells which of the alternating parameters to use.
    Connect {
        /// The connection that reports.
        connection: Connection,
        /// Which parameters.
        variant: u32,
        /// Whether to send less than usual, where the client has allowed it.
        lower: bool,
    },
    /// End the connection there is.
    Disconnect,
    /// Report [`Event::RetryDue`] after a delay.
    RetryAfter {
        /// What to report.
        connection: Connection,
        /// How long to wait.
        delay: Duration,
    },
    /// Tell the client: it failed too often.
    Suspended {
        /// Failures in a row.
        failures: u32,
        /// The last of them.
        kind: FailureKind,
    },
    /// Tell the client: it was suspended and delivers again.
    Resumed,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLife {
    status: OutputStatus,
    connection: Connection,
    /// Failures in a row; none after a time of health.
    failures: u32,
    /// Those among them for want of a network that takes the stream.
    congested: u32,
    /// Since when the server takes media.
    delivering_since: Option<Timestamp>,
    /// Whether the client was told that it is suspended, and not yet that it is back.
    suspended: bool,
    /// How long it waits before each attempt while it is suspended.
    suspended_retry: Duration,
}

impl Default for OutputLife {
    fn default() -> Self {
        Self::new(SUSPENDED_RETRY)
    }
}

impl OutputLife {
    /// Nobody wants it yet; once suspended it is tried again every `suspended_retry`.
    pub fn new(suspended_retry: Duration) -> Self {
        Self {
            status: OutputStatus::default(),
            connection: Connection::default(),
            failures: 0,
            congested: 0,
            delivering_since: None,
            suspended: false,
            suspended_retry,
        }
    }

    /// What it does.
    pub const fn status(&self) -> OutputStatus {
        self.status
    }

    /// The latest connection.
    pub const fn connection(&self) -> Connection {
        self.connection
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Since when the server takes media.
    pub const fn delivering_since(&self) -> Option<Timestamp> {
        self.delivering_since
    }

    /// What follows from `event` at `now`.
    pub fn on(&mut self, event: Event, now: Timestamp, chance: Chance) -> Vec<Effect> {
        match event {
            Event::Wanted(true) if self.status == OutputStatus::Off => vec![self.connect()],
            Event::Wanted(true) => Vec::new(),
            Event::Wanted(false) => {
                self.suspended = false;
                self.leave()
            }
            Event::Redirected if self.status == OutputStatus::Off => Vec::new(),
            Event::Redirected => {
                let mut effects = self.leave();
                effects.push(self.connect());
                effects
            }
            Event::Delivering(connection)
                if connection == self.connection && self.status == OutputStatus::Connecting =>
            {
                self.status = OutputStatus::Live;
                self.delivering_since = Some(now);
                let resumed = std::mem::take(&mut self.suspended);
                resumed.then_some(Effect::Resumed).into_iter().collect()
            }
            Event::Failed(connection, kind)
                if connection == self.connection && self.is_connected() =>
            {
                self.fail(kind, now, chance)
            }
            Event::RetryDue(connection) if connection == self.connection && self.is_waiting() => {
                vec![self.connect()]
            }
            Event::SessionOver(connection)
                if connection == self.connection && self.status == OutputStatus::Live =>
            {
                self.end_delivering(now);
                vec![Effect::Disconnect, self.connect()]
            }
            Event::Delivering(_)
            | Event::Failed(..)
            | Event::RetryDue(_)
            | Event::SessionOver(_) => Vec::new(),
        }
    }

    const fn is_connected(&self) -> bool {
        matches!(self.status, OutputStatus::Connecting | OutputStatus::Live)
    }

    const fn is_waiting(&self) -> bool {
        matches!(self.status, OutputStatus::Waiting | OutputStatus::Suspended)
    }

    fn connect(&mut self) -> Effect {
        self.status = OutputStatus::Connecting;
        self.connection.0 += 1;
        Effect::Connect {
            connection: self.connection,
            variant: self.failures,
            lower: self.congested >= LOWER_AFTER,
        }
    }

    /// It delivers no longer; what failed before a time of health does not count.
    fn end_delivering(&mut self, now: Timestamp) {
        let delivered = self.delivering_since.take();
        if delivered.is_some_and(|since| is_healthy(since, now)) {
            self.failures = 0;
            self.congested = 0;
        }
    }

    /// Whether the client was told that it is suspended is for the caller.
    fn leave(&mut self) -> Vec<Effect> {
        let was = self.is_connected();
        // A retry that is under way has become stale.
        self.connection.0 += 1;
        self.status = OutputStatus::Off;
        self.failures = 0;
        self.congested = 0;
        self.delivering_since = None;
        was.then_some(Effect::Disconnect).into_iter().collect()
    }

    fn fail(&mut self, kind: FailureKind, now: Timestamp, chance: Chance) -> Vec<Effect> {
        self.end_delivering(now);
        self.failures = self.failures.saturating_add(1);
        self.congested += u32::from(kind.is_congestion());
        let mut effects = vec![Effect::Disconnect];
        let delay = if self.failures < SUSPEND_AFTER {
            self.status = OutputStatus::Waiting;
            backoff::delay(self.failures, chance)
        } else {
            self.status = OutputStatus::Suspended;
            if !std::mem::replace(&mut self.suspended, true) {
                let failures = self.failures;
                effects.push(Effect::Suspended { failures, kind });
            }
            self.suspended_retry
        };
        effects.push(Effect::RetryAfter {
            connection: self.connection,
            delay,
        });
        effects
    }
}

fn is_healthy(since: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(since)).is_ok_and(|time| time >= HEALTHY_AFTER)
}
