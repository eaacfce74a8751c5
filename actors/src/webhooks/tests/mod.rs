//! Webhooks on real PostgreSQL: what happens is told to whoever asked for it, whatever is away meanwhile.
#![allow(clippy::unwrap_used)]

mod delivering;
mod outages;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use playout_domain::alert::delivery::DeliveryState;
use playout_domain::webhook::{WebhookConfig, WebhookDelivery};
use playout_domain::{ChannelId, ClientId, WebhookId};
use playout_partners::testing::{Behaviour, Received, Receiver};
use playout_store::testing::{TestStore, found};
use playout_store::{Principal, Store, WebhookDeliveryFilter, testing};
use serde_json::{Value, json};

use super::{NewSecret, Webhooks, WebhooksConfig};
use crate::alerts::{AlertsConfig, ErrorHandler};
use crate::hub::{Event, Hub};
use crate::supervise::Supervisor;
use crate::tree::ROOT_POLICY;

/// One daemon's part in webhooks, with everything fast.
struct Daemon {
    hub: Arc<Hub>,
    webhooks: Webhooks,
    running: Supervisor,
}

fn fast() -> WebhooksConfig {
    WebhooksConfig {
        delays: vec![Duration::from_millis(20); 3],
        allow_private: true,
        ..WebhooksConfig::default()
    }
}

impl Daemon {
    async fn on(store: &Store, config: WebhooksConfig) -> Self {
        let hub = Arc::new(Hub::default());
        let (store, after) = (store.clone(), hub.last_id());
        let alerts = ErrorHandler::start(AlertsConfig::default(), store.clone(), Arc::clone(&hub));
        let alerts = alerts.await.unwrap();
        let webhooks = Webhooks::new(config, store, (Arc::clone(&hub), after), alerts.clone());
        let children = vec![webhooks.child(), alerts.child()];
        let running = Supervisor::spawn("test", ROOT_POLICY, children)
            .await
            .unwrap();
        Self {
            hub,
            webhooks,
            running,
        }
    }

    async fn hook(&self, who: &Principal, receiver: &Receiver, more: Value) -> NewSecret {
        self.webhooks
            .create(who, &leads_to(receiver, more))
            .await
            .unwrap()
    }

    /// Something happens on a channel of a client.
    fn happens(&self, kind: &'static str, client: Option<ClientId>, data: Value) {
        self.hub.publish(Event {
            kind,
            client,
            channel: None,
            data,
        });
    }

    fn happens_on(&self, kind: &'static str, client: ClientId, channel: ChannelId, data: Value) {
        self.hub.publish(Event {
            kind,
            client: Some(client),
            channel: Some(channel),
            data,
        });
    }

    /// What the log of a webhook has in this state, oldest first.
    async fn log(&self, id: WebhookId, state: DeliveryState) -> Vec<WebhookDelivery> {
        let filter = WebhookDeliveryFilter {
            state: Some(state),
            ..WebhookDeliveryFilter::default()
        };
        let admin = Principal::daemon();
        let found = self.webhooks.deliveries(&admin, id, filter, None, 1_000);
        let mut found = found.await.unwrap();
        found.reverse();
        found
    }

    /// Waits until the log of a webhook has so many in this state.
    async fn logged(
        &self,
        id: WebhookId,
        state: DeliveryState,
        count: usize,
    ) -> Vec<WebhookDelivery> {
        found(&format!("{count} deliveries are {state}"), || async {
            let log = self.log(id, state).await;
            (log.len() == count).then_some(log)
        })
        .await
    }
}

fn leads_to(receiver: &Receiver, more: Value) -> WebhookConfig {
    let mut chosen = json!({ "url": format!("http://{}/in", receiver.address), "events": ["*"] });
    for (name, value) in more.as_object().unwrap() {
        chosen[name] = value.clone();
    }
    WebhookConfig::parse(&chosen, true).unwrap()
}

fn ok() -> Behaviour {
    Behaviour::status("204 No Content")
}

fn broken() -> Behaviour {
    Behaviour::status("500 Internal Server Error")
}

fn n(received: &Received) -> Value {
    received.json()["data"]["n"].clone()
}

async fn client(store: &TestStore, name: &str) -> Principal {
    store
        .client(name, &playout_domain::limits::PlanLimits::UNLIMITED)
        .await
}
