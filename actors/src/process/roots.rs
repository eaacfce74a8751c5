//! Where strangers' files may lie. A path is judged by what it leads to at the moment of the question: a
//! file that was inside yesterday may be a link that leads outside today.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The folders that strangers' files may be read from; by default everywhere. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Roots(Option<Arc<Vec<PathBuf>>>);

impl Roots {
    /// These folders and everything in them; none: nothing.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self(Some(Arc::new(folders)))
    }

    /// The folders as they were given; `None`: everywhere.
    pub fn folders(&self) -> Option<&[PathBuf]> {
        self.0.as_deref().map(Vec::as_slice)
    }

    /// Whether `real`, a path without symbolic links, lies in one of them. Blocks. One that is not there
    /// (a disk not mounted yet) holds nothing.
    pub fn hold(&self, real: &Path) -> bool {
        let holds =
            |root: &PathBuf| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        self.folders()
            .is_none_or(|folders| folders.iter().any(holds))
    }

    /// Whether `path`, as it is written, is in one of them, whatever is there. Blocks.
    pub fn name(&self, path: &Path) -> bool {
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let named = |root: &PathBuf| {
            path.starts_with(root)
                || fs::canonicalize(root).is_ok_and(|root| path.starts_with(root))
        };
        self.folders()
            .is_none_or(|folders| path.components().all(plain) && folders.iter().any(named))
    }

    /// Whether `path` leads to something in one of them now. Blocks.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn lead_to(&self, path: &Path) -> io::Result<bool> {
        Ok(self.hold(&fs::canonicalize(path)?))
    }
}
