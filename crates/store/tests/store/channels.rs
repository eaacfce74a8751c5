//! Channels: everything is kept, a change is all or nothing, versions guard changes.

use std::time::Duration;

use playout_domain::destination::StreamKeySetting;
use playout_domain::lifecycle::{Generation, LifeState, Operation};
use playout_domain::limits::PlanLimits;
use playout_domain::{Channel, ChannelId, ChannelStatus, Desired};
use playout_store::{Cause, Principal, StoreError, StoredChannel, testing};
use serde_json::json;
use uuid::Uuid;

use crate::given::{airtime, channel, destination, stored};

#[tokio::test]
async fn a_created_channel_is_read_back_whole_with_one_audit_entry() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let (mut given, airs) = (channel(who.client, "One"), airtime());
    let fallback = crate::given::media(who.client, "/media/fallback.mp4");
    store.insert_media(&who, &fallback).await.unwrap();
    given.config.fallback_video = Some(fallback.id);
    let created = store.insert_channel(&who, &given, &airs).await.unwrap();

    assert_eq!(
        store.channel(given.id).await.unwrap().unwrap(),
        StoredChannel {
            channel: created.clone(),
            airtime: airs,
        }
    );
    let destination = &created.config.rtmp_destinations[0];
    assert!(destination.id.is_some());
    assert_eq!(destination.stream_key, StreamKeySetting::Kept);
    let mut as_given = created.clone();
    as_given.config.rtmp_destinations = given.config.rtmp_destinations.clone();
    (as_given.created_at, as_given.updated_at) = (given.created_at, given.updated_at);
    assert_eq!(as_given, given);
    assert!(
        given
            .created_at
            .duration_since(created.created_at)
            .as_nanos()
            < 1_000
    );

    let entries = store.audit(who.client, 1, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].operation.as_str(), entries[0].subject),
        ("channel.create", given.id.uuid())
    );
    let told = json!({ "before": null, "after": created.config.to_json_public() });
    assert_eq!(entries[0].detail, told);
    assert!(!format!("{entries:?}").contains("live_sesame"));
}

#[tokio::test]
async fn a_refused_creation_leaves_nothing_behind() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let first = stored(&store, &who, "One").await;

    // A destination that the channel cannot have: the channel's row is written by then.
    let mut other = channel(who.client, "Two");
    other.config.rtmp_destinations[0].id = first.config.rtmp_destinations[0].id;
    let refused = store
        .insert_channel(&who, &other, &airtime())
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(store.channel(other.id).await.unwrap(), None);

    // The same id again.
    let again = Channel {
        id: first.id,
        ..channel(who.client, "Two")
    };
    let refused = store
        .insert_channel(&who, &again, &airtime())
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(store.all_channels().await.unwrap().channels.len(), 1);
    assert_eq!(store.audit(who.client, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_audit_that_cannot_be_written_undoes_the_change() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let first = stored(&store, &who, "One").await;
    let session = store.session().await;
    session
        .batch_execute("ALTER TABLE audit ADD CONSTRAINT no_more CHECK (seq < 2)")
        .await
        .unwrap();

    assert!(
        store
            .insert_channel(&who, &channel(who.client, "Two"), &airtime())
            .await
            .is_err()
    );
    let mut config = first.config.clone();
    config.name = "Changed".to_owned();
    assert!(
        store
            .update_channel(&who, first.id, 1, &config, Some(&airtime()))
            .await
            .is_err()
    );
    assert!(store.delete_channel(&who, first.id, None).await.is_err());
    assert!(
        store
            .save_airtime(Some(&who), first.id, &airtime())
            .await
            .is_err()
    );
    let live = LifeState {
        desired: Desired::Live,
        ..LifeState::default()
    };
    let cause = Cause::Ordered {
        who,
        operation: Operation::Start,
    };
    assert!(store.save_life(first.id, &live, cause).await.is_err());

    let all = store.all_channels().await.unwrap().channels;
    assert_eq!(
        all.iter().map(|stored| &stored.channel).collect::<Vec<_>>(),
        [&first]
    );
}

#[tokio::test]
async fn an_update_counts_the_version_and_a_stale_one_is_refused_with_the_present_version() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let mut config = created.config.clone();
    config.name = "Renamed".to_owned();
    config.fallback_video = None;
    let airs = airtime();
    let updated = store
        .update_channel(&who, created.id, 1, &config, Some(&airs))
        .await
        .unwrap();
    assert_eq!((updated.version, &updated.config), (2, &config));
    assert!(updated.updated_at >= created.updated_at);
    let read = store.channel(created.id).await.unwrap().unwrap();
    assert_eq!((read.channel, read.airtime), (updated, airs.clone()));

    let refused = store
        .update_channel(&who, created.id, 1, &created.config, None)
        .await
        .unwrap_err();
    assert_eq!(refused, StoreError::VersionMismatch { current: 2 });
    assert_eq!(
        store.channel(created.id).await.unwrap().unwrap().airtime,
        airs
    );
    let refused = store
        .delete_channel(&who, created.id, Some(1))
        .await
        .unwrap_err();
    assert_eq!(refused, StoreError::VersionMismatch { current: 2 });
    store
        .delete_channel(&who, created.id, Some(2))
        .await
        .unwrap();
    assert_eq!(store.channel(created.id).await.unwrap(), None);
    let operations: Vec<String> = store
        .audit(who.client, 0, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.operation)
        .collect();
    assert_eq!(
        operations,
        ["channel.create", "channel.update", "channel.delete"]
    );
}

