//! Whether this daemon was alone on its database, remembered outside of it: one that starts while PostgreSQL is
//! away airs from its copies only then. A file beside the copies, `alone`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// See the module's head. Without a folder nothing is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    file: Option<PathBuf>,
    /// The database is this daemon's own: nobody else can be on it.
    private: bool,
}

impl Alone {
    /// Remembered in the folder of the copies.
    pub(crate) fn within(folder: Option<&Path>, private: bool) -> Self {
        let file = folder.map(|folder| folder.join("alone"));
        Self { file, private }
    }

    /// Whether it was so.
    pub(crate) async fn is_noted(&self) -> bool {
        match self.file.clone() {
            _ if self.private => true,
            Some(file) => blocking(move || file.try_exists()).await.unwrap_or(false),
            None => false,
        }
    }

    /// From now on it is so, on disk as well.
    pub(super) async fn note(&self) -> io::Result<()> {
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        blocking(move || {
            if file.try_exists()? {
                return Ok(());
            }
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut made = File::create(&file)?;
            made.write_all(b"No other daemon was on the database.\n")?;
            made.sync_all()?;
            synced(&file)
        })
        .await
    }

    /// From now on it is not so; when this returns, no crash brings it back.
    pub(super) async fn forget(&self) -> Result<(), StoreError> {
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        let forgotten = blocking(move || match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => synced(&file),
        });
        forgotten.await.map_err(|error| {
            StoreError::Internal(format!(
                "that another daemon is there cannot be noted on disk: {error}"
            ))
        })
    }
}

/// What its folder says of a file is on disk.
fn synced(file: &Path) -> io::Result<()> {
    file.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| Err(io::Error::other(failure)))
}
