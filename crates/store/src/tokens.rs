//! Access tokens: 256 random bits, told once, kept as a digest.

mod known;
mod resolve;
mod sessions;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use playout_domain::version::written_at;
use playout_domain::{ClientId, NodeId, TokenId};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{now, now_after, of_version, text, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::{Principal, Scope, Scopes, operator};
use crate::private_file::{random_hex, write_private};
use crate::session::Transaction;

/// What every token begins with, so that people and scanners of leaked secrets know it.
const PREFIX: &str = "playoutd_";
/// What every secret of a session begins with: as long, so that as much of it is shown.
const SESSION_PREFIX: &str = "playouts_";
/// Of the digits that follow, so many are shown.
const SHOWN: usize = 8;
/// Tokens of a client at once; those that have expired are none.
const MOST: i64 = 1_000;
/// The name of the token in the file that the first boot writes.
const ADMIN_FILE: &str = "admin token file";
/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose things it makes.
    pub client: ClientId,
    /// What it may do.
    pub scopes: Scopes,
    /// What people call it.
    pub name: String,
    /// From then on it is none any more; nothing: it stands until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// A token as it is shown: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Which.
    pub id: TokenId,
    /// Whose things it makes.
    #[serde(rename = "clientId")]
    pub client: ClientId,
    /// What people call it.
    pub name: String,
    /// How its secret begins; nothing where that is not known any more.
    pub prefix: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// Since when there is this secret of it.
    pub created_at: Timestamp,
    /// From then on it is none any more.
    pub expires_at: Option<Timestamp>,
}

pub(crate) use known::Tokens;
pub use resolve::Credential;
pub use sessions::SessionTimes;

type TokenDigest = [u8; 32];

