//! The embedded PostgreSQL: a private cluster with checksums, Unix socket only, made once.
//!
//! A cluster is made under another name and renamed when it is whole, so `postgres/` is either
//! missing or complete. What is removed is only ever a half-made cluster that carries our mark.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::child::{Attachment, Log, Order};
use super::error::EmbeddedError;
use super::family;
use super::folder::{Folder, has_room, is_served};
use super::identity::{self, Identity};
use super::leftover;
use super::log::{LastWords, follow};
use super::programs::{self, Programs};
use super::recipe::{Probe, Recipe};
use super::{Durability, EmbeddedConfig};

const SERVER: &str = "PostgreSQL";
/// What its processes are called.
const PROCESS: &str = "postgres";
/// The user and the database of the daemon; the socket's folder is what keeps others out.
pub(super) const USER: &str = "playoutd";
pub(super) const SOCKET: &str = ".s.PGSQL.5432";
const NEEDED_NEW_MIB: u64 = 160;
const NEEDED_MIB: u64 = 32;
/// How long a predecessor whose daemon was killed may take for its last checkpoint.
const PREDECESSOR: Duration = Duration::from_secs(30);

/// Fast shutdown: ends sessions, writes a checkpoint. Then immediate: the next start recovers.
const ENDING: &[(Signal, Duration)] = &[
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
];

/// PostgreSQL made ready to start.
pub(super) struct Postgres {
    pub(super) recipe: Recipe,
    /// For servers that outlive this process.
    #[cfg_attr(not(feature = "testing"), expect(dead_code))]
    pub(super) socket_folder: PathBuf,
}

/// Makes the cluster if there is none, and the command line; starts no server.
pub(super) async fn prepare(
    config: &EmbeddedConfig,
    run: &Path,
) -> Result<Postgres, EmbeddedError> {
    let path = config.data_dir.join("postgres");
    let user;
    let bin;
    if let Some(version) = version_of_cluster(&path)? {
        bin = programs::postgres(&config.programs, Some(&version), &path)
            .await?
            .bin;
        user = identity::for_data_in(&path, &["postgres", "nobody"])?;
        has_room(SERVER, &path, NEEDED_MIB)?;
    } else {
        bin = programs::postgres(&config.programs, None, &path).await?.bin;
        user = identity::for_data_in(
            &config.data_dir.join("postgres.not-yet"),
            &["postgres", "nobody"],
        )?;
        has_room(SERVER, &config.data_dir, NEEDED_NEW_MIB)?;
        make_cluster(config, &bin, user.as_ref(), &path).await?;
    }
    let data = Folder::private(&path, user.as_ref())?;
    let sockets = Folder::private(&run.join("postgres"), user.as_ref())?;
    let socket_folder = sockets.name_for_clients(SOCKET);
    clear_the_way(&data, &sockets, &socket_folder, config.start_limit).await?;

    let mut order = Order {
        program: bin.join("postgres"),
        args: vec!["-D".into(), data.name_for_child().into()],
        become_user: user,
        folders: vec![data.inherited(), sockets.inherited()],
        attachment: Attachment::DiesWithUs(Signal::SIGINT),
        log: Log::Piped,
    };
    for (name, value) in settings(config.durability, &sockets) {
        order
            .args
            .extend(["-c".into(), format!("{name}={value}").into()]);
    }
    let recipe = Recipe {
        server: SERVER,
        order,
        probe: Probe::Postgres(Box::new(client_config(&socket_folder, "postgres"))),
        ending: ENDING,
        start_limit: config.start_limit,
        rebuildable: None,
    };
    Ok(Postgres {
        recipe,
        socket_folder,
    })
}

fn settings(durability: Durability, sockets: &Folder) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("listen_addresses", String::new()),
        ("port", "5432".into()),
        ("unix_socket_directories", sockets.name_for_child()),
        ("unix_socket_permissions", "0700".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("log_line_prefix", String::new()),
        ("log_checkpoints", "off".into()),
        ("max_connections", "100".into()),
        ("shared_buffers", "64MB".into()),
        ("max_wal_size", "512MB".into()),
        ("jit", "off".into()),
    ];
    if durability == Durability::Forgetful {
        // Commits still reach the kernel, so what was committed survives a killed server.
        for name in ["fsync", "full_page_writes"] {
            settings.push((name, "off".into()));
        }
    }
    settings
}

/// How this process connects to the embedded server.
pub(super) fn client_config(socket_folder: &Path, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(socket_folder)
        .port(5432)
        .user(USER)
        .dbname(database);
    config
        .connect_timeout(Duration::from_secs(2))
        .application_name("playoutd embedded");
    config
}

/// The version of the cluster in `path`; `None` where none was made yet.
fn version_of_cluster(path: &Path) -> Result<Option<String>, EmbeddedError> {
    match fs::read_to_string(path.join("PG_VERSION")) {
        Ok(version) => Ok(Some(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EmbeddedError::io("read the folder", path)(error)),
            Ok(mut entries) => match entries.next() {
                None => Ok(None),
                Some(_) => Err(EmbeddedError::NotACluster {
                    path: path.to_owned(),
                }),
            },
        },
        Err(error) => Err(EmbeddedError::io("read PG_VERSION in", path)(error)),
    }
}

