//! The queue of deliveries: events become rows, one for each webhook that wants them; a daemon claims a webhook, and
//! nobody else delivers for it until the claim ends.
//!
//! Invariants:
//! - Q1: an event is one delivery of a webhook, however often it is written.
//! - Q2: of one webhook one daemon delivers at a time, and one delivery is under way, so its order is kept as far as
//!   failures allow.
//! - Q3: of one webhook at most [`MAX_WAITING`] deliveries wait; the oldest gives way and is dead.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::outbox::MAX_UNDER_WAY;
use playout_domain::event::FREQUENT;
use playout_domain::labels::Labels;
use playout_domain::webhook::delivery::MAX_WAITING;
use playout_domain::webhook::{Channels, Happened, Standing, Webhook, WebhookDelivery};
use playout_domain::{ChannelId, ClientId, WebhookDeliveryId, WebhookId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::rows::{delivery, seen, webhook};
use crate::Store;
use crate::columns::{bigint, now, text, whole_micros};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::session::{Client, Transaction};

/// How long a claim lasts beyond the last that was heard of it: longer than any attempt.
const LEASE: Duration = Duration::from_secs(60);
/// Webhooks that are looked at for a claim.
const LOOKED_AT: i64 = 500;

/// An event to be told by whoever wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedEvent {
    /// The id that it has on the event stream.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: &'static str,
    /// Whose; nothing: the operator's alone.
    pub client: Option<ClientId>,
    /// On which channel.
    pub channel: Option<ChannelId>,
    /// The channel's labels, where the event has them; else those that the database has count.
    pub labels: Option<Labels>,
    /// What is sent.
    pub body: String,
    /// Told only to those who name a frequent kind: nothing else was lost.
    pub frequent_only: bool,
}

/// A webhook that this daemon delivers for.
#[derive(Debug)]
pub struct ClaimedWebhook {
    /// The webhook.
    pub webhook: Webhook,
    /// What it signs with, the newest first; none where it cannot be opened.
    pub secrets: Vec<Zeroizing<String>>,
}

impl Store {
    /// Writes a delivery of each event for each webhook that wants it. Answers how many.
    pub async fn queue_webhook_events(&self, events: Vec<QueuedEvent>) -> Result<u64, StoreError> {
        self.database()
            .transact(move |tx| Box::pin(async move { queue(tx, &events).await }))
            .await
    }

    /// Claims webhooks for which something is due, `room` at most, and no more of one client than may be under way
    /// with those that are.
    pub async fn claim_webhooks(
        &self,
        under_way: HashMap<ClientId, usize>,
        room: usize,
    ) -> Result<Vec<ClaimedWebhook>, StoreError> {
        let node = self.0.leases.node().uuid();
        let rows = self
            .database()
            .run(move |session| {
                Box::pin(async move { claim(session, node, under_way, room).await })
            })
            .await?;
        let at = now();
        // One that cannot be read silences itself alone.
        let claimed = rows.iter().filter_map(|row| {
            let read = || {
                Ok::<_, StoreError>(ClaimedWebhook {
                    webhook: webhook(row)?,
                    secrets: self.secrets_of(row, at)?,
                })
            };
            read()
                .inspect_err(|error| tracing::error!(%error, "a webhook cannot be read"))
                .ok()
        });
        Ok(claimed.collect())
    }

