//! Private PostgreSQL and Redis servers under the data folder, for a daemon that was given no URLs.
//!
//! Both listen on Unix sockets only, in folders that nobody else may enter. Run by root they become an
//! ordinary user; they reach their folders through inherited descriptors, so the data folder may lie
//! where that user cannot go. They are kept running (one that hangs is killed, on a full disk they wait for
//! room), ended gently by [`Embedded::stop`], and ended by the kernel when the daemon dies.
//!
//! Redis holds a copy that can be rebuilt, so nothing about it keeps a daemon from starting: where it does not
//! start it is tried again, and what it cannot read is put aside.
//!
//! Invariant: nothing on disk is removed but pid files and sockets of dead servers, our own half-made
//! clusters, and what was put aside except for the two newest.

mod aside;
mod child;
#[cfg(feature = "testing")]
pub(crate) mod detached;
mod error;
mod family;
mod folder;
mod identity;
mod keeper;
mod leftover;
mod log;
mod postgres;
mod programs;
mod recipe;
mod redis;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub use self::error::EmbeddedError;
pub use self::programs::Programs;

use self::folder::Folder;
use self::keeper::{FirstStart, Keeper, Maker};
use crate::gate::Server;

/// How long the lock of a daemon that is gone may last.
const LET_GO: Duration = Duration::from_secs(2);

/// What the servers promise about power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives.
    Durable,
    /// Nothing is synced: it survives killed servers, not a power cut. Fast, for tests only.
    Forgetful,
}

/// Which of the two servers to run (a URL may be configured for one of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Both,
    OnlyPostgres,
    OnlyRedis,
}

/// How to run the embedded servers.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The folder under which everything lies; made if it is missing.
    pub data_dir: PathBuf,
    pub which: Which,
    pub durability: Durability,
    /// How long a server may take until it answers (recovery after a crash included).
    pub start_limit: Duration,
    /// How long a server is waited for that cannot be started yet, where the daemon can do without it for a
    /// time: it is tried again for as long as it takes. Nothing: without it there is nothing to run for.
    pub may_come_later: Option<Duration>,
    pub programs: Programs,
}

impl EmbeddedConfig {
    /// Both servers, durable, with two minutes for each to start.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            which: Which::Both,
            durability: Durability::Durable,
            start_limit: Duration::from_secs(120),
            may_come_later: None,
            programs: Programs::default(),
        }
    }
}

/// The running servers. Dropped without [`Embedded::stop`] they are ended all the same, only later.
#[derive(Debug)]
pub struct Embedded {
    postgres: Option<Running>,
    redis: Option<Running>,
    /// Held for as long as the servers are ours.
    _lock: Flock<File>,
}

#[derive(Debug)]
struct Running {
    keeper: Keeper,
    url: String,
    /// Kept open: a long socket path is named through this descriptor.
    _sockets: Folder,
}

impl Embedded {
    /// Starts what is asked for and returns once it answers; Redis need not.
    ///
    /// # Errors
    /// One sentence on what is missing, in the way, or occupied; nothing was destroyed.
    pub async fn start(config: &EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let mut config = config.clone();
        config.data_dir = std::path::absolute(&config.data_dir)
            .map_err(EmbeddedError::io("find the folder", &config.data_dir))?;
        let (wants_postgres, wants_redis) = (
            config.which != Which::OnlyRedis,
            config.which != Which::OnlyPostgres,
        );
        if wants_postgres && config.may_come_later.is_none() {
            postgres::installed(&config.programs, &config.data_dir).await?;
        }
        if wants_redis && config.may_come_later.is_none() {
            programs::redis(&config.programs)?;
        }
        let run = config.data_dir.join("run");
        fs::create_dir_all(&run).map_err(EmbeddedError::io("make the folder", &run))?;
        let lock = lock(&run, &config).await?;
        let (postgres, redis) = tokio::join!(
            async {
                if wants_postgres {
                    start_postgres(&config, &run).await.map(Some)
                } else {
                    Ok(None)
                }
            },
            async {
                if wants_redis {
                    start_redis(&config, &run).await.map(Some)
                } else {
                    Ok(None)
                }
            },
        );
        match (postgres, redis) {
            (Ok(postgres), Ok(redis)) => Ok(Self {
                postgres,
                redis,
                _lock: lock,
            }),
            (Err(error), other) | (other, Err(error)) => {
                if let Ok(Some(server)) = other {
                    server.keeper.stop().await;
                }
                Err(error)
            }
        }
    }

    /// How to reach the database `playoutd` of the embedded PostgreSQL, in this process.
    pub fn database_url(&self) -> Option<&str> {
        self.postgres.as_ref().map(|running| running.url.as_str())
    }