impl Store {
    /// Makes a token and answers its secret, which is nowhere else.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such client for `who`; [`StoreError::Conflict`] when `who` asks for
    /// more than it may do itself.
    pub async fn create_token(
        &self,
        who: &Principal,
        new: NewToken,
    ) -> Result<(Token, Zeroizing<String>), StoreError> {
        if !who.sees(new.client) {
            return Err(StoreError::NotFound);
        }
        if !who.scopes.cover(new.scopes) {
            let message = "a token gives no more than it has itself";
            return Err(StoreError::Conflict(message.to_owned()));
        }
        if new.client != operator() && new.scopes.allow(Scope::Admin) {
            let message = "a token of a client is not the operator's";
            return Err(StoreError::Conflict(message.to_owned()));
        }
        let secret = new_secret(PREFIX)?;
        let (who, given, begun) = (who.clone(), secret.clone(), Instant::now());
        let token = self
            .database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, new.client).await?;
                    let until = standing(tx, &who).await?;
                    if outlives(new.expires_at, until) && new.expires_at.is_some() {
                        let message = "a token gives no more time than it has itself";
                        return Err(StoreError::Conflict(message.to_owned()));
                    }
                    let expires_at = new.expires_at.or(until);
                    let new = NewToken { expires_at, ..new };
                    insert(tx, &who, &new, &given, None).await
                })
            })
            .await?;
        self.confirm_token(digest(&secret), &token.principal(), token.expires_at, begun)
            .await;
        Ok((token, secret))
    }

    /// The tokens that `who` may see, of one client where that is named, in the order of their ids: those after `after`,
    /// `limit` at most.
    pub async fn tokens(
        &self,
        who: &Principal,
        client: Option<ClientId>,
        after: Option<TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, StoreError> {
        let (only, client) = (who.only_uuid(), client.map(ClientId::uuid));
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM tokens WHERE ($1::uuid IS NULL OR client_id = $1)
                                   AND ($4::uuid IS NULL OR client_id = $4)
                                   AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3";
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let after = after.map(TokenId::uuid);
                    let values: [&(dyn ToSql + Sync); 4] = [&only, &after, &limit, &client];
                    let rows = session.query(sql, &values).await?;
                    rows.iter().map(token).collect()
                })
            })
            .await
    }

    /// One token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn token(&self, who: &Principal, id: TokenId) -> Result<Token, StoreError> {
        let who = who.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM tokens WHERE id = $1";
                    let row = session.query_opt(sql, &[&id.uuid()]).await?;
                    let found = row.as_ref().map(token).transpose()?;
                    let seen = found.filter(|token| who.sees(token.client));
                    seen.ok_or(StoreError::NotFound)
                })
            })
            .await
    }

    /// Gives a token another secret, and answers it; the one it had, and every session, is none from then on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::Conflict`] when it may do more
    /// than `who`, or is in a file; [`StoreError::VersionMismatch`].
    pub async fn rotate_token(
        &self,
        who: &Principal,
        id: TokenId,
        version: Option<u64>,
    ) -> Result<(Token, Zeroizing<String>), StoreError> {
        let secret = new_secret(PREFIX)?;
        let (who, given, begun) = (who.clone(), secret.clone(), Instant::now());
        let (token, before) = self
            .database()
            .transact(move |tx| {
                Box::pin(async move { rotate(tx, &who, (id, version), &given).await })
            })
            .await?;
        for digest in &before {
            self.end_token(digest).await;
        }
        self.confirm_token(digest(&secret), &token.principal(), token.expires_at, begun)
            .await;
        Ok((token, secret))
    }

    /// Ends a token with its sessions: from then on it is none.
    ///
    /// # Errors
    /// As [`Store::rotate_token`].
    pub async fn revoke_token(
        &self,
        who: &Principal,
        id: TokenId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let who = who.clone();
        let ended = self
            .database()
            .transact(move |tx| Box::pin(async move { revoke(tx, &who, (id, version)).await }))
            .await?;
        for digest in &ended {
            self.end_token(digest).await;
        }
        Ok(())
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => (new_secret(PREFIX)?, true),
            Err(error) => return Err(setup("read", error)),
        };
        let (given, node) = (secret.clone(), self.0.leases.node());
        let ended = self
            .database()
            .transact(move |tx| Box::pin(async move { keep(tx, &given, node).await }))
            .await?;
        for digest in &ended {
            self.end_token(digest).await;
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
    secret: &str,
    node: NodeId,
) -> Result<Vec<TokenDigest>, StoreError> {
    LockedClient::lock(tx, operator()).await?;
    let node = node.uuid();
    let (digest, prefix) = (digest(secret), prefix(secret));
    let sql = "UPDATE tokens SET node = coalesce(node, $2), prefix = $3 WHERE digest = $1";
    if tx
        .execute(sql, &[&digest.as_slice(), &node, &prefix])
        .await?
        > 0
    {
        return Ok(Vec::new());
    }
    let ended = tx
        .query(
            "DELETE FROM tokens WHERE client_id = $1 AND name = $2 AND (node IS NULL OR node = $3)
             RETURNING *",
            &[&operator().uuid(), &ADMIN_FILE, &node],
        )
        .await?;
    let daemon = Principal::daemon();
    let mut digests = Vec::new();
    for row in &ended {
        let before = token(row)?;
        tell(tx, &daemon, "token.delete", Some(&before), None).await?;
        digests.push(digest_of(row)?);
    }
    let new = NewToken {
        client: operator(),
        scopes: Scopes::ADMIN,
        name: ADMIN_FILE.to_owned(),
        expires_at: None,
    };
    insert(tx, &daemon, &new, secret, Some(node)).await?;
    Ok(digests)
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &NewToken,
    secret: &str,
    node: Option<Uuid>,
) -> Result<Token, StoreError> {
    // That of a daemon's file is none that anybody makes.
    if node.is_none() {
        has_room(tx, new.client).await?;
    }
    let scopes: Vec<&str> = new.scopes.into_iter().map(Scope::name).collect();
    let row = tx
        .query_one(
            "INSERT INTO tokens (id, client_id, name, digest, created_at, node, scopes, prefix, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
            &[
                &Uuid::now_v7(),
                &new.client.uuid(),
                &text(&new.name),
                &digest(secret).as_slice(),
                &now(),
                &node,
                &scopes,
                &prefix(secret),
                &new.expires_at.map(whole_micros),
            ],
        )
        .await?;
    let made = token(&row)?;
    tell(tx, who, "token.create", None, Some(&made)).await?;
    Ok(made)
}

/// Under the lock of the client.
async fn has_room(tx: &Transaction<'_>, client: ClientId) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM tokens WHERE client_id = $1 AND (expires_at IS NULL OR expires_at > now())";
    let row = tx.query_one(sql, &[&client.uuid()]).await?;
    match row.try_get::<_, i64>(0)? < MOST {
        true => Ok(()),
        false => Err(StoreError::Conflict(format!(
            "the client has {MOST} tokens already; revoke one first"
        ))),
    }
}

async fn rotate(
    tx: &Transaction<'_>,
    who: &Principal,
    (id, version): (TokenId, Option<u64>),
    secret: &str,
) -> Result<(Token, Vec<TokenDigest>), StoreError> {
    let (before, was) = changeable(tx, who, id).await?;
    of_version(version, before.version())?;
    if before.expires_at.is_some_and(|at| at <= now()) {
        return Err(StoreError::Conflict("the token has expired".to_owned()));
    }
    let sql =
        "UPDATE tokens SET digest = $2, prefix = $3, created_at = $4 WHERE id = $1 RETURNING *";
    let (digest, prefix) = (digest(secret), prefix(secret));
    let row = tx
        .query_one(
            sql,
            &[
                &id.uuid(),
                &digest.as_slice(),
                &prefix,
                &now_after(before.created_at),
            ],
        )
        .await?;
    let after = token(&row)?;
    tell(tx, who, "token.rotate", Some(&before), Some(&after)).await?;
    let mut ended = sessions::end_all(tx, id.uuid()).await?;
    ended.push(was);
    Ok((after, ended))
}

