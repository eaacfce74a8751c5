//! One daemon per `data_dir`: a lock that the kernel lets go of when its holder dies.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

/// Takes the lock of `data_dir`.
///
/// # Errors
/// One sentence: who holds it, or why the file cannot be used.
pub(super) fn take(data_dir: &Path) -> Result<Lock, String> {
    attempt(data_dir)?.map_err(|file| held(file, data_dir))
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
    // Only for people, and for the sentence above: the kernel's lock is what counts.
    let noted = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(|error| cannot(&error))?;
    Ok(Ok(Lock { _file: file }))
}

fn held(mut file: File, data_dir: &Path) -> String {
    let mut text = String::new();
    let holder = file
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| text.trim().parse::<u32>().ok());
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
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_is_there_and_comes_in_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        let refused = take(folder.path()).unwrap_err();
        assert!(
            refused.contains(&format!("(process {})", std::process::id())),
            "{refused}"
        );
        assert!(refused.contains("another data_dir"), "{refused}");
        assert!(free(folder.path()).unwrap().is_none());
        drop(first);
        take(folder.path()).unwrap();
        assert!(free(folder.path()).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let refused = take(Path::new("/proc/no-such-folder")).unwrap_err();
        assert!(refused.contains("/proc/no-such-folder/lock"), "{refused}");
    }
}
