//! How far a job has come, and what people may order about it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// FFmpeg works on it.
    Preparing,
    /// Its turn has not come.
    Waiting,
    /// Somebody has paused it.
    Paused,
    /// It could not be prepared; it plays live.
    Failed,
    /// Somebody has cancelled it: it plays live, and is not begun until somebody retries it.
    Cancelled,
    /// Playing it costs a copy.
    Ready,
}

/// What people order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobOrder {
    /// Not now: what runs ends and is begun anew later.
    Pause,
    /// On with what was paused.
    Resume,
    /// Not at all: what runs ends.
    Cancel,
    /// What has failed or was cancelled, now.
    Retry,
    /// Before the others.
    Next,
}

/// What an order makes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// What it was: that is what was ordered.
    Same,
    /// Another state.
    State(JobState),
    /// The first that waits.
    First,
}

/// An order that a job's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is {} cannot be {}{}", .state.name(), .order.done(), hint(*.state))]
pub struct OrderRefused {
    /// What it is.
    pub state: JobState,
    /// What was ordered.
    pub order: JobOrder,
}

impl JobState {
    /// All of them, in the order of lists.
    pub const ALL: [Self; 6] = [
        Self::Preparing,
        Self::Waiting,
        Self::Paused,
        Self::Failed,
        Self::Cancelled,
        Self::Ready,
    ];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Ready => "ready",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// What follows from an order.
    ///
    /// # Errors
    /// The state does not allow it.
    pub const fn ordered(self, order: JobOrder) -> Result<Becomes, OrderRefused> {
        use JobOrder::{Cancel, Next, Pause, Resume, Retry};
        use JobState::{Cancelled, Failed, Paused, Preparing, Ready, Waiting};
        Ok(match (order, self) {
            (Pause, Waiting | Preparing) => Becomes::State(Paused),
            (Resume, Paused) | (Retry, Failed | Cancelled) => Becomes::State(Waiting),
            (Cancel, Waiting | Preparing | Paused | Failed) => Becomes::State(Cancelled),
            (Next, Waiting) => Becomes::First,
            (Pause, Paused)
            | (Resume, Waiting | Preparing)
            | (Cancel, Cancelled)
            | (Next, Preparing) => Becomes::Same,
            (Pause, Failed | Cancelled | Ready)
            | (Resume, Failed | Cancelled | Ready)
            | (Cancel, Ready)
            | (Retry, Waiting | Preparing | Paused | Ready)
            | (Next, Paused | Failed | Cancelled | Ready) => {
                return Err(OrderRefused { state: self, order });
            }
        })
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl JobOrder {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Retry,
        Self::Next,
    ];

    /// Its name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Next => "next",
        }
    }

    /// The order of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.name() == name)
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "cancelled",
            Self::Retry => "retried",
            Self::Next => "moved to the front",
        }
    }
}

/// What would be possible.
const fn hint(state: JobState) -> &'static str {
    match state {
        JobState::Failed | JobState::Cancelled => "; retry it first",
        JobState::Paused => "; resume it first",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_agree_with_json() {
        for state in JobState::ALL {
            assert_eq!(JobState::named(state.name()), Some(state));
            assert_eq!(serde_json::json!(state), state.name());
        }
        for order in JobOrder::ALL {
            assert_eq!(JobOrder::named(order.name()), Some(order));
        }
    }

    #[test]
    fn each_order_is_taken_in_some_states_and_refused_in_words_in_the_others() {
        let table = [
            // preparing, waiting, paused, failed, cancelled, ready
            (JobOrder::Pause, ["paused", "paused", "=", "-", "-", "-"]),
            (JobOrder::Resume, ["=", "=", "waiting", "-", "-", "-"]),
            (
                JobOrder::Cancel,
                ["cancelled", "cancelled", "cancelled", "cancelled", "=", "-"],
            ),
            (JobOrder::Retry, ["-", "-", "-", "waiting", "waiting", "-"]),
            (JobOrder::Next, ["=", "first", "-", "-", "-", "-"]),
        ];
        for (order, expected) in table {
            for (state, expected) in JobState::ALL.into_iter().zip(expected) {
                let follows = match state.ordered(order) {
                    Ok(Becomes::Same) => "=",
                    Ok(Becomes::First) => "first",
                    Ok(Becomes::State(state)) => state.name(),
                    Err(_) => "-",
                };
                assert_eq!(follows, expected, "{order:?} of what is {state}");
            }
        }
        let refused = JobState::Paused
            .ordered(JobOrder::Next)
            .map_err(|refused| refused.to_string());
        let words = "what is paused cannot be moved to the front; resume it first";
        assert_eq!(refused, Err(words.to_owned()));
    }
}
