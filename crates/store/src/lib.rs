//! Edge: PostgreSQL, Redis, the vault, and the embedded servers.
//!
//! PostgreSQL holds the truth; every change and its audit entry are one transaction. Redis holds copies, and what
//! PostgreSQL has still to be told: orders and heartbeats. While PostgreSQL is away it decides who comes with a token
//! that memory does not know, and, at a start, what goes on air. A command to it takes a second at most. Around each
//! server stands a breaker: one that is away is not waited for, and is used again as soon as it answers.

mod alert_deliveries;
mod alert_routes;
mod alerts;
mod arrivals;
mod as_run;
mod audit;
mod bring_up;
mod channels;
mod clients;
mod columns;
mod database;
mod digest;
pub mod embedded;
mod error;
mod expected;
mod gate;
mod guard;
mod heartbeats;
mod history;
mod hot;
mod idempotency;
mod in_use;
mod journal;
mod keys;
mod leases;
mod limits;
mod logos;
mod master_key;
mod media;
mod migrate;
mod over_limits;
mod overrides;
mod plans;
mod prepare_marks;
mod principal;
mod private_file;
mod renditions;
mod rotate;
mod session;
mod standby;
mod streams;
mod subtitles;
#[cfg(feature = "testing")]
pub mod testing;
mod tokens;
pub mod urls;
mod vault;
mod verify;
mod watched;
mod webhooks;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ClientId;
use tokio::sync::watch;

pub use alert_deliveries::DeliveryFilter;
pub use alert_routes::StoredRoute;
pub use alerts::AlertFilter;
pub use arrivals::{Arrival, ArrivalState, MOST_OPEN, StorageUse};
pub use audit::{
    AuditCursor, AuditEntry, AuditFault, AuditFilter, AuditHead, AuditReport, ChainFault,
    ExportedHeads, FoundEntry, HeadsFile, NodeDecision,
};
pub use channels::{Airtime, Cause, Loaded, Quarantined, StoredChannel, ToAir};
pub use clients::{ClientEdit, ClientLimits, StoredClient};
pub use error::{Away, StoreError};
pub use expected::Expected;
pub use gate::{Condition, Server};
pub use heartbeats::{Heartbeat, ProcessBeat};
pub use history::HistoryEntry;
pub use hot::Hot;
pub use idempotency::{Attempt, Begun, KeptAnswer};
pub use journal::Order;
pub use leases::{Abandoned, Elsewhere, Lease, NodeConfig, NodeView, Released, release};
pub use limits::Allowance;
pub use master_key::KeySource;
pub use media::{Inserted, MediaCursor, MediaQuery, MediaSort};
pub use over_limits::Beyond;
pub use overrides::{NewOverride, Override};
pub use plans::StoredPlan;
pub use prepare_marks::PrepareMark;
pub use principal::{Principal, Scope, Scopes, operator};
pub use renditions::Rendition;
pub use rotate::{KeyRotation, OldKey, Step};
pub use subtitles::{MOST_SUBTITLES, Subtitle, SubtitleOrigin};
pub use tokens::{Credential, NewToken, SessionTimes, Token};
pub use vault::KeyId;
pub use verify::{Fault, Verification, verify};
pub use watched::WatchedFolder;
pub use webhooks::{ClaimedWebhook, QueuedEvent, ReplaySpan, WebhookDeliveryFilter};

use bring_up::Up;
use database::Database;
use gate::Gate;
use journal::Journal;
use leases::{Alone, Leases};
use limits::KeptAllowance;
use master_key::MasterKeyError;
use standby::{Contents, Disk, Kind, Standby};
use tokens::Tokens;
use vault::{Keyring, Vault};

/// How long it is waited for the copies before a key is forgotten.
const COPIES: Duration = Duration::from_secs(5);

/// Where everything is kept.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgresql://…`: configured, or of [`embedded::Embedded::database_url`].
    pub database_url: String,
    /// `redis://…` or `redis+unix://…`: configured, or of [`embedded::Embedded::redis_url`].
    pub redis_url: String,
    /// Connections to PostgreSQL at most.
    pub pool_size: u32,
    /// How long a caller waits for its turn at one of them.
    pub patience: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// What every Redis key begins with.
    pub key_prefix: String,
    /// Where the master key comes from.
    pub master_key: KeySource,
    /// The folder of a copy of what is needed to air; nothing: there is none.
    pub standby: Option<PathBuf>,
    /// Who this daemon is among those that share the database.
    pub node: NodeConfig,
    /// The database is one that this daemon runs for itself: no other can be on it.
    pub private: bool,
}

impl StoreConfig {
    /// So long a caller waits for its turn, where nothing else is said.
    pub const PATIENCE: Duration = Duration::from_secs(2);

