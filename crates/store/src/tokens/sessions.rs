//! Sessions of browsers: each stands for a token, is told once like one, and is known in the same way ([`super::resolve`]).
//!
//! Invariant: a session ends with its token and with the token's secret, when nobody has used it for its idle time, and
//! at a set time whatever happens.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Credential, TokenDigest, digest_of, standing};
use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{now, text, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;

/// Sessions of one token at most: one more ends the one that would end first.
const MOST: i64 = 100;
/// A session that was used is kept for longer so often at most, and so much of its idle time has to have passed.
const EXTENDED: (Duration, u32) = (Duration::from_secs(60), 10);

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub longest: Duration,
}

impl Store {
    /// Makes a session for the token that `who` came with, and answers its secret, which is nowhere else.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the token has ended.
    pub async fn create_session(
        &self,
        who: &Principal,
        times: SessionTimes,
    ) -> Result<Zeroizing<String>, StoreError> {
        let secret = Credential::new_session()?;
        let given = Credential::of_session(&secret);
        let (who, begun) = (who.clone(), Instant::now());
        let (new, by) = (given.clone(), who.clone());
        let (expires_at, crowded_out) = self
            .database()
            .transact(move |tx| Box::pin(async move { insert(tx, &by, &new, times).await }))
            .await?;
        for digest in &crowded_out {
            self.end_token(digest).await;
        }
        self.confirm_token(given.digest, &who, Some(expires_at), begun)
            .await;
        Ok(secret)
    }

    /// Ends the session that `who` came with.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is none any more.
    pub async fn end_session(
        &self,
        who: &Principal,
        credential: &Credential,
    ) -> Result<(), StoreError> {
        let (who, digest) = (who.clone(), credential.digest);
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, who.client).await?;
                    let sql = "DELETE FROM sessions WHERE digest = $1 RETURNING id";
                    let row = tx.query_opt(sql, &[&digest.as_slice()]).await?;
                    let id = row.ok_or(StoreError::NotFound)?.try_get(0)?;
                    tell(tx, &who, "session.end", id).await
                })
            })
            .await?;
        self.end_token(&digest).await;
        Ok(())
    }

    /// Somebody uses a session: it ends later, where that has not been written a moment ago.
    pub fn session_used(&self, who: &Principal, credential: &Credential, times: SessionTimes) {
        let every = EXTENDED.0.min(times.idle / EXTENDED.1);
        if !self.0.tokens.extends(&credential.digest, every) {
            return;
        }
        let (store, who, digest) = (self.clone(), who.clone(), credential.digest);
        tokio::spawn(async move {
            let begun = Instant::now();
            match store.extend(digest, times).await {
                Ok(Some(expires_at)) => {
                    store
                        .confirm_token(digest, &who, Some(expires_at), begun)
                        .await;
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a session is kept no longer"),
            }
        });
    }

    async fn extend(
        &self,
        digest: TokenDigest,
        times: SessionTimes,
    ) -> Result<Option<Timestamp>, StoreError> {
        let until = later(times.idle);
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "UPDATE sessions s SET expires_at = greatest(s.expires_at, least(s.ends_at, $2))
                               FROM tokens t WHERE s.digest = $1 AND s.expires_at > now() AND t.id = s.token_id
                               RETURNING least(s.expires_at, t.expires_at)";
                    let row = session.query_opt(sql, &[&digest.as_slice(), &until]).await?;
                    Ok(row.map(|row| row.try_get(0)).transpose()?)
                })
            })
            .await
    }

    /// Removes the sessions whose time is over.
    pub(crate) async fn sweep_sessions(&self) -> Result<(), StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async move {
                    let sql = "DELETE FROM sessions WHERE expires_at <= now()";
                    session.execute(sql, &[]).await?;
                    Ok(())
                })
            })
            .await
    }
}

fn later(length: Duration) -> Timestamp {
    whole_micros(now().saturating_add(length).unwrap_or(Timestamp::MAX))
}

/// Answers when the session ends unused, and those that it crowds out.
async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &Credential,
    times: SessionTimes,
) -> Result<(Timestamp, Vec<TokenDigest>), StoreError> {
    LockedClient::lock(tx, who.client).await?;
    let token_ends = standing(tx, who).await?;
    let token = who.token.ok_or(StoreError::NotFound)?.uuid();
    let sql = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE token_id = $1
                   ORDER BY expires_at DESC, id DESC OFFSET $2) RETURNING id, digest";
    let crowded = tx.query(sql, &[&token, &(MOST - 1)]).await?;
    for row in &crowded {
        tell(tx, who, "session.end", row.try_get("id")?).await?;
    }
    let ends_at = later(times.longest);
    let ends_at = token_ends.map_or(ends_at, |token_ends| token_ends.min(ends_at));
    let expires_at = later(times.idle).min(ends_at);
    let id = Uuid::now_v7();
    tx.execute(
        "INSERT INTO sessions (id, token_id, digest, prefix, created_at, expires_at, ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &id,
            &token,
            &new.digest.as_slice(),
            &text(&new.prefix),
            &now(),
            &expires_at,
            &ends_at,
        ],
    )
    .await?;
    tell(tx, who, "session.begin", id).await?;
    let digests = crowded.iter().map(digest_of).collect::<Result<_, _>>()?;
    Ok((expires_at, digests))
}

/// Ends every session of a token; answers their digests.
pub(super) async fn end_all(
    tx: &Transaction<'_>,
    token: Uuid,
) -> Result<Vec<TokenDigest>, StoreError> {
    let sql = "DELETE FROM sessions WHERE token_id = $1 RETURNING digest";
    let rows = tx.query(sql, &[&token]).await?;
    rows.iter().map(|row: &Row| digest_of(row)).collect()
}

async fn tell(
    tx: &Transaction<'_>,
    who: &Principal,
    operation: &'static str,
    id: Uuid,
) -> Result<(), StoreError> {
    let session = Some(json!({ "token": who.token }));
    let (before, after) = match operation {
        "session.begin" => (None, session),
        _ => (session, None),
    };
    let change = Change::between(operation, "session", id, before, after);
    record(tx, who.client, who, change).await
}
