//! The audit: who changed what, as one hash chain for each client.
//!
//! An entry is written in the transaction of the change it tells of, under the lock of the client's
//! row, so the chain has no gap and no fork. Its last link is kept in a table of its own.

mod chain;
mod decision;
mod differences;
mod heads;
mod search;
mod verify;

use jiff::Timestamp;
use playout_domain::{ClientId, TokenId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::columns::{bigint, count, now};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::Transaction;
use crate::{Store, columns, idempotency};

pub use chain::ChainFault;
use chain::{Link, START};
pub use decision::NodeDecision;
pub(crate) use differences::differences;
pub use heads::{AuditHead, ExportedHeads, HeadsFile};
pub use search::{AuditCursor, AuditFilter, FoundEntry};
pub(crate) use verify::verify;
pub use verify::{AuditFault, AuditReport};

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

/// A change to be told of.
pub(crate) struct Change {
    pub(crate) operation: &'static str,
    pub(crate) subject_kind: &'static str,
    pub(crate) subject: Uuid,
    /// `{"before": …, "after": …}`, as [`Change::between`] makes it.
    pub(crate) detail: Value,
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

/// Adds an entry to the client's chain. The caller holds the lock of the client's row.
pub(crate) async fn record(
    transaction: &Transaction<'_>,
    client: ClientId,
    who: &Principal,
    change: Change,
) -> Result<(), StoreError> {
    if let Some(attempt) = &who.attempt {
        idempotency::mark(transaction, attempt, &change).await?;
    }
    let client = client.uuid();
    let sql = "SELECT seq, hash, (SELECT max(seq) FROM audit WHERE client_id = $1) AS highest
               FROM (SELECT) AS one LEFT JOIN audit_heads ON client_id = $1";
    let head = transaction.query_one(sql, &[&client]).await?;
    let last: Option<i64> = head.try_get("seq")?;
    let previous = head.try_get::<_, Option<&[u8]>>("hash")?;
    // The same but where somebody has been at the audit. What is done goes on all the same, and is
    // written behind everything there is, where it does not follow: so that it stays to be seen.
    let highest: Option<i64> = head.try_get("highest")?;
    let seq = last.max(highest).unwrap_or(0).max(0).saturating_add(1);
    let (at, token) = (now(), who.token.map(TokenId::uuid));
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
    let hash = link.hash(previous.unwrap_or(&START[..]));
    transaction
        .execute(
            "WITH entry AS (
                 INSERT INTO audit (client_id, seq, at, actor, token_id, operation, subject_kind, subject_id, detail, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10))
             INSERT INTO audit_heads (client_id, seq, hash) VALUES ($1, $2, $10)
             ON CONFLICT (client_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
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
    Ok(())
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
