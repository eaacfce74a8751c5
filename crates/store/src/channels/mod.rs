//! Channels: their rows, and every change to them with its limits and its audit entry in one
//! transaction. Locks are taken in one order: the client's row, then the channel's.

mod airtime;
mod destinations;
mod rows;

use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Demand, Raise};
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId, Desired};
use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{bigint, now, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;

pub use airtime::Airtime;
pub use rows::StoredChannel;

/// Why the state of a channel's life changed.
#[derive(Debug, Clone)]
pub enum Cause {
    /// Somebody ordered it: limits are checked and it is audited.
    Ordered {
        /// Who.
        who: Principal,
        /// What.
        operation: Operation,
    },
    /// It came by itself: a first segment, a failure, a boot.
    Automatic,
}

impl Store {
    /// Stores a new channel with its destinations and what it airs. Answers it as it is stored: times
    /// in whole microseconds, destinations with ids, keys sealed and no longer there.
    ///
    /// # Errors
    /// [`StoreError::Limit`]; [`StoreError::NotFound`] when there is no such client for `who`;
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn insert_channel(
        &self,
        who: &Principal,
        channel: &Channel,
        airtime: &Airtime,
    ) -> Result<Channel, StoreError> {
        if !who.sees(channel.client_id) {
            return Err(StoreError::NotFound);
        }
        let (store, who, channel, airtime) =
            (self.clone(), who.clone(), channel.clone(), airtime.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move { insert(&store, tx, &who, channel, &airtime).await })
            })
            .await
    }

    /// A channel, whoever owns it: compare [`Principal::sees`] with its client.
    pub async fn channel(&self, id: ChannelId) -> Result<Option<StoredChannel>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move { Ok(rows::read(session, Some(id)).await?.pop()) })
            })
            .await
    }

    /// Every channel, oldest first.
    pub async fn all_channels(&self) -> Result<Vec<StoredChannel>, StoreError> {
        self.database()
            .run(move |session| Box::pin(async move { rows::read(session, None).await }))
            .await
    }

    /// Puts `config` in the place of a channel's configuration, if that is still at
    /// `expected_version`, and `airtime` beside it. Answers the channel as it is stored.
    ///
    /// # Errors
    /// [`StoreError::VersionMismatch`]; [`StoreError::Limit`]; [`StoreError::NotFound`];
    /// [`StoreError::Conflict`] when it names a destination that the channel does not have.
    pub async fn update_channel(
        &self,
        who: &Principal,
        id: ChannelId,
        expected_version: u64,
        config: &ChannelConfig,
        airtime: Option<&Airtime>,
    ) -> Result<Channel, StoreError> {
        let (store, who, config, airtime) =
            (self.clone(), who.clone(), config.clone(), airtime.cloned());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    update(
                        &store,
                        tx,
                        &who,
                        id,
                        expected_version,
                        config,
                        airtime.as_ref(),
                    )
                    .await
                })
            })
            .await
    }

    /// Stores what a channel does and should do.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Limit`] when an order would put too many on air.
    pub async fn save_life(
        &self,
        id: ChannelId,
        life: &LifeState,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let life = life.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    if let Cause::Ordered { who, operation } = cause {
                        order(tx, id, &life, &who, operation).await?;
                    }
                    rows::write_life(tx, id, &life).await
                })
            })
            .await
    }

    /// Deletes a channel with its destinations and what it airs; if `expected` is given, only while
    /// its configuration is at that version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::VersionMismatch`].
    pub async fn delete_channel(
        &self,
        who: &Principal,
        id: ChannelId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| Box::pin(async move { delete(tx, &who, id, expected).await }))
            .await?;
        self.hot().forget_channel(id).await;
        Ok(())
    }
}

async fn insert(
    store: &Store,
    tx: &Transaction<'_>,
    who: &Principal,
    mut channel: Channel,
    airtime: &Airtime,
) -> Result<Channel, StoreError> {
    let client = LockedClient::lock(tx, channel.client_id).await?;
    client
        .check(tx, &Raise::CreateChannel(demand(&channel.config)))
        .await?;
    if channel.life.desired == Desired::Live {
        client.check(tx, &Raise::StartChannel).await?;
    }
    rows::round(&mut channel);
    if !rows::insert(tx, &channel).await? {
        return Err(StoreError::Conflict(format!(
            "there is a channel {} already",
            channel.id
        )));
    }
    destinations::replace(store, tx, channel.id, &mut channel.config.rtmp_destinations).await?;
    airtime::write(tx, channel.id, airtime).await?;
    let change = change(
        "channel.create",
        channel.id,
        channel.config.to_json_public(),
    );
    record(tx, channel.client_id, who, change).await?;
    Ok(channel)
}

