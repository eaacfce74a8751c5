//! What a daemon that was killed while it made a cluster leaves behind: a folder with our mark, and for a
//! moment the programs that still work in it. Their parent dies with the daemon, they do not.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::error::EmbeddedError;

const MARK: &str = "made-by-playoutd";
const MARK_TEXT: &str =
    "A PostgreSQL cluster is being made here by playoutd. This folder may be deleted.\n";
/// The folder of the cluster itself.
pub(super) const CLUSTER: &str = "cluster";
/// Programs that make a cluster.
const MAKERS: [&str; 2] = ["initdb", "postgres"];
/// How long they may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says in `workshop` that it is ours.
pub(super) fn mark(workshop: &Path) -> Result<(), EmbeddedError> {
    fs::write(workshop.join(MARK), MARK_TEXT).map_err(EmbeddedError::io("write into", workshop))
}

/// Removes a half-made cluster, if the mark in it says that it is ours; what still works in it is killed
/// before, and waited for.
pub(super) async fn remove(workshop: &Path) -> Result<(), EmbeddedError> {
    match fs::symlink_metadata(workshop) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(EmbeddedError::io("look at", workshop)(error)),
        Ok(_) => {}
    }
    let empty = fs::read_dir(workshop).is_ok_and(|mut entries| entries.next().is_none());
    let marked = fs::read(workshop.join(MARK)).is_ok_and(|text| text == MARK_TEXT.as_bytes());
    if !marked && !empty {
        return Err(EmbeddedError::NotOurs {
            path: workshop.to_owned(),
        });
    }
    let cluster = workshop.join(CLUSTER);
    let begun = Instant::now();
    loop {
        let makers = at_work_in(&cluster);
        for maker in &makers {
            tracing::info!(pid = %maker, "ending what a killed daemon left at work on a new cluster");
            // It may end at this very moment.
            let _ = kill(*maker, Signal::SIGKILL);
        }
        let late = begun.elapsed() > PATIENCE;
        match makers.first() {
            Some(maker) if late => {
                return Err(EmbeddedError::Occupied {
                    server: "PostgreSQL",
                    path: cluster,
                    pid: maker.to_string(),
                });
            }
            Some(_) => {}
            // The mark goes last, so that a removal cut short can be finished.
            None => match fs::remove_dir_all(&cluster) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && !late => {}
                Err(error) => {
                    let doing = "remove the half-made cluster in";
                    return Err(EmbeddedError::io(doing, workshop)(error));
                }
            },
        }
        sleep(Duration::from_millis(20)).await;
    }
    fs::remove_dir_all(workshop).map_err(EmbeddedError::io("remove", workshop))
}

/// The programs that make a cluster in this very folder: those that stand in it, or hold it open.
fn at_work_in(cluster: &Path) -> Vec<Pid> {
    let Ok(ours) = fs::metadata(cluster) else {
        return Vec::new();
    };
    let is_it = |path: &Path| {
        fs::metadata(path).is_ok_and(|its| (its.dev(), its.ino()) == (ours.dev(), ours.ino()))
    };
    let at_work = |process: &Path| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        MAKERS.contains(&name.trim_end())
            && (is_it(&process.join("cwd"))
                || entries(&process.join("fd")).any(|open| is_it(&open.path())))
    };
    entries(Path::new("/proc"))
        .filter_map(|process| Some((process.file_name().to_str()?.parse().ok()?, process.path())))
        .filter(|(_, process)| at_work(process))
        .map(|(pid, _)| Pid::from_raw(pid))
        .collect()
}

/// The entries of a folder; none where it is gone or cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}
