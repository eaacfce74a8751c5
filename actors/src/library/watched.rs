//! Watched folders: what comes is imported when it has stopped growing, what is moved stays its item, what is deleted
//! is noted.
//!
//! The kernel tells when something happens (`inotify`); a look now and then finds what it did not tell. A folder that is
//! gone, or has none of its files and is another folder than it was (a disk that is not mounted), has lost nothing:
//! it is told, and waited for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use notify::event::{AccessKind, AccessMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use playout_domain::Details;
use playout_domain::ids::WatchedFolderId;
use playout_domain::violation::Violations;
use playout_domain::watch::{Effect, Sight, Watch};
use playout_store::{Principal, Scopes, StoreError, WatchedFolder};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::files::Stamp;
use super::import::{Arrived, Hash, Taken};
use super::sidecars::Sidecar;
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
    /// Whether it was looked at.
    looked: bool,
    /// Why it cannot be seen; nothing: it can.
    missing: Option<String>,
    /// Why not all of it was seen, so that nothing counts as deleted; nothing: all of it was.
    incomplete: Option<String>,
    files: usize,
    waits: bool,
    /// When the last look at it was over.
    looked_at: Option<Timestamp>,
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
        /// Files beside these.
        sidecars: Vec<(Sidecar, Stamp)>,
        /// Why there may be more: a sentence.
        incomplete: Option<String>,
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

    /// The watched folders that `who` may know of, oldest first: those behind `after`, `limit` at most.
    pub fn all_watched(
        &self,
        who: &Principal,
        after: Option<WatchedFolderId>,
        limit: usize,
    ) -> Vec<WatchedView> {
        let watchers = self.inner.watchers.lock();
        let seen = watchers.values().filter(|watched| {
            who.sees(watched.folder.client_id) && Some(watched.folder.id) > after
        });
        let mut views: Vec<_> = seen.map(Watched::view).collect();
        views.sort_by_key(|view| view.folder.id);
        views.truncate(limit);
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
        let data = json!({ "id": id, "path": folder.path.to_string_lossy() });
        self.inner
            .publish(kind::FOLDER_REMOVED, folder.client_id, data);
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
            "reason": told.missing.as_ref().or(told.incomplete.as_ref()),
            "files": told.files,
            "settling": told.waits,
            "lookedAt": told.looked_at,
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
                scopes: Scopes::CLIENT,
                token: None,
                name: "watched folder".to_owned(),
                attempt: None,
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
        // What was read of them before is read once more: it costs little, and may have changed meanwhile.
        let mut beside = Watch::new(settle, []);
        let (happened, mut happens) = mpsc::channel(1);
        let mut kernel: Option<RecommendedWatcher> = None;
        loop {
            let (path, roots, own) = (
                self.folder.path.clone(),
                self.inner.roots.of(self.who.client),
                self.inner.files.dir(),
            );
            if kernel.is_none() {
                let (path, happened) = (path.clone(), happened.clone());
                let listening = spawn_blocking(move || listen(&path, happened)).await;
                kernel = listening.unwrap_or_default();
            }
            match spawn_blocking(move || look(&path, &roots, &own)).await {
                Ok(Look::Files {
                    identity,
                    files,
                    sidecars,
                    incomplete,
                }) => {
                    let sight = match incomplete {
                        None => Sight::Complete,
                        Some(_) => Sight::Partial,
                    };
                    self.lock().incomplete = incomplete;
                    let taken = self.seen(&mut watch, identity, files, sight).await;
                    self.seen_beside(&mut beside, sidecars, &taken, sight).await;
                }
                Ok(Look::Gone(reason)) => {
                    kernel = None;
                    self.missing(Some(reason));
                }
                Err(error) => tracing::warn!(%error, "a look at a watched folder failed"),
            }
            let waits = watch.waits() || beside.waits();
            {
                let mut told = self.lock();
                (told.files, told.waits) = (watch.taken(), waits);
                told.looked_at = Some(Timestamp::now());
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
        sight: Sight,
    ) -> HashSet<PathBuf> {
        let mut taken = HashSet::new();
        // An empty place where a disk was is another folder than that disk.
        let known = self.folder.identity;
        let is_another = known.is_some_and(|known| known != identity);
        if watch.vanished(&files) && is_another {
            self.missing(Some("None of its files is there, and it is another folder than it was: its disk may not be mounted.".to_owned()));
            return taken;
        }
        self.missing(None);
        if known.is_none() || (is_another && !files.is_empty()) {
            self.folder.identity = Some(identity);
            if let Err(error) = self.inner.store.watched_is(self.folder.id, identity).await {
                tracing::debug!(%error, "what a watched folder is, is not written");
                self.folder.identity = known;
            }
        }
        for effect in watch.looked(self.began.elapsed(), files.clone(), sight) {
            match effect {
                Effect::Take(path) => match self.take(&path).await {
                    Ok(()) => drop(taken.insert(path)),
                    Err(error) => {
                        tracing::info!(file = %path.display(), %error, "a file is tried again");
                        watch.again(&path, self.began.elapsed());
                    }
                },
                Effect::Lost(path) => self.lost(&path, &files).await,
            }
        }
        taken
    }

    /// Takes in what lies beside the files: what has stopped growing, and what was there before a film that was `taken` now.
    async fn seen_beside(
        &self,
        watch: &mut Watch<Stamp>,
        sidecars: Vec<(Sidecar, Stamp)>,
        taken: &HashSet<PathBuf>,
        sight: Sight,
    ) {
        // One file may lie beside several; it is one to be watched.
        let stamps: BTreeMap<&PathBuf, Stamp> = sidecars
            .iter()
            .map(|(sidecar, stamp)| (&sidecar.file, *stamp))
            .collect();
        let stamps = stamps
            .into_iter()
            .map(|(file, stamp)| (file.clone(), stamp));
        let mut settled = HashSet::new();
        for effect in watch.looked(self.began.elapsed(), stamps.collect(), sight) {
            match effect {
                Effect::Take(file) => drop(settled.insert(file)),
                Effect::Lost(file) => drop(self.lock().refused.remove(&file)),
            }
        }
        for (sidecar, _) in &sidecars {
            if !settled.contains(&sidecar.file) && !taken.contains(&sidecar.film) {
                continue;
            }
            match self.inner.take_sidecar(&self.who, sidecar).await {
                Ok(refused) => {
                    let reason = refused.map(|refused| refused.reason);
                    self.refused(&sidecar.file, reason);
                }
                Err(error) => {
                    tracing::info!(file = %sidecar.file.display(), %error, "a file is tried again");
                    watch.again(&sidecar.file, self.began.elapsed());
                }
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
                    arrival: None,
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
        self.refused(path, refused);
        Ok(())
    }

    /// Notes and tells why a file is refused; nothing: it is not.
    fn refused(&self, path: &Path, reason: Option<String>) {
        let mut told = self.lock();
        match reason {
            None => drop(told.refused.remove(path)),
            Some(reason) => {
                if told.refused.len() < MOST_REFUSED {
                    told.refused.insert(path.to_owned(), reason.clone());
                }
                drop(told);
                let data = json!({ "path": path.to_string_lossy(), "reason": reason });
                let client = self.who.client;
                self.inner.publish(kind::MEDIA_REFUSED, client, data);
            }
        }
    }

    /// A file is gone; it was not moved, or its item would have another. A copy of it among the files that are `there`
    /// takes its place.
    async fn lost(&self, path: &Path, there: &[(PathBuf, Stamp)]) {
        self.lock().refused.remove(path);
        let item = self.inner.read(|catalogue| {
            let known = catalogue.by_path(self.who.client, path)?;
            Some(known.item.clone())
        });
        if let Some(item) = item {
            let same_size = there.iter().filter(|(_, stamp)| stamp.size() == item.size);
            let same_size: Vec<_> = same_size.map(|(file, _)| file.clone()).collect();
            if self.inner.replaced_by_copy(&item, same_size).await {
                tracing::info!(media = %item.id, file = %path.display(), "the file of an item is gone; a copy takes its place");
                return;
            }
            if *self.inner.closing.borrow() {
                // Nothing was looked into: the next start misses it, or finds a copy.
                return;
            }
            tracing::warn!(media = %item.id, file = %path.display(), "the file of an item is gone");
            self.inner.missing(&item, Some(Timestamp::now()));
            let data =
                json!({ "id": item.id, "title": item.title, "path": path.to_string_lossy() });
            self.inner
                .publish(kind::MEDIA_MISSING, item.client_id, data);
        }
    }

    /// Notes whether the folder can be seen, and tells it when that changes, and at the first look: what was told before
    /// a restart may be over.
    fn missing(&self, reason: Option<String>) {
        let changed = {
            let mut told = self.lock();
            let changed = told.missing.is_some() != reason.is_some();
            let changed = !std::mem::replace(&mut told.looked, true) || changed;
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

/// Has the kernel tell what happens in a folder; nothing where it does not: then it is looked at now and then. What
/// links lead to is looked at now and then, too: it may be anywhere. Blocks.
fn listen(path: &Path, happened: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let tell = move |told: notify::Result<Event>| {
        if is_change(&told) {
            // One is enough.
            let _ = happened.try_send(());
        }
    };
    let config = Config::default().with_follow_symlinks(false);
    let mut watcher = RecommendedWatcher::new(tell, config).ok()?;
    match watcher.watch(path, RecursiveMode::Recursive) {
        Ok(()) => Some(watcher),
        Err(error) => {
            tracing::debug!(folder = %path.display(), %error, "a watched folder is looked at now and then");
            None
        }
    }
}

/// Whether what the kernel tells is reason to look: reading is none, or each look would be reason for the next. Where
/// it has failed or told too little, there is.
fn is_change(told: &notify::Result<Event>) -> bool {
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    told.as_ref().map_or(true, |event| {
        event.need_rescan() || event.kind == written || !event.kind.is_access()
    })
}

/// Looks at a folder. Blocks.
fn look(path: &Path, roots: &Roots, own: &Path) -> Look {
    let identity = match fs::metadata(path) {
        Ok(folder) => (folder.dev(), folder.ino()),
        Err(error) => return Look::Gone(format!("The folder cannot be seen: {error}.")),
    };
    match walk::find(path, roots, own) {
        Ok(found) => {
            let (mut files, mut incomplete) = (Vec::new(), found.incomplete);
            for file in found.files {
                match fs::metadata(&file) {
                    Ok(state) => files.push((file, Stamp::from(&state))),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => {
                        let reason = || format!("{} cannot be seen: {error}.", file.display());
                        incomplete.get_or_insert_with(reason);
                    }
                }
            }
            let sidecars = found.sidecars.into_iter().filter_map(|sidecar| {
                let state = fs::metadata(&sidecar.file).ok()?;
                Some((sidecar, Stamp::from(&state)))
            });
            Look::Files {
                identity,
                files,
                sidecars: sidecars.collect(),
                incomplete,
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
    walk::find(path, roots, own)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    #[test]
    fn looking_at_a_folder_is_no_reason_to_look_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deeper")).unwrap();
        fs::write(at("deeper/a.mp4"), "film").unwrap();
        let (told, events) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(told).unwrap();
        watcher
            .watch(folder.path(), RecursiveMode::Recursive)
            .unwrap();
        let nobodys = Path::new("/nowhere");
        let Look::Files { files, .. } = look(folder.path(), &Roots::default(), nobodys) else {
            panic!("it is there");
        };
        assert_eq!(files.len(), 1);
        let mut film = String::new();
        let mut file = fs::File::open(at("deeper/a.mp4")).unwrap();
        file.read_to_string(&mut film).unwrap();
        drop(file);
        // The kernel tells what happened one after the other.
        fs::write(at("b.mp4"), "another").unwrap();
        let names_b = |event: &notify::Result<Event>| {
            let event = event.as_ref().unwrap();
            event.paths.iter().any(|path| path.ends_with("b.mp4"))
        };
        let (mut before, mut written) = (0, false);
        while !written {
            let event = events.recv_timeout(Duration::from_secs(30)).unwrap();
            if names_b(&event) {
                let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
                written = event.as_ref().unwrap().kind == close;
                assert!(!written || is_change(&event));
            } else {
                before += 1;
                assert!(!is_change(&event), "{event:?}");
            }
        }
        assert!(before > 0, "a look is told");
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert!(is_change(&Ok(overflow)));
        assert!(is_change(&Err(notify::Error::generic("lost"))));
    }
}
