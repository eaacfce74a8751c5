//! P8 (6.3): what was acknowledged is there after the daemon is killed at any instant, PostgreSQL was away before,
//! and Redis or the copy on disk has lost everything: changes with PostgreSQL, and orders without it, each once.
//! What the daemon was at when it was killed is there or is not. The other half, with real processes that are
//! killed: `tests/daemon/{daemon,stores}.rs`.
//!
//! Real PostgreSQL and Redis behind proxies. A daemon is a runtime of its own here: killed, all of its connections
//! are cut at once and all of its tasks end where they are.

use std::path::PathBuf;
use std::time::Duration;

use playout_domain::lifecycle::Operation;
use playout_domain::limits::PlanLimits;
use playout_domain::{ChannelId, Desired};
use playout_store::testing::{self, Manner, Proxies, TestStore, until};
use playout_store::{ExportedHeads, Order, Principal, Store, StoreConfig};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::stored::{airtime, channel, in_four_worlds, order, runtime};

/// How long it is waited for the copy on disk.
const COPIES: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Act {
    Rename,
    Order(Operation),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Nothing,
    Redis,
    Disk,
}

#[derive(Debug, Clone)]
struct Case {
    /// With PostgreSQL.
    before: Vec<Act>,
    /// Without it: orders alone are taken.
    without: Vec<Operation>,
    /// What the daemon was at when it was killed, and how far it was.
    last: Act,
    far: u8,
    lost: Lost,
    /// The next daemon starts without PostgreSQL first.
    blind: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let operation = || select(vec![Operation::Start, Operation::Stop, Operation::Restart]);
    let act = move || prop_oneof![Just(Act::Rename), operation().prop_map(Act::Order)];
    let lost = select(vec![Lost::Nothing, Lost::Redis, Lost::Disk]);
    (
        prop::collection::vec(act(), 0..5),
        prop::collection::vec(operation(), 0..4),
        act(),
        0..14_u8,
        lost,
        any::<bool>(),
    )
        .prop_map(|(before, without, last, far, lost, blind)| Case {
            before,
            without,
            last,
            far,
            lost,
            // A copy in Redis is written a moment later: what it has then is not known here.
            blind: blind && lost != Lost::Disk,
        })
}

/// What a daemon leaves behind.
struct Left {
    /// What was acknowledged, and the same with what it was at: one of them is in the database in the end.
    known: [Known; 2],
    /// What it was at, an order, was acknowledged by the database alone. A copy has it a moment later, so a
    /// daemon that starts without the database right then may still be told what was before.
    copied_later: Option<Known>,
}

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    version: u64,
    orders: Vec<Order>,
}

struct World {
    test: TestStore,
    proxies: Proxies,
    session: tokio_postgres::Client,
    who: Principal,
}

/// A daemon of one channel.
struct Daemon<'w> {
    world: &'w World,
    store: Store,
    channel: ChannelId,
    known: Known,
}

impl Daemon<'_> {
    async fn act(&mut self, act: Act) -> Result<(), playout_store::StoreError> {
        let who = &self.world.who;
        match act {
            Act::Rename => {
                let mut config =
                    channel(who.client, &format!("Version {}", self.known.version + 1)).config;
                config.fallback_video = None;
                let version = self.known.version;
                self.store
                    .update_channel(who, self.channel, version, &config, None)
                    .await?;
                self.known.version += 1;
            }
            Act::Order(operation) => {
                let life = self.known.orders.last().map(|order| order.life.clone());
                let order = order(
                    who,
                    who.client,
                    self.channel,
                    &life.unwrap_or_default(),
                    operation,
                );
                if self.store.order(&order).await.is_err() {
                    self.store.journal(&order).await?;
                }
                self.known.orders.push(order);
            }
        }
        Ok(())
    }
}

impl World {
    async fn new() -> Self {
        let (test, proxies) = testing::behind_proxies().await;
        Self {
            who: test.client("owner", &PlanLimits::UNLIMITED).await,
            session: test.session().await,
            test,
            proxies,
        }
    }

    fn set(&self, manner: Manner) {
        self.proxies.postgres.set(manner);
        self.proxies.redis.set(manner);
    }

    /// Each daemon has a runtime of its own, and dies with it.
    fn case(&self, world: &Runtime, case: &Case) -> Result<(), TestCaseError> {
        let mut config = self.test.config().clone();
        let copy: PathBuf = self.test.folder().join(Uuid::now_v7().simple().to_string());
        config.standby = Some(copy.clone());
        let left = runtime().block_on(self.lives(case, &config))?;

        match case.lost {
            Lost::Nothing => {}
            Lost::Redis => world.block_on(self.test.lose_redis()),
            Lost::Disk => std::fs::remove_dir_all(&copy).unwrap(),
        }
        self.proxies.redis.set(Manner::Pass);
        if case.blind {
            runtime().block_on(self.airs(&config, &left))?;
        }
        self.proxies.postgres.set(Manner::Pass);
        runtime().block_on(self.has(&config, &left.known))
    }

    /// What a daemon puts on air that starts without PostgreSQL.
    async fn airs(&self, config: &StoreConfig, left: &Left) -> Result<(), TestCaseError> {
        let store = Store::connect(config).await.unwrap();
        let (to_air, _) = store.channels_to_air().await.unwrap();
        prop_assert_eq!(to_air.len(), 1);
        let life = &to_air[0].stored.channel.life;
        let known = left.known.iter().chain(&left.copied_later);
        is_one_of(known, |known| wanted(known) == life.desired, life)
    }

