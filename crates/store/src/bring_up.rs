//! What the store needs of the database before it can be used: reached, at the present schema, the master key
//! checked, and what little has to be known when it goes away. Done at the start, or whenever it is there.

use std::sync::Arc;
use std::time::Duration;

use playout_domain::{ClientId, DestinationId};
use tokio::time::timeout;
use tokio_postgres::Config;

use crate::channels::sealed;
use crate::database;
use crate::error::StoreError;
use crate::limits::KeptAllowance;
use crate::master_key::KeySource;
use crate::migrate::{self, Version};
use crate::session::{Client, Connection, Remembering};
use crate::standby::{DestinationKey, Kind, Standby};
use crate::vault::{Keyring, Vault};
use crate::{Inner, keys};

/// No journal holds an order for so long.
const OLD_ORDERS: &str = "DELETE FROM orders WHERE at < now() - interval '90 days'";

/// A database that can be used.
pub(crate) struct Up {
    pub(crate) ring: Keyring,
    pub(crate) small: Small,
}

/// What little has to be known when the database goes away.
pub(crate) struct Small {
    limits: Vec<(ClientId, KeptAllowance)>,
    stream_keys: Vec<(DestinationId, DestinationKey)>,
}

/// How long the server may be silent beside what it takes for a statement.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reaches the database and makes it ready. One that nothing was ever in is not made ready where `expected`
/// channels are kept outside it: it has been lost, or it is another one, and to begin anew would take them
/// off air. A database of another build and a wrong key are found before anything is written.
///
/// Bounded, all but migrations: a statement takes `limit` at most, the wait for a lock included.
///
/// # Errors
/// [`StoreError::Unavailable`]; [`StoreError::Setup`].
pub(crate) async fn bring_up(
    config: &Config,
    source: &KeySource,
    expected: usize,
    limit: Duration,
) -> Result<Up, StoreError> {
    let mut client = database::reach(config).await?;
    let (ring, version) = bounded(limit, check(&client, source, expected, limit)).await?;
    match version.is_present() {
        true => bounded(limit, migrate::apply(&mut client)).await?,
        // However long they take.
        false => migrate::apply(&mut client).await?,
    }
    let small = bounded(limit, async {
        keys::note_first(&client, &ring).await?;
        migrate::unlock(&client).await?;
        Small::read(&client).await
    });
    let small = small.await?;
    Ok(Up { ring, small })
}

/// What is found out before anything is written. Takes the lock of the migrations.
async fn check(
    client: &Client,
    source: &KeySource,
    expected: usize,
    limit: Duration,
) -> Result<(Keyring, Version), StoreError> {
    let limit = limit.as_millis();
    let limits = format!("SET statement_timeout = {limit}; SET lock_timeout = {limit}");
    client.batch_execute(&limits).await?;
    migrate::lock(client).await?;
    let empty = "SELECT to_regclass('migrations') IS NULL";
    if expected > 0 && client.query_one(empty, &[]).await?.try_get(0)? {
        return Err(StoreError::away(format!(
            "the database is empty, and {expected} channels are known from before: restore it from a backup, or, \
             to begin anew, stop the daemon and remove the copies: data_dir/standby, and node:*:copy:* in Redis"
        )));
    }
    let version = migrate::version(client).await?;
    Ok((keys::check(client, source).await?, version))
}

/// A server that freezes ends no statement by itself.
async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = timeout(limit + PATIENCE, work).await;
    done.unwrap_or_else(|_| Err(StoreError::away("PostgreSQL does not answer")))
}

impl Small {
    pub(crate) async fn read(session: &Remembering<impl Connection>) -> Result<Self, StoreError> {
        Ok(Self {
            limits: KeptAllowance::all(session).await?,
            stream_keys: sealed(session, None).await?,
        })
    }

    /// From now on this is what is known.
    pub(crate) fn keep(self, standby: &Standby) {
        let limits = self.limits.into_iter();
        standby.load(
            Kind::Limits,
            limits.map(|(id, limits)| (id.to_string(), limits)),
        );
        let keys = self.stream_keys.into_iter();
        standby.load(Kind::StreamKey, keys.map(|(id, key)| (id.to_string(), key)));
    }
}

impl Inner {
    /// Takes in keys that were read, beside those that were read before.
    pub(crate) fn take_keys(&self, ring: Keyring) {
        match self.vault.get() {
            Some(vault) => vault.take_in(ring),
            // The one who looks after the database is alone.
            None => drop(self.vault.set(Vault::new(self.master_key.clone(), ring))),
        }
    }

    /// Whether the database is ready to be used, at the present schema and with its key.
    pub(crate) fn is_up(&self) -> bool {
        self.vault.get().is_some() && *self.up.borrow()
    }

    /// Makes the database ready, when it is there at last.
    pub(crate) async fn bring_up(&self) -> Result<(), StoreError> {
        let up = bring_up(
            &self.config,
            &self.master_key,
            self.expected,
            self.database.statement_timeout(),
        )
        .await;
        let up = up.inspect_err(|error| {
            let condition = self.database.gate().condition();
            if let StoreError::Setup(why) = error
                && condition.borrow().why() != Some(why)
            {
                tracing::error!(why, "PostgreSQL is there and cannot be used");
            }
        });
        // One that cannot be used is as good as away.
        let Up { ring, small } = up.map_err(|error| match error {
            StoreError::Unavailable(away) => StoreError::Unavailable(away),
            other => StoreError::away(other.to_string()),
        })?;
        small.keep(&self.standby);
        self.take_keys(ring);
        self.up.send_replace(true);
        Ok(())
    }

    /// Reads anew what little has to be known when the database goes away.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), StoreError> {
        // One at a time: what was written meanwhile is noted for one reader.
        let _alone = self.refreshing.lock().await;
        self.standby.begin_reading();
        let small = self
            .database
            .run(|session| {
                Box::pin(async move {
                    session.execute(OLD_ORDERS, &[]).await?;
                    Small::read(session).await
                })
            })
            .await
            .map(|small| small.keep(&self.standby));
        self.standby.end_reading();
        small
    }
}
