//! The copy on disk: one file for each record, `<kind>/<id>.json`, written whole or not at all, for its owner
//! alone; `revision` says up to where it is complete. Everything here blocks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Contents, Due, Kind, Records};

const REVISION: &str = "revision";
const EXTENSION: &str = "json";
/// What is not whole yet; one that is left was cut short.
const PART: &str = "part";
/// Counts what is being written.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// The folder of the copy.
#[derive(Debug, Clone)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What is there; nothing when no copy was ever complete here.
    pub(crate) fn load(&self) -> Option<Contents> {
        self.remove_parts();
        let revision = fs::read_to_string(self.0.join(REVISION)).ok()?;
        let revision = revision.trim().parse().ok()?;
        let mut records = Records::new();
        for kind in Kind::ALL {
            for (id, path) in self.files(kind) {
                match fs::read_to_string(&path) {
                    Ok(json) => drop(records.insert((kind, id), json)),
                    Err(error) => {
                        tracing::error!(file = %path.display(), %error, "a record of the copy cannot be read");
                    }
                }
            }
        }
        Some(Contents { revision, records })
    }

    /// Of a daemon that was killed while it wrote.
    fn remove_parts(&self) {
        let folders = Kind::ALL.iter().map(|kind| self.0.join(kind.name()));
        for folder in folders.chain([self.0.clone()]) {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path());
            for part in paths.filter(|path| path.extension().is_some_and(|e| e == PART)) {
                drop(fs::remove_file(part)); // it takes room, and that is all
            }
        }
    }

    /// Writes what is due, and then the revision.
    pub(super) fn write(&self, revision: u64, due: &Due) -> io::Result<()> {
        private_folder(&self.0)?;
        for kind in Kind::ALL {
            private_folder(&self.0.join(kind.name()))?;
        }
        match due {
            Due::All(records) => {
                for kind in Kind::ALL {
                    for (id, path) in self.files(kind) {
                        if !records.contains_key(&(kind, id)) {
                            remove(&path)?;
                        }
                    }
                }
                for ((kind, id), json) in records {
                    let path = self.path(*kind, id);
                    if !fs::read(&path).is_ok_and(|there| there == json.as_bytes()) {
                        replace(&path, json)?;
                    }
                }
            }
            Due::Some(due, _) => {
                for ((kind, id), json) in due {
                    let path = self.path(*kind, id);
                    match json {
                        Some(json) => replace(&path, json)?,
                        None => remove(&path)?,
                    }
                }
            }
        }
        replace(&self.0.join(REVISION), &format!("{revision}\n"))
    }

    /// Writes or removes one record at once.
    pub(crate) fn write_one(&self, kind: Kind, id: &str, json: Option<&str>) -> io::Result<()> {
        private_folder(&self.0)?;
        private_folder(&self.0.join(kind.name()))?;
        match json {
            Some(json) => replace(&self.path(kind, id), json),
            None => remove(&self.path(kind, id)),
        }
    }

    fn path(&self, kind: Kind, id: &str) -> PathBuf {
        // Ids are of our own making, but nothing leads out of the folder.
        let id: String = id
            .chars()
            .map(|c| if c == '/' || c == '\0' { '_' } else { c })
            .collect();
        self.0.join(kind.name()).join(format!("{id}.{EXTENSION}"))
    }

    /// The records of a kind: ids and files.
    fn files(&self, kind: Kind) -> Vec<(String, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.0.join(kind.name())) else {
            return Vec::new();
        };
        let files = entries.flatten().map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == EXTENSION))
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
            .collect()
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts a file in the place of what is there: the old one or the new one, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Two writers never write to one file.
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("{number}.{PART}"));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&part, path)
    })();
    if written.is_err() {
        drop(fs::remove_file(&part)); // there may be none
    }
    written
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => path
            .parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Counts;
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn record(kind: Kind, id: &str, json: &str) -> ((Kind, String), String) {
        ((kind, id.to_owned()), json.to_owned())
    }

    #[test]
    fn what_was_written_is_read_back_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::at(folder.path().join("standby"));
        assert_eq!(disk.load(), None);
        let records = Records::from([
            record(Kind::Channel, "one", "{\"a\":1}"),
            record(Kind::Token, "two", "2"),
        ]);
        disk.write(7, &Due::All(records.clone())).unwrap();
        let copy = Contents {
            revision: 7,
            records,
        };
        assert_eq!(disk.load(), Some(copy));
        let file = folder.path().join("standby/channels/one.json");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let folder = file.parent().unwrap();
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);

        let due = vec![
            ((Kind::Channel, "one".to_owned()), None),
            ((Kind::Channel, "../three".to_owned()), Some("3".to_owned())),
        ];
        disk.write(8, &Due::Some(due, Counts::new())).unwrap();
        let copy = disk.load().unwrap();
        assert_eq!(copy.revision, 8);
        let mut left: Vec<_> = copy.records.into_keys().collect();
        left.sort();
        let expected = [
            (Kind::Channel, ".._three".to_owned()),
            (Kind::Token, "two".to_owned()),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn what_was_cut_short_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::at(folder.path().to_owned());
        disk.write(1, &Due::All(Records::from([record(Kind::Media, "m", "1")])))
            .unwrap();
        let part = folder.path().join("media/m.7.part");
        fs::write(&part, "{\"ha").unwrap();
        assert_eq!(disk.load().unwrap().records.len(), 1);
        assert!(!part.exists());
    }
}
