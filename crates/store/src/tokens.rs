//! Access tokens: 256 random bits, told once, kept as a digest.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use playout_domain::{ClientId, TokenId};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{now, parsed, text};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::{Principal, Scope, operator};
use crate::private_file::{random_hex, write_private};

/// What every token begins with, so that people and scanners of leaked secrets know it.
const PREFIX: &str = "playoutd_";
/// The name of the token in the file that the first boot writes.
const ADMIN_FILE: &str = "admin token file";
/// How long a token that was looked up is taken for known.
const FRESH: Duration = Duration::from_secs(5);
/// Tokens remembered at most.
const REMEMBERED: usize = 10_000;

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose things it makes.
    pub client: ClientId,
    /// What it may do.
    pub scope: Scope,
    /// What people call it.
    pub name: String,
}

type TokenDigest = [u8; 32];

/// Tokens looked up in the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<TokenDigest, (Principal, Instant)>>);

impl Tokens {
    fn known(&self, digest: &TokenDigest) -> Option<Principal> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(digest)
            .filter(|(_, since)| since.elapsed() < FRESH)
            .map(|(principal, _)| principal.clone())
    }

    fn remember(&self, digest: TokenDigest, principal: Principal) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest, (principal, Instant::now()));
    }

    fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Store {
    /// Makes a token and answers its secret, which is nowhere else.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such client for `who`, or `who` asks for more than
    /// it may do itself.
    pub async fn create_token(
        &self,
        who: &Principal,
        new: NewToken,
    ) -> Result<(TokenId, String), StoreError> {
        if !who.sees(new.client) || (new.scope == Scope::Admin && who.scope != Scope::Admin) {
            return Err(StoreError::NotFound);
        }
        let secret = new_secret()?;
        let (who, digest) = (who.clone(), digest(&secret));
        let id = self
            .database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, new.client).await?;
                    insert(tx, &who, &new, digest).await
                })
            })
            .await?;
        Ok((id, secret.to_string()))
    }

    /// Who comes with `secret`; nobody when it is no token.
    pub async fn principal(&self, secret: &str) -> Result<Option<Principal>, StoreError> {
        let digest = digest(secret);
        if let Some(known) = self.0.tokens.known(&digest) {
            return Ok(Some(known));
        }
        let found = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT id, client_id, scope, name FROM tokens WHERE digest = $1";
                    let row = session.query_opt(sql, &[&digest.as_slice()]).await?;
                    row.as_ref().map(principal).transpose()
                })
            })
            .await?;
        if let Some(principal) = &found {
            self.0.tokens.remember(digest, principal.clone());
        }
        Ok(found)
    }

    /// Sees to it that `file` holds a valid admin token: makes both at the first boot, keeps both at
    /// later ones. A file that was removed is made anew and its old token ends with it.
    ///
    /// # Errors
    /// [`StoreError::Setup`] when the file may be read by others, holds no token, or cannot be made.
    pub async fn admin_token(&self, file: &Path) -> Result<(), StoreError> {
        let setup = |doing: &str, error: io::Error| {
            StoreError::Setup(format!(
                "cannot {doing} the admin token file {}: {error}",
                file.display()
            ))
        };
        let (secret, is_new) = match read(file) {
            Ok(secret) => (secret, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (new_secret()?, true),
            Err(error) => return Err(setup("read", error)),
        };
        let digest = digest(&secret);
        self.database()
            .transact(move |tx| Box::pin(async move { keep(tx, digest).await }))
            .await?;
        self.0.tokens.forget();
        if is_new {
            // After the database: a crash in between leaves no file, and the next boot starts over.
            write_private(file, &format!("{}\n", *secret))
                .map_err(|error| setup("write", error))?;
        }
        Ok(())
    }
}

/// The one token of the admin token file is this one.
async fn keep(tx: &Transaction<'_>, digest: TokenDigest) -> Result<(), StoreError> {
    LockedClient::lock(tx, operator()).await?;
    if tx
        .query_opt(
            "SELECT FROM tokens WHERE digest = $1",
            &[&digest.as_slice()],
        )
        .await?
        .is_some()
    {
        return Ok(());
    }
    let ended = tx
        .query(
            "DELETE FROM tokens WHERE client_id = $1 AND name = $2 RETURNING id, name, scope",
            &[&operator().uuid(), &ADMIN_FILE],
        )
        .await?;
    for row in &ended {
        let (name, scope): (&str, &str) = (row.try_get("name")?, row.try_get("scope")?);
        let before = json!({ "name": name, "scope": scope });
        let change = Change::between(
            "token.delete",
            "token",
            row.try_get("id")?,
            Some(before),
            None,
        );
        record(tx, operator(), &Principal::daemon(), change).await?;
    }
    let new = NewToken {
        client: operator(),
        scope: Scope::Admin,
        name: ADMIN_FILE.to_owned(),
    };
    insert(tx, &Principal::daemon(), &new, digest)
        .await
        .map(drop)
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &NewToken,
    digest: TokenDigest,
) -> Result<TokenId, StoreError> {
    let id = TokenId::from(Uuid::now_v7());
    let name = text(&new.name);
    tx.execute(
        "INSERT INTO tokens (id, client_id, scope, name, digest, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        &[&id.uuid(), &new.client.uuid(), &new.scope.name(), &name, &digest.as_slice(), &now()],
    )
    .await?;
    let after = json!({ "name": name, "scope": new.scope });
    let change = Change::between("token.create", "token", id.uuid(), None, Some(after));
    record(tx, new.client, who, change).await?;
    Ok(id)
}

fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    let mode = fs::metadata(file)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "it may be read by others (mode {mode:04o}); remove it, and the next start makes a new token"
        )));
    }
    let text = Zeroizing::new(fs::read_to_string(file)?);
    let secret = text.trim();
    // Shorter ones can be guessed.
    if secret.len() < PREFIX.len() + 32 || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::other(
            "it holds no token; remove it, and the next start makes a new one",
        ));
    }
    Ok(Zeroizing::new(secret.to_owned()))
}

fn new_secret() -> Result<Zeroizing<String>, StoreError> {
    let digits = random_hex::<32>().map_err(StoreError::internal)?;
    Ok(Zeroizing::new(format!("{PREFIX}{}", *digits)))
}

/// 256 random bits need no slow hash.
fn digest(secret: &str) -> TokenDigest {
    Sha256::digest(secret).into()
}

fn principal(row: &Row) -> Result<Principal, StoreError> {
    Ok(Principal {
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        scope: parsed(row, "scope")?,
        token: Some(TokenId::from(row.try_get::<_, Uuid>("id")?)),
        name: row.try_get("name")?,
    })
}
