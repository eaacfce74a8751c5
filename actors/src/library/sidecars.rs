//! The file beside an item that says something about it: `film.json` or `film.nfo` beside `film.mp4`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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

/// Whether a file beside others is a sidecar of one of them: it has the name of one that is none.
pub(super) fn is_sidecar(path: &Path, others: &[std::path::PathBuf]) -> bool {
    let ends = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e)))
    };
    let same = |other: &std::path::PathBuf| !ends(other) && other.file_stem() == path.file_stem();
    ends(path) && others.iter().any(same)
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
