//! The pool of PostgreSQL connections.
//!
//! Work runs in a task of its own, so a caller that goes away (a closed HTTP request) leaves no
//! connection half-way through a statement. Transactions are opened and ended here only. A connection
//! is handed out again only when its work came to an end and it is outside any transaction.
//!
//! Nobody waits long: while the server is away a caller is told so at once, a crowd of our own is told so
//! after a moment, and what is under way when the server goes away is given up. After an outage the
//! pool is a new one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ManageConnection, Pool, PooledConnection, RunError};
use bb8_postgres::PostgresConnectionManager;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use crate::error::{StoreError, sentence};
use crate::gate::Gate;
use crate::session::{Client, Transaction};

/// What a piece of work gives back.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// How long a caller whose turn it is waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long making a connection may take, the server's first words included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may take for a word that it always has.
const PING: Duration = Duration::from_millis(1500);

/// The pool.
#[derive(Clone, Debug)]
pub(crate) struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    config: Config,
    size: u32,
    statement_timeout: Duration,
    /// How long a caller waits for its turn.
    patience: Duration,
    /// How long one piece of work may take; the server ends each statement earlier.
    limit: Duration,
    /// As many permits as there may be connections.
    turns: Semaphore,
    /// The connections, and the epoch of the gate that they were made in.
    pool: Mutex<(u64, Pool<Sessions>)>,
    /// Why the last connection could not be made.
    refused: watch::Sender<Option<StoreError>>,
}

impl Database {
    /// A pool of at most `size` connections; none is made yet. A caller waits for its turn for `patience`.
    pub(crate) fn new(
        gate: Arc<Gate>,
        config: Config,
        size: u32,
        statement_timeout: Duration,
        patience: Duration,
    ) -> Self {
        let (size, refused) = (size.max(1), watch::Sender::default());
        let sessions = Sessions::new(config.clone(), statement_timeout, refused.clone());
        let pool = (gate.epoch(), sessions.pool(size));
        Self(Arc::new(Shared {
            gate,
            config,
            size,
            statement_timeout,
            patience,
            limit: statement_timeout * 2 + Duration::from_secs(10),
            turns: Semaphore::new(size as usize),
            pool: Mutex::new(pool),
            refused,
        }))
    }

    /// The breaker around the server.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// How long one statement may take.
    pub(crate) fn statement_timeout(&self) -> Duration {
        self.0.statement_timeout
    }

    /// A connection beside the pool, for work that takes its time.
    pub(crate) async fn dedicated(&self) -> Result<Client, StoreError> {
        self.gate().check()?;
        reach(&self.0.config).await
    }

    /// Does `work` on a connection, to its end even if the caller goes away.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Client) -> Work<'c, T> + Send + 'static,
    {
        self.0.gate.check()?;
        let shared = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let _turn = shared.turn().await?;
            shared.gate.through(shared.work(work)).await
        });
        task.await
            .unwrap_or_else(|failure| Err(StoreError::internal(failure)))
    }

    /// Does `work` in one transaction: all of it, or, on any error, nothing.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c Transaction<'c>) -> Work<'c, T> + Send + 'static,
    {
        self.run(move |client| {
            Box::pin(async move {
                let transaction = client.transaction().await?;
                let done = work(&transaction).await?;
                transaction.commit().await?;
                Ok(done)
            })
        })
        .await
    }

    /// Whether the server answers now. A crowd of our own says nothing about it.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let Ok(_turn) = self.0.turns.try_acquire() else {
            return self.0.gate.check();
        };
        self.0.gate.look(self.0.asked(ALIVE)).await
    }

    /// Asks a server that is away whether it is back, and takes what is new; nothing while it is not, or
    /// somebody else asks.
    pub(crate) async fn probe(&self) -> Option<Result<(), StoreError>> {
        self.0.gate.probe(self.0.asked(TAKES)).await
    }

    /// Asks a server that takes nothing new whether it does again; later, while a crowd of our own is on it.
    pub(crate) async fn probe_full(&self) {
        let Ok(_turn) = self.0.turns.try_acquire() else {
            return;
        };
        if self.0.gate.look(self.0.asked(TAKES)).await.is_ok() {
            self.0.gate.takes();
        }
    }
}

/// A word that a server always has.
const ALIVE: &str = "SELECT 1";
/// A commit.
const TAKES: &str = "INSERT INTO pulse (id, at) VALUES (true, now()) ON CONFLICT (id) DO UPDATE SET at = excluded.at";

