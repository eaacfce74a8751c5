//! Heartbeats in batches, and their hot copy, which is best effort.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_domain::{BitsPerSecond, ChannelId, ChannelStatus};
use playout_store::{Heartbeat, Principal, ProcessBeat, Server, Store, testing};
use serde_json::json;
use uuid::Uuid;

use crate::given::stored;

pub(crate) fn beat(channel: ChannelId, at: Timestamp) -> Heartbeat {
    let process = ProcessBeat {
        pid: 4_711,
        role: "source".to_owned(),
        cpu: 0.25,
        memory: 30 << 20,
        read_bytes: 1 << 40,
        written_bytes: 7,
    };
    Heartbeat {
        channel,
        at,
        status: ChannelStatus::Live,
        uptime: Duration::from_millis(90_500),
        last_segment: Some(at),
        segments: 12,
        bitrate: BitsPerSecond(2_600_000),
        restarts: 1,
        processes: vec![process],
    }
}

#[tokio::test]
async fn a_batch_is_kept_and_can_be_sent_again() {
    let store = testing::fresh().await;
    let channel = stored(&store, &Principal::daemon(), "One").await.id;
    let begin: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
    let mut beats: Vec<_> = (0..600)
        .map(|n| beat(channel, begin + SignedDuration::from_secs(5 * n)))
        .collect();
    beats.push(Heartbeat {
        last_segment: None,
        processes: vec![],
        ..beat(ChannelId::from(Uuid::now_v7()), begin)
    });
    store.insert_heartbeats(&beats).await.unwrap();
    store.insert_heartbeats(&beats).await.unwrap();
    store.insert_heartbeats(&[]).await.unwrap();
    assert_eq!(store.heartbeats(channel, 1_000).await.unwrap().len(), 600);
    assert_eq!(
        store.heartbeats(channel, 1).await.unwrap(),
        [beats[599].clone()]
    );
    assert_eq!(
        store.heartbeats(beats[600].channel, 9).await.unwrap(),
        [beats[600].clone()]
    );
    assert_eq!(store.last_seen(channel).await, Some(beats[599].at));
    assert_eq!(store.prune_heartbeats(beats[590].at).await.unwrap(), 591);
    assert_eq!(store.heartbeats(channel, 1_000).await.unwrap().len(), 10);
}

#[tokio::test]
async fn the_hot_copy_holds_the_last_beat_under_the_stores_prefix_and_goes_with_the_channel() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let channel = stored(&store, &who, "One").await.id;
    let beat = beat(channel, "2026-11-24T08:00:00Z".parse().unwrap());
    assert_eq!(store.hot().heartbeat(channel).await.unwrap(), None);
    store.hot().publish_heartbeat(&beat).await.unwrap();
    assert_eq!(store.hot().heartbeat(channel).await.unwrap(), Some(beat));
    assert_eq!(
        store.redis_keys().await,
        [format!("{}channel:{channel}", store.config().key_prefix)]
    );
    store.delete_channel(&who, channel, None).await.unwrap();
    assert_eq!(store.redis_keys().await, [""; 0]);
}

#[tokio::test]
async fn json_is_in_camel_case_and_seconds() {
    let beat = beat(
        ChannelId::from(Uuid::nil()),
        "2026-11-24T08:00:00Z".parse().unwrap(),
    );
    assert_eq!(
        serde_json::to_value(&beat).unwrap(),
        json!({
            "channel": "00000000-0000-0000-0000-000000000000", "at": "2026-11-24T08:00:00Z", "status": "LIVE",
            "uptime": 90.5, "lastSegment": "2026-11-24T08:00:00Z", "segments": 12, "bitrate": 2_600_000, "restarts": 1,
            "processes": [{ "pid": 4711, "role": "source", "cpu": 0.25, "memory": 31_457_280,
                            "readBytes": 1_099_511_627_776_u64, "writtenBytes": 7 }],
        })
    );
}

#[tokio::test]
async fn without_redis_the_store_opens_works_and_says_so() {
    let store = testing::fresh().await;
    let mut config = store.config().clone();
    config.redis_url = format!(
        "redis+unix://{}",
        store.folder().join("nobody.sock").display()
    );
    let lone = Store::connect(&config).await.unwrap();
    let channel = stored(&lone, &Principal::daemon(), "One").await.id;
    let beat = beat(channel, "2026-11-24T08:00:00Z".parse().unwrap());
    let refused = lone.hot().publish_heartbeat(&beat).await.unwrap_err();
    assert!(
        matches!(refused, playout_store::StoreError::Unavailable(_)),
        "{refused}"
    );
    lone.delete_channel(&Principal::daemon(), channel, None)
        .await
        .unwrap();
    let mut redis = lone.condition(Server::Redis);
    redis.wait_for(|redis| !redis.works()).await.unwrap();
    assert!(lone.condition(Server::Postgres).borrow().works());
    assert!(store.condition(Server::Redis).borrow().works());
}
