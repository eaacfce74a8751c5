//! The media library's rows. A file of a client is one item, however often it is imported.

mod rows;
mod search;

use std::os::unix::ffi::OsStrExt;

use playout_domain::{ArrivalId, ClientId, MediaId, MediaItem};
use uuid::Uuid;

use crate::Store;
use crate::columns::{self, bigint, micros, whole_micros};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::renditions::Rendition;
use crate::standby::{Kind, MediaRecord};
use crate::subtitles::Subtitle;
use rows::{Newer, delete, describe, digest, edit, insert, item, probe, replace};
pub use search::{MediaCursor, MediaQuery, MediaSort};

/// What became of an item that was to be added.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an answer, matched at once and never kept"
)]
pub enum Inserted {
    /// It is there now.
    New,
    /// The client has this file already: the item of it, unchanged.
    Existing(MediaItem),
}

impl Store {
    /// Adds an item to its client's library.
    ///
    /// # Errors
    /// [`StoreError::Limit`]; [`StoreError::NotFound`] when there is no such client for `who`.
    pub async fn insert_media(
        &self,
        who: &Principal,
        item: &MediaItem,
    ) -> Result<Inserted, StoreError> {
        self.insert_arrived(who, item, None).await
    }

    /// Adds an item as what an arrival has become, in one step: its bytes never count twice, and never not at all.
    ///
    /// # Errors
    /// As [`Store::insert_media`].
    pub async fn insert_arrived(
        &self,
        who: &Principal,
        item: &MediaItem,
        arrival: Option<ArrivalId>,
    ) -> Result<Inserted, StoreError> {
        if !who.sees(item.client_id) {
            return Err(StoreError::NotFound);
        }
        let (who, item, new) = (who.clone(), item.clone(), MediaRecord::of(item));
        let id = item.id;
        let inserted = self
            .database()
            .transact(move |tx| Box::pin(async move { insert(tx, &who, &item, arrival).await }))
            .await?;
        if inserted == Inserted::New {
            self.0.standby.put(Kind::Media, id.to_string(), &new);
        }
        Ok(inserted)
    }

