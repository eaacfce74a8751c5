//! Data that a server cannot read and that can be rebuilt is put aside, and the server begins empty.
//!
//! Whether the data is at fault is found by trying: a server that starts without it could not read it.
//! One that does not start without it either, or whose start is broken off, gets it back. Nothing is destroyed: what was put aside lies
//! beside the folder as `<folder>.unreadable-<time>`, the two newest of them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// So many are kept.
const KEPT: usize = 2;

/// The folder of data that can be rebuilt.
#[derive(Clone, Debug)]
pub(super) struct Rebuildable {
    folder: PathBuf,
}

/// Data that was put aside; it is put back when this is dropped, unless it was given up.
#[derive(Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    aside: PathBuf,
    /// Whether there is nothing to put back any more.
    settled: bool,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = self.put_back()
        {
            tracing::error!(data = %self.aside.display(), %error, "what was put aside cannot be put back");
        }
    }
}

impl Rebuildable {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Moves everything out of the folder; `None` where there is nothing in it. The folder itself stays:
    /// the server knows it by an open descriptor.
    pub(super) fn put_aside(&self, now: Timestamp) -> io::Result<Option<Aside>> {
        let folder = self.folder.clone();
        if fs::read_dir(&folder)?.next().is_none() {
            return Ok(None);
        }
        let mut aside = folder.clone().into_os_string();
        aside.push(format!(
            ".unreadable-{}",
            now.strftime("%Y%m%dT%H%M%S.%6fZ")
        ));
        let aside = PathBuf::from(aside);
        DirBuilder::new().mode(0o700).create(&aside)?;
        let moved = Aside {
            folder,
            aside,
            settled: false,
        };
        move_all(&moved.folder, &moved.aside)?;
        Ok(Some(moved))
    }
}

impl Aside {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.aside
    }

    /// It was not the data's fault: moves it back, in place of what the attempt without it has written.
    fn put_back(&mut self) -> io::Result<()> {
        self.settled = true;
        for written in fs::read_dir(&self.folder)?.flatten() {
            let path = written.path();
            // Of data that could not be moved there is no other copy.
            if !self.aside.join(written.file_name()).exists() {
                continue;
            }
            match written.file_type()?.is_dir() {
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
        move_all(&self.aside, &self.folder)?;
        fs::remove_dir(&self.aside)
    }

    /// The server runs without it. Removes what was put aside before, but for the newest.
    pub(super) fn give_up(mut self) -> io::Result<()> {
        self.settled = true;
        let (Some(parent), Some(name)) = (self.folder.parent(), self.folder.file_name()) else {
            return Ok(());
        };
        let prefix = format!("{}.unreadable-", name.to_string_lossy());
        let is_time = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit() || b"T.Z".contains(&b))
        };
        let ours = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let time = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            time.is_some_and(is_time) && entry.file_type().is_ok_and(|kind| kind.is_dir())
        };
        let mut all: Vec<PathBuf> = fs::read_dir(parent)?
            .flatten()
            .filter(ours)
            .map(|entry| entry.path())
            .collect();
        all.sort();
        let older = all.len().saturating_sub(KEPT);
        all[..older].iter().try_for_each(fs::remove_dir_all)
    }
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_put_back_replaces_what_was_written_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("redis");
        fs::create_dir_all(folder.join("log")).unwrap();
        fs::write(folder.join("log/kept"), "before").unwrap();
        let aside = Rebuildable::new(&folder).put_aside(Timestamp::UNIX_EPOCH);
        let aside = aside.unwrap().unwrap();
        assert_eq!(names(&folder), [""; 0]);
        assert_eq!(
            names(home.path()),
            ["redis", "redis.unreadable-19700101T000000.000000Z"]
        );
        fs::create_dir(folder.join("log")).unwrap();
        fs::write(folder.join("log/new"), "meanwhile").unwrap();
        drop(aside);
        assert_eq!(names(home.path()), ["redis"]);
        assert_eq!(names(&folder.join("log")), ["kept"]);
    }

    #[test]
    fn an_empty_folder_is_not_put_aside() {
        let home = tempfile::tempdir().unwrap();
        let aside = Rebuildable::new(home.path()).put_aside(Timestamp::UNIX_EPOCH);
        assert!(aside.unwrap().is_none());
    }

    #[test]
    fn the_two_newest_are_kept_and_nothing_of_others_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("redis");
        for other in ["redis", "redis.unreadable-by-me", "redis.copy"] {
            fs::create_dir(home.path().join(other)).unwrap();
        }
        for second in [3, 1, 2, 4] {
            fs::write(folder.join("log"), "").unwrap();
            let now = Timestamp::from_second(second).unwrap();
            let aside = Rebuildable::new(&folder).put_aside(now).unwrap().unwrap();
            aside.give_up().unwrap();
        }
        let expected = [
            "redis",
            "redis.copy",
            "redis.unreadable-19700101T000003.000000Z",
            "redis.unreadable-19700101T000004.000000Z",
            "redis.unreadable-by-me",
        ];
        assert_eq!(names(home.path()), expected);
    }
}
