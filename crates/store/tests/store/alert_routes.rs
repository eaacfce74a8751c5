//! Routes with sealed secrets, and their deliveries.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::Notice;
use playout_domain::alert::delivery::{Delivery, DeliveryState, Outcome};
use playout_domain::alert::route::{AlertRoute, MAX_ROUTES, RouteConfig, RoutePolicy};
use playout_domain::backoff::Chance;
use playout_domain::limits::PlanLimits;
use playout_domain::{AlertKind, DeliveryId};
use playout_store::{
    DeliveryFilter, ExportedHeads, KeyRotation, OldKey, Principal, Store, StoreError, testing,
    verify,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::alerts::alert;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config(value: Value) -> RouteConfig {
    RouteConfig::parse(&value, RoutePolicy::default()).unwrap()
}

fn webhook() -> RouteConfig {
    config(json!({
        "type": "webhook", "url": "https://hooks.example.com/T0/s3cret-path",
        "minimumSeverity": "critical", "kinds": ["channel.error", "channel.dead_air"],
    }))
}

fn mailbox() -> RouteConfig {
    config(json!({ "type": "email", "address": "ops@example.org" }))
}

fn delivery(route: &AlertRoute) -> Delivery {
    let alert = alert(route.client, AlertKind::ChannelError);
    let at: Timestamp = "2026-11-24T08:00:00.5Z".parse().unwrap();
    Delivery::new(
        DeliveryId::from(Uuid::now_v7()),
        (route.id, route.client),
        &alert,
        Notice::Opened,
        at,
    )
}

fn dead(delivery: &Delivery) -> Delivery {
    let mut dead = delivery.clone();
    let outcome = Outcome::Failed("HTTP 500".to_owned());
    dead.attempted(&outcome, &[], delivery.created_at, Chance::EVEN);
    assert_eq!(dead.state, DeliveryState::Dead);
    dead
}

async fn all(store: &Store, who: &Principal) -> Vec<Delivery> {
    let every = DeliveryFilter::default();
    store.alert_deliveries(who, every, None, 100).await.unwrap()
}

#[tokio::test]
async fn a_route_is_kept_with_its_secret_sealed_and_changes_are_audited_without_it() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let hook = store
        .create_alert_route(&who, &webhook(), Some(SECRET))
        .await
        .unwrap();
    let mail = store.create_alert_route(&who, &mailbox(), None).await;
    let mail = mail.unwrap();
    let stored = store.all_alert_routes().await.unwrap();
    assert_eq!((&stored[0].route, &stored[1].route), (&hook, &mail));
    assert_eq!(stored[0].secret.as_ref().map(|s| s.as_str()), Some(SECRET));
    assert!(stored[1].secret.is_none());
    assert!(!format!("{:?}", stored[0]).contains("whsec_"));

    let mut changed = hook.config.clone();
    changed.enabled = false;
    let updated = store
        .update_alert_route(&who, hook.id, &changed, Some("it said 410"), None)
        .await
        .unwrap();
    assert_eq!(updated.disabled_reason.as_deref(), Some("it said 410"));
    let page = store.alert_routes(&who, None, 1).await.unwrap();
    assert_eq!(page, [updated]);
    let rest = store.alert_routes(&who, Some(hook.id), 9).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&mail));
    let again = store.all_alert_routes().await.unwrap();
    assert_eq!(again[0].secret.as_ref().map(|s| s.as_str()), Some(SECRET));
    store.delete_alert_route(&who, mail.id, None).await.unwrap();
    let gone = store.delete_alert_route(&who, mail.id, None).await;
    assert_eq!(gone, Err(StoreError::NotFound));

    let session = store.session().await;
    let dump = "SELECT string_agg(r::text, '') FROM alert_routes r";
    let row: String = session.query_one(dump, &[]).await.unwrap().get(0);
    assert!(!row.contains(&SECRET[6..]), "{row}");
    let audit = store.audit(who.client, 0, 9).await.unwrap();
    let operations: Vec<&str> = audit.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["create", "create", "update", "delete"].map(|what| format!("alert_route.{what}"))
    );
    for entry in &audit {
        let detail = entry.detail.to_string();
        for secret in [&SECRET[6..], "s3cret-path"] {
            assert!(!detail.contains(secret), "{detail}");
        }
    }
    assert_eq!(audit[2].detail["before"]["enabled"], true);
    assert_eq!(audit[2].detail["after"]["disabledReason"], "it said 410");
}

#[tokio::test]
async fn a_secret_that_was_moved_does_not_open_and_silences_one_route_only() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for _ in 0..2 {
        store
            .create_alert_route(&who, &webhook(), Some(SECRET))
            .await
            .unwrap();
    }
    let session = store.session().await;
    let swap =
        "UPDATE alert_routes SET secret = (SELECT secret FROM alert_routes ORDER BY id LIMIT 1)";
    session.batch_execute(swap).await.unwrap();
    let stored = store.all_alert_routes().await.unwrap();
    let opened: Vec<bool> = stored.iter().map(|route| route.secret.is_some()).collect();
    assert_eq!(opened, [true, false]);
}

#[tokio::test]
async fn a_lost_master_key_is_missed_by_one_route_alone() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    store
        .create_alert_route(&who, &webhook(), Some(SECRET))
        .await
        .unwrap();
    std::fs::remove_file(store.config().master_key.path()).unwrap();
    let refused = Store::connect(store.config()).await.unwrap_err();
    assert!(refused.to_string().contains("is missing"), "{refused}");
}

