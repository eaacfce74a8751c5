//! Watched folders: what comes is imported when it has stopped growing, what is moved stays its item, what is deleted
//! is noted.
//!
//! The kernel tells when something happens (`inotify`); a look now and then finds what it did not tell. A folder that is
//! gone, or has none of its files and is another folder than it was (a disk that is not mounted), has lost nothing:
//! it is told, and waited for.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use playout_domain::Details;
use playout_domain::ids::WatchedFolderId;
use playout_domain::violation::Violations;
use playout_domain::watch::{Effect, Watch};
use playout_store::{Principal, Scope, StoreError, WatchedFolder};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::files::Stamp;
use super::import::{Arrived, Hash, Taken};
use super::{Inner, Library, walk};
use crate::error::OpError;
use crate::hub::kind;
use crate::process::Roots;

/// How often a folder is looked at of which nothing is told.
const RESCAN: Duration = Duration::from_secs(30);
/// What happens within so long is one look.
const QUIET: Duration = Duration::from_millis(500);
/// Refusals that are told of a folder.
const MOST_REFUSED: usize = 100;

/// The folders that are watched.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<HashMap<WatchedFolderId, Watched>>);

#[derive(Debug)]
struct Watched {
    folder: WatchedFolder,
    told: Arc<Mutex<Told>>,
    job: AbortHandle,
}

/// What is told of a folder.
#[derive(Debug, Default)]
struct Told {
    /// Why it cannot be seen; nothing: it can.
    missing: Option<String>,
    files: usize,
    waits: bool,
    refused: BTreeMap<PathBuf, String>,
}

/// A watched folder as the API answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchedView {
    /// The folder.
    pub folder: WatchedFolder,
    json: Value,
}

impl WatchedView {
    /// See there.
    pub fn to_json(&self) -> Value {
        self.json.clone()
    }
}

/// What a look at a folder has found.
enum Look {
    Files {
        identity: (u64, u64),
        files: Vec<(PathBuf, Stamp)>,
    },
    Gone(String),
}

impl Library {
    /// Has a folder watched, with everything below it.
    ///
    /// # Errors
    /// There is no such folder, it may not be imported from, or is watched already.
    pub async fn watch(&self, who: &Principal, path: &Path) -> Result<WatchedView, OpError> {
        let inner = &self.inner;
        let (given, roots, own) = (
            path.to_owned(),
            inner.roots.of(who.client),
            inner.files.dir(),
        );
        let real = spawn_blocking(move || real_folder(&given, &roots, &own)).await;
        let real = real.map_err(OpError::internal)?;
        let path = real.map_err(|sentence| Violations::one("/path", sentence))?;
        let folder = WatchedFolder {
            id: WatchedFolderId::from(uuid::Uuid::now_v7()),
            client_id: who.client,
            path,
            identity: None,
            created_at: Timestamp::now(),
        };
        inner.store.insert_watched(who, &folder).await?;
        inner.begin_watch(folder.clone());
        self.watched(who, folder.id)
    }

    /// A watched folder.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub fn watched(&self, who: &Principal, id: WatchedFolderId) -> Result<WatchedView, OpError> {
        let watchers = self.inner.watchers.lock();
        let watched = watchers
            .get(&id)
            .filter(|watched| who.sees(watched.folder.client_id));
        Ok(watched.ok_or(OpError::NotFound("watched folder"))?.view())
    }

    /// Every watched folder that `who` may know of, oldest first.
    pub fn all_watched(&self, who: &Principal) -> Vec<WatchedView> {
        let watchers = self.inner.watchers.lock();
        let seen = watchers
            .values()
            .filter(|watched| who.sees(watched.folder.client_id));
        let mut views: Vec<_> = seen.map(Watched::view).collect();
        views.sort_by_key(|view| view.folder.id);
        views
    }

    /// Has a folder watched no more. The items from it stay.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn unwatch(&self, who: &Principal, id: WatchedFolderId) -> Result<(), OpError> {
        let folder = self.watched(who, id)?.folder;
        match self.inner.store.delete_watched(who, &folder).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(watched) = self.inner.watchers.lock().remove(&id) {
            watched.job.abort();
        }
        Ok(())
    }
}

