//! Webhooks with sealed secrets, and the queue of what they tell.

use std::collections::HashMap;

use jiff::Timestamp;
use playout_domain::alert::delivery::{DeliveryState, Outcome};
use playout_domain::backoff::Chance;
use playout_domain::event::kind;
use playout_domain::limits::PlanLimits;
use playout_domain::webhook::delivery::Answer;
use playout_domain::webhook::{Standing, Webhook, WebhookConfig, WebhookDelivery};
use playout_domain::{ClientId, WebhookId};
use playout_store::{
    ClaimedWebhook, ExportedHeads, KeyRotation, OldKey, Principal, QueuedEvent, Store, StoreError,
    WebhookDeliveryFilter, testing, verify,
};
use serde_json::json;

use crate::given;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config() -> WebhookConfig {
    let chosen = json!({ "url": "https://hooks.example.com/T0/s3cret-path", "events": ["*"] });
    WebhookConfig::parse(&chosen, false).unwrap()
}

async fn made(store: &Store, who: &Principal) -> Webhook {
    store.create_webhook(who, &config(), SECRET).await.unwrap()
}

fn event(client: ClientId, n: u32) -> QueuedEvent {
    QueuedEvent {
        id: format!("0-{n}"),
        at: Timestamp::now(),
        kind: kind::CHANNEL_STATUS,
        client: Some(client),
        channel: None,
        labels: None,
        body: format!("{{\"n\":{n}}}"),
        frequent_only: false,
    }
}

async fn claim(store: &Store) -> Vec<ClaimedWebhook> {
    store.claim_webhooks(HashMap::new(), 10).await.unwrap()
}

async fn log(store: &Store, id: WebhookId) -> Vec<WebhookDelivery> {
    let who = Principal::daemon();
    let all = store.webhook_deliveries(&who, id, WebhookDeliveryFilter::default(), None, 99);
    all.await.unwrap()
}