#[tokio::test]
async fn a_client_has_so_many_routes_and_sees_no_other_clients() {
    let store = testing::fresh().await;
    let (ours, theirs) = (
        store.client("ours", &PlanLimits::UNLIMITED).await,
        store.client("theirs", &PlanLimits::UNLIMITED).await,
    );
    let mut last = None;
    for _ in 0..MAX_ROUTES {
        let made = store.create_alert_route(&ours, &mailbox(), None).await;
        last = Some(made.unwrap());
    }
    let refused = store.create_alert_route(&ours, &mailbox(), None).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let last = last.unwrap();
    assert_eq!(store.alert_routes(&theirs, None, 9).await.unwrap(), []);
    let not_found = Err(StoreError::NotFound);
    let update = store
        .update_alert_route(&theirs, last.id, &mailbox(), None, None)
        .await;
    assert_eq!(update.map(drop), not_found);
    assert_eq!(
        store.delete_alert_route(&theirs, last.id, None).await,
        not_found
    );
    let delivery = dead(&delivery(&last));
    store
        .save_deliveries(std::slice::from_ref(&delivery))
        .await
        .unwrap();
    assert_eq!(all(&store, &theirs).await, []);
    let retry = store.put_back_delivery(&theirs, delivery.id).await;
    assert_eq!(retry.map(drop), not_found);
    assert_eq!(all(&store, &Principal::daemon()).await, [delivery]);
}

#[tokio::test]
async fn deliveries_are_kept_listed_and_put_back_and_go_with_their_route() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let route = store.create_alert_route(&who, &mailbox(), None).await;
    let route = route.unwrap();
    let mut pending = delivery(&route);
    let (given_up, mut done) = (dead(&delivery(&route)), delivery(&route));
    done.attempted(&Outcome::Delivered, &[], done.created_at, Chance::EVEN);
    let three = [pending.clone(), given_up.clone(), done.clone()];
    for _ in 0..2 {
        store.save_deliveries(&three).await.unwrap();
    }
    assert_eq!(
        all(&store, &who).await,
        [done.clone(), given_up.clone(), pending.clone()]
    );
    assert_eq!(
        store.pending_deliveries(None).await.unwrap(),
        [pending.clone()]
    );
    let dead = DeliveryFilter {
        state: Some(DeliveryState::Dead),
        ..DeliveryFilter::default()
    };
    let letters = store.alert_deliveries(&who, dead, None, 9).await.unwrap();
    assert_eq!(letters, std::slice::from_ref(&given_up));
    let of_alert = DeliveryFilter {
        alert: Some(done.alert),
        route: Some(route.id),
        ..DeliveryFilter::default()
    };
    let found = store.alert_deliveries(&who, of_alert, None, 9).await;
    assert_eq!(found.unwrap(), [done.clone()]);
    let older = store
        .alert_deliveries(&who, DeliveryFilter::default(), Some(given_up.id), 9)
        .await;
    assert_eq!(older.unwrap(), [pending.clone()]);

    let failed = Outcome::Failed("it hangs".to_owned());
    let delay = [Duration::from_secs(5)];
    pending.attempted(&failed, &delay, pending.created_at, Chance::EVEN);
    store.save_deliveries(&[pending.clone()]).await.unwrap();
    let put_back = store.put_back_delivery(&who, given_up.id).await.unwrap();
    assert_eq!(
        (put_back.state, put_back.attempts, put_back.finished_at),
        (DeliveryState::Pending, 0, None)
    );
    let again = store.pending_deliveries(None).await.unwrap();
    assert_eq!(again, [pending, put_back]);
    let refused = store.put_back_delivery(&who, given_up.id).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let audit = store.audit(who.client, 1, 9).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].operation, "alert_delivery.retry");

    assert_eq!(store.prune_deliveries(Timestamp::now()).await.unwrap(), 1);
    store
        .delete_alert_route(&who, route.id, None)
        .await
        .unwrap();
    assert_eq!(all(&store, &who).await, []);
    // One that was under way when its route was deleted.
    store.save_deliveries(&[done]).await.unwrap();
    assert_eq!(all(&store, &who).await, []);
}

#[tokio::test]
async fn a_secret_survives_another_master_key_and_verify_reads_it() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    store
        .create_alert_route(&who, &webhook(), Some(SECRET))
        .await
        .unwrap();
    let config = store.config().clone();
    let (url, source) = (&config.database_url, config.master_key.clone());
    let mut rotation = KeyRotation::begin(url, source.clone(), OldKey::AtHand)
        .await
        .unwrap();
    while rotation.step().await.unwrap().is_some() {}
    let stored = store.all_alert_routes().await.unwrap();
    assert_eq!(stored[0].secret.as_ref().map(|s| s.as_str()), Some(SECRET));
    let nothing = ExportedHeads::default();
    let report = verify(url, &source, &nothing).await.unwrap();
    assert_eq!((report.secrets, report.faults.len()), (1, 0));
    let session = store.session().await;
    let damage =
        "UPDATE alert_routes SET secret = set_byte(secret, 40, 255 - get_byte(secret, 40))";
    session.batch_execute(damage).await.unwrap();
    let report = verify(url, &source, &nothing).await.unwrap();
    assert!(
        report.faults[0].to_string().contains("alert route"),
        "{:?}",
        report.faults
    );
}
