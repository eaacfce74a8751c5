//! The rows of RTMP destinations. Stream keys are sealed here and leave only by [`Store::stream_key`].

use std::collections::HashMap;

use playout_domain::destination::{Encode, PlaybackUrl, ServerUrl, StreamKeySetting};
use playout_domain::{Channel, ChannelId, DestinationConfig, DestinationId, StreamKey};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::Store;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::keys;
use crate::session::{Connection, Remembering, Transaction};
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

pub(super) const fn place(id: DestinationId) -> Place {
    Place {
        table: "rtmp_destinations",
        column: "stream_key",
        row: id.uuid(),
    }
}

/// A destination as it is stored.
pub(super) struct DestinationRow {
    pub(super) id: Uuid,
    position: i32,
    server_url: String,
    platform: String,
    enabled: bool,
    /// Sealed.
    pub(super) stream_key: Option<Vec<u8>>,
    playback_url: Option<String>,
    /// Nothing: it is copied.
    encode: Option<Value>,
    allow_lower_quality: bool,
}

impl DestinationRow {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            position: row.try_get("position")?,
            server_url: row.try_get("server_url")?,
            platform: row.try_get("platform")?,
            enabled: row.try_get("enabled")?,
            stream_key: row.try_get("stream_key")?,
            playback_url: row.try_get("playback_url")?,
            encode: row.try_get("encode")?,
            allow_lower_quality: row.try_get("allow_lower_quality")?,
        })
    }

    /// Every column is covered by the digest of the channel; those that came later by [`Self::add_options_to`].
    pub(super) fn add_to(&self, digest: &mut Digest) {
        digest
            .id(self.id)
            .number(self.position.into())
            .text(&self.server_url)
            .text(&self.platform)
            .flag(self.enabled)
            .optional(self.stream_key.as_deref(), Digest::bytes);
    }

    /// The columns that came later, where one is not as in rows from before them: their digests stay right.
    pub(super) fn add_options_to(&self, digest: &mut Digest) {
        let options = (&self.playback_url, &self.encode, self.allow_lower_quality);
        if options == (&None, &None, false) {
            return;
        }
        digest
            .id(self.id)
            .optional(self.playback_url.as_deref(), Digest::text)
            .optional(self.encode.as_ref(), Digest::json)
            .flag(self.allow_lower_quality);
    }

    pub(super) fn config(&self) -> Result<DestinationConfig, StoreError> {
        // Whether private addresses are allowed was asked when it was written.
        let server_url = ServerUrl::parse(&self.server_url, true).map_err(StoreError::internal)?;
        let playback_url = self.playback_url.as_deref();
        let playback_url = playback_url.map(|url| PlaybackUrl::parse(url, true));
        let encode = self.encode.as_ref().map(Encode::from_stored).transpose();
        Ok(DestinationConfig {
            id: Some(DestinationId::from(self.id)),
            server_url,
            stream_key: match self.stream_key {
                Some(_) => StreamKeySetting::Kept,
                None => StreamKeySetting::Absent,
            },
            platform: self.platform.parse().map_err(StoreError::Internal)?,
            enabled: self.enabled,
            playback_url: playback_url.transpose().map_err(StoreError::internal)?,
            encode: encode.map_err(StoreError::internal)?.unwrap_or_default(),
            allow_lower_quality: self.allow_lower_quality,
        })
    }
}

/// The rows of one channel, or of all, in their order.
pub(super) async fn rows(
    session: &Remembering<impl Connection>,
    channel: Option<Uuid>,
) -> Result<HashMap<Uuid, Vec<DestinationRow>>, StoreError> {
    let (filter, given): (_, &[&(dyn ToSql + Sync)]) = match &channel {
        Some(channel) => ("WHERE channel_id = $1", &[channel]),
        None => ("", &[]),
    };
    let sql = format!("SELECT * FROM rtmp_destinations {filter} ORDER BY channel_id, position, id");
    let rows = session.query(&sql, given).await?;
    let mut found: HashMap<Uuid, Vec<DestinationRow>> = HashMap::new();
    for row in &rows {
        let its = found.entry(row.try_get("channel_id")?).or_default();
        its.push(DestinationRow::read(row)?);
    }
    Ok(found)
}

/// A stream key as it is stored.
pub(crate) struct SealedKey {
    pub(crate) channel: ChannelId,
    pub(crate) destination: DestinationId,
    pub(crate) place: Place,
    pub(crate) sealed: Vec<u8>,
}

/// Every stream key there is.
pub(crate) async fn secrets(
    session: &Remembering<impl Connection>,
) -> Result<Vec<SealedKey>, StoreError> {
    let all = rows(session, None).await?.into_iter();
    let keys = all.flat_map(|(channel, rows)| {
        rows.into_iter().filter_map(move |row| {
            let destination = DestinationId::from(row.id);
            Some(SealedKey {
                channel: ChannelId::from(channel),
                destination,
                place: place(destination),
                sealed: row.stream_key?,
            })
        })
    });
    let mut keys: Vec<SealedKey> = keys.collect();
    keys.sort_unstable_by_key(|key| (key.channel, key.destination));
    Ok(keys)
}

