//! The library's statements: how an item is written, and how a row is read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use playout_domain::limits::Raise;
use playout_domain::media::ProbeSummary;
use playout_domain::{ArrivalId, ClientId, Details, MediaId, MediaItem};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Inserted;
use super::search::parted;
use crate::audit::{Change, record};
use crate::columns::{self, bigint, count, length, micros, of_version, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::in_use;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::{Connection, Remembering, Transaction};

pub(super) async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &MediaItem,
    arrival: Option<ArrivalId>,
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
    if let Some(arrival) = arrival {
        // Its bytes are the item's from now on, and count once.
        let sql = "UPDATE arrivals SET state = 'done', media_id = $2 WHERE id = $1";
        tx.execute(sql, &[&arrival.uuid(), &new.id.uuid()]).await?;
    }
    client
        .check(tx, &Raise::AddMedia { bytes: new.size })
        .await?;
    let inserted = tx
        .execute(
            "INSERT INTO media (id, client_id, path, title, duration_us, size, probe, status, reason, created_at, updated_at,
                                damage, sha256, missing_since, tags, edited, version, words, loudness)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, '[]', '{}', $15, '', $16)
             ON CONFLICT (id) DO NOTHING",
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
                &digest(new),
                &new.missing_since.map(whole_micros),
                &bigint(new.version),
                &columns::json(&new.loudness)?,
            ],
        )
        .await?;
    if inserted == 0 {
        return Err(StoreError::Conflict(format!(
            "there is an item {} already",
            new.id
        )));
    }
    describe(tx, new, Newer::OrSame).await?;
    let imported = change("media.import", new.id, None, Some(told(new)));
    record(tx, new.client_id, who, imported).await?;
    Ok(Inserted::New)
}

/// Which version of what is said about an item is written over another.
#[derive(Clone, Copy)]
pub(super) enum Newer {
    Only,
    OrSame,
}

/// Writes what is said about an item.
pub(super) async fn describe(
    session: &Remembering<impl Connection>,
    item: &MediaItem,
    newer: Newer,
) -> Result<(), StoreError> {
    let details = &item.details;
    let optional = |given: &Option<String>| given.as_deref().map(text);
    let number = |given: Option<u32>| given.and_then(|n| i32::try_from(n).ok());
    let least = match newer {
        Newer::Only => item.version.saturating_sub(1),
        Newer::OrSame => item.version,
    };
    session
        .execute(
            "UPDATE media SET title = $2, description = $3, tags = $4, genre = $5, language = $6, rating = $7, series = $8,
                    season = $9, episode = $10, edited = $11, version = $12, updated_at = $13, words = $14
             WHERE id = $1 AND version <= $15",
            &[
                &item.id.uuid(),
                &text(&item.title),
                &optional(&details.description),
                &columns::json(&details.tags)?,
                &optional(&details.genre),
                &optional(&details.language),
                &optional(&details.rating),
                &optional(&details.series),
                &number(details.season),
                &number(details.episode),
                &item.edited,
                &bigint(item.version),
                &whole_micros(item.updated_at),
                &words(item),
                &bigint(least),
            ],
        )
        .await?;
    Ok(())
}

pub(super) fn digest(item: &MediaItem) -> Option<&[u8]> {
    item.sha256.as_ref().map(<[u8; 32]>::as_slice)
}

pub(super) async fn edit(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &MediaItem,
) -> Result<(), StoreError> {
    LockedClient::lock(tx, new.client_id).await?;
    let before = read(tx, new.id).await?;
    if before.version >= new.version {
        return Err(StoreError::VersionMismatch {
            current: before.version,
        });
    }
    describe(tx, new, Newer::Only).await?;
    let said = |item: &MediaItem| json!({ "title": item.title, "details": item.details });
    let edited = change("media.edit", new.id, Some(said(&before)), Some(said(new)));
    record(tx, new.client_id, who, edited).await
}

pub(super) async fn replace(
    tx: &Transaction<'_>,
    who: &Principal,
    new: &MediaItem,
) -> Result<(), StoreError> {
    let client = LockedClient::lock(tx, new.client_id).await?;
    let before = read(tx, new.id).await?;
    let bytes = new.size.saturating_sub(before.size);
    client.check(tx, &Raise::AddMedia { bytes }).await?;
    tx.execute(
        "UPDATE media SET size = $2 WHERE id = $1",
        &[&new.id.uuid(), &bigint(new.size)],
    )
    .await?;
    let replaced = change(
        "media.replace",
        new.id,
        Some(told(&before)),
        Some(told(new)),
    );
    record(tx, new.client_id, who, replaced).await
}

pub(super) async fn delete(
    tx: &Transaction<'_>,
    who: &Principal,
    id: MediaId,
    version: Option<u64>,
) -> Result<(), StoreError> {
    let owner = read(tx, id).await?.client_id;
    if !who.sees(owner) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, owner).await?;
    // It may have been changed or deleted while this waited.
    let found = read(tx, id).await?;
    of_version(version, found.version)?;
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

async fn read(
    session: &Remembering<impl Connection>,
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

pub(super) fn probe(item: &MediaItem) -> Result<Option<Value>, StoreError> {
    item.probe.as_ref().map(columns::json).transpose()
}

/// What an item is found by.
fn words(item: &MediaItem) -> String {
    let said = [Some(&item.title), item.details.series.as_ref()];
    let said = said.into_iter().flatten().chain(&item.details.tags);
    said.flat_map(|text| parted(text))
        .collect::<Vec<_>>()
        .join(" ")
}

fn details(row: &Row) -> Result<Details, StoreError> {
    let number = |column: &str| -> Result<Option<u32>, StoreError> {
        let number: Option<i32> = row.try_get(column)?;
        Ok(number.and_then(|n| u32::try_from(n).ok()))
    };
    Ok(Details {
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        tags: columns::from_json(row, "tags")?,
        genre: row.try_get("genre")?,
        language: row.try_get("language")?,
        rating: row.try_get("rating")?,
        series: row.try_get("series")?,
        season: number("season")?,
        episode: number("episode")?,
    })
}

pub(super) fn item(row: &Row) -> Result<MediaItem, StoreError> {
    let sha256: Option<Vec<u8>> = row.try_get("sha256")?;
    let path: Vec<u8> = row.try_get("path")?;
    let probe: Option<Value> = row.try_get("probe")?;
    Ok(MediaItem {
        id: MediaId::from(row.try_get::<_, Uuid>("id")?),
        client_id: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        path: PathBuf::from(OsString::from_vec(path)),
        title: row.try_get("title")?,
        details: details(row)?,
        edited: row.try_get("edited")?,
        version: count(row, "version")?,
        sha256: sha256.and_then(|digest| digest.try_into().ok()),
        missing_since: row.try_get("missing_since")?,
        duration: length(row, "duration_us")?,
        size: count(row, "size")?,
        probe: probe
            .map(serde_json::from_value::<ProbeSummary>)
            .transpose()
            .map_err(StoreError::internal)?,
        status: parsed(row, "status")?,
        reason: row.try_get("reason")?,
        damage: columns::from_json(row, "damage")?,
        loudness: columns::from_json(row, "loudness")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
