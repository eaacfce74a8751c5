//! What the daemon notices by itself.

use std::sync::atomic::{AtomicBool, Ordering};

use playout_domain::alert::AlertState;
use playout_store::AlertFilter;
use serde_json::json;

use super::*;
use crate::hub::{Event, kind};

#[tokio::test]
async fn an_unclean_stop_is_told_and_over_when_everything_is_as_it_should_be() {
    let unclean = AlertsConfig {
        unclean_stop: Some("2026-11-24T08:00:00Z".to_owned()),
        ..fast()
    };
    let mut house = House::with(unclean.clone()).await;
    let every = AlertFilter::default();
    let found = house.handler.list(&admin(), every, None, 9).await.unwrap();
    assert_eq!(found[0].kind().name(), "daemon.unclean_stop");
    assert!(found[0].detail.contains("2026-11-24T08:00:00Z"));
    let mut events = house.events(None);
    let settled = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&settled);
    house
        .handler
        .set_settled(move || now.load(Ordering::Relaxed));
    settled.store(true, Ordering::Relaxed);
    event(&mut events, kind::ALERT_CLOSED).await;

    // It was open when the daemon ended, and this time that was by itself.
    let mut again = House::with(unclean).await;
    again.restart().await;
    let found = again.handler.list(&admin(), every, None, 9).await.unwrap();
    assert_eq!((found.len(), found[0].state()), (1, AlertState::Closed));
    again.stop().await;
    house.restart().await;
    let found = house.handler.list(&admin(), every, None, 9).await.unwrap();
    assert_eq!(found.len(), 1, "a clean stop is none");
    house.stop().await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told_to_listeners_and_over_when_it_does() {
    let house = House::with(AlertsConfig {
        stores_every: Duration::from_millis(100),
        ..fast()
    })
    .await;
    let mut events = house.events(None);
    house.store.go_away().await;
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(opened.data["kind"], "store.postgres_down");
    assert_eq!(opened.data["audience"], "operator");
    house.store.come_back().await;
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["id"], opened.data["id"]);
    house.stop().await;
}

#[tokio::test]
async fn media_that_cannot_be_prepared_are_told_to_their_client_until_they_are() {
    let house = House::new().await;
    let mut events = house.events(None);
    let media = MediaId::from(Uuid::now_v7());
    let tell = |kind: &'static str, profile: &str| {
        house.hub.publish(Event {
            kind,
            client: Some(operator()),
            channel: None,
            data: json!({ "id": media, "title": "A film", "profile": profile, "reason": "No picture." }),
        });
    };
    // The child listens from the moment when it runs.
    found("the child listens", || async {
        (house.hub.subscribers() >= 2).then_some(())
    })
    .await;
    tell(kind::MEDIA_FAILED, "720p25");
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(opened.data["kind"], "media.not_prepared");
    assert_eq!(opened.data["mediaId"], media.to_string());
    assert_eq!(opened.data["name"], "A film");
    assert_eq!(opened.data["detail"], "No picture.");
    tell(kind::MEDIA_FAILED, "240p25");
    event(&mut events, kind::ALERT_UPDATED).await;
    // One profile of two.
    tell(kind::MEDIA_READY, "720p25");
    tell(kind::MEDIA_FAILED, "240p25");
    let updated = event(&mut events, kind::ALERT_UPDATED).await;
    assert_eq!(updated.data["occurrences"], 3);
    tell(kind::MEDIA_READY, "240p25");
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["occurrences"], 3);
    tell(kind::MEDIA_FAILED, "720p25");
    event(&mut events, kind::ALERT_OPENED).await;
    tell(kind::MEDIA_DELETED, "");
    event(&mut events, kind::ALERT_CLOSED).await;
    house.stop().await;
}

#[tokio::test]
async fn lost_reports_are_told_until_what_waits_is_written() {
    let house = House::new().await;
    let mut events = house.events(None);
    let publish = |kind, data| {
        house.hub.publish(Event {
            kind,
            client: None,
            channel: None,
            data,
        });
    };
    found("the child listens", || async {
        (house.hub.subscribers() >= 2).then_some(())
    })
    .await;
    publish(kind::TELEMETRY_LOST, json!({ "more": 7, "lost": 7 }));
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(opened.data["kind"], "store.telemetry_lost");
    let detail = opened.data["detail"].as_str().unwrap();
    assert!(detail.starts_with("7 reports"), "{detail}");
    publish(kind::TELEMETRY_RECOVERED, json!({ "lost": 7 }));
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["id"], opened.data["id"]);
    house.stop().await;
}
