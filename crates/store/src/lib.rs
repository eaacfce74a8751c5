//! Edge: PostgreSQL, Redis, the vault, and the embedded servers.
//!
//! PostgreSQL holds the truth; every change and its audit entry are one transaction. Redis holds a hot
//! copy, best effort: it is never waited for longer than a second and never decides anything. Around each
//! stands a breaker: a server that is away is not waited for, and is used again as soon as it answers.

mod audit;
mod channels;
mod columns;
mod database;
pub mod embedded;
mod error;
mod gate;
mod guard;
mod heartbeats;
mod hot;
mod limits;
mod master_key;
mod media;
mod migrate;
mod principal;
mod private_file;
mod renditions;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
mod vault;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use audit::{AuditEntry, ChainState};
pub use channels::{Airtime, Cause, StoredChannel};
pub use error::{Away, StoreError};
pub use gate::{Condition, Server};
pub use heartbeats::{Heartbeat, ProcessBeat};
pub use hot::Hot;
pub use media::Inserted;
pub use principal::{Principal, Scope, operator};
pub use renditions::Rendition;
pub use tokens::NewToken;

use database::Database;
use gate::Gate;
use tokens::Tokens;
use vault::Vault;

/// Where everything is kept.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgresql://…`: configured, or of [`embedded::Embedded::database_url`].
    pub database_url: String,
    /// `redis://…` or `redis+unix://…`: configured, or of [`embedded::Embedded::redis_url`].
    pub redis_url: String,
    /// Connections to PostgreSQL at most.
    pub pool_size: u32,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// What every Redis key begins with.
    pub key_prefix: String,
    /// The master key's file; made when there is none.
    pub master_key: PathBuf,
}

impl StoreConfig {
    /// The defaults: 8 connections, 5 s a statement, Redis keys beginning with `playoutd:`.
    pub fn new(
        database_url: impl Into<String>,
        redis_url: impl Into<String>,
        master_key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            database_url: database_url.into(),
            redis_url: redis_url.into(),
            pool_size: 8,
            statement_timeout: Duration::from_secs(5),
            key_prefix: "playoutd:".to_owned(),
            master_key: master_key.into(),
        }
    }
}

impl std::fmt::Debug for StoreConfig {
    /// Without the URLs: they may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig")
            .field("pool_size", &self.pool_size)
            .field("statement_timeout", &self.statement_timeout)
            .field("key_prefix", &self.key_prefix)
            .field("master_key", &self.master_key)
            .finish_non_exhaustive()
    }
}

/// The store; clones share everything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    hot: Hot,
    vault: Vault,
    /// Tokens looked up in the last seconds.
    tokens: Tokens,
}

impl Store {
    /// Opens the store: migrates the database, makes the operator's client and the master key where
    /// they are missing, connects to Redis in the background.
    ///
    /// # Errors
    /// [`StoreError::Setup`] when it cannot work as configured, [`StoreError::Unavailable`] when
    /// PostgreSQL is not there.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let postgres = database::settings(&config.database_url)?;
        let mut client = database::reach(&postgres).await?;
        migrate::migrate(&mut client).await?;
        let vault = open_vault(&client, &config.master_key).await?;
        drop(client);
        let gate = Arc::new(Gate::of(Server::Postgres));
        let (size, limit) = (config.pool_size, config.statement_timeout);
        let database = Database::new(gate, postgres, size, limit);
        let gate = Arc::new(Gate::of(Server::Redis));
        let hot = Hot::connect(gate, &config.redis_url, &config.key_prefix).await?;
        let inner = Arc::new(Inner {
            database,
            hot,
            vault,
            tokens: Tokens::default(),
        });
        guard::watch_over(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// How a server does, now and later.
    pub fn condition(&self, server: Server) -> watch::Receiver<Condition> {
        match server {
            Server::Postgres => self.0.database.gate().condition(),
            Server::Redis => self.0.hot.gate().condition(),
        }
    }

    /// Whether something can be changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once, while PostgreSQL is away or takes nothing new.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.0.database.gate().takes_new()
    }

    /// The hot copy in Redis.
    pub fn hot(&self) -> &Hot {
        &self.0.hot
    }

    fn database(&self) -> &Database {
        &self.0.database
    }

    fn vault(&self) -> &Vault {
        &self.0.vault
    }
}

/// A new key is made only while nothing is sealed: one that was lost is to be restored, not replaced.
async fn open_vault(
    client: &tokio_postgres::Client,
    path: &std::path::Path,
) -> Result<Vault, StoreError> {
    if !path.exists() {
        let sealed: i64 = client
            .query_one(
                "SELECT count(*) FROM rtmp_destinations WHERE stream_key IS NOT NULL",
                &[],
            )
            .await?
            .try_get(0)?;
        if sealed > 0 {
            return Err(StoreError::Setup(format!(
                "the master key {} is missing, and {sealed} stream keys in the database were sealed with it: \
                 restore it from a backup",
                path.display()
            )));
        }
    }
    let key =
        master_key::read_or_make(path).map_err(|error| StoreError::Setup(error.to_string()))?;
    Ok(Vault::new(&key))
}
