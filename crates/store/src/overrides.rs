//! What the operator allows a client in the place of its plan, for a reason and until a time.

use jiff::Timestamp;
use playout_domain::ClientId;
use playout_domain::limits::Limit;
use playout_domain::version::written_at;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::Store;
use crate::clients::{seen, tell};
use crate::columns::{now, now_after, of_version, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::expected::Expected;
use crate::limits::LockedClient;
use crate::principal::{Principal, operator};
use crate::session::{Connection, Remembering, Transaction};

/// What the operator allows a client in the place of its plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Which limit.
    pub limit: Limit,
    /// What it is; null: there is none.
    pub value: Value,
    /// Why.
    pub reason: String,
    /// The name of the token that set it.
    pub set_by: String,
    /// Since when.
    pub set_at: Timestamp,
    /// From then on the plan counts again.
    pub expires_at: Option<Timestamp>,
}

/// An override to be set.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOverride {
    /// Which limit.
    pub limit: Limit,
    /// As a plan says it; null lifts the limit.
    pub value: Value,
    /// Why.
    pub reason: String,
    /// From then on the plan counts again.
    pub expires_at: Option<Timestamp>,
}

impl Override {
    /// Another each time it is set: that time, in microseconds.
    pub fn version(&self) -> u64 {
        written_at(self.set_at)
    }

    /// What the operator calls its tokens is nothing to clients.
    pub(crate) fn shown_to(mut self, who: &Principal) -> Self {
        if !who.is_operator() {
            self.set_by = "operator".to_owned();
        }
        self
    }

    /// As the audit tells it: who has set it is in the entry.
    fn audited(&self) -> Value {
        json!({ "limit": self.limit, "value": self.value, "reason": self.reason, "setAt": self.set_at, "expiresAt": self.expires_at })
    }
}

impl Store {
    /// What is overridden of a limit.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]: there is no such client that `who` may see, or nothing is overridden.
    pub async fn limit_override(
        &self,
        who: &Principal,
        id: ClientId,
        limit: Limit,
    ) -> Result<Override, StoreError> {
        seen(who, id)?;
        let found = self
            .database()
            .run(move |session| Box::pin(async move { overridden(&*session, id, limit).await }))
            .await?;
        let found = found.ok_or(StoreError::NotFound)?;
        Ok(found.shown_to(who))
    }

    /// Overrides a limit of a client, in the place of what was overridden before.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::VersionMismatch`].
    pub async fn put_override(
        &self,
        who: &Principal,
        id: ClientId,
        new: &NewOverride,
        expected: impl Into<Expected>,
    ) -> Result<Override, StoreError> {
        who.is_the_operator()?;
        let (who, new, expected) = (who.clone(), new.clone(), expected.into());
        let put = self
            .database()
            .transact(move |tx| Box::pin(async move { set(tx, &who, (id, expected), &new).await }))
            .await?;
        self.limits_changed().await;
        Ok(put)
    }

    /// Lets the plan count again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]: there is no such client, or nothing is overridden; [`StoreError::VersionMismatch`].
    pub async fn delete_override(
        &self,
        who: &Principal,
        id: ClientId,
        limit: Limit,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        who.is_the_operator()?;
        let who = who.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, id).await?;
                    let before = overridden(tx, id, limit).await?;
                    let before = before.ok_or(StoreError::NotFound)?;
                    of_version(version, before.version())?;
                    let sql =
                        "DELETE FROM limit_overrides WHERE client_id = $1 AND limit_name = $2";
                    tx.execute(sql, &[&id.uuid(), &limit.name()]).await?;
                    let told = Some(before.audited());
                    tell(tx, &who, "override.delete", id, told, None).await
                })
            })
            .await?;
        self.limits_changed().await;
        Ok(())
    }
}

/// Ends the overrides of a client whose time is over; whether there were any. The caller holds the lock of the client's row.
pub(crate) async fn end_expired(tx: &Transaction<'_>, id: ClientId) -> Result<bool, StoreError> {
    let sql =
        "DELETE FROM limit_overrides WHERE client_id = $1 AND expires_at <= now() RETURNING *";
    let rows = tx.query(sql, &[&id.uuid()]).await?;
    for row in &rows {
        let before = Some(read(row)?.audited());
        tell(
            tx,
            &Principal::daemon(),
            "override.expire",
            id,
            before,
            None,
        )
        .await?;
    }
    Ok(!rows.is_empty())
}

async fn set(
    tx: &Transaction<'_>,
    who: &Principal,
    (id, expected): (ClientId, Expected),
    new: &NewOverride,
) -> Result<Override, StoreError> {
    LockedClient::lock(tx, id).await?;
    if id == operator() {
        let message = "the operator has no limits".to_owned();
        return Err(StoreError::Conflict(message));
    }
    let before = overridden(tx, id, new.limit).await?;
    expected.check(before.as_ref().map(Override::version))?;
    let at = before
        .as_ref()
        .map_or_else(now, |before| now_after(before.set_at));
    tx.execute(
        "INSERT INTO limit_overrides (client_id, limit_name, value, reason, set_by, set_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (client_id, limit_name) DO UPDATE
         SET value = $3, reason = $4, set_by = $5, set_at = $6, expires_at = $7",
        &[
            &id.uuid(),
            &new.limit.name(),
            &new.value,
            &text(&new.reason),
            &text(&who.name),
            &at,
            &new.expires_at.map(whole_micros),
        ],
    )
    .await?;
    let after = overridden(tx, id, new.limit).await?;
    let after = after.ok_or(StoreError::NotFound)?;
    let (before, told) = (before.as_ref().map(Override::audited), after.audited());
    tell(tx, who, "override.set", id, before, Some(told)).await?;
    Ok(after)
}

async fn overridden(
    session: &Remembering<impl Connection>,
    id: ClientId,
    limit: Limit,
) -> Result<Option<Override>, StoreError> {
    let all = overrides(session, id).await?;
    Ok(all.into_iter().find(|found| found.limit == limit))
}

/// What is overridden now.
pub(crate) async fn overrides(
    session: &Remembering<impl Connection>,
    id: ClientId,
) -> Result<Vec<Override>, StoreError> {
    let sql = "SELECT * FROM limit_overrides WHERE client_id = $1 AND (expires_at IS NULL OR expires_at > now())
               ORDER BY limit_name";
    let rows = session.query(sql, &[&id.uuid()]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Override, StoreError> {
    Ok(Override {
        limit: parsed(row, "limit_name")?,
        value: row.try_get("value")?,
        reason: row.try_get("reason")?,
        set_by: row.try_get("set_by")?,
        set_at: row.try_get("set_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
