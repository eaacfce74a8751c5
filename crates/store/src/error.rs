//! Why the store did not do what was asked. Nothing has changed then: every change is one transaction.

use std::fmt;
use std::time::Duration;

use playout_domain::plans::PlanRefusal;
use playout_domain::violation::Violations;
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
    /// Another daemon holds the channel: nothing is written about it here any more.
    #[error("another daemon holds the channel")]
    LeaseLost,
    /// A limit of the client's plan would be passed.
    #[error(transparent)]
    Limit(#[from] PlanRefusal),
    /// What is asked for names something that is not there: where, and a sentence for the caller.
    #[error("{0}")]
    Invalid(Violations),
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
    #[error("a store is not available: {0}")]
    Unavailable(Away),
    /// The store cannot be opened as it is configured: one sentence for the operator.
    #[error("{0}")]
    Setup(String),
    /// The fault is ours: a sentence for the log, not for the caller.
    #[error("the store failed: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// The server did not answer.
    pub(crate) fn away(cause: impl Into<String>) -> Self {
        Self::Unavailable(Away {
            cause: cause.into(),
            retry_after: Duration::from_secs(1),
            fault: Fault::Server,
        })
    }

    /// The server answers and is in order; this call came at a bad time.
    pub(crate) fn busy(cause: impl Into<String>) -> Self {
        Self::Unavailable(Away {
            cause: cause.into(),
            retry_after: Duration::from_secs(1),
            fault: Fault::Moment,
        })
    }

    /// The server answers, and there is no room left on its disk.
    pub fn no_room(cause: impl Into<String>) -> Self {
        Self::Unavailable(Away {
            cause: cause.into(),
            retry_after: Duration::from_secs(60),
            fault: Fault::NoRoom,
        })
    }

    /// The server answers and takes nothing new.
    pub(crate) fn full(cause: impl Into<String>) -> Self {
        Self::Unavailable(Away {
            cause: cause.into(),
            retry_after: Duration::from_secs(10),
            fault: Fault::Full,
        })
    }
}

/// Why a server does not do what was asked, and when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    pub(crate) cause: String,
    pub(crate) retry_after: Duration,
    pub(crate) fault: Fault,
}

impl Away {
    /// One sentence for the log.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Whether its disk is full: nothing can be written until there is room.
    pub fn is_for_want_of_room(&self) -> bool {
        self.fault == Fault::NoRoom
    }

    /// When it is worth another try; one second at least.
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// What an unavailable store says about its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not answer: refused, cut, silent.
    Server,
    /// It answers, and its disk is full.
    NoRoom,
    /// It answers, and takes nothing new: its memory is full, or it may only be read.
    Full,
    /// It is in order: a lock, a time-out of one statement, all of our connections in use.
    Moment,
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            // The sentence alone: the detail of a constraint may hold values.
            let sentence = format!("{} ({})", refusal.message(), refusal.code().code());
            if is_damage(refusal.code()) {
                return Self::Damaged(sentence);
            }
            return match fault(refusal.code()) {
                Some(Fault::Server) => Self::away(sentence),
                Some(Fault::NoRoom) => Self::no_room(sentence),
                Some(Fault::Full) => Self::full(sentence),
                Some(Fault::Moment) => Self::busy(sentence),
                None => Self::Internal(sentence),
            };
        }
        let sentence = sentence(&error);
        let from_network =
            std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
        if error.is_closed() || from_network {
            Self::away(sentence)
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

/// What a refusal that passes by itself says about the server; nothing where it does not pass.
fn fault(code: &SqlState) -> Option<Fault> {
    const FULL: [SqlState; 2] = [SqlState::OUT_OF_MEMORY, SqlState::READ_ONLY_SQL_TRANSACTION];
    const MOMENT: [SqlState; 7] = [
        SqlState::QUERY_CANCELED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        // A table was changed since the statement was parsed; asked again, it is parsed anew.
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    // It goes down or comes up, or lets nobody in.
    const SERVER: [&str; 3] = ["08", "53", "57"];
    if *code == SqlState::DISK_FULL {
        Some(Fault::NoRoom)
    } else if FULL.contains(code) {
        Some(Fault::Full)
    } else if MOMENT.contains(code) || code.code().starts_with("58") {
        Some(Fault::Moment)
    } else {
        let away = SERVER.iter().any(|class| code.code().starts_with(class));
        away.then_some(Fault::Server)
    }
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
