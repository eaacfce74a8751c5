//! Daemons that share a database: of many one gets a channel, and whoever has lost it writes nothing any more.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::StreamFailure;
use playout_domain::alert::{Key, Subject};
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::{AlertKind, Channel, ChannelId, ChannelStatus, Desired, HistoryId};
use playout_store::testing::{self, TestStore};
use playout_store::{
    Abandoned, Cause, HistoryEntry, NodeConfig, Order, Principal, Store, StoreConfig, StoreError,
    release,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::alerts::alert;
use crate::given::{airtime, stored};
use crate::heartbeats::beat;

/// Another daemon on the database of `store`.
async fn daemon(store: &TestStore, name: &str) -> Store {
    Store::connect(&config(store, name)).await.unwrap()
}

fn config(store: &TestStore, name: &str) -> StoreConfig {
    StoreConfig {
        node: NodeConfig {
            lease: Duration::from_secs(2),
            ..NodeConfig::new(name)
        },
        ..store.config().clone()
    }
}

/// What a daemon may take, once it has looked on for as long as a lease.
async fn abandoned(daemon: &Store) -> Vec<Abandoned> {
    let looking = async {
        loop {
            let found = daemon.abandoned_channels().await.unwrap();
            if !found.is_empty() {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), looking).await;
    found.expect("a channel that is abandoned")
}

/// The leases of everybody have run out; `alone` is what they had said.
async fn run_out(store: &TestStore, alone: bool) {
    let sql = format!(
        "UPDATE channels SET lease_until = now() - interval '1 s';
         UPDATE nodes SET lease_until = now() - interval '1 s', alone = {alone}"
    );
    store.session().await.batch_execute(&sql).await.unwrap();
}

async fn holder(store: &TestStore, id: ChannelId) -> (Uuid, i64) {
    let sql = "SELECT node, epoch FROM channels WHERE id = $1";
    let session = store.session().await;
    let row = session.query_one(sql, &[&id.uuid()]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Everything that is kept about a channel, as text.
async fn everything(store: &TestStore, id: ChannelId) -> String {
    let sql = "SELECT (SELECT c FROM channels c WHERE id = $1)::text
        || (SELECT coalesce(string_agg(a::text, '|'), '') FROM airtime a WHERE channel_id = $1)
        || (SELECT coalesce(string_agg(d::text, '|' ORDER BY id), '') FROM rtmp_destinations d WHERE channel_id = $1)
        || (SELECT coalesce(string_agg(h::text, '|' ORDER BY at), '') FROM heartbeats h WHERE channel_id = $1)
        || (SELECT coalesce(string_agg(h::text, '|' ORDER BY id), '') FROM channel_history h WHERE channel_id = $1)
        || (SELECT coalesce(string_agg(a::text, '|' ORDER BY id), '') FROM alerts a WHERE channel_id = $1)
        || (SELECT coalesce(string_agg(a::text, '|' ORDER BY seq), '') FROM audit a WHERE subject_id = $1)";
    let session = store.session().await;
    let row = session.query_one(sql, &[&id.uuid()]).await.unwrap();
    row.get(0)
}

fn started(channel: &Channel) -> LifeState {
    LifeState {
        desired: Desired::Live,
        status: ChannelStatus::Starting,
        last_start_time: Some(Timestamp::now()),
        ..channel.life.clone()
    }
}

fn order(channel: &Channel) -> Order {
    Order {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        channel: channel.id,
        client: channel.client_id,
        who: Principal::daemon(),
        operation: Operation::Start,
        life: started(channel),
    }
}

#[tokio::test]
async fn of_many_that_want_a_channel_one_gets_it() {
    let store = testing::fresh().await;
    let channel = stored(&store, &Principal::daemon(), "One").await;
    let mut daemons = Vec::new();
    for n in 0..6 {
        daemons.push(daemon(&store, &format!("node {n}")).await);
    }
    run_out(&store, false).await;
    for daemon in &daemons {
        daemon.renew_leases().await.unwrap();
    }
    let mut found = Vec::new();
    for daemon in &daemons {
        found.push(abandoned(daemon).await);
    }
    let mut racing = JoinSet::new();
    for (daemon, found) in daemons.into_iter().zip(found) {
        racing.spawn(async move {
            let mut won = 0;
            for abandoned in found {
                won += u32::from(daemon.take_over(&abandoned).await.unwrap());
            }
            // Whoever has it holds it, and nobody else does.
            assert_eq!(daemon.lease(channel.id).is_some(), won == 1);
            won.gt(&0).then(|| daemon.node().id.uuid())
        });
    }
    let won: Vec<Uuid> = racing.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(holder(&store, channel.id).await, (won[0], 2));
    let audit = store.audit(channel.client_id, 0, 100).await.unwrap();
    let taken = audit.iter().filter(|e| e.operation == "channel.take-over");
    let taken: Vec<_> = taken.collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].subject, channel.id.uuid());
    assert_eq!(
        taken[0].detail["before"]["node"],
        store.node().id.to_string()
    );
}

#[tokio::test]
async fn whoever_has_lost_a_channel_writes_nothing_about_it() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let channel = stored(&store, &who, "One").await;
    let other = daemon(&store, "other").await;
    run_out(&store, false).await;
    other.renew_leases().await.unwrap();
    for abandoned in abandoned(&other).await {
        assert!(other.take_over(&abandoned).await.unwrap());
    }
    let id = channel.id;
    let before = everything(&store, id).await;
    let lost = |done: Result<(), StoreError>, what: &str| {
        assert_eq!(done, Err(StoreError::LeaseLost), "{what}");
    };
    // The first finds it out, the others know it.
    for _ in 0..2 {
        let life = started(&channel);
        lost(store.save_life(id, &life, Cause::Automatic).await, "life");
        let ordered = Cause::Ordered {
            who: who.clone(),
            operation: Operation::Start,
        };
        lost(store.save_life(id, &life, ordered).await, "an ordered life");
        lost(store.order(&order(&channel)).await, "an order");
        let airs = airtime();
        store.put_in_library(&airs).await;
        lost(store.save_airtime(None, id, &airs).await, "the plan");
        let rotation = store.save_airtime(Some(&who), id, &airs).await;
        lost(rotation, "the rotation");
        let mut config = channel.config.clone();
        config.name = "Another".to_owned();
        config.rtmp_destinations.clear();
        let updated = store.update_channel(&who, id, 1, &config, Some(&airs));
        lost(updated.await.map(drop), "configuration and destinations");
        lost(store.delete_channel(&who, id, None).await, "its end");
        // What comes in batches is passed over.
        let now = Timestamp::now();
        store.insert_heartbeats(&[beat(id, now)]).await.unwrap();
        let failure = StreamFailure::Preparing;
        let entry = HistoryEntry {
            id: HistoryId::from(Uuid::now_v7()),
            channel: id,
            at: now,
            failure: failure.name().to_owned(),
            media_id: None,
            destination_id: None,
            error: "late".to_owned(),
            action: failure.action(),
        };
        store.insert_history(&[entry]).await.unwrap();
        let mut late = alert(who.client, AlertKind::ChannelError);
        late.key = Key::new(AlertKind::ChannelError, Subject::Channel(id));
        store.save_alert(&late).await.unwrap();
        assert_eq!(everything(&store, id).await, before);
    }
    assert_eq!(store.take_lost(), [id]);
    // What it had seen before is true, and the holder's own writes are taken.
    let before = "2026-11-24T08:00:00Z".parse().unwrap();
    store.insert_heartbeats(&[beat(id, before)]).await.unwrap();
    assert_eq!(store.heartbeats(id, 9).await.unwrap().len(), 1);
    let life = started(&channel);
    other.save_life(id, &life, Cause::Automatic).await.unwrap();
    let read = other.channel(id).await.unwrap().unwrap();
    assert_eq!(read.channel.life.status, ChannelStatus::Starting);
}

/// An answer that was lost, or a database that was restored: nobody else writes this daemon's id.
#[tokio::test]
async fn another_epoch_of_its_own_takes_no_channel_off_air() {
    let store = testing::fresh().await;
    let channel = stored(&store, &Principal::daemon(), "One").await;
    let (id, me) = (channel.id, store.node().id.uuid());
    let lease = store.lease(id).unwrap();
    let set = async |epoch: i64| {
        let sql = "UPDATE channels SET epoch = $1";
        store.session().await.execute(sql, &[&epoch]).await.unwrap();
    };
    let life = started(&channel);
    let write = async || store.save_life(id, &life, Cause::Automatic).await;
    set(7).await;
    let early = write().await.unwrap_err();
    assert!(matches!(early, StoreError::Unavailable(_)), "{early:?}");
    store.renew_leases().await.unwrap();
    write().await.unwrap();
    // An older backup.
    set(2).await;
    write().await.unwrap();
    store.renew_leases().await.unwrap();
    assert_eq!(holder(&store, id).await, (me, 7));
    set(2).await;
    store.begin_leases().await.unwrap();
    write().await.unwrap();
    let orphaned = "UPDATE channels SET node = NULL, epoch = 0";
    let session = store.session().await;
    session.batch_execute(orphaned).await.unwrap();
    store.begin_leases().await.unwrap();
    write().await.unwrap();
    assert_eq!(store.take_lost(), []);
    assert!(lease.holds());
}

#[tokio::test]
async fn an_order_from_before_a_take_over_is_audited_and_changes_nothing() {
    let store = testing::fresh().await;
    let channel = stored(&store, &Principal::daemon(), "One").await;
    let order = order(&channel);
    let other = daemon(&store, "other").await;
    run_out(&store, false).await;
    other.renew_leases().await.unwrap();
    let abandoned = abandoned(&other).await;
    assert!(other.take_over(&abandoned[0]).await.unwrap());
    store.journal(&order).await.unwrap();
    // Whoever looks after the stores brings it into the database.
    let brought = async {
        while store.journaled() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let brought = tokio::time::timeout(Duration::from_secs(30), brought).await;
    brought.expect("it is in the database");
    let read = other.channel(channel.id).await.unwrap().unwrap();
    assert_eq!(read.channel.life, channel.life);
    let audit = store.audit(channel.client_id, 0, 100).await.unwrap();
    assert_eq!(audit.last().unwrap().operation, "channel.start");
}

#[tokio::test]
async fn who_was_alone_keeps_its_channels_until_it_is_seen_again_or_released() {
    let store = testing::fresh().await;
    let channel = stored(&store, &Principal::daemon(), "One").await;
    assert!(store.is_alone());
    let other = daemon(&store, "other").await;
    assert!(!other.is_alone(), "it has seen the first");
    let database = &store.config().database_url;
    let refused = release(database, "playoutd").await.unwrap_err();
    assert!(refused.to_string().contains("runs"), "{refused}");
    run_out(&store, true).await;
    other.renew_leases().await.unwrap();
    assert_eq!(other.abandoned_channels().await.unwrap(), []);
    let refused = release(database, "nobody").await.unwrap_err();
    assert!(refused.to_string().contains("known: "), "{refused}");
    let released = release(database, "playoutd").await.unwrap();
    assert_eq!((released.channels, released.id), (1, store.node().id));
    let abandoned = abandoned(&other).await;
    assert_eq!(abandoned.len(), 1);
    let audit = store
        .audit(Principal::daemon().client, 0, 100)
        .await
        .unwrap();
    assert_eq!(audit.last().unwrap().operation, "node.release");
    // It is back before anybody has taken the channel: it has it still, and is not alone any more.
    other.renew_leases().await.unwrap();
    store.renew_leases().await.unwrap();
    assert!(!store.is_alone());
    assert!(!other.take_over(&abandoned[0]).await.unwrap());
    assert_eq!(
        holder(&store, channel.id).await,
        (store.node().id.uuid(), 1)
    );
    assert!(store.lease(channel.id).unwrap().holds());
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_here_and_all_is_let_go() {
    let store = testing::fresh().await;
    let _other = daemon(&store, "other").await;
    let mut config = config(&store, "short");
    config.node.lease = Duration::from_millis(300);
    let short = Store::connect(&config).await.unwrap();
    let channel = stored(&short, &Principal::daemon(), "One").await;
    let lease = short.lease(channel.id).unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(30), short.until_lost()).await;
    lost.expect("it is found out");
    assert!(!lease.holds());
    assert_eq!(short.take_lost(), [channel.id]);
    assert!(short.lease(channel.id).is_none());
    // Nobody has taken it: it is claimed again, by another epoch, and what was held is not.
    short.renew_leases().await.unwrap();
    assert_eq!(short.claim_channels().await.unwrap(), [channel.id]);
    assert_eq!(holder(&store, channel.id).await.1, 2);
    assert!(!lease.holds());
}

#[tokio::test]
async fn without_the_database_only_who_was_alone_puts_channels_on_air() {
    let (store, proxies) = testing::behind_proxies().await;
    let mut config = store.config().clone();
    config.standby = Some(store.folder().join("standby"));
    config.node = NodeConfig::new("first");
    let noted = store.folder().join("standby/alone");
    // The one that has opened the test's database is no daemon.
    let forgotten = "DELETE FROM nodes";
    store
        .session()
        .await
        .batch_execute(forgotten)
        .await
        .unwrap();
    let first = Store::connect(&config).await.unwrap();
    assert!(first.is_alone() && noted.exists());
    let channel = stored(&first, &Principal::daemon(), "One").await;
    first.all_media().await.unwrap();
    first.all_renditions().await.unwrap();
    first.channels_to_air().await.unwrap();
    first.copies_written(Duration::from_secs(30)).await;
    drop(first);
    let boot = async |on_air: usize| {
        proxies.postgres.set(testing::Manner::Refuse);
        let booted = Store::connect(&config).await.unwrap();
        let (to_air, _) = booted.channels_to_air().await.unwrap();
        assert_eq!(to_air.len(), on_air);
        let lease = booted.lease(channel.id);
        assert_eq!(lease.is_some_and(|lease| lease.holds()), on_air == 1);
        proxies.postgres.set(testing::Manner::Pass);
    };
    boot(1).await;
    let _other = Store::connect(&StoreConfig {
        node: NodeConfig::new("other"),
        standby: None,
        ..store.direct().clone()
    })
    .await
    .unwrap();
    let first = Store::connect(&config).await.unwrap();
    assert!(!first.is_alone() && !noted.exists());
    drop(first);
    boot(0).await;
    // Nobody else can be on a database of its own.
    proxies.postgres.set(testing::Manner::Refuse);
    let own = StoreConfig {
        private: true,
        ..config.clone()
    };
    let booted = Store::connect(&own).await.unwrap();
    assert_eq!(booted.channels_to_air().await.unwrap().0.len(), 1);
    drop(booted);
    proxies.postgres.set(testing::Manner::Pass);
    // The copy is still there for a start with the database.
    let first = Store::connect(&config).await.unwrap();
    assert_eq!(first.channels_to_air().await.unwrap().0.len(), 1);
}

/// A backup that was restored into another folder, a daemon that was there once: with no channels it airs nothing.
#[tokio::test]
async fn who_was_alone_and_has_no_channels_keeps_nobody_from_being_alone() {
    let store = testing::fresh().await;
    let other = daemon(&store, "other").await;
    assert!(!other.is_alone(), "the first one lives");
    run_out(&store, true).await;
    other.renew_leases().await.unwrap();
    assert!(other.is_alone());
    stored(&store, &Principal::daemon(), "One").await;
    run_out(&store, true).await;
    other.renew_leases().await.unwrap();
    assert!(!other.is_alone());
}

#[tokio::test]
async fn a_channel_is_taken_after_two_renewals_in_a_row() {
    let store = testing::fresh().await;
    stored(&store, &Principal::daemon(), "One").await;
    let other = daemon(&store, "other").await;
    run_out(&store, false).await;
    assert_eq!(other.abandoned_channels().await.unwrap(), [], "one");
    other.renew_leases().await.unwrap();
    assert_eq!(abandoned(&other).await.len(), 1, "two");
    other.renewal_failed();
    for renewals in 0..2 {
        let found = other.abandoned_channels().await.unwrap();
        assert_eq!(found, [], "{renewals} after one that failed");
        other.renew_leases().await.unwrap();
    }
    assert_eq!(other.abandoned_channels().await.unwrap().len(), 1);
}

/// The clock of the database was set: the lease is over by it, and the holder renews it all the same.
#[tokio::test]
async fn a_lease_that_changes_is_not_taken_whatever_the_clock_says() {
    let store = testing::fresh().await;
    stored(&store, &Principal::daemon(), "One").await;
    let other = daemon(&store, "other").await;
    run_out(&store, false).await;
    other.renew_leases().await.unwrap();
    let found = abandoned(&other).await;
    let renewed = "UPDATE channels SET lease_until = now() - interval '1 h'";
    store.session().await.batch_execute(renewed).await.unwrap();
    assert!(!other.take_over(&found[0]).await.unwrap());
    assert_eq!(other.abandoned_channels().await.unwrap(), []);
}

#[tokio::test]
async fn a_lease_that_is_renewed_after_it_ran_out_holds_again() {
    let store = testing::fresh().await;
    let mut config = config(&store, "short");
    config.node.lease = Duration::from_millis(300);
    run_out(&store, false).await;
    let short = Store::connect(&config).await.unwrap();
    let channel = stored(&short, &Principal::daemon(), "One").await;
    let lease = short.lease(channel.id).unwrap();
    assert!(short.is_alone());
    let _other = daemon(&store, "other").await;
    short.renew_leases().await.unwrap();
    assert!(!short.is_alone());
    // It runs out, nobody lets go of it, and it is renewed.
    let ran_out = tokio::time::timeout(Duration::from_secs(30), short.until_lost()).await;
    ran_out.expect("it runs out");
    assert!(!lease.holds());
    let held = tokio::spawn({
        let lease = lease.clone();
        async move { lease.until_held().await }
    });
    let renewed = async {
        while !held.is_finished() {
            short.renew_leases().await.unwrap();
        }
    };
    let renewed = tokio::time::timeout(Duration::from_secs(30), renewed).await;
    renewed.expect("the same lease holds again");
}

#[tokio::test]
async fn what_is_in_the_way_of_taking_what_is_nobodys_does_not_keep_a_daemon_from_starting() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut raised = alert(who.client, AlertKind::ChannelError);
    raised.key = Key::new(
        AlertKind::ChannelError,
        Subject::Channel(stored(&store, &who, "One").await.id),
    );
    store.save_alert(&raised).await.unwrap();
    let session = store.session().await;
    let orphaned = "UPDATE alerts SET node = NULL";
    session.batch_execute(orphaned).await.unwrap();
    raised.id = playout_domain::AlertId::from(Uuid::now_v7());
    store.save_alert(&raised).await.unwrap();
    store.begin_leases().await.unwrap();
    let count = "SELECT count(*) FILTER (WHERE node IS NULL), count(*) FILTER (WHERE closed_at IS NULL) FROM alerts";
    let row = session.query_one(count, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (0_i64, 1_i64));
}
