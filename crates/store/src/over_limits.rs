//! Clients that use more than their plans allow, after a downgrade, say: since when, and which of their channels are on air beyond
//! it. And overrides whose time is over: from then on they count for nothing, and here they end with an audit entry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use playout_domain::limits::{Limit, LimitExceeded, PlanLimits, Usage};
use playout_domain::{ChannelId, ClientId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::channels::stored_demand;
use crate::clients::{demands, tell};
use crate::columns::{now, parsed};
use crate::error::StoreError;
use crate::limits::{LockedClient, used};
use crate::overrides::end_expired;
use crate::principal::{Principal, operator};
use crate::session::Transaction;

/// A channel that is, or should be, on air beyond what its client's plan allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Beyond {
    /// Which.
    pub channel: ChannelId,
    /// Whose.
    pub client: ClientId,
    /// What it is called.
    pub name: String,
    /// Beyond what.
    pub exceeded: LimitExceeded,
    /// Since when it is known to be.
    pub since: Timestamp,
}

impl Store {
    /// Notes which clients have come above limits of their plans, or below them again, and ends overrides whose time is over, each
    /// with its audit entry. Answers the channels that are on air beyond what is allowed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be done now.
    pub async fn note_over_limits(&self) -> Result<Vec<Beyond>, StoreError> {
        let sql = "SELECT id FROM clients WHERE id <> $1 ORDER BY id";
        let clients: Vec<ClientId> = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let rows = session.query(sql, &[&operator().uuid()]).await?;
                    let id = |row: &Row| Ok(ClientId::from(row.try_get::<_, Uuid>(0)?));
                    rows.iter().map(id).collect()
                })
            })
            .await?;
        let (mut beyond, mut ended) = (Vec::new(), false);
        for client in clients {
            let noted = self
                .database()
                .transact(move |tx| Box::pin(async move { note(tx, client).await }));
            match noted.await {
                Ok((found, any)) => {
                    beyond.extend(found);
                    ended |= any;
                }
                // It was deleted meanwhile.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if ended {
            self.limits_changed().await;
        }
        Ok(beyond)
    }
}

/// What one client has on air beyond its plan; and whether an override of it has ended.
async fn note(tx: &Transaction<'_>, client: ClientId) -> Result<(Vec<Beyond>, bool), StoreError> {
    LockedClient::lock(tx, client).await?;
    let ended = end_expired(tx, client).await?;
    let (allowance, usage) = used(tx, client).await?;
    let passed = allowance.limits.passed(&usage, &demands(tx, client).await?);
    note_since(tx, client, &passed).await?;
    let over_live = passed.iter().find(|over| over.limit == Limit::MaxLive);
    let (mut beyond, mut fitting) = (Vec::new(), 0);
    for row in live(tx, client).await? {
        // Of those that fit, the ones that were started first stay.
        let exceeded = too_much(&row, &allowance.limits)?.or_else(|| {
            fitting += 1;
            let most = allowance.limits.max_live?;
            over_live.filter(|_| fitting > most).cloned()
        });
        let channel: Uuid = row.try_get("id")?;
        let known: Option<Timestamp> = row.try_get("since")?;
        let Some(exceeded) = exceeded else {
            continue;
        };
        let config: Value = row.try_get("config")?;
        beyond.push(Beyond {
            channel: ChannelId::from(channel),
            client,
            name: config["name"].as_str().unwrap_or_default().to_owned(),
            exceeded,
            since: known.unwrap_or_else(now),
        });
    }
    keep(tx, client, &beyond).await?;
    Ok((beyond, ended))
}

/// Keeps since when channels are beyond: a restart changes nothing of it.
async fn keep(tx: &Transaction<'_>, client: ClientId, beyond: &[Beyond]) -> Result<(), StoreError> {
    let all: Vec<Uuid> = beyond.iter().map(|one| one.channel.uuid()).collect();
    let sql = "DELETE FROM over_limit_channels o USING channels c
               WHERE c.id = o.channel_id AND c.client_id = $1 AND NOT o.channel_id = ANY($2)";
    tx.execute(sql, &[&client.uuid(), &all]).await?;
    for one in beyond {
        let sql = "INSERT INTO over_limit_channels (channel_id, since) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[&one.channel.uuid(), &one.since]).await?;
    }
    Ok(())
}

/// Notes since when the client is above each limit.
async fn note_since(
    tx: &Transaction<'_>,
    client: ClientId,
    passed: &[LimitExceeded],
) -> Result<(), StoreError> {
    let sql = "SELECT limit_name, since FROM over_limits WHERE client_id = $1";
    let rows = tx.query(sql, &[&client.uuid()]).await?;
    let read = |row: &Row| Ok((parsed(row, "limit_name")?, row.try_get("since")?));
    let known: BTreeMap<Limit, Timestamp> =
        rows.iter().map(read).collect::<Result<_, StoreError>>()?;
    let daemon = Principal::daemon();
    for over in passed {
        if known.contains_key(&over.limit) {
            continue;
        }
        let (name, at) = (over.limit.name(), now());
        let sql = "INSERT INTO over_limits (client_id, limit_name, since) VALUES ($1, $2, $3)";
        tx.execute(sql, &[&client.uuid(), &name, &at]).await?;
        tell(tx, &daemon, "limit.over", client, None, Some(json!(over))).await?;
    }
    let is_passed = |limit| passed.iter().any(|over| over.limit == limit);
    for (limit, since) in known.into_iter().filter(|(limit, _)| !is_passed(*limit)) {
        let sql = "DELETE FROM over_limits WHERE client_id = $1 AND limit_name = $2";
        tx.execute(sql, &[&client.uuid(), &limit.name()]).await?;
        let before = Some(json!({ "limit": limit, "since": since }));
        tell(tx, &daemon, "limit.within", client, before, None).await?;
    }
    Ok(())
}

/// The client's channels that should be on air: those that are not known to be beyond first, and then the one that was started
/// first.
async fn live(tx: &Transaction<'_>, client: ClientId) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT c.id, c.config, o.since FROM channels c LEFT JOIN over_limit_channels o ON o.channel_id = c.id
               WHERE c.client_id = $1 AND c.desired = 'LIVE' ORDER BY o.since IS NOT NULL, c.last_start_time, c.id";
    Ok(tx.query(sql, &[&client.uuid()]).await?)
}

/// What the picture of a channel has too much of. One that is stored damaged asks nothing.
fn too_much(row: &Row, limits: &PlanLimits) -> Result<Option<LimitExceeded>, StoreError> {
    let demand = stored_demand(row)?;
    let passed = demand.map(|demand| limits.passed(&Usage::default(), &[demand]));
    let picture =
        |over: &LimitExceeded| matches!(over.limit, Limit::MaxResolution | Limit::MaxRungs);
    Ok(passed.into_iter().flatten().find(picture))
}