#[tokio::test]
async fn a_webhook_is_kept_with_its_secret_sealed_and_changes_are_audited_without_it() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let theirs = store.client("theirs", &PlanLimits::UNLIMITED).await;
    let hook = made(&store, &who).await;
    assert_eq!(store.webhook(&who, hook.id).await, Ok(hook.clone()));
    let tested = store.webhook_to_test(&who, hook.id).await.unwrap();
    assert_eq!(*tested.secrets[0], SECRET);

    let mut changed = hook.config.clone();
    changed.enabled = false;
    let stale = store.update_webhook(&who, hook.id, &changed, Some(9)).await;
    assert_eq!(stale, Err(StoreError::VersionMismatch { current: 1 }));
    let updated = store
        .update_webhook(&who, hook.id, &changed, Some(1))
        .await
        .unwrap();
    assert_eq!((updated.version, updated.config.enabled), (2, false));
    let until = Timestamp::from_second(4_000_000_000).unwrap();
    let rotated = store
        .rotate_webhook(&who, hook.id, OTHER, until, None)
        .await
        .unwrap();
    assert_eq!(rotated.old_secret_until, Some(until));
    let both = store.webhook_to_test(&who, hook.id).await.unwrap().secrets;
    assert_eq!(
        both.iter().map(|secret| &***secret).collect::<Vec<_>>(),
        [OTHER, SECRET]
    );

    let none = StoreError::NotFound;
    assert_eq!(store.webhook(&theirs, hook.id).await, Err(none.clone()));
    assert_eq!(
        store.update_webhook(&theirs, hook.id, &changed, None).await,
        Err(none.clone())
    );
    assert_eq!(
        store.delete_webhook(&theirs, hook.id, None).await,
        Err(none.clone())
    );
    assert_eq!(store.webhooks(&theirs, None, 9).await, Ok(Vec::new()));
    let all = store.webhooks(&Principal::daemon(), None, 9).await.unwrap();
    assert_eq!(all, std::slice::from_ref(&rotated));

    let session = store.session().await;
    let dump = "SELECT string_agg(w::text, '') FROM webhooks w";
    let row: String = session.query_one(dump, &[]).await.unwrap().get(0);
    assert!(
        !row.contains(&SECRET[6..]) && !row.contains(&OTHER[6..]),
        "{row}"
    );
    store.delete_webhook(&who, hook.id, Some(3)).await.unwrap();
    assert_eq!(store.delete_webhook(&who, hook.id, None).await, Err(none));
    let audit = store.audit(who.client, 0, 9).await.unwrap();
    let operations: Vec<&str> = audit.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["create", "update", "rotate", "delete"].map(|what| format!("webhook.{what}"))
    );
    for entry in &audit {
        let detail = entry.detail.to_string();
        for secret in [&SECRET[6..], &OTHER[6..], "s3cret-path"] {
            assert!(!detail.contains(secret), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_claimed_webhook_is_nobody_elses_until_it_is_let_go() {
    let store = testing::fresh().await;
    let mut other = store.config().clone();
    other.node = playout_store::NodeConfig::new("other");
    let other = Store::connect(&other).await.unwrap();
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let hook = made(&store, &who).await;
    assert_eq!(claim(&store).await.len(), 0, "nothing is due");
    let events = vec![event(who.client, 1), event(who.client, 2)];
    assert_eq!(store.queue_webhook_events(events.clone()).await, Ok(2));
    // What is not known to be written is written again, and is one.
    assert_eq!(store.queue_webhook_events(events).await, Ok(0));
    let claimed = claim(&store).await.remove(0).webhook;
    assert!(claim(&store).await.is_empty() && claim(&other).await.is_empty());

    // In order, and each attempt is written by whoever holds it.
    let mut first = store.due_webhook_delivery(hook.id).await.unwrap().unwrap();
    assert_eq!(first.body, "{\"n\":1}");
    let now = Timestamp::now();
    first.attempted(
        &Outcome::Delivered,
        Answer::default(),
        &[],
        now,
        Chance::EVEN,
    );
    let held = store
        .record_webhook_attempt(&claimed, &first, Standing::default())
        .await;
    assert_eq!(held, Ok(true));
    let mut second = store.due_webhook_delivery(hook.id).await.unwrap().unwrap();
    assert_eq!(second.body, "{\"n\":2}");
    let failed = Outcome::Failed("it answered 500".to_owned());
    let hour = [std::time::Duration::from_secs(3_600)];
    second.attempted(&failed, Answer::default(), &hour, now, Chance::EVEN);
    let mut standing = Standing::default();
    standing.failed(Some(second.next_at), now);
    let foreign = other
        .record_webhook_attempt(&claimed, &second, standing)
        .await;
    assert_eq!(foreign, Ok(false), "it is not theirs");
    let held = store
        .record_webhook_attempt(&claimed, &second, standing)
        .await;
    assert_eq!(held, Ok(true));
    store.release_webhook(hook.id).await.unwrap();
    assert!(claim(&other).await.is_empty(), "nothing is due for an hour");
    let due = store.next_webhook_due().await.unwrap().unwrap();
    assert!(due > Timestamp::now() + std::time::Duration::from_secs(3_000));
    store
        .replay_webhook_delivery(&who, hook.id, second.id)
        .await
        .unwrap();
    let taken = claim(&other).await.remove(0).webhook;

    // Whoever changes it meanwhile is heard: nobody goes on by what was.
    let mut off = hook.config.clone();
    off.enabled = false;
    store
        .update_webhook(&who, hook.id, &off, None)
        .await
        .unwrap();
    let mut again = second.clone();
    again.attempted(
        &Outcome::Delivered,
        Answer::default(),
        &[],
        now,
        Chance::EVEN,
    );
    let held = other
        .record_webhook_attempt(&taken, &again, Standing::default())
        .await;
    assert_eq!(held, Ok(false));
    // What was taken is taken, though it was given up.
    let states: Vec<_> = log(&store, hook.id)
        .await
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Delivered]);
    assert_eq!(
        store.queue_webhook_events(vec![event(who.client, 3)]).await,
        Ok(0)
    );
}

#[tokio::test]
async fn a_daemon_that_comes_back_lets_go_of_what_it_had_and_no_client_has_more_than_its_share() {
    let store = testing::fresh().await;
    let one = store.client("one", &PlanLimits::UNLIMITED).await;
    let two = store.client("two", &PlanLimits::UNLIMITED).await;
    for _ in 0..6 {
        made(&store, &one).await;
    }
    let of_two = made(&store, &two).await;
    let events = vec![event(one.client, 1), event(two.client, 2)];
    assert_eq!(store.queue_webhook_events(events).await, Ok(7));
    let busy = HashMap::from([(one.client, 3)]);
    let claimed = store.claim_webhooks(busy, 10).await.unwrap();
    assert_eq!(claimed.len(), 2, "one more of the first, and the other's");
    assert!(
        claimed
            .iter()
            .any(|claimed| claimed.webhook.id == of_two.id)
    );
    assert_eq!(claim(&store).await.len(), 4);
    assert_eq!(claim(&store).await.len(), 1, "the first has six");
    assert!(claim(&store).await.is_empty());
    store.release_webhooks().await.unwrap();
    // Whoever has had no turn for longest is first; all were let go together.
    assert_eq!(
        store.claim_webhooks(HashMap::new(), 3).await.unwrap().len(),
        3
    );
}

#[tokio::test]
async fn what_waits_beyond_measure_is_dead_the_oldest_first() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let hook = made(&store, &who).await;
    let session = store.session().await;
    let fill = "INSERT INTO webhook_deliveries (id, webhook_id, client_id, event_id, event, body, state, attempts,
                    next_at, created_at)
                SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, $2, 'x-' || n, 'channel.status',
                    '{}', 'pending', 0, now(), now() FROM generate_series(1, 9999) AS n";
    session
        .execute(fill, &[&hook.id.uuid(), &who.client.uuid()])
        .await
        .unwrap();
    let events = (1..=3).map(|n| event(who.client, n)).collect();
    assert_eq!(store.queue_webhook_events(events).await, Ok(3));
    let counted = "SELECT count(*), min(event_id) FROM webhook_deliveries WHERE state = 'dead'";
    let row = session.query_one(counted, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (2, "x-1"));
}

