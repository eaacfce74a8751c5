//! Alerts on real PostgreSQL: what fails is told, kept and delivered, whatever is away meanwhile.
#![allow(clippy::unwrap_used)]

mod delivering;
mod journal;
mod keeping;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::StreamFailure;
use playout_domain::alert::route::RoutePolicy;
use playout_domain::alert::{Alert, AlertState};
use playout_domain::channel::Channel;
use playout_domain::config::ChannelConfig;
use playout_domain::lifecycle::LifeState;
use playout_domain::{ChannelId, ClientId, MediaId};
use playout_partners::smtp::Mailer;
use playout_store::testing::{TestStore, found};
use playout_store::{AlertFilter, Principal, Scopes, operator, testing};
use uuid::Uuid;

use super::{AlertsConfig, ErrorHandler, StreamError};
use crate::hub::{Filter, Hub, Published, Subscription};
use crate::supervise::Supervisor;
use crate::tree::ROOT_POLICY;

/// What tests wait for comes within this.
const BOUND: Duration = Duration::from_secs(30);

/// A handler on a store of its own, with everything fast.
struct House {
    store: TestStore,
    hub: Arc<Hub>,
    handler: ErrorHandler,
    running: Supervisor,
}

fn fast() -> AlertsConfig {
    AlertsConfig {
        delays: vec![Duration::from_millis(20); 3],
        policy: RoutePolicy {
            allow_private: true,
        },
        ..AlertsConfig::default()
    }
}

impl House {
    async fn new() -> Self {
        Self::with(fast()).await
    }

    async fn with(config: AlertsConfig) -> Self {
        let store = testing::fresh().await;
        let hub = Arc::new(Hub::default());
        let (handler, running) = run(config, &store, &hub).await;
        Self {
            store,
            hub,
            handler,
            running,
        }
    }

    async fn with_mail(mailer: Mailer) -> Self {
        Self::with(AlertsConfig {
            mailer: Some(mailer),
            ..fast()
        })
        .await
    }

    /// The daemon ends gently and starts again; another hub, as its listeners have to come back.
    async fn restart(&mut self) {
        self.running.stop().await;
        self.hub = Arc::new(Hub::default());
        (self.handler, self.running) = run(fast(), &self.store, &self.hub).await;
    }

    fn events(&self, client: Option<ClientId>) -> Subscription {
        let filter = Filter {
            client,
            ..Filter::default()
        };
        self.hub.subscribe(filter, None)
    }

    /// A source of the channel fails for the n-th time in a row.
    fn fail(&self, channel: &Channel, attempt: u32) {
        let failure = StreamFailure::Source {
            attempt,
            delay: Duration::from_millis(500),
            most: 10,
            spent: false,
        };
        self.handler.handle_stream_failure(StreamError {
            channel,
            failure,
            media: Some(MediaId::from(Uuid::from_u128(7))),
            destination: None,
            error: "FFmpeg ended with status 1",
        });
    }

    /// The alerts that are open.
    async fn open(&self) -> Vec<Alert> {
        let open = AlertFilter {
            state: Some(AlertState::Open),
            ..AlertFilter::default()
        };
        let found = self.handler.list(&admin(), open, None, 100).await;
        found.unwrap()
    }

    async fn stop(self) {
        self.running.stop().await;
    }
}

async fn run(
    config: AlertsConfig,
    store: &TestStore,
    hub: &Arc<Hub>,
) -> (ErrorHandler, Supervisor) {
    let handler = ErrorHandler::start(config, (**store).clone(), Arc::clone(hub))
        .await
        .unwrap();
    let children = vec![handler.child()];
    let running = Supervisor::spawn("test", ROOT_POLICY, children);
    (handler, running.await.unwrap())
}

fn channel_of(client: ClientId) -> Channel {
    let at = Timestamp::now();
    Channel {
        id: ChannelId::from(Uuid::now_v7()),
        client_id: client,
        config: ChannelConfig::named("News"),
        life: LifeState::default(),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

fn channel() -> Channel {
    channel_of(operator())
}

fn admin() -> Principal {
    Principal::daemon()
}

/// A client that the database does not know; enough for who only looks.
fn stranger() -> Principal {
    Principal {
        client: ClientId::from(Uuid::now_v7()),
        scopes: Scopes::CLIENT,
        token: None,
        name: "stranger".to_owned(),
        attempt: None,
    }
}

/// The next event of this kind.
async fn event(events: &mut Subscription, kind: &str) -> Arc<Published> {
    let found = async {
        loop {
            let event = events.next().await.unwrap();
            if event.kind == kind {
                return event;
            }
        }
    };
    let found = tokio::time::timeout(BOUND, found).await;
    found.unwrap_or_else(|_| panic!("waited too long for {kind}"))
}