    /// The defaults: 8 connections, 2 s until a turn, 5 s a statement, Redis keys beginning with `playoutd:`, a
    /// daemon that nobody knows yet.
    pub fn new(
        database_url: impl Into<String>,
        redis_url: impl Into<String>,
        master_key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            database_url: database_url.into(),
            redis_url: redis_url.into(),
            pool_size: 8,
            patience: Self::PATIENCE,
            statement_timeout: Duration::from_secs(5),
            key_prefix: "playoutd:".to_owned(),
            master_key: KeySource::File(master_key.into()),
            standby: None,
            node: NodeConfig::new("playoutd"),
            private: false,
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
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The store; clones share everything.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells this daemon's run from every other.
    run: uuid::Uuid,
    /// How to reach the database besides its pool.
    config: tokio_postgres::Config,
    master_key: KeySource,
    /// So many channels the database should have at least one of.
    expected: usize,
    database: Database,
    hot: Hot,
    /// Nothing until the master key was found.
    vault: OnceLock<Vault>,
    /// Tokens that are known.
    tokens: Tokens,
    /// Held by whoever reads anew what little has to be known when the database goes away.
    refreshing: tokio::sync::Mutex<()>,
    /// What is kept outside the database.
    standby: Arc<Standby>,
    disk: Option<Disk>,
    /// Orders that the database does not know yet.
    journal: Journal,
    /// The channels that are this daemon's.
    leases: Leases,
    /// Whether the database was reached and is at the present schema.
    up: watch::Sender<bool>,
    /// Whether what runs is what the database has: not while a daemon that started without it has not
    /// looked.
    taken_up: watch::Sender<bool>,
    /// Whether what happens can be written to the database now.
    recordable: watch::Sender<bool>,
    /// The channels were put on air: the start is over.
    started: AtomicBool,
}

impl Store {
    /// Opens the store: migrates the database, makes the operator's client and the master key where
    /// they are missing, connects to Redis in the background. While PostgreSQL is away it opens from the
    /// later of the copies in Redis and on disk, where there is one, and goes on looking for PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::Setup`] when it cannot work as configured, [`StoreError::Unavailable`] when
    /// PostgreSQL is not there and there is no copy.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        // On the heap: what it waits for is large.
        Box::pin(Self::open(config)).await
    }