async fn update(
    store: &Store,
    tx: &Transaction<'_>,
    who: &Principal,
    id: ChannelId,
    expected_version: u64,
    mut config: ChannelConfig,
    airtime: Option<&Airtime>,
) -> Result<Channel, StoreError> {
    let client = lock_owner(tx, who, id).await?;
    let StoredChannel {
        channel: before, ..
    } = rows::read(tx, Some(id))
        .await?
        .pop()
        .ok_or(StoreError::NotFound)?;
    if before.version != expected_version {
        return Err(StoreError::VersionMismatch {
            current: before.version,
        });
    }
    let raise = Raise::UpdateChannel {
        from: demand(&before.config),
        to: demand(&config),
    };
    client.check(tx, &raise).await?;
    destinations::replace(store, tx, id, &mut config.rtmp_destinations).await?;
    let updated_at = now().max(before.updated_at);
    let channel = Channel {
        config,
        version: before.version + 1,
        updated_at,
        ..before
    };
    let (version, stored) = (bigint(channel.version), channel.config.to_json_stored());
    tx.execute(
        "UPDATE channels SET config = $2, version = $3, updated_at = $4 WHERE id = $1",
        &[&id.uuid(), &stored, &version, &updated_at],
    )
    .await?;
    if let Some(airtime) = airtime {
        airtime::write(tx, id, airtime).await?;
    }
    record(
        tx,
        channel.client_id,
        who,
        change("channel.update", id, channel.config.to_json_public()),
    )
    .await?;
    Ok(channel)
}

async fn order(
    tx: &Transaction<'_>,
    id: ChannelId,
    life: &LifeState,
    who: &Principal,
    operation: Operation,
) -> Result<(), StoreError> {
    let client = lock_owner(tx, who, id).await?;
    let row = tx
        .query_one(
            "SELECT client_id, desired FROM channels WHERE id = $1",
            &[&id.uuid()],
        )
        .await?;
    let desired: Desired = crate::columns::parsed(&row, "desired")?;
    if life.desired == Desired::Live && desired != Desired::Live {
        client.check(tx, &Raise::StartChannel).await?;
    }
    let name = match operation {
        Operation::Start => "channel.start",
        Operation::Stop => "channel.stop",
        Operation::Restart => "channel.restart",
        Operation::Skip => "channel.skip",
    };
    let detail = json!({ "desired": life.desired, "status": life.status });
    let owner = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
    record(tx, owner, who, change(name, id, detail)).await
}

async fn delete(
    tx: &Transaction<'_>,
    who: &Principal,
    id: ChannelId,
    expected: Option<u64>,
) -> Result<(), StoreError> {
    lock_owner(tx, who, id).await?;
    let row = tx
        .query_one(
            "SELECT client_id, version, config->>'name' AS name FROM channels WHERE id = $1",
            &[&id.uuid()],
        )
        .await?;
    let current = crate::columns::count(&row, "version")?;
    if expected.is_some_and(|expected| expected != current) {
        return Err(StoreError::VersionMismatch { current });
    }
    tx.execute("DELETE FROM channels WHERE id = $1", &[&id.uuid()])
        .await?;
    let owner = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
    let detail = json!({ "name": row.try_get::<_, Option<&str>>("name")?, "version": current });
    record(tx, owner, who, change("channel.delete", id, detail)).await
}

/// Locks the owner of a channel that `who` may know of, and then the channel.
async fn lock_owner(
    tx: &Transaction<'_>,
    who: &Principal,
    id: ChannelId,
) -> Result<LockedClient, StoreError> {
    let owner = tx
        .query_opt(
            "SELECT client_id FROM channels WHERE id = $1",
            &[&id.uuid()],
        )
        .await?;
    let owner = ClientId::from(owner.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if !who.sees(owner) {
        return Err(StoreError::NotFound);
    }
    let client = LockedClient::lock(tx, owner).await?;
    // It may have been deleted while this waited.
    let still = tx
        .query_opt(
            "SELECT FROM channels WHERE id = $1 FOR UPDATE",
            &[&id.uuid()],
        )
        .await?;
    still.map(|_| client).ok_or(StoreError::NotFound)
}

fn demand(config: &ChannelConfig) -> Demand {
    Demand {
        resolution: config.resolution,
        destinations: config.rtmp_destinations.len() as u64,
    }
}

fn change(operation: &'static str, id: ChannelId, detail: serde_json::Value) -> Change {
    Change {
        operation,
        subject_kind: "channel",
        subject: id.uuid(),
        detail,
    }
}

/// An optional time in whole microseconds.
fn rounded(at: Option<jiff::Timestamp>) -> Option<jiff::Timestamp> {
    at.map(whole_micros)
}
