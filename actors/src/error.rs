//! Why an operation was not done, in the words of its caller: the facade maps each kind to one
//! status, and nothing of the private cause is in it.

use std::time::Duration;

use playout_domain::lifecycle::Refused;
use playout_domain::plans::PlanRefusal;
use playout_domain::violation::Violations;
use playout_store::{NodeView, StoreError};

/// What a client is told when the database's disk is full.
pub const NO_ROOM: &str = "there is no room left on the disk of the database";

/// Why an operation was not done. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpError {
    /// There is no such thing, or the caller must not know of it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The input is not valid: every violation.
    #[error("{0}")]
    Invalid(Violations),
    /// The present state does not allow it.
    #[error("{message}")]
    Conflict {
        /// The state that is in the way.
        state: String,
        /// One sentence.
        message: String,
    },
    /// Another daemon holds the channel, and takes changes and orders to it.
    #[error("node {} holds the channel", .0.name)]
    HeldElsewhere(NodeView),
    /// It was changed in the meantime.
    #[error("the version is {current} by now")]
    VersionMismatch {
        /// The version there is.
        current: u64,
    },
    /// The plan's limit is reached.
    #[error("{0}")]
    Limit(PlanRefusal),
    /// It is stored damaged.
    #[error("it is stored damaged, and is left as it is")]
    Quarantined {
        /// What is wrong with it: one sentence, for the operator alone.
        reason: Option<String>,
    },
    /// Not possible at the moment.
    #[error("{message}")]
    Unavailable {
        /// One sentence.
        message: String,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// The fault is ours; its cause is in the log.
    #[error("the daemon failed")]
    Internal,
}

impl OpError {
    /// The fault is ours: logs `cause`, which no caller sees.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "an operation failed");
        Self::Internal
    }

    /// Whether a thing is of the version that is meant; nothing is meant: of any.
    ///
    /// # Errors
    /// [`OpError::VersionMismatch`].
    pub(crate) fn unless_of_version(wanted: Option<u64>, current: u64) -> Result<(), Self> {
        match wanted {
            Some(wanted) if wanted != current => Err(Self::VersionMismatch { current }),
            _ => Ok(()),
        }
    }

    /// Not possible at the moment, worth another try soon.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable {
            message: message.into(),
            retry_after: Duration::from_secs(5),
        }
    }
}

impl From<Violations> for OpError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Refused> for OpError {
    fn from(refused: Refused) -> Self {
        Self::Conflict {
            state: refused.state.to_string(),
            message: refused.to_string(),
        }
    }
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound("thing"),
            StoreError::LeaseLost => Self::Unavailable {
                message: "another daemon has just taken the channel over".into(),
                retry_after: Duration::from_secs(1),
            },
            StoreError::VersionMismatch { current } => Self::VersionMismatch { current },
            StoreError::Limit(exceeded) => Self::Limit(exceeded),
            StoreError::Invalid(violations) => Self::Invalid(violations),
            StoreError::Conflict(message) => Self::Conflict {
                state: "conflict".into(),
                message,
            },
            StoreError::Unavailable(away) if away.is_for_want_of_room() => {
                tracing::error!(%away, "the database cannot write");
                Self::Unavailable {
                    message: NO_ROOM.to_owned(),
                    retry_after: away.retry_after(),
                }
            }
            StoreError::Unavailable(away) => {
                tracing::debug!(%away, "a store is not available");
                Self::Unavailable {
                    message: "the database is not available at the moment".into(),
                    retry_after: away.retry_after(),
                }
            }
            StoreError::Quarantined(reason) => {
                tracing::error!(reason, "what is stored is damaged");
                Self::Quarantined { reason: None }
            }
            StoreError::Setup(cause) | StoreError::Internal(cause) | StoreError::Damaged(cause) => {
                Self::internal(cause)
            }
        }
    }
}
