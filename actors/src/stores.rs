//! What the stores do, for whoever listens: `store.degraded` and `store.recovered`, with what works meanwhile
//! and what does not. And, for a daemon that started without PostgreSQL: what that has is taken up when it is
//! there.
//!
//! The breakers themselves are the store's.

use std::collections::HashSet;
use std::sync::Arc;

use playout_domain::ids::ChannelId;
use playout_store::{Condition, Server, Store};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alerts::ErrorHandler;
use crate::channels::Channels;
use crate::error::OpError;
use crate::hub::{Event, Hub, kind};
use crate::library::Library;
use crate::supervise::ChildSpec;
use crate::tree;

/// Whoever takes up what the database has; nobody until everything has started.
pub(crate) type Takers = watch::Sender<Option<(Channels, Library, ErrorHandler)>>;

/// How long after a failure the database's contents are read again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// What has to run for others to be told.
pub(crate) fn child(store: &Store, hub: &Arc<Hub>, takers: &Takers) -> ChildSpec {
    let (store, hub, takers) = (store.clone(), Arc::clone(hub), takers.clone());
    tree::STORE_GUARD.task(move |mut stopping| {
        let (store, hub, takers) = (store.clone(), Arc::clone(&hub), takers.subscribe());
        async move {
            tokio::select! {
                () = stopping.asked() => Ok(()),
                ended = tell(store.clone(), hub) => ended,
                never = take_up(store, takers) => never,
            }
        }
    })
}

/// Has what the database holds taken up by what runs, if it was not there at the start.
async fn take_up(
    store: Store,
    mut takers: watch::Receiver<Option<(Channels, Library, ErrorHandler)>>,
) -> Result<(), String> {
    let takers = match takers.wait_for(Option::is_some).await {
        Ok(takers) => takers.clone(),
        Err(_) => None,
    };
    let Some((channels, library, alerts)) = takers else {
        return std::future::pending().await;
    };
    // Until everything has started it may turn out that there is something to take up.
    while !store.is_taken_up() {
        store.until_reached().await;
        let taken = async {
            store.begin_leases().await?;
            alerts.take_up().await?;
            library.take_up().await?;
            let known = store.all_channels().await?;
            let known: HashSet<ChannelId> = known.ids().collect();
            let held = store.held_channels().await?;
            channels.take_up(held, &known).await;
            Ok::<(), OpError>(())
        };
        match taken.await {
            Ok(()) => {
                store.take_up();
                tracing::info!("what PostgreSQL has is taken up");
            }
            Err(error) => {
                tracing::warn!(%error, "what PostgreSQL has cannot be taken up yet");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    std::future::pending().await
}

/// What can be done while the stores are so, and what cannot.
pub fn consequences(
    postgres: &Condition,
    redis: &Condition,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut works = vec!["channels on air", "reading channels and their status"];
    let mut stopped = Vec::new();
    match (postgres.works(), redis.works()) {
        (true, true) => works.push("everything else"),
        (true, false) => works.push("everything else, without the hot copy"),
        (false, true) => {
            works.push("starting, stopping and restarting channels that exist");
            works.push("heartbeats, kept in Redis until PostgreSQL is back");
            stopped.push("every other change");
        }
        (false, false) => {
            works.push("heartbeats, as many as fit into memory");
            stopped.push("every change");
        }
    }
    (works, stopped)
}

/// The condition's name in JSON.
pub fn name(condition: &Condition) -> &'static str {
    match condition {
        Condition::Works => "works",
        Condition::Full(_) => "full",
        Condition::Away(_) => "away",
    }
}

/// One store and what is known of it.
struct Watched {
    server: Server,
    condition: watch::Receiver<Condition>,
    /// Since when it does not work, as it was told.
    degraded: Option<Instant>,
}

impl Watched {
    fn of(store: &Store, server: Server) -> Self {
        let mut condition = store.condition(server);
        // How it does at the beginning is news where it does not work.
        condition.mark_changed();
        Self {
            server,
            condition,
            degraded: None,
        }
    }

    fn now(&self) -> Condition {
        self.condition.borrow().clone()
    }
}

async fn tell(store: Store, hub: Arc<Hub>) -> Result<(), String> {
    let mut postgres = Watched::of(&store, Server::Postgres);
    let mut redis = Watched::of(&store, Server::Redis);
    loop {
        let changed = tokio::select! {
            Ok(()) = postgres.condition.changed() => &mut postgres,
            Ok(()) = redis.condition.changed() => &mut redis,
            else => return Err("the store has gone".to_owned()),
        };
        let (server, condition) = (
            changed.server,
            changed.condition.borrow_and_update().clone(),
        );
        let before = changed.degraded;
        changed.degraded = match condition {
            Condition::Works => None,
            _ => before.or_else(|| Some(Instant::now())),
        };
        let (works, stopped) = consequences(&postgres.now(), &redis.now());
        let mut data = json!({
            "store": server.to_string(),
            "condition": name(&condition),
            "works": works,
            "stopped": stopped,
        });
        let kind = match (condition.why(), before) {
            (Some(why), _) => {
                data["why"] = Value::from(why);
                kind::STORE_DEGRADED
            }
            (None, Some(since)) => {
                data["seconds"] = Value::from(since.elapsed().as_secs());
                kind::STORE_RECOVERED
            }
            (None, None) => continue,
        };
        hub.publish(Event {
            kind,
            client: None,
            channel: None,
            data,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hub::{Filter, Subscription};
    use crate::supervise::Supervisor;
    use crate::tree::ROOT_POLICY;
    use playout_store::testing::{self, Manner};

    async fn next(events: &mut Subscription) -> Value {
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), events.next());
        let event = event.await.expect("it is told").unwrap();
        assert_eq!(event.client, None, "it is the operator's alone");
        json!([
            event.kind,
            event.data["store"],
            event.data["condition"],
            event.data["stopped"]
        ])
    }

    #[tokio::test]
    async fn listeners_are_told_what_does_not_work_and_that_it_does_again() {
        let (store, proxies) = testing::behind_proxies().await;
        let hub = Arc::new(Hub::default());
        let mut events = hub.subscribe(Filter::default(), None);
        let takers = watch::Sender::default();
        let running = Supervisor::spawn("test", ROOT_POLICY, vec![child(&store, &hub, &takers)]);
        let running = running.await.unwrap();
        proxies.postgres.set(Manner::Refuse);
        let expected = json!([
            "store.degraded",
            "PostgreSQL",
            "away",
            ["every other change"]
        ]);
        assert_eq!(next(&mut events).await, expected);
        proxies.redis.set(Manner::Refuse);
        let expected = json!(["store.degraded", "Redis", "away", ["every change"]]);
        assert_eq!(next(&mut events).await, expected);
        proxies.postgres.set(Manner::Pass);
        let expected = json!(["store.recovered", "PostgreSQL", "works", []]);
        assert_eq!(next(&mut events).await, expected);
        proxies.redis.set(Manner::Pass);
        let expected = json!(["store.recovered", "Redis", "works", []]);
        assert_eq!(next(&mut events).await, expected);
        running.stop().await;
    }
}
