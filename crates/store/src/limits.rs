//! The one place where a plan's limits are checked: inside the transaction that raises the use, under
//! a lock of the client's row, so that requests at once cannot pass a limit by racing.

use jiff::Timestamp;
use playout_domain::ClientId;
use playout_domain::limits::{Limit, PlanLimits, Raise, Usage};
use playout_domain::plans::{Plan, PlanName, PlanRefusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::columns::{count, from_json, parsed};
use crate::error::StoreError;
use crate::plans;
use crate::session::{Connection, Remembering, Transaction};

/// Bytes that the library of client `$1` has.
pub(crate) const USED: &str =
    "(SELECT coalesce(sum(size), 0)::bigint FROM media WHERE client_id = $1)
                               + (SELECT coalesce(sum(s.bytes), 0)::bigint FROM subtitles s
                                  JOIN media m ON m.id = s.media_id WHERE m.client_id = $1)";

/// Bytes that the files on their way to client `$1` will have. Those of a daemon that is gone count until they expire.
pub(crate) const ARRIVING: &str = "(SELECT coalesce(sum(length), 0)::bigint FROM arrivals
                                    WHERE client_id = $1 AND state IN ('arriving', 'importing') AND expires_at > now())";

/// What a client is allowed: its plan, with what is overridden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The plan's name.
    pub plan: PlanName,
    /// The plan's place among plans.
    pub tier: u32,
    /// What counts.
    pub limits: PlanLimits,
}

impl Allowance {
    /// From a row of `client_limits`.
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            plan: parsed(row, "plan")?,
            tier: u32::try_from(row.try_get::<_, i32>("tier")?).map_err(StoreError::internal)?,
            limits: from_json(row, "limits")?,
        })
    }

    /// Whether `raise` is allowed on top of `usage`; a refusal says which of `plans` lifts it.
    pub(crate) fn check(
        &self,
        raise: &Raise,
        usage: &Usage,
        plans: &[Plan],
    ) -> Result<(), PlanRefusal> {
        let plan = || Plan {
            name: self.plan.clone(),
            tier: self.tier,
            limits: PlanLimits::UNLIMITED,
        };
        self.limits
            .check(raise, usage)
            .map_err(|exceeded| plan().refusal(exceeded, raise, usage, plans))
    }
}

/// What a client is allowed, as it is kept for when the database is away: overrides end meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptAllowance {
    /// What the plan says.
    #[serde(flatten)]
    of_plan: Allowance,
    #[serde(default)]
    overrides: Vec<KeptOverride>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptOverride {
    limit: Limit,
    value: Value,
    expires_at: Option<Timestamp>,
}

impl KeptAllowance {
    /// Of every client.
    pub(crate) async fn all(
        session: &Remembering<impl Connection>,
    ) -> Result<Vec<(ClientId, Self)>, StoreError> {
        let sql = "SELECT c.id AS client_id, p.name AS plan, p.tier, p.limits,
                (SELECT coalesce(jsonb_agg(jsonb_build_object('limit', o.limit_name, 'value', o.value,
                        'expires_at', to_char(o.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))), '[]')
                    FROM limit_overrides o WHERE o.client_id = c.id) AS overrides
            FROM clients c JOIN plans p ON p.id = c.plan_id";
        let rows = session.query(sql, &[]).await?;
        let read = |row: &Row| {
            let client = ClientId::from(row.try_get::<_, Uuid>("client_id")?);
            let of_plan = Allowance::of(row)?;
            let overrides = from_json(row, "overrides")?;
            Ok((client, Self { of_plan, overrides }))
        };
        rows.iter().map(read).collect()
    }

    /// What counts now.
    pub(crate) fn at(self, now: Timestamp) -> Allowance {
        let mut allowance = self.of_plan;
        for one in self.overrides {
            if one.expires_at.is_none_or(|end| now < end) {
                // What was written was checked.
                if let Err(error) = allowance.limits.set(one.limit, &one.value) {
                    tracing::error!(%error, "a kept override cannot be read");
                }
            }
        }
        allowance
    }
}

/// A client whose row this transaction holds until it ends.
pub(crate) struct LockedClient {
    id: ClientId,
}

impl LockedClient {
    /// Waits for the client's row and takes it. Always the first lock of a transaction.
    pub(crate) async fn lock(
        transaction: &Transaction<'_>,
        id: ClientId,
    ) -> Result<Self, StoreError> {
        // NO KEY: rows that only refer to the client may be written meanwhile.
        let sql = "SELECT FROM clients WHERE id = $1 FOR NO KEY UPDATE";
        let row = transaction.query_opt(sql, &[&id.uuid()]).await?;
        row.map(|_| Self { id }).ok_or(StoreError::NotFound)
    }

    /// Refuses what the client's plan does not allow on top of what the client uses now.
    pub(crate) async fn check(
        &self,
        transaction: &Transaction<'_>,
        raise: &Raise,
    ) -> Result<(), StoreError> {
        // After the lock, so that what was changed while it was waited for counts.
        let (allowance, usage) = used(transaction, self.id).await?;
        if allowance.limits.check(raise, &usage).is_ok() {
            return Ok(());
        }
        let plans = plans::for_client(transaction, self.id).await?;
        Ok(allowance.check(raise, &usage, &plans)?)
    }
}

/// What a client is allowed and what it uses.
pub(crate) async fn used(
    session: &Remembering<impl Connection>,
    client: ClientId,
) -> Result<(Allowance, Usage), StoreError> {
    let row = session
        .query_opt(
            &format!(
                "SELECT l.*, c.*, {USED} + {ARRIVING} AS storage_bytes
                 FROM client_limits l, (SELECT count(*) AS channels, count(*) FILTER (WHERE desired = 'LIVE') AS live
                                        FROM channels WHERE client_id = $1) c
                 WHERE l.client_id = $1"
            ),
            &[&client.uuid()],
        )
        .await?
        .ok_or(StoreError::NotFound)?;
    let usage = Usage {
        channels: count(&row, "channels")?,
        live: count(&row, "live")?,
        storage_bytes: count(&row, "storage_bytes")?,
        viewers: 0,
    };
    Ok((Allowance::of(&row)?, usage))
}
