//! Folders whose files are imported as they come. Each is the daemon's that sees it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use jiff::Timestamp;
use playout_domain::{ClientId, WatchedFolderId};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{count, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;

/// A watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFolder {
    /// Its id.
    pub id: WatchedFolderId,
    /// Whose it is.
    pub client_id: ClientId,
    /// Where it is, symbolic links resolved.
    pub path: PathBuf,
    /// Device and inode of the folder when its files were seen last.
    pub identity: Option<(u64, u64)>,
    /// Since when it is watched.
    pub created_at: Timestamp,
}

/// Watched folders of a client at most.
const MOST_WATCHED: u64 = 100;

impl Store {
    /// Has a folder watched by this daemon.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: it is already.
    pub async fn insert_watched(
        &self,
        who: &Principal,
        new: &WatchedFolder,
    ) -> Result<(), StoreError> {
        let (who, new, node) = (who.clone(), new.clone(), self.0.leases.node());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, new.client_id).await?;
                    let sql = "SELECT count(*) AS there FROM watched_folders WHERE client_id = $1";
                    let row = tx.query_one(sql, &[&new.client_id.uuid()]).await?;
                    if count(&row, "there")? >= MOST_WATCHED {
                        let sentence = format!("{MOST_WATCHED} folders are watched already");
                        return Err(StoreError::Conflict(sentence));
                    }
                    let inserted = tx
                        .execute(
                            "INSERT INTO watched_folders (id, client_id, path, node, created_at)
                             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                            &[
                                &new.id.uuid(),
                                &new.client_id.uuid(),
                                &new.path.as_os_str().as_bytes(),
                                &node.uuid(),
                                &whole_micros(new.created_at),
                            ],
                        )
                        .await?;
                    if inserted == 0 {
                        return Err(StoreError::Conflict(
                            "the folder is watched already".to_owned(),
                        ));
                    }
                    let told = json!({ "path": new.path.to_string_lossy() });
                    let change = Change::between(
                        "media.watch",
                        "watched folder",
                        new.id.uuid(),
                        None,
                        Some(told),
                    );
                    record(tx, new.client_id, &who, change).await
                })
            })
            .await
    }

    /// Has a folder watched no more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_watched(
        &self,
        who: &Principal,
        old: &WatchedFolder,
    ) -> Result<(), StoreError> {
        let (who, old) = (who.clone(), old.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, old.client_id).await?;
                    let sql = "DELETE FROM watched_folders WHERE id = $1";
                    if tx.execute(sql, &[&old.id.uuid()]).await? == 0 {
                        return Err(StoreError::NotFound);
                    }
                    let told = json!({ "path": old.path.to_string_lossy() });
                    let change = Change::between(
                        "media.unwatch",
                        "watched folder",
                        old.id.uuid(),
                        Some(told),
                        None,
                    );
                    record(tx, old.client_id, &who, change).await
                })
            })
            .await
    }

    /// Notes what a folder was when its files were seen.
    pub async fn watched_is(
        &self,
        id: WatchedFolderId,
        (device, inode): (u64, u64),
    ) -> Result<(), StoreError> {
        // As they are: neither is counted with.
        let (device, inode) = (device.cast_signed(), inode.cast_signed());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "UPDATE watched_folders SET device = $2, inode = $3 WHERE id = $1";
                    session.execute(sql, &[&id.uuid(), &device, &inode]).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The folders that this daemon watches, oldest first.
    pub async fn watched(&self) -> Result<Vec<WatchedFolder>, StoreError> {
        let node = self.0.leases.node();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM watched_folders WHERE node = $1 ORDER BY id";
                    let rows = session.query(sql, &[&node.uuid()]).await?;
                    rows.iter().map(folder).collect()
                })
            })
            .await
    }
}

fn folder(row: &Row) -> Result<WatchedFolder, StoreError> {
    let device: Option<i64> = row.try_get("device")?;
    let inode: Option<i64> = row.try_get("inode")?;
    Ok(WatchedFolder {
        id: WatchedFolderId::from(row.try_get::<_, Uuid>("id")?),
        client_id: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        path: PathBuf::from(OsString::from_vec(row.try_get("path")?)),
        identity: device
            .zip(inode)
            .map(|(device, inode)| (device.cast_unsigned(), inode.cast_unsigned())),
        created_at: row.try_get("created_at")?,
    })
}
