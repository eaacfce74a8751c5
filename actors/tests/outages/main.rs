//! Channels while stores are away: orders are carried out and recorded later, what happens on air goes on, and a
//! daemon that starts without PostgreSQL takes up what that has when it is there.
#![allow(clippy::unwrap_used)]

mod agreement;
mod house;

use std::time::Duration;

use playout_actors::OpError;
use playout_domain::lifecycle::Operation;
use playout_domain::limits::PlanLimits;
use playout_domain::{ChannelId, ChannelStatus, Desired};
use playout_store::testing::{Manner, known, until};
use playout_store::{Condition, Principal, Server, Store};
use serde_json::json;

use house::{House, channel, status};

#[tokio::test]
async fn orders_are_carried_out_while_the_database_hangs_and_are_in_it_afterwards() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let one = channel(&app, &who, "One").await;
    let two = channel(&app, &who, "Two").await;
    app.channels
        .operate(&who, two, Operation::Start)
        .await
        .unwrap();
    house.postgres(&app, Manner::Hang).await;
    // Nothing that happens on air waits for the database.
    let started = app
        .channels
        .operate(&who, one, Operation::Start)
        .await
        .unwrap();
    assert_eq!(started.life.desired, Desired::Live);
    until("the channel is LIVE", async || {
        status(&app, one).await == ChannelStatus::Live
    })
    .await;
    app.channels
        .operate(&who, one, Operation::Restart)
        .await
        .unwrap();
    let stopped = app
        .channels
        .operate(&who, two, Operation::Stop)
        .await
        .unwrap();
    assert_eq!(stopped.life.status, ChannelStatus::Stopped);
    assert_eq!(app.store.journaled(), 3);
    // Everything else is refused.
    let refused = app
        .channels
        .update(&who, one, &json!({ "name": "X" }), None)
        .await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    until("the channel is LIVE", async || {
        status(&app, one).await == ChannelStatus::Live
    })
    .await;
    house.postgres(&app, Manner::Pass).await;
    app.store.until_recordable().await;
    until("what happened meanwhile is recorded", async || {
        let stored = house.truth.channel(one).await.unwrap().unwrap().channel;
        stored.life.status == ChannelStatus::Live && stored.life.generation.0 == 2
    })
    .await;
    let stored = house.truth.channel(two).await.unwrap().unwrap().channel;
    assert_eq!(stored.life.desired, Desired::Stopped);
    assert_eq!(
        house.audited(&who, one).await,
        ["channel.create", "channel.start", "channel.restart"]
    );
    assert_eq!(
        house.audited(&who, two).await,
        ["channel.create", "channel.start", "channel.stop"]
    );
    app.shutdown().await;
}

#[tokio::test]
async fn what_goes_out_while_the_database_is_away_is_in_it_afterwards() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let id = channel(&app, &who, "One").await;
    house.postgres(&app, Manner::Refuse).await;
    let operate = async |operation| app.channels.operate(&who, id, operation).await.unwrap();
    operate(Operation::Start).await;
    until("the channel is LIVE", async || {
        status(&app, id).await == ChannelStatus::Live
    })
    .await;
    operate(Operation::Stop).await;
    house.postgres(&app, Manner::Pass).await;
    app.store.until_recordable().await;
    let (from, until_) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    let mut rows = Vec::new();
    until("what went out is in the database", async || {
        rows = house.truth.as_run(id, from, until_, None, 9).await.unwrap();
        !rows.is_empty()
    })
    .await;
    // Nothing was planned: three segments of the slate at least.
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].row.kind.word(), "slate");
    assert_eq!(rows[0].row.reason.word(), "nothing-planned");
    assert!(rows[0].seconds() >= 12.0, "{rows:?}");
    let told = app.channels.as_run(&who, id, (from, until_), None, 9).await;
    let told: Vec<_> = told.unwrap().view;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].entry.id, told[0].open), (rows[0].id, false));
    app.shutdown().await;
}

