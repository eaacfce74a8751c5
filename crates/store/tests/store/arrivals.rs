//! Files on their way: what they will take counts against the plan from the beginning, once.

use jiff::{Timestamp, ToSpan};
use playout_domain::limits::PlanLimits;
use playout_domain::{ArrivalId, Details, MediaItem};
use playout_store::{
    Arrival, ArrivalState, Inserted, MOST_OPEN, Principal, StoreError, WatchedFolder, testing,
};
use uuid::Uuid;

use crate::given::media;

fn arrival(who: &Principal, length: Option<u64>) -> Arrival {
    // As the database keeps it.
    let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
    Arrival {
        id: ArrivalId::from(Uuid::now_v7()),
        client_id: who.client,
        actor: who.name.clone(),
        token: None,
        url: None,
        name: "film.mp4".to_owned(),
        details: Details::default(),
        length,
        state: ArrivalState::Arriving,
        reason: None,
        media_id: None,
        created_at: now,
        expires_at: now + 1.hour(),
    }
}

#[tokio::test]
async fn a_client_has_so_many_that_have_not_ended_and_its_url_is_told_without_its_query() {
    let store = testing::fresh().await;
    let who = store.client("busy", &PlanLimits::UNLIMITED).await;
    let mut first = Arrival {
        url: Some("https://example.com/a.mp4?key=secret#x".to_owned()),
        ..arrival(&who, None)
    };
    store.insert_arrival(&who, &first).await.unwrap();
    assert_eq!(first.to_json(0)["url"], "https://example.com/a.mp4");
    let audit = store.audit(who.client, 0, 9).await.unwrap();
    let begun = audit.last().unwrap();
    assert_eq!(begun.operation, "import.begin");
    assert_eq!(begun.detail["after"]["url"], "https://example.com/a.mp4");
    let imports = store.imports(&who, None, 9).await.unwrap();
    assert_eq!(imports.len(), 1);
    assert_eq!(store.imports(&who, Some(first.id), 9).await, Ok(Vec::new()));
    for _ in 1..MOST_OPEN {
        store
            .insert_arrival(&who, &arrival(&who, None))
            .await
            .unwrap();
    }
    let refused = store.insert_arrival(&who, &arrival(&who, None)).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let other = store.client("other", &PlanLimits::UNLIMITED).await;
    assert_eq!(store.imports(&other, None, 9).await, Ok(Vec::new()));
    store
        .insert_arrival(&other, &arrival(&other, None))
        .await
        .unwrap();
    first.state = ArrivalState::Failed;
    store.update_arrival(&first).await.unwrap();
    store
        .insert_arrival(&who, &arrival(&who, None))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_arrives_counts_against_the_plan_until_it_is_an_item_or_gone() {
    let store = testing::fresh().await;
    let limits = PlanLimits {
        storage_bytes: Some(1_000),
        ..PlanLimits::default()
    };
    let who = store.client("small", &limits).await;
    let mut first = arrival(&who, Some(600));
    store.insert_arrival(&who, &first).await.unwrap();
    assert_eq!(store.arrival(&who, first.id).await.unwrap(), first);
    let refused = store.insert_arrival(&who, &arrival(&who, Some(500))).await;
    assert!(matches!(refused, Err(StoreError::Limit(_))), "{refused:?}");
    // One of unknown length counts as it grows.
    let second = arrival(&who, None);
    store.insert_arrival(&who, &second).await.unwrap();
    store.arrival_has(&second, 300).await.unwrap();
    store.arrival_has(&second, 400).await.unwrap();
    let refused = store.arrival_has(&second, 401).await;
    assert!(matches!(refused, Err(StoreError::Limit(_))), "{refused:?}");
    store.delete_arrival(second.id).await.unwrap();
    // While it is looked into it counts as before; as an item as that alone.
    first.state = ArrivalState::Importing;
    store.update_arrival(&first).await.unwrap();
    assert_eq!(store.storage(who.client).await.unwrap().arriving, 600);
    let refused = store.insert_arrival(&who, &arrival(&who, Some(500))).await;
    assert!(matches!(refused, Err(StoreError::Limit(_))), "{refused:?}");
    let item = MediaItem {
        size: 600,
        ..media(who.client, "/media/film.mp4")
    };
    let added = store.insert_arrived(&who, &item, Some(first.id)).await;
    assert_eq!(added, Ok(Inserted::New));
    let stored = store.arrival(&who, first.id).await.unwrap();
    assert_eq!(
        (stored.state, stored.media_id),
        (ArrivalState::Done, Some(item.id))
    );
    let used = store.storage(who.client).await.unwrap();
    assert_eq!(
        (used.items, used.used, used.arriving, used.allowed),
        (1, 600, 0, Some(1_000))
    );
    store
        .insert_arrival(&who, &arrival(&who, Some(400)))
        .await
        .unwrap();
    // Nobody else's.
    let other = store.client("other", &PlanLimits::UNLIMITED).await;
    assert_eq!(
        store.arrival(&other, first.id).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(store.storage(other.client).await.unwrap().used, 0);
    assert_eq!(store.arrivals().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_came_to_a_daemon_that_is_gone_counts_until_it_expires_and_is_forgotten_a_week_later()
{
    let store = testing::fresh().await;
    let limits = PlanLimits {
        storage_bytes: Some(1_000),
        ..PlanLimits::default()
    };
    let who = store.client("small", &limits).await;
    let lost = Arrival {
        expires_at: Timestamp::now() - 1.minute(),
        ..arrival(&who, Some(900))
    };
    store.insert_arrival(&who, &lost).await.unwrap();
    assert_eq!(store.storage(who.client).await.unwrap().arriving, 0);
    store
        .insert_arrival(&who, &arrival(&who, Some(1_000)))
        .await
        .unwrap();
    let old = Arrival {
        expires_at: Timestamp::now() - 169.hours(),
        ..arrival(&who, None)
    };
    store.insert_arrival(&who, &old).await.unwrap();
    assert_eq!(store.forget_lost_arrivals().await, Ok(0));
    let session = store.session().await;
    let another = "UPDATE arrivals SET node = gen_random_uuid()";
    session.execute(another, &[]).await.unwrap();
    assert_eq!(store.forget_lost_arrivals().await, Ok(1));
}

#[tokio::test]
async fn a_folder_is_watched_once_and_what_it_was_is_kept() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let folder = WatchedFolder {
        id: Uuid::now_v7().into(),
        client_id: who.client,
        path: "/srv/in".into(),
        identity: None,
        created_at: Timestamp::from_second(1_795_500_000).unwrap(),
    };
    store.insert_watched(&who, &folder).await.unwrap();
    let again = WatchedFolder {
        id: Uuid::now_v7().into(),
        ..folder.clone()
    };
    let refused = store.insert_watched(&who, &again).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    store.watched_is(folder.id, (7, u64::MAX)).await.unwrap();
    let identity = Some((7, u64::MAX));
    let expected = WatchedFolder { identity, ..folder };
    assert_eq!(
        store.watched().await.unwrap(),
        std::slice::from_ref(&expected)
    );
    store.delete_watched(&who, &expected).await.unwrap();
    assert_eq!(
        store.delete_watched(&who, &expected).await,
        Err(StoreError::NotFound)
    );
    let audited = store.audit(who.client, 0, 10).await.unwrap();
    let operations: Vec<_> = audited.iter().map(|entry| &*entry.operation).collect();
    assert_eq!(operations, ["media.watch", "media.unwatch"]);
}
