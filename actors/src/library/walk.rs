//! Finds the files that an import means: one file, or everything in a folder. Blocks.
//!
//! Nothing outside the allowed roots is found, wherever symbolic links lead, and nothing in the daemon's own folder:
//! what was sent there has its items, and they may be another client's.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::import::RefusedFile;
use super::sidecars::{Names, Sidecar};
use crate::process::Roots;

/// No folder is entered deeper than this.
const DEEPEST: usize = 64;
/// More files are not taken in one import.
pub(super) const MOST_FILES: usize = 50_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files to examine, in the order of their names, symbolic links resolved.
    pub(super) files: Vec<PathBuf>,
    /// What is refused without being looked into.
    pub(super) refused: Vec<RefusedFile>,
    /// Files beside these, in the order of their names.
    pub(super) sidecars: Vec<Sidecar>,
    /// Why there may be more than was found: a sentence.
    pub(super) incomplete: Option<String>,
}

/// Finds what `path` means; `own` is the daemon's own folder.
///
/// # Errors
/// A sentence about `path` itself.
pub(super) fn find(path: &Path, roots: &Roots, own: &Path) -> Result<Found, String> {
    let shown = path.display();
    if path.as_os_str().as_bytes().contains(&0) {
        return Err("a path cannot have a NUL character in it".to_owned());
    }
    if !path.is_absolute() {
        return Err(format!(
            "{shown} is not an absolute path; it has to begin with a slash"
        ));
    }
    if roots.folders().is_some_and(<[PathBuf]>::is_empty) {
        return Err(format!(
            "{shown} may not be imported: the operator's setting media.client_roots names no folder for this client"
        ));
    }
    let outside = || {
        let folders = roots.folders().unwrap_or_default().iter();
        let roots: Vec<_> = folders.map(|root| root.display().to_string()).collect();
        format!(
            "{shown} is not in a folder that media may be imported from ({})",
            roots.join(", ")
        )
    };
    let real = fs::canonicalize(path).map_err(|error| match error.kind() {
        // What is there outside is nobody's business.
        _ if !roots.name(path) => outside(),
        io::ErrorKind::NotFound => format!("there is no file or folder {shown}"),
        io::ErrorKind::PermissionDenied => format!("reading {shown} is not allowed to the daemon"),
        _ => format!("{shown} cannot be read: {error}"),
    })?;
    if !roots.hold(&real) {
        return Err(outside());
    }
    let own = fs::canonicalize(own).unwrap_or_else(|_| own.to_owned());
    if real.starts_with(&own) {
        return Err(format!(
            "{shown} is in the daemon's own folder, which nothing is imported from"
        ));
    }
    let kind = fs::metadata(&real).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut walk = Walk {
        roots,
        own,
        found: Found::default(),
        seen: HashSet::new(),
    };
    if kind.is_file() {
        walk.beside(&real);
        walk.found.files.push(real);
    } else if kind.is_dir() {
        fs::read_dir(&real)
            .map_err(|error| format!("the folder {shown} cannot be read: {error}"))?;
        walk.folder(&real, 0);
    } else {
        return Err(format!("{shown} is neither a file nor a folder"));
    }
    Ok(walk.found)
}

