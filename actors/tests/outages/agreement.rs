//! P5 (3.3): what a channel is in memory, in the copy in Redis and in PostgreSQL agree after every transition, as far
//! as the stores are there; a daemon that is killed between them finds them, and makes them agree. That heartbeats
//! reach PostgreSQL, each once, through outages: `actors::telemetry`.

use std::collections::BTreeMap;
use std::time::Duration;

use playout_actors::{App, OpError};
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::{ChannelId, Desired};
use playout_store::testing::{Manner, known, until};
use playout_store::{Principal, Server};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::house::House;

/// Channels that go through the same outages, each with orders of its own.
const CHANNELS: usize = 13;
/// How long it is waited for the copy on disk.
const COPIES: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outage {
    /// Which of PostgreSQL and Redis are there from now on; one is, for orders to be taken.
    Stores(bool, bool),
    /// The daemon is killed, and begins again.
    Killed,
}

/// What is ordered of each channel, and what happens then.
type Step = ([Option<Operation>; CHANNELS], Outage);

fn step() -> impl Strategy<Value = Step> {
    let operation = select(vec![Operation::Start, Operation::Stop, Operation::Restart]);
    let orders = prop::array::uniform(prop::option::weighted(0.6, operation));
    let stores = vec![(true, true), (true, false), (false, true)];
    let outage = prop_oneof![
        2 => select(stores).prop_map(|(postgres, redis)| Outage::Stores(postgres, redis)),
        1 => Just(Outage::Killed),
    ];
    (orders, outage)
}

/// A daemon on a runtime of its own: dropped, it is killed, and all of its tasks end where they are.
struct Daemon {
    runtime: Option<Runtime>,
    app: App,
}

impl Daemon {
    /// Blocks, on a thread of its own: the one that calls drives another runtime.
    fn start(house: &House) -> Self {
        let start = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).enable_all().build().unwrap();
            let app = runtime.block_on(house.app());
            let runtime = Some(runtime);
            Self { runtime, app }
        };
        std::thread::scope(|threads| threads.spawn(start).join().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What is the same everywhere: PostgreSQL keeps times in microseconds, and what is counted meanwhile later.
fn told(life: &LifeState) -> Value {
    json!([
        life.desired,
        life.status,
        life.generation,
        life.restart_count
    ])
}

/// What memory has of every channel and a store that is there has otherwise; nothing when they agree.
async fn differ(house: &House, app: &App, postgres: bool, redis: bool) -> Option<String> {
    let all = app
        .channels
        .list(&Principal::daemon(), None, 100)
        .await
        .unwrap();
    let memory: BTreeMap<ChannelId, Value> = all
        .iter()
        .map(|channel| (channel.id, told(&channel.life)))
        .collect();
    if postgres {
        let stored = house.truth.all_channels().await.unwrap().channels;
        let stored = stored.iter().map(|stored| &stored.channel);
        let stored = stored
            .map(|channel| (channel.id, told(&channel.life)))
            .collect();
        if memory != stored {
            return Some(format!("memory: {memory:?}, PostgreSQL: {stored:?}"));
        }
    }
    if redis {
        let life = |mut kept: Value| serde_json::from_value(kept["life"].take()).unwrap();
        let copied = house.store.copied_channels().await.into_iter();
        let copied = copied.map(|(id, kept)| (id.parse().unwrap(), told(&life(kept))));
        let copied = copied.collect();
        if memory != copied {
            return Some(format!("memory: {memory:?}, Redis: {copied:?}"));
        }
    }
    None
}

async fn run(house: &House, mut daemon: Daemon, steps: &[Step]) -> Result<Daemon, TestCaseError> {
    let who = Principal::daemon();
    let mut channels = Vec::new();
    for number in 0..CHANNELS {
        // What goes out is no matter here: no segments are made.
        let config = json!({ "name": format!("Channel {number}"), "resolution": "240p", "hlsEnabled": false });
        let made = daemon.app.channels.create(&who, &config).await.unwrap();
        channels.push((made.id, Desired::Stopped));
    }
    let (mut postgres, mut redis) = (true, true);
    let whole = ([None; CHANNELS], Outage::Stores(true, true));
    for (orders, outage) in steps.iter().chain([&whole]) {
        for ((id, desired), operation) in channels.iter_mut().zip(orders) {
            let Some(operation) = operation else { continue };
            let done = daemon.app.channels.operate(&who, *id, *operation).await;
            match done {
                Ok(channel) => *desired = channel.life.desired,
                // Only what is to be live can be restarted.
                Err(OpError::Conflict { .. }) => {}
                Err(refused) => return Err(TestCaseError::fail(format!("{refused:?}"))),
            }
        }
        match *outage {
            Outage::Stores(is_there, other) => {
                (postgres, redis) = (is_there, other);
                let manner = |there| if there { Manner::Pass } else { Manner::Refuse };
                house.proxies.redis.set(manner(redis));
                house.proxies.postgres.set(manner(postgres));
                known(&daemon.app.store, Server::Redis, redis).await;
                known(&daemon.app.store, Server::Postgres, postgres).await;
                if postgres {
                    daemon.app.store.until_recordable().await;
                }
            }
            Outage::Killed => {
                // An order that the database has acknowledged is in the copy on disk a moment later.
                prop_assert!(daemon.app.store.copies_written(COPIES).await);
                drop(daemon);
                daemon = Daemon::start(house);
            }
        }
        let mut differs = None;
        let agree = until("memory and stores agree", async || {
            differs = differ(house, &daemon.app, postgres, redis).await;
            differs.is_none()
        });
        let agree = tokio::time::timeout(COPIES, agree).await;
        prop_assert!(
            agree.is_ok(),
            "after {outage:?}: {}",
            differs.unwrap_or_default()
        );
        for (id, desired) in &channels {
            let life = daemon.app.channels.get(&who, *id).await.unwrap().life;
            prop_assert_eq!(life.desired, *desired, "what was acknowledged holds");
        }
    }
    for (id, _) in channels {
        let channels = &daemon.app.channels;
        channels.operate(&who, id, Operation::Stop).await.unwrap();
        channels.delete(&who, id, None).await.unwrap();
    }
    Ok(daemon)
}

#[test]
fn p5_memory_and_stores_agree_after_every_transition() {
    let house = || {
        let mut outside = tokio::runtime::Builder::new_multi_thread();
        let outside = outside.worker_threads(2).enable_all().build().unwrap();
        let house = outside.block_on(House::new());
        let config = Config {
            cases: 2,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Config::default()
        };
        let held = TestRunner::new(config).run(&prop::collection::vec(step(), 1..4), |steps| {
            outside.block_on(async {
                let daemon = Daemon::start(&house);
                let ended = run(&house, daemon, &steps).await;
                house.proxies.redis.set(Manner::Pass);
                house.proxies.postgres.set(Manner::Pass);
                ended.map(drop)
            })
        });
        held.unwrap();
        drop(house);
    };
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(house);
        }
    });
}
