//! The handle's half that keeps webhooks, tests them, shows the log, and has deliveries sent again.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::delivery::Outcome;
use playout_domain::webhook::{Webhook, WebhookConfig, WebhookDelivery};
use playout_domain::{WebhookDeliveryId, WebhookId};
use playout_partners::webhook::WebhookSecret;
use playout_store::{Principal, ReplaySpan, StoreError, WebhookDeliveryFilter};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Webhooks;
use super::courier::disabled_key;
use crate::error::OpError;

/// How long the secret before a rotation signs as well.
const BOTH_SIGN: Duration = Duration::from_secs(24 * 3_600);
/// How often a change is tried that others come in between of.
const TRIES: usize = 5;

/// A webhook that has just got a secret.
#[derive(Debug)]
pub struct NewSecret {
    /// The webhook.
    pub webhook: Webhook,
    /// What it is signed with: shown this once.
    pub secret: Zeroizing<String>,
}

/// What came of a test of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Whether the receiver has taken it.
    pub delivered: bool,
    /// The status that it has answered.
    pub status: Option<u16>,
    /// How its answer began.
    pub answer: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

impl Webhooks {
    /// Whether webhooks may lead to addresses that are not public, and go without TLS.
    pub fn allow_private(&self) -> bool {
        self.inner.config.allow_private
    }

    /// Makes a webhook for the client of `who`; of the operator's it hears of everybody.
    ///
    /// # Errors
    /// There are too many.
    pub async fn create(
        &self,
        who: &Principal,
        config: &WebhookConfig,
    ) -> Result<NewSecret, OpError> {
        let secret = secret()?;
        let webhook = self
            .inner
            .store
            .create_webhook(who, config, &secret)
            .await?;
        Ok(NewSecret { webhook, secret })
    }

    /// The webhooks that `who` may see, in the order of their ids: those after `after`, `limit` at most.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(
        &self,
        who: &Principal,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<Webhook>, OpError> {
        Ok(self.inner.store.webhooks(who, after, limit).await?)
    }

    /// A webhook.
    ///
    /// # Errors
    /// There is none that `who` may see.
    pub async fn get(&self, who: &Principal, id: WebhookId) -> Result<Webhook, OpError> {
        self.inner.store.webhook(who, id).await.map_err(no_webhook)
    }

    /// Changes a webhook by merge patch, where it is of this version.
    ///
    /// # Errors
    /// There is none that `who` may see; every violation; it is of another version.
    pub async fn update(
        &self,
        who: &Principal,
        id: WebhookId,
        patch: &Value,
        version: Option<u64>,
    ) -> Result<Webhook, OpError> {
        let store = &self.inner.store;
        for _ in 0..TRIES {
            let before = self.get(who, id).await?;
            let config = before.config.patched(patch, self.allow_private())?;
            let expected = version.or(Some(before.version));
            match store.update_webhook(who, id, &config, expected).await {
                // Somebody came in between: the patch is for what is there now.
                Err(StoreError::VersionMismatch { .. }) if version.is_none() => {}
                Err(error) => return Err(no_webhook(error)),
                Ok(after) => {
                    if after.config.enabled {
                        self.inner.alerts.recovered(disabled_key(id));
                        self.inner.to_deliver.notify_one();
                    }
                    return Ok(after);
                }
            }
        }
        Err(OpError::unavailable(
            "the webhook is changed again and again by others",
        ))
    }

    /// Deletes a webhook with its deliveries.
    ///
    /// # Errors
    /// There is none that `who` may see; it is of another version.
    pub async fn delete(
        &self,
        who: &Principal,
        id: WebhookId,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        let deleted = self.inner.store.delete_webhook(who, id, version).await;
        deleted.map_err(no_webhook)?;
        self.inner.alerts.recovered(disabled_key(id));
        Ok(())
    }