#[tokio::test]
async fn of_updates_at_once_to_one_version_one_wins() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, who, mut config) = ((*store).clone(), who.clone(), created.config.clone());
        config.name = format!("Name {n}");
        tasks.spawn(async move {
            store
                .update_channel(&who, created.id, 1, &config, None)
                .await
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let stale = Err(StoreError::VersionMismatch { current: 2 });
    assert_eq!(results.iter().filter(|result| **result == stale).count(), 7);
}

#[tokio::test]
async fn destinations_keep_their_order_ids_and_keys_through_updates() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut given = channel(who.client, "One");
    given
        .config
        .rtmp_destinations
        .push(destination("rtmps://b.example.com/app", Some("key_b")));
    given
        .config
        .rtmp_destinations
        .push(destination("rtmp://c.example.com/app", None));
    let created = store
        .insert_channel(&who, &given, &airtime())
        .await
        .unwrap();
    let ids: Vec<_> = created
        .config
        .rtmp_destinations
        .iter()
        .map(|d| d.id.unwrap())
        .collect();

    // The first goes; the others change places; one is new; the key of the second stays.
    let mut config = created.config.clone();
    config.rtmp_destinations.remove(0);
    config.rtmp_destinations.swap(0, 1);
    config.rtmp_destinations[1].enabled = false;
    config
        .rtmp_destinations
        .push(destination("rtmp://d.example.com/app", Some("key_d")));
    let updated = store
        .update_channel(&who, created.id, 1, &config, None)
        .await
        .unwrap();
    assert_eq!(
        store.channel(created.id).await.unwrap().unwrap().channel,
        updated
    );
    let now: Vec<_> = updated
        .config
        .rtmp_destinations
        .iter()
        .map(|d| d.id.unwrap())
        .collect();
    assert_eq!(now[..2], [ids[2], ids[1]]);
    assert!(!updated.config.rtmp_destinations[1].enabled);
    assert_eq!(store.stream_key(ids[0]).await, Err(StoreError::NotFound));
    assert_eq!(
        store.stream_key(ids[1]).await.unwrap().unwrap().reveal(),
        "key_b"
    );
    assert_eq!(store.stream_key(ids[2]).await.unwrap(), None);
    assert_eq!(
        store.stream_key(now[2]).await.unwrap().unwrap().reveal(),
        "key_d"
    );

    // No key can be kept where there is none, and no row be taken from another channel.
    let mut config = updated.config.clone();
    config.rtmp_destinations[0].stream_key = StreamKeySetting::Kept;
    let refused = store
        .update_channel(&who, created.id, 2, &config, None)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    let other = stored(&store, &who, "Two").await;
    let mut config = updated.config.clone();
    config.rtmp_destinations = other.config.rtmp_destinations.clone();
    let refused = store
        .update_channel(&who, created.id, 2, &config, None)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(
        store.channel(other.id).await.unwrap().unwrap().channel,
        other
    );
}

