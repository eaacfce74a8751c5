//! A connection that remembers its statements: each is parsed by the server once, and asked by its name from then on.
//!
//! Otherwise every statement is two questions, one that has it parsed and one that has it done, and a change is a dozen of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, GenericClient, IsolationLevel, Row, SimpleQueryMessage, Statement};

/// Statements that a connection remembers at most; what is put together anew each time would fill it.
const REMEMBERED: usize = 512;

/// A connection.
pub(crate) type Client = Remembering<tokio_postgres::Client>;
/// A transaction on one; dropped, it is rolled back.
pub(crate) type Transaction<'c> = Remembering<tokio_postgres::Transaction<'c>>;

/// One or the other.
pub(crate) trait Connection: GenericClient + Sync {}

impl<C: GenericClient + Sync> Connection for C {}

/// What is given for `$1` and the others.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// See the module's head.
pub(crate) struct Remembering<C> {
    inner: C,
    statements: Arc<Statements>,
}

/// What the server has parsed for a connection.
#[derive(Default)]
struct Statements(Mutex<HashMap<String, Statement>>);

impl Statements {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> fmt::Debug for Remembering<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembering").finish_non_exhaustive()
    }
}

impl<C> From<C> for Remembering<C> {
    fn from(inner: C) -> Self {
        Self {
            inner,
            statements: Arc::default(),
        }
    }
}

impl<C: Connection> Remembering<C> {
    /// Every row.
    pub(crate) async fn query(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.parsed(sql).await?;
        self.seen(self.inner.query(&statement, values).await)
    }

    /// One row, if there is any.
    pub(crate) async fn query_opt(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Error> {
        let statement = self.parsed(sql).await?;
        self.seen(self.inner.query_opt(&statement, values).await)
    }

    /// One row.
    pub(crate) async fn query_one(&self, sql: &str, values: Values<'_>) -> Result<Row, Error> {
        let statement = self.parsed(sql).await?;
        self.seen(self.inner.query_one(&statement, values).await)
    }

    /// How many rows it changes.
    pub(crate) async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let statement = self.parsed(sql).await?;
        self.seen(self.inner.client().execute(&statement, values).await)
    }

    /// Statements by the simple protocol, one after the other.
    pub(crate) async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.inner.batch_execute(sql).await
    }

    /// The same, with what is answered.
    pub(crate) async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.inner.simple_query(sql).await
    }

    /// The statement, parsed now where it was not before.
    async fn parsed(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.lock().get(sql) {
            return Ok(known.clone());
        }
        let parsed = self.inner.client().prepare(sql).await?;
        let mut known = self.statements.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(sql.to_owned(), parsed.clone());
        Ok(parsed)
    }

    /// Where a table was changed since a statement on it was parsed, all are parsed anew.
    fn seen<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &done
            && error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        {
            self.statements.lock().clear();
        }
        done
    }
}

impl Client {
    /// Begins a transaction.
    pub(crate) async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        Ok(Remembering {
            inner: self.inner.transaction().await?,
            statements: Arc::clone(&self.statements),
        })
    }

    /// Begins a transaction that sees what is there now, whatever is changed meanwhile.
    pub(crate) async fn snapshot(&mut self) -> Result<Transaction<'_>, Error> {
        let snapshot = self.inner.build_transaction();
        let snapshot = snapshot
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true);
        Ok(Remembering {
            inner: snapshot.start().await?,
            statements: Arc::clone(&self.statements),
        })
    }

    /// The connection itself.
    pub(crate) fn inner(&mut self) -> &mut tokio_postgres::Client {
        &mut self.inner
    }
}

impl Transaction<'_> {
    /// All of it is done.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing;

    /// Statements that the server has parsed for a connection and knows still.
    async fn parsed(client: &Client, sql: &str) -> i64 {
        let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE $1";
        client.query_one(count, &[&sql]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn a_statement_is_parsed_once_and_again_where_its_table_was_changed() {
        let store = testing::fresh().await;
        let mut client = Client::from(store.session().await);
        client
            .batch_execute("CREATE TABLE one (a int)")
            .await
            .unwrap();
        let sql = "SELECT * FROM one";
        for _ in 0..3 {
            let tx = client.transaction().await.unwrap();
            tx.query(sql, &[]).await.unwrap();
            tx.commit().await.unwrap();
            client.query(sql, &[]).await.unwrap();
        }
        assert_eq!(parsed(&client, sql).await, 1);
        let changed = "ALTER TABLE one ADD COLUMN b int; INSERT INTO one VALUES (1, 2)";
        client.batch_execute(changed).await.unwrap();
        let stale = client.query(sql, &[]).await.unwrap_err();
        assert!(matches!(
            crate::StoreError::from(stale),
            crate::StoreError::Unavailable(_)
        ));
        assert_eq!(client.query_one(sql, &[]).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn statements_that_are_put_together_anew_each_time_do_not_pile_up() {
        let store = testing::fresh().await;
        let client = Client::from(store.session().await);
        for n in 0..REMEMBERED + 10 {
            client
                .query(&format!("SELECT {n} AS piled"), &[])
                .await
                .unwrap();
        }
        assert!(parsed(&client, "%piled").await <= REMEMBERED as i64);
        assert!(parsed(&client, "%piled").await >= 10);
    }
}
