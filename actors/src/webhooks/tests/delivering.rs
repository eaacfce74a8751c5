//! Receivers that fail, hang and want nothing more; secrets that change; and what is sent again.

use jiff::Timestamp;
use playout_domain::event::kind;
use playout_store::{ReplaySpan, operator};

use super::*;
use crate::error::OpError;
use crate::hub::Filter;

fn everything() -> ReplaySpan {
    ReplaySpan {
        from: Timestamp::UNIX_EPOCH,
        to: Timestamp::now() + Duration::from_secs(60),
        types: Vec::new(),
        state: None,
    }
}

#[tokio::test]
async fn what_fails_is_sent_again_to_the_letter_until_it_is_taken() {
    let store = testing::fresh().await;
    let delays = vec![Duration::from_millis(20); 50];
    let daemon = Daemon::on(&store, WebhooksConfig { delays, ..fast() }).await;
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(broken()).await;
    let made = daemon.hook(&who, &receiver, json!({})).await;
    daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 1 }));
    let first = receiver.next().await;
    let (second, third) = (receiver.next().await, receiver.next().await);
    receiver.behave(ok());
    for other in [&second, &third] {
        assert_eq!(first.headers["webhook-id"], other.headers["webhook-id"]);
        assert_eq!(first.body, other.body);
        assert!(other.is_signed_with(&made.secret));
    }
    let done = daemon
        .logged(made.webhook.id, DeliveryState::Delivered, 1)
        .await
        .remove(0);
    assert_eq!(done.id.to_string(), first.headers["webhook-id"]);
    assert!(
        done.attempts >= 4 && done.answer.error.is_none(),
        "{done:?}"
    );
    let hook = daemon.webhooks.get(&who, made.webhook.id).await.unwrap();
    assert_eq!(hook.standing, Default::default());
    daemon.running.stop().await;
}

#[tokio::test]
async fn what_is_never_taken_is_dead_and_sent_again_when_somebody_asks_for_it() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(broken()).await;
    let hook = daemon.hook(&who, &receiver, json!({})).await.webhook;
    daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 1 }));
    let dead = daemon
        .logged(hook.id, DeliveryState::Dead, 1)
        .await
        .remove(0);
    assert_eq!((dead.attempts, dead.answer.status), (4, Some(500)));
    assert_eq!(dead.answer.excerpt.as_deref(), Some("ok"));
    assert!(dead.answer.error.unwrap().contains("500"));
    for _ in 0..4 {
        assert_eq!(n(&receiver.next().await), 1);
    }
    assert!(receiver.is_idle());
    let failing = daemon.webhooks.get(&who, hook.id).await.unwrap().standing;
    assert!(failing.left_alone_until.is_some() && failing.failing_since.is_some());

    receiver.behave(ok());
    daemon
        .webhooks
        .replay(&who, hook.id, dead.id)
        .await
        .unwrap();
    assert_eq!(
        receiver.next().await.headers["webhook-id"],
        dead.id.to_string()
    );
    daemon.logged(hook.id, DeliveryState::Delivered, 1).await;

    // A span of time, of some kinds, and what has come so far.
    daemon.happens(kind::MEDIA_READY, Some(who.client), json!({ "n": 2 }));
    assert_eq!(n(&receiver.next().await), 2);
    daemon.logged(hook.id, DeliveryState::Delivered, 2).await;
    let span = |types: &[&'static str], state| ReplaySpan {
        types: types.to_vec(),
        state,
        ..everything()
    };
    let none = span(&[], Some(DeliveryState::Dead));
    assert_eq!(
        daemon.webhooks.replay_span(&who, hook.id, none).await,
        Ok(0)
    );
    let some = span(&[kind::MEDIA_READY], None);
    assert_eq!(
        daemon.webhooks.replay_span(&who, hook.id, some).await,
        Ok(1)
    );
    assert_eq!(n(&receiver.next().await), 2);
    let before = ReplaySpan {
        to: dead.created_at,
        ..everything()
    };
    assert_eq!(
        daemon.webhooks.replay_span(&who, hook.id, before).await,
        Ok(0)
    );
    daemon.logged(hook.id, DeliveryState::Delivered, 2).await;
    assert_eq!(
        daemon
            .webhooks
            .replay_span(&who, hook.id, everything())
            .await,
        Ok(2)
    );
    for expected in [1, 2] {
        assert_eq!(n(&receiver.next().await), expected);
    }
    let audit = store.audit(who.client, 0, 99).await.unwrap();
    let replays = audit
        .iter()
        .filter(|entry| entry.operation.ends_with(".replay"));
    assert_eq!(replays.count(), 5);
    daemon.running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let (slow, quick) = (client(&store, "slow").await, client(&store, "quick").await);
    let mut hangs = Receiver::start(Behaviour::Hangs).await;
    let mut takes = Receiver::start(ok()).await;
    // More than one client may have under way.
    for _ in 0..6 {
        daemon.hook(&slow, &hangs, json!({})).await;
    }
    let hook = daemon.hook(&quick, &takes, json!({})).await.webhook;
    daemon.happens(kind::CHANNEL_STATUS, Some(slow.client), json!({ "n": 0 }));
    for _ in 0..4 {
        hangs.next().await;
    }
    for number in 1..=20 {
        daemon.happens(
            kind::CHANNEL_STATUS,
            Some(quick.client),
            json!({ "n": number }),
        );
    }
    for expected in 1..=20 {
        assert_eq!(n(&takes.next().await), expected);
    }
    daemon.logged(hook.id, DeliveryState::Delivered, 20).await;
    assert!(
        hangs.is_idle(),
        "more than four of one client are under way"
    );
    daemon.running.stop().await;
}

