//! Folders of a server: made, owned and opened by the daemon, passed on as open descriptors.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;
use tokio::net::UnixStream;

use super::error::EmbeddedError;
use super::identity::Identity;

/// The longest path a Unix socket can be bound or connected to (`sun_path`, less its NUL).
const SOCKET_PATH_MAX: usize = 107;

/// An open folder: what a server inherits, whatever its user may enter on the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    open: Arc<File>,
}

impl Folder {
    /// Makes `path` if it is missing (0700, owned by `owner`) and opens it.
    pub(super) fn private(path: &Path, owner: Option<&Identity>) -> Result<Self, EmbeddedError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(EmbeddedError::io("make the folder", path)(error));
            }
            _ => {}
        }
        if let Some(owner) = owner {
            std::os::unix::fs::lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
                .map_err(EmbeddedError::io("change the owner of", path))?;
        }
        let folder = Self::open(path)?;
        // A folder that came from elsewhere may be open to others; PostgreSQL refuses such a one.
        let wanted = std::fs::Permissions::from_mode(0o700);
        folder
            .open
            .set_permissions(wanted)
            .map_err(EmbeddedError::io("change the mode of", path))?;
        Ok(folder)
    }

    pub(super) fn open(path: &Path) -> Result<Self, EmbeddedError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)
            .map_err(EmbeddedError::io("open the folder", path))?;
        Ok(Self {
            path: path.to_owned(),
            open: Arc::new(open),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn inherited(&self) -> Arc<File> {
        self.open.clone()
    }

    /// The folder's name inside a process that inherited it.
    pub(crate) fn name_for_child(&self) -> String {
        format!("/proc/self/fd/{}", self.open.as_raw_fd())
    }

    /// The folder's name for clients of a socket called `socket` in it: the path itself, or, where
    /// that is too long for a socket address or no text, a short one through our own open descriptor (good for
    /// as long as this process lives and keeps the folder).
    pub(crate) fn name_for_clients(&self, socket: &str) -> PathBuf {
        if self
            .path
            .to_str()
            .is_some_and(|path| path.len() + 1 + socket.len() <= SOCKET_PATH_MAX)
        {
            return self.path.clone();
        }
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.open.as_raw_fd()
        ))
    }

    /// Makes a rename into this folder last through a power cut.
    pub(super) fn sync(&self) -> Result<(), EmbeddedError> {
        self.open
            .sync_all()
            .map_err(EmbeddedError::io("sync the folder", &self.path))
    }
}

/// Whether anybody listens on this socket. Only a refusal says that nobody does: a server that is too
/// busy to answer is alive.
pub(super) async fn is_served(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
    }
}

/// Refuses where fewer than `needed_mib` are free for ordinary users.
pub(super) fn has_room(
    server: &'static str,
    path: &Path,
    needed_mib: u64,
) -> Result<(), EmbeddedError> {
    let found = statvfs(path)
        .map_err(|e| EmbeddedError::io("look at the file system of", path)(e.into()))?;
    let free_mib = found.blocks_available() * found.fragment_size() / (1024 * 1024);
    if free_mib < needed_mib {
        return Err(EmbeddedError::NoRoom {
            server,
            path: path.to_owned(),
            free_mib,
            needed_mib,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_disk_without_room_is_refused_with_both_numbers() {
        let path = std::env::temp_dir();
        has_room("Redis", &path, 0).unwrap();
        let refusal = has_room("Redis", &path, 1 << 40).unwrap_err().to_string();
        assert!(refusal.starts_with("no room for Redis in "), "{refusal}");
        assert!(
            refusal.contains(" MiB are free and 1099511627776 MiB are needed"),
            "{refusal}"
        );
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_named_by_an_open_folder() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("n".repeat(SOCKET_PATH_MAX));
        let (short, long) = (
            Folder::private(&parent.path().join("s"), None).unwrap(),
            Folder::private(&long, None).unwrap(),
        );
        assert_eq!(short.name_for_clients("redis.sock"), short.path());
        let name = long.name_for_clients("redis.sock");
        assert!(name.as_os_str().len() < 40, "{}", name.display());
        assert_eq!(std::fs::canonicalize(name).unwrap(), long.path());
    }

    #[tokio::test]
    async fn a_socket_is_served_even_if_its_server_is_too_busy_to_accept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("busy.sock");
        assert!(!is_served(&path).await);
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
        }
        assert!(
            is_served(&path).await,
            "after {} connections",
            waiting.len()
        );
        drop(socket);
        assert!(!is_served(&path).await);
    }
}