async fn revoke(
    tx: &Transaction<'_>,
    who: &Principal,
    (id, version): (TokenId, Option<u64>),
) -> Result<Vec<TokenDigest>, StoreError> {
    let (before, was) = changeable(tx, who, id).await?;
    of_version(version, before.version())?;
    let mut ended = sessions::end_all(tx, id.uuid()).await?;
    ended.push(was);
    tx.execute("DELETE FROM tokens WHERE id = $1", &[&id.uuid()])
        .await?;
    tell(tx, who, "token.delete", Some(&before), None).await?;
    Ok(ended)
}

/// A token that `who` may change, under the lock of its client.
async fn changeable(
    tx: &Transaction<'_>,
    who: &Principal,
    id: TokenId,
) -> Result<(Token, TokenDigest), StoreError> {
    let sql = "SELECT client_id FROM tokens WHERE id = $1";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let client = ClientId::from(row.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if !who.sees(client) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, client).await?;
    let sql = "SELECT * FROM tokens WHERE id = $1";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    let found = token(&row)?;
    let refused = |why: &str| Err(StoreError::Conflict(why.to_owned()));
    if !who.scopes.cover(found.scopes) {
        return refused("the token may do more than the one that asks");
    }
    if outlives(found.expires_at, standing(tx, who).await?) {
        return refused("the token stands longer than the one that asks");
    }
    if row.try_get::<_, Option<Uuid>>("node")?.is_some() {
        return refused(
            "it is the token of a daemon's file; remove the file, and the daemon's next start makes another",
        );
    }
    Ok((found, digest_of(&row)?))
}

/// Until when the token that asks stands; it is there, and stays until the transaction ends.
async fn standing(tx: &Transaction<'_>, who: &Principal) -> Result<Option<Timestamp>, StoreError> {
    let Some(id) = who.token else {
        return Ok(None);
    };
    let sql = "SELECT expires_at FROM tokens WHERE id = $1 AND (expires_at IS NULL OR expires_at > now()) FOR SHARE";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let ended = || StoreError::Conflict("the token that asks has ended".to_owned());
    Ok(row.ok_or_else(ended)?.try_get("expires_at")?)
}

/// Whether what ends then stands longer than what ends at `until`; nothing: without an end.
fn outlives(then: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    until.is_some_and(|until| then.is_none_or(|then| then > until))
}

async fn tell(
    tx: &Transaction<'_>,
    who: &Principal,
    operation: &'static str,
    before: Option<&Token>,
    after: Option<&Token>,
) -> Result<(), StoreError> {
    let Some(token) = after.or(before) else {
        return Ok(());
    };
    let told = |token: &Token| json!({ "name": token.name, "prefix": token.prefix, "scopes": token.scopes, "expiresAt": token.expires_at });
    let (id, client) = (token.id.uuid(), token.client);
    let change = Change::between(operation, "token", id, before.map(told), after.map(told));
    record(tx, client, who, change).await
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

fn new_secret(prefix: &str) -> Result<Zeroizing<String>, StoreError> {
    let digits = random_hex::<32>().map_err(StoreError::internal)?;
    Ok(Zeroizing::new(format!("{prefix}{}", *digits)))
}

/// 256 random bits need no slow hash.
fn digest(secret: &str) -> TokenDigest {
    Sha256::digest(secret).into()
}

/// What of a secret may be shown: as much as tells tokens apart, and so little that 224 bits stay unknown.
fn prefix(secret: &str) -> String {
    text(
        &secret
            .chars()
            .take(PREFIX.len() + SHOWN)
            .collect::<String>(),
    )
}

fn digest_of(row: &Row) -> Result<TokenDigest, StoreError> {
    let digest: &[u8] = row.try_get("digest")?;
    digest.try_into().map_err(StoreError::internal)
}

fn principal(row: &Row) -> Result<Principal, StoreError> {
    token(row).map(|token| token.principal())
}

fn token(row: &Row) -> Result<Token, StoreError> {
    let scopes: Vec<&str> = row.try_get("scopes")?;
    let scopes = scopes.into_iter().map(str::parse::<Scope>);
    let scopes = scopes.collect::<Result<Vec<_>, _>>();
    let scopes = scopes.map_err(StoreError::internal)?;
    let prefix: String = row.try_get("prefix")?;
    Ok(Token {
        id: TokenId::from(row.try_get::<_, Uuid>("id")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        name: row.try_get("name")?,
        prefix: (!prefix.is_empty()).then_some(prefix),
        scopes: scopes.try_into().map_err(StoreError::internal)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

impl Token {
    /// Another with each secret: the time, in microseconds, since when there is this one.
    pub fn version(&self) -> u64 {
        written_at(self.created_at)
    }

    /// Who comes with it.
    fn principal(&self) -> Principal {
        Principal {
            client: self.client,
            scopes: self.scopes,
            token: Some(self.id),
            name: self.name.clone(),
            attempt: None,
        }
    }
}
