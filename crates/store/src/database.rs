//! The pool of PostgreSQL connections.
//!
//! Work runs in a task of its own, so a caller that goes away (a closed HTTP request) leaves no
//! connection half-way through a statement. Transactions are opened and ended here only. A connection
//! is handed out again only when its work came to an end and it is outside any transaction.

use std::pin::Pin;
use std::time::Duration;

use bb8::{ManageConnection, Pool, RunError};
use bb8_postgres::PostgresConnectionManager;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Transaction};

use crate::error::{StoreError, sentence};

/// What a piece of work gives back.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// How long a caller waits for a free connection, or for the server to come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pool.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: Pool<Sessions>,
    /// How its connections are made.
    config: Config,
    /// How long one piece of work may take; the server ends each statement earlier.
    limit: Duration,
}

impl Database {
    /// A pool of at most `size` connections; none is made yet.
    pub(crate) fn new(config: Config, size: u32, statement_timeout: Duration) -> Self {
        let pool = Pool::builder()
            .max_size(size.max(1))
            .connection_timeout(PATIENCE)
            .build_unchecked(Sessions {
                postgres: PostgresConnectionManager::new(config.clone(), NoTls),
                statement_timeout,
            });
        Self {
            pool,
            config,
            limit: statement_timeout * 2 + Duration::from_secs(10),
        }
    }

    /// A connection beside the pool, for work that takes its time.
    pub(crate) async fn dedicated(&self) -> Result<Client, StoreError> {
        Ok(connect(&self.config).await?)
    }

    /// Does `work` on a connection, to its end even if the caller goes away.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Client) -> Work<'c, T> + Send + 'static,
    {
        let Self { pool, limit, .. } = self.clone();
        let task = tokio::spawn(async move {
            let mut session = pool.get().await.map_err(|error| match error {
                RunError::User(error) => StoreError::Unavailable(sentence(&error)),
                RunError::TimedOut => {
                    StoreError::Unavailable("no connection within 3 s".to_owned())
                }
            })?;
            session.busy = true;
            let done = timeout(limit, work(&mut session.client)).await;
            session.busy = done.is_err();
            done.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(
                    "the server does not answer".to_owned(),
                ))
            })
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
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        let client = self.postgres.connect().await?;
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

    async fn is_valid(&self, session: &mut Session) -> Result<(), tokio_postgres::Error> {
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
        session.busy || self.postgres.has_broken(&mut session.client)
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
    connect(config).await.map_err(|error| {
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
            (_, other) => other,
        }
    })
}

/// A connection of its own, driven by a task until it is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
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

    async fn narrow(store: &testing::TestStore) -> Database {
        let config = store.config().database_url.parse().unwrap();
        Database::new(config, 1, Duration::from_secs(5))
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
        let database = narrow(&store).await;
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
        let database = narrow(&store).await;
        let impatient = Database {
            limit: Duration::from_millis(300),
            ..database.clone()
        };
        let first = backend(&database).await;
        assert_eq!(backend(&database).await, first, "a good connection is kept");

        let panics = database
            .run::<(), _>(|_| Box::pin(async { panic!("on purpose") }))
            .await;
        assert!(matches!(panics, Err(StoreError::Internal(_))), "{panics:?}");
        let second = backend(&database).await;
        assert_ne!(second, first);

        let hangs = impatient
            .run::<(), _>(|_| Box::pin(std::future::pending()))
            .await;
        assert!(
            matches!(hangs, Err(StoreError::Unavailable(_))),
            "{hangs:?}"
        );
        assert_ne!(backend(&database).await, second);
    }
}
