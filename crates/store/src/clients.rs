//! Clients: who is on which plan, and what is used of it.

use jiff::Timestamp;
use playout_domain::limits::{Demand, LimitExceeded, PlanLimits, Raise, Usage};
use playout_domain::plans::{PlanName, PlanRefusal};
use playout_domain::violation::Violations;
use playout_domain::{ChannelConfig, ClientId};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{count, now, of_version, parsed, text};
use crate::error::StoreError;
use crate::limits::{LockedClient, used};
use crate::overrides::{Override, overrides};
use crate::plans;
use crate::principal::{Principal, operator};
use crate::session::{Connection, Remembering, Transaction};

/// An owner of channels and media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredClient {
    /// Which.
    pub id: ClientId,
    /// What people call it; no two have the same.
    pub name: String,
    /// The name of its plan.
    pub plan: PlanName,
    /// Since when there is it.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Counts its changes: what `If-Match` compares.
    #[serde(skip)]
    pub version: u64,
}

/// What a client is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientEdit {
    /// What people call it; nothing: as it is.
    pub name: Option<String>,
    /// Its plan; nothing: as it is.
    pub plan: Option<PlanName>,
}

/// What a client is allowed, and what it uses of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientLimits {
    /// Its plan.
    pub plan: PlanName,
    /// What counts: the plan with what is overridden.
    pub limits: PlanLimits,
    /// What it uses.
    pub usage: Usage,
    /// What is overridden now.
    pub overrides: Vec<Override>,
    /// What it uses beyond that, after a downgrade, say.
    pub over_limit: Vec<LimitExceeded>,
}

const SELECT: &str = "SELECT c.*, p.name AS plan FROM clients c JOIN plans p ON p.id = c.plan_id";

impl Store {
    /// Makes a client.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: the name is taken. [`StoreError::Invalid`]: there is no such plan.
    pub async fn create_client(
        &self,
        who: &Principal,
        name: &str,
        plan: &PlanName,
    ) -> Result<StoredClient, StoreError> {
        who.is_the_operator()?;
        let (who, name, plan) = (who.clone(), text(name), plan.clone());
        let made = self
            .database()
            .transact(move |tx| Box::pin(async move { create(tx, &who, &name, &plan).await }))
            .await?;
        self.limits_changed().await;
        Ok(made)
    }

    /// The clients that `who` may see, in the order of their ids: those after `after`, `limit` at most.
    pub async fn clients(
        &self,
        who: &Principal,
        plan: Option<PlanName>,
        after: Option<ClientId>,
        limit: usize,
    ) -> Result<Vec<StoredClient>, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = format!(
                        "{SELECT} WHERE ($1::uuid IS NULL OR c.id = $1) AND ($2::uuid IS NULL OR c.id > $2)
                             AND ($4::text IS NULL OR p.name = $4)
                         ORDER BY c.id LIMIT $3"
                    );
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let after = after.map(ClientId::uuid);
                    let plan = plan.map(|plan| plan.to_string());
                    let rows = session.query(&sql, &[&only, &after, &limit, &plan]).await?;
                    rows.iter().map(client).collect()
                })
            })
            .await
    }

    /// One client.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn client_of(
        &self,
        who: &Principal,
        id: ClientId,
    ) -> Result<StoredClient, StoreError> {
        seen(who, id)?;
        self.database()
            .run(move |session| Box::pin(async move { found(session, id).await }))
            .await
    }

    /// Changes a client: its name, its plan. Nothing that it has is touched, also where that is more than the plan
    /// allows.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::VersionMismatch`]; [`StoreError::Conflict`]: the name is taken, there is
    /// no such plan, or it is the operator.
    pub async fn update_client(
        &self,
        who: &Principal,
        id: ClientId,
        edit: &ClientEdit,
        version: Option<u64>,
    ) -> Result<StoredClient, StoreError> {
        who.is_the_operator()?;
        let (who, edit) = (who.clone(), edit.clone());
        let changed = self
            .database()
            .transact(move |tx| Box::pin(async move { update(tx, &who, id, &edit, version).await }))
            .await?;
        self.limits_changed().await;
        Ok(changed)
    }

    /// Deletes a client with its tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::VersionMismatch`]; [`StoreError::Conflict`]: it has channels or media, or
    /// it is the operator.
    pub async fn delete_client(
        &self,
        who: &Principal,
        id: ClientId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        who.is_the_operator()?;
        let who = who.clone();
        let ended = self
            .database()
            .transact(move |tx| Box::pin(async move { delete(tx, &who, id, version).await }))
            .await?;
        for digest in &ended {
            self.end_token(digest).await;
        }
        self.limits_changed().await;
        Ok(())
    }

    /// What a client is allowed, and what it uses of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn client_limits(
        &self,
        who: &Principal,
        id: ClientId,
    ) -> Result<ClientLimits, StoreError> {
        seen(who, id)?;
        let who = who.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let (allowance, usage) = used(&*session, id).await?;
                    let demands = demands(&*session, id).await?;
                    let over_limit = allowance.limits.passed(&usage, &demands);
                    let overrides = overrides(&*session, id).await?;
                    let shown = overrides.into_iter().map(|one| one.shown_to(&who));
                    Ok(ClientLimits {
                        plan: allowance.plan,
                        limits: allowance.limits,
                        usage,
                        overrides: shown.collect(),
                        over_limit,
                    })
                })
            })
            .await
    }

    /// Whether a client's plan allows `raise` now; nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn check_limits(
        &self,
        who: &Principal,
        id: ClientId,
        raise: Raise,
    ) -> Result<Result<(), PlanRefusal>, StoreError> {
        seen(who, id)?;
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let (allowance, usage) = used(&*session, id).await?;
                    let plans = plans::for_client(&*session, id).await?;
                    Ok(allowance.check(&raise, &usage, &plans))
                })
            })
            .await
    }
}

