//! The media library: what was imported, and what of it is prepared.
//!
//! Playout asks it at any moment, so everything it answers comes from memory; the store and the
//! disk follow. Originals are only ever read. Beside the state here there is
//! - [`import`](Library::import): files are found, examined by ffprobe, judged, accepted or refused
//!   with a sentence;
//! - the prepare queue, a child of the root: FFmpeg at the lowest priority, so many at a time.
//!
//! Invariants:
//! - L1: a prepared file is complete when its index is there; both appear by rename.
//! - L2: what is in memory as prepared is on disk, of the size that the index says.
//! - L3: nothing that fails here takes a channel off air: what is not prepared plays live.
//! - L4: every program that reads an original is started by the launcher, which looks again where the
//!   path leads: a file exchanged for a link to one outside the roots is not read. What is made of an item is made of
//!   what its client may name: its own roots, and what it has sent itself.

mod arrivals;
mod catalogue;
mod checksum;
mod collect;
mod describing;
mod examine;
mod fetch;
mod files;
mod font;
mod import;
mod job;
mod jobs;
mod known;
mod listening;
mod logos;
mod loudness;
mod meter;
mod orders;
mod queue;
mod roots;
mod sidecars;
mod subtitles;
mod survey;
mod take_up;
#[cfg(test)]
mod tests;
mod twins;
mod uploads;
mod view;
mod walk;
mod watched;

pub use checksum::Checksum;
pub use import::{ImportReport, RefusedFile};
pub use jobs::{JobCursor, JobView, QueueView};
pub use roots::ClientRoots;
pub use uploads::{Intake, UploadError, UploadView, UploadWriter};
pub use view::{MediaView, RenditionView};
pub use watched::WatchedView;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use playout_domain::details::Details;
use playout_domain::ids::{ChannelId, ClientId, MediaId};
use playout_domain::loudness::{Heard, Measured};
use playout_domain::media::Profile;
use playout_domain::prepare::Need;
use playout_domain::resources::Allowances;
use playout_media::index::GopIndex;
use playout_media::probe::Probed;
use playout_partners::download::Downloader;
use playout_store::{Principal, StorageUse, Store, StoreError};
use serde_json::json;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::error::OpError;
use crate::hub::{Event, Hub, kind};
use crate::process::Launcher;
use crate::supervise::ChildSpec;
use crate::tree;
use catalogue::Catalogue;
use files::{Files, Strays};

/// The folder in the library's own with the files that it was sent.
pub const OWN_FILES: &str = "library";
/// So long without any progress, and an FFmpeg that prepares is taken for hung.
const HUNG: Duration = Duration::from_secs(60);

/// How the library works.
#[derive(Debug, Clone)]
pub struct LibraryConfig {
    /// Where prepared files, thumbnails and findings are kept.
    pub dir: PathBuf,
    /// Items prepared at the same time; at least one.
    pub parallel_prepares: usize,
    /// What everything imported is prepared into, before a channel asks; nothing: only what
    /// channels ask for is prepared.
    pub default_profile: Option<Profile>,
    /// What no channel needs for so long is removed.
    pub collect_after: Duration,
    /// What its programs may use.
    pub allowances: Allowances,
    /// Where each client's media may lie.
    pub roots: ClientRoots,
    /// How files come in.
    pub intake: Intake,
    /// Who fetches what clients name by URL.
    pub downloader: Downloader,
    /// The file of the font that texts are drawn in.
    pub font: PathBuf,
}

/// A prepared item, ready to be read.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The file.
    pub path: PathBuf,
    /// What lies where in it.
    pub index: Arc<GopIndex>,
    /// How loud it has become; nothing where it has no sound.
    pub heard: Option<Heard>,
}

/// An item as it was imported, playable by live transcode.
#[derive(Debug, Clone)]
pub struct Original {
    /// The file.
    pub path: PathBuf,
    /// What was found in it.
    pub probed: Arc<Probed>,
    /// How loud it is, where that was measured.
    pub loudness: Vec<Measured>,
}

/// What channels need to know of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryFact {
    /// An item is prepared: its exact length is known, and it plays by copying.
    Prepared {
        /// The item.
        media: MediaId,
        /// The profile.
        profile: Box<Profile>,
    },
    /// An item is gone.
    Removed {
        /// The item.
        media: MediaId,
    },
    /// An item has become another: its file was changed and imported again.
    Changed {
        /// The item.
        media: MediaId,
    },
}

/// The room on the disk, as far as preparing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Nothing is prepared.
    pub paused: bool,
    /// Bytes that what is prepared may take. What would take more waits, and lets others go first.
    pub spare: u64,
}

