//! Alerts: what an operator or a client has to know of, when it begins, when it is over, and who is told.
//!
//! - [`AlertKind`] says of each kind how bad it is, whom it concerns, and how many failures in a row
//!   raise it.
//! - [`Alerts`] is the state machine: failures are counted per [`Key`] (kind and subject), so that one
//!   trouble is one alert; recovery closes it.
//! - [`route`] and [`delivery`] carry the word on: to which webhook or mailbox, and when again.
//! - [`recovery`] is what was done about a failure, which is another matter than telling of it.

pub mod delivery;
mod kind;
mod machine;
pub mod outbox;
pub mod recovery;
pub mod route;
mod subject;

pub use kind::{AlertKind, Audience, Service, Severity};
pub use machine::{Alerts, Effect, MAX_ENTRIES, Notice, QUIET, Report, Signal, Step};
pub use subject::{Key, Subject};

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{AlertId, ClientId};

/// Characters of what an alert tells of its cause at most.
pub const MAX_DETAIL: usize = 1_000;

/// How far an alert has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It is so, and nobody has said that he knows.
    Open,
    /// It is so, and somebody knows.
    Acknowledged,
    /// It is over.
    Closed,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Closed];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AlertState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| {
            let given = crate::violation::quoted(text);
            format!("{given} is no state of an alert; it is open, acknowledged or closed")
        })
    }
}

/// Who has said that he knows, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When.
    pub at: Timestamp,
    /// What the audit calls him.
    pub by: String,
}

/// One trouble, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What kind of trouble, with what.
    pub key: Key,
    /// Whose it is; the operator's where it is the daemon's own.
    pub client: ClientId,
    /// What people call the channel or item; nothing for the daemon's own.
    pub name: Option<String>,
    /// The latest cause: a sentence, [`MAX_DETAIL`] characters at most.
    pub detail: String,
    /// Failures that belong to it.
    pub occurrences: u64,
    /// When it was raised.
    pub opened_at: Timestamp,
    /// When it last happened, or changed.
    pub last_at: Timestamp,
    /// How often it came back soon after it was over.
    pub reopened: u32,
    /// Who knows.
    pub acknowledged: Option<Acknowledgement>,
    /// When it was over; nothing while it is not.
    pub closed_at: Option<Timestamp>,
    /// Whether the last that routes were told is that it is open.
    pub told: bool,
}

impl Alert {
    /// How far it has come.
    pub const fn state(&self) -> AlertState {
        match (&self.closed_at, &self.acknowledged) {
            (Some(_), _) => AlertState::Closed,
            (None, Some(_)) => AlertState::Acknowledged,
            (None, None) => AlertState::Open,
        }
    }

    /// What kind it is.
    pub const fn kind(&self) -> AlertKind {
        self.key.kind
    }

    /// The alert as the API, its events and its routes tell of it.
    pub fn to_json(&self) -> Value {
        let Key { kind, subject } = self.key;
        let mut told = json!({
            "id": self.id,
            "kind": kind,
            "severity": kind.severity(),
            "audience": kind.audience(),
            "title": kind.title(),
            "detail": self.detail,
            "state": self.state(),
            "clientId": self.client,
            "name": self.name,
            "occurrences": self.occurrences,
            "reopened": self.reopened,
            "openedAt": self.opened_at,
            "lastAt": self.last_at,
            "acknowledgedAt": self.acknowledged.as_ref().map(|known| known.at),
            "acknowledgedBy": self.acknowledged.as_ref().map(|known| &known.by),
            "closedAt": self.closed_at,
        });
        told["channelId"] = json!(subject.channel());
        told["mediaId"] = json!(subject.media());
        told["destinationId"] = json!(subject.destination());
        told["watchedFolderId"] = json!(subject.folder());
        told["routeId"] = json!(subject.route());
        told["webhookId"] = json!(subject.webhook());
        told
    }
}

/// `text` fit to be an alert's detail: one line of bounded length.
pub fn detail(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
