//! One kind of server: how it is started, asked and ended.

use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::aside::{Aside, Rebuildable};
use super::child::{self, Order};
use super::error::EmbeddedError;
use super::family;
use super::log::{self, LastWords};
use super::redis;

/// How long a look at a server may take.
const LOOK: Duration = Duration::from_secs(2);

/// A server that starts may take its time to recover; one that is stopped for so long hangs.
const STOPPED: Duration = Duration::from_secs(10);

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

/// Ends a server gently, and in the end hard, with all that it has started. One that is stopped hears no request.
pub(super) async fn end(recipe: &Recipe, child: &mut Child) {
    for (signal, patience) in recipe.ending {
        if child.id().is_some_and(family::is_stopped) {
            break;
        }
        send(child, *signal);
        if timeout(*patience, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(server = recipe.server, %signal, "the embedded server did not end in time");
    }
    if let Some(pid) = child.id() {
        family::kill_all(pid).await;
    }
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
        // Dropped, be it because this is broken off, it puts everything back.
        let Ok(child) = self.attempt().await else {
            return Err(failed);
        };
        tracing::error!(
            server, aside = %aside.path().display(), %failed,
            "an embedded server could not read what it kept: that is put aside, and it begins empty"
        );
        if let Err(error) = aside.give_up() {
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
        let mut stopped_since = None;
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
            stopped_since = child
                .id()
                .filter(|pid| family::is_stopped(*pid))
                .map(|_| stopped_since.unwrap_or_else(Instant::now));
            let hangs = stopped_since.is_some_and(|since: Instant| since.elapsed() > STOPPED);
            if hangs || begun.elapsed() > self.start_limit {
                end(self, &mut child).await;
                let (server, waited) = (self.server, begun.elapsed());
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
    /// Whether the server does what is asked.
    pub(super) async fn answers(&self) -> bool {
        timeout(LOOK, async {
            match self {
                Self::Postgres(config) => match config.connect(tokio_postgres::NoTls).await {
                    Ok((client, connection)) => {
                        drop(client);
                        drop(connection.await);
                        true
                    }
                    Err(_) => false,
                },
                Self::Redis(socket) => redis::ping(socket).await.unwrap_or(false),
            }
        })
        .await
        .unwrap_or(false)
    }

    /// Whether the server says anything at all, be it that it is full or still coming up.
    pub(super) async fn lives(&self) -> bool {
        timeout(LOOK, async {
            match self {
                Self::Postgres(config) => match config.connect(tokio_postgres::NoTls).await {
                    Ok(_) => true,
                    Err(error) => error.as_db_error().is_some(),
                },
                Self::Redis(socket) => redis::says_anything(socket).await.is_ok(),
            }
        })
        .await
        .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::child::{Attachment, Log};
    use super::*;

    const GENTLY: &[(Signal, Duration)] = &[(Signal::SIGTERM, Duration::from_secs(1000))];

    #[tokio::test]
    async fn a_server_that_stops_while_it_starts_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let child = folder.path().join("child");
        let script = format!("sleep 1000 & echo $! >{}; kill -STOP $$", child.display());
        let recipe = Recipe {
            server: "Test",
            order: Order {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), script.into()],
                become_user: None,
                folders: Vec::new(),
                attachment: Attachment::DiesWithUs(Signal::SIGKILL),
                log: Log::Piped,
            },
            probe: Probe::Redis(folder.path().join("nobody")),
            ending: GENTLY,
            start_limit: Duration::from_secs(1000),
            rebuildable: None,
        };
        let refused = recipe.launch().await;
        assert!(
            matches!(refused, Err(EmbeddedError::NotReady { .. })),
            "{refused:?}"
        );
        let pid = std::fs::read_to_string(child).unwrap();
        let gone = |pid: &str| !std::path::Path::new("/proc").join(pid).exists();
        let begun = Instant::now();
        while !gone(pid.trim()) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{pid} lives on");
            sleep(Duration::from_millis(10)).await;
        }
    }
}
