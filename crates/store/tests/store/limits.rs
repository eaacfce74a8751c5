//! Limits hold, whoever races.

use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Amount, Limit, LimitExceeded, PlanLimits};
use playout_domain::{BitsPerSecond, ChannelStatus, Desired, Resolution, Rung};
use playout_store::{Cause, Inserted, Store, StoreError, testing};

use crate::given::{airtime, channel, destination, media, stored};

fn exceeded<T: std::fmt::Debug>(result: Result<T, StoreError>) -> LimitExceeded {
    match result {
        Err(StoreError::Limit(refusal)) => refusal.exceeded,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_channels_created_at_once_only_as_many_as_the_plan_allows_are_made() {
    let store = testing::fresh().await;
    let who = store
        .client(
            "client",
            &PlanLimits {
                max_channels: Some(3),
                ..PlanLimits::UNLIMITED
            },
        )
        .await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (store, who) = ((*store).clone(), who.clone());
        let given = channel(who.client, &format!("Channel {n}"));
        tasks.spawn(async move { store.insert_channel(&who, &given, &airtime()).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    for refused in results.into_iter().filter(Result::is_err) {
        let expected = (Limit::MaxChannels, Amount::Count(3), Amount::Count(4));
        let refused = exceeded(refused);
        assert_eq!(
            (refused.limit, refused.allowed, refused.requested),
            expected
        );
    }
    assert_eq!(store.all_channels().await.unwrap().channels.len(), 3);
    // Room again after one goes.
    let gone = store.all_channels().await.unwrap().channels[0].channel.id;
    store.delete_channel(&who, gone, None).await.unwrap();
    stored(&store, &who, "Another").await;
}

#[tokio::test]
async fn a_ladder_has_no_more_rungs_than_the_plan_allows() {
    let store = testing::fresh().await;
    let two = PlanLimits {
        max_rungs: Some(2),
        ..PlanLimits::UNLIMITED
    };
    let who = store.client("client", &two).await;
    let mut given = stored(&store, &who, "Two").await;
    assert_eq!(given.config.ladder.len(), 2);
    given.config.ladder.insert(
        1,
        Rung {
            resolution: Resolution::P360,
            bitrate: BitsPerSecond(500_000),
        },
    );
    let changed = store
        .update_channel(&who, given.id, given.version, &given.config, None)
        .await;
    let expected = (Limit::MaxRungs, Amount::Count(2), Amount::Count(3));
    let refused = exceeded(changed);
    assert_eq!(
        (refused.limit, refused.allowed, refused.requested),
        expected
    );
    let mut another = channel(who.client, "Three");
    another.config.ladder = given.config.ladder;
    let refused = exceeded(store.insert_channel(&who, &another, &airtime()).await);
    assert_eq!(
        (refused.limit, refused.allowed, refused.requested),
        expected
    );
}

async fn start(
    store: &Store,
    cause: Cause,
    id: playout_domain::ChannelId,
) -> Result<(), StoreError> {
    let life = LifeState {
        desired: Desired::Live,
        status: ChannelStatus::Starting,
        ..LifeState::default()
    };
    store.save_life(id, &life, cause).await
}

#[tokio::test]
async fn of_channels_started_at_once_only_as_many_as_the_plan_allows_are_live() {
    let store = testing::fresh().await;
    let who = store
        .client(
            "client",
            &PlanLimits {
                max_live: Some(2),
                ..PlanLimits::UNLIMITED
            },
        )
        .await;
    let mut tasks = tokio::task::JoinSet::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let id = stored(&store, &who, &format!("Channel {n}")).await.id;
        let (store, cause) = (
            (*store).clone(),
            Cause::Ordered {
                who: who.clone(),
                operation: Operation::Start,
            },
        );
        ids.push(id);
        tasks.spawn(async move { start(&store, cause, id).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    let live = store
        .all_channels()
        .await
        .unwrap()
        .channels
        .into_iter()
        .filter(|s| s.channel.desired() == Desired::Live);
    let live: Vec<_> = live.map(|stored| stored.channel.id).collect();
    assert_eq!(live.len(), 2);
    // What is live may be ordered to be so again.
    let cause = Cause::Ordered {
        who,
        operation: Operation::Restart,
    };
    start(&store, cause, live[0]).await.unwrap();
}

#[tokio::test]
async fn resolution_destinations_and_storage_are_limited_too() {
    let store = testing::fresh().await;
    let limits = PlanLimits {
        max_resolution: Some(Resolution::P480),
        max_destinations: Some(1),
        storage_bytes: Some(2_500),
        ..PlanLimits::UNLIMITED
    };
    let who = store.client("client", &limits).await;
    let created = stored(&store, &who, "One").await;
    let mut config = created.config.clone();
    config.resolution = Resolution::P720;
    let refused = exceeded(
        store
            .update_channel(&who, created.id, 1, &config, None)
            .await,
    );
    assert_eq!(refused.limit, Limit::MaxResolution);
    let mut config = created.config.clone();
    config
        .rtmp_destinations
        .push(destination("rtmp://b.example.com/app", None));
    let refused = exceeded(
        store
            .update_channel(&who, created.id, 1, &config, None)
            .await,
    );
    assert_eq!(refused.limit, Limit::MaxDestinations);
    assert_eq!(
        store.channel(created.id).await.unwrap().unwrap().channel,
        created
    );

    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (store, who, item) = (
            (*store).clone(),
            who.clone(),
            media(who.client, format!("/media/{n}.mp4")),
        );
        tasks.spawn(async move { store.insert_media(&who, &item).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(
        results
            .iter()
            .filter(|result| **result == Ok(Inserted::New))
            .count(),
        2
    );
    for refused in results.into_iter().filter(Result::is_err) {
        assert_eq!(exceeded(refused).limit, Limit::StorageBytes);
    }
}
