//! Reports arrive where they belong, and nothing that is away holds anything up.
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use playout_domain::lifecycle::ChannelStatus;
use playout_domain::units::BitsPerSecond;
use playout_store::operator;
use playout_store::testing::{self, Manner, found, known};
use playout_store::{Server, Store};
use proptest::prelude::*;
use uuid::Uuid;

use super::backlog::BeatId;
use super::loops::{BATCH, EVERY};
use super::pipe::{self, Fate, Queued};
use super::*;
use crate::hub::Filter;
use crate::supervise::Supervisor;
use crate::tree::ROOT_POLICY;

fn beat(channel: ChannelId, number: u64) -> Heartbeat {
    Heartbeat {
        channel,
        at: Timestamp::UNIX_EPOCH + Duration::from_secs(2_000_000_000 + number),
        status: ChannelStatus::Live,
        uptime: Duration::from_secs(number),
        last_segment: None,
        segments: number,
        bitrate: BitsPerSecond(1_000_000),
        restarts: 0,
        processes: Vec::new(),
    }
}

#[tokio::test]
async fn heartbeats_reach_listeners_at_once_redis_soon_and_postgresql_at_the_latest_at_the_end() {
    let store = testing::fresh().await;
    let hub = Arc::new(Hub::default());
    let mut events = hub.subscribe(Filter::default(), None);
    let telemetry = Telemetry::new((*store).clone(), hub);
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    let channel = ChannelId::from(Uuid::now_v7());
    for number in 0..3 {
        telemetry.record(operator(), beat(channel, number));
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind, event.channel),
            (kind::CHANNEL_HEARTBEAT, Some(channel))
        );
        assert_eq!(
            (event.client, &event.data["segments"]),
            (Some(operator()), &json!(number))
        );
    }
    found("Redis has the latest", || async {
        let hot = store.hot().heartbeat(channel).await.unwrap()?;
        (hot == beat(channel, 2)).then_some(())
    })
    .await;
    running.stop().await;
    let stored = store.heartbeats(channel, 10).await.unwrap();
    assert_eq!(stored, [2, 1, 0].map(|number| beat(channel, number)));
    assert_eq!(telemetry.view().lost, 0);
    store.hot().forget_channel(channel).await;
}

