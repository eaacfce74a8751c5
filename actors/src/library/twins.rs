//! Tells whether a client has a file's content already: by its size, then by its digest.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use playout_domain::ids::ClientId;
use playout_domain::media::MediaItem;
use ring::digest::{Context, SHA256};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;

use super::files::Stamp;
use super::known::Findings;
use super::{Inner, LibraryFact};
use crate::error::OpError;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Turns of files of one client and one size.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    turns: [Mutex<()>; 16],
    hasher: RandomState,
}

impl Sizes {
    pub(super) async fn turn(&self, client: ClientId, size: u64) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one((client, size)) as usize % self.turns.len();
        self.turns[place].lock().await
    }
}

impl Inner {
    /// SHA-256 of a file, read to its end.
    ///
    /// # Errors
    /// One sentence.
    pub(super) async fn digest(&self, path: &Path) -> Result<[u8; 32], String> {
        let (path, closing) = (path.to_owned(), self.closing.subscribe());
        let read = spawn_blocking(move || {
            let mut file = File::open(&path).map_err(|error| error.to_string())?;
            let (mut digest, mut chunk) = (Context::new(&SHA256), vec![0; CHUNK]);
            loop {
                if *closing.borrow() {
                    return Err("the daemon is being ended".to_owned());
                }
                match file.read(&mut chunk) {
                    Ok(0) => {
                        let digest = digest.finish();
                        return digest
                            .as_ref()
                            .try_into()
                            .map_err(|_| "the digest has another length".to_owned());
                    }
                    Ok(read) => digest.update(&chunk[..read]),
                    Err(error) => return Err(format!("the file cannot be read: {error}")),
                }
            }
        });
        read.await.map_err(|error| error.to_string())?
    }

    /// The item among `candidates`, which have the size of a file, with the content of that file. A digest counts as
    /// long as the item's file is as it was when it was looked into: what was changed since is read again. One that is
    /// not where it was is known by its digest, or by what its file was.
    pub(super) async fn twin(
        &self,
        candidates: &[MediaItem],
        findings: &Findings,
        sha256: Option<[u8; 32]>,
    ) -> Option<MediaItem> {
        for stored in candidates {
            let known = self.read(|catalogue| {
                let item = catalogue.item(stored.id)?.clone();
                Some((item, catalogue.findings(stored.id)))
            });
            let Some((item, before)) = known else {
                continue;
            };
            let before = before.map(|before| before.stamp);
            let there = tokio::fs::metadata(&item.path).await;
            let is_gone = matches!(&there, Err(error) if error.kind() == ErrorKind::NotFound);
            let now = there.as_ref().ok().map(Stamp::from);
            let is_as_it_was = now.is_some() && now == before;
            let known = match item.sha256 {
                Some(known) if is_gone || is_as_it_was => Some(known),
                // Moved within its disk, a file stays what it was.
                None if is_gone && before == Some(findings.stamp) => sha256,
                _ if is_gone => None,
                _ => self.digest(&item.path).await.ok(),
            };
            let is_new = item.sha256.is_none() && (is_gone || is_as_it_was);
            if known.is_some() && is_new {
                self.write(|catalogue| {
                    catalogue.change(item.id, |item| item.sha256 = known);
                });
                self.work.notify_one();
            }
            if known.is_some() && known == sha256 {
                return Some(MediaItem {
                    sha256: known,
                    ..item
                });
            }
        }
        None
    }

    /// An item whose content was found in another file: where its own is gone, that is its file from now on.
    pub(super) async fn found_again(
        &self,
        item: MediaItem,
        path: PathBuf,
        findings: &Findings,
    ) -> Result<MediaItem, OpError> {
        if tokio::fs::try_exists(&item.path).await.unwrap_or(true) {
            return Ok(item);
        }
        // Else it would be taken for another file the next time it is looked at.
        self.write(|catalogue| catalogue.examined(item.id, findings.clone()));
        self.keep(item.id, findings).await;
        self.moved(&item, path);
        let moved = self.read(|catalogue| catalogue.item(item.id).cloned());
        moved.ok_or(OpError::NotFound("media"))
    }

    /// Makes the first of `files` that has the content of an item, and is no item's own, its file; its own is gone.
    /// Answers whether there is one.
    pub(super) async fn replaced_by_copy(&self, item: &MediaItem, files: Vec<PathBuf>) -> bool {
        // Where a copy was taken, the digests of both were.
        if item.sha256.is_none() {
            return false;
        }
        for file in files {
            let _turn = self.sizes.turn(item.client_id, item.size).await;
            let is_another =
                self.read(|catalogue| catalogue.by_path(item.client_id, &file).is_some());
            if is_another || self.digest(&file).await.ok() != item.sha256 {
                continue;
            }
            let Some(_permit) = self.permit().await else {
                return false;
            };
            let Ok((findings, _)) = self.examine(&file, item.client_id).await else {
                continue;
            };
            let known = item.clone();
            if self.found_again(known, file, &findings).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// The file of an item is now at `path`.
    pub(super) fn moved(&self, item: &MediaItem, path: PathBuf) {
        self.write(|catalogue| catalogue.relocate(item.id, path));
        self.tell(LibraryFact::Changed { media: item.id });
        self.work.notify_one();
    }

    /// The file of an item is not where it was; or is again.
    pub(super) fn missing(&self, item: &MediaItem, since: Option<Timestamp>) {
        self.write(|catalogue| catalogue.change(item.id, |item| item.missing_since = since));
        self.work.notify_one();
    }
}