impl Shared {
    /// Waits for a place among those who may have a connection.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(self.patience, self.turns.acquire()).await {
            Ok(turn) => turn.map_err(StoreError::internal),
            Err(_) => Err(StoreError::busy(format!(
                "all {} connections to PostgreSQL are in use",
                self.size
            ))),
        }
    }

    async fn work<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut Client) -> Work<'c, T>,
    {
        let pool = self.pool();
        let mut session = self.session(&pool).await?;
        session.busy = true;
        let done = timeout(self.limit, work(&mut session.client)).await;
        session.busy = done.is_err();
        done.unwrap_or_else(|_| Err(StoreError::away("PostgreSQL does not answer")))
    }

    async fn asked(&self, sql: &'static str) -> Result<(), StoreError> {
        let asked = self
            .work(move |session| Box::pin(async move { Ok(session.batch_execute(sql).await?) }));
        timeout(PING, asked)
            .await
            .unwrap_or_else(|_| Err(StoreError::away("PostgreSQL has not answered within 1.5 s")))
    }

    /// The pool of the present epoch: what was connected before an outage is not used after it.
    fn pool(&self) -> Pool<Sessions> {
        let epoch = self.gate.epoch();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.0 != epoch {
            let (config, refused) = (self.config.clone(), self.refused.clone());
            let sessions = Sessions::new(config, self.statement_timeout, refused);
            *pool = (epoch, sessions.pool(self.size));
        }
        pool.1.clone()
    }

    /// A connection. Where there is none and none can be made, that is said at once.
    async fn session<'p>(
        &self,
        pool: &'p Pool<Sessions>,
    ) -> Result<PooledConnection<'p, Sessions>, StoreError> {
        let mut refused = self.refused.subscribe();
        let mut getting = std::pin::pin!(pool.get());
        loop {
            tokio::select! {
                biased;
                got = &mut getting => return got.map_err(|error| match error {
                    RunError::User(error) => error,
                    RunError::TimedOut => StoreError::away("no connection to PostgreSQL within 2 s"),
                }),
                Ok(()) = refused.changed() => {
                    let why = refused.borrow().clone();
                    if let Some(why) = why.filter(|_| pool.state().connections == 0) {
                        return Err(why);
                    }
                }
            }
        }
    }
}

/// Does `work`; damage that the server finds is an answer and leaves the transaction usable.
pub(crate) async fn attempt<T>(
    tx: &Transaction<'_>,
    work: impl AsyncFnOnce() -> Result<T, StoreError>,
) -> Result<Result<T, String>, StoreError> {
    tx.batch_execute("SAVEPOINT attempt").await?;
    match work().await {
        Ok(done) => {
            tx.batch_execute("RELEASE attempt").await?;
            Ok(Ok(done))
        }
        Err(StoreError::Damaged(reason)) => {
            tx.batch_execute("ROLLBACK TO attempt").await?;
            Ok(Err(reason))
        }
        Err(other) => Err(other),
    }
}

/// One connection of the pool.
pub(crate) struct Session {
    client: Client,
    /// Whether work began and did not come to its end: by time-out or panic.
    busy: bool,
}

/// Makes connections by bb8-postgres, and tells good ones from bad more strictly than it does: it would
/// hand out one whose work was cut off, or one inside a transaction.
#[derive(Debug)]
pub(crate) struct Sessions {
    postgres: PostgresConnectionManager<NoTls>,
    statement_timeout: Duration,
    /// Told why a connection could not be made: the pool's waiters are not.
    refused: watch::Sender<Option<StoreError>>,
}

impl Sessions {
    fn new(
        config: Config,
        statement_timeout: Duration,
        refused: watch::Sender<Option<StoreError>>,
    ) -> Self {
        Self {
            postgres: PostgresConnectionManager::new(config, NoTls),
            statement_timeout,
            refused,
        }
    }

    fn pool(self, size: u32) -> Pool<Self> {
        Pool::builder()
            .max_size(size)
            .connection_timeout(PATIENCE)
            .retry_connection(false)
            .build_unchecked(self)
    }

    async fn open(&self) -> Result<Session, StoreError> {
        let client = Client::from(self.postgres.connect().await?);
        let timeout = self.statement_timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout}; SET timezone = 'UTC'"
        );
        client.batch_execute(&settings).await?;
        Ok(Session {
            client,
            busy: false,
        })
    }
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = StoreError;

    async fn connect(&self) -> Result<Session, StoreError> {
        let opened = timeout(CONNECT, self.open())
            .await
            .unwrap_or_else(|_| Err(StoreError::away("PostgreSQL is silent to those who knock")));
        // Whatever it says: a server that lets nobody in is not there.
        let opened = opened.map_err(|error| match error {
            StoreError::Internal(why) => StoreError::away(why),
            other => other,
        });
        if let Err(error) = &opened {
            self.refused.send_replace(Some(error.clone()));
        }
        opened
    }

    async fn is_valid(&self, session: &mut Session) -> Result<(), StoreError> {
        // Inside a transaction now() stands still; in a failed one this query fails, too. Only the simple
        // protocol begins statement and transaction at one moment.
        let answer = session
            .client
            .simple_query("SELECT now() = statement_timestamp()")
            .await?;
        let fresh = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => false,
        };
        session.busy = !answer.iter().any(fresh);
        if session.busy {
            tracing::error!("a connection came back inside a transaction, which is rolled back");
            session.client.batch_execute("ROLLBACK").await?;
            session.busy = false;
        }
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.busy || self.postgres.has_broken(session.client.inner())
    }
}

