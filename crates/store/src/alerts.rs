//! Alerts as they are kept. The truth about an open alert is in the daemon's memory, which goes on while
//! the database is away; what is written here follows from the state alone, so writing it again changes
//! nothing and is audited once.

use jiff::Timestamp;
use playout_domain::alert::{Acknowledgement, AlertKind, AlertState, Key, Severity};
use playout_domain::{Alert, AlertId, ChannelId, ClientId, NodeId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{bigint, count, now, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;

/// Which alerts are asked for; the default asks for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those that have come so far.
    pub state: Option<AlertState>,
    /// Only those as bad as this.
    pub severity: Option<Severity>,
    /// Only those of this channel.
    pub channel: Option<ChannelId>,
}

impl AlertFilter {
    /// Whether an alert is asked for.
    pub fn takes(&self, alert: &Alert) -> bool {
        self.state.is_none_or(|state| alert.state() == state)
            && self
                .severity
                .is_none_or(|severity| alert.kind().severity() == severity)
            && self
                .channel
                .is_none_or(|channel| alert.key.subject.channel() == Some(channel))
    }
}

impl Store {
    /// Stores an alert as it is now, with an audit entry when that it is open has changed. Nothing is stored
    /// where another daemon holds the channel that it is about.
    pub async fn save_alert(&self, alert: &Alert) -> Result<(), StoreError> {
        let (alert, node) = (alert.clone(), self.0.leases.node());
        self.database()
            .transact(move |tx| Box::pin(async move { save(tx, &alert, node).await }))
            .await
    }

    /// Somebody knows of an alert. Answers it as it is stored; one that was acknowledged stays as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::Conflict`] when it is
    /// closed.
    pub async fn acknowledge_alert(
        &self,
        who: &Principal,
        id: AlertId,
    ) -> Result<Alert, StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| Box::pin(async move { acknowledge(tx, &who, id).await }))
            .await
    }

    /// An alert that `who` may see.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn alert(&self, who: &Principal, id: AlertId) -> Result<Alert, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM alerts WHERE id = $1 AND ($2::uuid IS NULL OR client_id = $2)";
                    let row = session.query_opt(sql, &[&id.uuid(), &only]).await?;
                    alert(&row.ok_or(StoreError::NotFound)?)
                })
            })
            .await
    }

    /// The alerts that `who` may see, newest first: those raised before `before`, `limit` at most.
    pub async fn alerts(
        &self,
        who: &Principal,
        filter: AlertFilter,
        before: Option<AlertId>,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let kinds = filter.severity.map(kinds_of);
                    let state = filter.state.map(AlertState::name);
                    let channel = filter.channel.map(ChannelId::uuid);
                    let rows = session
                        .query(
                            "SELECT * FROM alerts WHERE ($1::uuid IS NULL OR client_id = $1)
                                 AND ($2::uuid IS NULL OR id < $2)
                                 AND ($3::uuid IS NULL OR channel_id = $3)
                                 AND ($4::text[] IS NULL OR kind = ANY ($4))
                                 AND ($5::text IS NULL OR $5 = CASE WHEN closed_at IS NOT NULL THEN 'closed'
                                     WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END)
                             ORDER BY id DESC LIMIT $6",
                            &[
                                &only,
                                &before.map(AlertId::uuid),
                                &channel,
                                &kinds,
                                &state,
                                &i64::try_from(limit).unwrap_or(i64::MAX),
                            ],
                        )
                        .await?;
                    rows.iter().map(alert).collect()
                })
            })
            .await
    }

    /// Every alert of this daemon that is not closed, whoever owns it, oldest first; of one channel alone, where
    /// it is named.
    pub async fn open_alerts(&self, channel: Option<ChannelId>) -> Result<Vec<Alert>, StoreError> {
        let (node, channel) = (self.0.leases.node(), channel.map(ChannelId::uuid));
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM alerts WHERE closed_at IS NULL AND (node IS NULL OR node = $1)
                                   AND ($2::uuid IS NULL OR channel_id = $2) ORDER BY id";
                    let rows = session.query(sql, &[&node.uuid(), &channel]).await?;
                    rows.iter().map(alert).collect()
                })
            })
            .await
    }

    /// Deletes alerts that were closed before `before`, at most 10 000 at once; answers how many.
    pub async fn prune_alerts(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM alerts WHERE ctid = ANY (ARRAY(
                                   SELECT ctid FROM alerts WHERE closed_at < $1 LIMIT 10000))";
                    Ok(session.execute(sql, &[&before]).await?)
                })
            })
            .await
    }
}

fn kinds_of(severity: Severity) -> Vec<&'static str> {
    AlertKind::ALL
        .into_iter()
        .filter(|kind| kind.severity() == severity)
        .map(AlertKind::name)
        .collect()
}

