//! One daemon per `data_dir`: a lock that the kernel lets go of when its holder dies.
//!
//! A process that was killed holds it until the kernel has taken it apart, which may take longer than the next
//! start: a holder that is going is waited for.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::{Instant, sleep};

/// How long a holder that is going may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long a holder has to be seen alive: a signal that was just sent shows a moment later.
const CERTAIN: Duration = Duration::from_millis(250);
/// How often is looked again.
const LOOK: Duration = Duration::from_millis(20);

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

/// Takes the lock of `data_dir`, also after a daemon that is going.
///
/// # Errors
/// One sentence: who holds it, or why the file cannot be used.
pub(super) async fn take(data_dir: &Path) -> Result<Lock, String> {
    let begun = Instant::now();
    loop {
        let file = match attempt(data_dir)? {
            Ok(lock) => return Ok(lock),
            Err(file) => file,
        };
        let holder = holder(file);
        let patience = match holder {
            Some(pid) if !is_going(pid) => CERTAIN,
            _ => PATIENCE,
        };
        if begun.elapsed() > patience {
            return Err(held(holder, data_dir));
        }
        sleep(LOOK).await;
    }
}

/// Takes the lock of `data_dir` where no daemon runs on it.
///
/// # Errors
/// One sentence: why the file cannot be used.
pub(super) fn free(data_dir: &Path) -> Result<Option<Lock>, String> {
    Ok(attempt(data_dir)?.ok())
}

/// The lock, or the file that another process holds the lock of.
fn attempt(data_dir: &Path) -> Result<Result<Lock, File>, String> {
    let path = data_dir.join("lock");
    let cannot = |error: &dyn std::fmt::Display| format!("cannot lock {}: {error}", path.display());
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options.open(&path).map_err(|error| cannot(&error))?;
    let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => file,
        Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(file)),
        Err((_, error)) => return Err(cannot(&error)),
    };
    // Only for people, and for the sentence below: the kernel's lock is what counts.
    let noted = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(|error| cannot(&error))?;
    Ok(Ok(Lock { _file: file }))
}

/// Who holds the lock; one that has just taken it has not noted itself yet.
fn holder(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether a process is gone, is being taken apart, or will not live to see its next instruction.
fn is_going(pid: u32) -> bool {
    /// `PF_EXITING` of the kernel's `sched.h`.
    const EXITING: u64 = 0x4;
    const KILLED: u64 = 1 << (nix::libc::SIGKILL - 1);
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else {
        return true;
    };
    let stat = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = stat.split(' ').collect();
    let state = fields.first().copied().unwrap_or_default();
    let flags = fields.get(6).and_then(|flags| flags.parse().ok());
    let pending = status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("SigPnd:")
                .or(line.strip_prefix("ShdPnd:"))
        })
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    matches!(state, "Z" | "X")
        || flags.unwrap_or(0_u64) & EXITING != 0
        || pending.fold(0, |all, mask| all | mask) & KILLED != 0
}

fn held(holder: Option<u32>, data_dir: &Path) -> String {
    let holder = holder
        .map(|pid| format!(" (process {pid})"))
        .unwrap_or_default();
    format!(
        "another playoutd{holder} runs on {}: stop it first, or choose another data_dir",
        data_dir.display()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_second_daemon_is_told_who_is_there_and_comes_in_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).await.unwrap();
        let refused = take(folder.path()).await.unwrap_err();
        assert!(
            refused.contains(&format!("(process {})", std::process::id())),
            "{refused}"
        );
        assert!(refused.contains("another data_dir"), "{refused}");
        assert!(free(folder.path()).unwrap().is_none());
        drop(first);
        take(folder.path()).await.unwrap();
        assert!(free(folder.path()).unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_is_going_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let first = take(folder.path()).await.unwrap();
        std::fs::write(folder.path().join("lock"), gone.id().to_string()).unwrap();
        let begun = Instant::now();
        let refused = take(folder.path()).await.unwrap_err();
        assert!(refused.contains(&gone.id().to_string()), "{refused}");
        assert!(begun.elapsed() > PATIENCE, "it was not waited for");
        let going = async {
            sleep(PATIENCE / 2).await;
            drop(first);
        };
        let (taken, ()) = tokio::join!(take(folder.path()), going);
        taken.unwrap();
    }

    #[test]
    fn who_was_killed_is_going_before_he_is_gone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(!is_going(child.id()));
        child.kill().unwrap();
        let begun = std::time::Instant::now();
        while !is_going(child.id()) {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_going(child.id()));
    }

    #[tokio::test]
    async fn a_folder_that_is_none_is_named() {
        let refused = take(Path::new("/proc/no-such-folder")).await.unwrap_err();
        assert!(refused.contains("/proc/no-such-folder/lock"), "{refused}");
    }
}
