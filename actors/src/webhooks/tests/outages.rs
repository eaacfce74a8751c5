//! Daemons that end, several on one database, and a database that is away.

use jiff::Timestamp;
use playout_domain::event::kind;
use playout_store::{Server, Store};

use super::*;
use crate::hub::Filter;

#[tokio::test]
async fn what_was_written_is_delivered_by_whoever_comes_next() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(Behaviour::Hangs).await;
    let hook = daemon.hook(&who, &receiver, json!({})).await.webhook;
    for number in 1..=3 {
        daemon.happens(
            kind::CHANNEL_STATUS,
            Some(who.client),
            json!({ "n": number }),
        );
    }
    let under_way = receiver.next().await;
    daemon.logged(hook.id, DeliveryState::Pending, 3).await;
    // It ends in the middle of an attempt.
    daemon.running.stop().await;
    receiver.behave(ok());
    let next = Daemon::on(&store, fast()).await;
    for expected in 1..=3 {
        let received = receiver.next().await;
        assert_eq!(n(&received), expected);
        if expected == 1 {
            assert_eq!(
                received.headers["webhook-id"],
                under_way.headers["webhook-id"]
            );
        }
    }
    next.logged(hook.id, DeliveryState::Delivered, 3).await;
    next.running.stop().await;
}

#[tokio::test]
async fn of_several_daemons_on_a_database_one_delivers_and_each_event_once() {
    let store = testing::fresh().await;
    let mut config = store.config().clone();
    config.node.name = "other".to_owned();
    config.node.id = playout_domain::NodeId::from(uuid::Uuid::now_v7());
    let other = Store::connect(&config).await.unwrap();
    let daemons = [
        Daemon::on(&store, fast()).await,
        Daemon::on(&other, fast()).await,
    ];
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(ok()).await;
    let hook = daemons[0].hook(&who, &receiver, json!({})).await.webhook;
    for number in 0..40 {
        let client = Some(who.client);
        daemons[number % 2].happens(kind::CHANNEL_STATUS, client, json!({ "n": number }));
    }
    let mut told = Vec::new();
    for _ in 0..40 {
        told.push(n(&receiver.next().await).as_u64().unwrap());
    }
    told.sort_unstable();
    assert_eq!(told, (0..40).collect::<Vec<_>>());
    daemons[1]
        .logged(hook.id, DeliveryState::Delivered, 40)
        .await;
    assert!(receiver.is_idle(), "something was told twice");
    for daemon in daemons {
        daemon.running.stop().await;
    }
}

#[tokio::test]
async fn events_wait_in_memory_while_the_database_is_away_and_what_does_not_fit_is_told() {
    let (store, proxies) = testing::behind_proxies().await;
    let daemon = Daemon::on(&store, WebhooksConfig { kept: 10, ..fast() }).await;
    let who = client(&store, "tv").await;
    let [mut receiver, mut beats] = [Receiver::start(ok()).await, Receiver::start(ok()).await];
    let hook = daemon
        .hook(&who, &receiver, json!({ "events": ["channel.status"] }))
        .await
        .webhook;
    let named = json!({ "events": ["channel.heartbeat"] });
    daemon.hook(&who, &beats, named).await;
    let filter = Filter {
        kinds: Some(&[kind::ALERT_OPENED, kind::ALERT_CLOSED]),
        ..Filter::default()
    };
    let mut alerts = daemon.hub.subscribe(filter, None);
    let status = |n: u64| daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": n }));
    let beat = || daemon.happens(kind::CHANNEL_HEARTBEAT, Some(who.client), json!({}));

    // Everything fits.
    proxies.postgres.set(testing::Manner::Refuse);
    testing::known(&store, Server::Postgres, false).await;
    (1..=3).for_each(status);
    proxies.postgres.set(testing::Manner::Pass);
    for expected in 1..=3 {
        assert_eq!(n(&receiver.next().await), expected);
    }

    // What is frequent gives way first, and nobody else is told of that.
    testing::known(&store, Server::Postgres, true).await;
    proxies.postgres.set(testing::Manner::Refuse);
    testing::known(&store, Server::Postgres, false).await;
    (0..5).for_each(|_| beat());
    (4..=11).for_each(status);
    let of_losses = |event: &crate::hub::Published| event.data["kind"] == "webhooks.events_lost";
    let mut opened = alerts.next().await.unwrap();
    while !of_losses(&opened) {
        opened = alerts.next().await.unwrap();
    }
    proxies.postgres.set(testing::Manner::Pass);
    for expected in 4..=11 {
        assert_eq!(n(&receiver.next().await), expected);
    }
    assert_eq!(beats.next().await.json()["type"], "reset");
    let mut closed = alerts.next().await.unwrap();
    while !of_losses(&closed) || closed.kind != kind::ALERT_CLOSED {
        closed = alerts.next().await.unwrap();
    }
    assert_eq!(closed.data["id"], opened.data["id"]);

    // Then the oldest, which everybody is told.
    testing::known(&store, Server::Postgres, true).await;
    proxies.postgres.set(testing::Manner::Refuse);
    testing::known(&store, Server::Postgres, false).await;
    (12..=32).for_each(status);
    proxies.postgres.set(testing::Manner::Pass);
    let reset = receiver.next().await.json();
    assert_eq!(
        (&reset["type"], &reset["clientId"]),
        (&json!("reset"), &Value::Null)
    );
    assert!(reset["data"]["since"].is_string(), "{reset}");
    let mut last = n(&receiver.next().await).as_u64().unwrap();
    assert!(last > 22, "{last}");
    while last < 32 {
        last += 1;
        assert_eq!(n(&receiver.next().await), last);
    }
    daemon.logged(hook.id, DeliveryState::Pending, 0).await;
    daemon.running.stop().await;
}

#[tokio::test]
async fn what_is_old_leaves_the_log_and_what_waits_does_not() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let [mut takes, fails] = [
        Receiver::start(ok()).await,
        Receiver::start(Behaviour::Hangs).await,
    ];
    let done = daemon.hook(&who, &takes, json!({})).await.webhook;
    let waits = daemon.hook(&who, &fails, json!({})).await.webhook;
    daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 1 }));
    takes.next().await;
    daemon.logged(done.id, DeliveryState::Delivered, 1).await;
    let finished = daemon.log(done.id, DeliveryState::Delivered).await[0]
        .finished_at
        .unwrap();
    assert_eq!(store.prune_webhooks(finished).await, Ok(0));
    assert_eq!(
        store
            .prune_webhooks(Timestamp::now() + Duration::from_secs(9))
            .await,
        Ok(1)
    );
    assert!(
        daemon
            .log(done.id, DeliveryState::Delivered)
            .await
            .is_empty()
    );
    assert_eq!(daemon.log(waits.id, DeliveryState::Pending).await.len(), 1);
    daemon.running.stop().await;
}
