//! Channels whose holder has gone: found, and taken over, one transaction each with its audit entry.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::{ChannelId, ClientId, NodeId};
use serde_json::json;
use uuid::Uuid;

use super::claims::seconds;
use super::{NodeConfig, NodeView, elapsed};
use crate::Store;
use crate::audit::{Change, record};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;

/// A channel whose lease has run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Which.
    pub id: ChannelId,
    /// Whose.
    client: ClientId,
    /// Who held it.
    pub from: NodeView,
    lease: Seen,
}

/// A lease of another daemon as it was read: a renewal changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: i64,
    until: Option<Timestamp>,
}

/// Leases of other daemons, and since when each has not changed, in milliseconds of [`elapsed`].
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<ChannelId, (Seen, u64)>);

impl Watched {
    /// Notes what was read now; keeps those that nobody has renewed for as long as `lease`, by the clock here:
    /// that of the database may have been set.
    fn unchanged(&mut self, read: &mut Vec<Abandoned>, lease: Duration) {
        let now = elapsed();
        let mut before = std::mem::take(&mut self.0);
        read.retain(|one| {
            let known = before.remove(&one.id);
            let known = known.filter(|(seen, _)| *seen == one.lease);
            let since = known.map_or(now, |(_, since)| since);
            self.0.insert(one.id, (one.lease, since));
            Duration::from_millis(now.saturating_sub(since)) >= lease
        });
    }
}

impl Store {
    /// The channels of other daemons whose lease has run out, by the database's clock and by what was read here;
    /// none while others have had no time to renew. Those of a daemon that was alone are not among them: it may still air. That is logged once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn abandoned_channels(&self) -> Result<Vec<Abandoned>, StoreError> {
        let leases = &self.0.leases;
        let node = leases.node.id;
        let found = self.database().run(move |session| {
            Box::pin(async move {
                let sql = "SELECT c.id, c.client_id, n.id AS node, n.name, n.url, n.alone,
                        c.epoch, c.lease_until, c.lease_until < now() AS over
                    FROM channels c JOIN nodes n ON n.id = c.node
                    WHERE c.node <> $1 ORDER BY c.id";
                let rows = session.query(sql, &[&node.uuid()]).await?;
                let found = rows.iter().map(|row| {
                    let abandoned = Abandoned {
                        id: ChannelId::from(row.try_get::<_, Uuid>("id")?),
                        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
                        from: NodeView::read(row)?,
                        lease: Seen {
                            epoch: row.try_get("epoch")?,
                            until: row.try_get("lease_until")?,
                        },
                    };
                    let over: Option<bool> = row.try_get("over")?;
                    Ok((abandoned, over == Some(true), row.try_get("alone")?))
                });
                found.collect::<Result<Vec<(Abandoned, bool, bool)>, StoreError>>()
            })
        });
        let (mut all, mut withheld, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for (one, is_over, alone) in found.await? {
            match (is_over, alone) {
                (true, true) => withheld.push(one.clone()),
                (true, false) => over.push(one.id),
                (false, _) => {}
            }
            all.push(one);
        }
        let mut watched = leases
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watched.unchanged(&mut all, leases.node.lease);
        drop(watched);
        if !leases.settled.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        self.tell_withheld(withheld);
        all.retain(|one| over.contains(&one.id));
        Ok(all)
    }

    fn tell_withheld(&self, withheld: Vec<Abandoned>) {
        let mut told = self
            .0
            .leases
            .told
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let nodes: Vec<NodeId> = withheld.iter().map(|one| one.from.id).collect();
        told.retain(|node| nodes.contains(node));
        for Abandoned { from, .. } in &withheld {
            if told.contains(&from.id) {
                continue;
            }
            told.push(from.id);
            let of_it = withheld.iter().filter(|one| one.from.id == from.id);
            let channels: Vec<String> = of_it.map(|one| one.id.to_string()).collect();
            tracing::warn!(
                node = from.name, id = %from.id, channels = channels.join(" "),
                "the leases of this node have run out, and its channels are not taken over: it knew of no other \
                 daemon and may still air them. Start it, or, once it is sure that it does not run, `playoutd release`"
            );
        }
    }

    /// Takes a channel over; `false` when that is not possible any more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn take_over(&self, abandoned: &Abandoned) -> Result<bool, StoreError> {
        let leases = &self.0.leases;
        let _claiming = leases.claiming.write().await;
        let (node, wanted) = (leases.node.clone(), abandoned.clone());
        let taken = self
            .database()
            .transact(move |tx| Box::pin(async move { take(tx, &node, &wanted).await }))
            .await?;
        if let Some((epoch, at)) = taken {
            leases.take(abandoned.id, epoch, at);
        }
        Ok(taken.is_some())
    }
}

/// Answers the epoch, and when it was taken.
async fn take(
    tx: &Transaction<'_>,
    node: &NodeConfig,
    wanted: &Abandoned,
) -> Result<Option<(i64, Timestamp)>, StoreError> {
    let Abandoned {
        id,
        client,
        from,
        lease: Seen { epoch: seen, until },
    } = wanted;
    match LockedClient::lock(tx, *client).await {
        Err(StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let sql = "WITH due AS (
            SELECT id FROM channels c WHERE id = $1 AND node = $2 AND lease_until < now()
                AND epoch = $5 AND lease_until = $6
                AND NOT EXISTS (SELECT FROM nodes n WHERE n.id = c.node AND n.alone)
            FOR NO KEY UPDATE)
        UPDATE channels c SET node = $3, epoch = c.epoch + 1, taken_at = clock_timestamp(),
            lease_until = now() + make_interval(secs => $4)
        FROM due WHERE c.id = due.id RETURNING c.epoch, c.taken_at";
    let lease = seconds(node.lease);
    let (before, after) = (from.id.uuid(), node.id.uuid());
    let row = tx
        .query_opt(sql, &[&id.uuid(), &before, &after, &lease, seen, until])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (epoch, at): (i64, Timestamp) = (row.try_get(0)?, row.try_get(1)?);
    let alerts = "UPDATE alerts a SET node = $2 WHERE channel_id = $1 AND node = $3
        AND (closed_at IS NULL OR EXISTS (SELECT FROM alert_deliveries d WHERE d.alert_id = a.id AND state = 'pending'))
        AND NOT EXISTS (SELECT FROM alerts o WHERE o.node = $2 AND o.closed_at IS NULL
                            AND (o.kind, o.subject) = (a.kind, a.subject))";
    tx.execute(alerts, &[&id.uuid(), &after, &before]).await?;
    let told = |name: &str, id: NodeId| json!({ "node": id, "name": name });
    let mut becomes = told(&node.name, node.id);
    becomes["epoch"] = epoch.into();
    let change = Change::between(
        "channel.take-over",
        "channel",
        id.uuid(),
        Some(told(&from.name, from.id)),
        Some(becomes),
    );
    record(tx, *client, &Principal::daemon(), change).await?;
    Ok(Some((epoch, at)))
}