#[tokio::test]
async fn a_full_batch_is_written_before_its_time() {
    let store = testing::fresh().await;
    let telemetry = Telemetry::new((*store).clone(), Arc::new(Hub::default()));
    let channel = ChannelId::from(Uuid::now_v7());
    telemetry.record(operator(), beat(channel, 0));
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    let mut sent = 0;
    // In several portions, as they come.
    for number in 1..=2 * BATCH as u64 {
        telemetry.record(operator(), beat(channel, number));
        sent += 1;
        if sent % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    found("a batch is written", || async {
        (store.heartbeats(channel, 2000).await.unwrap().len() >= BATCH).then_some(())
    })
    .await;
    assert!(began.elapsed() < EVERY, "its time had come");
    running.stop().await;
    assert_eq!(
        store.heartbeats(channel, 2000).await.unwrap().len(),
        1 + 2 * BATCH
    );
    store.hot().forget_channel(channel).await;
}

/// The numbers of the heartbeats that the database has, oldest first.
async fn stored(store: &Store, channel: ChannelId) -> Vec<u64> {
    let beats = store.heartbeats(channel, 1000).await.unwrap_or_default();
    beats.iter().rev().map(|beat| beat.segments).collect()
}

#[tokio::test]
async fn whichever_store_is_away_heartbeats_take_the_other_way_and_none_is_lost_or_doubled() {
    let (store, proxies) = testing::behind_proxies().await;
    let telemetry = Telemetry::new((*store).clone(), Arc::new(Hub::default()));
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    let channel = ChannelId::from(Uuid::now_v7());
    let mut sent = 0;
    let mut send = || {
        telemetry.record(operator(), beat(channel, sent));
        sent += 1;
        sent
    };
    // Without Redis they go straight to PostgreSQL.
    for manner in [Manner::Refuse, Manner::Hang] {
        proxies.redis.set(manner);
        send();
        known(&store, Server::Redis, false).await;
        let count = send();
        found("PostgreSQL has them", || async {
            (stored(&store, channel).await.len() as u64 == count).then_some(())
        })
        .await;
        proxies.redis.set(Manner::Pass);
        known(&store, Server::Redis, true).await;
    }
    // Without PostgreSQL they wait in Redis.
    proxies.postgres.set(Manner::Hang);
    send();
    known(&store, Server::Postgres, false).await;
    let count = send();
    found("nothing waits in memory", || async {
        (telemetry.view().waiting == 0).then_some(())
    })
    .await;
    assert!(!store.queued_heartbeats(10).await.unwrap().is_empty());
    proxies.postgres.set(Manner::Pass);
    found("PostgreSQL has them", || async {
        (stored(&store, channel).await.len() as u64 == count).then_some(())
    })
    .await;
    found("the queue is empty", || async {
        store
            .queued_heartbeats(10)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    assert_eq!(
        stored(&store, channel).await,
        (0..count).collect::<Vec<_>>()
    );
    assert_eq!(telemetry.view().lost, 0);
    running.stop().await;
    store.hot().forget_channel(channel).await;
}

#[tokio::test]
async fn what_does_not_fit_while_both_are_away_is_counted_told_and_noted() {
    let (store, proxies) = testing::behind_proxies().await;
    let hub = Arc::new(Hub::default());
    let filter = Filter {
        kinds: Some(&[kind::TELEMETRY_LOST, kind::TELEMETRY_RECOVERED]),
        ..Filter::default()
    };
    let mut losses = hub.subscribe(filter, None);
    let telemetry = Telemetry::keeping(5, (*store).clone(), hub);
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    proxies.postgres.set(Manner::Refuse);
    proxies.redis.set(Manner::Refuse);
    known(&store, Server::Postgres, false).await;
    known(&store, Server::Redis, false).await;
    let channel = ChannelId::from(Uuid::now_v7());
    for number in 0..12 {
        telemetry.record(operator(), beat(channel, number));
    }
    let told = losses.next().await.unwrap();
    assert_eq!(
        (told.client, &told.data),
        (None, &json!({ "more": 7, "lost": 7 }))
    );
    let view = telemetry.view();
    assert_eq!((view.waiting, view.lost), (5, 7));
    assert!(view.lost_since.is_some() && view.lost_since <= view.lost_until);
    proxies.postgres.set(Manner::Pass);
    proxies.redis.set(Manner::Pass);
    found("the rest is written", || async {
        (stored(&store, channel).await == [7, 8, 9, 10, 11]).then_some(())
    })
    .await;
    found("the loss is noted", || async {
        let session = store.session().await;
        let noted = session
            .query("SELECT lost FROM telemetry_losses", &[])
            .await
            .unwrap();
        (noted.len() == 1 && noted[0].get::<_, i64>(0) == 7).then_some(())
    })
    .await;
    assert_eq!(telemetry.view().lost, 7, "it stays readable");
    let told = tokio::time::timeout(Duration::from_secs(30), losses.next()).await;
    let told = told.expect("it is told in time").unwrap();
    assert_eq!(
        (told.kind, &told.data),
        (kind::TELEMETRY_RECOVERED, &json!({ "lost": 7 }))
    );
    running.stop().await;
    store.hot().forget_channel(channel).await;
}

#[tokio::test]
async fn what_was_given_up_and_turns_up_in_a_store_is_not_lost() {
    let (store, proxies) = testing::behind_proxies().await;
    let telemetry = Telemetry::keeping(5, (*store).clone(), Arc::new(Hub::default()));
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    proxies.postgres.set(Manner::Refuse);
    known(&store, Server::Postgres, false).await;
    // It goes to Redis, and nobody hears that it arrived.
    proxies.redis.set(Manner::Hang);
    let channel = ChannelId::from(Uuid::now_v7());
    telemetry.record(operator(), beat(channel, 0));
    known(&store, Server::Redis, false).await;
    for number in 1..10 {
        telemetry.record(operator(), beat(channel, number));
    }
    found("the first is counted as lost", || async {
        (telemetry.view().lost == 5).then_some(())
    })
    .await;
    proxies.redis.set(Manner::Pass);
    proxies.postgres.set(Manner::Pass);
    found("it turns up", || async {
        (stored(&store, channel).await == [0, 5, 6, 7, 8, 9]).then_some(())
    })
    .await;
    found("it is not counted any more", || async {
        (telemetry.view().lost == 4).then_some(())
    })
    .await;
    running.stop().await;
    store.hot().forget_channel(channel).await;
}

/// What becomes of a call to a store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Done,
    /// Done, but nobody hears of it.
    Unheard,
    Silence,
}

/// Both stores, as a model: each call meets the next answer of its script; with none left it is done.
struct Stores {
    answers: RefCell<Vec<Answer>>,
    queue: RefCell<Vec<(u64, Vec<Heartbeat>)>>,
    entries: Cell<u64>,
    table: RefCell<BTreeSet<BeatId>>,
    /// What a store has said that it has.
    acknowledged: RefCell<BTreeSet<BeatId>>,
    /// Every so many-th heartbeat is one that PostgreSQL refuses.
    refuses: u64,
}

fn ids(beats: &[Heartbeat]) -> Vec<BeatId> {
    beats.iter().map(|beat| (beat.channel, beat.at)).collect()
}

impl Stores {
    fn answer(&self) -> Answer {
        self.answers.borrow_mut().pop().unwrap_or(Answer::Done)
    }

    fn heard(&self, answer: Answer, beats: &[Heartbeat]) -> Fate {
        match answer {
            Answer::Done => {
                self.acknowledged.borrow_mut().extend(ids(beats));
                Fate::Taken
            }
            _ => Fate::Unknown,
        }
    }

    fn is_refused(&self, beat: &Heartbeat) -> bool {
        beat.segments % self.refuses == self.refuses - 1
    }

    async fn queue(&self, beats: Vec<Heartbeat>) -> Fate {
        let answer = self.answer();
        if answer != Answer::Silence {
            self.entries.set(self.entries.get() + 1);
            self.queue
                .borrow_mut()
                .push((self.entries.get(), beats.clone()));
        }
        self.heard(answer, &beats)
    }

    async fn insert(&self, beats: Vec<Heartbeat>) -> Fate {
        let answer = self.answer();
        if answer == Answer::Silence {
            return Fate::Unknown;
        }
        if beats.iter().any(|beat| self.is_refused(beat)) {
            return match answer {
                Answer::Done => Fate::Refused,
                _ => Fate::Unknown,
            };
        }
        self.table.borrow_mut().extend(ids(&beats));
        self.heard(answer, &beats)
    }

    async fn read(&self, most: usize) -> Option<Vec<Queued>> {
        if self.answer() == Answer::Silence {
            return None;
        }
        let entry = |(id, beats): &(u64, Vec<Heartbeat>)| Queued {
            id: id.to_string(),
            beats: Some(beats.clone()),
        };
        Some(self.queue.borrow().iter().take(most).map(entry).collect())
    }

    async fn remove(&self, gone: Vec<String>) -> bool {
        let answer = self.answer();
        if answer != Answer::Silence {
            let mut queue = self.queue.borrow_mut();
            queue.retain(|(id, _)| !gone.contains(&id.to_string()));
        }
        answer == Answer::Done
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Record(u64),
    Ship(Vec<Answer>),
    Drain(Vec<Answer>),
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        2 => Just(Answer::Done),
        1 => Just(Answer::Unheard),
        2 => Just(Answer::Silence),
    ];
    let answers = proptest::collection::vec(answer, 0..8);
    prop_oneof![
        3 => (1_u64..8).prop_map(Step::Record),
        3 => answers.clone().prop_map(Step::Ship),
        2 => answers.prop_map(Step::Drain),
    ]
}

/// Carries on from `steps` until nothing waits; answers the heartbeats recorded and the backlog.
async fn carry(
    stores: &Stores,
    steps: Vec<Step>,
    capacity: usize,
    most: usize,
) -> (Vec<Heartbeat>, Backlog) {
    let channel = ChannelId::from(Uuid::nil());
    let backlog = Mutex::new(Backlog::new(capacity));
    let mut recorded = Vec::new();
    let healed = [Step::Ship(Vec::new()), Step::Drain(Vec::new())];
    for step in steps.into_iter().chain(healed) {
        match step {
            Step::Record(count) => {
                for _ in 0..count {
                    let beat = beat(channel, recorded.len() as u64);
                    recorded.push(beat.clone());
                    lock(&backlog).push(beat);
                }
            }
            Step::Ship(answers) => {
                *stores.answers.borrow_mut() = answers;
                let (queue, insert) = (|b| stores.queue(b), |b| stores.insert(b));
                pipe::ship(&backlog, most, queue, insert).await;
            }
            Step::Drain(answers) => {
                *stores.answers.borrow_mut() = answers;
                let (read, insert) = (|most| stores.read(most), |b| stores.insert(b));
                let (mut most, remove) = (most, |ids| stores.remove(ids));
                let (empty, lost) = pipe::drain(&mut most, read, insert, remove).await;
                let mut backlog = lock(&backlog);
                backlog.count_refused(lost.refused);
                if empty {
                    let doubt = backlog.in_doubt();
                    let table = stores.table.borrow();
                    let found = doubt.iter().filter(|id| table.contains(id)).count();
                    backlog.found(&doubt, found as u64);
                }
            }
        }
        assert!(lock(&backlog).len() <= capacity);
        stores.answers.borrow_mut().clear();
    }
    assert!(stores.queue.borrow().is_empty());
    (recorded, backlog.into_inner().unwrap())
}

/// PostgreSQL has no time for more than 700 heartbeats at once.
#[tokio::test]
async fn fewer_entries_are_taken_where_there_is_no_time_for_many() {
    let channel = ChannelId::from(Uuid::nil());
    let queue: Mutex<Vec<Queued>> = Mutex::default();
    for n in 0..200 {
        let beats = (0..500).map(|i| beat(channel, n * 500 + i)).collect();
        let (id, beats) = (n.to_string(), Some(beats));
        queue.lock().unwrap().push(Queued { id, beats });
    }
    let read = async |most: usize| {
        let queue = queue.lock().unwrap();
        Some(queue.iter().take(most).cloned().collect())
    };
    let insert = async |beats: Vec<Heartbeat>| match beats.len() {
        0..=700 => Fate::Taken,
        _ => Fate::Unknown,
    };
    let remove = async |ids: Vec<String>| {
        let mut queue = queue.lock().unwrap();
        queue.retain(|entry| !ids.contains(&entry.id));
        true
    };
    let mut most = pipe::ENTRIES;
    for _ in 0..1_000 {
        if pipe::drain(&mut most, read, insert, remove).await.0 {
            return;
        }
        assert!(most <= pipe::ENTRIES);
    }
    panic!(
        "they are never through: {} are left",
        queue.lock().unwrap().len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the stores do, and whatever is not heard of: at the end every heartbeat is in the database once
    /// or counted as lost, and what a store has taken is not lost.
    #[test]
    fn every_heartbeat_is_stored_once_or_counted_as_lost(
        steps in proptest::collection::vec(step(), 1..40),
        capacity in 1_usize..20,
        most in 1_usize..6,
        refuses in prop_oneof![Just(u64::MAX), 5_u64..9],
    ) {
        let stores = Stores {
            answers: RefCell::default(),
            queue: RefCell::default(),
            entries: Cell::default(),
            table: RefCell::default(),
            acknowledged: RefCell::default(),
            refuses,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (recorded, backlog) = runtime.block_on(carry(&stores, steps, capacity, most));
        let table = stores.table.borrow();
        let missing = recorded.iter().filter(|beat| !table.contains(&(beat.channel, beat.at)));
        prop_assert_eq!(backlog.lost(), missing.count() as u64);
        prop_assert_eq!(backlog.len(), 0);
        let good = recorded.iter().filter(|beat| !stores.is_refused(beat));
        let good: BTreeSet<BeatId> = good.map(|beat| (beat.channel, beat.at)).collect();
        for id in stores.acknowledged.borrow().intersection(&good) {
            prop_assert!(table.contains(id), "what a store has taken is lost");
        }
    }
}
