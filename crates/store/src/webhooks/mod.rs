//! Webhooks: where clients want events to be told. Each change is one transaction with its audit entry; secrets are
//! sealed here and leave to the process that signs with them and to nobody else.
//!
//! Whose webhook hears of everybody is the operator's: of it nobody else knows, whatever client they are of.
//!
//! Whoever takes several rows takes the client first, then the webhook, then its deliveries.

mod deliveries;
mod queue;
mod rows;
mod secrets;

pub use deliveries::{ReplaySpan, WebhookDeliveryFilter};
pub use queue::{ClaimedWebhook, QueuedEvent};
pub(crate) use secrets::{reseal, secrets};

use jiff::Timestamp;
use playout_domain::webhook::{Channels, MAX_WEBHOOKS, Standing, Webhook, WebhookConfig};
use playout_domain::{ChannelId, ClientId, WebhookId};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{bigint, now, of_version, text};
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::session::Transaction;

use rows::webhook;

/// What is told of deliveries that waited for a webhook which is off.
const SWITCHED_OFF: &str = "the webhook was switched off";

impl Store {
    /// Stores a new webhook of `who`, its secret sealed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the client has [`MAX_WEBHOOKS`] already.
    pub async fn create_webhook(
        &self,
        who: &Principal,
        config: &WebhookConfig,
        secret: &str,
    ) -> Result<Webhook, StoreError> {
        let at = now();
        let made = Webhook {
            id: WebhookId::from(Uuid::now_v7()),
            client: who.client,
            all_clients: who.is_operator(),
            config: config.clone(),
            disabled_reason: None,
            standing: Standing::default(),
            old_secret_until: None,
            created_at: at,
            updated_at: at,
            version: 1,
        };
        let secret = Zeroizing::new(secret.to_owned());
        let (store, who, stored) = (self.clone(), who.clone(), made.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let sealed = store
                        .seal_text(tx, secrets::place(stored.id), &secret)
                        .await?;
                    insert(tx, &who, &stored, &sealed).await
                })
            })
            .await?;
        Ok(made)
    }

    /// The webhooks that `who` may see, in the order of their ids: those after `after`, `limit` at most.
    pub async fn webhooks(
        &self,
        who: &Principal,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<Webhook>, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM webhooks
                               WHERE ($1::uuid IS NULL OR (client_id = $1 AND NOT all_clients))
                                   AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3";
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let after = after.map(WebhookId::uuid);
                    let rows = session.query(sql, &[&only, &after, &limit]).await?;
                    rows.iter().map(webhook).collect()
                })
            })
            .await
    }

    /// One webhook.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see.
    pub async fn webhook(&self, who: &Principal, id: WebhookId) -> Result<Webhook, StoreError> {
        let who = who.clone();
        self.database()
            .run(move |session| Box::pin(async move { rows::seen(&*session, &who, id).await }))
            .await
    }

    /// Puts `config` in the place of what was chosen. Switched on, nothing is held against its receiver any more;
    /// switched off, what waits for it is dead.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::VersionMismatch`].
    pub async fn update_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        config: &WebhookConfig,
        version: Option<u64>,
    ) -> Result<Webhook, StoreError> {
        let (who, config) = (who.clone(), config.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let before = lock(tx, &who, id, version).await?;
                    if config == before.config {
                        return Ok(before);
                    }
                    let after = Webhook {
                        standing: Standing::default(),
                        disabled_reason: before.disabled_reason.clone().filter(|_| !config.enabled),
                        config,
                        ..before.clone()
                    };
                    change(tx, &who, &before, after, "webhook.update").await
                })
            })
            .await
    }

    /// Switches a webhook off that nobody listens to; nothing when it is off already, or of another version by now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none.
    pub async fn disable_webhook(
        &self,
        id: WebhookId,
        version: u64,
        why: &str,
    ) -> Result<Option<Webhook>, StoreError> {
        let why = text(why);
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let who = Principal::daemon();
                    let before = lock(tx, &who, id, None).await?;
                    if !before.config.enabled || before.version != version {
                        return Ok(None);
                    }
                    let mut after = before.clone();
                    after.config.enabled = false;
                    after.disabled_reason = Some(why);
                    let after = change(tx, &who, &before, after, "webhook.disable").await?;
                    Ok(Some(after))
                })
            })
            .await
    }

    /// Deletes a webhook with its deliveries.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::VersionMismatch`].
    pub async fn delete_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let before = lock(tx, &who, id, version).await?;
                    let sql = "DELETE FROM webhooks WHERE id = $1";
                    tx.execute(sql, &[&id.uuid()]).await?;
                    let told = Some(audited(&before));
                    let change =
                        Change::between("webhook.delete", "webhook", id.uuid(), told, None);
                    record(tx, before.client, &who, change).await
                })
            })
            .await
    }

    /// Gives a webhook another secret; the one before signs as well until `until`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::VersionMismatch`].
    pub async fn rotate_webhook(
        &self,
        who: &Principal,
        id: WebhookId,
        secret: &str,
        until: Timestamp,
        version: Option<u64>,
    ) -> Result<Webhook, StoreError> {
        let secret = Zeroizing::new(secret.to_owned());
        let (store, who) = (self.clone(), who.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let before = lock(tx, &who, id, version).await?;
                    store.rotate_secret(tx, id, &secret, until).await?;
                    let after = Webhook {
                        old_secret_until: Some(until),
                        ..before.clone()
                    };
                    change(tx, &who, &before, after, "webhook.rotate").await
                })
            })
            .await
    }
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    webhook: &Webhook,
    sealed: &[u8],
) -> Result<(), StoreError> {
    LockedClient::lock(tx, webhook.client).await?;
    let sql = "SELECT count(*) FROM webhooks WHERE client_id = $1";
    let there = tx.query_one(sql, &[&webhook.client.uuid()]).await?;
    let there: i64 = there.try_get(0)?;
    if usize::try_from(there).unwrap_or(usize::MAX) >= MAX_WEBHOOKS {
        return Err(StoreError::Conflict(format!(
            "there are {MAX_WEBHOOKS} webhooks already; delete one first"
        )));
    }
    let config = &webhook.config;
    let (channel, selector) = narrowed(&config.channels);
    tx.execute(
        "INSERT INTO webhooks (id, client_id, all_clients, url, events, channel_id, selector, enabled, description,
             secret, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)",
        &[
            &webhook.id.uuid(),
            &webhook.client.uuid(),
            &webhook.all_clients,
            &config.url.as_str(),
            &config.events,
            &channel.map(ChannelId::uuid),
            &selector,
            &config.enabled,
            &text(&config.description),
            &sealed,
            &webhook.created_at,
        ],
    )
    .await?;
    let told = Some(audited(webhook));
    let change = Change::between("webhook.create", "webhook", webhook.id.uuid(), None, told);
    record(tx, webhook.client, who, change).await
}

