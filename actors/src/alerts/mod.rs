//! The seed's `ErrorHandler`: what fails is answered with a recovery action, counted, told to whom it
//! concerns, and kept.
//!
//! [`ErrorHandler`] is the handle that everybody holds. Like the hub it is shared state and no mailbox: a
//! signal is decided and published at once, under a lock held for microseconds. What takes time (the
//! database, webhooks, mail) is done by the child `alerts`, from what waits in memory.
//!
//! Invariants:
//! - E1: no signal waits for anything, so no listener, receiver or database holds up a channel.
//! - E2: memory is bounded; what did not fit is counted.
//! - E3: alerts and deliveries go on while PostgreSQL is away, and are recorded when it is back.
//! - E4: a child that fails loses nothing: the next one goes on with the same memory.
//! - E5: no secret is in a log, an event or an answer.

mod courier;
mod deliveries;
mod desk;
mod journal;
mod load;
mod mail;
mod reads;
mod report;
mod routes;
#[cfg(test)]
mod tests;
mod watch;
mod write;

pub use deliveries::TestResult;
pub use report::{ErrorContext, StreamError};
pub use routes::NewRoute;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::route::RoutePolicy;
use playout_domain::alert::{Signal, delivery};
use playout_partners::smtp::Mailer;
use playout_partners::webhook::Webhooks;
use playout_store::{Store, StoreError, StoredRoute};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::OpError;
use crate::hub::Hub;
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;
use desk::Desk;

/// How long the last writing may take when the daemon ends.
const LAST: Duration = Duration::from_secs(3);

/// What alerts are raised by, and how they are told.
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    /// How long nothing but the slate may be on air before that is an alert.
    pub dead_air: Duration,
    /// How long nothing of the plan may be on air before that is an alert.
    pub nothing_playable: Duration,
    /// What comes back so soon after it was over is not told of again.
    pub quiet: Duration,
    /// The delays between attempts of a delivery; after the last it is dead.
    pub delays: Vec<Duration>,
    /// What routes may be.
    pub policy: RoutePolicy,
    /// Who sends mail; nothing: there are no routes by e-mail.
    pub mailer: Option<Mailer>,
    /// How often the stores are asked whether they are there.
    pub stores_every: Duration,
    /// When the last run began, if it did not end by itself.
    pub unclean_stop: Option<String>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            dead_air: Duration::from_secs(30),
            nothing_playable: Duration::from_secs(60),
            quiet: playout_domain::alert::QUIET,
            delays: delivery::DELAYS.to_vec(),
            policy: RoutePolicy::default(),
            mailer: None,
            stores_every: Duration::from_secs(5),
            unclean_stop: None,
        }
    }
}

/// Answers whether every channel that should be live is.
type Settled = Box<dyn Fn() -> bool + Send + Sync>;

/// Takes failures and recoveries, and answers who asks about alerts. Cheap to clone.
#[derive(Clone)]
pub struct ErrorHandler {
    inner: Arc<Inner>,
}

struct Inner {
    config: AlertsConfig,
    store: Store,
    hub: Arc<Hub>,
    webhooks: Webhooks,
    /// What is known. Held only for as long as a signal takes to be decided.
    desk: Mutex<Desk>,
    /// Every route, with its secret: in memory, so that alerts are told while PostgreSQL is away.
    routes: RwLock<Vec<StoredRoute>>,
    /// Held while a route is changed in the store and in memory.
    changing: tokio::sync::Mutex<()>,
    /// Held while memory is written to the store, and by who has to see what is there afterwards.
    writing: tokio::sync::Mutex<()>,
    /// When the store was last found to be away; nothing: it was there.
    away: Mutex<Option<Instant>>,
    /// Whether what was open when the last daemon ended is known. Nothing is written before.
    loaded: AtomicBool,
    /// Told when there is something to write.
    to_write: Notify,
    /// Told when there is something to deliver.
    to_deliver: Notify,
    /// Told when time alone may change something sooner than before.
    to_wait: Notify,
    settled: RwLock<Settled>,
}

impl ErrorHandler {
    /// Goes on with the alerts and deliveries that were open when the daemon ended. Nothing is written or
    /// delivered before [`ErrorHandler::child`] runs. While PostgreSQL is away it begins with nothing, and goes on
    /// with them when that is back.
    ///
    /// # Errors
    /// The store fails.
    pub async fn start(config: AlertsConfig, store: Store, hub: Arc<Hub>) -> Result<Self, OpError> {
        let webhooks = Webhooks::new(config.policy.allow_private);
        let inner = Inner {
            webhooks,
            store,
            hub,
            desk: Mutex::new(Desk::new(config.quiet)),
            routes: RwLock::default(),
            changing: tokio::sync::Mutex::new(()),
            writing: tokio::sync::Mutex::new(()),
            away: Mutex::default(),
            loaded: AtomicBool::new(false),
            to_write: Notify::new(),
            to_deliver: Notify::new(),
            to_wait: Notify::new(),
            settled: RwLock::new(Box::new(|| false)),
            config,
        };
        let handler = Self {
            inner: Arc::new(inner),
        };
        match handler.inner.load().await {
            Err(StoreError::Unavailable(away)) => {
                tracing::warn!(%away, "alerts from before wait for PostgreSQL");
            }
            other => other?,
        }
        handler.look_back();
        Ok(handler)
    }

    /// What writes, delivers and watches, to be run by the root.
    pub fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::ALERTS.task(move |stopping| {
            let inner = Arc::clone(&inner);
            run(Self { inner }, stopping)
        })
    }

    /// Sets who is asked whether the daemon is over its last stop: answers whether every channel that
    /// should be live is.
    pub(crate) fn set_settled(&self, settled: impl Fn() -> bool + Send + Sync + 'static) {
        *self
            .inner
            .settled
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Box::new(settled);
    }
}

async fn run(handler: ErrorHandler, mut stopping: Stopping) -> Result<(), String> {
    let inner = &handler.inner;
    // What an earlier child was delivering is delivered again.
    inner.desk().outbox.begin_anew();
    let work = async {
        tokio::join!(
            write::run(inner),
            courier::run(inner),
            desk::run(inner),
            watch::run(&handler),
        )
    };
    tokio::select! {
        () = stopping.asked() => {}
        _never = work => {}
    }
    if tokio::time::timeout(LAST, inner.flush()).await.is_err() {
        tracing::warn!("the last alerts are not written: PostgreSQL does not answer");
    }
    Ok(())
}

impl Inner {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides a signal, publishes what follows, and leaves the rest to the child.
    fn signal(&self, signal: Signal) {
        self.signal_at(signal, desk::now());
    }

    fn signal_at(&self, signal: Signal, now: Timestamp) {
        let mut desk = self.desk();
        let effects = desk.decide(signal, now);
        // Under the lock, so that listeners hear of an alert in the order in which it changed.
        for effect in effects {
            self.perform(&mut desk, effect, now);
        }
        drop(desk);
        self.to_wait.notify_one();
    }
}
