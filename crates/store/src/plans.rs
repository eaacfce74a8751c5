//! Plans: data that the operator edits. What a plan becomes counts at once for everybody on it.

use jiff::Timestamp;
use playout_domain::ClientId;
use playout_domain::plans::{Plan, PlanName};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{count, from_json, json, now, of_version, parsed};
use crate::error::StoreError;
use crate::expected::Expected;
use crate::limits::LockedClient;
use crate::principal::{Principal, operator};
use crate::session::{Connection, Remembering, Transaction};

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// How many clients are on it.
    pub clients: u64,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Counts its changes: what `If-Match` compares.
    #[serde(skip)]
    pub version: u64,
}

const SELECT: &str =
    "SELECT p.*, (SELECT count(*) FROM clients c WHERE c.plan_id = p.id) AS clients FROM plans p";

impl Store {
    /// Every plan, the lowest tier first.
    pub async fn plans(&self) -> Result<Vec<StoredPlan>, StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async move {
                    let sql = format!("{SELECT} ORDER BY p.tier, p.name");
                    let rows = session.query(&sql, &[]).await?;
                    rows.iter().map(stored).collect()
                })
            })
            .await
    }

    /// One plan.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn plan(&self, name: &PlanName) -> Result<StoredPlan, StoreError> {
        let name = name.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move { found(session, &name).await?.ok_or(StoreError::NotFound) })
            })
            .await
    }

    /// Makes or replaces a plan; whether it was made.
    ///
    /// # Errors
    /// [`StoreError::VersionMismatch`]; [`StoreError::Conflict`] for the operator's own plan.
    pub async fn put_plan(
        &self,
        who: &Principal,
        plan: &Plan,
        expected: impl Into<Expected>,
    ) -> Result<(StoredPlan, bool), StoreError> {
        who.is_the_operator()?;
        let (who, plan, expected) = (who.clone(), plan.clone(), expected.into());
        let put = self
            .database()
            .transact(move |tx| Box::pin(async move { put(tx, &who, &plan, expected).await }))
            .await?;
        self.limits_changed().await;
        Ok(put)
    }

    /// Deletes a plan that no client is on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::VersionMismatch`], [`StoreError::Conflict`].
    pub async fn delete_plan(
        &self,
        who: &Principal,
        name: &PlanName,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        who.is_the_operator()?;
        let (who, name) = (who.clone(), name.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, &name).await?.ok_or(StoreError::NotFound)?;
                    let (id, before) = matching(before, version)?;
                    if before.clients > 0 {
                        let clients = before.clients;
                        let message = format!("{clients} clients are on the plan {name}");
                        return Err(StoreError::Conflict(message));
                    }
                    tx.execute("DELETE FROM plans WHERE id = $1", &[&id])
                        .await?;
                    let told = Some(json!(before.plan));
                    let change = Change::between("plan.delete", "plan", id, told, None);
                    record(tx, operator(), &who, change).await
                })
            })
            .await
    }
}

/// The plans that a client may have: each with what is overridden for it, which counts on every plan.
pub(crate) async fn for_client(
    session: &Remembering<impl Connection>,
    client: ClientId,
) -> Result<Vec<Plan>, StoreError> {
    let sql = "SELECT p.name, p.tier, p.limits || coalesce((SELECT jsonb_object_agg(o.limit_name, o.value) FROM limit_overrides o
                   WHERE o.client_id = $2 AND (o.expires_at IS NULL OR o.expires_at > now())), '{}') AS limits
               FROM plans p WHERE p.id <> $1";
    let rows = session
        .query(sql, &[&operator().uuid(), &client.uuid()])
        .await?;
    // One that cannot be read is no reason to refuse without advice.
    let read = rows.iter().map(plan);
    Ok(read.filter_map(Result::ok).collect())
}

async fn found(
    session: &Remembering<impl Connection>,
    name: &PlanName,
) -> Result<Option<StoredPlan>, StoreError> {
    let sql = format!("{SELECT} WHERE p.name = $1");
    let row = session.query_opt(&sql, &[&name.as_str()]).await?;
    row.as_ref().map(stored).transpose()
}

/// A plan with its id, which nobody else changes until the transaction ends.
async fn locked(
    tx: &Transaction<'_>,
    name: &PlanName,
) -> Result<Option<(Uuid, StoredPlan)>, StoreError> {
    // The operator's chain is the one that is written to.
    LockedClient::lock(tx, operator()).await?;
    let sql = "SELECT id FROM plans WHERE name = $1 FOR UPDATE";
    let Some(row) = tx.query_opt(sql, &[&name.as_str()]).await? else {
        return Ok(None);
    };
    let id: Uuid = row.try_get("id")?;
    if id == operator().uuid() {
        let message = format!("the plan {name} is the operator's own and stays as it is");
        return Err(StoreError::Conflict(message));
    }
    Ok(found(tx, name).await?.map(|plan| (id, plan)))
}

fn matching(
    (id, plan): (Uuid, StoredPlan),
    version: Option<u64>,
) -> Result<(Uuid, StoredPlan), StoreError> {
    of_version(version, plan.version)?;
    Ok((id, plan))
}

async fn put(
    tx: &Transaction<'_>,
    who: &Principal,
    plan: &Plan,
    expected: Expected,
) -> Result<(StoredPlan, bool), StoreError> {
    let before = locked(tx, &plan.name).await?;
    expected.check(before.as_ref().map(|(_, before)| before.version))?;
    let tier = i32::try_from(plan.tier).map_err(StoreError::internal)?;
    let (limits, name) = (json(&plan.limits)?, plan.name.as_str());
    let id = before.as_ref().map_or_else(Uuid::now_v7, |(id, _)| *id);
    tx.execute(
        "INSERT INTO plans (id, name, tier, limits, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET tier = $3, limits = $4, updated_at = $5, version = plans.version + 1",
        &[&id, &name, &tier, &limits, &now()],
    )
    .await?;
    let told = before.as_ref().map(|(_, before)| json!(before.plan));
    let operation = if told.is_some() {
        "plan.update"
    } else {
        "plan.create"
    };
    let change = Change::between(operation, "plan", id, told, Some(json!(plan)));
    record(tx, operator(), who, change).await?;
    let after = found(tx, &plan.name).await?.ok_or(StoreError::NotFound)?;
    Ok((after, before.is_none()))
}

fn plan(row: &Row) -> Result<Plan, StoreError> {
    Ok(Plan {
        name: parsed(row, "name")?,
        tier: u32::try_from(row.try_get::<_, i32>("tier")?).map_err(StoreError::internal)?,
        limits: from_json(row, "limits")?,
    })
}

fn stored(row: &Row) -> Result<StoredPlan, StoreError> {
    Ok(StoredPlan {
        plan: plan(row)?,
        clients: count(row, "clients")?,
        updated_at: row.try_get("updated_at")?,
        version: count(row, "version")?,
    })
}
