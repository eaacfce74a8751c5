//! A control group for each channel, where the system has delegated the daemon's own to it (cgroup v2, by systemd's
//! `Delegate=`): limits that hold for all processes of a channel together.
//!
//! ```text
//! playoutd.service/          the daemon's own when it starts; afterwards only a parent
//! ├─ daemon/                 the daemon and its servers
//! ├─ channel-<id>/           one channel's FFmpeg processes, with its limits
//! └─ channel-<id>/
//! ```
//!
//! A process enters its group before it becomes FFmpeg. A group goes when nobody holds it any more: its channel is
//! off air, and its last process is reaped. Everything here is a few small writes to files that are not on any disk.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use playout_domain::ids::ChannelId;
use playout_domain::resources::GroupAllowance;

/// What every channel's group is called by first.
const CHANNEL: &str = "channel-";
/// Where the daemon itself goes: a group with groups in it holds no processes.
const DAEMON: &str = "daemon";
/// The time over which a share of CPU is given, in microseconds.
const PERIOD: u64 = 100_000;

/// Why there are no groups.
#[derive(Debug, thiserror::Error)]
pub enum NotDelegated {
    /// The system has no cgroup v2, or this process is in the topmost group.
    #[error("this system gives the daemon no control group of its own")]
    None,
    /// Other processes are in the group.
    #[error("the group {} is shared with other processes", path.display())]
    Shared {
        /// The group.
        path: PathBuf,
    },
    /// It has not got what limits are made of.
    #[error("the group {} has no control over {missing}", path.display())]
    Without {
        /// The group.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// It belongs to somebody else.
    #[error("the group {} is not the daemon's: {source}", path.display())]
    Refused {
        /// The group.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The daemon's own group, delegated to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cgroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: PathBuf,
    channels: Mutex<HashMap<ChannelId, Weak<ChannelGroup>>>,
    /// How a group is removed: `rmdir`, whatever files it shows.
    remove: fn(&Path) -> io::Result<()>,
}

impl Cgroups {
    /// Takes over the group that this process is in, where cgroup v2 is mounted at `root`. To be called before any
    /// child is started.
    ///
    /// # Errors
    /// It is not delegated; nothing has changed then.
    pub fn take_over(root: &Path) -> Result<Self, NotDelegated> {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(root, &membership, std::process::id(), |path| {
            fs::remove_dir(path)
        })
    }

    /// The same for process `pid`, of which `/proc/PID/cgroup` says `membership`.
    pub(super) fn of(
        root: &Path,
        membership: &str,
        pid: u32,
        remove: fn(&Path) -> io::Result<()>,
    ) -> Result<Self, NotDelegated> {
        let own = membership
            .lines()
            .find_map(|line| line.strip_prefix("0::/"));
        let home = root.join(own.ok_or(NotDelegated::None)?);
        // The topmost group has no events of its own, and is nobody's.
        if !home.join("cgroup.events").exists() {
            return Err(NotDelegated::None);
        }
        let refused = |source| NotDelegated::Refused {
            path: home.clone(),
            source,
        };
        let controllers = fs::read_to_string(home.join("cgroup.controllers")).map_err(refused)?;
        let has = |name: &str| controllers.split_whitespace().any(|has| has == name);
        if let Some(missing) = ["memory", "cpu"].into_iter().find(|name| !has(name)) {
            let path = home.clone();
            return Err(NotDelegated::Without { path, missing });
        }
        let members = fs::read_to_string(home.join("cgroup.procs")).map_err(refused)?;
        if members
            .split_whitespace()
            .any(|member| member != pid.to_string())
        {
            return Err(NotDelegated::Shared { path: home });
        }
        let daemon = home.join(DAEMON);
        made(&daemon).map_err(refused)?;
        let wanted = match has("pids") {
            true => "+memory +cpu +pids",
            false => "+memory +cpu",
        };
        let moved = fs::write(daemon.join("cgroup.procs"), pid.to_string())
            .and_then(|()| fs::write(home.join("cgroup.subtree_control"), wanted));
        if let Err(error) = moved {
            // Back to where it was, as far as that goes.
            let _back = fs::write(home.join("cgroup.procs"), pid.to_string());
            let _gone = remove(&daemon);
            return Err(refused(error));
        }
        let inner = Inner {
            home,
            channels: Mutex::default(),
            remove,
        };
        inner.sweep();
        let inner = Arc::new(inner);
        Ok(Self { inner })
    }

    /// The daemon's group.
    pub fn home(&self) -> &Path {
        &self.inner.home
    }

    /// A channel's group, with these limits, for as long as somebody holds it; nothing, where the system refuses it.
    pub(crate) fn channel(
        &self,
        id: ChannelId,
        allowance: GroupAllowance,
    ) -> Option<Arc<ChannelGroup>> {
        let mut channels = self.inner.lock();
        if let Some(group) = channels.get(&id).and_then(Weak::upgrade) {
            group.limit(allowance);
            return Some(group);
        }
        let path = self.inner.home.join(format!("{CHANNEL}{id}"));
        if let Err(error) = made(&path) {
            tracing::warn!(group = %path.display(), %error, "a channel has no control group");
            return None;
        }
        let group = ChannelGroup {
            oom_kills: Mutex::new(oom_kills(&path)),
            path,
            limits: Mutex::new(None),
            remove: self.inner.remove,
        };
        group.limit(allowance);
        let group = Arc::new(group);
        channels.retain(|_, group| group.strong_count() > 0);
        channels.insert(id, Arc::downgrade(&group));
        Some(group)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, Weak<ChannelGroup>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what an earlier run has left.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(CHANNEL) {
                // One that is not empty is used again.
                let _busy = (self.remove)(&entry.path());
            }
        }
    }
}

/// One channel's group. Removed with the last who holds it.
#[derive(Debug)]
pub(crate) struct ChannelGroup {
    path: PathBuf,
    /// What is set; nothing: nothing yet.
    limits: Mutex<Option<GroupAllowance>>,
    /// The kernel's kills for want of memory that are accounted for.
    oom_kills: Mutex<u64>,
    remove: fn(&Path) -> io::Result<()>,
}

impl ChannelGroup {
    /// Sets its limits, where they are others than before.
    pub(crate) fn limit(&self, allowance: GroupAllowance) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if *limits == Some(allowance) {
            return;
        }
        *limits = Some(allowance);
        let number = |limit: Option<u64>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        let memory = allowance.memory;
        let cpu = allowance
            .cpu
            .map(|percent| u64::from(percent) * PERIOD / 100);
        for (file, value) in [
            // Held back before it is killed.
            ("memory.high", number(memory.map(|bytes| bytes - bytes / 8))),
            ("memory.max", number(memory)),
            ("cpu.max", format!("{} {PERIOD}", number(cpu))),
            ("pids.max", number(allowance.tasks.map(u64::from))),
        ] {
            if let Err(error) = fs::write(self.path.join(file), value) {
                tracing::warn!(group = %self.path.display(), file, %error, "a limit is not set");
            }
        }
    }

    /// Where a process enters it.
    pub(super) fn entrance(&self) -> io::Result<fs::File> {
        let procs = self.path.join("cgroup.procs");
        fs::File::options().append(true).open(procs)
    }

    /// Whether the kernel has killed one more of it for want of memory, and its limit in bytes.
    pub(super) fn ran_out_of_memory(&self) -> Option<u64> {
        let mut known = self
            .oom_kills
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if oom_kills(&self.path) <= *known {
            return None;
        }
        *known += 1;
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.and_then(|limits| limits.memory)
    }
}

impl Drop for ChannelGroup {
    fn drop(&mut self) {
        if let Err(error) = (self.remove)(&self.path) {
            tracing::debug!(group = %self.path.display(), %error, "a control group is left");
        }
    }
}

/// Makes a group that may be there already.
fn made(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn oom_kills(group: &Path) -> u64 {
    let events = fs::read_to_string(group.join("memory.events")).unwrap_or_default();
    let count = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_default()
}