impl Room {
    /// There is room for everything.
    pub const UNLIMITED: Self = Self {
        paused: false,
        spare: u64::MAX,
    };
}

/// Answers who uses an item, for the sentence that says why it cannot be deleted.
type InUse = Box<dyn Fn(MediaId) -> Option<String> + Send + Sync>;

/// The media library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Arc<Hub>,
    launcher: Launcher,
    files: Files,
    parallel_prepares: usize,
    default_profile: Option<Profile>,
    font: font::FontFile,
    allowances: Allowances,
    roots: ClientRoots,
    intake: Intake,
    /// Who writes to which upload.
    desks: uploads::Desks,
    downloader: Downloader,
    /// Imports by URL that run.
    fetches: fetch::Fetches,
    /// Folders that are watched.
    watchers: watched::Watchers,
    /// Turns of files of one size, so that of two alike one is new.
    sizes: twins::Sizes,
    /// Turns of edits.
    editing: tokio::sync::Mutex<()>,
    /// What the database had of subtitles when all of them were read.
    subtitles_mark: std::sync::Mutex<Option<(u64, Option<jiff::Timestamp>)>>,
    /// Turns of orders to the queue.
    ordering: tokio::sync::Mutex<()>,
    /// Turns of whoever removes what nobody needs.
    collecting: tokio::sync::Mutex<()>,
    collect_after: Duration,
    /// Whether somebody has paused the queue.
    paused: watch::Sender<bool>,
    catalogue: RwLock<Catalogue>,
    /// The room on the disk.
    room: watch::Sender<Room>,
    /// Told when there is something to prepare, or to write to the store.
    work: Notify,
    /// Files examined at the same time.
    parallel_examinations: usize,
    examinations: Semaphore,
    facts: mpsc::UnboundedSender<LibraryFact>,
    in_use: RwLock<InUse>,
    /// True when the daemon ends: nothing new is begun, examinations are broken off.
    closing: watch::Sender<bool>,
    /// So long without any progress, and an FFmpeg that prepares is taken for hung.
    hung: Duration,
}

impl Library {
    /// Reads the library from the store, forgets what is not on disk as it should be, and removes
    /// what a crash has left there. Nothing is prepared before [`Library::child`] runs. Media may be
    /// imported from the launcher's [`Roots`](crate::process::Roots).
    ///
    /// # Errors
    /// The store or the disk does not answer.
    pub async fn start(
        config: LibraryConfig,
        store: Store,
        hub: Arc<Hub>,
        launcher: Launcher,
    ) -> Result<(Self, mpsc::UnboundedReceiver<LibraryFact>), OpError> {
        Self::open(config, store, hub, launcher, HUNG).await
    }

    async fn open(
        config: LibraryConfig,
        store: Store,
        hub: Arc<Hub>,
        launcher: Launcher,
        hung: Duration,
    ) -> Result<(Self, mpsc::UnboundedReceiver<LibraryFact>), OpError> {
        let files = Files::open(config.dir).map_err(|error| {
            OpError::unavailable(format!("the folder of the library cannot be used: {error}"))
        })?;
        let (items, renditions) = tokio::try_join!(store.all_media(), store.all_renditions())?;
        let known = files.clone();
        // A copy may know less than there is: nothing is removed for its sake.
        let strays = match store.is_taken_up() {
            true => Strays::Remove,
            false => Strays::Keep,
        };
        let loaded = tokio::task::spawn_blocking(move || known.load(items, renditions, strays));
        let mut catalogue = loaded.await.map_err(OpError::internal)?;
        catalogue.resume(config.default_profile.as_ref());
        let (facts, receiver) = mpsc::unbounded_channel();
        // One for each processor, and one that waits for its disk.
        let parallel_examinations = std::thread::available_parallelism().map_or(1, usize::from) + 1;
        let inner = Inner {
            store,
            hub,
            launcher,
            files,
            parallel_prepares: config.parallel_prepares.max(1),
            default_profile: config.default_profile,
            font: font::FontFile::open(config.font).await,
            allowances: config.allowances,
            roots: config.roots,
            intake: config.intake,
            desks: uploads::Desks::default(),
            downloader: config.downloader,
            fetches: fetch::Fetches::default(),
            watchers: watched::Watchers::default(),
            sizes: twins::Sizes::default(),
            editing: tokio::sync::Mutex::default(),
            subtitles_mark: std::sync::Mutex::default(),
            ordering: tokio::sync::Mutex::default(),
            collecting: tokio::sync::Mutex::default(),
            collect_after: config.collect_after,
            paused: watch::Sender::new(false),
            catalogue: RwLock::new(catalogue),
            room: watch::Sender::new(Room::UNLIMITED),
            work: Notify::new(),
            parallel_examinations,
            examinations: Semaphore::new(parallel_examinations),
            facts,
            in_use: RwLock::new(Box::new(|_| None)),
            closing: watch::Sender::new(false),
            hung,
        };
        let inner = Arc::new(inner);
        inner.follow_subtitles(strays, true).await?;
        match inner.recall().await {
            // Until it is there nobody is heard.
            Err(StoreError::Unavailable(_)) if !inner.store.is_taken_up() => {}
            other => other?,
        }
        Ok((Self { inner }, receiver))
    }

