//! Delivers what is due: webhook by webhook, some at a time, each in order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::delivery::Outcome;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::webhook::delivery::Answer;
use playout_domain::webhook::{Standing, Webhook, WebhookDelivery};
use playout_domain::{AlertKind, ClientId, WebhookId};
use playout_partners::webhook::{WebhookError, WebhookSecret};
use playout_store::{ClaimedWebhook, StoreError};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::Inner;
use crate::chance;

/// Webhooks that this daemon delivers for at the same time.
const PARALLEL: usize = 32;
/// Deliveries of one webhook before others have their turn.
const TURN: usize = 100;
/// How often it is looked for what other daemons have written, or left.
const LOOK: Duration = Duration::from_secs(5);
/// How soon the database is asked again when it does not answer, and for how long it is waited for when it is to be
/// told what came of an attempt: shorter than a claim.
const RETRY: Duration = Duration::from_secs(1);
const TELL: Duration = Duration::from_secs(40);

/// Delivers for ever.
pub(super) async fn run(inner: &Arc<Inner>) -> Infallible {
    // Claims of an earlier run end with it.
    while inner.store.release_webhooks().await.is_err() {
        tokio::time::sleep(RETRY).await;
    }
    let mut under_way = JoinSet::new();
    // Which is which, for those that panic.
    let mut whose: HashMap<Id, (ClientId, WebhookId)> = HashMap::new();
    loop {
        let next = match inner.claim(&mut under_way, &mut whose).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(%error, "webhooks wait for PostgreSQL");
                RETRY
            }
        };
        tokio::select! {
            () = inner.to_deliver.notified(), if under_way.len() < PARALLEL => {}
            () = tokio::time::sleep(next) => {}
            Some(ended) = under_way.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                let known = whose.remove(&id);
                if let (Err(error), Some((_, webhook))) = (ended, known) && error.is_panic() {
                    // Its claim ends by itself.
                    tracing::error!(%webhook, %error, "a delivery panicked");
                }
            }
        }
    }
}

impl Inner {
    /// Claims what is due and begins with it. Answers how soon it is worth another look.
    async fn claim(
        self: &Arc<Self>,
        under_way: &mut JoinSet<()>,
        whose: &mut HashMap<Id, (ClientId, WebhookId)>,
    ) -> Result<Duration, StoreError> {
        let room = PARALLEL.saturating_sub(under_way.len());
        if room == 0 {
            return Ok(LOOK);
        }
        let mut busy: HashMap<ClientId, usize> = HashMap::new();
        for (client, _) in whose.values() {
            *busy.entry(*client).or_default() += 1;
        }
        for claimed in self.store.claim_webhooks(busy, room).await? {
            let webhook = &claimed.webhook;
            let known = (webhook.client, webhook.id);
            let task = under_way.spawn(Arc::clone(self).deliver(claimed));
            whose.insert(task.id(), known);
        }
        let due = self.store.next_webhook_due().await?;
        let left = due.map(|due| Duration::try_from(due.duration_since(Timestamp::now())));
        Ok(match left {
            // Rounded up: what is looked for too early is looked for again.
            Some(Ok(left)) if !left.is_zero() => left.min(LOOK) + Duration::from_millis(1),
            // What is due and could not be claimed waits for one of its client's to end.
            _ => LOOK,
        })
    }

    /// Delivers for a webhook that was claimed, in order, as long as its receiver takes it.
    async fn deliver(self: Arc<Self>, claimed: ClaimedWebhook) {
        let id = claimed.webhook.id;
        if let Err(error) = self.take_turn(&claimed).await {
            tracing::debug!(webhook = %id, %error, "deliveries wait for PostgreSQL");
        }
        // Else it ends by itself.
        let _ = self.store.release_webhook(id).await;
        self.to_deliver.notify_one();
    }