/// What is neither a file nor a folder.
fn named(kind: fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

struct Walk<'a> {
    roots: &'a Roots,
    /// The daemon's own folder, symbolic links resolved.
    own: PathBuf,
    found: Found,
    /// Links can lead to the same thing twice, and round in circles.
    seen: HashSet<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        if !self.seen.insert(folder.to_owned()) {
            return;
        }
        if depth > DEEPEST {
            let reason = format!("It is more than {DEEPEST} folders deep.");
            return self.pass_over(folder, reason);
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                return self.pass_over(folder, format!("The folder cannot be read: {error}."));
            }
        };
        let mut paths = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => paths.push(entry.path()),
                Err(error) => {
                    let reason = format!("The folder cannot be read to its end: {error}.");
                    self.pass_over(folder, reason);
                    break;
                }
            }
        }
        paths.sort();
        let names = Names::of(&paths);
        for path in &paths {
            let name = path.file_name().map(OsStrExt::as_bytes);
            if name.is_some_and(|name| name.starts_with(b".")) {
                continue;
            }
            match names.beside(path) {
                Some((films, says)) => {
                    for film in films.iter().filter_map(|film| fs::canonicalize(film).ok()) {
                        if self.found.sidecars.len() < MOST_FILES {
                            self.found.sidecars.push(Sidecar {
                                film,
                                file: path.clone(),
                                says: says.clone(),
                            });
                        }
                    }
                }
                None => self.entry(path, depth),
            }
        }
    }

    /// Finds what lies beside one file.
    fn beside(&mut self, film: &Path) {
        let entries = film.parent().and_then(|folder| fs::read_dir(folder).ok());
        let mut paths: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        let own = [film.to_owned()];
        let names = Names::of(&own);
        for path in paths {
            if let Some((_, says)) = names.beside(&path) {
                self.found.sidecars.push(Sidecar {
                    film: film.to_owned(),
                    file: path,
                    says,
                });
            }
        }
    }

    fn entry(&mut self, path: &Path, depth: usize) {
        let Ok(kind) = fs::symlink_metadata(path) else {
            return;
        };
        let real = if kind.is_symlink() {
            match fs::canonicalize(path) {
                Ok(real) if self.roots.hold(&real) => real,
                Ok(_) => {
                    let reason =
                        "It is a symbolic link to a place that media may not be imported from.";
                    return self.refuse(path, reason.to_owned());
                }
                Err(_) => {
                    return self
                        .refuse(path, "It is a symbolic link that leads nowhere.".to_owned());
                }
            }
        } else {
            path.to_owned()
        };
        if real.starts_with(&self.own) {
            let reason = "It is the daemon's own, and nothing is imported from there.";
            return self.refuse(path, reason.to_owned());
        }
        match fs::metadata(&real) {
            Ok(kind) if kind.is_dir() => self.folder(&real, depth + 1),
            Ok(kind) if kind.is_file() => self.file(real),
            Ok(other) => {
                self.refuse(
                    path,
                    format!("It is {}, not a file.", named(other.file_type())),
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refuse(path, format!("The file cannot be opened: {error}."));
            }
            Err(error) => self.pass_over(path, format!("The file cannot be opened: {error}.")),
        }
    }

    fn file(&mut self, real: PathBuf) {
        if self.found.files.len() >= MOST_FILES {
            let reason = format!("More than {MOST_FILES} files are not imported at once.");
            return self.pass_over(&real, reason);
        }
        if self.seen.insert(real.clone()) {
            self.found.files.push(real);
        }
    }

    /// Refuses what may hold more than is known of it, or is more than is taken.
    fn pass_over(&mut self, path: &Path, reason: String) {
        let more = || format!("{}: {reason}", path.display());
        self.found.incomplete.get_or_insert_with(more);
        self.refuse(path, reason);
    }

    fn refuse(&mut self, path: &Path, reason: String) {
        if self.found.refused.len() < MOST_FILES {
            self.found.refused.push(RefusedFile {
                path: path.to_owned(),
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_outside_is_not_told_from_what_is_not_there() {
        let (mine, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(theirs.path().join("film.mp4"), "film").unwrap();
        let roots = Roots::new(vec![mine.path().to_owned()]);
        let refusal = |path: &Path| {
            let said = find(path, &roots, Path::new("/nowhere"))
                .map(drop)
                .unwrap_err();
            said.replace(&path.display().to_string(), "it")
        };
        let there = refusal(&theirs.path().join("film.mp4"));
        assert!(there.starts_with("it is not in a folder"), "{there}");
        let through = mine.path().join("..").join("nothing");
        for path in [
            &*theirs.path().join("nothing"),
            &*theirs.path().join("film.mp4/below"),
            &*through,
        ] {
            assert_eq!(refusal(path), there);
        }
        let own = refusal(&mine.path().join("nothing"));
        assert_eq!(own, "there is no file or folder it");
    }
}