/// The sealed stream keys of one channel's destinations, or of all.
pub(crate) async fn sealed(
    session: &Remembering<impl Connection>,
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

/// The rows of one channel, in their order.
pub(super) async fn of(
    session: &Remembering<impl Connection>,
    channel: ChannelId,
) -> Result<Vec<DestinationRow>, StoreError> {
    let id = channel.uuid();
    Ok(rows(session, Some(id))
        .await?
        .remove(&id)
        .unwrap_or_default())
}

/// The sealed stream keys of a channel that was just written.
pub(super) async fn sealed_of(
    session: &Remembering<impl Connection>,
    channel: &Channel,
) -> Result<Vec<(DestinationId, DestinationKey)>, StoreError> {
    let its = &channel.config.rtmp_destinations;
    match its.iter().any(|one| one.stream_key.is_set()) {
        true => sealed(session, Some(channel.id)).await,
        false => Ok(Vec::new()),
    }
}

/// Puts `wanted` in the place of a channel's destinations, which are `known`: known ids keep their rows, the others get
/// ids, what is not named goes. Afterwards `wanted` is what is stored, without any key. Answers the rows that there
/// are now.
pub(super) async fn replace(
    vault: &Vault,
    tx: &Transaction<'_>,
    channel: ChannelId,
    known: &[DestinationRow],
    wanted: &mut [DestinationConfig],
) -> Result<Vec<DestinationRow>, StoreError> {
    if known.is_empty() && wanted.is_empty() {
        return Ok(Vec::new());
    }
    let seals_anything = wanted.iter().any(|one| one.stream_key.given().is_some());
    let sealing = match seals_anything {
        true => Some(keys::sealing(tx).await?),
        false => None,
    };
    let mut kept = Vec::new();
    for (position, destination) in wanted.iter_mut().enumerate() {
        let before = destination
            .id
            .map(|id| known.iter().find(|known| known.id == id.uuid()).ok_or(id));
        let before = before.transpose().map_err(|id| {
            StoreError::Conflict(format!(
                "the channel has no destination {id}; leave the id out to add one"
            ))
        })?;
        let keeps = destination.stream_key == StreamKeySetting::Kept;
        if keeps && before.is_none_or(|before| before.stream_key.is_none()) {
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
        let sealed = destination.stream_key.given().zip(sealing);
        let sealed = sealed.map(|(key, sealing)| {
            let secret = key.reveal().as_bytes();
            vault.seal(sealing, place(id), secret)
        });
        let sealed = sealed.transpose().map_err(StoreError::internal)?;
        let position = i32::try_from(position).map_err(StoreError::internal)?;
        let encode = (destination.encode != Encode::Copy).then(|| destination.encode.to_json());
        tx.execute(
            "INSERT INTO rtmp_destinations AS d (id, channel_id, position, server_url, platform, enabled, stream_key,
                                                 playback_url, encode, allow_lower_quality)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $10, $11)
             ON CONFLICT (id) DO UPDATE SET position = excluded.position, server_url = excluded.server_url,
                 platform = excluded.platform, enabled = excluded.enabled, playback_url = excluded.playback_url,
                 encode = excluded.encode, allow_lower_quality = excluded.allow_lower_quality,
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
                &destination.playback_url.as_ref().map(PlaybackUrl::as_str),
                &encode,
                &destination.allow_lower_quality,
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
    of(tx, channel).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As all rows were once; whether that is changed is told by the digest.
    fn plain() -> DestinationRow {
        DestinationRow {
            id: Uuid::from_u128(1),
            position: 0,
            server_url: "rtmp://a.example.com/live".to_owned(),
            platform: "custom".to_owned(),
            enabled: true,
            stream_key: None,
            playback_url: None,
            encode: None,
            allow_lower_quality: false,
        }
    }

    fn options(row: &DestinationRow) -> [u8; 32] {
        let mut digest = Digest::of("test");
        row.add_options_to(&mut digest);
        digest.finish()
    }

    #[test]
    fn a_row_without_options_has_the_digest_of_before_them_and_each_option_another() {
        let before = Digest::of("test").finish();
        assert_eq!(options(&plain()), before);
        let others = [
            DestinationRow {
                playback_url: Some("https://a.example.com/x".to_owned()),
                ..plain()
            },
            DestinationRow {
                encode: Some(serde_json::json!({ "videoBitrate": 1 })),
                ..plain()
            },
            DestinationRow {
                allow_lower_quality: true,
                ..plain()
            },
        ];
        let mut all: Vec<_> = others.iter().map(options).collect();
        all.push(before);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
