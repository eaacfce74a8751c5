//! The changes to channels, each inside a transaction of its caller: locks, limits, rows, audit.

use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Demand, Raise};
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId, Desired};
use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{Airtime, StoredChannel, airtime, destinations, digests, rows};
use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{bigint, count, now, parsed};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;

pub(super) async fn insert(
    store: &Store,
    tx: &Transaction<'_>,
    who: &Principal,
    mut channel: Channel,
    airs: &Airtime,
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
    airtime::write(tx, channel.id, airs).await?;
    digests::stamp(tx, channel.id.uuid()).await?;
    let change = change(
        "channel.create",
        channel.id,
        channel.config.to_json_public(),
    );
    record(tx, channel.client_id, who, change).await?;
    Ok(channel)
}

pub(super) async fn update(
    store: &Store,
    tx: &Transaction<'_>,
    who: &Principal,
    id: ChannelId,
    expected_version: u64,
    mut config: ChannelConfig,
    airs: Option<&Airtime>,
) -> Result<Channel, StoreError> {
    let client = lock_owner(tx, who, id).await?;
    let StoredChannel {
        channel: before, ..
    } = rows::read_locked(tx, id).await?;
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
    digests::stamp(tx, id.uuid()).await?;
    if let Some(airs) = airs {
        airtime::write(tx, id, airs).await?;
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

pub(super) async fn order(
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
    let desired: Desired = parsed(&row, "desired")?;
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

pub(super) async fn delete(
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
    let current = count(&row, "version")?;
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
pub(super) async fn lock_owner(
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

pub(super) fn change(operation: &'static str, id: ChannelId, detail: serde_json::Value) -> Change {
    Change {
        operation,
        subject_kind: "channel",
        subject: id.uuid(),
        detail,
    }
}