    async fn take_turn(&self, claimed: &ClaimedWebhook) -> Result<(), StoreError> {
        let webhook = &claimed.webhook;
        let mut standing = webhook.standing;
        for _ in 0..TURN {
            let Some(mut delivery) = self.store.due_webhook_delivery(webhook.id).await? else {
                return Ok(());
            };
            let id = delivery.id.to_string();
            let (outcome, answer) = self.send(claimed, &id, &delivery.body).await;
            let now = Timestamp::now();
            let delays = &self.config.delays;
            delivery.attempted(&outcome, answer, delays, now, chance::draw());
            match &outcome {
                Outcome::Delivered => standing = Standing::default(),
                _ => {
                    let next = delivery.finished_at.is_none().then_some(delivery.next_at);
                    standing.failed(next, now);
                }
            }
            tell(&delivery);
            // Changed or claimed by another meanwhile, it is not judged by what its old receiver said.
            if !self.record(webhook, &delivery, standing).await? {
                return Ok(());
            }
            if let Some(why) = self.given_up(&outcome, &standing, now) {
                return self.switch_off(webhook, &why).await;
            }
            if standing.left_alone_until.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends `body` by a webhook, once.
    pub(super) async fn send(
        &self,
        claimed: &ClaimedWebhook,
        id: &str,
        body: &str,
    ) -> (Outcome, Answer) {
        let nothing = Answer::default;
        let read = claimed
            .secrets
            .iter()
            .map(|secret| WebhookSecret::parse(secret));
        let secrets = match read.collect::<Result<Vec<_>, _>>() {
            Ok(secrets) if !secrets.is_empty() => secrets,
            _ => {
                let why = "the secret of the webhook cannot be opened";
                return (Outcome::Failed(why.to_owned()), nothing());
            }
        };
        let url = &claimed.webhook.config.url;
        let body = body.to_owned().into();
        let asked = self
            .sender
            .ask_receiver(url, &secrets, id, body, Timestamp::now());
        let answered = match asked.await {
            Ok(answered) => answered,
            Err(error) => return (Outcome::Failed(error.to_string()), nothing()),
        };
        let outcome = match answered.taken() {
            Ok(()) => Outcome::Delivered,
            Err(error @ WebhookError::Gone) => Outcome::Unwanted(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let answer = Answer {
            status: Some(answered.status.as_u16()),
            excerpt: (!answered.excerpt.is_empty()).then_some(answered.excerpt),
            error: None,
        };
        (outcome, answer)
    }

    /// Writes what came of an attempt, for as long as nobody else may try: what was delivered and is not known to be is
    /// delivered again.
    async fn record(
        &self,
        webhook: &Webhook,
        delivery: &WebhookDelivery,
        standing: Standing,
    ) -> Result<bool, StoreError> {
        let begun = Instant::now();
        loop {
            let recorded = self
                .store
                .record_webhook_attempt(webhook, delivery, standing);
            match recorded.await {
                Err(StoreError::Unavailable(_)) if begun.elapsed() < TELL => {
                    tokio::time::sleep(RETRY).await;
                }
                other => return other,
            }
        }
    }

    /// Why the webhook is to be switched off, where it is.
    fn given_up(&self, outcome: &Outcome, standing: &Standing, now: Timestamp) -> Option<String> {
        match outcome {
            Outcome::Unwanted(why) => Some(why.clone()),
            Outcome::Failed(why) if standing.is_given_up(self.config.patience, now) => {
                let since = standing.failing_since.unwrap_or(now);
                Some(format!(
                    "its receiver has taken nothing since {since}: {why}"
                ))
            }
            _ => None,
        }
    }

    async fn switch_off(&self, webhook: &Webhook, why: &str) -> Result<(), StoreError> {
        let disabled = match self
            .store
            .disable_webhook(webhook.id, webhook.version, why)
            .await
        {
            // It was deleted meanwhile.
            Err(StoreError::NotFound) => None,
            other => other?,
        };
        if disabled.is_some() {
            tracing::warn!(webhook = %webhook.id, why, "a webhook is switched off");
            let called = match webhook.config.description.as_str() {
                "" => webhook.config.url.http().host(),
                description => description,
            };
            self.alerts.raise(Report {
                key: disabled_key(webhook.id),
                client: webhook.client,
                name: Some(called.to_owned()),
                error: why.to_owned(),
            });
        }
        Ok(())
    }
}

pub(super) const fn disabled_key(webhook: WebhookId) -> Key {
    Key::new(AlertKind::WebhookDisabled, Subject::Webhook(webhook))
}

fn tell(delivery: &WebhookDelivery) {
    let error = delivery.answer.error.as_deref();
    match error {
        None => {
            tracing::debug!(delivery = %delivery.id, webhook = %delivery.webhook, "an event was delivered")
        }
        Some(error) => tracing::info!(
            delivery = %delivery.id, webhook = %delivery.webhook, error, attempts = delivery.attempts,
            state = delivery.state.name(), "an event was not delivered"
        ),
    }
}