    /// How to reach the embedded Redis, in this process.
    pub fn redis_url(&self) -> Option<&str> {
        self.redis.as_ref().map(|running| running.url.as_str())
    }

    /// The full disk that keeps a server from starting, in one sentence, now and later; nothing for a server
    /// that is not run here.
    pub fn no_room(&self, server: Server) -> Option<watch::Receiver<Option<String>>> {
        let running = match server {
            Server::Postgres => &self.postgres,
            Server::Redis => &self.redis,
        };
        running.as_ref().map(|running| running.keeper.no_room())
    }

    /// The process ids of PostgreSQL and Redis, where they run at this moment.
    pub fn pids(&self) -> [Option<u32>; 2] {
        [&self.postgres, &self.redis]
            .map(|server| server.as_ref().and_then(|running| running.keeper.pid()))
    }

    /// Ends both servers gently and returns once they are gone (at most about 25 s).
    pub async fn stop(self) {
        let stop = async |running: Option<Running>| {
            if let Some(running) = running {
                running.keeper.stop().await;
            }
        };
        tokio::join!(stop(self.postgres), stop(self.redis));
    }
}

/// The database of the servers that another process runs.
#[derive(Debug)]
pub struct Attached {
    url: String,
    /// Kept open: a long socket path is named through this descriptor.
    _sockets: Folder,
}

impl Attached {
    /// How to reach the database `playoutd` in this process, for as long as this lives.
    pub fn database_url(&self) -> &str {
        &self.url
    }
}

/// Reaches the PostgreSQL that the daemon on `data_dir` runs. Whether it answers shows with the first
/// connection.
///
/// # Errors
/// [`EmbeddedError`] when its folder cannot be entered.
pub fn attach(data_dir: &std::path::Path) -> Result<Attached, EmbeddedError> {
    let sockets = Folder::open(&data_dir.join("run").join("postgres"))?;
    let url = postgres_url(&sockets.name_for_clients(postgres::SOCKET));
    Ok(Attached {
        url,
        _sockets: sockets,
    })
}

fn postgres_url(socket_folder: &std::path::Path) -> String {
    format!(
        "postgresql://{}@{}:5432/{}",
        postgres::USER,
        percent_encoded(socket_folder),
        postgres::USER
    )
}

/// One that was just killed holds its lock for a moment longer.
async fn lock(
    run: &std::path::Path,
    config: &EmbeddedConfig,
) -> Result<Flock<File>, EmbeddedError> {
    let path = run.join("servers.lock");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(EmbeddedError::io("open", &path))?;
    let begun = Instant::now();
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, _)) if begun.elapsed() < LET_GO => file,
            Err(_) => {
                return Err(EmbeddedError::AlreadyRunning {
                    path: config.data_dir.clone(),
                });
            }
        };
        sleep(Duration::from_millis(20)).await;
    }
}

async fn start_postgres(
    config: &EmbeddedConfig,
    run: &std::path::Path,
) -> Result<Running, EmbeddedError> {
    let sockets = sockets(run, "postgres")?;
    let url = postgres_url(&sockets.name_for_clients(postgres::SOCKET));
    let maker = Maker::Postgres(config.clone(), run.to_owned());
    Ok(Running {
        keeper: Keeper::start(maker, first_start(config)).await?,
        url,
        _sockets: sockets,
    })
}

async fn start_redis(
    config: &EmbeddedConfig,
    run: &std::path::Path,
) -> Result<Running, EmbeddedError> {
    let sockets = sockets(run, "redis")?;
    let socket = sockets.name_for_clients(redis::SOCKET).join(redis::SOCKET);
    let maker = Maker::Redis(config.clone(), run.to_owned());
    // Its data can be rebuilt: nothing about it keeps a daemon from starting.
    let first = match first_start(config) {
        FirstStart::MustSucceed => FirstStart::MayFail,
        later => later,
    };
    Ok(Running {
        keeper: Keeper::start(maker, first).await?,
        url: format!("redis+unix://{}", socket.display()),
        _sockets: sockets,
    })
}

fn first_start(config: &EmbeddedConfig) -> FirstStart {
    config
        .may_come_later
        .map_or(FirstStart::MustSucceed, FirstStart::MayComeLater)
}

/// The folder of a server's socket, there before the server is; whose it becomes is settled when that starts.
fn sockets(run: &std::path::Path, name: &str) -> Result<Folder, EmbeddedError> {
    let path = run.join(name);
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(EmbeddedError::io("make the folder", &path)(error))
        }
        _ => Folder::open(&path),
    }
}

/// A path as the host of a connection URL.
fn percent_encoded(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut text, byte| {
            if plain(byte) {
                text.push(char::from(*byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
            text
        })
}