impl Store {
    /// What clients may do is known anew for when the database is away. What was changed is changed, also where that cannot
    /// be read now: it is read once a minute.
    pub(crate) async fn limits_changed(&self) {
        if let Err(error) = self.0.refresh().await {
            tracing::debug!(%error, "limits are known as they were");
        }
    }
}

/// A client is seen by the operator and by itself.
pub(crate) fn seen(who: &Principal, id: ClientId) -> Result<(), StoreError> {
    who.sees(id).then_some(()).ok_or(StoreError::NotFound)
}

async fn found(
    session: &Remembering<impl Connection>,
    id: ClientId,
) -> Result<StoredClient, StoreError> {
    let sql = format!("{SELECT} WHERE c.id = $1");
    let row = session.query_opt(&sql, &[&id.uuid()]).await?;
    client(&row.ok_or(StoreError::NotFound)?)
}

async fn plan_id(tx: &Transaction<'_>, plan: &PlanName) -> Result<Uuid, StoreError> {
    // It stays until the client is on it.
    let sql = "SELECT id FROM plans WHERE name = $1 FOR SHARE";
    let row = tx.query_opt(sql, &[&plan.as_str()]).await?;
    let none = || {
        let message = format!("there is no plan {plan}");
        StoreError::Invalid(Violations::one("/plan", message))
    };
    Ok(row.ok_or_else(none)?.try_get("id")?)
}

/// Under the lock of the operator's row names are taken one by one.
async fn free(tx: &Transaction<'_>, name: &str) -> Result<(), StoreError> {
    let sql = "SELECT FROM clients WHERE name = $1";
    match tx.query_opt(sql, &[&name]).await? {
        None => Ok(()),
        Some(_) => Err(StoreError::Conflict(format!(
            "there is a client of the name {name:?} already"
        ))),
    }
}

async fn create(
    tx: &Transaction<'_>,
    who: &Principal,
    name: &str,
    plan: &PlanName,
) -> Result<StoredClient, StoreError> {
    LockedClient::lock(tx, operator()).await?;
    free(tx, name).await?;
    let (id, at, plan) = (Uuid::now_v7(), now(), plan_id(tx, plan).await?);
    tx.execute(
        "INSERT INTO clients (id, name, plan_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        &[&id, &name, &plan, &at],
    )
    .await?;
    let made = found(tx, ClientId::from(id)).await?;
    tell(tx, who, "client.create", made.id, None, Some(told(&made))).await?;
    Ok(made)
}

async fn update(
    tx: &Transaction<'_>,
    who: &Principal,
    id: ClientId,
    edit: &ClientEdit,
    version: Option<u64>,
) -> Result<StoredClient, StoreError> {
    let before = changeable(tx, id, version).await?;
    if let Some(name) = edit.name.as_deref().filter(|name| *name != before.name) {
        free(tx, name).await?;
        let sql = "UPDATE clients SET name = $2 WHERE id = $1";
        tx.execute(sql, &[&id.uuid(), &name]).await?;
    }
    if let Some(plan) = &edit.plan {
        let sql = "UPDATE clients SET plan_id = $2 WHERE id = $1";
        let plan = plan_id(tx, plan).await?;
        tx.execute(sql, &[&id.uuid(), &plan]).await?;
    }
    let after = found(tx, id).await?;
    if (&after.name, &after.plan) == (&before.name, &before.plan) {
        return Ok(before);
    }
    let sql = "UPDATE clients SET version = version + 1, updated_at = $2 WHERE id = $1";
    tx.execute(sql, &[&id.uuid(), &now()]).await?;
    let (before, told_after) = (told(&before), told(&after));
    tell(tx, who, "client.update", id, Some(before), Some(told_after)).await?;
    found(tx, id).await
}

