//! For tests: real servers, one pair for a whole test run, and a store of its own for each test.
//!
//! The servers begin with the first test that asks and end with the run, however that ends. Each
//! [`fresh`] store has a database copied from a migrated template and a Redis prefix of its own.
#![allow(clippy::expect_used, clippy::panic)] // a test that cannot have its servers has failed

mod proxy;

pub use proxy::{Manner, Proxy};

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fred::clients::Client;
use fred::prelude::{
    Builder, ClientLike, Config, HashesInterface, KeysInterface, ServerConfig, StreamsInterface,
};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;
use playout_domain::limits::PlanLimits;
use playout_domain::media::ProbeSummary;
use playout_domain::{ClientId, Details, MediaId, MediaItem, MediaStatus};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::embedded::detached;
use crate::{Airtime, Principal, Scopes, Server, Store, StoreConfig, database, migrate};

/// The migrated database that every test's is a copy of.
const TEMPLATE: &str = "template_playoutd";
/// Sockets lie below this; their paths must stay under 108 bytes.
const LONGEST_BASE: usize = 40;

/// What tests wait for comes within this.
const BOUND: Duration = Duration::from_secs(60);

/// Waits until something holds.
///
/// # Panics
/// It does not within a minute.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    found(what, async || holds().await.then_some(())).await;
}

/// Waits until `store` knows whether a server of it works.
///
/// # Panics
/// It does not within half a minute.
pub async fn known(store: &Store, server: Server, works: bool) {
    let mut condition = store.condition(server);
    let known = condition.wait_for(|condition| condition.works() == works);
    let known = tokio::time::timeout(Duration::from_secs(30), known).await;
    assert!(
        matches!(known, Ok(Ok(_))),
        "{server:?} works: {works} was not known"
    );
}

