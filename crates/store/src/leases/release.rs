//! `playoutd release`: the operator's word that a daemon does not run, after which others take its channels.

use playout_domain::NodeId;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{Change, record};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::{Principal, operator};
use crate::session::Transaction;
use crate::{database, migrate};

/// What was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The daemon's name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// How many channels others may take now.
    pub channels: u64,
}

/// Gives up the leases of the daemon that is called `node`, by name or id, in the database at `database_url`.
/// One that renews its leases is refused: it runs.
///
/// # Errors
/// [`StoreError::Conflict`] with a sentence: there is none or more than one of that name, or it runs;
/// [`StoreError::Setup`]; [`StoreError::Unavailable`].
pub async fn release(database_url: &str, node: &str) -> Result<Released, StoreError> {
    let mut client = database::reach(&database::settings(database_url)?).await?;
    let tx = client.transaction().await?;
    if !migrate::version(&tx).await?.is_present() {
        let why =
            "the database is older than this playoutd: start the daemon once, which brings it up";
        return Err(StoreError::Setup(why.to_owned()));
    }
    let released = give_up(&tx, node).await?;
    tx.commit().await?;
    Ok(released)
}

async fn give_up(tx: &Transaction<'_>, wanted: &str) -> Result<Released, StoreError> {
    LockedClient::lock(tx, operator()).await?;
    let sql = "SELECT id, name, lease_until > now() AS runs, seen_at::text AS seen FROM nodes
        WHERE id::text = $1 OR name = $1 ORDER BY id FOR UPDATE";
    let found = tx.query(sql, &[&wanted]).await?;
    let row = match &found[..] {
        [] => {
            let sql = "SELECT coalesce(string_agg(name || ' (' || id || ')', ', ' ORDER BY name), 'none') FROM nodes";
            let known: String = tx.query_one(sql, &[]).await?.try_get(0)?;
            return Err(StoreError::Conflict(format!(
                "there is no node {wanted:?}; known: {known}"
            )));
        }
        [row] => row,
        _ => {
            return Err(StoreError::Conflict(format!(
                "several nodes are called {wanted:?}: name the one by its id"
            )));
        }
    };
    let (id, name): (Uuid, String) = (row.try_get("id")?, row.try_get("name")?);
    let seen: String = row.try_get("seen")?;
    if row.try_get("runs")? {
        return Err(StoreError::Conflict(format!(
            "node {name} runs: it was seen at {seen}; stop it, and wait until its leases have run out"
        )));
    }
    tx.execute("UPDATE nodes SET alone = false WHERE id = $1", &[&id])
        .await?;
    let sql = "SELECT count(*) FROM channels WHERE node = $1";
    let channels: i64 = tx.query_one(sql, &[&id]).await?.try_get(0)?;
    let told = |alone: bool| json!({ "name": name, "alone": alone, "seenAt": seen });
    let change = Change::between(
        "node.release",
        "node",
        id,
        Some(told(true)),
        Some(told(false)),
    );
    let who = Principal::release();
    record(tx, operator(), &who, change).await?;
    Ok(Released {
        name,
        id: NodeId::from(id),
        channels: channels.unsigned_abs(),
    })
}
