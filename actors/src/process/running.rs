//! One running child as its owner sees it: its pipes, its end, and the means to end it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::confine;
use super::group::{ExitKind, Group};
use super::launcher::Launched;
use super::spec::Stderr;
use super::stats::{ProcessStats, stats};
use super::stderr::{self, Tail};

/// How long to wait, after the child's end, for the rest of what it said.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A running child. Dropping it kills its process group and reaps it.
#[derive(Debug)]
pub struct Process {
    label: String,
    group: Group,
    /// Readable once the child has ended.
    watch: AsyncFd<OwnedFd>,
    /// How it ended, once known.
    exit: Option<ExitKind>,
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    progress: Option<mpsc::Receiver<String>>,
    tail: Tail,
}

impl Process {
    pub(super) fn adopt(launched: Launched, wanted: Stderr, label: String) -> io::Result<Process> {
        let watch = confine::register(launched.pidfd)?;
        let stdin = launched
            .stdin
            .map(pipe::Sender::from_owned_fd)
            .transpose()?;
        let stdout = launched
            .stdout
            .map(pipe::Receiver::from_owned_fd)
            .transpose()?;
        let (tail, progress) = stderr::collect(launched.stderr, wanted)?;
        tracing::debug!(pid = launched.group.pid(), label, "process started");
        Ok(Process {
            label,
            group: launched.group,
            watch,
            exit: None,
            stdin,
            stdout,
            progress,
            tail,
        })
    }

    /// The child's process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.group.pid()
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

    /// The `key=value` lines of its standard error, once; only with [`Stderr::Progress`]. The
    /// queue is bounded: lines are dropped while nobody reads them.
    pub fn take_progress(&mut self) -> Option<mpsc::Receiver<String>> {
        self.progress.take()
    }

    /// Waits for the child's end. Cancel-safe; answers at once when the end is known.
    pub async fn wait(&mut self) -> ExitKind {
        loop {
            if let Some(exit) = self.exit {
                return exit;
            }
            let ended = match self.watch.readable().await {
                Ok(_ready) => self.group.reap_ended(),
                Err(_) => {
                    self.group.signal(Signal::SIGKILL);
                    Some(ExitKind::Lost)
                }
            };
            if let Some(exit) = ended {
                tracing::debug!(pid = self.pid(), label = self.label, %exit, "process ended");
                self.exit = Some(exit);
            }
        }
    }

    /// Asks the child to end (`SIGTERM` to its group); after `grace` kills it. Waits for the end.
    pub async fn terminate(&mut self, grace: Duration) -> ExitKind {
        self.group.signal(Signal::SIGTERM);
        // A stopped process would not see the request.
        self.group.signal(Signal::SIGCONT);
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
        self.group.signal(Signal::SIGKILL);
    }

    /// What the child has used until now; `None` once it is gone.
    pub fn stats(&self) -> Option<ProcessStats> {
        match self.exit {
            Some(_) => None,
            None => stats(self.pid()),
        }
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
        (exit, self.tail.text())
    }
}
