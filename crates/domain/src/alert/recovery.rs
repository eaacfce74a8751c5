//! What is done about a failure: the seed's `RecoveryAction`. Every failure that is handled yields one; it is
//! logged, published, and kept in the channel's history.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Service;
use crate::backoff;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryKind {
    /// The same again, after a delay.
    Restart,
    /// Something else in its place.
    Fallback,
    /// Too often: somebody is told, and it is tried slowly.
    Escalate,
    /// Nothing: it does no harm.
    Ignore,
}

impl RecoveryKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Restart, Self::Fallback, Self::Escalate, Self::Ignore];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Fallback => "fallback",
            Self::Escalate => "escalate",
            Self::Ignore => "ignore",
        }
    }
}

impl fmt::Display for RecoveryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RecoveryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("{text:?} is no recovery action"))
    }
}

/// What takes the place of what failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackStrategy {
    /// The next item of the plan.
    NextItem,
    /// The channel's fallback video, or the slate where it has none.
    FallbackVideo,
    /// The item as it was imported, transcoded while it plays.
    LiveTranscode,
    /// What is in memory; changes are refused.
    Memory,
    /// PostgreSQL alone.
    Database,
}

impl FallbackStrategy {
    /// Every strategy.
    pub const ALL: [Self; 5] = [
        Self::NextItem,
        Self::FallbackVideo,
        Self::LiveTranscode,
        Self::Memory,
        Self::Database,
    ];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextItem => "nextItem",
            Self::FallbackVideo => "fallbackVideo",
            Self::LiveTranscode => "liveTranscode",
            Self::Memory => "memory",
            Self::Database => "database",
        }
    }
}

impl fmt::Display for FallbackStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FallbackStrategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == text);
        found.ok_or_else(|| format!("{text:?} is no fallback strategy"))
    }
}

impl Serialize for FallbackStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What is done about one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryAction {
    /// What.
    #[serde(rename = "type")]
    pub kind: RecoveryKind,
    /// After how long; in JSON seconds.
    #[serde(serialize_with = "seconds")]
    pub delay: Duration,
    /// Which attempt follows, counted from 1.
    pub attempt: u32,
    /// So many attempts, and somebody is told.
    pub max_attempts: u32,
    /// What takes the place meanwhile, or from now on.
    pub fallback_strategy: Option<FallbackStrategy>,
}

fn seconds<S: Serializer>(delay: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(delay.as_secs_f64())
}

/// What failed on a channel, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFailure {
    /// A source of the plan's item.
    Source {
        /// Failures in a row, and the delay before the next start.
        attempt: u32,
        /// How long until it is started again.
        delay: Duration,
        /// So many failures are too many.
        most: u32,
        /// Whether they are too many now.
        spent: bool,
    },
    /// An item, at the second failure at one place.
    Item {
        /// Whether the plan has others.
        others: bool,
        /// After how long it is tried again.
        again: Duration,
    },
    /// A playout as a whole.
    Playout {
        /// Failures in a row.
        attempt: u32,
        /// How long until another one is started.
        delay: Duration,
        /// So many failures are too many.
        most: u32,
        /// Whether they are too many now.
        spent: bool,
    },
    /// An output to a platform.
    Output {
        /// Failures in a row.
        attempt: u32,
        /// How long until it is tried again.
        delay: Duration,
        /// So many failures are too many.
        most: u32,
        /// Whether they are too many now.
        spent: bool,
    },
    /// The preparing of an item.
    Preparing,
}

/// Failures at one place of an item that are too many.
const ITEM_FAILURES: u32 = 2;

impl StreamFailure {
    /// What failed, as the history names it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Source { .. } => "source",
            Self::Item { .. } => "item",
            Self::Playout { .. } => "playout",
            Self::Output { .. } => "output",
            Self::Preparing => "preparing",
        }
    }

    /// What is done about it.
    pub const fn action(&self) -> RecoveryAction {
        match *self {
            Self::Source {
                attempt,
                delay,
                most,
                spent,
            }
            | Self::Playout {
                attempt,
                delay,
                most,
                spent,
            } => RecoveryAction {
                kind: restart_or_escalate(spent),
                delay,
                attempt,
                max_attempts: most,
                fallback_strategy: if spent {
                    Some(FallbackStrategy::FallbackVideo)
                } else {
                    None
                },
            },
            Self::Output {
                attempt,
                delay,
                most,
                spent,
            } => RecoveryAction {
                kind: restart_or_escalate(spent),
                delay,
                attempt,
                max_attempts: most,
                fallback_strategy: None,
            },
            Self::Item { others, again } => RecoveryAction {
                kind: RecoveryKind::Fallback,
                delay: again,
                attempt: ITEM_FAILURES,
                max_attempts: ITEM_FAILURES,
                fallback_strategy: Some(if others {
                    FallbackStrategy::NextItem
                } else {
                    FallbackStrategy::FallbackVideo
                }),
            },
            Self::Preparing => RecoveryAction {
                kind: RecoveryKind::Fallback,
                delay: Duration::ZERO,
                attempt: 1,
                max_attempts: 1,
                fallback_strategy: Some(FallbackStrategy::LiveTranscode),
            },
        }
    }
}

const fn restart_or_escalate(spent: bool) -> RecoveryKind {
    if spent {
        RecoveryKind::Escalate
    } else {
        RecoveryKind::Restart
    }
}

impl Service {
    /// What is done while it does not answer. Its pool or client reconnects by itself.
    pub const fn action(self) -> RecoveryAction {
        let (kind, fallback_strategy) = match self {
            Self::Postgres => (RecoveryKind::Fallback, Some(FallbackStrategy::Memory)),
            Self::Redis => (RecoveryKind::Fallback, Some(FallbackStrategy::Database)),
            Self::Telemetry => (RecoveryKind::Ignore, None),
            Self::Disk => (RecoveryKind::Escalate, None),
        };
        RecoveryAction {
            kind,
            delay: backoff::FIRST_DELAY,
            attempt: 1,
            max_attempts: self.alert().after(),
            fallback_strategy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(attempt: u32, spent: bool) -> RecoveryAction {
        let failure = StreamFailure::Source {
            attempt,
            delay: Duration::from_millis(1_500),
            most: 10,
            spent,
        };
        failure.action()
    }

    #[test]
    fn a_source_is_restarted_until_its_budget_is_spent_and_then_somebody_is_told() {
        assert_eq!(
            serde_json::to_value(source(3, false)).expect("JSON"),
            json!({ "type": "restart", "delay": 1.5, "attempt": 3, "maxAttempts": 10, "fallbackStrategy": null })
        );
        let spent = source(10, true);
        assert_eq!(spent.kind, RecoveryKind::Escalate);
        assert_eq!(
            spent.fallback_strategy,
            Some(FallbackStrategy::FallbackVideo)
        );
    }

    #[test]
    fn a_broken_item_gives_way_to_the_next_or_to_the_fallback() {
        let item = |others| {
            let again = Duration::from_secs(600);
            StreamFailure::Item { others, again }.action()
        };
        assert_eq!(
            item(true).fallback_strategy,
            Some(FallbackStrategy::NextItem)
        );
        assert_eq!(
            item(false).fallback_strategy,
            Some(FallbackStrategy::FallbackVideo)
        );
        assert_eq!(item(true).kind, RecoveryKind::Fallback);
    }

    #[test]
    fn names_lead_back() {
        for kind in RecoveryKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for strategy in FallbackStrategy::ALL {
            assert_eq!(strategy.name().parse(), Ok(strategy));
        }
        assert!("give up".parse::<RecoveryKind>().is_err());
    }
}