impl Watched {
    fn view(&self) -> WatchedView {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = told.refused.iter();
        let refused = refused
            .map(|(path, reason)| json!({ "path": path.to_string_lossy(), "reason": reason }));
        let json = json!({
            "id": self.folder.id,
            "clientId": self.folder.client_id,
            "path": self.folder.path.to_string_lossy(),
            "state": if told.missing.is_some() { "missing" } else { "watching" },
            "reason": told.missing,
            "files": told.files,
            "settling": told.waits,
            "refused": refused.collect::<Vec<_>>(),
            "createdAt": self.folder.created_at,
        });
        WatchedView {
            folder: self.folder.clone(),
            json,
        }
    }
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<WatchedFolderId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every watcher; the next start begins them again.
    pub(super) fn stop(&self) {
        for (_, watched) in self.lock().drain() {
            watched.job.abort();
        }
    }
}

impl Inner {
    /// Begins to watch a folder, unless it is watched.
    pub(super) fn begin_watch(self: &Arc<Self>, folder: WatchedFolder) {
        let mut watchers = self.watchers.lock();
        if watchers.contains_key(&folder.id) {
            return;
        }
        let told = Arc::new(Mutex::new(Told::default()));
        let watcher = FolderWatcher {
            inner: Arc::clone(self),
            folder: folder.clone(),
            told: Arc::clone(&told),
            who: Principal {
                client: folder.client_id,
                scope: Scope::Client,
                token: None,
                name: "watched folder".to_owned(),
            },
            began: Instant::now(),
        };
        let job = tokio::spawn(watcher.run()).abort_handle();
        watchers.insert(folder.id, Watched { folder, told, job });
    }
}

/// Watches one folder.
struct FolderWatcher {
    inner: Arc<Inner>,
    folder: WatchedFolder,
    told: Arc<Mutex<Told>>,
    /// For whom files are imported.
    who: Principal,
    began: Instant,
}

impl FolderWatcher {
    async fn run(mut self) {
        let settle = self.inner.intake.settle;
        let mut watch = Watch::new(settle, self.taken_before());
        let (happened, mut happens) = mpsc::channel(1);
        let mut kernel: Option<RecommendedWatcher> = None;
        loop {
            let (path, roots) = (
                self.folder.path.clone(),
                self.inner.roots.of(self.who.client),
            );
            if kernel.is_none() {
                kernel = listen(&path, happened.clone());
            }
            match spawn_blocking(move || look(&path, &roots)).await {
                Ok(Look::Files { identity, files }) => self.seen(&mut watch, identity, files).await,
                Ok(Look::Gone(reason)) => {
                    kernel = None;
                    self.missing(Some(reason));
                }
                Err(error) => tracing::warn!(%error, "a look at a watched folder failed"),
            }
            let waits = watch.waits();
            {
                let mut told = self.lock();
                (told.files, told.waits) = (watch.taken(), waits);
            }
            let next = if waits { settle.min(RESCAN) } else { RESCAN };
            if let Ok(Some(())) = timeout(next, happens.recv()).await {
                sleep(QUIET).await;
                while happens.try_recv().is_ok() {}
            }
        }
    }

    /// The items whose files are in the folder, as they were when they were looked into.
    fn taken_before(&self) -> Vec<(PathBuf, Stamp)> {
        self.inner.read(|catalogue| {
            let items = catalogue.within(self.folder.client_id, &self.folder.path);
            let there = items
                .into_iter()
                .filter(|item| item.missing_since.is_none());
            let known = there.filter_map(|item| {
                let stamp = catalogue.findings(item.id)?.stamp;
                Some((item.path, stamp))
            });
            known.collect()
        })
    }

    async fn seen(
        &mut self,
        watch: &mut Watch<Stamp>,
        identity: (u64, u64),
        files: Vec<(PathBuf, Stamp)>,
    ) {
        // An empty place where a disk was is another folder than that disk.
        if watch.vanished(&files) && self.folder.identity != Some(identity) {
            return self.missing(Some("None of its files is there, and it is another folder than it was: its disk may not be mounted.".to_owned()));
        }
        self.missing(None);
        if self.folder.identity != Some(identity) && !files.is_empty() {
            self.folder.identity = Some(identity);
            if let Err(error) = self.inner.store.watched_is(self.folder.id, identity).await {
                tracing::debug!(%error, "what a watched folder is, is not written");
                self.folder.identity = None;
            }
        }
        for effect in watch.looked(self.began.elapsed(), files) {
            match effect {
                Effect::Take(path) => {
                    if let Err(error) = self.take(&path).await {
                        tracing::info!(file = %path.display(), %error, "a file is tried again");
                        watch.again(&path, self.began.elapsed());
                    }
                }
                Effect::Lost(path) => self.lost(&path),
            }
        }
    }

