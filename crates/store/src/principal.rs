//! Who asks: the client and the scope behind a token, or the daemon itself.

use std::fmt;
use std::str::FromStr;

use playout_domain::{ClientId, TokenId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The operator: everything of everybody.
    Admin,
    /// A client: its own things only.
    Client,
}

impl Scope {
    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "admin" => Ok(Self::Admin),
            "client" => Ok(Self::Client),
            _ => Err(format!("{text:?} is no scope; it is admin or client")),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things it makes.
    pub client: ClientId,
    /// What it may do.
    pub scope: Scope,
    /// The token it came with; none for the daemon itself.
    pub token: Option<TokenId>,
    /// What the audit calls it.
    pub name: String,
}

impl Principal {
    /// Whether it may know of a client's things; what it may not see does not exist for it.
    pub fn sees(&self, client: ClientId) -> bool {
        self.scope == Scope::Admin || self.client == client
    }

    /// The daemon, acting for the operator.
    pub fn daemon() -> Self {
        Self {
            client: operator(),
            scope: Scope::Admin,
            token: None,
            name: "daemon".to_owned(),
        }
    }

    /// Whoever says that a daemon does not run.
    pub(crate) fn release() -> Self {
        Self {
            name: "release".to_owned(),
            ..Self::daemon()
        }
    }

    /// Whoever rotates the master key.
    pub(crate) fn rotation() -> Self {
        Self {
            name: "rotate-key".to_owned(),
            ..Self::daemon()
        }
    }
}

/// The operator's client, which every database has.
pub fn operator() -> ClientId {
    ClientId::from(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001))
}