    /// The oldest delivery of a webhook that may be tried now.
    pub async fn due_webhook_delivery(
        &self,
        id: WebhookId,
    ) -> Result<Option<WebhookDelivery>, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM webhook_deliveries
                               WHERE webhook_id = $1 AND state = 'pending' AND next_at <= $2 ORDER BY id LIMIT 1";
                    let row = session.query_opt(sql, &[&id.uuid(), &now()]).await?;
                    row.as_ref().map(delivery).transpose()
                })
            })
            .await
    }

    /// Writes what came of an attempt, and how the receiver does since. Answers whether this daemon goes on: the
    /// webhook is still as it was claimed.
    pub async fn record_webhook_attempt(
        &self,
        webhook: &Webhook,
        delivery: &WebhookDelivery,
        standing: Standing,
    ) -> Result<bool, StoreError> {
        let (id, version) = (webhook.id, webhook.version);
        let (delivery, node) = (delivery.clone(), self.0.leases.node().uuid());
        self.database()
            .transact(move |tx| {
                Box::pin(
                    async move { attempted(tx, (id, version), node, &delivery, standing).await },
                )
            })
            .await
    }

    /// Others may deliver for a webhook again.
    pub async fn release_webhook(&self, id: WebhookId) -> Result<(), StoreError> {
        self.end_claims(Some(id)).await
    }

    /// What this daemon has claimed in an earlier run is claimed no more.
    pub async fn release_webhooks(&self) -> Result<(), StoreError> {
        self.end_claims(None).await
    }

    async fn end_claims(&self, id: Option<WebhookId>) -> Result<(), StoreError> {
        let (node, id) = (self.0.leases.node().uuid(), id.map(WebhookId::uuid));
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "UPDATE webhooks SET leased_until = clock_timestamp()
                               WHERE leased_by = $1 AND leased_until > clock_timestamp() AND ($2::uuid IS NULL OR id = $2)";
                    session.execute(sql, &[&node, &id]).await?;
                    Ok(())
                })
            })
            .await
    }

    /// When something may be tried next; nothing: nothing waits.
    pub async fn next_webhook_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async move {
                    let sql = "SELECT min(greatest(d.next_at, w.left_alone_until, w.leased_until)) FROM webhooks w
                               CROSS JOIN LATERAL (SELECT next_at FROM webhook_deliveries WHERE webhook_id = w.id
                                   AND state = 'pending' ORDER BY next_at LIMIT 1) d WHERE w.enabled";
                    Ok(session.query_one(sql, &[]).await?.try_get(0)?)
                })
            })
            .await
    }

    /// A webhook with what it signs with, for who tests it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn webhook_to_test(
        &self,
        who: &Principal,
        id: WebhookId,
    ) -> Result<ClaimedWebhook, StoreError> {
        let who = who.clone();
        let row = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    seen(&*session, &who, id).await?;
                    let sql = "SELECT * FROM webhooks WHERE id = $1";
                    let row = session.query_opt(sql, &[&id.uuid()]).await?;
                    row.ok_or(StoreError::NotFound)
                })
            })
            .await?;
        Ok(ClaimedWebhook {
            webhook: webhook(&row)?,
            secrets: self.secrets_of(&row, now())?,
        })
    }
}

async fn queue(tx: &Transaction<'_>, events: &[QueuedEvent]) -> Result<u64, StoreError> {
    let sql = "SELECT * FROM webhooks WHERE enabled ORDER BY id";
    let rows = tx.query(sql, &[]).await?;
    // One that cannot be read silences itself alone.
    let read = |row: &Row| {
        webhook(row)
            .inspect_err(|error| tracing::error!(%error, "a webhook cannot be read"))
            .ok()
    };
    let webhooks: Vec<Webhook> = rows.iter().filter_map(read).collect();
    if webhooks.is_empty() {
        return Ok(0);
    }
    let known = labels(tx, &webhooks, events).await?;
    let mut made = Made::default();
    for event in events {
        let stored = event.channel.and_then(|channel| known.get(&channel));
        let happened = Happened {
            kind: event.kind,
            client: event.client,
            channel: event.channel,
            labels: event.labels.as_ref().or(stored),
        };
        for webhook in webhooks
            .iter()
            .filter(|webhook| wants(webhook, event, happened))
        {
            made.push(webhook, event);
        }
    }
    if made.ids.is_empty() {
        return Ok(0);
    }
    let written = tx
        .execute(
            "INSERT INTO webhook_deliveries (id, webhook_id, client_id, event_id, event, channel_id, body, state, attempts,
                 next_at, created_at)
             SELECT u.id, u.webhook, u.client, u.event_id, u.event, u.channel, u.body, 'pending', 0, $8, u.at
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $9::timestamptz[])
                 AS u (id, webhook, client, event_id, event, channel, body, at)
             WHERE EXISTS (SELECT FROM webhooks w WHERE w.id = u.webhook FOR KEY SHARE)
             ON CONFLICT (webhook_id, event_id) DO NOTHING",
            &[
                &made.ids,
                &made.webhooks,
                &made.clients,
                &made.event_ids,
                &made.events,
                &made.channels,
                &made.bodies,
                &now(),
                &made.times,
            ],
        )
        .await?;
    make_room(tx, &made.webhooks).await?;
    Ok(written)
}

