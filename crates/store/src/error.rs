//! Why the store did not do what was asked. Nothing has changed then: every change is one transaction.

use playout_domain::limits::LimitExceeded;
use tokio_postgres::error::SqlState;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or the caller must not know of it.
    #[error("there is no such thing")]
    NotFound,
    /// It was changed since the caller read it.
    #[error("the version is {current} by now")]
    VersionMismatch {
        /// The version there is.
        current: u64,
    },
    /// A limit of the client's plan would be passed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// What is stored does not allow it: one sentence for the caller.
    #[error("{0}")]
    Conflict(String),
    /// It is stored damaged, and nothing is built on it: a sentence for the operator.
    #[error("it is stored damaged: {0}")]
    Quarantined(String),
    /// The server finds what it keeps damaged: a sentence for the log, not for the caller.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A server cannot be reached or is too slow; worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database's disk is full: nothing can be written until there is room.
    #[error("there is no room left on the database's disk: {0}")]
    NoRoom(String),
    /// The store cannot be opened as it is configured: one sentence for the operator.
    #[error("{0}")]
    Setup(String),
    /// The fault is ours: a sentence for the log, not for the caller.
    #[error("the store failed: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            // The sentence alone: the detail of a constraint may hold values.
            let sentence = format!("{} ({})", refusal.message(), refusal.code().code());
            return if *refusal.code() == SqlState::DISK_FULL {
                Self::NoRoom(sentence)
            } else if is_damage(refusal.code()) {
                Self::Damaged(sentence)
            } else if passes(refusal.code()) {
                Self::Unavailable(sentence)
            } else {
                Self::Internal(sentence)
            };
        }
        let sentence = sentence(&error);
        let from_network =
            std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
        if error.is_closed() || from_network {
            Self::Unavailable(sentence)
        } else {
            Self::Internal(sentence)
        }
    }
}

/// Whether a refusal tells of damage: a page, an index or a value that cannot be right, a file that cannot
/// be read. It does not pass by itself, and it concerns what was asked for alone.
fn is_damage(code: &SqlState) -> bool {
    code.code().starts_with("XX")
        || *code == SqlState::IO_ERROR
        || *code == SqlState::UNDEFINED_FILE
}

/// Whether a refusal passes by itself: the server goes down or comes up, is out of something, or was too slow.
fn passes(code: &SqlState) -> bool {
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || CLASSES.iter().any(|class| code.code().starts_with(class))
}

/// An error with its causes, in one line.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
