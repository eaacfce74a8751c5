//! P8 (6.5): connections are pooled and bounded, and a starved pool is a fast error. However many ask at once, and
//! whoever goes away meanwhile: there are never more connections than configured; while all of them are taken,
//! everybody else is told so, though nothing is given back; and afterwards none is lost.
//!
//! Real PostgreSQL behind a proxy that counts connections. That an error is fast is shown by its order, not by a
//! clock: what the others wait for is given back only after everybody has been answered.

use std::time::Duration;

use playout_domain::ChannelId;
use playout_domain::limits::PlanLimits;
use playout_store::testing::{self, Proxies, TestStore, until};
use playout_store::{Principal, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::stored::{airtime, channel, in_four_worlds, runtime};

/// Nobody waits longer than this; what does has hung.
const HUNG: Duration = Duration::from_secs(30);

/// One who asks while all connections are taken.
#[derive(Debug, Clone, Copy)]
enum Asks {
    ToRead,
    ToWrite,
    /// To read, and goes away at some point.
    AndLeaves(u8),
}

#[derive(Debug, Clone)]
struct Case {
    connections: u32,
    asks: Vec<Asks>,
    /// So many read at once when the connections are free again.
    afterwards: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let asks = prop_oneof![
        Just(Asks::ToRead),
        Just(Asks::ToWrite),
        (0..40_u8).prop_map(Asks::AndLeaves),
    ];
    (1..6_u32, prop::collection::vec(asks, 1..24), 1..40_usize).prop_map(
        |(connections, asks, afterwards)| Case {
            connections,
            asks,
            afterwards,
        },
    )
}

struct World {
    test: TestStore,
    proxies: Proxies,
    who: Principal,
    channel: ChannelId,
}

impl World {
    async fn new() -> Self {
        let (test, proxies) = testing::behind_proxies().await;
        let who = test.client("owner", &PlanLimits::UNLIMITED).await;
        let made = channel(who.client, "One");
        let airs = airtime(Uuid::now_v7().into());
        test.insert_channel(&who, &made, &airs).await.unwrap();
        Self {
            test,
            proxies,
            who,
            channel: made.id,
        }
    }

    async fn case(&self, case: &Case) -> Result<(), TestCaseError> {
        let mut config = self.test.config().clone();
        config.pool_size = case.connections;
        config.patience = Duration::from_millis(50);
        config.statement_timeout = HUNG * 2;
        let before = self.proxies.postgres.open();
        let store = Store::connect(&config).await.unwrap();
        // What it opened to look at the database has ended.
        let allowed = before + u64::from(case.connections);
        until("nothing else is open", async || {
            self.proxies.postgres.open() <= allowed
        })
        .await;
        self.proxies.postgres.most();

        let mut holding = self.test.session().await;
        let holder = holding.transaction().await.unwrap();
        holder
            .execute("SELECT FROM clients FOR UPDATE", &[])
            .await
            .unwrap();
        let mut taking = JoinSet::new();
        for _ in 0..case.connections {
            taking.spawn(write(store.clone(), self.who.clone()));
        }
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let observer = self.test.session().await;
        until("all connections are taken", async || {
            let waiting: i64 = observer.query_one(waiting, &[]).await.unwrap().get(0);
            waiting == i64::from(case.connections)
        })
        .await;

        let mut asking = JoinSet::new();
        for asks in case.asks.iter().copied() {
            let (store, who, id) = (store.clone(), self.who.clone(), self.channel);
            asking.spawn(async move {
                match asks {
                    Asks::ToRead => Some(read(&store, id).await),
                    Asks::ToWrite => Some(write(store, who).await),
                    Asks::AndLeaves(after) => {
                        tokio::select! {
                            biased;
                            done = read(&store, id) => Some(done),
                            () = turns(after) => None,
                        }
                    }
                }
            });
        }
        let answers = timeout(HUNG, asking.join_all()).await;
        prop_assert!(answers.is_ok(), "somebody hangs");
        for answer in answers.unwrap().into_iter().flatten() {
            prop_assert!(
                matches!(answer, Err(StoreError::Unavailable(_))),
                "{answer:?}"
            );
        }
        prop_assert_eq!(
            taking.try_join_next().map(drop),
            None,
            "it had its connection"
        );

        holder.rollback().await.unwrap();
        for done in taking.join_all().await {
            prop_assert_eq!(done, Ok(()));
        }
        let mut reading = JoinSet::new();
        for _ in 0..case.afterwards {
            let (store, id) = (store.clone(), self.channel);
            reading.spawn(async move { read(&store, id).await });
        }
        for answer in timeout(HUNG, reading.join_all()).await.unwrap() {
            // So many may be too many for a short patience.
            prop_assert!(
                matches!(answer, Ok(()) | Err(StoreError::Unavailable(_))),
                "{answer:?}"
            );
        }
        for _ in 0..=case.connections {
            prop_assert_eq!(read(&store, self.channel).await, Ok(()));
        }
        let most = self.proxies.postgres.most();
        prop_assert!(most <= allowed, "{} connections of {case:?}", most - before);
        drop(store);
        until("its connections are closed", async || {
            self.proxies.postgres.open() <= before
        })
        .await;
        Ok(())
    }
}

async fn turns(so_many: u8) {
    for _ in 0..so_many {
        tokio::task::yield_now().await;
    }
}

async fn read(store: &Store, id: ChannelId) -> Result<(), StoreError> {
    store.channel(id).await.map(drop)
}

/// What waits for the client's row.
async fn write(store: Store, who: Principal) -> Result<(), StoreError> {
    let path = format!("/films/{}.mov", Uuid::now_v7());
    let item = testing::media(who.client, path);
    store.insert_media(&who, &item).await.map(drop)
}

#[test]
fn p8_a_starved_pool_is_a_fast_error_and_never_more_than_was_configured() {
    in_four_worlds(100, |config| {
        let runtime = runtime();
        let world = runtime.block_on(World::new());
        // One that hangs takes its time, again and again.
        let config = ProptestConfig {
            max_shrink_iters: 8,
            ..config
        };
        let held = TestRunner::new(config).run(&case(), |case| runtime.block_on(world.case(&case)));
        held.unwrap();
    });
}