#[tokio::test]
async fn the_plans_limit_holds_while_the_database_is_away() {
    let house = House::new().await;
    let limits = PlanLimits {
        max_live: Some(1),
        ..PlanLimits::UNLIMITED
    };
    let who = house.store.client("client", &limits).await;
    let app = house.app().await;
    let (one, two) = (
        channel(&app, &who, "One").await,
        channel(&app, &who, "Two").await,
    );
    house.postgres(&app, Manner::Refuse).await;
    let start = |id| app.channels.operate(&who, id, Operation::Start);
    let (first, second) = tokio::join!(start(one), start(two));
    let refused: Vec<_> = [&first, &second]
        .into_iter()
        .filter(|done| done.is_err())
        .collect();
    assert!(
        matches!(refused[..], [Err(OpError::Limit(_))]),
        "{first:?} {second:?}"
    );
    let (live, other) = if first.is_ok() {
        (one, two)
    } else {
        (two, one)
    };
    app.channels
        .operate(&who, live, Operation::Stop)
        .await
        .unwrap();
    start(other).await.unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn with_both_away_an_order_is_refused_and_changes_nothing() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let (one, two) = (
        channel(&app, &who, "One").await,
        channel(&app, &who, "Two").await,
    );
    app.channels
        .operate(&who, two, Operation::Start)
        .await
        .unwrap();
    house.postgres(&app, Manner::Refuse).await;
    house.proxies.redis.set(Manner::Refuse);
    known(&app.store, Server::Redis, false).await;
    for (id, operation) in [(one, Operation::Start), (two, Operation::Stop)] {
        let refused = app.channels.operate(&who, id, operation).await;
        assert!(
            matches!(refused, Err(OpError::Unavailable { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(status(&app, one).await, ChannelStatus::Stopped);
    until("the other goes on", async || {
        status(&app, two).await == ChannelStatus::Live
    })
    .await;
    house.postgres(&app, Manner::Pass).await;
    app.channels
        .operate(&who, one, Operation::Start)
        .await
        .unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn a_daemon_that_starts_without_the_database_takes_up_what_it_has_later() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let [kept, renamed, deleted] = [
        channel(&app, &who, "Kept").await,
        channel(&app, &who, "Renamed").await,
        channel(&app, &who, "Deleted").await,
    ];
    for id in [kept, deleted] {
        app.channels
            .operate(&who, id, Operation::Start)
            .await
            .unwrap();
    }
    app.shutdown().await;
    drop(app);
    // Behind the daemon's back.
    let other = Store::connect(house.store.direct()).await.unwrap();
    let mut config = other
        .channel(renamed)
        .await
        .unwrap()
        .unwrap()
        .channel
        .config;
    config.name = "Another name".to_owned();
    other
        .update_channel(&who, renamed, 1, &config, None)
        .await
        .unwrap();
    other.delete_channel(&who, deleted, None).await.unwrap();
    let mut made = other.channel(kept).await.unwrap().unwrap();
    made.channel.id = ChannelId::from(uuid::Uuid::now_v7());
    made.channel.life = Default::default();
    let made = other
        .insert_channel(&who, &made.channel, &made.airtime)
        .await
        .unwrap();

    house.proxies.postgres.set(Manner::Refuse);
    let app = house.app().await;
    for id in [kept, deleted] {
        until("it is on air", async || {
            status(&app, id).await == ChannelStatus::Live
        })
        .await;
    }
    app.channels
        .operate(&who, renamed, Operation::Start)
        .await
        .unwrap();
    let name = async |id| {
        app.channels
            .get(&who, id)
            .await
            .map(|channel| channel.config.name)
    };
    assert_eq!(name(renamed).await.unwrap(), "Renamed");
    house.postgres(&app, Manner::Pass).await;
    app.store.until_recordable().await;
    assert_eq!(name(renamed).await.unwrap(), "Another name");
    assert_eq!(name(made.id).await.unwrap(), "Kept");
    assert!(matches!(name(deleted).await, Err(OpError::NotFound(_))));
    for id in [kept, renamed] {
        until("it is on air", async || {
            status(&app, id).await == ChannelStatus::Live
        })
        .await;
        until("that is recorded", async || {
            let stored = house.truth.channel(id).await.unwrap().unwrap().channel;
            stored.life.status == ChannelStatus::Live
        })
        .await;
    }
    let audited = house.audited(&who, renamed).await;
    assert_eq!(
        audited,
        ["channel.create", "channel.update", "channel.start"]
    );
    app.channels
        .update(&who, renamed, &json!({ "name": "A third" }), Some(2))
        .await
        .unwrap();
    app.shutdown().await;
}

/// PostgreSQL commits a change, and the daemon does not hear of it. What it writes beside goes well: three failures would
/// give the change up before it is committed.
#[tokio::test]
async fn memory_and_the_database_do_not_stay_apart_after_a_change_whose_fate_was_not_known() {
    let mut house = House::new().await;
    house.config.node.lease = Duration::from_secs(3);
    let app = house.app().await;
    let who = Principal::daemon();
    let one = channel(&app, &who, "One").await;
    let lose = |change| house.proxies.postgres.set(Manner::LoseCommits(change));

    lose("channel.update");
    let patch = json!({ "name": "Another" });
    let refused = app.channels.update(&who, one, &patch, None).await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    house.postgres(&app, Manner::Pass).await;
    until("memory has what the database has", async || {
        let channel = app.channels.get(&who, one).await.unwrap();
        channel.config.name == "Another" && channel.version == 2
    })
    .await;
    let patch = json!({ "name": "A third" });
    app.channels
        .update(&who, one, &patch, Some(2))
        .await
        .unwrap();

    lose("channel.delete");
    let refused = app.channels.delete(&who, one, None).await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    house.postgres(&app, Manner::Pass).await;
    until("it is deleted", async || {
        house.truth.channel(one).await == Ok(None)
    })
    .await;
    until("it is gone", async || {
        matches!(app.channels.get(&who, one).await, Err(OpError::NotFound(_)))
    })
    .await;

    lose("channel.create");
    let config = json!({ "name": "Made", "resolution": "240p" });
    let refused = app.channels.create(&who, &config).await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    house.postgres(&app, Manner::Pass).await;
    until("it is there", async || {
        let all = app.channels.list(&who, None, 10).await.unwrap();
        all.iter().any(|channel| channel.config.name == "Made")
    })
    .await;
    app.shutdown().await;
}

/// With Redis away an order that PostgreSQL takes too long for is refused. It is committed later all the same.
#[tokio::test]
async fn an_order_that_was_refused_and_came_to_pass_is_carried_out() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let one = channel(&app, &who, "One").await;
    house.proxies.redis.set(Manner::Refuse);
    known(&app.store, Server::Redis, false).await;
    let mut session = house.store.session().await;
    let holder = session.transaction().await.unwrap();
    let lock = "SELECT FROM clients FOR UPDATE";
    holder.execute(lock, &[]).await.unwrap();
    let refused = app.channels.operate(&who, one, Operation::Start).await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    holder.rollback().await.unwrap();
    until("memory and the database say the same", async || {
        let stored = house.truth.channel(one).await.unwrap().unwrap().channel;
        let started = house.audited(&who, one).await.len() == 2;
        let desired = app.channels.get(&who, one).await.unwrap().life.desired;
        started && stored.life.desired == Desired::Live && desired == Desired::Live
    })
    .await;
    app.shutdown().await;
}

#[tokio::test]
async fn the_stores_come_and_go_and_a_channel_stays_on_air() {
    let house = House::new().await;
    let app = house.app().await;
    let who = Principal::daemon();
    let one = channel(&app, &who, "One").await;
    app.channels
        .operate(&who, one, Operation::Start)
        .await
        .unwrap();
    until("the channel is LIVE", async || {
        status(&app, one).await == ChannelStatus::Live
    })
    .await;
    let generation = app.channels.get(&who, one).await.unwrap().life.generation;
    for (postgres, redis) in [
        (Manner::Hang, Manner::Pass),
        (Manner::Refuse, Manner::Hang),
        (Manner::Pass, Manner::Refuse),
        (Manner::Pass, Manner::Pass),
    ] {
        house.proxies.redis.set(redis);
        house.postgres(&app, postgres).await;
        known(&app.store, Server::Redis, redis == Manner::Pass).await;
        assert_eq!(status(&app, one).await, ChannelStatus::Live);
    }
    assert!(app.store.condition(Server::Postgres).borrow().works());
    assert_eq!(
        *app.store.condition(Server::Redis).borrow(),
        Condition::Works
    );
    let now = app.channels.get(&who, one).await.unwrap().life.generation;
    assert_eq!(now, generation, "it was restarted");
    app.shutdown().await;
}