    /// Gives a webhook another secret; the one before signs as well for a day.
    ///
    /// # Errors
    /// There is none that `who` may see; it is of another version.
    pub async fn rotate(
        &self,
        who: &Principal,
        id: WebhookId,
        version: Option<u64>,
    ) -> Result<NewSecret, OpError> {
        let secret = secret()?;
        let until = whole_seconds(Timestamp::now() + BOTH_SIGN);
        let rotated = self
            .inner
            .store
            .rotate_webhook(who, id, &secret, until, version);
        let webhook = rotated.await.map_err(no_webhook)?;
        Ok(NewSecret { webhook, secret })
    }

    /// Sends a webhook something that did not happen, once, and waits for what comes of it; also where it is switched
    /// off. It is in no log.
    ///
    /// # Errors
    /// There is no such webhook that `who` may see.
    pub async fn test(&self, who: &Principal, id: WebhookId) -> Result<Tested, OpError> {
        let claimed = self.inner.store.webhook_to_test(who, id).await;
        let claimed = claimed.map_err(no_webhook)?;
        let message = Uuid::now_v7().to_string();
        let body = json!({
            "type": "webhook.test",
            "timestamp": Timestamp::now(),
            "eventId": message,
            "clientId": claimed.webhook.client,
            "data": {
                "webhookId": id,
                "detail": "Somebody asked the daemon to send this. Nothing has happened.",
            },
        });
        let (outcome, answer) = self.inner.send(&claimed, &message, &body.to_string()).await;
        let error = match outcome {
            Outcome::Delivered => None,
            Outcome::Failed(why) | Outcome::Refused(why) | Outcome::Unwanted(why) => Some(why),
        };
        Ok(Tested {
            delivered: error.is_none(),
            status: answer.status,
            answer: answer.excerpt,
            error,
        })
    }

    /// The deliveries of a webhook, newest first: those made before `before`, `limit` at most.
    ///
    /// # Errors
    /// There is no such webhook that `who` may see.
    pub async fn deliveries(
        &self,
        who: &Principal,
        id: WebhookId,
        filter: WebhookDeliveryFilter,
        before: Option<WebhookDeliveryId>,
        limit: usize,
    ) -> Result<Vec<WebhookDelivery>, OpError> {
        let store = &self.inner.store;
        let found = store.webhook_deliveries(who, id, filter, before, limit);
        found.await.map_err(no_webhook)
    }

    /// One delivery of a webhook.
    ///
    /// # Errors
    /// There is none that `who` may see.
    pub async fn delivery(
        &self,
        who: &Principal,
        id: WebhookId,
        of: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, OpError> {
        let found = self.inner.store.webhook_delivery(who, id, of).await;
        found.map_err(no_delivery)
    }

    /// Has a delivery sent again at once, whatever became of it.
    ///
    /// # Errors
    /// There is none that `who` may see; the webhook is off.
    pub async fn replay(
        &self,
        who: &Principal,
        id: WebhookId,
        of: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, OpError> {
        let again = self.inner.store.replay_webhook_delivery(who, id, of).await;
        let again = again.map_err(no_delivery)?;
        self.inner.to_deliver.notify_one();
        Ok(again)
    }

    /// Has what happened in a span of time sent again; answers how many deliveries that are.
    ///
    /// # Errors
    /// There is no such webhook that `who` may see; it is off; there are too many.
    pub async fn replay_span(
        &self,
        who: &Principal,
        id: WebhookId,
        span: ReplaySpan,
    ) -> Result<u64, OpError> {
        let again = self.inner.store.replay_webhook(who, id, span).await;
        let again = again.map_err(no_webhook)?;
        self.inner.to_deliver.notify_one();
        Ok(again)
    }
}

fn secret() -> Result<Zeroizing<String>, OpError> {
    let made = WebhookSecret::generate().map_err(OpError::internal)?;
    Ok(made.reveal())
}

/// What the store does not find is a webhook.
fn no_webhook(error: StoreError) -> OpError {
    match error {
        StoreError::NotFound => OpError::NotFound("webhook"),
        other => other.into(),
    }
}

/// What the store does not find is a delivery, or its webhook.
fn no_delivery(error: StoreError) -> OpError {
    match error {
        StoreError::NotFound => OpError::NotFound("webhook delivery"),
        other => other.into(),
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
