//! Channels: their rows, and every change to them with its limits and its audit entry in one
//! transaction. Locks are taken in one order: the client's row, then the channel's.

mod airtime;
mod changes;
mod destinations;
mod digests;
mod kept;
mod quarantine;
mod reconcile;
mod reseal;
mod rows;

use std::time::Duration;

use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId};
use tokio::time::timeout;
use uuid::Uuid;

use crate::Store;
use crate::error::StoreError;
use crate::journal::Order;
use crate::limits::LockedClient;
use crate::principal::Principal;

pub use airtime::Airtime;
pub(crate) use changes::stored_demand;
pub(crate) use destinations::{sealed, secrets};
pub(crate) use digests::stamp_all;
pub use kept::ToAir;
pub use quarantine::{Loaded, Quarantined};
pub(crate) use quarantine::{ids, load};
pub(crate) use reconcile::reconcile;
pub(crate) use reseal::{Reseal, reseal};
pub use rows::StoredChannel;
pub(crate) use rows::{one, one_moment};

/// How long an order waits for the database before it goes into the journal.
const ORDER: Duration = Duration::from_secs(2);

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
        let (id, store) = (channel.id, self.clone());
        let (who, channel, airtime) = (who.clone(), channel.clone(), airtime.clone());
        let making = self.database().transact(move |tx| {
            Box::pin(async move {
                let (vault, node) = (store.vault()?, store.node());
                let channel = changes::insert(vault, tx, &who, channel, &airtime, node).await?;
                let keys = destinations::sealed_of(tx, &channel).await?;
                Ok((channel, keys))
            })
        });
        let (channel, keys) = self.hold_new(id, making).await?;
        Ok(self.keep_keys(channel, keys))
    }

    /// A channel, whoever owns it: compare [`Principal::sees`] with its client.
    ///
    /// # Errors
    /// [`StoreError::Quarantined`] when it is stored damaged.
    pub async fn channel(&self, id: ChannelId) -> Result<Option<StoredChannel>, StoreError> {
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    tx.batch_execute(rows::ONE_MOMENT).await?;
                    let read = rows::read(tx, Some(id)).await?.pop();
                    read.transpose()
                        .map_err(|damaged| StoreError::Quarantined(damaged.reason))
                })
            })
            .await
    }

    /// What became of changes to a channel of `client` whose fate is not known: the channel as it is stored once
    /// nothing that was begun is under way any more; nothing when there is none. Of the orders that were `refused`
    /// none comes to pass from now on that has not.
    ///
    /// # Errors
    /// [`StoreError::Quarantined`] when it is stored damaged; [`StoreError::Unavailable`].
    pub async fn settled_channel(
        &self,
        client: ClientId,
        id: ChannelId,
        refused: &[Uuid],
    ) -> Result<Option<StoredChannel>, StoreError> {
        let refused = refused.to_vec();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    // Every change holds this lock until it ends, be it in a session that nobody listens to.
                    match LockedClient::lock(tx, client).await {
                        Err(StoreError::NotFound) => return Ok(None),
                        locked => {
                            locked?;
                        }
                    }
                    for order in refused {
                        reconcile::note(tx, order).await?;
                    }
                    let sql = "SELECT FROM channels WHERE id = $1 FOR UPDATE";
                    match tx.query_opt(sql, &[&id.uuid()]).await? {
                        Some(_) => rows::read_locked(tx, id).await.map(Some),
                        None => Ok(None),
                    }
                })
            })
            .await
    }

    /// Puts `config` in the place of a channel's configuration, if that is still at
    /// `expected_version`, and `airtime` beside it. Answers the channel as it is stored.
    ///
    /// # Errors
    /// [`StoreError::VersionMismatch`]; [`StoreError::Limit`]; [`StoreError::NotFound`];
    /// [`StoreError::Conflict`] when it names a destination that the channel does not have;
    /// [`StoreError::Quarantined`] when what is stored is damaged; [`StoreError::LeaseLost`].
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
        let fence = self.fence(id);
        let updated = self.database().transact(move |tx| {
            Box::pin(async move {
                let vault = store.vault()?;
                let channel = changes::update(
                    vault,
                    tx,
                    &who,
                    fence,
                    expected_version,
                    config,
                    airtime.as_ref(),
                )
                .await?;
                let keys = destinations::sealed_of(tx, &channel).await?;
                Ok((channel, keys))
            })
        });
        let (channel, keys) = self.fenced(fence, updated.await)?;
        Ok(self.keep_keys(channel, keys))
    }

    /// Stores what a channel does and should do.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Limit`] when an order would put too many on air;
    /// [`StoreError::LeaseLost`].
    pub async fn save_life(
        &self,
        id: ChannelId,
        life: &LifeState,
        cause: Cause,
    ) -> Result<(), StoreError> {
        let (life, fence) = (life.clone(), self.fence(id));
        let saved = self.database().transact(move |tx| {
            Box::pin(async move {
                match cause {
                    Cause::Ordered { who, operation } => {
                        changes::order(tx, id, &life, &who, operation, fence).await?;
                    }
                    Cause::Automatic => fence.hold(tx).await?,
                }
                rows::write_life(tx, id, &life).await
            })
        });
        self.fenced(fence, saved.await)
    }

    /// Records an order in the database, before it is carried out: what it makes of the channel's life, and
    /// its audit entry. One that the database has already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Limit`]; [`StoreError::LeaseLost`]; [`StoreError::Unavailable`] at
    /// once while the database is away or orders from before wait for it: then it belongs into
    /// [`Store::journal`].
    pub async fn order(&self, order: &Order) -> Result<(), StoreError> {
        self.recordable()?;
        let (order, fence) = (order.clone(), self.fence(order.channel));
        let recorded = self.database().transact(move |tx| {
            Box::pin(async move {
                let (id, life) = (order.channel, &order.life);
                // Before the id, as whoever brings it in from the journal does.
                LockedClient::lock(tx, order.client).await?;
                if !reconcile::note(tx, order.id).await? {
                    return Ok(());
                }
                changes::order(tx, id, life, &order.who, order.operation, fence).await?;
                rows::write_life(tx, id, life).await
            })
        });
        // It goes on, and counts once, whatever becomes of it meanwhile.
        let recorded = timeout(ORDER, recorded)
            .await
            .unwrap_or_else(|_| Err(StoreError::busy("PostgreSQL thinks for long")));
        self.fenced(fence, recorded)
    }

    /// Deletes a channel with its destinations and what it airs; if `expected` is given, only while
    /// its configuration is at that version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::VersionMismatch`]; [`StoreError::LeaseLost`].
    pub async fn delete_channel(
        &self,
        who: &Principal,
        id: ChannelId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let (who, fence) = (who.clone(), self.fence(id));
        let deleted = self.database().transact(move |tx| {
            Box::pin(async move { changes::delete(tx, &who, id, expected, fence).await })
        });
        self.fenced(fence, deleted.await)?;
        self.end_lease(id);
        self.forget_copy(id).await;
        Ok(())
    }
}
