//! What is told to whom, and how it looks.

use playout_domain::event::{self, FREQUENT, kind};
use playout_store::{Scopes, operator};
use uuid::Uuid;

use super::*;
use crate::error::OpError;

#[tokio::test]
async fn every_kind_of_event_reaches_who_wants_everything_signed_and_in_order() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(ok()).await;
    let mut events = vec!["*"];
    events.extend(FREQUENT);
    let made = daemon
        .hook(&who, &receiver, json!({ "events": events }))
        .await;
    let mut usual = Receiver::start(ok()).await;
    let all = daemon.hook(&who, &usual, json!({})).await;
    let mut stream = daemon.hub.subscribe(crate::hub::Filter::default(), None);

    let kinds: Vec<&str> = event::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != kind::RESET)
        .collect();
    let channel = ChannelId::from(Uuid::from_u128(7));
    for (n, kind) in kinds.iter().enumerate() {
        daemon.happens_on(kind, who.client, channel, json!({ "n": n }));
    }
    for (place, kind) in kinds.iter().enumerate() {
        let received = receiver.next().await;
        let published = stream.next().await.unwrap();
        assert!(received.is_signed_with(&made.secret), "{kind}");
        let body = received.json();
        assert_eq!((&body["type"], n(&received)), (&json!(kind), json!(place)));
        assert_eq!(body["eventId"], published.id.to_string());
        assert_eq!(body["timestamp"], published.at.to_string());
        assert_eq!(body["clientId"], who.client.to_string());
        // The same as on the event stream.
        assert_eq!(
            body["data"].to_string(),
            serde_json::from_str::<Value>(&published.told())
                .unwrap()
                .to_string()
        );
        assert_eq!(body["data"]["channelId"], channel.to_string());
        if !FREQUENT.contains(kind) {
            let received = usual.next().await;
            assert_eq!(received.json()["type"], json!(kind));
        }
    }
    // In the log, each with what was sent.
    let log = daemon
        .logged(made.webhook.id, DeliveryState::Delivered, kinds.len())
        .await;
    let told: Vec<&str> = log.iter().map(|delivery| &*delivery.event).collect();
    assert_eq!(told, kinds);
    assert!(
        log.iter()
            .all(|one| one.attempts == 1 && one.answer.status == Some(204))
    );
    daemon
        .logged(
            all.webhook.id,
            DeliveryState::Delivered,
            kinds.len() - FREQUENT.len(),
        )
        .await;
    assert!(usual.is_idle());
    daemon.running.stop().await;
}

#[tokio::test]
async fn nobody_hears_of_another_client_and_the_operator_of_all() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let (ours, theirs) = (client(&store, "ours").await, client(&store, "theirs").await);
    let mut at_ours = Receiver::start(ok()).await;
    let mut at_theirs = Receiver::start(ok()).await;
    let mut at_operators = Receiver::start(ok()).await;
    let our_hook = daemon.hook(&ours, &at_ours, json!({})).await.webhook;
    daemon.hook(&theirs, &at_theirs, json!({})).await;
    let all = daemon
        .hook(&Principal::daemon(), &at_operators, json!({}))
        .await
        .webhook;
    assert!(all.all_clients && !our_hook.all_clients);
    daemon.happens(
        kind::CHANNEL_CREATED,
        Some(theirs.client),
        json!({ "n": 1 }),
    );
    daemon.happens(kind::STORE_DEGRADED, None, json!({ "n": 2 }));
    daemon.happens(kind::CHANNEL_CREATED, Some(ours.client), json!({ "n": 3 }));
    for expected in 1..=3 {
        assert_eq!(n(&at_operators.next().await), expected);
    }
    assert_eq!(n(&at_ours.next().await), 3);
    assert_eq!(n(&at_theirs.next().await), 1);
    daemon
        .logged(our_hook.id, DeliveryState::Delivered, 1)
        .await;
    assert!(at_ours.is_idle() && at_theirs.is_idle());

    // A token of the operator's client that is not the operator's neither sees nor turns what hears of all.
    let helper = Principal {
        client: operator(),
        scopes: Scopes::CLIENT,
        ..Principal::daemon()
    };
    let none = OpError::NotFound("webhook");
    for who in [&helper, &theirs, &ours] {
        assert_eq!(daemon.webhooks.get(who, all.id).await.unwrap_err(), none);
        let turned = json!({ "url": "https://elsewhere.example.com/" });
        let refused = daemon.webhooks.update(who, all.id, &turned, None).await;
        assert_eq!(refused.unwrap_err(), none);
        assert_eq!(
            daemon.webhooks.rotate(who, all.id, None).await.unwrap_err(),
            none
        );
        let listed = daemon.webhooks.list(who, None, 10).await.unwrap();
        assert!(
            listed
                .iter()
                .all(|hook| hook.client == who.client && !hook.all_clients)
        );
    }
    assert!(
        !daemon
            .hook(&helper, &at_theirs, json!({}))
            .await
            .webhook
            .all_clients
    );
    daemon.running.stop().await;
}

#[tokio::test]
async fn a_webhook_hears_of_one_channel_or_of_those_that_a_selector_means() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let [mut one, mut gold] = [Receiver::start(ok()).await, Receiver::start(ok()).await];
    let channel = |n| ChannelId::from(Uuid::from_u128(n));
    daemon
        .hook(&who, &one, json!({ "channelId": channel(1) }))
        .await;
    daemon
        .hook(&who, &gold, json!({ "selector": "tier=gold" }))
        .await;
    let happens = |kind, on: Option<u128>, data: Value| {
        daemon.hub.publish(Event {
            kind,
            client: Some(who.client),
            channel: on.map(channel),
            data,
        });
    };
    let labels = json!({ "tier": "gold" });
    happens(kind::MEDIA_READY, None, json!({ "n": 1 }));
    happens(kind::CHANNEL_STATUS, Some(1), json!({ "n": 2 }));
    happens(
        kind::CHANNEL_CREATED,
        Some(2),
        json!({ "n": 3, "config": { "labels": labels } }),
    );
    happens(
        kind::CHANNEL_CREATED,
        Some(3),
        json!({ "n": 4, "config": { "labels": {} } }),
    );
    // Nobody can look any more at what it was.
    happens(
        kind::CHANNEL_DELETED,
        Some(2),
        json!({ "n": 5, "labels": labels }),
    );
    happens(kind::CHANNEL_STATUS, Some(1), json!({ "n": 6 }));
    for expected in [2, 6] {
        assert_eq!(n(&one.next().await), expected);
    }
    for expected in [3, 5] {
        assert_eq!(n(&gold.next().await), expected);
    }
    daemon.running.stop().await;
    assert!(one.is_idle() && gold.is_idle());
}
