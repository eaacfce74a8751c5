//! Renditions: media prepared into a profile. The row is written when the file is complete.

use jiff::Timestamp;
use playout_domain::{MediaId, Profile, RenditionId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::Store;
use crate::columns::{bigint, count, from_json, json, whole_micros};
use crate::error::StoreError;

/// One media item prepared into one profile.
#[derive(Debug, Clone, PartialEq)]
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
}

impl Store {
    /// Stores that media is prepared; one of the same media and profile is replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the item was deleted meanwhile.
    pub async fn save_rendition(&self, rendition: &Rendition) -> Result<(), StoreError> {
        let rendition = rendition.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let saved = session
                        .execute(
                            "INSERT INTO renditions (id, media_id, profile_key, profile, frames, bytes, created_at)
                             VALUES ($1, $2, $3, $4, $5, $6, $7)
                             ON CONFLICT (media_id, profile_key) DO UPDATE SET id = excluded.id,
                                 profile = excluded.profile, frames = excluded.frames, bytes = excluded.bytes,
                                 created_at = excluded.created_at",
                            &[
                                &rendition.id.uuid(),
                                &rendition.media_id.uuid(),
                                &rendition.profile.key(),
                                &json(&rendition.profile)?,
                                &bigint(rendition.frames),
                                &bigint(rendition.bytes),
                                &whole_micros(rendition.created_at),
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
            .await
    }

    /// Every rendition of everything.
    pub async fn all_renditions(&self) -> Result<Vec<Rendition>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .query("SELECT * FROM renditions ORDER BY id", &[])
                        .await?
                        .iter()
                        .map(rendition)
                        .collect()
                })
            })
            .await
    }

    /// Forgets that media was prepared; files are not touched.
    pub async fn delete_renditions(&self, media: MediaId) -> Result<(), StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "DELETE FROM renditions WHERE media_id = $1",
                            &[&media.uuid()],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

fn rendition(row: &Row) -> Result<Rendition, StoreError> {
    Ok(Rendition {
        id: RenditionId::from(row.try_get::<_, Uuid>("id")?),
        media_id: MediaId::from(row.try_get::<_, Uuid>("media_id")?),
        profile: from_json(row, "profile")?,
        frames: count(row, "frames")?,
        bytes: count(row, "bytes")?,
        created_at: row.try_get("created_at")?,
    })
}