    /// What a daemon finds that starts with it.
    async fn has(&self, config: &StoreConfig, known: &[Known; 2]) -> Result<(), TestCaseError> {
        let store = Store::connect(config).await.unwrap();
        prop_assert_eq!(store.journaled(), 0);
        let stored = store.all_channels().await.unwrap();
        prop_assert_eq!((stored.channels.len(), stored.quarantined.len()), (1, 0));
        let found = &stored.channels[0].channel;
        let entries = store.audit(self.who.client, 0, 100).await.unwrap();
        let told = |which: &[&str]| -> Vec<&str> {
            let operations = entries.iter().map(|entry| &entry.operation[..]);
            operations
                .filter(|operation| which.contains(operation))
                .collect()
        };
        let renamed = told(&["channel.update"]).len() as u64;
        let orders = told(&["channel.start", "channel.stop", "channel.restart"]);
        prop_assert_eq!(entries.len() as u64, 1 + renamed + orders.len() as u64);
        is_one_of(
            known,
            |known| {
                let given = known.orders.iter().map(|order| name(order.operation));
                found.version == known.version
                    && found.config.name == title(known.version)
                    && renamed + 1 == known.version
                    && found.life.desired == wanted(known)
                    && given.eq(orders.iter().copied())
            },
            &(found, &orders),
        )?;
        let whole = store.verify_audit(&ExportedHeads::default()).await.unwrap();
        prop_assert_eq!(whole.faults, Vec::new());
        Ok(())
    }

    /// A daemon from its start to its end.
    async fn lives(&self, case: &Case, config: &StoreConfig) -> Result<Left, TestCaseError> {
        let store = Store::connect(config).await.unwrap();
        store.all_media().await.unwrap();
        store.all_renditions().await.unwrap();
        store.channels_to_air().await.unwrap();
        let airs = airtime(Uuid::now_v7().into());
        let mut made = channel(self.who.client, &title(1));
        made.version = 1;
        let made = store.insert_channel(&self.who, &made, &airs).await.unwrap();
        store.keep_channel(&made, &airs, true);
        let mut daemon = Daemon {
            world: self,
            channel: made.id,
            known: Known {
                version: 1,
                orders: Vec::new(),
            },
            store,
        };
        for act in &case.before {
            prop_assert_eq!(daemon.act(*act).await, Ok(()));
        }
        if !case.without.is_empty() {
            self.proxies.postgres.set(Manner::Refuse);
        }
        for operation in &case.without {
            prop_assert_eq!(daemon.act(Act::Order(*operation)).await, Ok(()));
        }
        // As the channel does with everything that becomes of it.
        let mut now = made.clone();
        now.version = daemon.known.version;
        if let Some(order) = daemon.known.orders.last() {
            now.life = order.life.clone();
        }
        daemon
            .store
            .keep_channel(&now, &airs, case.without.is_empty());
        prop_assert!(daemon.store.copies_written(COPIES).await);

        let acknowledged = daemon.known.clone();
        let journaled = daemon.store.journaled();
        let mut with_last = acknowledged.clone();
        let killed = async {
            for _ in 0..u32::from(case.far).pow(4) {
                tokio::task::yield_now().await;
            }
        };
        let acted = async { daemon.act(case.last).await.is_ok() };
        let acknowledged_last = tokio::select! {
            biased;
            acted = acted => acted,
            () = killed => false,
        };
        self.set(Manner::Refuse);
        until("every connection is cut", async || {
            self.proxies.postgres.open() + self.proxies.redis.open() == 0
        })
        .await;
        match case.last {
            Act::Rename => with_last.version += 1,
            Act::Order(operation) => {
                let life = acknowledged.orders.last().map(|order| order.life.clone());
                let who = &self.who;
                let same = order(
                    who,
                    who.client,
                    made.id,
                    &life.unwrap_or_default(),
                    operation,
                );
                with_last.orders.push(same);
            }
        }
        let by_the_database = acknowledged_last && journaled == daemon.store.journaled();
        Ok(Left {
            copied_later: by_the_database.then(|| acknowledged.clone()),
            known: match acknowledged_last {
                true => [with_last.clone(), with_last],
                false => [acknowledged, with_last],
            },
        })
    }

    async fn clear(&self) {
        self.set(Manner::Pass);
        let clear =
            "DELETE FROM channels; DELETE FROM audit; DELETE FROM audit_heads; DELETE FROM orders";
        self.session.batch_execute(clear).await.unwrap();
        self.test.lose_redis().await;
    }
}

fn is_one_of<'k>(
    known: impl IntoIterator<Item = &'k Known>,
    is: impl Fn(&Known) -> bool,
    found: &dyn std::fmt::Debug,
) -> Result<(), TestCaseError> {
    let known: Vec<&Known> = known.into_iter().collect();
    prop_assert!(
        known.iter().any(|known| is(known)),
        "{found:?} is none of {known:?}"
    );
    Ok(())
}

fn title(version: u64) -> String {
    format!("Version {version}")
}

fn wanted(known: &Known) -> Desired {
    known
        .orders
        .last()
        .map_or(Desired::Stopped, |order| order.life.desired)
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "channel.start",
        Operation::Stop => "channel.stop",
        _ => "channel.restart",
    }
}

#[test]
fn p8_what_was_acknowledged_outlives_the_daemon_the_database_and_redis() {
    in_four_worlds(100, |config| {
        // Its own thread, for the proxies to go on while a daemon runs.
        let mut outside = tokio::runtime::Builder::new_multi_thread();
        let outside = outside.worker_threads(1).enable_all().build().unwrap();
        let world = outside.block_on(World::new());
        let held = TestRunner::new(config).run(&case(), |case| {
            let held = world.case(&outside, &case);
            outside.block_on(world.clear());
            held
        });
        held.unwrap();
    });
}
