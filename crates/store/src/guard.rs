//! Watches over both servers: notices that one is away though nobody asks it anything, and that it is back.
//! Ends with the store.

use std::sync::Weak;
use std::time::Duration;

use crate::Inner;
use crate::gate::Condition;

/// How often a server is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Begins to watch over both.
pub(crate) fn watch_over(store: Weak<Inner>) {
    tokio::spawn(each_turn(store.clone(), async |store| {
        let database = &store.database;
        let condition = database.gate().condition().borrow().clone();
        match condition {
            Condition::Works => drop(database.ping().await), // the gate has noted it
            Condition::Full(_) => database.probe_full().await,
            Condition::Away(_) => drop(database.probe().await),
        }
    }));
    tokio::spawn(each_turn(store, async |store| {
        let hot = &store.hot;
        let condition = hot.gate().condition().borrow().clone();
        match condition {
            Condition::Works => drop(hot.ping().await),
            Condition::Full(_) => hot.probe_full().await,
            Condition::Away(_) => drop(hot.probe().await),
        }
    }));
}

async fn each_turn(store: Weak<Inner>, turn: impl AsyncFn(&Inner)) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(store) = store.upgrade() else { return };
        turn(&store).await;
    }
}
