//! What is asked for with an `Idempotency-Key` is done once (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! A request takes its key before it begins. The audit entry of its first change marks the key in the transaction of the
//! change, so whatever dies afterwards, it is known that it was done; and a request that lost its key to another one
//! (its daemon was taken for dead) changes nothing. The answer is kept for a day, sealed with a key that follows from the
//! secret of the token that asked: an answer may hold a secret that is kept nowhere else. A client has 10 000
//! keys at most.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ClientId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Store;
use crate::audit::Change;
use crate::columns::now;
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::Transaction;
use crate::tokens::Credential;
use crate::vault::{KeyId, Keyring, Place};

/// How long a key is known.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Whether client `$1` has fewer keys than it may, which is 10 000 at once: no more of them are counted.
const HAS_ROOM: &str = "(SELECT count(*) < 10000 FROM (SELECT FROM idempotency_keys WHERE client_id = $1 LIMIT 10000) AS keys)";
/// How long a request that says nothing is taken to be at it.
const HELD: Duration = Duration::from_secs(60);

/// One request that has taken a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    client: ClientId,
    key: String,
    id: Uuid,
}

/// What an answer was, as much of it as is given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The headers that tell of the thing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What there is of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: this request does it.
    First(Attempt),
    /// Another is at it.
    UnderWay,
    /// It was done, and answered so.
    Answered(KeptAnswer),
    /// It was done to this, and the answer is not known: it was lost, or was given to another token.
    Done {
        /// To what kind of thing; nothing where it changed nothing by itself.
        subject: Option<(String, Uuid)>,
    },
    /// The key was used for something else.
    Different,
    /// The client has as many keys as it may.
    TooMany,
}

impl Attempt {
    /// So often it is to be said that it goes on ([`Store::idempotent_goes_on`]).
    pub const EVERY: Duration = Duration::from_secs(20);

    fn place(&self) -> Place {
        Place {
            table: "idempotency_keys",
            column: "answer",
            row: self.id,
        }
    }
}

impl Credential {
    /// What seals the answers that it was given.
    fn ring(&self) -> (KeyId, Keyring) {
        (
            KeyId::of(&self.answers),
            Keyring::new(std::slice::from_ref(&self.answers)),
        )
    }
}

impl Store {
    /// Takes `key` for a request of `who`, or says what has become of the one that has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be found out now.
    pub async fn idempotent_begin(
        &self,
        who: &Principal,
        credential: &Credential,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Begun, StoreError> {
        let attempt = Attempt {
            client: who.client,
            key: key.to_owned(),
            id: Uuid::now_v7(),
        };
        let taking = attempt.clone();
        let (begun, sealed) = self
            .database()
            .transact(move |tx| Box::pin(async move { begin(tx, taking, fingerprint).await }))
            .await?;
        let (Some((by, sealed)), Begun::Done { .. }) = (sealed, &begun) else {
            return Ok(begun);
        };
        let (_, ring) = credential.ring();
        let by = Attempt { id: by, ..attempt };
        let opened = ring.open_sealed(by.place(), &sealed).ok();
        let answer = opened.and_then(|opened| serde_json::from_slice(&opened).ok());
        Ok(answer.map_or(begun, Begun::Answered))
    }

    /// The request is still at it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be written now.
    pub async fn idempotent_goes_on(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let sql = "UPDATE idempotency_keys SET held_until = $4 WHERE client_id = $1 AND key = $2 AND attempt = $3";
        let attempt = attempt.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let (client, until) = (attempt.client.uuid(), after(HELD));
                    session
                        .execute(sql, &[&client, &attempt.key, &attempt.id, &until])
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// From here on it is done, whatever becomes of it: for a request of many changes, none of which is the request's own.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: another request has the key now; [`StoreError::Unavailable`].
    pub async fn idempotent_commence(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let sql = "UPDATE idempotency_keys SET done = true WHERE client_id = $1 AND key = $2 AND attempt = $3";
        let attempt = attempt.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let client = attempt.client.uuid();
                    let marked = session
                        .execute(sql, &[&client, &attempt.key, &attempt.id])
                        .await?;
                    has_key(marked)
                })
            })
            .await
    }

    /// It was done; keeps what was answered, where that is given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be written now.
    pub async fn idempotent_end(
        &self,
        attempt: &Attempt,
        credential: &Credential,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), StoreError> {
        let (id, ring) = credential.ring();
        let seal = |answer: &KeptAnswer| {
            let json = serde_json::to_vec(answer).map_err(StoreError::internal)?;
            let sealed = ring.seal(id, attempt.place(), &json);
            sealed.map_err(StoreError::internal)
        };
        let sealed: Option<Vec<u8>> = answer.map(seal).transpose()?;
        let sql = "UPDATE idempotency_keys SET answer = $4, held_until = $5, done = true
                   WHERE client_id = $1 AND key = $2 AND attempt = $3";
        let attempt = attempt.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let client = attempt.client.uuid();
                    session
                        .execute(sql, &[&client, &attempt.key, &attempt.id, &sealed, &now()])
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Nothing came of it: the key is free again, where nothing was changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be written now.
    pub async fn idempotent_give_up(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let attempt = attempt.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let (client, of) = (
                        attempt.client.uuid(),
                        "client_id = $1 AND key = $2 AND attempt = $3",
                    );
                    let sql = format!(
                        "DELETE FROM idempotency_keys WHERE {of} AND subject_id IS NULL AND NOT done"
                    );
                    tx.execute(&sql, &[&client, &attempt.key, &attempt.id])
                        .await?;
                    let sql = format!("UPDATE idempotency_keys SET held_until = $4 WHERE {of}");
                    tx.execute(&sql, &[&client, &attempt.key, &attempt.id, &now()])
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Removes the keys whose day is over.
    pub(crate) async fn sweep_idempotency_keys(&self) -> Result<(), StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async move {
                    let sql =
                        "DELETE FROM idempotency_keys WHERE begun_at < $1 AND held_until < now()";
                    let before = now().saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
                    session.execute(sql, &[&before]).await?;
                    Ok(())
                })
            })
            .await
    }
}