    async fn take(&self, path: &Path) -> Result<(), OpError> {
        let inner = &self.inner;
        let Some(_permit) = inner.permit().await else {
            return Err(OpError::unavailable("the daemon is being ended"));
        };
        let taken = match inner.unchanged(&self.who, path).await {
            Some(item) => Ok(Taken::Known(Box::new(item))),
            None => {
                let arrived = Arrived {
                    path: path.to_owned(),
                    said: Details::default(),
                    hash: Hash::Always,
                };
                inner.take(&self.who, arrived).await
            }
        };
        let refused = match taken {
            Ok(Taken::New(item) | Taken::Known(item)) => {
                if item.path == path && item.missing_since.is_some() {
                    inner.missing(&item, None);
                }
                None
            }
            Ok(Taken::Refused(file)) => Some(file.reason),
            Err(OpError::Limit(exceeded)) => Some(format!("{exceeded}.")),
            Err(error) => return Err(error),
        };
        let mut told = self.lock();
        match refused {
            None => drop(told.refused.remove(path)),
            Some(reason) => {
                if told.refused.len() < MOST_REFUSED {
                    told.refused.insert(path.to_owned(), reason.clone());
                }
                drop(told);
                let data = json!({ "path": path.to_string_lossy(), "reason": reason });
                inner.publish(kind::MEDIA_REFUSED, self.who.client, data);
            }
        }
        Ok(())
    }

    /// A file is gone; it was not moved, or its item would have another.
    fn lost(&self, path: &Path) {
        self.lock().refused.remove(path);
        let item = self.inner.read(|catalogue| {
            let known = catalogue.by_path(self.who.client, path)?;
            Some(known.item.clone())
        });
        if let Some(item) = item {
            tracing::warn!(media = %item.id, file = %path.display(), "the file of an item is gone");
            self.inner.missing(&item, Some(Timestamp::now()));
            let data =
                json!({ "id": item.id, "title": item.title, "path": path.to_string_lossy() });
            self.inner
                .publish(kind::MEDIA_MISSING, item.client_id, data);
        }
    }

    /// Notes whether the folder can be seen, and tells it when that changes.
    fn missing(&self, reason: Option<String>) {
        let changed = {
            let mut told = self.lock();
            let changed = told.missing.is_some() != reason.is_some();
            told.missing.clone_from(&reason);
            changed
        };
        if !changed {
            return;
        }
        let data = json!({ "id": self.folder.id, "path": self.folder.path.to_string_lossy(), "reason": reason });
        let kind = match &reason {
            Some(reason) => {
                tracing::warn!(folder = %self.folder.path.display(), reason, "a watched folder is gone; nothing is taken for deleted");
                kind::FOLDER_MISSING
            }
            None => kind::FOLDER_FOUND,
        };
        self.inner.publish(kind, self.folder.client_id, data);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the kernel tell what happens in a folder; nothing where it does not: then it is looked at now and then.
fn listen(path: &Path, happened: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let tell = move |_: notify::Result<notify::Event>| {
        // One is enough.
        let _ = happened.try_send(());
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    match watcher.watch(path, RecursiveMode::Recursive) {
        Ok(()) => Some(watcher),
        Err(error) => {
            tracing::debug!(folder = %path.display(), %error, "a watched folder is looked at now and then");
            None
        }
    }
}

/// Looks at a folder. Blocks.
fn look(path: &Path, roots: &Roots) -> Look {
    let identity = match fs::metadata(path) {
        Ok(folder) => (folder.dev(), folder.ino()),
        Err(error) => return Look::Gone(format!("The folder cannot be seen: {error}.")),
    };
    match walk::find(path, roots) {
        Ok(found) => {
            let stamped = found.files.into_iter().filter_map(|file| {
                let stamp = Stamp::from(&fs::metadata(&file).ok()?);
                Some((file, stamp))
            });
            Look::Files {
                identity,
                files: stamped.collect(),
            }
        }
        Err(sentence) => Look::Gone(sentence),
    }
}

/// The folder that `path` is, symbolic links resolved. Blocks.
///
/// # Errors
/// A sentence.
fn real_folder(path: &Path, roots: &Roots, own: &Path) -> Result<PathBuf, String> {
    // What may be imported may be watched.
    walk::find(path, roots)?;
    let shown = path.display();
    let real =
        fs::canonicalize(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if !real.is_dir() {
        return Err(format!("{shown} is no folder"));
    }
    let own = fs::canonicalize(own).unwrap_or_else(|_| own.to_owned());
    if own.starts_with(&real) || real.starts_with(&own) {
        return Err(format!(
            "{shown} has to do with the daemon's own folder, which is not watched"
        ));
    }
    Ok(real)
}