/// Waits until there is something to be found, and answers it.
///
/// # Panics
/// There is nothing within a minute.
pub async fn found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut again = tokio::time::interval(Duration::from_millis(10));
    let looking = async {
        loop {
            again.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(BOUND, looking).await;
    found.unwrap_or_else(|_| panic!("waited too long until {what}"))
}

/// A store that nobody else has. Its database goes when it is dropped.
#[derive(Debug)]
pub struct TestStore {
    store: Store,
    config: StoreConfig,
    /// The same without proxies.
    direct: StoreConfig,
    database: String,
    folder: PathBuf,
}

/// What stands between a store and its servers.
#[derive(Debug)]
pub struct Proxies {
    /// Before PostgreSQL.
    pub postgres: Proxy,
    /// Before Redis.
    pub redis: Proxy,
}

/// A store of its own, on the servers of this test run.
///
/// # Panics
/// When the servers cannot be started.
pub async fn fresh() -> TestStore {
    open(|_, _, _| {}).await
}

/// A store of its own that reaches its servers through proxies. [`TestStore::session`] does not.
///
/// # Panics
/// When the servers cannot be started.
pub async fn behind_proxies() -> (TestStore, Proxies) {
    let mut proxies = None;
    let store = open(|config, servers, folder| {
        let socket = folder.join("pg");
        fs::create_dir(&socket).expect("a folder for the socket");
        let theirs = servers.folder.join("run/postgres/.s.PGSQL.5432");
        let postgres = Proxy::start(&socket.join(".s.PGSQL.5432"), theirs);
        let host = socket.display().to_string().replace('/', "%2F");
        let (_, database) = config.database_url.rsplit_once('/').expect("a database");
        config.database_url = format!("postgresql://playoutd@{host}:5432/{database}");
        let theirs = config.redis_url.strip_prefix("redis+unix://");
        let socket = folder.join("redis.sock");
        let redis = Proxy::start(&socket, PathBuf::from(theirs.expect("a socket")));
        config.redis_url = format!("redis+unix://{}", socket.display());
        proxies = Some(Proxies { postgres, redis });
    });
    (store.await, proxies.expect("proxies"))
}

async fn open(change: impl FnOnce(&mut StoreConfig, &Servers, &Path)) -> TestStore {
    let servers = servers().await;
    let id = Uuid::now_v7().simple().to_string();
    let database = format!("test_{id}");
    servers
        .admin(&format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}"))
        .await;
    let folder = servers.folder.join(&database);
    fs::create_dir(&folder).expect("a folder for the test");
    let mut config = StoreConfig::new(
        format!("{}{database}", servers.postgres),
        servers.redis.clone(),
        folder.join("master.key"),
    );
    config.pool_size = 4;
    config.key_prefix = format!("test:{id}:");
    let direct = config.clone();
    change(&mut config, servers, &folder);
    let store = Store::connect(&config).await.expect("a store");
    TestStore {
        store,
        config,
        direct,
        database,
        folder,
    }
}

impl TestStore {
    /// How it was opened: for a daemon of its own, or to open it again as after a restart.
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// The same without proxies.
    pub fn direct(&self) -> &StoreConfig {
        &self.direct
    }

    /// A folder that goes with the store; it holds the master key.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection beside the store's own.
    pub async fn session(&self) -> tokio_postgres::Client {
        database::connect(&self.direct.database_url.parse().expect("a URL"))
            .await
            .expect("a connection")
    }

    /// Puts what a schedule names into the library, as another client's, so that nothing else is audited.
    pub async fn put_in_library(&self, airtime: &Airtime) {
        let name = Uuid::now_v7().to_string();
        let owner = self.client(&name, &PlanLimits::UNLIMITED).await;
        for id in airtime.schedule.media() {
            let path = format!("/media/{id}.mp4");
            let media = MediaItem {
                id,
                ..media(owner.client, path)
            };
            let inserted = self.store.insert_media(&owner, &media).await;
            inserted.expect("the item is new");
        }
    }

    /// A new client on a new plan of these limits, and somebody who acts for it.
    pub async fn client(&self, name: &str, limits: &PlanLimits) -> Principal {
        let client = ClientId::from(Uuid::now_v7());
        let session = self.session().await;
        let limits = serde_json::to_value(limits).expect("JSON");
        let plan = "INSERT INTO plans (id, name, limits) VALUES ($1, $2, $3)";
        session
            .execute(plan, &[&client.uuid(), &client.to_string(), &limits])
            .await
            .expect("a plan");
        let row = "INSERT INTO clients (id, name, plan_id) VALUES ($1, $2, $1)";
        session
            .execute(row, &[&client.uuid(), &name])
            .await
            .expect("a client");
        Principal {
            client,
            scopes: Scopes::CLIENT,
            token: None,
            name: name.to_owned(),
            attempt: None,
        }
    }

    /// Its database takes no connections any more, and those there are end.
    ///
    /// # Panics
    /// When the server itself is away.
    pub async fn go_away(&self) {
        let name = &self.database;
        let sql = format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        servers().await.admin(&sql).await;
    }

    /// Its database takes connections again.
    ///
    /// # Panics
    /// When the server itself is away.
    pub async fn come_back(&self) {
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.database);
        servers().await.admin(&sql).await;
    }

    /// What a Redis key of it holds, as text; nothing when there is none, or an empty stream.
    pub async fn redis_value(&self, name: &str) -> Option<String> {
        let redis = redis(&self.direct.redis_url).await;
        let key = self.key(name);
        let plain: Result<Option<String>, _> = redis.get(&key).await;
        if let Ok(plain) = plain {
            return plain;
        }
        let hash: Result<HashMap<String, String>, _> = redis.hgetall(&key).await;
        if let Ok(hash) = hash {
            return Some(format!("{hash:?}"));
        }
        let stream: Vec<(String, HashMap<String, String>)> =
            redis.xrange_values(&key, "-", "+", None).await.ok()?;
        (!stream.is_empty()).then(|| format!("{stream:?}"))
    }

    /// What the copy in Redis has of channels, as it is kept, by their ids.
    pub async fn copied_channels(&self) -> HashMap<String, Value> {
        let redis = redis(&self.direct.redis_url).await;
        let kept: HashMap<String, String> = redis
            .hgetall(self.key("copy:channels"))
            .await
            .expect("Redis answers");
        let read = |json: String| serde_json::from_str(&json).expect("it is JSON");
        kept.into_iter()
            .map(|(id, json)| (id, read(json)))
            .collect()
    }

    /// Removes a Redis key of it.
    pub async fn forget_redis(&self, name: &str) {
        let redis = redis(&self.direct.redis_url).await;
        let key = self.key(name);
        redis.del::<(), _>(key).await.expect("Redis answers");
    }

    /// Redis loses everything that it has of it.
    pub async fn lose_redis(&self) {
        let redis = redis(&self.direct.redis_url).await;
        for key in self.redis_keys().await {
            redis.del::<(), _>(key).await.expect("Redis answers");
        }
    }

    /// The whole name of a key: of this daemon's own, or of all.
    fn key(&self, name: &str) -> String {
        let StoreConfig {
            key_prefix, node, ..
        } = &self.direct;
        let own = ["copy:", "journal", "heartbeats"];
        match own.iter().any(|begins| name.starts_with(begins)) {
            true => format!("{key_prefix}node:{}:{name}", node.id),
            false => format!("{key_prefix}{name}"),
        }
    }

    /// The Redis keys that it has, sorted.
    pub async fn redis_keys(&self) -> Vec<String> {
        let redis = redis(&self.direct.redis_url).await;
        let (_, mut keys): (String, Vec<String>) = redis
            .scan_page(
                "0",
                format!("{}*", self.config.key_prefix),
                Some(1_000_000),
                None,
            )
            .await
            .expect("the keys");
        keys.sort();
        keys
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        // Its own thread: the test's runtime may be about to end.
        let (url, database) = (self.direct.database_url.clone(), self.database.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut config: tokio_postgres::Config = url.parse().ok()?;
                let session = database::connect(config.dbname("postgres")).await.ok()?;
                session
                    .batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"))
                    .await
                    .ok()
            })
        });
        // What is left goes with the servers.
        let _ = dropping.join();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The servers of this run.