#[tokio::test]
async fn a_selector_asks_for_the_labels_that_a_channel_has() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let channel = given::stored(&store, &who, "One").await;
    let chosen = |selector: &str| {
        let chosen =
            json!({ "url": "https://x.example.com/", "events": ["*"], "selector": selector });
        WebhookConfig::parse(&chosen, false).unwrap()
    };
    store
        .create_webhook(&who, &chosen("!tier"), SECRET)
        .await
        .unwrap();
    store
        .create_webhook(&who, &chosen("tier"), SECRET)
        .await
        .unwrap();
    let happened = QueuedEvent {
        channel: Some(channel.id),
        ..event(who.client, 1)
    };
    assert_eq!(store.queue_webhook_events(vec![happened]).await, Ok(1));
    let unknown = QueuedEvent {
        channel: Some(playout_domain::ChannelId::from(who.client.uuid())),
        ..event(who.client, 2)
    };
    assert_eq!(store.queue_webhook_events(vec![unknown]).await, Ok(0));
}

#[tokio::test]
async fn what_happened_before_a_webhook_was_made_is_not_told_to_it() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let (early, before) = (made(&store, &who).await, event(who.client, 1));
    let late = made(&store, &who).await;
    let after = event(who.client, 2);
    let queued = store.queue_webhook_events(vec![before, after]).await;
    assert_eq!(queued, Ok(3));
    let told = async |hook: Webhook| log(&store, hook.id).await.len();
    assert_eq!((told(early).await, told(late).await), (2, 1));
}

#[tokio::test]
async fn both_secrets_survive_another_master_key_and_verify_reads_them() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let hook = made(&store, &who).await;
    let until = Timestamp::from_second(4_000_000_000).unwrap();
    store
        .rotate_webhook(&who, hook.id, OTHER, until, None)
        .await
        .unwrap();
    let config = store.config().clone();
    let (url, source) = (&config.database_url, config.master_key.clone());
    let rotate = async |old| {
        let mut rotation = KeyRotation::begin(url, source.clone(), old).await.unwrap();
        while rotation.step().await.unwrap().is_some() {}
    };
    rotate(OldKey::AtHand).await;
    let both = store.webhook_to_test(&who, hook.id).await.unwrap().secrets;
    assert_eq!(
        both.iter().map(|secret| &***secret).collect::<Vec<_>>(),
        [OTHER, SECRET]
    );
    let nothing = ExportedHeads::default();
    let report = verify(url, &source, &nothing).await.unwrap();
    assert_eq!((report.secrets, report.faults.len()), (2, 0));

    let session = store.session().await;
    let damage =
        "UPDATE webhooks SET old_secret = set_byte(old_secret, 40, 255 - get_byte(old_secret, 40))";
    session.batch_execute(damage).await.unwrap();
    let report = verify(url, &source, &nothing).await.unwrap();
    assert!(
        report.faults[0].to_string().contains("webhook"),
        "{:?}",
        report.faults
    );
    let left = store.webhook_to_test(&who, hook.id).await.unwrap().secrets;
    assert_eq!(left.len(), 1, "the other still signs");

    // Without the key there is nothing to sign with, and so no webhook.
    std::fs::remove_file(source.path()).unwrap();
    rotate(OldKey::Lost).await;
    assert_eq!(
        store.webhook(&who, hook.id).await,
        Err(StoreError::NotFound)
    );
}