    /// The prepare queue, to be run by the root.
    pub fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::LIBRARY.task(move |stopping| queue::run(Arc::clone(&inner), stopping))
    }

    /// What is on its way in, to be run by the root.
    pub fn arrivals(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::ARRIVALS.task(move |stopping| arrivals::run(Arc::clone(&inner), stopping))
    }

    /// How files come in.
    pub fn intake(&self) -> &Intake {
        &self.inner.intake
    }

    /// How much storage a client uses.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn storage(&self, who: &Principal) -> Result<StorageUse, OpError> {
        Ok(self.inner.store.storage(who.client).await?)
    }

    /// Tells how much room there is on the disk. Where there is none, what is being prepared is stopped, leaves
    /// nothing behind, and is begun anew when there is. Never waits.
    pub fn set_room(&self, room: Room) {
        self.inner.room.send_if_modified(|known| {
            let changed = *known != room;
            *known = room;
            changed
        });
    }

    /// Imports a file, or a folder with everything in it. A caller that goes away does not end it.
    ///
    /// # Errors
    /// There is no such path, or it may not be imported; a limit of the plan; the store is away.
    /// Files that are refused are no error: they are in the report.
    pub async fn import(
        &self,
        who: &Principal,
        path: &std::path::Path,
    ) -> Result<ImportReport, OpError> {
        let (inner, who, path) = (Arc::clone(&self.inner), who.clone(), path.to_owned());
        let import = tokio::spawn(async move { inner.import(&who, &path).await });
        import.await.map_err(OpError::internal)?
    }

    /// An item.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn get(&self, who: &Principal, id: MediaId) -> Result<MediaView, OpError> {
        self.seen(who, id)
    }

    /// Items in the order of their ids, those after `after`, `limit` at most.
    ///
    /// # Errors
    /// None at present.
    pub async fn list(
        &self,
        who: &Principal,
        after: Option<MediaId>,
        limit: usize,
    ) -> Result<Vec<MediaView>, OpError> {
        let room = *self.inner.room.borrow();
        Ok(self
            .inner
            .read(|catalogue| catalogue.list(after, limit, room, |client| who.sees(client))))
    }

    /// Takes an item out of the library. The original stays where it is; what was prepared goes.
    ///
    /// # Errors
    /// There is none, or it is another client's; a channel plays it.
    pub async fn delete(
        &self,
        who: &Principal,
        id: MediaId,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        self.seen(who, id)?;
        let user = self
            .inner
            .in_use
            .read()
            .unwrap_or_else(PoisonError::into_inner)(id);
        if let Some(user) = user {
            let message =
                format!("the channel {user:?} plays it; take it out of the channel first");
            return Err(OpError::Conflict {
                state: "in use".into(),
                message,
            });
        }
        self.inner.delete(who, id, version).await
    }

    /// A picture of an item, as JPEG.
    ///
    /// # Errors
    /// There is no such item, or no picture can be made of it.
    pub async fn thumbnail(&self, who: &Principal, id: MediaId) -> Result<Bytes, OpError> {
        self.seen(who, id)?;
        self.inner
            .thumbnail(id)
            .await
            .ok_or(OpError::NotFound("thumbnail"))
    }

    /// An item as it is prepared into a profile; nothing while it is not. Never waits.
    pub fn prepared(&self, media: MediaId, profile: &Profile) -> Option<Prepared> {
        self.inner
            .read(|catalogue| catalogue.prepared(media, profile))
    }

    /// An item as it was imported, if it can be played. Never waits.
    pub fn original(&self, media: MediaId) -> Option<Original> {
        self.inner.read(|catalogue| catalogue.original(media))
    }

    /// How many frames an item has in a profile: exactly, once it is prepared; before, about as
    /// many as its length says. Nothing when it cannot be played or its length is unknown. Never
    /// waits.
    pub fn frames(&self, media: MediaId, profile: &Profile) -> Option<u64> {
        self.inner
            .read(|catalogue| catalogue.frames(media, profile))
    }

    /// Has an item prepared into a profile. Asking again
    /// changes nothing; what has failed is tried again after a while. Never waits.
    pub fn want(&self, media: MediaId, profile: &Profile) {
        self.inner.want(media, profile);
    }

    /// Has everything prepared that a channel needs in a profile, what it shows soonest first. What it needed before and
    /// does not name now it needs no more. Never waits.
    pub fn need(&self, channel: ChannelId, profile: &Profile, needs: &BTreeMap<MediaId, Need>) {
        if self
            .inner
            .write(|catalogue| catalogue.need(channel, profile, needs))
        {
            self.inner.work.notify_one();
        }
    }

    /// Whether a plan may hold an item. Never waits.
    pub fn is_playable(&self, media: MediaId) -> bool {
        self.inner.read(|catalogue| {
            catalogue
                .item(media)
                .is_some_and(|item| item.status.is_playable())
        })
    }

    /// Whose an item is; nothing when there is none. Never waits.
    pub fn owner(&self, media: MediaId) -> Option<ClientId> {
        self.inner
            .read(|catalogue| catalogue.item(media).map(|item| item.client_id))
    }

    /// What an item is called. Never waits.
    pub fn title(&self, media: MediaId) -> Option<String> {
        self.inner
            .read(|catalogue| catalogue.item(media).map(|item| item.title.clone()))
    }

    /// What is said about an item. Never waits.
    pub(crate) fn about(&self, media: MediaId) -> Option<Details> {
        self.inner.read(|catalogue| {
            let item = catalogue.item(media)?;
            Some(Details {
                title: Some(item.title.clone()),
                ..item.details.clone()
            })
        })
    }

    /// The series that an item belongs to. Never waits.
    pub(crate) fn series(&self, media: MediaId) -> Option<String> {
        self.inner
            .read(|catalogue| catalogue.item(media)?.details.series.clone())
    }

    /// Sets who is asked whether an item is in use: answers the name of the channel that plays it.
    pub fn set_in_use(&self, in_use: impl Fn(MediaId) -> Option<String> + Send + Sync + 'static) {
        *self
            .inner
            .in_use
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Box::new(in_use);
    }

    fn seen(&self, who: &Principal, id: MediaId) -> Result<MediaView, OpError> {
        let room = *self.inner.room.borrow();
        let view = self.inner.read(|catalogue| catalogue.view(id, room));
        view.filter(|view| who.sees(view.item.client_id))
            .ok_or(OpError::NotFound("media"))
    }
}