struct Servers {
    /// Less the name of a database.
    postgres: String,
    redis: String,
    folder: PathBuf,
}

impl Servers {
    fn maintenance(&self) -> tokio_postgres::Config {
        format!("{}postgres", self.postgres).parse().expect("a URL")
    }

    async fn admin(&self, sql: &str) {
        let session = database::connect(&self.maintenance())
            .await
            .expect("a connection");
        session.batch_execute(sql).await.expect(sql);
    }
}

async fn servers() -> &'static Servers {
    static SERVERS: OnceCell<Servers> = OnceCell::const_new();
    SERVERS.get_or_init(start_or_join).await
}

/// Starts the run's servers, or joins those that another process of the run has started.
async fn start_or_join() -> Servers {
    let (run, until) = run();
    let folder = base().join(run);
    let lock = folder.with_extension("lock");
    let lock = tokio::task::spawn_blocking(move || {
        let file = File::create(lock).expect("the lock file");
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .expect("the lock")
    });
    let _lock = lock.await.expect("the lock");

    let ready = folder.join("ready.json");
    if let Ok(text) = fs::read_to_string(&ready) {
        let known: Value = serde_json::from_str(&text).expect("JSON");
        let url = |name: &str| known[name].as_str().expect("a URL").to_owned();
        let servers = Servers {
            postgres: url("postgres"),
            redis: url("redis"),
            folder: folder.clone(),
        };
        if database::connect(&servers.maintenance()).await.is_ok() {
            return servers;
        }
        // Of a run long ago, cut short with the whole machine: process numbers come round again.
        fs::remove_dir_all(&folder).expect("the folder of servers that are gone");
    }
    fs::create_dir_all(&folder).expect("the folder of the servers");
    let started = detached::start(&folder, until)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let servers = Servers {
        postgres: started.postgres,
        redis: started.redis,
        folder,
    };
    servers.admin(&format!("CREATE DATABASE {TEMPLATE}")).await;
    let template = format!("{}{TEMPLATE}", servers.postgres)
        .parse()
        .expect("a URL");
    let session = database::connect(&template).await.expect("a connection");
    let mut session = crate::session::Client::from(session);
    migrate::apply(&mut session).await.expect("the migrations");
    drop(session);
    until_unused(&servers).await;
    let urls = json!({ "postgres": servers.postgres, "redis": servers.redis });
    fs::write(&ready, urls.to_string()).expect("the note for other processes");
    servers
}

