//! The audit: who changed what, as one hash chain for each client.
//!
//! An entry is written in the transaction of the change it tells of, under the lock of the client's
//! row, so the chain has no gap and no fork. Its last link is kept in a table of its own.

use jiff::Timestamp;
use playout_domain::{ClientId, TokenId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::columns::{bigint, count, now};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::{Store, columns};

/// What was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the name of the token, or the part of the daemon.
    pub actor: String,
    /// With which token.
    pub token: Option<TokenId>,
    /// What was done, such as `channel.create`.
    pub operation: String,
    /// To what kind of thing.
    pub subject_kind: String,
    /// To which.
    pub subject: Uuid,
    /// `{"before": …, "after": …}`: what it was and what became of it, null where there was or is nothing.
    /// Never a secret.
    pub detail: Value,
}

/// Whether a client's chain is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainState {
    /// Every link follows from the one before it, up to the head.
    Intact {
        /// How many.
        entries: u64,
    },
    /// Something was changed, taken out or cut off.
    Broken {
        /// The first entry that does not fit.
        seq: u64,
    },
}

/// A change to be told of.
pub(crate) struct Change {
    pub(crate) operation: &'static str,
    pub(crate) subject_kind: &'static str,
    pub(crate) subject: Uuid,
    /// `{"before": …, "after": …}`
    detail: Value,
}

impl Change {
    /// A change of a thing from `before` to `after`; one of the two is missing where it is made or ended.
    /// No secret may be in them.
    pub(crate) fn between(
        operation: &'static str,
        subject_kind: &'static str,
        subject: Uuid,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Self {
        Self {
            operation,
            subject_kind,
            subject,
            detail: json!({ "before": before, "after": after }),
        }
    }
}

const START: [u8; 32] = [0; 32];

/// Adds an entry to the client's chain. The caller holds the lock of the client's row.
pub(crate) async fn record(
    transaction: &Transaction<'_>,
    client: ClientId,
    who: &Principal,
    change: Change,
) -> Result<(), StoreError> {
    let client = client.uuid();
    let head = transaction
        .query_opt(
            "SELECT seq, hash FROM audit_heads WHERE client_id = $1 FOR UPDATE",
            &[&client],
        )
        .await?;
    let (last, previous) = match &head {
        Some(row) => (count(row, "seq")?, row.try_get("hash")?),
        None => (0, &START[..]),
    };
    let (seq, at, token) = (bigint(last + 1), now(), who.token.map(TokenId::uuid));
    let detail = columns::json(&change.detail)?.to_string();
    let actor = columns::text(&who.name);
    let link = Link {
        client,
        seq,
        at,
        actor: &actor,
        token,
        operation: change.operation,
        subject_kind: change.subject_kind,
        subject: change.subject,
        detail: &detail,
    };
    let hash = link.hash(previous);
    transaction
        .execute(
            "INSERT INTO audit (client_id, seq, at, actor, token_id, operation, subject_kind, subject_id, detail, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10)",
            &[
                &client,
                &seq,
                &at,
                &actor,
                &token,
                &change.operation,
                &change.subject_kind,
                &change.subject,
                &detail,
                &hash.as_slice(),
            ],
        )
        .await?;
    transaction
        .execute(
            "INSERT INTO audit_heads (client_id, seq, hash) VALUES ($1, $2, $3)
             ON CONFLICT (client_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            &[&client, &seq, &hash.as_slice()],
        )
        .await?;
    Ok(())
}

/// Everything that the hash of one entry covers.
struct Link<'a> {
    client: Uuid,
    seq: i64,
    at: Timestamp,
    actor: &'a str,
    token: Option<Uuid>,
    operation: &'a str,
    subject_kind: &'a str,
    subject: Uuid,
    detail: &'a str,
}

impl<'a> Link<'a> {
    fn of(client: Uuid, row: &'a Row) -> Result<Self, StoreError> {
        Ok(Self {
            client,
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            token: row.try_get("token_id")?,
            operation: row.try_get("operation")?,
            subject_kind: row.try_get("subject_kind")?,
            subject: row.try_get("subject_id")?,
            detail: row.try_get("detail")?,
        })
    }

    /// Each part with its length before it, so that no two entries give the same bytes.
    fn hash(&self, previous: &[u8]) -> [u8; 32] {
        let token = self.token.map(Uuid::into_bytes);
        let parts: [&[u8]; 10] = [
            previous,
            self.client.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.at.as_microsecond().to_be_bytes(),
            self.actor.as_bytes(),
            token.as_ref().map_or(&[], |token| &token[..]),
            self.operation.as_bytes(),
            self.subject_kind.as_bytes(),
            self.subject.as_bytes(),
            self.detail.as_bytes(),
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

const ENTRIES: &str = "SELECT seq, at, actor, token_id, operation, subject_kind, subject_id, detail::text AS detail, hash
     FROM audit WHERE client_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";

impl Store {
    /// A client's audit after entry `after`, oldest first.
    pub async fn audit(
        &self,
        client: ClientId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let rows = session
                        .query(
                            ENTRIES,
                            &[&client.uuid(), &bigint(after), &i64::from(limit)],
                        )
                        .await?;
                    rows.iter().map(entry).collect()
                })
            })
            .await
    }

    /// Follows a client's chain from its first entry to its head.
    pub async fn verify_audit(&self, client: ClientId) -> Result<ChainState, StoreError> {
        self.database()
            .transact(move |transaction| Box::pin(verify(transaction, client.uuid())))
            .await
    }
}

async fn verify(transaction: &Transaction<'_>, client: Uuid) -> Result<ChainState, StoreError> {
    // One moment for entries and head, whatever is written meanwhile.
    transaction
        .batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let (mut entries, mut hash) = (0_u64, START);
    loop {
        let rows = transaction
            .query(ENTRIES, &[&client, &bigint(entries), &1_000_i64])
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let link = Link::of(client, row)?;
            let expected = link.hash(&hash);
            if link.seq != bigint(entries + 1) || row.try_get::<_, &[u8]>("hash")? != expected {
                return Ok(ChainState::Broken { seq: entries + 1 });
            }
            (entries, hash) = (entries + 1, expected);
        }
    }
    let head = transaction
        .query_opt(
            "SELECT seq, hash FROM audit_heads WHERE client_id = $1",
            &[&client],
        )
        .await?;
    let fits = match &head {
        Some(row) => count(row, "seq")? == entries && row.try_get::<_, &[u8]>("hash")? == hash,
        None => entries == 0,
    };
    Ok(if fits {
        ChainState::Intact { entries }
    } else {
        ChainState::Broken { seq: entries + 1 }
    })
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let detail: &str = row.try_get("detail")?;
    Ok(AuditEntry {
        seq: count(row, "seq")?,
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        token: row
            .try_get::<_, Option<Uuid>>("token_id")?
            .map(TokenId::from),
        operation: row.try_get("operation")?,
        subject_kind: row.try_get("subject_kind")?,
        subject: row.try_get("subject_id")?,
        detail: serde_json::from_str(detail).map_err(StoreError::internal)?,
    })
}
