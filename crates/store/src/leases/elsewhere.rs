//! Channels that other daemons hold, as the database has them.

use playout_domain::{ChannelId, NodeId};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::channels::{Quarantined, StoredChannel, one, one_moment};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::Transaction;

/// A daemon as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where it is reached, if it says so.
    pub url: Option<String>,
}

impl NodeView {
    /// Of a row with `node`, `name` and `url`.
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: NodeId::from(row.try_get::<_, Uuid>("node")?),
            name: row.try_get("name")?,
            url: row.try_get("url")?,
        })
    }
}

/// A channel that is not in memory here: another daemon holds it, or this one has just got it.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    /// As it is stored, or what is wrong with it.
    pub stored: Result<StoredChannel, Quarantined>,
    /// Who holds it.
    pub holder: NodeView,
}

impl Store {
    /// A channel as the database has it, and who holds it, if `who` may see it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn channel_elsewhere(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Option<Elsewhere>, StoreError> {
        let found = self.elsewhere(who, Some(id), None, 1).await?;
        Ok(found.into_iter().next())
    }

    /// The channels that `who` may see and who holds them, in the order of their ids: those after `after`,
    /// `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn channels_elsewhere(
        &self,
        who: &Principal,
        after: Option<ChannelId>,
        limit: usize,
    ) -> Result<Vec<Elsewhere>, StoreError> {
        self.elsewhere(who, None, after, limit).await
    }

    /// The ids of channels that other daemons hold.
    pub(crate) async fn held_by_others(&self) -> Result<Vec<ChannelId>, StoreError> {
        let node = self.0.leases.node();
        let found = self.database().run(move |session| {
            Box::pin(async move {
                let sql = "SELECT id FROM channels WHERE node <> $1";
                let rows = session.query(sql, &[&node.uuid()]).await?;
                let ids = rows.iter().map(|row| row.try_get::<_, Uuid>(0));
                Ok(ids
                    .map(|id| id.map(ChannelId::from))
                    .collect::<Result<Vec<_>, _>>()?)
            })
        });
        match found.await {
            // Whose they are cannot be read.
            Err(StoreError::Damaged(_)) => Ok(Vec::new()),
            found => found,
        }
    }

    /// A channel that this daemon holds, or what is wrong with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn held_channel(
        &self,
        id: ChannelId,
    ) -> Result<Option<Result<StoredChannel, Quarantined>>, StoreError> {
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    one_moment(tx).await?;
                    one(tx, id).await
                })
            })
            .await
    }

    async fn elsewhere(
        &self,
        who: &Principal,
        only: Option<ChannelId>,
        after: Option<ChannelId>,
        limit: usize,
    ) -> Result<Vec<Elsewhere>, StoreError> {
        let client = who.only_uuid();
        let (only, after) = (only.map(ChannelId::uuid), after.map(ChannelId::uuid));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    one_moment(tx).await?;
                    let sql = "SELECT c.id, n.id AS node, n.name, n.url FROM channels c JOIN nodes n ON n.id = c.node
                        WHERE ($1::uuid IS NULL OR c.client_id = $1)
                            AND ($2::uuid IS NULL OR c.id = $2) AND ($3::uuid IS NULL OR c.id > $3)
                        ORDER BY c.id LIMIT $4";
                    let rows = tx.query(sql, &[&client, &only, &after, &limit]).await?;
                    read(tx, &rows).await
                })
            })
            .await
    }
}

async fn read(tx: &Transaction<'_>, rows: &[Row]) -> Result<Vec<Elsewhere>, StoreError> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ChannelId::from(row.try_get::<_, Uuid>("id")?);
        if let Some(stored) = one(tx, id).await? {
            let holder = NodeView::read(row)?;
            found.push(Elsewhere { stored, holder });
        }
    }
    Ok(found)
}