fn after(length: Duration) -> Timestamp {
    now().saturating_add(length).unwrap_or(Timestamp::MAX)
}

/// What there is of a key; with it who answered, and the answer, still sealed.
async fn begin(
    tx: &Transaction<'_>,
    attempt: Attempt,
    fingerprint: [u8; 32],
) -> Result<(Begun, Option<(Uuid, Vec<u8>)>), StoreError> {
    let client = attempt.client.uuid();
    let (now, until) = (now(), after(HELD));
    let sql = format!(
        "INSERT INTO idempotency_keys (client_id, key, fingerprint, attempt, begun_at, held_until)
               SELECT $1, $2, $3, $4, $5, $6
               WHERE {HAS_ROOM} OR EXISTS (SELECT FROM idempotency_keys WHERE client_id = $1 AND key = $2)
               ON CONFLICT (client_id, key) DO UPDATE SET attempt = $4, held_until = $6
               WHERE idempotency_keys.fingerprint = $3 AND NOT idempotency_keys.done
                     AND idempotency_keys.subject_id IS NULL AND idempotency_keys.held_until < $5"
    );
    let taken = tx
        .execute(
            &sql,
            &[
                &client,
                &attempt.key,
                &fingerprint.as_slice(),
                &attempt.id,
                &now,
                &until,
            ],
        )
        .await?;
    if taken > 0 {
        return Ok((Begun::First(attempt), None));
    }
    let sql = "SELECT * FROM idempotency_keys WHERE client_id = $1 AND key = $2";
    let row = tx.query_opt(sql, &[&client, &attempt.key]).await?;
    let Some(row) = row else {
        let sql = format!("SELECT {HAS_ROOM}");
        let has_room = tx.query_one(&sql, &[&client]).await?.try_get(0)?;
        return match has_room {
            // Whoever had it has given it up just now.
            true => Ok((Begun::UnderWay, None)),
            false => Ok((Begun::TooMany, None)),
        };
    };
    if row.try_get::<_, &[u8]>("fingerprint")? != fingerprint {
        return Ok((Begun::Different, None));
    }
    let kind: Option<String> = row.try_get("subject_kind")?;
    let subject = kind.zip(row.try_get::<_, Option<Uuid>>("subject_id")?);
    let answer: Option<Vec<u8>> = row.try_get("answer")?;
    let held = row.try_get::<_, Timestamp>("held_until")? > now;
    if answer.is_none() && held {
        return Ok((Begun::UnderWay, None));
    }
    let by = row.try_get("attempt")?;
    Ok((Begun::Done { subject }, answer.map(|sealed| (by, sealed))))
}

/// A change is made for a request that has a key: from here on it was done.
///
/// # Errors
/// [`StoreError::Conflict`]: another request has the key now.
pub(crate) async fn mark(
    tx: &Transaction<'_>,
    attempt: &Attempt,
    change: &Change,
) -> Result<(), StoreError> {
    let sql = "UPDATE idempotency_keys SET subject_kind = coalesce(subject_kind, $4), subject_id = coalesce(subject_id, $5)
               WHERE client_id = $1 AND key = $2 AND attempt = $3";
    let marked = tx
        .execute(
            sql,
            &[
                &attempt.client.uuid(),
                &attempt.key,
                &attempt.id,
                &change.subject_kind,
                &change.subject,
            ],
        )
        .await?;
    has_key(marked)
}

/// Whether a request has its key still.
fn has_key(marked: u64) -> Result<(), StoreError> {
    match marked {
        0 => Err(StoreError::Conflict(
            "another request with this Idempotency-Key has taken it over".to_owned(),
        )),
        _ => Ok(()),
    }
}