async fn make_cluster(
    config: &EmbeddedConfig,
    bin: &Path,
    user: Option<&Identity>,
    path: &Path,
) -> Result<(), EmbeddedError> {
    let workshop = path.with_file_name("postgres.being-made");
    leftover::remove(&workshop).await?;
    fs::create_dir(&workshop).map_err(EmbeddedError::io("make the folder", &workshop))?;
    leftover::mark(&workshop)?;
    let made = Folder::private(&workshop.join(leftover::CLUSTER), user)?;

    let mut args: Vec<std::ffi::OsString> = vec![
        "-D".into(),
        made.name_for_child().into(),
        "-U".into(),
        USER.into(),
    ];
    args.extend(
        [
            "--data-checksums",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ]
        .map(Into::into),
    );
    args.push("--no-instructions".into());
    if config.durability == Durability::Forgetful {
        args.push("--no-sync".into());
    }
    let initdb = Order {
        program: bin.join("initdb"),
        args,
        become_user: user.cloned(),
        folders: vec![made.inherited()],
        attachment: Attachment::DiesWithUs(Signal::SIGKILL),
        log: Log::Piped,
    };
    let limit = Duration::from_secs(300);
    let probe = Probe::Redis(PathBuf::new());
    let recipe = Recipe {
        server: SERVER,
        order: initdb,
        probe,
        ending: &[],
        start_limit: limit,
        rebuildable: None,
    };
    let mut child = recipe.spawn().await?;
    let words = LastWords::default();
    let readers = follow("initdb", &mut child, &words);
    let exit = child
        .wait()
        .await
        .map_err(EmbeddedError::io("wait for", bin.join("initdb")))?;
    for reader in readers {
        drop(reader.await);
    }
    if !exit.success() {
        let failed = EmbeddedError::InitFailed {
            path: path.to_owned(),
            last_words: words.sentence(),
        };
        drop(leftover::remove(&workshop).await); // the failure is what matters; the next boot removes it as well
        return Err(failed.or_disk_full(SERVER, path));
    }
    fs::rename(workshop.join(leftover::CLUSTER), path)
        .map_err(EmbeddedError::io("rename the new cluster to", path))?;
    Folder::open(&config.data_dir)?.sync()?;
    leftover::remove(&workshop).await
}

/// Waits for a server, or the children of one, that were left behind, and removes pid files whose process is gone.
/// (PostgreSQL takes a stale pid file for a living server when the number was given out again.)
async fn clear_the_way(
    data: &Folder,
    sockets: &Folder,
    socket_folder: &Path,
    limit: Duration,
) -> Result<(), EmbeddedError> {
    let begun = Instant::now();
    // Its children end with a server that was killed, unless they are stopped; beside them no other starts.
    let left = || {
        let server = living_server(data.path());
        server.or_else(|| family::at_work_in(data.path(), PROCESS).pop())
    };
    while let Some(pid) = left() {
        if family::is_stopped(pid) {
            tracing::warn!(pid, "a PostgreSQL that was left behind hangs; it is killed");
            family::kill_all(pid).await;
            continue;
        }
        if begun.elapsed() > PREDECESSOR.min(limit) {
            return Err(EmbeddedError::Occupied {
                server: SERVER,
                path: data.path().to_owned(),
                pid: pid.to_string(),
            });
        }
        sleep(Duration::from_millis(20)).await;
    }
    if is_served(&socket_folder.join(SOCKET)).await {
        let pid = read_pid(&sockets.path().join(".s.PGSQL.5432.lock"))
            .map_or_else(|| "unknown".into(), |pid| pid.to_string());
        return Err(EmbeddedError::Occupied {
            server: SERVER,
            path: sockets.path().to_owned(),
            pid,
        });
    }
    let stale = [
        data.path().join("postmaster.pid"),
        sockets.path().join(".s.PGSQL.5432.lock"),
        sockets.path().join(SOCKET),
    ];
    for file in stale {
        match fs::remove_file(&file) {
            Ok(()) => {
                tracing::info!(file = %file.display(), "removed what a server that is gone left behind")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(EmbeddedError::io("remove the stale file", file)(error)),
        }
    }
    Ok(())
}

/// The process named in the cluster's pid file, if it is alive and works in this very folder.
fn living_server(cluster: &Path) -> Option<u32> {
    let pid = read_pid(&cluster.join("postmaster.pid"))?;
    family::works_in(pid, cluster).then_some(pid)
}

fn read_pid(file: &Path) -> Option<u32> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Refuses early, with the sentence, when nothing could ever start.
pub(super) async fn installed(programs: &Programs, data_dir: &Path) -> Result<(), EmbeddedError> {
    programs::postgres(programs, None, data_dir).await.map(drop)
}

/// Makes the daemon's database, if it is not there.
pub(super) async fn make_database(
    config: &tokio_postgres::Config,
) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let known = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&USER])
        .await?;
    if known.is_none() {
        client
            .batch_execute(&format!("CREATE DATABASE {USER}"))
            .await?;
    }
    drop(client);
    drop(connection.await);
    Ok(())
}
