//! Clients that use more than their plans allow, after a downgrade, say: since when, and which of their channels are on air beyond
//! it. And overrides whose time is over: from then on they count for nothing, and here they end with an audit entry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use playout_domain::config::ChannelConfig;
use playout_domain::limits::{Limit, LimitExceeded, PlanLimits, Usage};
use playout_domain::{ChannelId, ClientId};
use serde_json::{Value, json};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::Store;
use crate::channels;
use crate::clients::{demands, tell};
use crate::columns::{now, parsed};
use crate::error::StoreError;
use crate::limits::{LockedClient, used};
use crate::overrides::end_expired;
use crate::principal::{Principal, operator};

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
    /// Since when it is on air while the client is above the limit.
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
    let since = since(tx, client, &passed).await?;
    let on_air = [Limit::MaxLive, Limit::MaxResolution, Limit::MaxRungs];
    if !on_air.iter().any(|limit| since.contains_key(limit)) {
        return Ok((Vec::new(), ended));
    }
    let mut beyond = Vec::new();
    let over_live = passed.iter().find(|over| over.limit == Limit::MaxLive);
    for (place, row) in live(tx, client).await?.iter().enumerate() {
        let exceeded = too_much(row, &allowance.limits)?;
        // Those that were started first stay.
        let crowded = over_live
            .filter(|_| beyond_count(place, &allowance.limits))
            .cloned();
        let Some(exceeded) = exceeded.or(crowded) else {
            continue;
        };
        let Some(since) = since.get(&exceeded.limit).copied() else {
            continue;
        };
        let started: Option<Timestamp> = row.try_get("last_start_time")?;
        let since = started.map_or(since, |started| since.max(started));
        let config: Value = row.try_get("config")?;
        beyond.push(Beyond {
            channel: ChannelId::from(row.try_get::<_, Uuid>("id")?),
            client,
            name: config["name"].as_str().unwrap_or_default().to_owned(),
            exceeded,
            since,
        });
    }
    Ok((beyond, ended))
}

/// Since when the client is above each limit.
async fn since(
    tx: &Transaction<'_>,
    client: ClientId,
    passed: &[LimitExceeded],
) -> Result<BTreeMap<Limit, Timestamp>, StoreError> {
    let sql = "SELECT limit_name, since FROM over_limits WHERE client_id = $1";
    let rows = tx.query(sql, &[&client.uuid()]).await?;
    let read = |row: &Row| Ok((parsed(row, "limit_name")?, row.try_get("since")?));
    let mut known: BTreeMap<Limit, Timestamp> =
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
        known.insert(over.limit, at);
    }
    let gone: Vec<Limit> = known
        .keys()
        .copied()
        .filter(|limit| passed.iter().all(|over| over.limit != *limit))
        .collect();
    for limit in gone {
        let sql = "DELETE FROM over_limits WHERE client_id = $1 AND limit_name = $2";
        tx.execute(sql, &[&client.uuid(), &limit.name()]).await?;
        let since = known.remove(&limit);
        let before = Some(json!({ "limit": limit, "since": since }));
        tell(tx, &daemon, "limit.within", client, before, None).await?;
    }
    Ok(known)
}

/// The client's channels that should be on air, the one that was started first first.
async fn live(tx: &Transaction<'_>, client: ClientId) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT id, config, last_start_time FROM channels WHERE client_id = $1 AND desired = 'LIVE' ORDER BY last_start_time, id";
    Ok(tx.query(sql, &[&client.uuid()]).await?)
}

fn beyond_count(place: usize, limits: &PlanLimits) -> bool {
    limits.max_live.is_some_and(|most| place as u64 >= most)
}

/// What the picture of a channel has too much of. One that is stored damaged asks nothing.
fn too_much(row: &Row, limits: &PlanLimits) -> Result<Option<LimitExceeded>, StoreError> {
    let config: Value = row.try_get("config")?;
    let Ok(config) = ChannelConfig::from_stored(&config, Vec::new()) else {
        return Ok(None);
    };
    let passed = limits.passed(&Usage::default(), &[channels::demand(&config)]);
    let picture =
        |over: &LimitExceeded| matches!(over.limit, Limit::MaxResolution | Limit::MaxRungs);
    Ok(passed.into_iter().find(picture))
}
