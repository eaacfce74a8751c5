//! Brings a database to the present schema: every migration once, in order, all that are missing in one
//! transaction, under an advisory lock, so that daemons which start together do not disturb one another.

use sha2::{Digest, Sha256};

use crate::channels::stamp_all;
use crate::error::StoreError;
use crate::principal::operator;
use crate::session::{Client, Connection, Remembering};

/// A step from one schema to the next.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $name, ".sql")),
        }
    };
}

/// In order; the first has version 1.
const MIGRATIONS: &[Migration] = &[
    migration!("0001_spine"),
    migration!("0002_integrity"),
    migration!("0003_alerts"),
    migration!("0004_stores"),
    migration!("0005_leases"),
    migration!("0006_playback_url"),
    migration!("0007_damage"),
    migration!("0008_getting_media_in"),
    migration!("0009_schedule"),
    migration!("0010_prepare_queue"),
    migration!("0011_loudness"),
    migration!("0012_as_run"),
    migration!("0013_subtitles"),
    migration!("0014_tags_counted"),
    migration!("0015_words_counted"),
    migration!("0016_token_scopes"),
    migration!("0017_plans"),
    migration!("0018_sessions"),
    migration!("0019_idempotency"),
    migration!("0020_audit_times"),
    migration!("0021_over_limits"),
    migration!("0022_webhooks"),
    migration!("0023_over_limit_channels"),
    migration!("0024_idempotency_done"),
];

/// The version with which channels have digests.
const DIGESTS: usize = 2;

/// The lock that migrating daemons take: "playoutd" in ASCII.
const LOCK: i64 = 0x706c_6179_6f75_7464;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version integer PRIMARY KEY, name text NOT NULL, digest bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())";

/// Waits until no other daemon is at work on the schema, for as long as the session lets it. It ends with [`unlock`], or with the connection.
pub(crate) async fn lock(client: &Client) -> Result<(), StoreError> {
    let sql = "SELECT pg_advisory_lock($1)";
    client.execute(sql, &[&LOCK]).await?;
    Ok(())
}

pub(crate) async fn unlock(client: &Client) -> Result<(), StoreError> {
    let sql = "SELECT pg_advisory_unlock($1)";
    client.execute(sql, &[&LOCK]).await?;
    Ok(())
}

/// How a database stands to this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    applied: usize,
}

impl Version {
    /// Whether there is nothing left to apply.
    pub(crate) fn is_present(self) -> bool {
        self.applied == MIGRATIONS.len()
    }
}

/// The version of a database; writes nothing.
///
/// # Errors
/// [`StoreError::Setup`] when it is a newer build's, or another one's.
pub(crate) async fn version(client: &Remembering<impl Connection>) -> Result<Version, StoreError> {
    let there = "SELECT to_regclass('migrations') IS NOT NULL";
    if !client.query_one(there, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Version { applied: 0 });
    }
    let sql = "SELECT version, name, digest FROM migrations ORDER BY version";
    let applied = client.query(sql, &[]).await?;
    if applied.len() > MIGRATIONS.len() {
        return Err(StoreError::Setup(format!(
            "the database is at version {} and this playoutd knows versions up to {}: run the newer playoutd that made it",
            applied.len(),
            MIGRATIONS.len(),
        )));
    }
    for ((version, migration), row) in (1_i32..).zip(MIGRATIONS).zip(&applied) {
        let same = row.try_get::<_, i32>("version")? == version
            && row.try_get::<_, &[u8]>("digest")? == Sha256::digest(migration.sql).as_slice();
        if !same {
            let found: &str = row.try_get("name")?;
            return Err(StoreError::Setup(format!(
                "the database was made by a different migration {version} ({found}) than this playoutd has ({}): \
                 it belongs to another build",
                migration.name,
            )));
        }
    }
    Ok(Version {
        applied: applied.len(),
    })
}

/// Applies what is missing, and sees to it that the operator's client is there. The caller holds the
/// [`lock`].
pub(crate) async fn apply(client: &mut Client) -> Result<(), StoreError> {
    let Version { applied } = version(client).await?;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!(
            "SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = 0; {LEDGER}"
        ))
        .await?;
    for (version, migration) in (1_i32..).zip(MIGRATIONS).skip(applied) {
        transaction.batch_execute(migration.sql).await?;
        let ledger = "INSERT INTO migrations (version, name, digest) VALUES ($1, $2, $3)";
        let digest = Sha256::digest(migration.sql).to_vec();
        transaction
            .execute(ledger, &[&version, &migration.name, &digest])
            .await?;
    }
    // Once the schema is the present one: the code that digests knows no other.
    if applied < DIGESTS {
        stamp_all(&transaction).await?;
    }
    let operator = operator().uuid();
    for sql in [
        "INSERT INTO plans (id, name, tier, limits) VALUES ($1, 'unlimited', 1000, '{}') ON CONFLICT DO NOTHING",
        "INSERT INTO clients (id, name, plan_id) VALUES ($1, 'operator', $1) ON CONFLICT DO NOTHING",
    ] {
        transaction.execute(sql, &[&operator]).await?;
    }
    transaction.commit().await?;
    for (version, migration) in (1..).zip(MIGRATIONS).skip(applied) {
        tracing::info!(version, name = migration.name, "migrated the database");
    }
    Ok(())
}
