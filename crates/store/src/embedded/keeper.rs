//! Keeps one server running: starts it, waits until it answers, starts it again when it dies or hangs, ends it
//! gently on request. A server whose data can be rebuilt begins empty where it cannot read it. The delays
//! between starts are 0, 0.5, 1, 2, 4 … 10 s, from 0 again after a minute of health; on a full disk it waits
//! until there is room.
//!
//! Frozen is a kind of dead: a server that five looks in a row, two seconds each, find silent is killed.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::error::EmbeddedError;
use super::recipe::{Probe, Recipe, end};
use super::{EmbeddedConfig, family, postgres, redis};

/// How to make the recipe of a server, anew for each start: folders, their owner, room on the disk.
#[derive(Clone, Debug)]
pub(super) enum Maker {
    Postgres(EmbeddedConfig, PathBuf),
    Redis(EmbeddedConfig, PathBuf),
}

/// What a failed first start means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstStart {
    /// There is no server.
    MustSucceed,
    /// There is none either, but where its program itself fails, it is tried again.
    MayFail,
    /// It is tried again, and nobody waits for it longer than this.
    MayComeLater(Duration),
}

/// A server that is kept running until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: watch::Sender<bool>,
    pid: watch::Receiver<Option<u32>>,
    no_room: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the server and returns once it answers, or as `first` says.
    pub(super) async fn start(maker: Maker, first: FirstStart) -> Result<Self, EmbeddedError> {
        let (stop, stopped) = watch::channel(false);
        let (pid_out, pid) = watch::channel(None);
        let (no_room_out, no_room) = watch::channel(None);
        let (tell, started) = oneshot::channel();
        let keep = Keep {
            maker,
            stopped,
            pid: pid_out,
            failures: 0,
            no_room: no_room_out,
        };
        let task = tokio::spawn(keep.run(first, tell));
        let keeper = Self {
            stop,
            pid,
            no_room,
            task,
        };
        // One that ended without a word has panicked.
        let gone = || EmbeddedError::EndedAtStart {
            server: "the keeper",
            last_words: "it failed".to_owned(),
        };
        match first {
            FirstStart::MustSucceed | FirstStart::MayFail => {
                started.await.unwrap_or_else(|_| Err(gone()))?;
            }
            FirstStart::MayComeLater(patience) => {
                // What has failed is in the log and tried again.
                drop(timeout(patience, started).await);
            }
        }
        Ok(keeper)
    }

    /// The process that runs now; `None` between two starts.
    pub(super) fn pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// The full disk that keeps it from starting, in one sentence, now and later.
    pub(super) fn no_room(&self) -> watch::Receiver<Option<String>> {
        self.no_room.clone()
    }

    /// Ends the server and returns once it is gone.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true); // the task may have ended already
        drop(self.task.await);
    }
}

struct Keep {
    maker: Maker,
    stopped: watch::Receiver<bool>,
    pid: watch::Sender<Option<u32>>,
    /// Starts that were not followed by a minute of health.
    failures: u32,
    /// The full disk that keeps it from starting.
    no_room: watch::Sender<Option<String>>,
}

impl Keep {
    async fn run(mut self, first: FirstStart, tell: oneshot::Sender<Result<(), EmbeddedError>>) {
        let mut tell = Some(tell);
        loop {
            let (recipe, child) = match self.launch().await {
                Ok(Some(started)) => started,
                Ok(None) => return,
                Err(error) => {
                    match (tell.take(), first) {
                        (Some(tell), FirstStart::MayFail) if error.is_of_program() => {
                            self.failed(&error);
                            drop(tell.send(Ok(()))); // whoever asked may have left
                        }
                        (Some(tell), FirstStart::MustSucceed | FirstStart::MayFail) => {
                            drop(tell.send(Err(error))); // as above
                            return;
                        }
                        _ => self.failed(&error),
                    }
                    continue;
                }
            };
            self.no_room.send_replace(None);
            self.pid.send_replace(child.id());
            match tell.take() {
                Some(tell) => drop(tell.send(Ok(()))), // as above
                None => tracing::info!(server = recipe.server, "the embedded server runs again"),
            }
            let since = Instant::now();
            if !self.stay(&recipe, child).await {
                return;
            }
            self.pid.send_replace(None);
            if since.elapsed() > Duration::from_secs(60) {
                self.failures = 0;
            }
        }
    }

