//! The file beside an item that says something about it: `film.json` or `film.nfo` beside `film.mp4`.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use playout_domain::Details;
use playout_domain::media::MediaItem;
use playout_media::sidecar::{self, LARGEST};
use tokio::task::spawn_blocking;

use super::Inner;
use crate::process::Roots;

/// Names of sidecars end so; the first that is there counts.
const ENDINGS: [&str; 2] = ["json", "nfo"];

impl Inner {
    /// What the sidecar of an item says; nothing where there is none, or none that can be read.
    pub(super) async fn sidecar(&self, item: &MediaItem) -> Details {
        let (path, roots) = (item.path.clone(), self.roots.of(item.client_id));
        let read = spawn_blocking(move || beside(&path, &roots)).await;
        read.unwrap_or_default()
    }
}

/// What the files of a folder are called that have sidecars, should there be any.
pub(super) struct Names<'a>(HashSet<&'a OsStr>);

impl<'a> Names<'a> {
    /// Of everything in the folder.
    pub(super) fn of(paths: &'a [PathBuf]) -> Self {
        let files = paths.iter().filter(|path| !ends(path));
        Self(files.filter_map(|path| path.file_stem()).collect())
    }

    /// Whether a file of the folder is the sidecar of another: it has the name of one that is none.
    pub(super) fn have_sidecar(&self, path: &Path) -> bool {
        let has_name = |name| self.0.contains(name);
        ends(path) && path.file_stem().is_some_and(has_name)
    }
}

/// Whether a sidecar may be called so.
fn ends(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e)))
}

fn beside(path: &Path, roots: &Roots) -> Details {
    for ending in ENDINGS {
        let file = path.with_extension(ending);
        if file == path {
            continue;
        }
        let read = match read(&file, roots) {
            Ok(bytes) if ending == "json" => sidecar::json(&bytes),
            Ok(bytes) => sidecar::nfo(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(details) => return details,
            Err(reason) => {
                tracing::warn!(file = %file.display(), reason, "a sidecar is passed over");
            }
        }
    }
    Details::default()
}

/// A sidecar whole; one that leads out of the roots, is too large or no file is an error.
fn read(file: &Path, roots: &Roots) -> io::Result<Vec<u8>> {
    if !roots.lead_to(file)? {
        return Err(io::Error::other("it leads to where media may not be read"));
    }
    let mut options = File::options();
    // A pipe in its place is not waited for.
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() {
        length if length > LARGEST => Err(io::Error::other("it is too large")),
        _ => Ok(bytes),
    }
}
