//! The rows of RTMP destinations. Stream keys are sealed here and leave only by [`Store::stream_key`].

use std::collections::HashMap;

use playout_domain::destination::{ServerUrl, StreamKeySetting};
use playout_domain::{ChannelId, DestinationConfig, DestinationId, StreamKey};
use tokio_postgres::{GenericClient, Row, Transaction};
use uuid::Uuid;

use crate::Store;
use crate::columns::parsed;
use crate::error::StoreError;
use crate::standby::{DestinationKey, Kind};
use crate::vault::{Place, Vault};

impl Store {
    /// The stream key of a destination, for the process that pushes to it; nothing when it has none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Internal`] when the key was changed or sealed by
    /// another master key.
    pub async fn stream_key(&self, id: DestinationId) -> Result<Option<StreamKey>, StoreError> {
        let found = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let row = session
                        .query_opt(
                            "SELECT stream_key FROM rtmp_destinations WHERE id = $1",
                            &[&id.uuid()],
                        )
                        .await?;
                    let row = row.ok_or(StoreError::NotFound)?;
                    Ok(row.try_get::<_, Option<Vec<u8>>>(0)?)
                })
            })
            .await;
        let sealed = match found {
            // The copy knows it as the database had it last.
            Err(StoreError::Unavailable(away)) => {
                let kept: Option<DestinationKey> =
                    self.0.standby.get(Kind::StreamKey, &id.to_string());
                match kept {
                    Some(kept) => Some(kept.sealed()?),
                    None => return Err(StoreError::Unavailable(away)),
                }
            }
            found => found?,
        };
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let secret = self
            .vault()?
            .open_sealed(place(id), &sealed)
            .map_err(StoreError::internal)?;
        let text = std::str::from_utf8(&secret).map_err(StoreError::internal)?;
        StreamKey::new(text).map(Some).map_err(StoreError::internal)
    }
}

const fn place(id: DestinationId) -> Place {
    Place {
        table: "rtmp_destinations",
        column: "stream_key",
        row: id.uuid(),
    }
}

/// The destinations of one channel, or of all, in their order.
pub(super) async fn read(
    session: &impl GenericClient,
    channel: Option<Uuid>,
) -> Result<HashMap<ChannelId, Vec<DestinationConfig>>, StoreError> {
    let rows = session
        .query(
            "SELECT id, channel_id, server_url, platform, enabled, stream_key IS NOT NULL AS has_key
             FROM rtmp_destinations WHERE $1::uuid IS NULL OR channel_id = $1 ORDER BY channel_id, position",
            &[&channel],
        )
        .await?;
    let mut found: HashMap<ChannelId, Vec<DestinationConfig>> = HashMap::new();
    for row in &rows {
        let channel = ChannelId::from(row.try_get::<_, Uuid>("channel_id")?);
        found.entry(channel).or_default().push(destination(row)?);
    }
    Ok(found)
}

fn destination(row: &Row) -> Result<DestinationConfig, StoreError> {
    // Whether private addresses are allowed was asked when it was written.
    let server_url =
        ServerUrl::parse(row.try_get("server_url")?, true).map_err(StoreError::internal)?;
    let has_key: bool = row.try_get("has_key")?;
    Ok(DestinationConfig {
        id: Some(DestinationId::from(row.try_get::<_, Uuid>("id")?)),
        server_url,
        stream_key: if has_key {
            StreamKeySetting::Kept
        } else {
            StreamKeySetting::Absent
        },
        platform: parsed(row, "platform")?,
        enabled: row.try_get("enabled")?,
    })
}

/// The sealed stream keys of one channel's destinations, or of all.
pub(crate) async fn sealed(
    session: &impl GenericClient,
    channel: Option<ChannelId>,
) -> Result<Vec<(DestinationId, DestinationKey)>, StoreError> {
    let rows = session
        .query(
            "SELECT id, channel_id, stream_key FROM rtmp_destinations
             WHERE stream_key IS NOT NULL AND ($1::uuid IS NULL OR channel_id = $1)",
            &[&channel.map(ChannelId::uuid)],
        )
        .await?;
    let key = |row: &Row| {
        let channel = ChannelId::from(row.try_get::<_, Uuid>("channel_id")?);
        let key = DestinationKey::of(channel, row.try_get("stream_key")?);
        Ok((DestinationId::from(row.try_get::<_, Uuid>("id")?), key))
    };
    rows.iter().map(key).collect()
}

/// Puts `wanted` in the place of a channel's destinations: known ids keep their rows, the others get
/// ids, what is not named goes. Afterwards `wanted` is what is stored, without any key.
pub(super) async fn replace(
    vault: &Vault,
    tx: &Transaction<'_>,
    channel: ChannelId,
    wanted: &mut [DestinationConfig],
) -> Result<(), StoreError> {
    let known = read(tx, Some(channel.uuid()))
        .await?
        .remove(&channel)
        .unwrap_or_default();
    let mut kept = Vec::new();
    for (position, destination) in wanted.iter_mut().enumerate() {
        let before = destination
            .id
            .map(|id| known.iter().find(|known| known.id == Some(id)).ok_or(id));
        let before = before.transpose().map_err(|id| {
            StoreError::Conflict(format!(
                "the channel has no destination {id}; leave the id out to add one"
            ))
        })?;
        let keeps = destination.stream_key == StreamKeySetting::Kept;
        if keeps && before.is_none_or(|before| !before.stream_key.is_set()) {
            return Err(StoreError::Conflict(format!(
                "destination {position} has no stored stream key to keep"
            )));
        }
        let id = destination
            .id
            .unwrap_or_else(|| DestinationId::from(Uuid::now_v7()));
        if kept.contains(&id.uuid()) {
            return Err(StoreError::Conflict(format!(
                "destination {id} is named twice"
            )));
        }
        let sealed = destination
            .stream_key
            .given()
            .map(|key| vault.seal(place(id), key.reveal().as_bytes()));
        let position = i32::try_from(position).map_err(StoreError::internal)?;
        tx.execute(
            "INSERT INTO rtmp_destinations AS d (id, channel_id, position, server_url, platform, enabled, stream_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (id) DO UPDATE SET position = excluded.position, server_url = excluded.server_url,
                 platform = excluded.platform, enabled = excluded.enabled,
                 stream_key = CASE WHEN $8 THEN d.stream_key ELSE excluded.stream_key END",
            &[
                &id.uuid(),
                &channel.uuid(),
                &position,
                &destination.server_url.as_str(),
                &destination.platform.name(),
                &destination.enabled,
                &sealed,
                &keeps,
            ],
        )
        .await?;
        destination.id = Some(id);
        if destination.stream_key.is_set() {
            destination.stream_key = StreamKeySetting::Kept;
        }
        kept.push(id.uuid());
    }
    tx.execute(
        "DELETE FROM rtmp_destinations WHERE channel_id = $1 AND id <> ALL ($2)",
        &[&channel.uuid(), &kept],
    )
    .await?;
    Ok(())
}