    /// Starts the server when its time has come; nothing when it is not wanted any more.
    async fn launch(&mut self) -> Result<Option<(Recipe, Child)>, EmbeddedError> {
        tokio::select! {
            () = sleep(delay(self.failures)) => {}
            () = asked(&mut self.stopped) => return Ok(None),
        }
        self.failures = self.failures.saturating_add(1);
        let launched = async {
            let recipe = self.maker.recipe().await?;
            let child = recipe.launch().await;
            Ok::<_, EmbeddedError>((recipe, child))
        };
        let (recipe, child) = tokio::select! {
            launched = launched => launched?,
            // What has begun to start is killed.
            () = asked(&mut self.stopped) => return Ok(None),
        };
        let (data_dir, server) = (&self.maker.config().data_dir, recipe.server);
        let mut child = child.map_err(|error| error.or_disk_full(server, data_dir))?;
        if let Err(error) = self.maker.finish(&recipe).await {
            end(&recipe, &mut child).await;
            return Err(error);
        }
        Ok(Some((recipe, child)))
    }

    fn failed(&mut self, error: &EmbeddedError) {
        let full = matches!(
            error,
            EmbeddedError::NoRoom { .. } | EmbeddedError::DiskFull { .. }
        );
        let before = self.no_room.send_replace(full.then(|| error.to_string()));
        if !full {
            tracing::error!(%error, "an embedded server could not be started; it is tried again");
        } else if before.is_none() {
            tracing::error!(%error, "an embedded server is started again when there is room");
        }
    }

    /// Watches over a server that runs; `false` when it was ended because it is not wanted any more.
    async fn stay(&mut self, recipe: &Recipe, mut child: Child) -> bool {
        let hung = async {
            let mut silent = 0;
            let mut look = interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while silent < SILENT_LOOKS {
                look.tick().await;
                silent = if recipe.probe.lives().await {
                    0
                } else {
                    silent + 1
                };
            }
        };
        tokio::select! {
            exit = child.wait() => {
                tracing::error!(server = recipe.server, ?exit, "an embedded server ended by itself and is started again");
                true
            }
            () = hung => {
                tracing::error!(server = recipe.server, "an embedded server does not answer; it is killed and started again");
                if let Some(pid) = child.id() {
                    family::kill_all(pid).await;
                }
                drop(child.wait().await); // it was killed
                true
            }
            () = asked(&mut self.stopped) => {
                end(recipe, &mut child).await;
                false
            }
        }
    }
}

/// Returns when the server is not wanted any more.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    // A keeper that is gone means the same.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// How often a server is looked at; a look takes as long at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// So many looks in a row without a word, and a server counts as hung.
const SILENT_LOOKS: u32 = 5;

impl Maker {
    fn config(&self) -> &EmbeddedConfig {
        match self {
            Self::Postgres(config, _) | Self::Redis(config, _) => config,
        }
    }

    async fn recipe(&self) -> Result<Recipe, EmbeddedError> {
        Ok(match self {
            Self::Postgres(config, run) => postgres::prepare(config, run).await?.recipe,
            Self::Redis(config, run) => redis::prepare(config, run).await?.recipe,
        })
    }

    /// What is still to be done once the server answers.
    async fn finish(&self, recipe: &Recipe) -> Result<(), EmbeddedError> {
        let Probe::Postgres(config) = &recipe.probe else {
            return Ok(());
        };
        postgres::make_database(config).await.map_err(|source| {
            let last_words = source
                .as_db_error()
                .map_or_else(|| source.to_string(), |error| error.message().to_owned());
            EmbeddedError::EndedAtStart {
                server: recipe.server,
                last_words,
            }
        })
    }
}

/// 0, 0.5, 1, 2, 4, 8, 10 s.
fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => Duration::from_millis(250_u64.saturating_mul(1 << n.min(6)))
            .min(Duration::from_secs(10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_ten_seconds() {
        let delays: Vec<u128> = (0..8).map(|n| delay(n).as_millis()).collect();
        assert_eq!(delays, [0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }
}