/// Whether a webhook is told of an event: what happened before it was made may be written late. That something was lost
/// is told to all whom it may concern.
fn wants(webhook: &Webhook, event: &QueuedEvent, happened: Happened<'_>) -> bool {
    if event.at < webhook.created_at {
        return false;
    }
    if event.kind != playout_domain::event::kind::RESET {
        return webhook.wants(happened);
    }
    let named = || FREQUENT.iter().any(|kind| webhook.config.names(kind));
    webhook.config.enabled && (!event.frequent_only || named())
}

/// The labels of the channels of these events, where a selector asks for them.
async fn labels(
    tx: &Transaction<'_>,
    webhooks: &[Webhook],
    events: &[QueuedEvent],
) -> Result<HashMap<ChannelId, Labels>, StoreError> {
    let selects = |webhook: &Webhook| matches!(webhook.config.channels, Channels::Selected(..));
    if !webhooks.iter().any(selects) {
        return Ok(HashMap::new());
    }
    let channels: Vec<Uuid> = events
        .iter()
        .filter(|event| event.labels.is_none())
        .filter_map(|event| event.channel.map(ChannelId::uuid))
        .collect();
    let sql = "SELECT id, config FROM channels WHERE id = ANY ($1)";
    let rows = tx.query(sql, &[&channels]).await?;
    let read = |row: &Row| {
        let config: Value = row.try_get(1)?;
        Ok((
            ChannelId::from(row.try_get::<_, Uuid>(0)?),
            Labels::of(&config),
        ))
    };
    rows.iter().map(read).collect()
}

/// The columns of deliveries that are made.
#[derive(Default)]
struct Made<'e> {
    ids: Vec<Uuid>,
    webhooks: Vec<Uuid>,
    clients: Vec<Uuid>,
    event_ids: Vec<&'e str>,
    events: Vec<&'e str>,
    channels: Vec<Option<Uuid>>,
    bodies: Vec<&'e str>,
    times: Vec<Timestamp>,
}

impl<'e> Made<'e> {
    fn push(&mut self, webhook: &Webhook, event: &'e QueuedEvent) {
        // In the order in which they are made.
        self.ids
            .push(WebhookDeliveryId::from(Uuid::now_v7()).uuid());
        self.webhooks.push(webhook.id.uuid());
        self.clients.push(webhook.client.uuid());
        self.event_ids.push(&event.id);
        self.events.push(event.kind);
        self.channels.push(event.channel.map(ChannelId::uuid));
        self.bodies.push(&event.body);
        self.times.push(whole_micros(event.at));
    }
}

/// What waits beyond [`MAX_WAITING`] is dead, the oldest first.
async fn make_room(tx: &Transaction<'_>, webhooks: &[Uuid]) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_deliveries SET state = 'dead', finished_at = $2,
                   error = 'too many deliveries of this webhook wait'
               WHERE id IN (SELECT d.id FROM unnest($1::uuid[]) AS w (id)
                   CROSS JOIN LATERAL (SELECT id FROM webhook_deliveries WHERE webhook_id = w.id AND state = 'pending'
                       ORDER BY id DESC OFFSET $3) d)";
    let mut distinct = webhooks.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let most = i64::try_from(MAX_WAITING).unwrap_or(i64::MAX);
    let dead = tx.execute(sql, &[&distinct, &now(), &most]).await?;
    if dead > 0 {
        tracing::warn!(
            dead,
            "too many deliveries of webhooks wait; the oldest are given up"
        );
    }
    Ok(())
}

