//! The changes to channels, each inside a transaction of its caller: locks, limits, rows, audit.

use playout_domain::feature::Features;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Demand, Raise};
use playout_domain::{
    Channel, ChannelConfig, ChannelId, ClientId, Desired, DestinationConfig, Resolution,
};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Airtime, StoredChannel, airtime, destinations, digests, rows};
use crate::audit::{Change, record};
use crate::columns::{bigint, count, now, parsed};
use crate::error::StoreError;
use crate::in_use;
use crate::leases::{Fence, NodeConfig};
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;
use crate::vault::Vault;

pub(super) async fn insert(
    vault: &Vault,
    tx: &Transaction<'_>,
    who: &Principal,
    mut channel: Channel,
    airs: &Airtime,
    node: &NodeConfig,
) -> Result<Channel, StoreError> {
    let client = LockedClient::lock(tx, channel.client_id).await?;
    client
        .check(tx, &Raise::CreateChannel(Demand::of(&channel.config)))
        .await?;
    if channel.life.desired == Desired::Live {
        let start = Raise::StartChannel(Demand::of(&channel.config));
        client.check(tx, &start).await?;
    }
    in_use::hold_fallback(tx, &channel.config).await?;
    rows::round(&mut channel);
    let id = channel.id;
    let taken = || StoreError::Conflict(format!("there is a channel {id} already"));
    let row = rows::insert(tx, &channel, node).await?.ok_or_else(taken)?;
    let wanted = &mut channel.config.rtmp_destinations;
    let destinations = destinations::replace(vault, tx, id, &[], wanted).await?;
    tokio::try_join!(
        digests::stamp_row(tx, &row, &destinations),
        airtime::write(tx, id, airs),
    )?;
    let after = Some(channel.config.to_json_public());
    let created = change("channel.create", channel.id, None, after);
    record(tx, channel.client_id, who, created).await?;
    Ok(channel)
}

pub(super) async fn update(
    vault: &Vault,
    tx: &Transaction<'_>,
    who: &Principal,
    fence: Fence,
    expected_version: u64,
    mut config: ChannelConfig,
    airs: Option<&Airtime>,
) -> Result<Channel, StoreError> {
    let id = fence.channel;
    let client = lock_owner(tx, who, id).await?;
    fence.hold(tx).await?;
    let StoredChannel {
        channel: before,
        airtime: aired,
        ..
    } = rows::read_locked(tx, id).await?;
    if before.version != expected_version {
        return Err(StoreError::VersionMismatch {
            current: before.version,
        });
    }
    let raise = Raise::UpdateChannel {
        from: Demand::of(&before.config),
        to: Demand::of(&config),
    };
    client.check(tx, &raise).await?;
    in_use::hold_fallback(tx, &config).await?;
    let given = |one: &DestinationConfig| one.stream_key.given().is_some();
    let keys_given: Vec<bool> = config.rtmp_destinations.iter().map(given).collect();
    let known = match before.config.rtmp_destinations.is_empty() {
        true => Vec::new(),
        false => destinations::of(tx, id).await?,
    };
    let wanted = &mut config.rtmp_destinations;
    let destinations = destinations::replace(vault, tx, id, &known, wanted).await?;
    let mut told = (before.config.to_json_public(), config.to_json_public());
    for (n, _) in keys_given.iter().enumerate().filter(|(_, given)| **given) {
        told.1["rtmpDestinations"][n]["streamKeyGiven"] = true.into();
    }
    if let Some(airs) = airs {
        told.0["timeline"] = json!(aired.timeline);
        told.1["timeline"] = json!(airs.timeline);
    }
    let updated_at = now().max(before.updated_at);
    let channel = Channel {
        config,
        version: before.version + 1,
        updated_at,
        ..before
    };
    let (version, stored) = (bigint(channel.version), channel.config.to_json_stored());
    let sql = format!(
        "UPDATE channels SET config = $2, version = $3, updated_at = $4 WHERE id = $1 RETURNING {}",
        digests::SETTINGS
    );
    let row = tx
        .query_one(&sql, &[&id.uuid(), &stored, &version, &updated_at])
        .await?;
    digests::stamp_row(tx, &row, &destinations).await?;
    if let Some(airs) = airs {
        airtime::write(tx, id, airs).await?;
    }
    let updated = change("channel.update", id, Some(told.0), Some(told.1));
    record(tx, channel.client_id, who, updated).await?;
    Ok(channel)
}

pub(super) async fn order(
    tx: &Transaction<'_>,
    id: ChannelId,
    life: &LifeState,
    who: &Principal,
    operation: Operation,
    fence: Fence,
) -> Result<(), StoreError> {
    let client = lock_owner(tx, who, id).await?;
    fence.hold(tx).await?;
    let row = tx
        .query_one(
            "SELECT client_id, desired, status, config FROM channels WHERE id = $1",
            &[&id.uuid()],
        )
        .await?;
    let desired: Desired = parsed(&row, "desired")?;
    if life.desired == Desired::Live && desired != Desired::Live {
        let damaged =
            || StoreError::Internal("a channel's configuration cannot be read".to_owned());
        let demand = stored_demand(&row)?.ok_or_else(damaged)?;
        client.check(tx, &Raise::StartChannel(demand)).await?;
    }
    let was: &str = row.try_get("status")?;
    let before = json!({ "desired": desired, "status": was });
    let after = json!({ "desired": life.desired, "status": life.status });
    let owner = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
    let ordered = change(name(operation), id, Some(before), Some(after));
    record(tx, owner, who, ordered).await
}

/// What the audit calls an operation.
pub(super) fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "channel.start",
        Operation::Stop => "channel.stop",
        Operation::Restart => "channel.restart",
        Operation::Skip => "channel.skip",
    }
}

pub(super) async fn delete(
    tx: &Transaction<'_>,
    who: &Principal,
    id: ChannelId,
    expected: Option<u64>,
    fence: Fence,
) -> Result<(), StoreError> {
    lock_owner(tx, who, id).await?;
    fence.hold(tx).await?;
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
    let before = match rows::read_locked(tx, id).await {
        Ok(StoredChannel {
            channel, airtime, ..
        }) => {
            let mut before = channel.config.to_json_public();
            before["version"] = channel.version.into();
            before["schedule"] = json!(airtime.schedule);
            before
        }
        // What can be read of it.
        Err(StoreError::Quarantined(damage)) => {
            let name: Option<&str> = row.try_get("name")?;
            json!({ "name": name, "version": current, "damage": damage })
        }
        Err(other) => return Err(other),
    };
    tx.execute("DELETE FROM channels WHERE id = $1", &[&id.uuid()])
        .await?;
    let owner = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
    let deleted = change("channel.delete", id, Some(before), None);
    record(tx, owner, who, deleted).await
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

/// What the picture of a channel asks, as it is stored; nothing where that cannot be read.
pub(crate) fn stored_demand(row: &Row) -> Result<Option<Demand>, StoreError> {
    let config: Value = row.try_get("config")?;
    let resolution = config["resolution"].as_str();
    let resolution = resolution.and_then(|name| name.parse::<Resolution>().ok());
    let ladder = config["ladder"].as_array().map_or(1, Vec::len);
    Ok(resolution.map(|resolution| Demand {
        resolution,
        rungs: ladder as u64,
        destinations: 0,
        features: Features::NONE,
    }))
}

pub(super) fn change(
    operation: &'static str,
    id: ChannelId,
    before: Option<Value>,
    after: Option<Value>,
) -> Change {
    Change::between(operation, "channel", id.uuid(), before, after)
}