#[tokio::test]
async fn life_is_kept_and_only_orders_are_audited() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let life = LifeState {
        desired: Desired::Live,
        status: ChannelStatus::Live,
        generation: Generation(7),
        uptime: Duration::from_micros(1_234_567),
        live_since: Some("2026-11-24T08:00:00.5Z".parse().unwrap()),
        restart_count: 12,
        restarts_since_start: 3,
        last_start_time: Some("2026-11-24T08:00:00Z".parse().unwrap()),
        last_stop_time: Some("2026-11-24T07:00:00Z".parse().unwrap()),
    };
    store
        .save_life(created.id, &life, Cause::Automatic)
        .await
        .unwrap();
    let read = store.channel(created.id).await.unwrap().unwrap().channel;
    assert_eq!(
        read,
        Channel {
            life: life.clone(),
            ..created.clone()
        }
    );

    let stopped = LifeState {
        desired: Desired::Stopped,
        status: ChannelStatus::Stopped,
        live_since: None,
        ..life
    };
    let cause = Cause::Ordered {
        who: who.clone(),
        operation: Operation::Stop,
    };
    store.save_life(created.id, &stopped, cause).await.unwrap();
    let entries = store.audit(who.client, 1, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].operation.as_str(), entries[0].seq),
        ("channel.stop", 2)
    );

    let nobody = ChannelId::from(Uuid::now_v7());
    assert_eq!(
        store.save_life(nobody, &stopped, Cause::Automatic).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.save_airtime(None, nobody, &airtime()).await,
        Err(StoreError::NotFound)
    );
}

#[tokio::test]
async fn what_belongs_to_another_client_does_not_exist() {
    let store = testing::fresh().await;
    let ours = stored(&store, &Principal::daemon(), "Ours").await;
    let stranger = store.client("stranger", &PlanLimits::UNLIMITED).await;
    let not_found = Err(StoreError::NotFound);
    let config = ours.config.clone();
    assert_eq!(
        store
            .update_channel(&stranger, ours.id, 1, &config, None)
            .await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.delete_channel(&stranger, ours.id, None).await,
        not_found
    );
    assert_eq!(
        store
            .save_airtime(Some(&stranger), ours.id, &airtime())
            .await,
        not_found
    );
    let cause = Cause::Ordered {
        who: stranger.clone(),
        operation: Operation::Start,
    };
    assert_eq!(store.save_life(ours.id, &ours.life, cause).await, not_found);
    let theirs = channel(ours.client_id, "Theirs");
    assert_eq!(
        store.insert_channel(&stranger, &theirs, &airtime()).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(store.channel(ours.id).await.unwrap().unwrap().channel, ours);
}

#[tokio::test]
async fn everything_is_there_after_the_store_is_opened_again() {
    let store = testing::fresh().await;
    let created = stored(&store, &Principal::daemon(), "One").await;
    let key = store
        .stream_key(created.config.rtmp_destinations[0].id.unwrap())
        .await
        .unwrap();
    let again = playout_store::Store::connect(store.config()).await.unwrap();
    assert_eq!(
        again.all_channels().await.unwrap().channels[0].channel,
        created
    );
    assert_eq!(
        again
            .stream_key(created.config.rtmp_destinations[0].id.unwrap())
            .await
            .unwrap(),
        key
    );
}
