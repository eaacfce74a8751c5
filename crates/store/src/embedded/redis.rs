//! The embedded Redis: Unix socket only, append-only file on, its log on a pipe.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::aside::Rebuildable;
use super::child::{Attachment, Log, Order};
use super::error::EmbeddedError;
use super::folder::{Folder, has_room, is_served};
use super::recipe::{Probe, Recipe};
use super::{Durability, EmbeddedConfig, family, identity, programs};

const SERVER: &str = "Redis";
pub(super) const SOCKET: &str = "redis.sock";
const NEEDED_MIB: u64 = 16;
/// How long a predecessor whose daemon was killed may take to write its last and end.
const PREDECESSOR: Duration = Duration::from_secs(20);

const ENDING: &[(Signal, Duration)] = &[(Signal::SIGTERM, Duration::from_secs(15))];

/// Redis made ready to start.
pub(super) struct Redis {
    pub(super) recipe: Recipe,
    /// For servers that outlive this process.
    #[cfg_attr(not(feature = "testing"), expect(dead_code))]
    pub(super) socket: PathBuf,
}

/// Makes the folders and the command line; starts nothing.
pub(super) async fn prepare(config: &EmbeddedConfig, run: &Path) -> Result<Redis, EmbeddedError> {
    let program = programs::redis(&config.programs)?;
    let path = config.data_dir.join("redis");
    let user = identity::for_data_in(&path, &["redis", "nobody"])?;
    let data = Folder::private(&path, user.as_ref())?;
    has_room(SERVER, &path, NEEDED_MIB)?;
    let sockets = Folder::private(&run.join("redis"), user.as_ref())?;
    let socket = sockets.name_for_clients(SOCKET).join(SOCKET);
    wait_for_predecessor(&socket, data.path(), config.start_limit).await?;

    let fsync = match config.durability {
        Durability::Durable => "everysec",
        Durability::Forgetful => "no",
    };
    let at = |folder: &Folder, name: &str| format!("{}/{name}", folder.name_for_child());
    let settings: [(&str, String); 11] = [
        ("--port", "0".into()),
        ("--unixsocket", at(&sockets, SOCKET)),
        ("--unixsocketperm", "700".into()),
        ("--dir", data.name_for_child()),
        ("--appendonly", "yes".into()),
        ("--appendfsync", fsync.into()),
        ("--save", String::new()),
        ("--daemonize", "no".into()),
        ("--logfile", String::new()),
        ("--databases", "1".into()),
        ("--loglevel", "notice".into()),
    ];
    let order = Order {
        program,
        args: settings
            .into_iter()
            .flat_map(|(name, value)| [name.into(), value.into()])
            .collect(),
        become_user: user,
        folders: vec![data.inherited(), sockets.inherited()],
        attachment: Attachment::DiesWithUs(Signal::SIGTERM),
        log: Log::Piped,
    };
    let recipe = Recipe {
        server: SERVER,
        order,
        probe: Probe::Redis(socket.clone()),
        ending: ENDING,
        start_limit: config.start_limit,
        rebuildable: Some(Rebuildable::new(&path)),
    };
    Ok(Redis { recipe, socket })
}

/// Redis unlinks a socket it finds, living or not: so look first. A server left by a killed daemon is
/// on its way out and is waited for; one that stays is somebody else's.
async fn wait_for_predecessor(
    socket: &Path,
    data: &Path,
    limit: Duration,
) -> Result<(), EmbeddedError> {
    let begun = Instant::now();
    while is_served(socket).await {
        let peer = UnixStream::connect(socket).await.ok();
        let peer = peer.and_then(|peer| getsockopt(&peer, PeerCredentials).ok());
        let pid = peer.and_then(|peer| u32::try_from(peer.pid()).ok());
        if let Some(pid) = pid
            && family::is_stopped(pid)
            && family::works_in(pid, data)
        {
            tracing::warn!(
                pid,
                "a Redis that a killed daemon left behind hangs; it is killed"
            );
            family::kill_all(pid).await;
            continue;
        }
        if begun.elapsed() > PREDECESSOR.min(limit) {
            return Err(EmbeddedError::Occupied {
                server: SERVER,
                path: data.to_owned(),
                pid: pid.map_or_else(|| "unknown".into(), |pid| pid.to_string()),
            });
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether a Redis on this socket takes commands (one that still loads its data says `-LOADING`).
pub(super) async fn ping(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    Ok(answer == *b"+PONG\r\n")
}

/// Returns when Redis has said anything, whatever it is.
pub(super) async fn says_anything(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    // One that lets nobody in says so at once, and may have closed by now.
    drop(stream.write_all(b"PING\r\n").await);
    stream.read_u8().await.map(drop)
}
