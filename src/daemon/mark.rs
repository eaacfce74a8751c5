//! The mark of a run: a file in `data_dir` that is there while the daemon runs. Found at a start, it says
//! that the run before did not end by itself.
//!
//! A start that is refused leaves the mark as it found it, so that the next one still tells.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Its name in `data_dir`.
const NAME: &str = "running";
/// More than a time is never in it.
const LONGEST: usize = 64;

/// The mark of this run. It stays where the run does not [`end`](RunMark::end).
#[derive(Debug)]
pub(super) struct RunMark {
    file: PathBuf,
    /// When the run before began, if it did not end by itself.
    pub(super) unclean: Option<String>,
}

impl RunMark {
    /// Looks what the run before has left. The caller holds the lock of `data_dir`.
    pub(super) fn look(data_dir: &Path) -> Self {
        let file = data_dir.join(NAME);
        let unclean = match fs::read(&file) {
            Ok(bytes) => Some(begun(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(format!("an unknown time ({error})")),
        };
        Self { file, unclean }
    }

    /// From now on this run is marked.
    pub(super) fn begin(&self, now: Timestamp) {
        if let Err(error) = fs::write(&self.file, format!("{now:.0}\n")) {
            tracing::warn!(%error, file = %self.file.display(), "the mark of this run cannot be written");
        }
    }

    /// This run ends by itself.
    pub(super) fn end(&self) {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, file = %self.file.display(), "the mark of this run stays");
            }
            _ => {}
        }
    }
}

/// What the mark says, if a crash of the machine has left it whole.
fn begun(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    match text.trim().parse::<Timestamp>() {
        Ok(begun) => begun.to_string(),
        Err(_) => "an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_that_did_not_end_is_told_of_until_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let look = || RunMark::look(folder.path());
        assert_eq!(look().unclean, None);
        let now = "2026-11-24T08:00:00.123Z".parse().unwrap();
        look().begin(now);
        // A start that was refused has looked, and no more.
        for _ in 0..2 {
            assert_eq!(look().unclean.as_deref(), Some("2026-11-24T08:00:00Z"));
        }
        look().end();
        assert_eq!(look().unclean, None);
        look().end();
    }

    #[test]
    fn a_mark_that_was_cut_short_still_tells() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"2026-11-2", b"\xff\xfe", &[b'9'; 9000]] {
            std::fs::write(folder.path().join(NAME), content).unwrap();
            let unclean = RunMark::look(folder.path()).unclean;
            assert_eq!(unclean.as_deref(), Some("an unknown time"));
        }
    }
}