#[tokio::test]
async fn for_a_day_both_secrets_sign_and_then_the_new_one_alone() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let mut receiver = Receiver::start(ok()).await;
    let made = daemon.hook(&who, &receiver, json!({})).await;
    let id = made.webhook.id;
    let first = daemon
        .webhooks
        .rotate(&who, id, Some(made.webhook.version))
        .await
        .unwrap();
    let stale = daemon
        .webhooks
        .rotate(&who, id, Some(made.webhook.version))
        .await;
    assert!(matches!(stale, Err(OpError::VersionMismatch { .. })));
    let hours = first
        .webhook
        .old_secret_until
        .unwrap()
        .duration_since(Timestamp::now());
    assert_eq!(hours.as_secs() / 3_600, 23);
    daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 1 }));
    let sent = receiver.next().await;
    assert!(sent.is_signed_with(&made.secret) && sent.is_signed_with(&first.secret));

    // Once more: two at most.
    let second = daemon.webhooks.rotate(&who, id, None).await.unwrap();
    assert_eq!(
        daemon.webhooks.test(&who, id).await.unwrap().status,
        Some(204)
    );
    let sent = receiver.next().await;
    assert_eq!(sent.json()["type"], "webhook.test");
    assert!(sent.is_signed_with(&first.secret) && sent.is_signed_with(&second.secret));
    assert!(!sent.is_signed_with(&made.secret));

    let session = store.session().await;
    let over = "UPDATE webhooks SET old_secret_until = now() - interval '1 second'";
    session.execute(over, &[]).await.unwrap();
    daemon.webhooks.test(&who, id).await.unwrap();
    let sent = receiver.next().await;
    assert!(!sent.is_signed_with(&first.secret) && sent.is_signed_with(&second.secret));
    store.prune_webhooks(Timestamp::UNIX_EPOCH).await.unwrap();
    let dump = "SELECT string_agg(w::text, '') FROM webhooks w WHERE old_secret IS NULL";
    let row: String = session.query_one(dump, &[]).await.unwrap().get(0);
    assert!(!row.contains(&second.secret[6..]), "{row}");
    daemon.running.stop().await;
}

#[tokio::test]
async fn a_webhook_that_nobody_listens_to_is_switched_off_and_its_client_told() {
    let store = testing::fresh().await;
    let patience = Duration::ZERO;
    let daemon = Daemon::on(&store, WebhooksConfig { patience, ..fast() }).await;
    let who = client(&store, "tv").await;
    let filter = Filter {
        client: Some(who.client),
        kinds: Some(&[kind::ALERT_OPENED, kind::ALERT_CLOSED]),
        ..Filter::default()
    };
    let mut alerts = daemon.hub.subscribe(filter, None);
    // One says that it wants nothing more, one has failed for longer than anybody waits.
    for behaviour in [Behaviour::status("410 Gone"), broken()] {
        let receiver = Receiver::start(behaviour).await;
        let hook = daemon
            .hook(&who, &receiver, json!({ "description": "mine" }))
            .await
            .webhook;
        daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 1 }));
        let opened = alerts.next().await.unwrap();
        assert_eq!(
            (
                opened.kind,
                &opened.data["kind"],
                &opened.data["webhookId"],
                &opened.data["name"]
            ),
            (
                kind::ALERT_OPENED,
                &json!("webhooks.disabled"),
                &json!(hook.id),
                &json!("mine")
            )
        );
        assert_eq!(opened.data["audience"], "client");
        let off = daemon.webhooks.get(&who, hook.id).await.unwrap();
        assert!(!off.config.enabled && off.disabled_reason.is_some());
        let dead = daemon
            .logged(hook.id, DeliveryState::Dead, 1)
            .await
            .remove(0);
        let refused = daemon
            .webhooks
            .replay(&who, hook.id, dead.id)
            .await
            .unwrap_err();
        assert!(matches!(refused, OpError::Conflict { .. }), "{refused:?}");
        // What happens meanwhile is not kept for it.
        daemon.happens(kind::CHANNEL_STATUS, Some(who.client), json!({ "n": 2 }));
        receiver.behave(ok());
        let on = json!({ "enabled": true });
        let on = daemon
            .webhooks
            .update(&who, hook.id, &on, None)
            .await
            .unwrap();
        assert_eq!((on.config.enabled, on.disabled_reason), (true, None));
        let closed = alerts.next().await.unwrap();
        assert_eq!(
            (closed.kind, &closed.data["id"]),
            (kind::ALERT_CLOSED, &opened.data["id"])
        );
        daemon.webhooks.delete(&who, hook.id, None).await.unwrap();
    }
    let audit = store.audit(who.client, 0, 99).await.unwrap();
    let off = audit
        .iter()
        .find(|entry| entry.operation == "webhook.disable")
        .unwrap();
    assert_eq!(off.actor, "daemon");
    assert!(
        !store
            .audit(operator(), 0, 99)
            .await
            .unwrap()
            .iter()
            .any(|e| e.subject_kind == "webhook")
    );
    daemon.running.stop().await;
}

#[tokio::test]
async fn a_client_has_so_many_webhooks_and_no_more() {
    let store = testing::fresh().await;
    let daemon = Daemon::on(&store, fast()).await;
    let who = client(&store, "tv").await;
    let receiver = Receiver::start(ok()).await;
    for _ in 0..playout_domain::webhook::MAX_WEBHOOKS {
        daemon.hook(&who, &receiver, json!({})).await;
    }
    let refused = daemon
        .webhooks
        .create(&who, &leads_to(&receiver, json!({})))
        .await;
    assert!(
        matches!(refused, Err(OpError::Conflict { .. })),
        "{refused:?}"
    );
    daemon.running.stop().await;
}