async fn claim(
    session: &mut Client,
    node: Uuid,
    mut under_way: HashMap<ClientId, usize>,
    room: usize,
) -> Result<Vec<Row>, StoreError> {
    // Whoever has had no turn for longest comes first.
    let sql = "SELECT w.id, w.client_id FROM webhooks w
               WHERE w.enabled AND (w.leased_until IS NULL OR w.leased_until <= clock_timestamp())
                   AND (w.left_alone_until IS NULL OR w.left_alone_until <= $1)
                   AND EXISTS (SELECT FROM webhook_deliveries d
                       WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.next_at <= $1)
               ORDER BY w.leased_until NULLS FIRST, w.id LIMIT $2";
    let mut chosen: Vec<Uuid> = Vec::new();
    for row in session.query(sql, &[&now(), &LOOKED_AT]).await? {
        let client = ClientId::from(row.try_get::<_, Uuid>(1)?);
        let theirs = under_way.entry(client).or_default();
        if chosen.len() < room && *theirs < MAX_UNDER_WAY {
            *theirs += 1;
            chosen.push(row.try_get(0)?);
        }
    }
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    // Another daemon may have chosen the same: what it holds is passed over, and what it has is asked again.
    let sql = "UPDATE webhooks SET leased_by = $2, leased_until = clock_timestamp() + make_interval(secs => $3)
               WHERE id IN (SELECT id FROM webhooks WHERE id = ANY ($1) AND enabled
                   AND (leased_until IS NULL OR leased_until <= clock_timestamp()) FOR NO KEY UPDATE SKIP LOCKED)
               RETURNING *";
    Ok(session
        .query(sql, &[&chosen, &node, &LEASE.as_secs_f64()])
        .await?)
}

async fn attempted(
    tx: &Transaction<'_>,
    (webhook, version): (WebhookId, u64),
    node: Uuid,
    delivery: &WebhookDelivery,
    standing: Standing,
) -> Result<bool, StoreError> {
    let sql = "UPDATE webhooks SET failures = $4, failing_since = $5, left_alone_until = $6,
                   leased_until = clock_timestamp() + make_interval(secs => $7)
               WHERE id = $1 AND leased_by = $2 AND leased_until > clock_timestamp() AND version = $3 AND enabled";
    let held = tx
        .execute(
            sql,
            &[
                &webhook.uuid(),
                &node,
                &bigint(version),
                &i64::from(standing.failures),
                &standing.failing_since.map(whole_micros),
                &standing.left_alone_until.map(whole_micros),
                &LEASE.as_secs_f64(),
            ],
        )
        .await?;
    // What was taken was taken; a failure says nothing of what was decided meanwhile.
    let answer = &delivery.answer;
    let sql =
        "UPDATE webhook_deliveries SET state = $2, attempts = $3, next_at = $4, attempted_at = $5,
                   finished_at = $6, status = $7, error = $8, answer = $9
               WHERE id = $1 AND ($2 = 'delivered' OR state = 'pending')";
    tx.execute(
        sql,
        &[
            &delivery.id.uuid(),
            &delivery.state.name(),
            &i64::from(delivery.attempts),
            &whole_micros(delivery.next_at),
            &delivery.attempted_at.map(whole_micros),
            &delivery.finished_at.map(whole_micros),
            &answer.status.map(i32::from),
            &answer.error.as_deref().map(text),
            &answer.excerpt.as_deref().map(text),
        ],
    )
    .await?;
    Ok(held > 0)
}
