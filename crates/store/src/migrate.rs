//! Brings a database to the present schema: every migration once, in order, each in a transaction of
//! its own, under an advisory lock, so that daemons which start together do not disturb one another.

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::error::StoreError;
use crate::principal::operator;

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
const MIGRATIONS: &[Migration] = &[migration!("0001_spine"), migration!("0003_alerts")];

/// The lock that migrating daemons take: "playoutd" in ASCII.
const LOCK: i64 = 0x706c_6179_6f75_7464;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version integer PRIMARY KEY, name text NOT NULL, digest bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())";

/// Applies what is missing, and sees to it that the operator's client is there.
pub(crate) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await?;
    let done = apply(client).await;
    // The connection is this function's alone and closes after it, which releases the lock anyhow.
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    done
}

async fn apply(client: &mut Client) -> Result<(), StoreError> {
    client
        .batch_execute(&format!("SET client_min_messages = warning; {LEDGER}"))
        .await?;
    let applied = client
        .query(
            "SELECT version, name, digest FROM migrations ORDER BY version",
            &[],
        )
        .await?;
    if applied.len() > MIGRATIONS.len() {
        return Err(StoreError::Setup(format!(
            "the database is at version {} and this playoutd knows versions up to {}: run the newer playoutd that made it",
            applied.len(),
            MIGRATIONS.len(),
        )));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let version = i32::try_from(index + 1).map_err(StoreError::internal)?;
        let digest = Sha256::digest(migration.sql).to_vec();
        if let Some(row) = applied.get(index) {
            let same = row.try_get::<_, i32>("version")? == version
                && row.try_get::<_, &[u8]>("digest")? == digest;
            if !same {
                let found: &str = row.try_get("name")?;
                return Err(StoreError::Setup(format!(
                    "the database was made by a different migration {version} ({found}) than this playoutd has ({}): \
                     it belongs to another build",
                    migration.name,
                )));
            }
            continue;
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(migration.sql).await?;
        let ledger = "INSERT INTO migrations (version, name, digest) VALUES ($1, $2, $3)";
        transaction
            .execute(ledger, &[&version, &migration.name, &digest])
            .await?;
        transaction.commit().await?;
        tracing::info!(version, name = migration.name, "migrated the database");
    }
    let operator = operator().uuid();
    client
        .execute(
            "INSERT INTO plans (id, name, limits) VALUES ($1, 'unlimited', '{}') ON CONFLICT DO NOTHING",
            &[&operator],
        )
        .await?;
    client
        .execute(
            "INSERT INTO clients (id, name, plan_id) VALUES ($1, 'operator', $1) ON CONFLICT DO NOTHING",
            &[&operator],
        )
        .await?;
    Ok(())
}
