//! Keeps the leases of this daemon's channels, where several daemons share a database: renews them, lets go of
//! channels that are another's, and takes over those of daemons that have gone.
//!
//! Two loops, so that a channel that takes its time to leave the air holds up no renewal.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use playout_store::{NodeView, Server, Store};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::alerts::ErrorHandler;
use crate::channels::Channels;
use crate::error::OpError;
use crate::hub::{Event, Hub, kind};
use crate::library::Library;
use crate::stores::Takers;
use crate::supervise::ChildSpec;
use crate::tree;

/// Leases are renewed so often in the time that they run.
const RENEWALS: u32 = 3;
/// After a renewal that failed the next one is tried this much later, so that more than two fit into a lease.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the library looks for what other daemons have imported.
const LIBRARY: Duration = Duration::from_secs(15);

/// What has to run.
pub(crate) fn child(store: &Store, hub: &Arc<Hub>, takers: &Takers) -> ChildSpec {
    let (store, hub, takers) = (store.clone(), Arc::clone(hub), takers.clone());
    tree::LEASES.task(move |mut stopping| {
        let (store, hub, takers) = (store.clone(), Arc::clone(&hub), takers.subscribe());
        async move {
            let renewed = Notify::new();
            let mut takers = takers;
            let follow = async {
                let Ok(takers) = takers
                    .wait_for(Option::is_some)
                    .await
                    .map(|takers| takers.clone())
                else {
                    return std::future::pending().await;
                };
                match takers {
                    Some((channels, library, alerts)) => {
                        let follower = Follower {
                            store: store.clone(),
                            hub,
                            channels,
                            library,
                            alerts,
                        };
                        follower.run(&renewed).await
                    }
                    None => std::future::pending().await,
                }
            };
            let work = async { tokio::join!(renew(&store, &renewed), follow) };
            tokio::select! {
                () = stopping.asked() => Ok(()),
                _never = work => Ok(()),
            }
        }
    })
}

/// Renews for ever; tells of every renewal.
async fn renew(store: &Store, renewed: &Notify) -> Infallible {
    let every = store.node().lease / RENEWALS;
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut postgres = store.condition(Server::Postgres);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // It may be back.
            Ok(()) = postgres.changed() => {}
        }
        // One that started without the database does not know yet what is its own.
        if !store.is_taken_up() {
            continue;
        }
        match timeout(every, store.renew_leases()).await {
            Ok(Ok(())) => renewed.notify_one(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "leases are not renewed");
                tick.reset_after(AGAIN.min(every));
            }
            Err(_) => {
                store.renewal_failed();
                tracing::warn!("leases are not renewed: PostgreSQL does not answer in time");
                tick.reset_after(AGAIN.min(every));
            }
        }
    }
}

/// Whatever has to follow from what is held.
struct Follower {
    store: Store,
    hub: Arc<Hub>,
    channels: Channels,
    library: Library,
    alerts: ErrorHandler,
}

impl Follower {
    async fn run(&self, renewed: &Notify) -> Infallible {
        let mut looked: Option<Instant> = None;
        loop {
            let granted = tokio::select! {
                biased;
                () = self.store.until_lost() => false,
                () = renewed.notified() => true,
            };
            self.let_go().await;
            if !granted {
                continue;
            }
            if !self.store.is_alone() && looked.is_none_or(|at| at.elapsed() >= LIBRARY) {
                looked = Some(Instant::now());
                self.look_into_library().await;
            }
            if let Err(error) = self.claim().await {
                tracing::debug!(%error, "no more channels are claimed");
            }
        }
    }

    /// What is another's leaves the air.
    async fn let_go(&self) {
        let mut leaving = JoinSet::new();
        for id in self.store.take_lost() {
            let (channels, alerts) = (self.channels.clone(), self.alerts.clone());
            leaving.spawn(async move {
                channels.lose(id).await;
                alerts.let_go(id);
            });
        }
        while leaving.join_next().await.is_some() {}
    }

    /// What is nobody's, or its holder's no more, goes on air here.
    async fn claim(&self) -> Result<(), OpError> {
        // An order that was acknowledged and is not in the database yet would be undone by what the database has.
        if self.store.journaled() == 0 {
            for id in self.store.claim_channels().await? {
                self.open(id, None).await;
            }
        }
        for abandoned in self.store.abandoned_channels().await? {
            // Of an earlier time here; it would go on with numbers that the other has passed.
            self.channels.clear_published(abandoned.id).await;
            if self.store.take_over(&abandoned).await? {
                self.look_into_library().await;
                self.open(abandoned.id, Some(&abandoned.from)).await;
            }
        }
        Ok(())
    }

    async fn open(&self, id: playout_domain::ChannelId, from: Option<&NodeView>) {
        let opened = async {
            self.alerts.adopt(id).await?;
            self.channels.open_held(id).await
        };
        match opened.await {
            Ok(Some(channel)) => {
                if let Some(from) = from {
                    tracing::warn!(channel = %id, from = from.name, node = %from.id, "a channel is taken over: its daemon has not renewed its lease");
                    self.hub.publish(Event {
                        kind: kind::CHANNEL_TAKEN,
                        client: Some(channel.client_id),
                        channel: Some(id),
                        data: json!({ "id": id, "from": from, "by": self.store.node() }),
                    });
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(channel = %id, %error, "a channel that is this daemon's cannot be put on air yet");
                // Claimed again with the next renewal.
                self.store.end_lease(id);
            }
        }
    }

    async fn look_into_library(&self) {
        if let Err(error) = self.library.refresh().await {
            tracing::debug!(%error, "what other daemons have imported is looked for later");
        }
    }
}