impl Inner {
    fn read<T>(&self, look: impl FnOnce(&Catalogue) -> T) -> T {
        look(
            &self
                .catalogue
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn write<T>(&self, change: impl FnOnce(&mut Catalogue) -> T) -> T {
        change(
            &mut self
                .catalogue
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn want(&self, media: MediaId, profile: &Profile) {
        if self.write(|catalogue| catalogue.want(media, profile)) {
            self.work.notify_one();
        }
    }

    fn tell(&self, fact: LibraryFact) {
        // Nobody listens once the channels are gone.
        let _ = self.facts.send(fact);
    }

    fn publish(&self, kind: &'static str, client: ClientId, data: serde_json::Value) {
        self.hub.publish(Event {
            kind,
            client: Some(client),
            channel: None,
            data,
        });
    }

    async fn delete(
        &self,
        who: &Principal,
        id: MediaId,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        match self.store.delete_media(who, id, version).await {
            Err(StoreError::NotFound) => return Err(OpError::NotFound("media")),
            other => other?,
        }
        let Some(removed) = self.write(|catalogue| catalogue.remove(id)) else {
            return Ok(());
        };
        self.tell(LibraryFact::Removed { media: id });
        self.publish(
            kind::MEDIA_DELETED,
            removed.item.client_id,
            json!({ "id": id, "title": removed.item.title }),
        );
        let files = self.files.clone();
        // What cannot be removed now is a stray at the next start.
        let (client, path) = (removed.item.client_id, removed.item.path);
        let subtitles: Vec<_> = removed.subtitles.into_values().collect();
        let removed = move || {
            files.remove(id);
            files.remove_subtitles(&subtitles);
            files.remove_own(client, &path);
        };
        let _ = tokio::task::spawn_blocking(removed).await;
        Ok(())
    }
}
