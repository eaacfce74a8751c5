//! Watches over both servers: notices that one is away though nobody asks it anything, and that it is back, and
//! then does what had to wait for it. Ends with the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::standby::Place;
use crate::{Inner, Store};

/// How often a server is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is asked which of the tokens that somebody was let in with for long still are some.
const WATCH: Duration = Duration::from_millis(500);
/// How often what has to be known when the database goes away is read anew.
const REFRESH: Duration = Duration::from_secs(60);

/// How often it is asked which of the tokens that are known still are some.
const CONFIRM: Duration = Duration::from_secs(5);

/// Begins to watch over both.
pub(crate) fn watch_over(store: &Arc<Inner>) {
    let mut refreshed = Instant::now();
    let mut confirmed = refreshed;
    let postgres = async move |store: &Arc<Inner>| {
        ask_postgres(store).await;
        if refreshed.elapsed() >= REFRESH && store.database.gate().check().is_ok() {
            refreshed = Instant::now();
            if let Err(error) = store.refresh().await {
                tracing::debug!(%error, "limits and keys are as they were a minute ago");
            }
            let store = Store(Arc::clone(store));
            if let Err(error) = store.sweep_sessions().await {
                tracing::debug!(%error, "sessions whose time is over are kept for a while");
            }
            if let Err(error) = store.sweep_idempotency_keys().await {
                tracing::debug!(%error, "keys whose day is over are kept for a while");
            }
        }
        if confirmed.elapsed() >= CONFIRM && store.database.gate().check().is_ok() {
            confirmed = Instant::now();
            if let Err(error) = Store(Arc::clone(store)).confirm_known_tokens().await {
                tracing::debug!(%error, "tokens that were revoked elsewhere may be known still");
            }
        }
    };
    tokio::spawn(each_turn(Arc::downgrade(store), EVERY, postgres));
    let tokens = async |store: &Arc<Inner>| {
        if let Err(error) = Store(Arc::clone(store)).confirm_watched_tokens().await {
            tracing::debug!(%error, "whoever was let in stays until it is known whether it may");
        }
    };
    tokio::spawn(each_turn(Arc::downgrade(store), WATCH, tokens));
    let mut epoch = store.hot.gate().epoch();
    let redis = async move |store: &Arc<Inner>| {
        ask_redis(store).await;
        let now = store.hot.gate().epoch();
        if now != epoch && store.hot.gate().check().is_ok() {
            epoch = now;
            // It may have come back without what it had.
            store.standby.forgotten(Place::Redis);
            store.journal.forget_entries();
            Store(Arc::clone(store)).read_stream().await;
        }
    };
    tokio::spawn(each_turn(Arc::downgrade(store), EVERY, redis));
}

async fn ask_postgres(store: &Arc<Inner>) {
    let database = &store.database;
    let condition = database.gate().condition().borrow().clone();
    // The gate notes what comes of it.
    if database.gate().check().is_err() {
        if store.is_up() {
            drop(database.probe().await);
        } else {
            drop(database.gate().probe(store.bring_up()).await);
        }
    } else if condition.works() {
        drop(database.ping().await);
    } else {
        database.probe_full().await;
    }
    if store.journal.len() > 0 && database.gate().takes_new().is_ok() {
        let store = Store(Arc::clone(store));
        if let Err(error) = store.reconcile().await {
            tracing::debug!(%error, "orders wait for the database");
        }
    }
    store.standing();
}

async fn ask_redis(store: &Arc<Inner>) {
    let hot = &store.hot;
    let condition = hot.gate().condition().borrow().clone();
    if hot.gate().check().is_err() {
        drop(hot.probe().await);
    } else if condition.works() {
        drop(hot.ping().await);
    } else {
        hot.probe_full().await;
    }
    if hot.gate().takes_new().is_ok() {
        let store = Store(Arc::clone(store));
        store.withdraw_refused().await;
        store.end_tokens().await;
    }
}

async fn each_turn(store: Weak<Inner>, every: Duration, mut turn: impl AsyncFnMut(&Arc<Inner>)) {
    loop {
        tokio::time::sleep(every).await;
        let Some(store) = store.upgrade() else { return };
        turn(&store).await;
    }
}