/// A template can be copied only while nobody is connected to it, and a session ends a moment after
/// its client.
async fn until_unused(servers: &Servers) {
    let session = database::connect(&servers.maintenance())
        .await
        .expect("a connection");
    for _ in 0..1_000 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        let users: i64 = session
            .query_one(sql, &[&TEMPLATE])
            .await
            .expect("a count")
            .get(0);
        if users == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody stays connected to {TEMPLATE}");
}

/// The name of this run, and the process that lives as long as it: nextest, which has a process for
/// each test, or else this process.
fn run() -> (String, u32) {
    let mut pid = std::process::id();
    while let Some((name, parent)) = process(pid) {
        if name.contains("nextest") {
            return (format!("nextest-{pid}"), pid);
        }
        pid = parent;
    }
    let own = std::process::id();
    (format!("process-{own}"), own)
}

/// The name and the parent of a process (proc(5), `/proc/pid/stat`).
fn process(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    Some((name, after.split_whitespace().nth(1)?.parse().ok()?))
}

/// A private folder with a short name.
fn base() -> PathBuf {
    let temporary = std::env::temp_dir();
    let short = temporary.as_os_str().len() <= LONGEST_BASE;
    let base = if short {
        temporary
    } else {
        PathBuf::from("/tmp")
    };
    let base = base.join(format!("playoutd-test-{}", Uid::effective()));
    // It may be there from an earlier run, but then it must be ours.
    let _ = DirBuilder::new().mode(0o700).create(&base);
    let found = fs::symlink_metadata(&base).expect("the folder of test servers");
    assert!(
        found.is_dir() && found.uid() == Uid::effective().as_raw() && found.mode() & 0o077 == 0,
        "{} is not a private folder of ours",
        base.display()
    );
    base
}

async fn redis(url: &str) -> Client {
    let path = url.strip_prefix("redis+unix://").expect("a socket");
    let config = Config {
        server: ServerConfig::new_unix_socket(path),
        ..Config::default()
    };
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("a connection to Redis");
    client
}

/// An item of a library, nothing of it at its default.
pub fn media(client: ClientId, path: impl Into<PathBuf>) -> MediaItem {
    let at = jiff::Timestamp::now();
    MediaItem {
        id: MediaId::from(Uuid::now_v7()),
        client_id: client,
        path: path.into(),
        title: "A film".to_owned(),
        details: Details {
            title: Some("A film".to_owned()),
            description: Some("About a film.".to_owned()),
            tags: vec!["night".to_owned()],
            genre: Some("drama".to_owned()),
            language: Some("en".to_owned()),
            rating: Some("TV-PG".to_owned()),
            series: Some("Films".to_owned()),
            season: Some(2),
            episode: Some(7),
        },
        edited: vec!["genre".to_owned()],
        version: 3,
        sha256: Some([7; 32]),
        missing_since: None,
        duration: Duration::from_micros(12_345_678),
        size: 1_000,
        probe: Some(ProbeSummary {
            format: "mov".to_owned(),
            frame_rate: Some(29.97),
            ..ProbeSummary::default()
        }),
        status: MediaStatus::Preparing,
        reason: None,
        damage: Vec::new(),
        loudness: Vec::new(),
        created_at: at,
        updated_at: at,
    }
}
