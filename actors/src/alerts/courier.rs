//! Delivers what is due, some at a time, and notes what comes of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use playout_domain::alert::delivery::{Delivery, DeliveryState, Outcome};
use playout_domain::alert::route::Target;
use playout_domain::alert::{Key, Report, Signal, Subject};
use playout_domain::{AlertKind, AlertRouteId};
use playout_partners::smtp::MailError;
use playout_partners::webhook::{WebhookError, WebhookSecret};
use playout_store::{Principal, StoredRoute};
use serde_json::Value;
use tokio::task::{Id, JoinError, JoinSet};

use super::{Inner, desk, mail};
use crate::chance;

/// Deliveries under way at the same time.
const PARALLEL: usize = 32;

/// Delivers for ever. Whatever is under way when this is dropped is delivered again by the next.
pub(super) async fn run(inner: &Arc<Inner>) -> Infallible {
    let mut under_way = JoinSet::new();
    // Which is which, for those that panic.
    let mut deliveries: HashMap<Id, Delivery> = HashMap::new();
    loop {
        let room = PARALLEL.saturating_sub(under_way.len());
        let due = inner.desk().outbox.take_due(desk::now(), room);
        for delivery in due {
            let task = under_way.spawn(Arc::clone(inner).attempt(delivery.clone()));
            deliveries.insert(task.id(), delivery);
        }
        let next = if under_way.len() < PARALLEL {
            inner.desk().outbox.next_due()
        } else {
            None
        };
        tokio::select! {
            () = inner.to_deliver.notified() => {}
            () = desk::sleep_until(next) => {}
            Some(ended) = under_way.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                let delivery = deliveries.remove(&id);
                if let (Err(error), Some(delivery)) = (ended, delivery) && error.is_panic() {
                    tracing::error!(delivery = %delivery.id, %error, "a delivery panicked");
                    let outcome = Outcome::Failed("it failed within the daemon".to_owned());
                    inner.settle(&delivery, &outcome);
                }
            }
        }
    }
}

impl Inner {
    async fn attempt(self: Arc<Self>, delivery: Delivery) {
        let route = self
            .routes()
            .iter()
            .find(|stored| stored.route.id == delivery.route)
            .cloned();
        let outcome = match route {
            Some(stored) if stored.route.config.enabled => {
                let id = delivery.id.to_string();
                self.send(&stored, &id, &delivery.payload).await
            }
            Some(_) => Outcome::Refused("the route is switched off".to_owned()),
            None => Outcome::Refused("the route was deleted".to_owned()),
        };
        self.settle(&delivery, &outcome);
        if let Outcome::Unwanted(why) = outcome {
            self.switch_off(delivery.route, &why).await;
        }
    }

    /// Sends `payload` by a route, once.
    pub(super) async fn send(&self, stored: &StoredRoute, id: &str, payload: &Value) -> Outcome {
        match &stored.route.config.target {
            Target::Webhook(url) => {
                let secret = stored
                    .secret
                    .as_deref()
                    .map(|text| WebhookSecret::parse(text));
                let Some(Ok(secret)) = secret else {
                    return Outcome::Failed("the secret of the route cannot be opened".to_owned());
                };
                let body = payload.to_string().into();
                let sent = self.webhooks.send(url, &secret, id, body, desk::now());
                match sent.await {
                    Ok(_) => Outcome::Delivered,
                    Err(error @ WebhookError::Gone) => Outcome::Unwanted(error.to_string()),
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            }
            Target::Email(to) => {
                let Some(mailer) = &self.config.mailer else {
                    return Outcome::Failed(super::routes::NO_MAIL.to_owned());
                };
                let (subject, text) = mail::write(payload);
                match mailer.send(to, id, &subject, text).await {
                    Ok(()) => Outcome::Delivered,
                    Err(error @ MailError::Refused(_)) => Outcome::Refused(error.to_string()),
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            }
        }
    }

    /// Notes what came of an attempt.
    fn settle(&self, delivery: &Delivery, outcome: &Outcome) {
        let (now, chance) = (desk::now(), chance::draw());
        let mut desk = self.desk();
        let delays = &self.config.delays;
        let known = desk
            .outbox
            .attempted(delivery, outcome, delays, now, chance);
        if let Some(known) = known {
            tell(&known);
            desk.journal.delivery(known);
        }
        drop(desk);
        self.to_write.notify_one();
        self.judge_receiver(delivery, outcome);
    }

    /// A receiver that fails is an alert of its own, which its own route does not tell.
    fn judge_receiver(&self, delivery: &Delivery, outcome: &Outcome) {
        let key = of_route(delivery.route);
        let why = match outcome {
            Outcome::Delivered => return self.signal(Signal::Recovered(key)),
            Outcome::Failed(why) | Outcome::Refused(why) => why,
            // Its route is switched off, which says so itself.
            Outcome::Unwanted(_) => return,
        };
        let known = {
            let routes = self.routes();
            let mut enabled = routes.iter().filter(|stored| stored.route.config.enabled);
            enabled.any(|stored| stored.route.id == delivery.route)
        };
        if known {
            self.signal(Signal::Failed(Report {
                key,
                client: delivery.client,
                name: None,
                error: why.clone(),
            }));
        }
    }

    /// The receiver of a route may be another: what is held against it is forgotten.
    pub(super) fn trust(&self, route: AlertRouteId) {
        self.desk().outbox.trust(route);
        self.signal(Signal::Recovered(of_route(route)));
        self.to_deliver.notify_one();
    }

    /// The receiver wants nothing more: its route is off until its owner switches it on again.
    async fn switch_off(&self, id: AlertRouteId, why: &str) {
        let _changing = self.changing.lock().await;
        let config = self.change_route(id, |route| {
            route.config.enabled = false;
            route.disabled_reason = Some(why.to_owned());
            route.config.clone()
        });
        let Some(config) = config else { return };
        tracing::warn!(route = %id, why, "an alert route is switched off");
        self.give_up(id, why);
        let who = Principal::daemon();
        let store = &self.store;
        let saved = store.update_alert_route(&who, id, &config, Some(why), None);
        match saved.await {
            Ok(after) => drop(self.change_route(id, |route| *route = after)),
            Err(error) => {
                tracing::warn!(route = %id, %error, "that a route is off is not recorded; it is off until the next start");
            }
        }
    }

    /// What waits for a route is dead.
    pub(super) fn give_up(&self, route: AlertRouteId, why: &str) {
        let mut desk = self.desk();
        for dead in desk.outbox.give_up(route, why, desk::now()) {
            desk.journal.delivery(dead);
        }
        drop(desk);
        self.to_write.notify_one();
        self.signal(Signal::Recovered(of_route(route)));
    }
}

const fn of_route(route: AlertRouteId) -> Key {
    Key::new(AlertKind::RouteFailing, Subject::Route(route))
}

fn tell(delivery: &Delivery) {
    let error = delivery.error.as_deref();
    match delivery.state {
        DeliveryState::Delivered => {
            tracing::debug!(delivery = %delivery.id, route = %delivery.route, "delivered");
        }
        DeliveryState::Pending => {
            tracing::info!(
                delivery = %delivery.id, route = %delivery.route, error, attempts = delivery.attempts,
                next = %delivery.next_at, "an alert was not delivered; it is tried again"
            );
        }
        DeliveryState::Dead => {
            tracing::warn!(
                delivery = %delivery.id, route = %delivery.route, error, attempts = delivery.attempts,
                "an alert was not delivered and is given up"
            );
        }
    }
}
