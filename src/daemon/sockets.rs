//! Opens what is listened on: the configured addresses, the Unix socket, and in their place what systemd has opened.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tokio::net::{TcpListener, UnixListener};

use super::activation;
use crate::config::HttpSettings;
use crate::facade::Serves;
use crate::facade::listener::{Listener, Routes, Socket};
use crate::facade::tls::Tls;

/// Sockets that listen, and what each is for.
#[derive(Debug)]
pub(super) struct Sockets {
    sockets: Vec<(Serves, Socket)>,
    unix: Option<SocketFile>,
}

impl Sockets {
    /// Opens them. `inherited` go in place of the configured addresses of the same use.
    ///
    /// # Errors
    /// One sentence: which one cannot be opened.
    pub(super) async fn open(
        http: &HttpSettings,
        inherited: Vec<(Serves, Socket)>,
    ) -> Result<Self, String> {
        let mut sockets = inherited;
        for (serves, bind, key) in [
            (Serves::Everything, Some(http.bind), "http.bind"),
            (Serves::Viewers, http.viewer_bind, "http.viewer_bind"),
        ] {
            let Some(bind) = bind else { continue };
            if sockets.iter().any(|(inherited, _)| *inherited == serves) {
                continue;
            }
            let listener = TcpListener::bind(bind).await.map_err(|error| {
                format!("cannot listen on {bind}: {error}; {key} sets the address and port")
            })?;
            sockets.push((serves, Socket::Tcp(listener)));
        }
        let mut unix = None;
        if let Some(path) = &http.unix_socket {
            let mode = u32::try_from(http.unix_socket_mode.get()).unwrap_or_default();
            let (listener, file) = listen_at(path, mode).map_err(|error| {
                let path = path.display();
                format!("cannot listen on {path}, which is http.unix_socket: {error}")
            })?;
            sockets.push((Serves::Everything, Socket::Unix(listener)));
            unix = Some(file);
        }
        Ok(Self { sockets, unix })
    }

    /// The address of the first one by TCP that serves this.
    pub(super) fn address(&self, wanted: Serves) -> Option<SocketAddr> {
        self.sockets
            .iter()
            .find_map(|(serves, socket)| match socket {
                Socket::Tcp(listener) if *serves == wanted => listener.local_addr().ok(),
                _ => None,
            })
    }

    /// For the accept loops, and the file of the Unix socket, which is removed when it is dropped.
    pub(super) fn listeners(
        self,
        routes: impl Fn(Serves) -> Routes,
        tls: Option<&Tls>,
    ) -> (Vec<Listener>, Option<SocketFile>) {
        let sockets = self.sockets.into_iter();
        let listeners = sockets.map(|(serves, socket)| Listener {
            socket,
            routes: routes(serves),
            tls: tls.cloned(),
        });
        (listeners.collect(), self.unix)
    }
}

/// Those that systemd has opened.
///
/// # Errors
/// One sentence: what was handed over cannot be used.
pub(super) fn inherited() -> Result<Vec<(Serves, Socket)>, String> {
    activation::inherited()
}

/// The file of a Unix socket. It is this daemon's for as long as the lock beside it is held, and no longer there after.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens at `path`. What a process left there that is gone is replaced, what somebody listens at is not.
fn listen_at(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let taken = |why: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, why.to_owned()));
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(beside(".lock"))?;
    let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        return taken("another daemon listens there");
    };
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return taken("there is something that is no socket");
        }
        // Of ours nobody listens: there is the lock.
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return taken("another program listens there");
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Under its name nobody finds it before it has its mode.
    let new = beside(".new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(mode))?;
    std::fs::rename(&new, path)?;
    let file = SocketFile {
        path: path.to_owned(),
        _lock: lock,
    };
    Ok((listener, file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn what_a_dead_daemon_left_is_replaced_and_a_live_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        // As a process leaves it that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, file) = listen_at(&path, 0o620).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o620);
        UnixStream::connect(&path).unwrap();
        let refused = listen_at(&path, 0o600).unwrap_err().to_string();
        assert!(refused.contains("another daemon"), "{refused}");
        UnixStream::connect(&path).unwrap();
        drop((listener, file));
        assert!(!path.exists());
        let _others = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let refused = listen_at(&path, 0o600).unwrap_err().to_string();
        assert!(refused.contains("another program"), "{refused}");
        UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let refused = listen_at(&path, 0o600).unwrap_err().to_string();
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