/// How to connect to the database at `url`.
///
/// # Errors
/// [`StoreError::Setup`] when it is no URL.
pub(crate) fn settings(url: &str) -> Result<Config, StoreError> {
    let mut config: Config = url.parse().map_err(|wrong| {
        StoreError::Setup(format!("database.url is not valid: {}", sentence(&wrong)))
    })?;
    if config.get_application_name().is_none() {
        config.application_name("playoutd");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    config
        .keepalives_idle(Duration::from_secs(30))
        .tcp_user_timeout(Duration::from_secs(15));
    Ok(config)
}

/// The first connection: whether the settings are right, and the moment.
///
/// # Errors
/// [`StoreError::Setup`]; [`StoreError::Unavailable`].
pub(crate) async fn reach(config: &Config) -> Result<Client, StoreError> {
    let connected = timeout(CONNECT, connect(config)).await;
    let connected =
        connected.map_err(|_| StoreError::away("PostgreSQL is silent to those who knock"))?;
    connected.map(Client::from).map_err(|error| {
        let why = sentence(&error);
        // Class 28 is authorisation, 3D an unknown database; TLS and settings have no code at all.
        let of_settings = |code: &str| code.starts_with("28") || code.starts_with("3D");
        match (
            error.code().map(|code| of_settings(code.code())),
            StoreError::from(error),
        ) {
            (Some(true), _) | (None, StoreError::Internal(_)) => {
                StoreError::Setup(format!("database.url cannot be used: {why}"))
            }
            (Some(false), StoreError::Internal(why)) => StoreError::away(why),
            (_, other) => other,
        }
    })
}

/// A connection of its own, driven by a task until it is dropped.
pub(crate) async fn connect(
    config: &Config,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // A server that is stopped says so; that it is gone shows when it is needed.
        if let Err(error) = connection.await
            && error.code() != Some(&SqlState::ADMIN_SHUTDOWN)
        {
            tracing::warn!(error = sentence(&error), "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing;

    fn narrow(store: &testing::TestStore, statement_timeout: Duration) -> Database {
        let config = store.config().database_url.parse().unwrap();
        let gate = Arc::new(Gate::of(crate::gate::Server::Postgres));
        Database::new(gate, config, 1, statement_timeout, PATIENCE)
    }

    async fn backend(database: &Database) -> i32 {
        let asked = database.run(|session| {
            Box::pin(async {
                Ok(session
                    .query_one("SELECT pg_backend_pid()", &[])
                    .await?
                    .get(0))
            })
        });
        asked.await.unwrap()
    }

    #[tokio::test]
    async fn a_transaction_left_open_ends_before_anybody_else_works_in_it() {
        let store = testing::fresh().await;
        let database = narrow(&store, Duration::from_secs(5));
        let left_open = "BEGIN; CREATE TABLE half_way ()";
        database
            .run(move |session| {
                Box::pin(async move { Ok(session.batch_execute(left_open).await?) })
            })
            .await
            .unwrap();
        let found: bool = database
            .run(|session| {
                let sql = "SELECT to_regclass('half_way') IS NOT NULL";
                Box::pin(async move { Ok(session.query_one(sql, &[]).await?.get(0)) })
            })
            .await
            .unwrap();
        assert!(!found);
    }

    #[tokio::test]
    async fn work_that_panics_or_hangs_costs_its_connection_and_nothing_else() {
        let store = testing::fresh().await;
        let database = narrow(&store, Duration::from_secs(5));
        let first = backend(&database).await;
        assert_eq!(backend(&database).await, first, "a good connection is kept");

        let panics = database
            .run::<(), _>(|_| Box::pin(async { panic!("on purpose") }))
            .await;
        assert!(matches!(panics, Err(StoreError::Internal(_))), "{panics:?}");
        let second = backend(&database).await;
        assert_ne!(second, first);

        let impatient = Database(Arc::new(Shared {
            limit: Duration::from_millis(300),
            ..Arc::into_inner(database.0).unwrap()
        }));
        let hangs = impatient
            .run::<(), _>(|_| Box::pin(std::future::pending()))
            .await;
        assert!(
            matches!(hangs, Err(StoreError::Unavailable(_))),
            "{hangs:?}"
        );
        assert_ne!(backend(&impatient).await, second);
    }
}
