//! Keeps one server running: starts it, waits until it answers, starts it again when it dies, ends it
//! gently on request. A server whose data can be rebuilt begins empty where it cannot read it. The delays between starts are 0, 0.5, 1, 2, 4 … 10 s, from 0 again after a
//! minute of health.

use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::aside::{Aside, Rebuildable};
use super::child::{self, Order};
use super::error::EmbeddedError;
use super::log::{self, LastWords};

/// How to tell that a server answers.
#[derive(Clone, Debug)]
pub(super) enum Probe {
    Postgres(Box<tokio_postgres::Config>),
    Redis(std::path::PathBuf),
}

/// One kind of server: how it is started, asked, and ended.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) server: &'static str,
    pub(super) order: Order,
    pub(super) probe: Probe,
    /// Signals that end it, each with the time it is given; after the last comes SIGKILL.
    pub(super) ending: &'static [(Signal, Duration)],
    pub(super) start_limit: Duration,
    /// Its data, where that can be rebuilt.
    pub(super) rebuildable: Option<Rebuildable>,
}

/// A server that is kept running until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: watch::Sender<bool>,
    pid: watch::Receiver<Option<u32>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the server and returns once it answers.
    pub(super) async fn start(recipe: Recipe) -> Result<Self, EmbeddedError> {
        let child = recipe.launch().await?;
        Ok(Self::of(recipe, Some(child)))
    }

    /// Keeps trying to start a server that did not start.
    pub(super) fn try_on(recipe: Recipe) -> Self {
        Self::of(recipe, None)
    }

    fn of(recipe: Recipe, child: Option<Child>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (pid_out, pid) = watch::channel(child.as_ref().and_then(Child::id));
        let task = tokio::spawn(keep(recipe, child, stopped, pid_out));
        Self { stop, pid, task }
    }

    /// The process that runs now; `None` between two starts.
    pub(super) fn pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Ends the server and returns once it is gone.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true); // the task may have ended already
        drop(self.task.await);
    }
}

async fn keep(
    recipe: Recipe,
    mut child: Option<Child>,
    mut stopped: watch::Receiver<bool>,
    pid: watch::Sender<Option<u32>>,
) {
    // One that did not start has failed once.
    let mut failures = u32::from(child.is_none());
    loop {
        if let Some(mut child) = child.take() {
            let since = Instant::now();
            tokio::select! {
                exit = child.wait() => {
                    pid.send_replace(None);
                    tracing::error!(server = recipe.server, ?exit, "an embedded server ended by itself and is started again");
                }
                _ = stopped.changed() => return end(&recipe, child).await,
            }
            if since.elapsed() > Duration::from_secs(60) {
                failures = 0;
            }
        }
        let started = loop {
            tokio::select! {
                () = sleep(delay(failures)) => {}
                _ = stopped.changed() => return,
            }
            failures = failures.saturating_add(1);
            match recipe.launch().await {
                Ok(started) => break started,
                Err(error) => {
                    tracing::error!(server = recipe.server, %error, "an embedded server could not be started again")
                }
            }
        };
        pid.send_replace(started.id());
        child = Some(started);
        tracing::info!(server = recipe.server, "the embedded server runs again");
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

async fn end(recipe: &Recipe, mut child: Child) {
    for (signal, patience) in recipe.ending {
        send(&child, *signal);
        if timeout(*patience, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(server = recipe.server, %signal, "the embedded server did not end in time");
    }
    send(&child, Signal::SIGKILL);
    drop(child.wait().await);
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may end at this very moment; it has not been reaped, so the pid is still its own.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Recipe {
    /// Starts the process and waits until it answers; one that does not is ended. Where the server cannot
    /// read its data and that can be rebuilt, it begins without.
    pub(super) async fn launch(&self) -> Result<Child, EmbeddedError> {
        let failed = match self.attempt().await {
            Err(failed @ EmbeddedError::EndedAtStart { .. }) => failed,
            other => return other,
        };
        let Some(aside) = self.put_aside() else {
            return Err(failed);
        };
        let server = self.server;
        let Ok(child) = self.attempt().await else {
            let data = aside.path().to_owned();
            if let Err(error) = aside.put_back() {
                tracing::error!(server, data = %data.display(), %error, "what was put aside cannot be put back");
            }
            return Err(failed);
        };
        tracing::error!(
            server, aside = %aside.path().display(), %failed,
            "an embedded server could not read what it kept: that is put aside, and it begins empty"
        );
        if let Err(error) = aside.forget_older() {
            tracing::warn!(server, %error, "what was put aside before cannot be removed");
        }
        Ok(child)
    }

    fn put_aside(&self) -> Option<Aside> {
        let aside = self.rebuildable.as_ref()?.put_aside(Timestamp::now());
        aside.unwrap_or_else(|error| {
            tracing::error!(server = self.server, %error, "its data cannot be put aside");
            None
        })
    }

    async fn attempt(&self) -> Result<Child, EmbeddedError> {
        let mut child = self.spawn().await?;
        let words = LastWords::default();
        let readers = log::follow(self.server, &mut child, &words);
        let begun = Instant::now();
        loop {
            if let Ok(Some(_)) = child.try_wait() {
                for reader in readers {
                    drop(reader.await);
                }
                return Err(EmbeddedError::EndedAtStart {
                    server: self.server,
                    last_words: words.sentence(),
                });
            }
            if self.probe.answers().await {
                return Ok(child);
            }
            if begun.elapsed() > self.start_limit {
                end(self, child).await;
                let (server, waited) = (self.server, self.start_limit);
                return Err(EmbeddedError::NotReady {
                    server,
                    waited,
                    last_words: words.sentence(),
                });
            }
            sleep(Duration::from_millis(15)).await;
        }
    }

    /// Starts the process and returns at once.
    pub(super) async fn spawn(&self) -> Result<Child, EmbeddedError> {
        child::spawn(self.order.clone()).await.map_err(|source| {
            match (&self.order.become_user, source.raw_os_error()) {
                (Some(user), Some(nix::libc::EPERM)) => EmbeddedError::CannotSwitchUser {
                    user: user.name.clone(),
                },
                _ => EmbeddedError::Io {
                    doing: "start",
                    path: self.order.program.clone(),
                    source,
                },
            }
        })
    }
}

impl Probe {
    pub(super) async fn answers(&self) -> bool {
        timeout(Duration::from_secs(2), async {
            match self {
                Self::Postgres(config) => match config.connect(tokio_postgres::NoTls).await {
                    Ok((client, connection)) => {
                        drop(client);
                        drop(connection.await);
                        true
                    }
                    Err(_) => false,
                },
                Self::Redis(socket) => super::redis::ping(socket).await.unwrap_or(false),
            }
        })
        .await
        .unwrap_or(false)
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