/// Writes what has become of a webhook that this transaction holds.
async fn change(
    tx: &Transaction<'_>,
    who: &Principal,
    before: &Webhook,
    after: Webhook,
    operation: &'static str,
) -> Result<Webhook, StoreError> {
    let after = Webhook {
        updated_at: now().max(before.updated_at),
        version: before.version + 1,
        ..after
    };
    let config = &after.config;
    let (channel, selector) = narrowed(&config.channels);
    tx.execute(
        "UPDATE webhooks SET url = $2, events = $3, channel_id = $4, selector = $5, enabled = $6, description = $7,
             disabled_reason = $8, failures = $9, failing_since = $10, left_alone_until = $11, version = $12,
             updated_at = $13 WHERE id = $1",
        &[
            &after.id.uuid(),
            &config.url.as_str(),
            &config.events,
            &channel.map(ChannelId::uuid),
            &selector,
            &config.enabled,
            &text(&config.description),
            &after.disabled_reason,
            &i64::from(after.standing.failures),
            &after.standing.failing_since,
            &after.standing.left_alone_until,
            &bigint(after.version),
            &after.updated_at,
        ],
    )
    .await?;
    if !config.enabled {
        let why = after.disabled_reason.as_deref().unwrap_or(SWITCHED_OFF);
        deliveries::give_up(tx, after.id, why).await?;
    }
    let (was, is) = (Some(audited(before)), Some(audited(&after)));
    let change = Change::between(operation, "webhook", after.id.uuid(), was, is);
    record(tx, after.client, who, change).await?;
    Ok(after)
}

/// Locks the owner of a webhook that `who` may know of, and then the webhook.
async fn lock(
    tx: &Transaction<'_>,
    who: &Principal,
    id: WebhookId,
    version: Option<u64>,
) -> Result<Webhook, StoreError> {
    let owner: ClientId = rows::seen(tx, who, id).await?.client;
    LockedClient::lock(tx, owner).await?;
    // It may have been deleted while this waited.
    let sql = "SELECT * FROM webhooks WHERE id = $1 FOR NO KEY UPDATE";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let webhook = webhook(&row.ok_or(StoreError::NotFound)?)?;
    of_version(version, webhook.version)?;
    Ok(webhook)
}

fn narrowed(channels: &Channels) -> (Option<ChannelId>, Option<&str>) {
    match channels {
        Channels::All => (None, None),
        Channels::One(channel) => (Some(*channel), None),
        Channels::Selected(text, _) => (None, Some(text)),
    }
}

/// The webhook as the audit keeps it: the path of a URL may hold a secret.
fn audited(webhook: &Webhook) -> Value {
    let mut told = webhook.config.to_json();
    told["url"] = format!("{}/…", webhook.config.url.http().authority()).into();
    told["allClients"] = json!(webhook.all_clients);
    told["disabledReason"] = json!(webhook.disabled_reason);
    told["oldSecretUntil"] = json!(webhook.old_secret_until);
    told
}
