//! What was done about failures, channel by channel.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::StreamFailure;
use playout_domain::{ChannelId, DestinationId, HistoryId, MediaId};
use playout_store::{HistoryEntry, testing};
use serde_json::json;
use uuid::Uuid;

fn entry(channel: ChannelId, failure: StreamFailure) -> HistoryEntry {
    HistoryEntry {
        id: HistoryId::from(Uuid::now_v7()),
        channel,
        at: "2026-11-24T08:00:00.5Z".parse().unwrap(),
        failure: failure.name().to_owned(),
        media_id: Some(MediaId::from(Uuid::now_v7())),
        destination_id: None,
        error: "FFmpeg ended".to_owned(),
        action: failure.action(),
    }
}

#[tokio::test]
async fn a_channels_history_is_its_own_newest_first_and_written_again_without_harm() {
    let store = testing::fresh().await;
    let channel = ChannelId::from(Uuid::now_v7());
    let source = entry(
        channel,
        StreamFailure::Source {
            attempt: 3,
            delay: Duration::from_millis(1_250),
            most: 10,
            spent: false,
        },
    );
    let again = Duration::from_secs(600);
    let item = entry(
        channel,
        StreamFailure::Item {
            others: true,
            again,
        },
    );
    let mut preparing = entry(channel, StreamFailure::Preparing);
    preparing.media_id = None;
    preparing.destination_id = Some(DestinationId::from(Uuid::now_v7()));
    let other = entry(ChannelId::from(Uuid::now_v7()), StreamFailure::Preparing);
    let batch = [source.clone(), item.clone(), preparing.clone(), other];
    for _ in 0..2 {
        store.insert_history(&batch).await.unwrap();
    }
    store.insert_history(&[]).await.unwrap();
    let first = store.channel_history(channel, None, 2).await.unwrap();
    assert_eq!(first, [preparing, item.clone()]);
    let rest = store.channel_history(channel, Some(item.id), 9).await;
    assert_eq!(rest.unwrap(), std::slice::from_ref(&source));
    assert_eq!(
        source.to_json(),
        json!({
            "id": source.id, "channelId": channel, "at": "2026-11-24T08:00:00.5Z", "failure": "source",
            "mediaId": source.media_id, "destinationId": null, "error": "FFmpeg ended",
            "type": "restart", "delay": 1.25, "attempt": 3, "maxAttempts": 10, "fallbackStrategy": null,
        })
    );
    assert_eq!(store.prune_history(source.at).await.unwrap(), 0);
    assert_eq!(store.prune_history(Timestamp::now()).await.unwrap(), 4);
}
