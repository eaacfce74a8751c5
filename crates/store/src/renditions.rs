//! Renditions: media prepared into a profile, each daemon's own: files lie in its folder. The row is written when the file is complete.

use jiff::Timestamp;
use playout_domain::loudness::Heard;
use playout_domain::{ChannelConfig, ChannelId, MediaId, Profile, RenditionId};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::Store;
use crate::columns::{bigint, count, from_json, json, whole_micros};
use crate::error::StoreError;
use crate::standby::Kind;

/// One media item prepared into one profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rendition {
    /// Its id.
    pub id: RenditionId,
    /// Of which item.
    pub media_id: MediaId,
    /// Into which profile.
    pub profile: Profile,
    /// How long it is: what a plan counts with.
    pub frames: u64,
    /// How large the file is.
    pub bytes: u64,
    /// When it was complete.
    pub created_at: Timestamp,
    /// How loud it has become; nothing where it has no sound.
    #[serde(default)]
    pub heard: Option<Heard>,
    /// Since when no channel needs it.
    #[serde(default)]
    pub unneeded_since: Option<Timestamp>,
}

impl Store {
    /// Stores that media is prepared; one of the same media and profile is replaced. What people have said about
    /// preparing it is done with.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the item was deleted meanwhile.
    pub async fn save_rendition(&self, rendition: &Rendition) -> Result<(), StoreError> {
        let (id, kept) = (rendition.kept_as(), rendition.clone());
        let (rendition, node) = (rendition.clone(), self.0.leases.node());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let saved = session
                        .execute(
                            "WITH done AS (DELETE FROM prepare_marks
                                 WHERE media_id = $2 AND profile_key = $3 AND node = $8)
                             INSERT INTO renditions (id, media_id, profile_key, profile, frames, bytes, created_at, node,
                                                     loudness, unneeded_since)
                             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                             ON CONFLICT (media_id, profile_key, node) DO UPDATE SET id = excluded.id,
                                 profile = excluded.profile, frames = excluded.frames, bytes = excluded.bytes,
                                 created_at = excluded.created_at, loudness = excluded.loudness,
                                 unneeded_since = excluded.unneeded_since",
                            &[
                                &rendition.id.uuid(),
                                &rendition.media_id.uuid(),
                                &rendition.profile.key(),
                                &json(&rendition.profile)?,
                                &bigint(rendition.frames),
                                &bigint(rendition.bytes),
                                &whole_micros(rendition.created_at),
                                &node.uuid(),
                                &rendition.heard.as_ref().map(json).transpose()?,
                                &rendition.unneeded_since.map(whole_micros),
                            ],
                        )
                        .await;
                    match saved {
                        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
                            Err(StoreError::NotFound)
                        }
                        other => Ok(other.map(drop)?),
                    }
                })
            })
            .await?;
        self.0.standby.put(Kind::Rendition, id, &kept);
        Ok(())
    }

    /// Every rendition of everything that this daemon has prepared: the database's; for a daemon that starts
    /// while that is away, what is kept.
    pub async fn all_renditions(&self) -> Result<Vec<Rendition>, StoreError> {
        let (standby, node) = (&self.0.standby, self.0.leases.node());
        let read = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .query(
                            "SELECT * FROM renditions WHERE node IS NULL OR node = $1 ORDER BY id",
                            &[&node.uuid()],
                        )
                        .await?
                        .iter()
                        .map(rendition)
                        .collect()
                })
            })
            .await;
        match read {
            Err(StoreError::Unavailable(_))
                if standby.is_loaded(Kind::Rendition) || self.falls_back() =>
            {
                let kept = standby.all(Kind::Rendition).into_iter();
                Ok(kept.map(|(_, rendition)| rendition).collect())
            }
            read => {
                let renditions: Vec<Rendition> = read?;
                let kept = renditions.iter().map(|kept| (kept.kept_as(), kept));
                standby.load(Kind::Rendition, kept);
                Ok(renditions)
            }
        }
    }

    /// Forgets that media was prepared into a profile here; files are not touched.
    pub async fn delete_rendition(
        &self,
        media: MediaId,
        profile: &Profile,
    ) -> Result<(), StoreError> {
        let (node, key) = (self.0.leases.node(), profile.key());
        let kept = kept_as(media, &key);
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "DELETE FROM renditions WHERE media_id = $1 AND profile_key = $2 AND (node IS NULL OR node = $3)",
                            &[&media.uuid(), &key, &node.uuid()],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await?;
        self.0.standby.remove(Kind::Rendition, kept);
        Ok(())
    }

    /// Whether a channel of the database names an item anywhere, in its configuration, its schedule or its plan, and
    /// plays it in a profile; `apart` from these channels. One that cannot be read may name everything.
    pub async fn is_named(
        &self,
        media: MediaId,
        profile: &Profile,
        apart: Vec<ChannelId>,
    ) -> Result<bool, StoreError> {
        let (named, profile) = (media.to_string(), *profile);
        let apart: Vec<Uuid> = apart.into_iter().map(ChannelId::uuid).collect();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT c.config FROM channels c LEFT JOIN airtime a ON a.channel_id = c.id
                        WHERE c.client_id = (SELECT client_id FROM media WHERE id = $1) AND c.id <> ALL ($3)
                            AND (strpos(c.config::text, $2) > 0 OR strpos(a.schedule::text, $2) > 0
                                 OR strpos(a.plan::text, $2) > 0)";
                    // Another daemon's font is not known here: it counts as the same.
                    let font = profile.treatment.caption.map(|caption| caption.font());
                    let font = font.unwrap_or_default();
                    let rows = session.query(sql, &[&media.uuid(), &named, &apart]).await?;
                    let plays = |row: &Row| {
                        let config: Option<serde_json::Value> = row.try_get("config").ok();
                        let config = config.and_then(|config| ChannelConfig::from_stored(&config, Vec::new()).ok());
                        config.is_none_or(|config| Profile::of(&config, font) == profile)
                    };
                    Ok(rows.iter().any(plays))
                })
            })
            .await
    }

    /// Forgets that media was prepared here; files are not touched.
    pub async fn delete_renditions(&self, media: MediaId) -> Result<(), StoreError> {
        let node = self.0.leases.node();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "DELETE FROM renditions WHERE media_id = $1 AND (node IS NULL OR node = $2)",
                            &[&media.uuid(), &node.uuid()],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await?;
        self.0
            .standby
            .remove_where(Kind::Rendition, |_, kept: &Rendition| {
                kept.media_id == media
            });
        Ok(())
    }
}

impl Rendition {
    fn kept_as(&self) -> String {
        kept_as(self.media_id, &self.profile.key())
    }
}

/// A rendition's name outside the database: there is one of an item and a profile.
fn kept_as(media: MediaId, profile_key: &str) -> String {
    format!("{media}.{profile_key}")
}

fn rendition(row: &Row) -> Result<Rendition, StoreError> {
    let heard: Option<serde_json::Value> = row.try_get("loudness")?;
    Ok(Rendition {
        id: RenditionId::from(row.try_get::<_, Uuid>("id")?),
        media_id: MediaId::from(row.try_get::<_, Uuid>("media_id")?),
        profile: from_json(row, "profile")?,
        frames: count(row, "frames")?,
        bytes: count(row, "bytes")?,
        created_at: row.try_get("created_at")?,
        heard: heard
            .map(serde_json::from_value)
            .transpose()
            .map_err(StoreError::internal)?,
        unneeded_since: row.try_get("unneeded_since")?,
    })
}