    async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let postgres = database::settings(&config.database_url)?;
        let disk = config.standby.clone().map(Disk::at);
        let gate = Arc::new(Gate::of(Server::Redis));
        let hot = Hot::connect(gate, &config.redis_url, &config.key_prefix, config.node.id).await?;
        let left = standby::latest(&hot, disk.as_ref()).await;
        let expected = left.as_ref().map_or(0, Contents::channels);
        let limit = config.statement_timeout;
        let up = bring_up::bring_up(&postgres, &config.master_key, expected, limit).await;
        let (up, gate) = match (up, &left) {
            (Ok(up), _) => (Some(up), Gate::of(Server::Postgres)),
            (Err(StoreError::Unavailable(away)), Some(_)) => {
                tracing::error!(%away, "PostgreSQL is away; the channels go on air from the copy");
                (None, Gate::shut(Server::Postgres, away.cause()))
            }
            (Err(error), _) => return Err(error),
        };
        let is_up = up.is_some();
        let (size, patience) = (config.pool_size, config.patience);
        let inner = Arc::new(Inner {
            run: uuid::Uuid::now_v7(),
            database: Database::new(Arc::new(gate), postgres.clone(), size, limit, patience),
            config: postgres,
            master_key: config.master_key.clone(),
            expected,
            hot,
            vault: OnceLock::new(),
            tokens: Tokens::default(),
            refreshing: tokio::sync::Mutex::default(),
            standby: Arc::new(Standby::new()),
            disk: disk.clone(),
            journal: Journal::default(),
            leases: Leases::new(
                config.node.clone(),
                Alone::within(config.standby.as_deref(), config.private),
            ),
            up: watch::Sender::new(is_up),
            taken_up: watch::Sender::new(is_up),
            recordable: watch::Sender::new(false),
            started: AtomicBool::new(false),
        });
        let store = Self(Arc::clone(&inner));
        store.resume(left, up).await?;
        guard::watch_over(&inner);
        standby::begin(&inner, disk);
        Ok(store)
    }

    /// Begins with what an earlier daemon has left, and with what the database says.
    async fn resume(&self, left: Option<Contents>, up: Option<Up>) -> Result<(), StoreError> {
        let inner = &self.0;
        if let Some(left) = left {
            inner.standby.resume(left, up.is_none());
            self.resume_tokens();
        }
        let ring = match up {
            Some(Up { ring, small }) => {
                small.keep(&inner.standby);
                Some(ring)
            }
            None => keys_at_hand(&inner.master_key)?,
        };
        if let Some(ring) = ring {
            inner.take_keys(ring);
        }
        self.resume_journal().await;
        self.recall_alone().await;
        if *inner.up.borrow() {
            if self.reconcile().await.is_err() {
                tracing::warn!("orders wait for the database");
            }
            match self.begin_leases().await {
                Err(StoreError::Unavailable(_)) if self.falls_back() => {}
                begun => begun?,
            }
        }
        inner.standing();
        Ok(())
    }

    /// PostgreSQL went away while this daemon starts: from here on it starts from the copy that was left, as if
    /// PostgreSQL had been away before. `false` when there is none, or the start is over.
    fn falls_back(&self) -> bool {
        if self.0.started.load(Ordering::Acquire) || !self.0.standby.live_on() {
            return false;
        }
        if self.0.taken_up.send_replace(false) {
            tracing::error!("PostgreSQL went away during the start; it goes on from the copy");
        }
        self.0.standing();
        true
    }

    /// How a server does, now and later.
    pub fn condition(&self, server: Server) -> watch::Receiver<Condition> {
        match server {
            Server::Postgres => self.0.database.gate().condition(),
            Server::Redis => self.0.hot.gate().condition(),
        }
    }

    /// Notes that a full disk keeps a server from running, in one sentence; nothing: that is not so.
    pub fn no_room(&self, server: Server, sentence: Option<String>) {
        match server {
            Server::Postgres => self.0.database.gate().no_room(sentence),
            Server::Redis => self.0.hot.gate().no_room(sentence),
        }
    }

    /// Whether something can be changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once, while PostgreSQL is away or takes nothing new, or what it has is
    /// still being taken up.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.0.database.gate().takes_new()?;
        if self.is_taken_up() {
            return Ok(());
        }
        Err(StoreError::busy(
            "PostgreSQL is back, and what it has is being taken up",
        ))
    }

    /// Whether what happens can be written to the database: no order from before waits for it.
    ///
    /// # Errors
    /// As [`Store::writable`].
    pub fn recordable(&self) -> Result<(), StoreError> {
        self.writable()?;
        if self.journaled() > 0 {
            return Err(StoreError::busy("orders from before wait for PostgreSQL"));
        }
        Ok(())
    }

    /// Returns when what happens can be written to the database.
    pub async fn until_recordable(&self) {
        let mut recordable = self.0.recordable.subscribe();
        // The sender lives as long as the store.
        drop(recordable.wait_for(|recordable| *recordable).await);
    }

    /// Whether what runs is what the database has. Not so for a daemon that started without the database,
    /// until it has compared.
    pub fn is_taken_up(&self) -> bool {
        *self.0.taken_up.borrow()
    }

    /// Returns when the database was reached, and the orders that waited are in it.
    pub async fn until_reached(&self) {
        let mut up = self.0.up.subscribe();
        drop(up.wait_for(|up| *up).await); // as above
        while self.journaled() > 0 || self.0.database.gate().takes_new().is_err() {
            let mut condition = self.condition(Server::Postgres);
            tokio::select! {
                _ = condition.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    /// What the database has was compared with what runs, and is what runs now.
    pub fn take_up(&self) {
        self.0.taken_up.send_replace(true);
        self.0.standing();
    }

    /// What a client's plan allows, as it was known last; nothing for a client that is not known.
    pub fn known_limits(&self, client: ClientId) -> Option<Allowance> {
        let kept: KeptAllowance = self.0.standby.get(Kind::Limits, &client.to_string())?;
        Some(kept.at(Timestamp::now()))
    }

    /// The hot copy in Redis.
    pub fn hot(&self) -> &Hot {
        &self.0.hot
    }

    /// Forgets the master keys that nothing is sealed with any more, in the database nor in the copies.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: they are needed yet.
    pub async fn forget_retired_keys(&self) -> Result<(), StoreError> {
        let known = self
            .database()
            .run(|session| Box::pin(async move { keys::known(&*session).await }))
            .await?;
        let retired = known
            .iter()
            .filter(|key| key.state == keys::KeyState::Retired);
        let retired: Vec<KeyId> = retired.map(|key| key.id).collect();
        if !self.vault()?.has_any(&retired) {
            return Ok(());
        }
        // The copies may have secrets that are sealed with them still.
        self.0.refresh().await?;
        if !self.copies_written(COPIES).await {
            return Err(StoreError::busy("the copies are not up to date"));
        }
        self.vault()?.forget(&retired);
        Ok(())
    }

    fn database(&self) -> &Database {
        &self.0.database
    }

    /// # Errors
    /// [`StoreError::Unavailable`] while the master key was not found and PostgreSQL was not reached.
    fn vault(&self) -> Result<&Vault, StoreError> {
        let vault = self.0.vault.get();
        vault.ok_or_else(|| StoreError::away("PostgreSQL was not reached yet"))
    }
}

impl Inner {
    /// Tells those who wait whether what happens can be written to the database now.
    fn standing(self: &Arc<Self>) {
        let recordable = Store(Arc::clone(self)).recordable().is_ok();
        self.recordable
            .send_if_modified(|before| std::mem::replace(before, recordable) != recordable);
    }
}

/// The keys of a key file that is there, taken as they are: without the database none is made, and whether
/// they are the right ones is found out when it is back.
fn keys_at_hand(source: &KeySource) -> Result<Option<Keyring>, StoreError> {
    match master_key::read(source) {
        Ok(keys) => Ok(Some(Keyring::new(&keys))),
        Err(MasterKeyError::Missing { .. }) => Ok(None),
        Err(error) => Err(keys::setup(error)),
    }
}
