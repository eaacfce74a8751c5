//! A connection that knows its statements: each is parsed by the server once, and asked by its name from then on.
//!
//! Otherwise every statement is two questions, one that has it parsed and one that has it done, and a change is a dozen of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, IsolationLevel, Row, SimpleQueryMessage, Statement};

/// Statements that a connection remembers at most; what is put together anew each time would fill it.
const REMEMBERED: usize = 512;

/// What a statement is given.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection.
pub(crate) struct Client {
    inner: tokio_postgres::Client,
    statements: Statements,
}

/// A transaction on it; dropped, it is rolled back.
pub(crate) struct Transaction<'c> {
    inner: tokio_postgres::Transaction<'c>,
    statements: &'c Statements,
}

/// What statements are asked of.
pub(crate) trait GenericClient: Sync {
    /// Every row.
    fn query(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// One row, if there is any.
    fn query_opt(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send;

    /// One row.
    fn query_one(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> impl Future<Output = Result<Row, Error>> + Send;

    /// How many rows it changes.
    fn execute(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// What the server has parsed for a connection.
#[derive(Default)]
struct Statements(Mutex<HashMap<String, Statement>>);

impl Statements {
    /// The statement, parsed now where it was not before.
    async fn of(
        &self,
        client: &impl tokio_postgres::GenericClient,
        sql: &str,
    ) -> Result<Statement, Error> {
        if let Some(known) = self.lock().get(sql) {
            return Ok(known.clone());
        }
        let parsed = client.prepare(sql).await?;
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(sql.to_owned(), parsed.clone());
        Ok(parsed)
    }

    /// A table may have been changed since a statement was parsed: all are parsed anew.
    fn seen<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        let is_stale = |error: &Error| error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED);
        done.inspect_err(|error| {
            if is_stale(error) {
                self.lock().clear();
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl From<tokio_postgres::Client> for Client {
    fn from(inner: tokio_postgres::Client) -> Self {
        Self {
            inner,
            statements: Statements::default(),
        }
    }
}

impl Client {
    /// Begins a transaction.
    pub(crate) async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        Ok(Transaction {
            inner: self.inner.transaction().await?,
            statements: &self.statements,
        })
    }

    /// Begins a transaction that sees what is there now, whatever is changed meanwhile.
    pub(crate) async fn snapshot(&mut self) -> Result<Transaction<'_>, Error> {
        let begun = self
            .inner
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        Ok(Transaction {
            inner: begun.await?,
            statements: &self.statements,
        })
    }

    /// The connection itself.
    pub(crate) fn inner(&mut self) -> &mut tokio_postgres::Client {
        &mut self.inner
    }

    /// One statement by the simple protocol.
    pub(crate) async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.inner.simple_query(sql).await
    }
}

impl Transaction<'_> {
    /// All of it is done.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }
}

macro_rules! asked {
    ($of:ty) => {
        impl $of {
            pub(crate) async fn query(
                &self,
                sql: &str,
                values: Values<'_>,
            ) -> Result<Vec<Row>, Error> {
                let statement = self.statements.of(&self.inner, sql).await?;
                let done = self.inner.query(&statement, values).await;
                self.statements.seen(done)
            }

            pub(crate) async fn query_opt(
                &self,
                sql: &str,
                values: Values<'_>,
            ) -> Result<Option<Row>, Error> {
                let statement = self.statements.of(&self.inner, sql).await?;
                let done = self.inner.query_opt(&statement, values).await;
                self.statements.seen(done)
            }

            pub(crate) async fn query_one(
                &self,
                sql: &str,
                values: Values<'_>,
            ) -> Result<Row, Error> {
                let statement = self.statements.of(&self.inner, sql).await?;
                let done = self.inner.query_one(&statement, values).await;
                self.statements.seen(done)
            }

            pub(crate) async fn execute(
                &self,
                sql: &str,
                values: Values<'_>,
            ) -> Result<u64, Error> {
                let statement = self.statements.of(&self.inner, sql).await?;
                let done = self.inner.execute(&statement, values).await;
                self.statements.seen(done)
            }

            pub(crate) async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
                self.inner.batch_execute(sql).await
            }
        }

        impl GenericClient for $of {
            async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
                Self::query(self, sql, values).await
            }

            async fn query_opt(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
                Self::query_opt(self, sql, values).await
            }

            async fn query_one(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
                Self::query_one(self, sql, values).await
            }

            async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
                Self::execute(self, sql, values).await
            }
        }
    };
}

asked!(Client);
asked!(Transaction<'_>);
