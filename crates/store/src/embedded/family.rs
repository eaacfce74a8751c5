//! A server's processes: its own and those that it has started. One that hangs is ended with all of them: they
//! may hang like it, and the next server cannot start beside them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// Kills a process and those that it has started, and waits until they are gone. The caller reaps what is
/// its own child.
pub(super) async fn kill_all(parent: u32) {
    let mut family = children(parent);
    family.extend(i32::try_from(parent));
    for pid in family.iter().rev() {
        // The parent first, or it starts others; some may have ended by themselves.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    let begun = Instant::now();
    while family
        .iter()
        .any(|pid| state(*pid).is_some_and(|state| !"ZX".contains(state)))
        && begun.elapsed() < GONE
    {
        sleep(Duration::from_millis(20)).await;
    }
}

/// The processes called `name` that work in this very folder.
pub(super) fn at_work_in(folder: &Path, name: &str) -> Vec<u32> {
    let is_called = |pid: &u32| {
        let its = fs::read_to_string(format!("/proc/{pid}/comm"));
        its.is_ok_and(|its| its.trim_end() == name)
    };
    let all = pids().filter_map(|pid| u32::try_from(pid).ok());
    all.filter(is_called)
        .filter(|pid| works_in(*pid, folder))
        .collect()
}

/// Whether a process was stopped by a signal: it does nothing, and a request to end does not reach it.
pub(super) fn is_stopped(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| state(pid) == Some('T'))
}

/// Whether a process works in this very folder.
pub(super) fn works_in(pid: u32, folder: &Path) -> bool {
    let its = fs::metadata(format!("/proc/{pid}/cwd"));
    let ours = fs::metadata(folder);
    its.is_ok_and(|its| ours.is_ok_and(|ours| (its.dev(), its.ino()) == (ours.dev(), ours.ino())))
}

/// The processes that `parent` has started.
fn children(parent: u32) -> Vec<i32> {
    pids()
        .filter(|pid| field(*pid, 1).and_then(|parent| parent.parse().ok()) == Some(parent))
        .collect()
}

/// All processes.
fn pids() -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn state(pid: i32) -> Option<char> {
    field(pid, 0)?.chars().next()
}

/// A field of `/proc/pid/stat` (proc(5)), counted from the one after the process' name.
fn field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}
