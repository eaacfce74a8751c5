//! Access tokens: 256 random bits, told once, kept as a digest.

mod known;
mod resolve;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use playout_domain::{ClientId, NodeId, TokenId};
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

pub(crate) use known::Tokens;

type TokenDigest = [u8; 32];

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
        let (who, digest, made) = (who.clone(), digest(&secret), new.clone());
        let id = self
            .database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, new.client).await?;
                    insert(tx, &who, &new, digest, None).await
                })
            })
            .await?;
        let principal = Principal {
            client: made.client,
            scope: made.scope,
            token: Some(id),
            name: text(&made.name),
        };
        self.confirm_token(digest, &principal).await;
        Ok((id, secret.to_string()))
    }

    /// Sees to it that `file` holds a valid admin token of this daemon: makes both at the first boot, keeps both
    /// at later ones. A file that was removed is made anew and its old token ends with it.
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
        let (digest, node) = (digest(&secret), self.0.leases.node());
        let ended = self
            .database()
            .transact(move |tx| Box::pin(async move { keep(tx, digest, node).await }))
            .await?;
        for digest in &ended {
            self.forget_token(digest).await;
        }
        // While the database is away later, it is known that this one is good.
        self.principal(&secret).await?;
        if is_new {
            // After the database: a crash in between leaves no file, and the next boot starts over.
            write_private(file, &format!("{}\n", *secret))
                .map_err(|error| setup("write", error))?;
        }
        Ok(())
    }
}

/// The one token of this daemon's admin token file is this one; answers those that it was before.
async fn keep(
    tx: &Transaction<'_>,
    digest: TokenDigest,
    node: NodeId,
) -> Result<Vec<TokenDigest>, StoreError> {
    LockedClient::lock(tx, operator()).await?;
    let node = node.uuid();
    let sql = "UPDATE tokens SET node = coalesce(node, $2) WHERE digest = $1";
    if tx.execute(sql, &[&digest.as_slice(), &node]).await? > 0 {
        return Ok(Vec::new());
    }
    let ended = tx
        .query(
            "DELETE FROM tokens WHERE client_id = $1 AND name = $2 AND (node IS NULL OR node = $3)
             RETURNING id, name, scope, digest",
            &[&operator().uuid(), &ADMIN_FILE, &node],
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
    let ended = ended.iter().map(|row| row.try_get("digest"));
    let ended: Vec<Vec<u8>> = ended.collect::<Result<_, _>>()?;
    let new = NewToken {
        client: operator(),
        scope: Scope::Admin,
        name: ADMIN_FILE.to_owned(),
    };
    insert(tx, &Principal::daemon(), &new, digest, Some(node)).await?;
    let ended = ended.into_iter().map(TokenDigest::try_from);
    Ok(ended.flatten().collect())
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &NewToken,
    digest: TokenDigest,
    node: Option<Uuid>,
) -> Result<TokenId, StoreError> {
    let id = TokenId::from(Uuid::now_v7());
    let name = text(&new.name);
    tx.execute(
        "INSERT INTO tokens (id, client_id, scope, name, digest, created_at, node) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[&id.uuid(), &new.client.uuid(), &new.scope.name(), &name, &digest.as_slice(), &now(), &node],
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
