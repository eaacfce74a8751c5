//! The embedded servers: what they survive, and what they refuse without touching anything.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use playout_store::Server;
use playout_store::embedded::{
    Durability, Embedded, EmbeddedConfig, EmbeddedError, Programs, Which,
};
use playout_store::testing::until;
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// What a folder says in which we make a cluster.
const MARK: &str =
    "A PostgreSQL cluster is being made here by playoutd. This folder may be deleted.\n";

/// A data folder inside one that nobody but we may enter (mode 0700, as root's home is).
fn closed_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn config(folder: &TempDir) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(folder.path().join("data"));
    config.durability = Durability::Forgetful;
    config
}

fn only_postgres(folder: &TempDir) -> EmbeddedConfig {
    EmbeddedConfig {
        which: Which::OnlyPostgres,
        ..config(folder)
    }
}

async fn query(servers: &Embedded, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) =
        tokio_postgres::connect(servers.database_url().unwrap(), NoTls).await?;
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(sql).await;
    drop(client);
    connection.await.unwrap().ok();
    let row = messages?.into_iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(row.unwrap_or_default())
}

async fn redis(servers: &Embedded, command: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = servers
        .redis_url()
        .unwrap()
        .strip_prefix("redis+unix://")
        .unwrap();
    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn kill_hard(pid: u32) {
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
}

fn alive(pid: u32) -> bool {
    // A zombie is dead: whoever adopted it only has not looked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn refusal(config: &EmbeddedConfig) -> EmbeddedError {
    match Embedded::start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn both_serve_and_remember_from_a_folder_that_their_users_cannot_enter() {
    let folder = closed_folder();
    let servers = Embedded::start(&config(&folder)).await.unwrap();
    query(&servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();
    assert_eq!(redis(&servers, "SET kept 42").await.unwrap(), "+OK\r\n");
    assert_eq!(query(&servers, "SHOW data_checksums").await.unwrap(), "on");
    assert_eq!(query(&servers, "SHOW listen_addresses").await.unwrap(), "");
    assert!(
        redis(&servers, "CONFIG GET port")
            .await
            .unwrap()
            .contains("$1\r\n0\r\n")
    );
    assert!(
        redis(&servers, "CONFIG GET appendonly")
            .await
            .unwrap()
            .contains("yes")
    );
    for pid in servers.pids() {
        let owner = fs::metadata(format!("/proc/{}", pid.unwrap()))
            .unwrap()
            .uid();
        assert_ne!(owner, 0, "a server runs as root");
    }
    let pids = servers.pids();
    servers.stop().await;
    assert!(pids.iter().all(|pid| !alive(pid.unwrap())));

    let servers = Embedded::start(&config(&folder)).await.unwrap();
    assert_eq!(
        query(&servers, "SELECT answer FROM kept").await.unwrap(),
        "42"
    );
    assert!(redis(&servers, "GET kept").await.unwrap().contains("42"));
    servers.stop().await;
}

#[tokio::test]
async fn killed_servers_come_back_with_their_data() {
    let folder = closed_folder();
    let servers = Embedded::start(&config(&folder)).await.unwrap();
    query(&servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();
    redis(&servers, "SET kept 42").await.unwrap();

    // One backend: PostgreSQL restarts all of its own children.
    let backend: u32 = query(
        &servers,
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
    )
    .await
    .unwrap()
    .parse()
    .unwrap();
    kill_hard(backend);
    until("the checkpointer is gone", || async { !alive(backend) }).await;
    until("recovery from a killed backend", || async {
        query(&servers, "SELECT answer FROM kept")
            .await
            .is_ok_and(|answer| answer == "42")
    })
    .await;

    let [postgres, its_redis] = servers.pids().map(Option::unwrap);
    kill_hard(postgres);
    kill_hard(its_redis);
    until("other processes", || async {
        matches!(servers.pids(), [Some(a), Some(b)] if a != postgres && b != its_redis)
    })
    .await;
    assert_eq!(
        query(&servers, "SELECT answer FROM kept").await.unwrap(),
        "42"
    );
    assert!(redis(&servers, "GET kept").await.unwrap().contains("42"));
    servers.stop().await;
}

fn stop_hard(pid: u32) {
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGSTOP).unwrap();
}

#[tokio::test]
async fn hung_servers_are_killed_with_their_children_and_come_back_with_their_data() {
    let folder = closed_folder();
    let servers = Embedded::start(&config(&folder)).await.unwrap();
    query(&servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();
    redis(&servers, "SET kept 42").await.unwrap();
    let backends = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity";
    let backends = query(&servers, backends).await.unwrap();
    let [postgres, its_redis] = servers.pids().map(Option::unwrap);
    let backends = backends.split(' ').filter_map(|pid| pid.parse().ok());
    let living: Vec<u32> = backends.filter(|pid| alive(*pid)).collect();
    assert!(living.len() >= 3, "{living:?}");
    living.iter().for_each(|pid| stop_hard(*pid));
    stop_hard(postgres);
    stop_hard(its_redis);
    until("other processes", || async {
        matches!(servers.pids(), [Some(a), Some(b)] if a != postgres && b != its_redis)
    })
    .await;
    assert!(living.iter().all(|pid| !alive(*pid)), "a child hangs on");
    assert_eq!(
        query(&servers, "SELECT answer FROM kept").await.unwrap(),
        "42"
    );
    assert!(redis(&servers, "GET kept").await.unwrap().contains("42"));
    servers.stop().await;
}

#[tokio::test]
async fn children_that_hang_are_no_hindrance_when_their_server_is_killed() {
    let folder = closed_folder();
    let servers = Embedded::start(&only_postgres(&folder)).await.unwrap();
    query(&servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();
    let workers =
        "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type LIKE '%writer'";
    let workers = query(&servers, workers).await.unwrap();
    let workers: Vec<u32> = workers
        .split(' ')
        .filter_map(|pid| pid.parse().ok())
        .collect();
    assert!(workers.len() >= 2, "{workers:?}");
    let [postgres, _] = servers.pids();
    workers.iter().for_each(|pid| stop_hard(*pid));
    kill_hard(postgres.unwrap());
    until("another process", || async {
        servers.pids()[0].is_some_and(|pid| Some(pid) != postgres)
    })
    .await;
    assert!(workers.iter().all(|pid| !alive(*pid)), "a child hangs on");
    assert_eq!(
        query(&servers, "SELECT answer FROM kept").await.unwrap(),
        "42"
    );
    servers.stop().await;
}

#[tokio::test]
async fn what_cannot_start_yet_is_not_waited_for_and_comes_later() {
    let folder = closed_folder();
    let mut config = config(&folder);
    Embedded::start(&config).await.unwrap().stop().await;
    let data = folder.path().join("data");
    let (control, away) = (data.join("postgres/global/pg_control"), data.join("away"));
    fs::rename(&control, &away).unwrap();
    let error = refusal(&config).await;
    assert!(
        matches!(error, EmbeddedError::EndedAtStart { .. }),
        "{error}"
    );
    config.may_come_later = Some(Duration::from_millis(200));
    let servers = Embedded::start(&config).await.unwrap();
    assert_eq!(servers.pids()[0], None);
    assert!(query(&servers, "SELECT 7").await.is_err());
    until("Redis, which is in order", || async {
        redis(&servers, "PING")
            .await
            .is_ok_and(|pong| pong == "+PONG\r\n")
    })
    .await;
    fs::rename(&away, &control).unwrap();
    until("PostgreSQL, repaired", || async {
        query(&servers, "SELECT 7")
            .await
            .is_ok_and(|seven| seven == "7")
    })
    .await;
    servers.stop().await;
}

/// A small disk of its own; gone with the test. Only root can mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn of(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    /// Takes all the room there is, until the file is removed.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let chunk = vec![0; 1 << 16];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may take a moment to be gone.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_a_server_waits_for_room_and_comes_back_with_its_data() {
    let Some(disk) = SmallDisk::of(320) else {
        println!("a small disk can be mounted by root only: not tested here");
        return;
    };
    let mut config = EmbeddedConfig::new(disk.0.path().join("data"));
    config.durability = Durability::Forgetful;
    let servers = Embedded::start(&config).await.unwrap();
    query(&servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        .await
        .unwrap();
    redis(&servers, "SET kept 42").await.unwrap();
    let filler = disk.fill();
    let pids = servers.pids().map(Option::unwrap);
    pids.into_iter().for_each(kill_hard);
    until("both are down", || async { servers.pids() == [None, None] }).await;
    for server in [Server::Postgres, Server::Redis] {
        let mut no_room = servers.no_room(server).unwrap();
        let told = no_room.wait_for(Option::is_some);
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        let sentence = told.unwrap().unwrap().clone().unwrap();
        assert!(sentence.starts_with("no room for "), "{sentence}");
    }
    assert_eq!(servers.pids(), [None, None], "started on a full disk");
    fs::remove_file(filler).unwrap();
    until("both are back", || async {
        let seen = query(&servers, "SELECT answer FROM kept").await;
        let kept = redis(&servers, "GET kept").await;
        seen.is_ok_and(|answer| answer == "42") && kept.is_ok_and(|kept| kept.contains("42"))
    })
    .await;
    for server in [Server::Postgres, Server::Redis] {
        let mut no_room = servers.no_room(server).unwrap();
        no_room.wait_for(Option::is_none).await.unwrap();
    }
    servers.stop().await;
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_serves_on() {
    let folder = closed_folder();
    let servers = Embedded::start(&config(&folder)).await.unwrap();
    let error = refusal(&config(&folder)).await;
    assert!(
        matches!(error, EmbeddedError::AlreadyRunning { .. }),
        "{error}"
    );
    assert_eq!(query(&servers, "SELECT 7").await.unwrap(), "7");
    assert_eq!(redis(&servers, "PING").await.unwrap(), "+PONG\r\n");
    servers.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_going_is_waited_for() {
    let folder = closed_folder();
    let config = only_redis(&folder);
    let run = config.data_dir.join("run");
    fs::create_dir_all(&run).unwrap();
    let file = fs::File::create(run.join("servers.lock")).unwrap();
    let going = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    let mut starting = std::pin::pin!(Embedded::start(&config));
    let moment = tokio::time::timeout(Duration::from_millis(100), &mut starting).await;
    assert!(moment.is_err(), "it did not wait: {moment:?}");
    drop(going);
    starting.await.unwrap().stop().await;
}

#[tokio::test]
async fn a_stale_pid_file_whose_number_lives_on_is_no_hindrance() {
    let folder = closed_folder();
    Embedded::start(&only_postgres(&folder))
        .await
        .unwrap()
        .stop()
        .await;
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let data = folder.path().join("data");
    let stale = format!("{}\n/proc/self/fd/9\n1795378248\n5432\n", other.id());
    fs::write(data.join("postgres/postmaster.pid"), &stale).unwrap();
    fs::write(data.join("run/postgres/.s.PGSQL.5432.lock"), &stale).unwrap();
    let servers = Embedded::start(&only_postgres(&folder)).await.unwrap();
    assert_eq!(query(&servers, "SELECT 7").await.unwrap(), "7");
    servers.stop().await;
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_socket_that_somebody_else_serves_is_refused_and_stays_theirs() {
    let folder = closed_folder();
    let run = folder.path().join("data/run");
    let mut config = config(&folder);
    config.start_limit = Duration::from_millis(300);
    for (which, socket) in [
        (Which::OnlyRedis, "redis/redis.sock"),
        (Which::OnlyPostgres, "postgres/.s.PGSQL.5432"),
    ] {
        let socket = run.join(socket);
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let theirs = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = refusal(&EmbeddedConfig {
            which,
            ..config.clone()
        })
        .await;
        assert!(matches!(error, EmbeddedError::Occupied { .. }), "{error}");
        assert!(socket.exists());
        drop(theirs);
        // The socket that is left is nobody's: no hindrance.
        let start_limit = Duration::from_secs(60);
        Embedded::start(&EmbeddedConfig {
            which,
            start_limit,
            ..config.clone()
        })
        .await
        .unwrap()
        .stop()
        .await;
    }
}

#[tokio::test]
async fn a_server_that_ends_at_its_start_says_why() {
    let folder = closed_folder();
    let config = only_postgres(&folder);
    Embedded::start(&config).await.unwrap().stop().await;
    let settings = config.data_dir.join("postgres/postgresql.conf");
    fs::write(&settings, "no settings").unwrap();
    let error = refusal(&config).await;
    assert!(
        matches!(&error, EmbeddedError::EndedAtStart { last_words, .. } if !last_words.contains("said nothing")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&settings).unwrap(), "no settings");
}

fn only_redis(folder: &TempDir) -> EmbeddedConfig {
    EmbeddedConfig {
        which: Which::OnlyRedis,
        ..config(folder)
    }
}

/// What Redis has put aside, oldest first.
fn put_aside(config: &EmbeddedConfig) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(&config.data_dir).unwrap().flatten();
    let mut aside: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().contains("unreadable"))
        .map(|entry| entry.path())
        .collect();
    aside.sort();
    aside
}

#[tokio::test]
async fn what_redis_cannot_read_is_put_aside_and_it_begins_empty() {
    let folder = closed_folder();
    let config = only_redis(&folder);
    let log = "appendonlydir/appendonly.aof.1.incr.aof";
    let damage = b"\xde\xad\xbe\xef and no command";
    for time in 1..=3 {
        let servers = Embedded::start(&config).await.unwrap();
        assert_eq!(redis(&servers, "GET kept").await.unwrap(), "$-1\r\n");
        assert_eq!(put_aside(&config).len(), (time - 1).min(2));
        redis(&servers, "SET kept 42").await.unwrap();
        servers.stop().await;
        let path = config.data_dir.join("redis").join(log);
        let mut content = fs::read(&path).unwrap();
        content.extend_from_slice(damage);
        fs::write(&path, content).unwrap();
    }
    let servers = Embedded::start(&config).await.unwrap();
    // It fills up again, also when it is killed.
    redis(&servers, "SET kept 43").await.unwrap();
    let [_, killed] = servers.pids().map(Option::unwrap_or_default);
    kill_hard(killed);
    until("another process", || async {
        redis(&servers, "GET kept")
            .await
            .is_ok_and(|answer| answer.contains("43"))
    })
    .await;
    servers.stop().await;
    let aside = put_aside(&config);
    assert_eq!(aside.len(), 2);
    for folder in aside {
        let content = fs::read(folder.join(log)).unwrap();
        assert!(content.ends_with(damage) && content.len() > damage.len());
    }
}

#[tokio::test]
async fn a_redis_that_does_not_start_at_all_is_tried_on_and_keeps_its_data() {
    let folder = closed_folder();
    let mut config = only_redis(&folder);
    let servers = Embedded::start(&config).await.unwrap();
    redis(&servers, "SET kept 42").await.unwrap();
    servers.stop().await;
    // A folder that Redis' own user may enter.
    let programs = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(programs.path(), open.clone()).unwrap();
    let (program, cured) = (
        programs.path().join("redis-server"),
        programs.path().join("cured"),
    );
    let script = format!(
        "#!/bin/sh\n[ -e {} ] || {{ echo not today; exit 1; }}\nexec /usr/bin/redis-server \"$@\"\n",
        cured.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, open).unwrap();
    config.programs.path = programs.path().into();
    let servers = Embedded::start(&config).await.unwrap();
    assert_eq!(servers.pids(), [None, None]);
    fs::write(cured, "").unwrap();
    until("Redis answers", || async {
        redis(&servers, "PING")
            .await
            .is_ok_and(|answer| answer == "+PONG\r\n")
    })
    .await;
    assert!(redis(&servers, "GET kept").await.unwrap().contains("42"));
    assert_eq!(put_aside(&config), [""; 0].map(std::path::PathBuf::from));
    servers.stop().await;
}

#[tokio::test]
async fn a_half_made_cluster_is_removed_only_if_it_is_ours() {
    let folder = closed_folder();
    let workshop = folder.path().join("data/postgres.being-made");
    fs::create_dir_all(workshop.join("cluster")).unwrap();
    fs::write(workshop.join("cluster/PG_VERSION"), "15\n").unwrap();
    let error = refusal(&only_postgres(&folder)).await;
    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
    assert!(
        workshop.join("cluster/PG_VERSION").exists(),
        "something of others was removed"
    );

    fs::write(workshop.join("made-by-playoutd"), MARK).unwrap();
    let servers = Embedded::start(&only_postgres(&folder)).await.unwrap();
    assert!(!workshop.exists());
    servers.stop().await;
}

#[tokio::test]
async fn a_half_made_cluster_in_which_somebody_is_still_at_work_is_removed_with_him() {
    let folder = closed_folder();
    let workshop = folder.path().join("data/postgres.being-made");
    fs::create_dir_all(workshop.join("cluster")).unwrap();
    fs::write(workshop.join("made-by-playoutd"), MARK).unwrap();
    // Any program is taken by its name; this one writes new files as fast as it can.
    let program = folder.path().join("postgres");
    fs::copy("/bin/sh", &program).unwrap();
    let mut orphan = Command::new(&program)
        .args(["-c", "n=0; while :; do n=$((n + 1)); echo >$n; done"])
        .current_dir(workshop.join("cluster"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the orphan works", || async {
        workshop.join("cluster/100").exists()
    })
    .await;
    let servers = Embedded::start(&only_postgres(&folder)).await;
    let left = alive(orphan.id());
    orphan.kill().unwrap();
    orphan.wait().unwrap();
    servers.unwrap().stop().await;
    assert!(!left, "the orphan lives on");
    assert!(!workshop.exists());
}

#[tokio::test]
async fn a_daemon_killed_while_it_makes_the_cluster_is_followed_by_one_that_makes_it() {
    for so_far in ["PG_VERSION", "global/pg_control", "base/1/PG_VERSION"] {
        let folder = closed_folder();
        let config = config(&folder);
        let mut daemon = victim(&config.data_dir);
        let begun = config.data_dir.join("postgres.being-made/cluster");
        until("the cluster is half made", || async {
            begun.join(so_far).exists()
        })
        .await;
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        // At once, while what makes the cluster may still be at work.
        let servers = Embedded::start(&config).await.unwrap();
        assert_eq!(query(&servers, "SELECT 7").await.unwrap(), "7");
        servers.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_cluster_or_of_another_version_is_refused_and_left_alone() {
    let folder = closed_folder();
    let cluster = folder.path().join("data/postgres");
    fs::create_dir_all(&cluster).unwrap();
    fs::write(cluster.join("diary.txt"), "dear diary").unwrap();
    let error = refusal(&only_postgres(&folder)).await;
    assert!(
        matches!(error, EmbeddedError::NotACluster { .. }),
        "{error}"
    );

    fs::write(cluster.join("PG_VERSION"), "9\n").unwrap();
    let error = refusal(&only_postgres(&folder)).await;
    assert!(
        error
            .to_string()
            .contains("was made by PostgreSQL 9, but only PostgreSQL 1"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(cluster.join("diary.txt")).unwrap(),
        "dear diary"
    );
}

/// It blocks nobody meanwhile: a daemon asks anew at each start of the server, with channels on air.
#[tokio::test]
async fn a_program_that_hangs_when_it_is_asked_for_its_version_is_none() {
    let folder = closed_folder();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, script) in [("postgres", "exec sleep 600"), ("initdb", "exit 1")] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut config = config(&folder);
    config.programs = Programs {
        postgres_versions: "/nonexistent".into(),
        path: bin.into(),
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), refusal(&config)).await;
    let refused = refused.expect("it is not waited for").to_string();
    assert!(refused.contains("apt-get install postgresql)"), "{refused}");
}

#[tokio::test]
async fn a_missing_program_is_named_with_its_package() {
    let folder = closed_folder();
    let mut config = config(&folder);
    config.programs = Programs {
        postgres_versions: "/nonexistent".into(),
        path: "".into(),
    };
    assert!(
        refusal(&config)
            .await
            .to_string()
            .contains("apt-get install postgresql)")
    );
    config.which = Which::OnlyRedis;
    assert!(
        refusal(&config)
            .await
            .to_string()
            .contains("apt-get install redis-server)")
    );
    assert!(!config.data_dir.exists(), "a refused start made folders");
}

#[tokio::test]
async fn a_data_folder_with_a_very_long_and_odd_name_works() {
    let folder = closed_folder();
    let mut config = config(&folder);
    config.data_dir = folder
        .path()
        .join("a folder with a space, a 100% long name".repeat(4))
        .join("däta");
    fs::create_dir_all(&config.data_dir).unwrap();
    let servers = Embedded::start(&config).await.unwrap();
    assert_eq!(query(&servers, "SELECT 7").await.unwrap(), "7");
    assert_eq!(redis(&servers, "PING").await.unwrap(), "+PONG\r\n");
    servers.stop().await;
}

/// Not a test of its own: the daemon that the next test kills.
#[tokio::test]
#[ignore = "a process that another test starts"]
async fn daemon_to_be_killed() {
    let Some(data_dir) = std::env::var_os("DATA_DIR_OF_THE_VICTIM") else {
        return;
    };
    let mut config = EmbeddedConfig::new(Path::new(&data_dir));
    config.durability = Durability::Forgetful;
    let servers = Embedded::start(&config).await.unwrap();
    let [postgres, redis] = servers.pids().map(Option::unwrap);
    fs::write(
        config.data_dir.join("pids"),
        format!("{postgres} {redis} done"),
    )
    .unwrap();
    std::future::pending::<()>().await;
}

/// Starts [`daemon_to_be_killed`] on a folder.
fn victim(data_dir: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "daemon_to_be_killed"])
        .env("DATA_DIR_OF_THE_VICTIM", data_dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn servers_die_with_a_killed_daemon_and_the_next_one_starts() {
    killed_daemon_is_followed(|_| {}).await;
}

#[tokio::test]
async fn servers_that_hang_when_their_daemon_is_killed_are_no_hindrance() {
    // The signal that should end them does not reach them.
    killed_daemon_is_followed(|pids| pids.iter().for_each(|pid| stop_hard(*pid))).await;
}

async fn killed_daemon_is_followed(before: impl FnOnce(&[u32])) {
    let folder = closed_folder();
    let config = config(&folder);
    let mut daemon = victim(&config.data_dir);
    let told = config.data_dir.join("pids");
    until("the daemon's servers", || async {
        fs::read_to_string(&told).is_ok_and(|text| text.ends_with("done"))
    })
    .await;
    let pids: Vec<u32> = fs::read_to_string(&told)
        .unwrap()
        .split(' ')
        .flat_map(str::parse)
        .collect();
    assert!(pids.iter().all(|pid| alive(*pid)));
    before(&pids);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // At once, while the old servers may still be writing their last.
    let servers = Embedded::start(&config).await.unwrap();
    assert_eq!(query(&servers, "SELECT 7").await.unwrap(), "7");
    until("the old servers are gone", || async {
        pids.iter().all(|pid| !alive(*pid))
    })
    .await;
    servers.stop().await;
}
