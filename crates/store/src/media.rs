//! The media library's rows. A file of a client is one item, however often it is imported.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use playout_domain::limits::Raise;
use playout_domain::media::ProbeSummary;
use playout_domain::{ClientId, MediaId, MediaItem};
use serde_json::{Value, json};
use tokio_postgres::{GenericClient, Row, Transaction};
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{self, bigint, count, length, micros, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::in_use;
use crate::limits::LockedClient;
use crate::principal::{Principal, Scope};
use crate::renditions::Rendition;
use crate::standby::{Kind, MediaRecord};

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
        if !who.sees(item.client_id) {
            return Err(StoreError::NotFound);
        }
        let (who, item, new) = (who.clone(), item.clone(), MediaRecord::of(item));
        let id = item.id;
        let inserted = self
            .database()
            .transact(move |tx| Box::pin(async move { insert(tx, &who, &item).await }))
            .await?;
        if inserted == Inserted::New {
            self.0.standby.put(Kind::Media, id.to_string(), &new);
        }
        Ok(inserted)
    }

    /// Stores what has become of an item; its id, client, path and age stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_media(&self, item: &MediaItem) -> Result<(), StoreError> {
        let (id, kept) = (item.id.to_string(), MediaRecord::of(item));
        let item = item.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let written = session
                        .execute(
                            "UPDATE media SET title = $2, duration_us = $3, size = $4, probe = $5, status = $6,
                                    reason = $7, updated_at = $8, damage = $9 WHERE id = $1",
                            &[
                                &item.id.uuid(),
                                &text(&item.title),
                                &micros(item.duration),
                                &bigint(item.size),
                                &probe(&item)?,
                                &item.status.name(),
                                &item.reason.as_deref().map(text),
                                &whole_micros(item.updated_at),
                                &columns::json(&item.damage)?,
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

    /// Items that `who` may know of, oldest first, after `after`.
    pub async fn list_media(
        &self,
        who: &Principal,
        after: Option<MediaId>,
        limit: u32,
    ) -> Result<Vec<MediaItem>, StoreError> {
        let client = (who.scope != Scope::Admin).then_some(who.client.uuid());
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
    /// [`StoreError::NotFound`] when there is no such item for `who`.
    pub async fn delete_media(&self, who: &Principal, id: MediaId) -> Result<(), StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| Box::pin(async move { delete(tx, &who, id).await }))
            .await?;
        let standby = &self.0.standby;
        standby.remove(Kind::Media, id.to_string());
        standby.remove_where(Kind::Rendition, |_, kept: &Rendition| kept.media_id == id);
        Ok(())
    }
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &MediaItem,
) -> Result<Inserted, StoreError> {
    let client = LockedClient::lock(tx, new.client_id).await?;
    let path = new.path.as_os_str().as_bytes();
    let existing = tx
        .query_opt(
            "SELECT * FROM media WHERE client_id = $1 AND sha256(path) = sha256($2)",
            &[&new.client_id.uuid(), &path],
        )
        .await?;
    if let Some(row) = existing {
        return item(&row).map(Inserted::Existing);
    }
    client
        .check(tx, &Raise::AddMedia { bytes: new.size })
        .await?;
    let inserted = tx
        .execute(
            "INSERT INTO media (id, client_id, path, title, duration_us, size, probe, status, reason, created_at, updated_at,
                                damage)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING",
            &[
                &new.id.uuid(),
                &new.client_id.uuid(),
                &path,
                &text(&new.title),
                &micros(new.duration),
                &bigint(new.size),
                &probe(new)?,
                &new.status.name(),
                &new.reason.as_deref().map(text),
                &whole_micros(new.created_at),
                &whole_micros(new.updated_at),
                &columns::json(&new.damage)?,
            ],
        )
        .await?;
    if inserted == 0 {
        return Err(StoreError::Conflict(format!(
            "there is an item {} already",
            new.id
        )));
    }
    let imported = change("media.import", new.id, None, Some(told(new)));
    record(tx, new.client_id, who, imported).await?;
    Ok(Inserted::New)
}

async fn delete(tx: &Transaction<'_>, who: &Principal, id: MediaId) -> Result<(), StoreError> {
    let found = read_for_delete(tx, id).await?;
    if !who.sees(found.client_id) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, found.client_id).await?;
    in_use::release(tx, id).await?;
    if tx
        .execute("DELETE FROM media WHERE id = $1", &[&id.uuid()])
        .await?
        == 0
    {
        return Err(StoreError::NotFound);
    }
    let deleted = change("media.delete", id, Some(told(&found)), None);
    record(tx, found.client_id, who, deleted).await
}

async fn read_for_delete(
    session: &impl GenericClient,
    id: MediaId,
) -> Result<MediaItem, StoreError> {
    let row = session
        .query_opt("SELECT * FROM media WHERE id = $1", &[&id.uuid()])
        .await?;
    item(&row.ok_or(StoreError::NotFound)?)
}

fn change(
    operation: &'static str,
    id: MediaId,
    before: Option<Value>,
    after: Option<Value>,
) -> Change {
    Change::between(operation, "media", id.uuid(), before, after)
}

/// What the audit tells of an item.
fn told(item: &MediaItem) -> Value {
    json!({ "path": item.path.to_string_lossy(), "title": item.title, "size": item.size })
}

fn probe(item: &MediaItem) -> Result<Option<Value>, StoreError> {
    item.probe.as_ref().map(columns::json).transpose()
}

fn item(row: &Row) -> Result<MediaItem, StoreError> {
    let path: Vec<u8> = row.try_get("path")?;
    let probe: Option<Value> = row.try_get("probe")?;
    Ok(MediaItem {
        id: MediaId::from(row.try_get::<_, Uuid>("id")?),
        client_id: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        path: PathBuf::from(OsString::from_vec(path)),
        title: row.try_get("title")?,
        duration: length(row, "duration_us")?,
        size: count(row, "size")?,
        probe: probe
            .map(serde_json::from_value::<ProbeSummary>)
            .transpose()
            .map_err(StoreError::internal)?,
        status: parsed(row, "status")?,
        reason: row.try_get("reason")?,
        damage: columns::from_json(row, "damage")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
