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
mod digest;
pub mod embedded;
mod error;
mod heartbeats;
mod history;
mod hot;
mod in_use;
mod keys;
mod limits;
mod master_key;
mod media;
mod migrate;
mod principal;
mod private_file;
mod renditions;
mod rotate;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
pub mod urls;
mod vault;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use alert_deliveries::DeliveryFilter;
pub use alert_routes::StoredRoute;
pub use alerts::AlertFilter;
pub use audit::{
    AuditEntry, AuditFault, AuditHead, AuditReport, ChainFault, ExportedHeads, HeadsFile,
};
pub use channels::{Airtime, Cause, Loaded, Quarantined, StoredChannel};
pub use error::StoreError;
pub use heartbeats::{Heartbeat, ProcessBeat};
pub use history::HistoryEntry;
pub use hot::Hot;
pub use master_key::KeySource;
pub use media::Inserted;
pub use principal::{Principal, Scope, operator};
pub use renditions::Rendition;
pub use rotate::{KeyRotation, OldKey, Step};
pub use tokens::NewToken;
pub use vault::KeyId;
pub use verify::{Fault, Verification, verify};

use database::Database;
use tokens::Tokens;
use vault::{Keyring, Vault};

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
    /// Where the master key comes from.
    pub master_key: KeySource,
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
            master_key: KeySource::File(master_key.into()),
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
        let postgres = database::settings(&config.database_url)?;
        let mut client = database::reach(&postgres).await?;
        let ring = open(&mut client, &config.master_key).await?;
        let vault = Vault::new(config.master_key.clone(), ring);
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

    /// Forgets the master keys that nothing is sealed with any more.
    pub async fn forget_retired_keys(&self) -> Result<(), StoreError> {
        let known = self
            .database()
            .run(|session| Box::pin(async move { keys::known(&*session).await }))
            .await?;
        let retired = known
            .iter()
            .filter(|key| key.state == keys::KeyState::Retired);
        let retired: Vec<KeyId> = retired.map(|key| key.id).collect();
        self.vault().forget(&retired);
        Ok(())
    }

    fn database(&self) -> &Database {
        &self.0.database
    }

    fn vault(&self) -> &Vault {
        &self.0.vault
    }
}

/// Brings the database up, and answers the keys for it. A database of another build and a wrong key are
/// found before anything is written.
async fn open(
    client: &mut tokio_postgres::Client,
    source: &KeySource,
) -> Result<Keyring, StoreError> {
    migrate::lock(client).await?;
    migrate::version(client).await?;
    let ring = keys::check(client, source).await?;
    migrate::apply(client).await?;
    keys::note_first(client, &ring).await?;
    migrate::unlock(client).await?;
    Ok(ring)
}
