//! One running child as its owner sees it: its pipes, its end, and the means to end it.
//!
//! A task of its own reaps the child when it ends, and keeps how: its owner may be busy with what it has
//! written for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use playout_domain::resources::Allowance;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::confine;
use super::group::{ExitKind, Group};
use super::launcher::Launched;
use super::overseer::{self, Overseer};
use super::spec::Stderr;
use super::stats::{ProcessStats, stats};
use super::stderr::{self, Tail};

/// How long to wait, after the child's end, for the rest of what it said.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A running child. Dropping it kills its process group and reaps it.
#[derive(Debug)]
pub struct Process {
    label: String,
    pid: u32,
    /// Shared with the task that reaps.
    group: Arc<Mutex<Group>>,
    /// How it ended, once known.
    exit: watch::Receiver<Option<ExitKind>>,
    /// What it may use.
    allowance: Allowance,
    /// Ends the task that reaps.
    reaper: AbortHandle,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    lines: Option<mpsc::Receiver<String>>,
    tail: Tail,
}

impl Process {
    pub(super) fn adopt(
        launched: Launched,
        wanted: Stderr,
        allowance: Allowance,
        label: String,
    ) -> io::Result<Process> {
        let watch = confine::register(launched.pidfd)?;
        let stdin = launched
            .stdin
            .map(pipe::Sender::from_owned_fd)
            .transpose()?;
        let stdout = launched
            .stdout
            .map(pipe::Receiver::from_owned_fd)
            .transpose()?;
        let (tail, lines) = stderr::collect(launched.stderr, wanted)?;
        let pid = launched.group.pid();
        tracing::debug!(pid, label, "process started");
        let group = Arc::new(Mutex::new(launched.group));
        let (told, exit) = watch::channel(None);
        let overseer = Overseer::new(pid, allowance);
        let reaping = reap(watch, Arc::clone(&group), told, overseer, label.clone());
        let reaper = tokio::spawn(reaping).abort_handle();
        Ok(Process {
            label,
            pid,
            group,
            exit,
            allowance,
            reaper,
            stdin,
            stdout,
            lines,
            tail,
        })
    }

    /// The child's process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the child is, as given in its specification.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The child's standard input, once; `None` if it has none or it has been taken. Dropping it says that
    /// nothing more comes.
    pub fn take_stdin(&mut self) -> Option<pipe::Sender> {
        self.stdin.take()
    }

    /// The child's standard output, once; `None` if it was not piped or has been taken.
    pub fn take_stdout(&mut self) -> Option<pipe::Receiver> {
        self.stdout.take()
    }

    /// The lines of its standard error, once; those that [`Stderr`] says. The queue is bounded.
    pub fn take_lines(&mut self) -> Option<mpsc::Receiver<String>> {
        self.lines.take()
    }

    /// Waits for the child's end. Cancel-safe; answers at once when the end is known.
    pub async fn wait(&mut self) -> ExitKind {
        let exit = self.exit.wait_for(Option::is_some).await;
        if let Ok(exit) = exit.map(|exit| *exit) {
            return exit.unwrap_or(ExitKind::Lost);
        }
        // Nobody watches it any more: the runtime ends.
        self.kill();
        ExitKind::Lost
    }

    /// Asks the child to end (`SIGTERM` to its group); after `grace` kills it. Waits for the end.
    pub async fn terminate(&mut self, grace: Duration) -> ExitKind {
        lock(&self.group).signal(Signal::SIGTERM);
        // A stopped process would not see the request.
        lock(&self.group).signal(Signal::SIGCONT);
        match tokio::time::timeout(grace, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => {
                self.kill();
                self.wait().await
            }
        }
    }

    /// Kills the child's group. The end is seen by [`Process::wait`].
    pub fn kill(&self) {
        lock(&self.group).signal(Signal::SIGKILL);
    }

    /// What the child has used until now; `None` once it is gone.
    pub fn stats(&self) -> Option<ProcessStats> {
        let group = lock(&self.group);
        // While the group is held here it is not reaped.
        group.is_unreaped().then(|| stats(self.pid)).flatten()
    }

    /// The end of what the child wrote to its standard error so far: printable, at most 4 KiB.
    pub fn tail(&self) -> String {
        self.tail.text()
    }

    /// Waits for the child's end, and a moment more for the rest of its standard error.
    pub async fn last_words(&mut self) -> (ExitKind, String) {
        let exit = self.wait().await;
        // What is left unread when the pipe stays open is not worth a longer wait.
        let _bounded = tokio::time::timeout(LAST_WORDS, self.tail.closed()).await;
        let words = self.tail.text();
        (overseer::judged(exit, &words, &self.allowance), words)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // At once, and not when the task's end is seen to.
        lock(&self.group).end();
        self.reaper.abort();
    }
}

/// Waits for the child's end, kills it where it uses more than it may, reaps it, and tells how it ended.
async fn reap(
    watch: AsyncFd<OwnedFd>,
    group: Arc<Mutex<Group>>,
    told: watch::Sender<Option<ExitKind>>,
    mut overseer: Overseer,
    label: String,
) {
    let exit = loop {
        // The descriptor is readable once the child has ended.
        let ended = tokio::select! {
            biased;
            ended = watch.readable() => ended,
            () = overseer.due() => {
                let group = lock(&group);
                // While the group is held here it is not reaped.
                if group.is_unreaped() && overseer.look() {
                    group.signal(Signal::SIGKILL);
                }
                continue;
            }
        };
        match ended {
            Ok(_ready) => {
                let mut group = lock(&group);
                if group.is_unreaped() {
                    overseer.look_back();
                }
                if let Some(exit) = group.reap_ended() {
                    break exit;
                }
                if !group.is_unreaped() {
                    // Its owner has let go of it, and it is reaped elsewhere.
                    return;
                }
            }
            Err(_) => {
                lock(&group).signal(Signal::SIGKILL);
                break ExitKind::Lost;
            }
        }
        tokio::task::yield_now().await;
    };
    let exit = overseer.explain(exit);
    tracing::debug!(pid = lock(&group).pid(), label, %exit, "process ended");
    told.send_replace(Some(exit));
}

fn lock(group: &Mutex<Group>) -> MutexGuard<'_, Group> {
    group.lock().unwrap_or_else(PoisonError::into_inner)
}
