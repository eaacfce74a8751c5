//! Channels that are stored damaged: named and left alone, while the others are loaded.

use playout_domain::{ChannelId, ClientId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{self, StoredChannel};
use crate::Store;
use crate::database::attempt;
use crate::error::StoreError;
use crate::session::Transaction;

/// A channel that is stored damaged and was therefore not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is, as far as that can be read.
    pub client: Option<ClientId>,
    /// What it is called, as far as that can be read.
    pub name: Option<String>,
    /// What is wrong with it: a sentence for the operator.
    pub reason: String,
}

impl Quarantined {
    pub(super) fn of(row: &Row, id: ChannelId, reason: String) -> Self {
        let config: Option<serde_json::Value> = row.try_get("config").ok();
        let client = row.try_get::<_, Uuid>("client_id").ok();
        Self {
            id,
            client: client.map(ClientId::from),
            name: config.and_then(|config| config["name"].as_str().map(str::to_owned)),
            reason,
        }
    }
}

/// Every channel of the database: those that can be trusted, and the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// Those that can be put on air, oldest first.
    pub channels: Vec<StoredChannel>,
    /// Those that are damaged.
    pub quarantined: Vec<Quarantined>,
}

impl Loaded {
    /// The ids of all of them.
    pub fn ids(&self) -> impl Iterator<Item = ChannelId> {
        let damaged = self.quarantined.iter().map(|damaged| damaged.id);
        let sound = self.channels.iter().map(|stored| stored.channel.id);
        sound.chain(damaged)
    }
}

impl FromIterator<Result<StoredChannel, Quarantined>> for Loaded {
    fn from_iter<I: IntoIterator<Item = Result<StoredChannel, Quarantined>>>(read: I) -> Self {
        let mut loaded = Self::default();
        for one in read {
            match one {
                Ok(channel) => loaded.channels.push(channel),
                Err(quarantined) => loaded.quarantined.push(quarantined),
            }
        }
        loaded
    }
}

impl Store {
    /// Every channel. One that is damaged is among the quarantined, whatever its damage is, and keeps no
    /// other from being loaded.
    pub async fn all_channels(&self) -> Result<Loaded, StoreError> {
        self.database()
            .transact(|tx| {
                Box::pin(async move {
                    tx.batch_execute(rows::ONE_MOMENT).await?;
                    load(tx).await
                })
            })
            .await
    }
}

/// All at once, or, where the server itself finds something damaged (a page, an index, a value that is
/// kept apart), one by one.
pub(crate) async fn load(tx: &Transaction<'_>) -> Result<Loaded, StoreError> {
    match attempt(tx, async || rows::read(tx, None).await).await? {
        Ok(read) => return Ok(read.into_iter().collect()),
        Err(damage) => tracing::error!(damage, "the channels are read one by one"),
    }
    // By the index to one row each: a scan of the table would meet the damage every time.
    tx.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let mut read = Vec::new();
    for id in ids(tx).await? {
        match attempt(tx, async || rows::read(tx, Some(id)).await).await? {
            Ok(one) => read.extend(one),
            Err(reason) => read.push(Err(Quarantined {
                id,
                client: None,
                name: None,
                reason,
            })),
        }
    }
    Ok(read.into_iter().collect())
}

/// The ids of all channels, from wherever they can be read.
pub(crate) async fn ids(tx: &Transaction<'_>) -> Result<Vec<ChannelId>, StoreError> {
    let list = async |sql: &str| -> Result<Vec<ChannelId>, StoreError> {
        let rows = tx.query(sql, &[]).await?;
        let ids = rows.iter().map(|row| row.try_get::<_, Uuid>(0));
        Ok(ids
            .map(|id| id.map(ChannelId::from))
            .collect::<Result<_, _>>()?)
    };
    let listed = attempt(tx, async || {
        list("SELECT id FROM channels ORDER BY id").await
    });
    match listed.await? {
        Ok(ids) => Ok(ids),
        Err(_) => list("SELECT channel_id FROM airtime ORDER BY channel_id").await,
    }
}
