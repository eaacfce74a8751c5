//! The chains of the database, followed from their first entries to their heads and to those exported.

use std::collections::BTreeMap;
use std::fmt;

use playout_domain::ClientId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::chain::{ChainFault, End, Hash, Link, Walk};
use super::heads::ExportedHeads;
use crate::Store;
use crate::database::attempt;
use crate::error::StoreError;
use crate::principal::operator;
use crate::session::Transaction;

/// Entries that are read at once.
const PAGE: i64 = 1_000;
/// Faults of one chain that are named.
const NAMED: usize = 1_000;

/// Something wrong with a client's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// Whose.
    pub client: ClientId,
    /// What the client is called, where there still is one.
    pub name: Option<String>,
    /// What is wrong; nothing when the server cannot read it.
    pub what: Option<ChainFault>,
    /// The same in words.
    pub message: String,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client, message, ..
        } = self;
        match &self.name {
            Some(name) => write!(f, "audit of client {client} ({name}): {message}"),
            None => write!(f, "audit of client {client}: {message}"),
        }
    }
}

/// What became of following the chains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Chains followed.
    pub chains: u64,
    /// Their entries.
    pub entries: u64,
    /// Everything that is wrong.
    pub faults: Vec<AuditFault>,
}

impl Store {
    /// Follows every chain from its first entry to its head, as they are at one moment, and holds them
    /// against what was exported before. On a connection of its own: a long audit takes its time.
    pub async fn verify_audit(&self, exported: &ExportedHeads) -> Result<AuditReport, StoreError> {
        let mut client = self.database().dedicated().await?;
        let tx = crate::verify::one_moment(&mut client).await?;
        verify(&tx, exported).await
    }
}

/// The transaction sees one moment, which is after everything in `exported` was written.
pub(crate) async fn verify(
    tx: &Transaction<'_>,
    exported: &ExportedHeads,
) -> Result<AuditReport, StoreError> {
    let mut report = AuditReport::default();
    let mut clients: BTreeMap<Uuid, Option<String>> = BTreeMap::new();
    match attempt(tx, async || owners(tx).await).await? {
        Ok(owners) => clients.extend(owners),
        Err(damage) => report.faults.push(AuditFault {
            client: operator(),
            name: None,
            what: None,
            message: format!("the chains cannot be listed: {damage}"),
        }),
    }
    for client in exported.clients() {
        clients.entry(client).or_default();
    }
    for (client, name) in clients {
        let followed = attempt(tx, async || follow(tx, client, exported).await).await?;
        let mut fault = |what: Option<ChainFault>, message: String| {
            report.faults.push(AuditFault {
                client: ClientId::from(client),
                name: name.clone(),
                what,
                message,
            });
        };
        match followed {
            Ok((entries, faults)) => {
                report.entries += entries;
                for what in faults.iter().take(NAMED) {
                    fault(Some(*what), what.to_string());
                }
                if let Some(more) = faults.len().checked_sub(NAMED).filter(|more| *more > 0) {
                    fault(None, format!("and {more} more"));
                }
            }
            Err(damage) => fault(None, format!("it cannot be read: {damage}")),
        }
        report.chains += 1;
    }
    Ok(report)
}

/// Whose chains there are, and what they are called.
async fn owners(tx: &Transaction<'_>) -> Result<Vec<(Uuid, Option<String>)>, StoreError> {
    let sql = "SELECT id, c.name FROM
                   (SELECT DISTINCT client_id AS id FROM audit UNION SELECT client_id FROM audit_heads) chains
               LEFT JOIN clients c USING (id)";
    let rows = tx.query(sql, &[]).await?;
    let owner = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(owner).collect()
}

async fn follow(
    tx: &Transaction<'_>,
    client: Uuid,
    exported: &ExportedHeads,
) -> Result<(u64, Vec<ChainFault>), StoreError> {
    let sql = "SELECT seq, hash FROM audit_heads WHERE client_id = $1";
    let head = tx.query_opt(sql, &[&client]).await?;
    let head = head.map(|row| -> Result<End, StoreError> {
        Ok(End {
            seq: row.try_get("seq")?,
            hash: hash(row.try_get("hash")?),
        })
    });
    let mut walk = Walk::new(head.transpose()?, &exported.of(client));
    let sql = "SELECT seq, at, actor, token_id, operation, subject_kind, subject_id, detail::text AS detail, hash
               FROM audit WHERE client_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
    let mut from = Some(i64::MIN);
    while let Some(least) = from {
        let rows = tx.query(sql, &[&client, &least, &PAGE]).await?;
        from = None;
        for row in &rows {
            let seq: i64 = row.try_get("seq")?;
            // One that cannot be read is not as it was written.
            walk.entry(
                seq,
                Link::of(client, row).ok().as_ref(),
                hash(row.try_get("hash")?),
            );
            from = seq.checked_add(1);
        }
    }
    Ok(walk.end())
}

/// A hash of another length is none, and fits nothing.
fn hash(stored: &[u8]) -> Hash {
    stored.try_into().unwrap_or([0xff; 32])
}
