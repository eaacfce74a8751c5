//! A child and its process group, owned: the group is killed and the child reaped when this goes
//! out of scope, without blocking.

use std::fmt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use playout_domain::resources::Excess;

use super::cgroup::ChannelGroup;
use super::launcher;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// It returned this code; 0 is success.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was ended, or gave up, because it used more than it may.
    Overran(Excess),
    /// Its end could not be observed; it was killed.
    Lost,
}

impl ExitKind {
    /// True for exit code 0.
    pub fn success(self) -> bool {
        self == ExitKind::Code(0)
    }
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitKind::Code(code) => write!(f, "exited with code {code}"),
            ExitKind::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was ended by {signal}"),
                Err(_) => write!(f, "was ended by signal {number}"),
            },
            ExitKind::Overran(excess) => excess.fmt(f),
            ExitKind::Lost => f.write_str("could not be watched and was killed"),
        }
    }
}

/// A child that has not been waited for: until it is, its number is its own.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    /// Where it belongs: a control group is removed with its last process.
    group: Option<Arc<ChannelGroup>>,
}

impl Child {
    /// `pid` is a child of this process that nobody else waits for.
    pub(super) fn new(pid: Pid, group: Option<Arc<ChannelGroup>>) -> Self {
        Self { pid, group }
    }

    /// Waits for its end without blocking: how it ended, or the child that still runs.
    pub(super) fn reap(self) -> Result<ExitKind, Self> {
        loop {
            return match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Ok(ExitKind::Code(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Ok(self.killed(signal as i32)),
                Ok(_) => Err(self),
                Err(Errno::EINTR) => continue,
                Err(_) => Ok(ExitKind::Lost),
            };
        }
    }

    /// It was ended by a signal: the kernel's, where its control group ran out of memory.
    fn killed(&self, signal: i32) -> ExitKind {
        let out_of_memory = (signal == Signal::SIGKILL as i32)
            .then(|| self.group.as_ref()?.ran_out_of_memory())
            .flatten();
        match out_of_memory {
            Some(limit) => ExitKind::Overran(Excess::GroupMemory(limit)),
            None => ExitKind::Signal(signal),
        }
    }
}

/// The child is unreaped for as long as `child` is here, so its group's number is its own, too.
#[derive(Debug)]
pub(super) struct Group {
    child: Option<Child>,
    id: Pid,
}

impl Group {
    pub(super) fn new(child: Child) -> Group {
        let id = child.pid;
        Group {
            child: Some(child),
            id,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.id.as_raw() as u32
    }

    /// Signals every process of the group. Nothing happens once the child has been reaped.
    pub(super) fn signal(&self, signal: Signal) {
        if self.child.is_some() {
            // An empty group answers ESRCH: it is gone, which is as good.
            let _gone = killpg(self.id, signal);
        }
    }

    /// Reaps the child if it has ended, and then kills what it left behind in its group: only
    /// while the child is a zombie is the group's number certain to be its own, so the signal
    /// goes out before the child is waited for.
    pub(super) fn reap_ended(&mut self) -> Option<ExitKind> {
        self.signal(Signal::SIGKILL);
        match self.child.take()?.reap() {
            Ok(exit) => Some(exit),
            Err(child) => {
                self.child = Some(child);
                None
            }
        }
    }

    /// Whether the child's number is still its own.
    pub(super) fn is_unreaped(&self) -> bool {
        self.child.is_some()
    }

    /// Kills the group and has the child reaped, without waiting for it.
    pub(super) fn end(&mut self) {
        if self.child.is_some()
            && self.reap_ended().is_none()
            && let Some(child) = self.child.take()
        {
            launcher::reap_later(child);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