async fn save(tx: &Transaction<'_>, alert: &Alert, node: NodeId) -> Result<(), StoreError> {
    LockedClient::lock(tx, alert.client).await?;
    if let Some(channel) = alert.key.subject.channel() {
        // Nobody takes it before this is done.
        let sql = "SELECT FROM channels WHERE id = $1 AND node <> $2 FOR SHARE";
        let elsewhere = tx.query_opt(sql, &[&channel.uuid(), &node.uuid()]).await?;
        if elsewhere.is_some() {
            return Ok(());
        }
    }
    let sql = "SELECT closed_at IS NULL FROM alerts WHERE id = $1 FOR UPDATE";
    let before = tx.query_opt(sql, &[&alert.id.uuid()]).await?;
    let was_open: Option<bool> = before.map(|row| row.try_get(0)).transpose()?;
    let acknowledged = alert.acknowledged.as_ref();
    tx.execute(
        "INSERT INTO alerts AS a (id, client_id, kind, subject, channel_id, name, detail, occurrences, reopened,
             opened_at, last_at, acknowledged_at, acknowledged_by, closed_at, told, node)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, detail = excluded.detail,
             occurrences = excluded.occurrences, reopened = excluded.reopened, last_at = excluded.last_at,
             -- Somebody's word is kept, whatever the memory that is written had heard.
             acknowledged_at = coalesce(a.acknowledged_at, excluded.acknowledged_at),
             acknowledged_by = coalesce(a.acknowledged_by, excluded.acknowledged_by),
             closed_at = excluded.closed_at, told = excluded.told",
        &[
            &alert.id.uuid(),
            &alert.client.uuid(),
            &alert.kind().name(),
            &alert.key.subject.to_string(),
            &alert.key.subject.channel().map(ChannelId::uuid),
            &alert.name.as_deref().map(text),
            &text(&alert.detail),
            &bigint(alert.occurrences.max(1)),
            &i64::from(alert.reopened),
            &whole_micros(alert.opened_at),
            &whole_micros(alert.last_at),
            &acknowledged.map(|known| whole_micros(known.at)),
            &acknowledged.map(|known| text(&known.by)),
            &alert.closed_at.map(whole_micros),
            &alert.told,
            &node.uuid(),
        ],
    )
    .await?;
    let is_open = alert.closed_at.is_none();
    let opened = match was_open {
        None => Some("alert.open"),
        Some(false) if is_open => Some("alert.reopen"),
        Some(_) => None,
    };
    let closed = (!is_open && was_open != Some(false)).then_some("alert.close");
    for operation in [opened, closed].into_iter().flatten() {
        let (before, after) = match operation {
            "alert.open" => (None, "open"),
            "alert.reopen" => (Some("closed"), "open"),
            _ => (Some("open"), "closed"),
        };
        let change = change(operation, alert, before, after);
        record(tx, alert.client, &Principal::daemon(), change).await?;
    }
    Ok(())
}

async fn acknowledge(
    tx: &Transaction<'_>,
    who: &Principal,
    id: AlertId,
) -> Result<Alert, StoreError> {
    let owner = "SELECT client_id FROM alerts WHERE id = $1";
    let owner = tx.query_opt(owner, &[&id.uuid()]).await?;
    let owner = ClientId::from(owner.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if !who.sees(owner) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, owner).await?;
    let sql = "SELECT * FROM alerts WHERE id = $1 FOR UPDATE";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let mut alert = alert(&row.ok_or(StoreError::NotFound)?)?;
    match alert.state() {
        AlertState::Acknowledged => return Ok(alert),
        AlertState::Closed => {
            let message = "the alert is closed; only one that is open can be acknowledged";
            return Err(StoreError::Conflict(message.to_owned()));
        }
        AlertState::Open => {}
    }
    let known = Acknowledgement {
        at: now(),
        by: text(&who.name),
    };
    tx.execute(
        "UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3 WHERE id = $1",
        &[&id.uuid(), &known.at, &known.by],
    )
    .await?;
    alert.acknowledged = Some(known);
    let change = change("alert.acknowledge", &alert, Some("open"), "acknowledged");
    record(tx, owner, who, change).await?;
    Ok(alert)
}

fn change(
    operation: &'static str,
    alert: &Alert,
    before: Option<&'static str>,
    after: &'static str,
) -> Change {
    let told = |state: &str| -> Value {
        json!({
            "state": state,
            "kind": alert.kind().name(),
            "subject": alert.key.subject.to_string(),
            "occurrences": alert.occurrences,
        })
    };
    Change {
        operation,
        subject_kind: "alert",
        subject: alert.id.uuid(),
        detail: json!({ "before": before.map(told), "after": told(after) }),
    }
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    let acknowledged = match (
        row.try_get("acknowledged_at")?,
        row.try_get("acknowledged_by")?,
    ) {
        (Some(at), Some(by)) => Some(Acknowledgement { at, by }),
        _ => None,
    };
    Ok(Alert {
        id: AlertId::from(row.try_get::<_, Uuid>("id")?),
        key: Key::new(parsed(row, "kind")?, parsed(row, "subject")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        name: row.try_get("name")?,
        detail: row.try_get("detail")?,
        occurrences: count(row, "occurrences")?,
        opened_at: row.try_get("opened_at")?,
        last_at: row.try_get("last_at")?,
        reopened: u32::try_from(count(row, "reopened")?).unwrap_or(u32::MAX),
        acknowledged,
        closed_at: row.try_get("closed_at")?,
        told: row.try_get("told")?,
    })
}