    /// Stores what has become of an item; its id, client and age stay, and what is said about it unless `item` is of a
    /// later version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_media(&self, item: &MediaItem) -> Result<(), StoreError> {
        let (id, kept) = (item.id.to_string(), MediaRecord::of(item));
        let item = item.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    // What is said about it is another daemon's to know, where that wrote it later.
                    describe(session, &item, Newer::Only).await?;
                    let written = session
                        .execute(
                            "UPDATE media SET path = $2, duration_us = $3, size = $4, probe = $5, status = $6,
                                    reason = $7, updated_at = $8, damage = $9, sha256 = $10, missing_since = $11,
                                    loudness = $12
                             WHERE id = $1",
                            &[
                                &item.id.uuid(),
                                &item.path.as_os_str().as_bytes(),
                                &micros(item.duration),
                                &bigint(item.size),
                                &probe(&item)?,
                                &item.status.name(),
                                &item.reason.as_deref().map(columns::text),
                                &whole_micros(item.updated_at),
                                &columns::json(&item.damage)?,
                                &digest(&item),
                                &item.missing_since.map(whole_micros),
                                &columns::json(&item.loudness)?,
                            ],
                        )
                        .await?;
                    if written == 0 { Err(StoreError::NotFound) } else { Ok(()) }
                })
            })
            .await?;
        self.0.standby.put(Kind::Media, id, &kept);
        Ok(())
    }

    /// An item, whoever owns it: compare [`Principal::sees`] with its client.
    pub async fn media(&self, id: MediaId) -> Result<Option<MediaItem>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let row = session
                        .query_opt("SELECT * FROM media WHERE id = $1", &[&id.uuid()])
                        .await?;
                    row.as_ref().map(item).transpose()
                })
            })
            .await
    }

    /// Every item of everybody, oldest first: the database's; for a daemon that starts while that is away,
    /// what is kept.
    pub async fn all_media(&self) -> Result<Vec<MediaItem>, StoreError> {
        let standby = &self.0.standby;
        let read = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .query("SELECT * FROM media ORDER BY id", &[])
                        .await?
                        .iter()
                        .map(item)
                        .collect()
                })
            })
            .await;
        match read {
            Err(StoreError::Unavailable(_))
                if standby.is_loaded(Kind::Media) || self.falls_back() =>
            {
                let kept = standby.all::<MediaRecord>(Kind::Media).into_iter();
                let items = kept.filter_map(|(id, kept)| kept.item(id.parse().ok()?));
                Ok(items.collect())
            }
            read => {
                let items: Vec<MediaItem> = read?;
                let kept = items
                    .iter()
                    .map(|item| (item.id.to_string(), MediaRecord::of(item)));
                standby.load(Kind::Media, kept);
                Ok(items)
            }
        }
    }

    /// What there is beside `known`, and which of these are gone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn media_news(
        &self,
        known: Vec<MediaId>,
    ) -> Result<(Vec<MediaItem>, Vec<MediaId>), StoreError> {
        let known: Vec<Uuid> = known.into_iter().map(MediaId::uuid).collect();
        let (new, gone) = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let new = "SELECT m.* FROM media m LEFT JOIN unnest($1::uuid[]) AS k (id) ON k.id = m.id
                        WHERE k.id IS NULL ORDER BY m.id";
                    let new = session.query(new, &[&known]).await?;
                    let gone = "SELECT k.id FROM unnest($1::uuid[]) AS k (id) LEFT JOIN media m ON m.id = k.id
                        WHERE m.id IS NULL";
                    let gone = session.query(gone, &[&known]).await?;
                    let gone = gone.iter().map(|row| row.try_get::<_, Uuid>(0));
                    let gone = gone.map(|id| id.map(MediaId::from));
                    Ok((
                        new.iter().map(item).collect::<Result<Vec<_>, _>>()?,
                        gone.collect::<Result<Vec<_>, _>>()?,
                    ))
                })
            })
            .await?;
        let standby = &self.0.standby;
        for item in &new {
            standby.put(Kind::Media, item.id.to_string(), &MediaRecord::of(item));
        }
        for id in &gone {
            standby.remove(Kind::Media, id.to_string());
        }
        Ok((new, gone))
    }

    /// Writes what is said about an item, with its audit entry: over an earlier version only.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::VersionMismatch`] when the version there is not an earlier one.
    pub async fn edit_media(&self, who: &Principal, item: &MediaItem) -> Result<(), StoreError> {
        let (id, kept) = (item.id.to_string(), MediaRecord::of(item));
        let (who, item) = (who.clone(), item.clone());
        self.database()
            .transact(move |tx| Box::pin(async move { edit(tx, &who, &item).await }))
            .await?;
        self.0.standby.put(Kind::Media, id, &kept);
        Ok(())
    }

    /// The file of an item is another by now: it takes the room that it takes, with an audit entry. What else has become
    /// of the item is written by [`Store::update_media`].
    ///
    /// # Errors
    /// [`StoreError::Limit`] when it has grown past what the client's plan allows; [`StoreError::NotFound`].
    pub async fn replace_media(&self, who: &Principal, item: &MediaItem) -> Result<(), StoreError> {
        let (who, item) = (who.clone(), item.clone());
        self.database()
            .transact(move |tx| Box::pin(async move { replace(tx, &who, &item).await }))
            .await
    }

    /// Items of a client whose files have `size` bytes.
    pub async fn media_of_size(
        &self,
        client: ClientId,
        size: u64,
    ) -> Result<Vec<MediaItem>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM media WHERE client_id = $1 AND size = $2 ORDER BY id";
                    let rows = session.query(sql, &[&client.uuid(), &bigint(size)]).await?;
                    rows.iter().map(item).collect()
                })
            })
            .await
    }

    /// Items that `who` may know of, oldest first, after `after`.
    pub async fn list_media(
        &self,
        who: &Principal,
        after: Option<MediaId>,
        limit: u32,
    ) -> Result<Vec<MediaItem>, StoreError> {
        let client = who.only_uuid();
        let after = after.map(MediaId::uuid);
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let rows = session
                        .query(
                            "SELECT * FROM media WHERE ($1::uuid IS NULL OR client_id = $1)
                                AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
                            &[&client, &after, &i64::from(limit)],
                        )
                        .await?;
                    rows.iter().map(item).collect()
                })
            })
            .await
    }

    /// Takes an item and its renditions out of the library; files are not touched.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such item for `who`; [`StoreError::VersionMismatch`].
    pub async fn delete_media(
        &self,
        who: &Principal,
        id: MediaId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| Box::pin(async move { delete(tx, &who, id, version).await }))
            .await?;
        let standby = &self.0.standby;
        standby.remove(Kind::Media, id.to_string());
        standby.remove_where(Kind::Rendition, |_, kept: &Rendition| kept.media_id == id);
        standby.remove_where(Kind::Subtitle, |_, kept: &Subtitle| kept.media_id == id);
        Ok(())
    }
}
