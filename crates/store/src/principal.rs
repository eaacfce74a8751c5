//! Who asks: the client and the scopes behind a token, or the daemon itself.

use std::fmt;
use std::str::FromStr;

use playout_domain::{ClientId, TokenId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::idempotency::Attempt;

/// One thing that a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To look.
    Read,
    /// To put on air and take off, to skip, to play, to acknowledge.
    Operate,
    /// To create, change and delete.
    Configure,
    /// The operator: everything of everybody.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Configure, Self::Admin];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Configure => "configure",
            Self::Admin => "admin",
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
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no scope; there are {known}")
        })
    }
}

/// What a token allows: any of the scopes, at least one.
///
/// Invariant: whoever may do something may look at what it does it to, and who has `admin` has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Vec<Scope>")]
pub struct Scopes(u8);

/// Scopes as they are written, and as they were when there were two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Scopes(Vec<Scope>),
    Role(Role),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Admin,
    Client,
}

impl TryFrom<Written> for Scopes {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Scopes(scopes) => scopes.try_into(),
            Written::Role(Role::Admin) => Ok(Self::ADMIN),
            Written::Role(Role::Client) => Ok(Self::CLIENT),
        }
    }
}

impl Scopes {
    /// Everything of everybody: the operator's.
    pub const ADMIN: Self = Self(1 << Scope::Admin as u8);
    /// Everything of one client's own.
    pub const CLIENT: Self =
        Self(1 << Scope::Read as u8 | 1 << Scope::Operate as u8 | 1 << Scope::Configure as u8);

    /// These scopes; nothing where there is none.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        let bits = scopes
            .into_iter()
            .fold(0, |bits, scope| bits | 1 << scope as u8);
        (bits != 0).then_some(Self(bits))
    }

    /// Whether they allow what needs `scope`.
    pub fn allow(self, scope: Scope) -> bool {
        self.has(Scope::Admin) || scope == Scope::Read || self.has(scope)
    }

    /// Whether they allow all that `others` allow.
    pub fn cover(self, others: Self) -> bool {
        others.into_iter().all(|scope| self.allow(scope))
    }

    fn has(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}

impl IntoIterator for Scopes {
    type Item = Scope;
    type IntoIter = std::vec::IntoIter<Scope>;

    fn into_iter(self) -> Self::IntoIter {
        let named = Scope::ALL.into_iter().filter(|scope| self.has(*scope));
        named.collect::<Vec<_>>().into_iter()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.into_iter().collect()
    }
}

impl TryFrom<Vec<Scope>> for Scopes {
    type Error = &'static str;

    fn try_from(scopes: Vec<Scope>) -> Result<Self, Self::Error> {
        Self::of(scopes).ok_or("a token without a scope")
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things it makes.
    pub client: ClientId,
    /// What it may do.
    pub scopes: Scopes,
    /// The token it came with; none for the daemon itself.
    pub token: Option<TokenId>,
    /// What the audit calls it.
    pub name: String,
    /// The request it asks with, where that has an `Idempotency-Key`: its first change marks it as done.
    pub attempt: Option<Attempt>,
}

impl Principal {
    /// Whether it may know of a client's things; what it may not see does not exist for it.
    pub fn sees(&self, client: ClientId) -> bool {
        self.is_operator() || self.client == client
    }

    /// Whether it may do what it may with everybody's things.
    pub fn is_operator(&self) -> bool {
        self.scopes.allow(Scope::Admin)
    }

    /// # Errors
    /// [`StoreError::NotFound`] for anybody else: what is the operator's is not there for them.
    pub(crate) fn is_the_operator(&self) -> Result<(), StoreError> {
        self.is_operator().then_some(()).ok_or(StoreError::NotFound)
    }

    /// The client whose things alone it may know of; nothing for the operator, who sees all.
    pub fn only(&self) -> Option<ClientId> {
        (!self.is_operator()).then_some(self.client)
    }

    /// The same as the database has it.
    pub(crate) fn only_uuid(&self) -> Option<Uuid> {
        self.only().map(ClientId::uuid)
    }

    /// The daemon, acting for the operator.
    pub fn daemon() -> Self {
        Self {
            client: operator(),
            scopes: Scopes::ADMIN,
            token: None,
            name: "daemon".to_owned(),
            attempt: None,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whoever_may_do_something_may_look_and_the_operator_may_do_all() {
        for scope in Scope::ALL {
            let scopes = Scopes::of([scope]).unwrap();
            assert!(scopes.allow(Scope::Read) && scopes.allow(scope), "{scope}");
            let all = Scope::ALL.into_iter().all(|scope| scopes.allow(scope));
            assert_eq!(all, scope == Scope::Admin, "{scope}");
            assert!(Scopes::ADMIN.cover(scopes) && scopes.cover(scopes));
        }
        let (operate, configure) = (Scopes::of([Scope::Operate]), Scopes::of([Scope::Configure]));
        assert!(!operate.unwrap().cover(configure.unwrap()));
        assert!(!Scopes::CLIENT.cover(Scopes::ADMIN));
        assert_eq!(Scopes::of([]), None);
    }

    #[test]
    fn scopes_are_a_list_in_json_with_at_least_one() {
        let json = serde_json::to_string(&Scopes::CLIENT).unwrap();
        assert_eq!(json, r#"["read","operate","configure"]"#);
        assert_eq!(
            serde_json::from_str::<Scopes>(&json).unwrap(),
            Scopes::CLIENT
        );
        // As copies and journals have it that a daemon of before has written.
        assert_eq!(
            serde_json::from_str::<Scopes>(r#""client""#).unwrap(),
            Scopes::CLIENT
        );
        assert_eq!(
            serde_json::from_str::<Scopes>(r#""admin""#).unwrap(),
            Scopes::ADMIN
        );
        for wrong in ["[]", r#"["all"]"#, r#""read""#] {
            assert!(serde_json::from_str::<Scopes>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_sees_its_own_and_the_operator_sees_all() {
        let mut who = Principal::daemon();
        assert_eq!(who.only(), None);
        who.scopes = Scopes::CLIENT;
        assert_eq!(who.only(), Some(who.client));
    }
}
