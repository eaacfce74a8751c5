//! Edge: PostgreSQL, Redis, the vault, and the embedded servers.
//!
//! PostgreSQL holds the truth; every change and its audit entry are one transaction. Redis holds a hot
//! copy, best effort: it is never waited for longer than a second and never decides anything.

mod alert_deliveries;
mod alert_routes;
mod alerts;
mod audit;
mod channels;
mod columns;
mod database;
pub mod embedded;
mod error;
mod heartbeats;
mod history;
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

use tokio::time::timeout;
use tokio_postgres::Config;

pub use alert_deliveries::DeliveryFilter;
pub use alert_routes::StoredRoute;
pub use alerts::AlertFilter;
pub use audit::{AuditEntry, ChainState};
pub use channels::{Airtime, Cause, StoredChannel};
pub use error::StoreError;
pub use heartbeats::{Heartbeat, ProcessBeat};
pub use history::HistoryEntry;
pub use hot::Hot;
pub use media::Inserted;
pub use principal::{Principal, Scope, operator};
pub use renditions::Rendition;
pub use tokens::NewToken;

use database::Database;
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

/// Which servers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// PostgreSQL takes queries.
    pub postgres: bool,
    /// Redis takes commands.
    pub redis: bool,
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
        let mut postgres: Config = config.database_url.parse().map_err(|wrong| {
            StoreError::Setup(format!(
                "database.url is not valid: {}",
                error::sentence(&wrong)
            ))
        })?;
        if postgres.get_application_name().is_none() {
            postgres.application_name("playoutd");
        }
        if postgres.get_connect_timeout().is_none() {
            postgres.connect_timeout(Duration::from_secs(5));
        }
        postgres
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(15));
        let mut client = database::connect(&postgres).await.map_err(refusal)?;
        migrate::migrate(&mut client).await?;
        let vault = open_vault(&client, &config.master_key).await?;
        drop(client);
        let database = Database::new(postgres, config.pool_size, config.statement_timeout);
        let hot = Hot::connect(&config.redis_url, &config.key_prefix).await?;
        Ok(Self(Arc::new(Inner {
            database,
            hot,
            vault,
            tokens: Tokens::default(),
        })))
    }

    /// Which servers answer within a second.
    pub async fn ping(&self) -> Health {
        let postgres = async {
            let asked = self
                .0
                .database
                .run(|session| Box::pin(async { Ok(session.simple_query("SELECT 1").await?) }));
            timeout(Duration::from_secs(1), asked)
                .await
                .is_ok_and(|answer| answer.is_ok())
        };
        let (postgres, redis) = tokio::join!(postgres, self.0.hot.ping());
        Health { postgres, redis }
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

/// What keeps a first connection from being made: the settings, or the moment.
fn refusal(error: tokio_postgres::Error) -> StoreError {
    let why = error::sentence(&error);
    // Class 28 is authorisation, 3D an unknown database; TLS and settings have no code at all.
    let of_settings = |code: &str| code.starts_with("28") || code.starts_with("3D");
    match (
        error.code().map(|code| of_settings(code.code())),
        StoreError::from(error),
    ) {
        (Some(true), _) | (None, StoreError::Internal(_)) => {
            StoreError::Setup(format!("database.url cannot be used: {why}"))
        }
        (_, other) => other,
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
                "SELECT (SELECT count(*) FROM rtmp_destinations WHERE stream_key IS NOT NULL)
                     + (SELECT count(*) FROM alert_routes WHERE secret IS NOT NULL)",
                &[],
            )
            .await?
            .try_get(0)?;
        if sealed > 0 {
            return Err(StoreError::Setup(format!(
                "the master key {} is missing, and {sealed} secrets in the database were sealed with it: \
                 restore it from a backup",
                path.display()
            )));
        }
    }
    let key =
        master_key::read_or_make(path).map_err(|error| StoreError::Setup(error.to_string()))?;
    Ok(Vault::new(&key))
}