async fn delete(
    tx: &Transaction<'_>,
    who: &Principal,
    id: ClientId,
    version: Option<u64>,
) -> Result<Vec<[u8; 32]>, StoreError> {
    let before = changeable(tx, id, version).await?;
    let sql = "SELECT (SELECT count(*) FROM channels WHERE client_id = $1) AS channels,
                      (SELECT count(*) FROM media WHERE client_id = $1) AS media,
                      (SELECT count(*) FROM watched_folders WHERE client_id = $1) AS watched,
                      (SELECT count(*) FROM alert_routes WHERE client_id = $1) AS routes,
                      (SELECT count(*) FROM webhooks WHERE client_id = $1) AS webhooks,
                      (SELECT count(*) FROM arrivals WHERE client_id = $1 AND state IN ('arriving', 'importing')) AS arrivals";
    let row = tx.query_one(sql, &[&id.uuid()]).await?;
    for (column, what) in [
        ("channels", "channels"),
        ("media", "media items"),
        ("watched", "watched folders"),
        ("routes", "routes of alerts"),
        ("webhooks", "webhooks"),
        ("arrivals", "uploads or imports on their way"),
    ] {
        let left = count(&row, column)?;
        if left > 0 {
            let message = format!("the client has {left} {what}: delete them first");
            return Err(StoreError::Conflict(message));
        }
    }
    let sql = "SELECT digest FROM tokens WHERE client_id = $1
               UNION ALL SELECT s.digest FROM sessions s JOIN tokens t ON t.id = s.token_id WHERE t.client_id = $1";
    let rows = tx.query(sql, &[&id.uuid()]).await?;
    let digests = rows.iter().map(|row| {
        let digest: &[u8] = row.try_get("digest")?;
        digest.try_into().map_err(StoreError::internal)
    });
    let digests = digests.collect::<Result<_, StoreError>>()?;
    tx.execute("DELETE FROM clients WHERE id = $1", &[&id.uuid()])
        .await?;
    tell(tx, who, "client.delete", id, Some(told(&before)), None).await?;
    Ok(digests)
}

/// A client that may be changed, under its lock; names are given under the operator's.
async fn changeable(
    tx: &Transaction<'_>,
    id: ClientId,
    version: Option<u64>,
) -> Result<StoredClient, StoreError> {
    LockedClient::lock(tx, operator()).await?;
    LockedClient::lock(tx, id).await?;
    if id == operator() {
        let message = "the operator's client stays as it is".to_owned();
        return Err(StoreError::Conflict(message));
    }
    let before = found(tx, id).await?;
    of_version(version, before.version)?;
    Ok(before)
}

/// What is told of a client's change is told in the client's own chain.
pub(crate) async fn tell(
    tx: &Transaction<'_>,
    who: &Principal,
    operation: &'static str,
    id: ClientId,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), StoreError> {
    let change = Change::between(operation, "client", id.uuid(), before, after);
    record(tx, id, who, change).await
}

fn told(client: &StoredClient) -> Value {
    json!({ "name": client.name, "plan": client.plan })
}

/// What the channels of a client ask of its plan. One that is stored damaged asks nothing.
pub(crate) async fn demands(
    session: &Remembering<impl Connection>,
    id: ClientId,
) -> Result<Vec<Demand>, StoreError> {
    let sql = "SELECT c.config, (SELECT count(*) FROM rtmp_destinations d WHERE d.channel_id = c.id) AS destinations
               FROM channels c WHERE c.client_id = $1";
    let rows = session.query(sql, &[&id.uuid()]).await?;
    let read = |row: &Row| -> Result<Option<Demand>, StoreError> {
        let config: Value = row.try_get("config")?;
        let config = ChannelConfig::from_stored(&config, Vec::new()).ok();
        let destinations = count(row, "destinations")?;
        Ok(config.map(|config| Demand {
            destinations,
            ..Demand::of(&config)
        }))
    };
    let read: Result<Vec<_>, _> = rows.iter().map(read).collect();
    Ok(read?.into_iter().flatten().collect())
}

fn client(row: &Row) -> Result<StoredClient, StoreError> {
    Ok(StoredClient {
        id: ClientId::from(row.try_get::<_, Uuid>("id")?),
        name: row.try_get("name")?,
        plan: parsed(row, "plan")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        version: count(row, "version")?,
    })
}
