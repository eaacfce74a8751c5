//! The library with real FFmpeg, a real store and real files.
#![allow(clippy::unwrap_used)]

mod coming_in;
mod damage;
mod importing;
mod loudness;
mod ordering;
mod pausing;
mod preparing;
mod queueing;
mod restarting;
mod taking_up;
mod uploading;
mod watching;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use playout_domain::LowerRungs;
use playout_domain::ids::MediaId;
use playout_domain::limits::PlanLimits;
use playout_domain::media::{DEFAULT_AUDIO_BITRATE, MediaItem, MediaStatus, Profile};
use playout_domain::prepare::JobState;
use playout_domain::resolution::Resolution;
use playout_domain::units::{BitsPerSecond, FrameRate};
use playout_partners::TrustRoots;
use playout_partners::address::Reach;
use playout_store::testing::{self, TestStore};
use playout_store::{Principal, Rendition};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::files::Stamp;
use super::known::Findings;
use super::*;
use crate::hub::{Filter, Published, Subscription};
use crate::process::{Roots, Tools};
use crate::supervise::Supervisor;
use crate::tree::ROOT_POLICY;

/// Longest wait for anything; shorter than what the library itself waits for a hung FFmpeg.
const PATIENCE: Duration = Duration::from_secs(45);

const PROFILE: Profile = Profile {
    resolution: Resolution::P240,
    frame_rate: FrameRate::F25,
    video_bitrate: BitsPerSecond(300_000),
    audio_bitrate: DEFAULT_AUDIO_BITRATE,
    lower: LowerRungs::NONE,
    treatment: playout_domain::Treatment::PLAIN,
};

impl Library {
    /// Puts an item in that was prepared elsewhere, past store and queue.
    pub(crate) fn shelve(
        &self,
        item: MediaItem,
        probed: Option<Probed>,
        rendition: &Rendition,
        prepared: Prepared,
    ) {
        self.put_in(item, probed);
        self.shelve_rendition(rendition, prepared);
    }

    /// Puts an item in whose original is at its path, and of which nothing is prepared yet.
    pub(crate) fn shelve_original(&self, item: MediaItem, probed: Probed) {
        self.put_in(item, Some(probed));
    }

    fn put_in(&self, item: MediaItem, probed: Option<Probed>) {
        let findings = probed.map(|probed| Findings {
            probed: Arc::new(probed),
            stamp: Stamp::from(&std::fs::metadata(&item.path).unwrap()),
        });
        self.inner
            .write(|catalogue| catalogue.insert(item, findings));
    }

    /// It has been prepared.
    pub(crate) fn shelve_rendition(&self, rendition: &Rendition, prepared: Prepared) {
        self.inner
            .write(|catalogue| catalogue.restore(rendition, prepared));
    }
}

/// A library with its queue, on a store and a folder of its own.
struct House {
    store: TestStore,
    dir: TempDir,
    library: Library,
    facts: mpsc::UnboundedReceiver<LibraryFact>,
    events: Subscription,
    queue: Supervisor,
    who: Principal,
    tools: Tools,
    parallel: usize,
    hung: Duration,
}

impl House {
    async fn new() -> Self {
        Self::with(Tools::default(), 2).await
    }

    async fn with(tools: Tools, parallel: usize) -> Self {
        let store = testing::fresh().await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        Self::open(store, dir, tools, parallel, HUNG, &[]).await
    }

    /// A house with clients of these names that import from its input folder, as the operator does. What they may use is
    /// said by `limits`, which fills that folder.
    async fn of_clients(
        names: &[&str],
        limits: impl FnOnce(&Path) -> PlanLimits,
    ) -> (Self, Vec<Principal>) {
        let store = testing::fresh().await;
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in");
        std::fs::create_dir(&input).unwrap();
        let limits = limits(&input);
        let mut clients = Vec::new();
        for name in names {
            clients.push(store.client(name, &limits).await);
        }
        let ids: Vec<_> = clients.iter().map(|who| who.client).collect();
        let house = Self::open(store, dir, Tools::default(), 2, HUNG, &ids).await;
        (house, clients)
    }

