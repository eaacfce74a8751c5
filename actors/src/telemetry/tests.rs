//! Reports arrive where they belong, and nothing that is away holds anything up.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use playout_domain::lifecycle::ChannelStatus;
use playout_domain::units::BitsPerSecond;
use playout_store::operator;
use playout_store::testing;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::hub::Filter;
use crate::supervise::Supervisor;
use crate::tree::ROOT_POLICY;

fn beat(channel: ChannelId, number: u64) -> Heartbeat {
    Heartbeat {
        channel,
        at: Timestamp::UNIX_EPOCH + Duration::from_secs(2_000_000_000 + number),
        status: ChannelStatus::Live,
        uptime: Duration::from_secs(number),
        last_segment: None,
        segments: number,
        bitrate: BitsPerSecond(1_000_000),
        restarts: 0,
        processes: Vec::new(),
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            std::time::Instant::now() < end,
            "waited too long until {what}"
        );
    }
}

#[tokio::test]
async fn heartbeats_reach_listeners_at_once_redis_soon_and_postgresql_at_the_latest_at_the_end() {
    let store = testing::fresh().await;
    let hub = Arc::new(Hub::default());
    let mut events = hub.subscribe(Filter::default(), None);
    let telemetry = Telemetry::new((*store).clone(), hub);
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    let channel = ChannelId::from(Uuid::now_v7());
    for number in 0..3 {
        telemetry.record(operator(), beat(channel, number));
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind, event.channel),
            (kind::CHANNEL_HEARTBEAT, Some(channel))
        );
        assert_eq!(
            (event.client, &event.data["segments"]),
            (Some(operator()), &json!(number))
        );
    }
    until("Redis has the latest", || async {
        let hot = store.hot().heartbeat(channel).await.unwrap()?;
        (hot == beat(channel, 2)).then_some(())
    })
    .await;
    running.stop().await;
    let stored = store.heartbeats(channel, 10).await.unwrap();
    assert_eq!(stored, [2, 1, 0].map(|number| beat(channel, number)));
    assert_eq!(telemetry.lost(), 0);
    store.hot().forget_channel(channel).await;
}

#[tokio::test]
async fn a_full_batch_is_written_before_its_time() {
    let store = testing::fresh().await;
    let telemetry = Telemetry::new((*store).clone(), Arc::new(Hub::default()));
    let channel = ChannelId::from(Uuid::now_v7());
    telemetry.record(operator(), beat(channel, 0));
    let running = Supervisor::spawn("test", ROOT_POLICY, telemetry.children())
        .await
        .unwrap();
    let written = async |count: usize| {
        until("they are written", || async {
            (store.heartbeats(channel, 1000).await.unwrap().len() == count).then_some(())
        })
        .await;
    };
    // What there is at the beginning is written at once; then nothing is due for ten seconds.
    written(1).await;
    let began = tokio::time::Instant::now();
    for number in 1..=BATCH as u64 {
        telemetry.record(operator(), beat(channel, number));
    }
    written(1 + BATCH).await;
    assert!(began.elapsed() < EVERY, "its time had come");
    running.stop().await;
    store.hot().forget_channel(channel).await;
}

proptest! {
    /// Every heartbeat is written, waits, or is counted as lost; the oldest are lost first.
    #[test]
    fn nothing_is_lost_without_being_counted(
        steps in proptest::collection::vec((0_usize..30, 0_usize..12, 0..4_u8), 1..40),
        capacity in 1_usize..20,
    ) {
        let channel = ChannelId::from(Uuid::nil());
        let mut backlog = Backlog::new(capacity);
        let (mut next, mut written, mut refused) = (0_u64, VecDeque::new(), 0);
        for (pushed, most, fate) in steps {
            let batch = backlog.first(most);
            for _ in 0..pushed {
                backlog.push(beat(channel, next));
                next += 1;
            }
            match fate {
                0 => {}
                1 => {
                    backlog.refused(&batch);
                    refused += batch.len();
                }
                _ => {
                    backlog.written(&batch);
                    written.extend(batch.iter().map(|beat| beat.segments));
                }
            }
            let waiting: Vec<u64> = backlog.first(usize::MAX).iter().map(|beat| beat.segments).collect();
            prop_assert!(waiting.len() <= capacity);
            prop_assert!(waiting.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            prop_assert!(waiting.last().is_none_or(|last| last + 1 == next));
            prop_assert_eq!(next, written.len() as u64 + waiting.len() as u64 + backlog.lost());
        }
        prop_assert!(refused as u64 <= backlog.lost());
        let unique: std::collections::HashSet<_> = written.iter().collect();
        prop_assert_eq!(unique.len(), written.len());
    }
}
