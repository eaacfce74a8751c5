//! Watches the room on the disk of the data folder, and makes some: the ladder is
//! [`playout_domain::disk`](playout_domain::disk), here it is climbed.
//!
//! Invariant: viewers notice none of it. Segments are served from memory; what the spool loses is how far back a
//! channel's playlist reaches after a restart of the daemon.

mod trim;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use playout_domain::alert::{AlertKind, Key, Report, Service, Subject};
use playout_domain::disk::{Effect, Keep, Pressure, Stage, Thresholds};
use playout_store::operator;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::alerts::ErrorHandler;
use crate::hub::{Event, Hub, kind};
use crate::library::{Library, Room};
use crate::playout::BURST_SEGMENTS;
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;
use trim::{Trim, trim};

/// That nothing is prepared or taken in.
const PAUSED: Key = Key::new(AlertKind::PreparingPaused, Subject::Daemon);
/// How often the disk is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// What is watched, and where each step begins.
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// The folder of everything the daemon owns: its disk is watched.
    pub data_dir: PathBuf,
    /// The folder with a folder for each channel.
    pub channels: PathBuf,
    /// Segments of a channel's playlist.
    pub window: usize,
    /// The length of all of them.
    pub window_length: Duration,
    /// Where each step begins.
    pub thresholds: Thresholds,
}

/// How the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskView {
    /// What is done about it.
    pub stage: Stage,
    /// Bytes free at the last look; nothing before the first, and where the disk does not tell.
    pub free: Option<u64>,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    inner: Arc<Inner>,
}

struct Inner {
    config: DiskConfig,
    hub: Arc<Hub>,
    alerts: ErrorHandler,
    library: Library,
    /// What is known; also of a watcher that is started anew.
    known: Mutex<Known>,
}

struct Known {
    pressure: Pressure,
    free: Option<u64>,
}

impl Disk {
    /// Watches nothing before [`Disk::child`] runs.
    pub fn new(config: DiskConfig, hub: Arc<Hub>, alerts: ErrorHandler, library: Library) -> Self {
        let known = Known {
            pressure: Pressure::new(config.thresholds),
            free: None,
        };
        Self {
            inner: Arc::new(Inner {
                config,
                hub,
                alerts,
                library,
                known: Mutex::new(known),
            }),
        }
    }

    /// The watcher, to be run by the root.
    pub fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::DISK.task(move |stopping| watch(Arc::clone(&inner), stopping))
    }

    /// How the disk does. Never waits.
    pub fn view(&self) -> DiskView {
        let known = self.inner.lock();
        DiskView {
            stage: known.pressure.stage(),
            free: known.free,
        }
    }
}

async fn watch(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            _ = tick.tick() => inner.look().await,
        }
    }
}

impl Inner {
    async fn look(&self) {
        let Some(free) = self.free().await else {
            return;
        };
        let before = self.lock().pressure.stage();
        let mut effects = self.lock().pressure.looked(free);
        let missing = effects
            .iter()
            .position(|effect| matches!(effect, Effect::Trim { .. }));
        if let Some(at) = missing
            && let Effect::Trim { keep, missing } = effects.remove(at)
        {
            // What nobody needs goes before anything that may be of use.
            let freed = self.library.make_room(missing).await;
            if freed < missing {
                self.trim(keep, missing - freed).await;
            }
            let Some(free) = self.free().await else {
                return;
            };
            effects.extend(self.lock().pressure.trimmed(free));
        }
        let view = {
            let known = self.lock();
            (known.pressure.stage(), known.free.unwrap_or_default())
        };
        for effect in effects {
            self.perform(effect, view.1);
        }
        let (stage, free) = view;
        self.library.set_room(Room {
            paused: stage >= Stage::Prepare,
            spare: free.saturating_sub(self.config.thresholds.prepare),
        });
        let thresholds = self.config.thresholds;
        // Also what an earlier run has left open; a run that has just begun climbs the ladder anew.
        if stage < Stage::Prepare && free >= thresholds.prepare {
            self.alerts.recovered(PAUSED);
        }
        if stage < Stage::Alert && free >= thresholds.alert {
            self.alerts.service_recovered(Service::Disk);
        }
        if stage != before {
            tracing::warn!(stage = stage.name(), free, "room on the disk");
            self.hub.publish(Event {
                kind: kind::DISK_STAGE,
                client: None,
                channel: None,
                data: json!({ "stage": stage.name(), "freeBytes": free }),
            });
        }
    }

    fn perform(&self, effect: Effect, free: u64) {
        match effect {
            Effect::Raise => {
                let least = self.config.thresholds.alert;
                let error = format!(
                    "{free} bytes are free; fewer than {least} are an alert. The oldest spool is removed and nothing is prepared until there is room"
                );
                self.alerts.handle_service_failure(Service::Disk, &error);
            }
            Effect::PausePreparing => {
                let least = self.config.thresholds.prepare;
                let error = format!(
                    "{free} bytes are free; with fewer than {least} nothing is prepared, and uploads and imports by URL are refused, until there is a tenth more"
                );
                tracing::warn!(free, "preparing is paused: the disk fills up");
                self.alerts.raise(Report {
                    key: PAUSED,
                    client: operator(),
                    name: None,
                    error,
                });
            }
            Effect::ResumePreparing => tracing::info!(free, "preparing goes on: there is room"),
            // Told below with the stage, and done before.
            Effect::Close | Effect::Trim { .. } => {}
        }
    }

    /// Bytes that the daemon may still write; nothing, where the disk does not tell.
    async fn free(&self) -> Option<u64> {
        let folder = self.config.data_dir.clone();
        // A disk that does not answer holds up nothing but this look at it.
        let looked = tokio::task::spawn_blocking(move || free_bytes(&folder)).await;
        let free = match looked {
            Ok(Ok(free)) => free,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the disk cannot be looked at");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the disk cannot be looked at");
                None
            }
        };
        self.lock().free = free;
        free
    }

    async fn trim(&self, keep: Keep, missing: u64) {
        let order = Trim {
            channels: self.config.channels.clone(),
            keep: match keep {
                Keep::Window => self.config.window,
                Keep::Burst => (BURST_SEGMENTS as usize).min(self.config.window),
            },
            // What was published longer ago no start goes on with.
            fresh: self.config.window_length * 2,
            missing,
        };
        let done = tokio::task::spawn_blocking(move || trim(&order, Timestamp::now().into())).await;
        match done {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "the oldest spool was removed to make room"),
            Err(error) => tracing::error!(%error, "removing spool failed"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is free on the disk of `folder`; nothing where it has no blocks at all. Blocks.
fn free_bytes(folder: &Path) -> nix::Result<Option<u64>> {
    let found = statvfs(folder)?;
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    Ok((found.blocks() > 0).then_some(free))
}