    async fn open(
        store: TestStore,
        dir: TempDir,
        tools: Tools,
        parallel: usize,
        hung: Duration,
        clients: &[ClientId],
    ) -> Self {
        let who = Principal::daemon();
        let (input, elsewhere) = (dir.path().join("in"), dir.path().join("elsewhere"));
        let config = LibraryConfig {
            dir: dir.path().join("media"),
            parallel_prepares: parallel,
            default_profile: Some(PROFILE),
            collect_after: Duration::from_secs(3600),
            allowances: Default::default(),
            roots: ClientRoots::new(
                vec![input.clone(), elsewhere],
                [&who.client]
                    .into_iter()
                    .chain(clients)
                    .map(|client| (*client, vec![input.clone()])),
            ),
            intake: Intake {
                settle: Duration::from_millis(100),
                ..Intake::default()
            },
            downloader: Downloader::new(&TrustRoots::nobody(), Reach::Anywhere),
            font: "/nowhere".into(),
        };
        let hub = Arc::new(Hub::default());
        let events = hub.subscribe(Filter::default(), None);
        let launcher = Launcher::new(tools.clone())
            .unwrap()
            .reading_within(config.roots.all(&config.dir.join(OWN_FILES)));
        let (library, facts) = Library::open(config, (*store).clone(), hub, launcher, hung)
            .await
            .unwrap();
        let queue = Supervisor::spawn("test", ROOT_POLICY, vec![library.child()])
            .await
            .unwrap();
        Self {
            store,
            dir,
            library,
            facts,
            events,
            queue,
            who,
            tools,
            parallel,
            hung,
        }
    }

    /// Ends it and begins it anew on the same store and folder; `meanwhile` nothing runs.
    async fn restarted(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self {
            store,
            dir,
            queue,
            tools,
            parallel,
            hung,
            ..
        } = self;
        queue.stop().await;
        meanwhile(&dir.path().join("media"));
        Self::open(store, dir, tools, parallel, hung, &[]).await
    }

    fn input(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    async fn import(&self, path: &Path) -> ImportReport {
        self.library.import(&self.who, path).await.unwrap()
    }

    /// Imports one file that is accepted.
    async fn import_one(&self, path: &Path) -> MediaItem {
        let report = self.import(path).await;
        assert_eq!(report.refused, []);
        report.accepted.into_iter().next().unwrap()
    }

    async fn view(&self, id: MediaId) -> MediaView {
        self.library.get(&self.who, id).await.unwrap()
    }

    /// Waits for the next event of a kind.
    async fn event(&mut self, kind: &str) -> Arc<Published> {
        let events = &mut self.events;
        let next = async {
            loop {
                let event = events.next().await.unwrap();
                if event.kind == kind {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .unwrap_or_else(|_| panic!("no {kind}"))
    }

    /// Waits until all of `items` are prepared.
    async fn ready(&mut self, items: &[MediaItem]) {
        let prepared = |item: &MediaItem| self.library.prepared(item.id, &PROFILE).is_some();
        while !items.iter().all(prepared) {
            for item in items {
                let view = self
                    .library
                    .inner
                    .read(|catalogue| catalogue.view(item.id, Room::UNLIMITED))
                    .unwrap();
                assert_ne!(
                    view.item.status,
                    MediaStatus::Failed,
                    "{:?}",
                    view.item.reason
                );
            }
            let event = tokio::time::timeout(PATIENCE, self.events.next()).await;
            assert!(event.expect("nothing happens").is_some());
        }
    }

    /// What lies in the folder of prepared files, sorted.
    fn prepared_files(&self) -> Vec<String> {
        let folder = self.dir.path().join("media/prepared").join(PROFILE.key());
        names(&folder)
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A small clip with sound.
fn clip(path: &Path, frames: u32) {
    run_ffmpeg(
        path,
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=160x120:r=25",
            "-f",
            "lavfi",
            "-i",
            "sine=r=48000",
        ],
        frames,
    );
}

fn run_ffmpeg(path: &Path, inputs: &[&str], frames: u32) {
    let frames = frames.to_string();
    // No two files are alike.
    let name = format!("copyright={}", path.display());
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(inputs)
        .args([
            "-frames:v",
            &frames,
            "-shortest",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-metadata",
            &name,
            "-f",
            "mp4",
        ])
        .arg({
            let mut url = std::ffi::OsString::from("file:");
            url.push(path);
            url
        })
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{}", path.display());
}

/// A program in place of FFmpeg. It makes no thumbnails.
fn stand_in(folder: &Path, script: &str) -> Tools {
    let path = folder.join("ffmpeg-stand-in");
    let script = format!("#!/bin/sh\ncase \"$*\" in *image2pipe*) exit 1;; esac\n{script}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Tools {
        ffmpeg: path,
        ..Tools::default()
    }
}

/// Waits until `done`, in bounded time.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while !done() {
        assert!(Instant::now() < end, "waited too long until {what}");
        look.tick().await;
    }
}

/// Whether a process is there and not a zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
