//! What the hub promises to those who listen, and to those who come back.
#![allow(clippy::unwrap_used)]

use playout_domain::ids::{ChannelId, ClientId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn event(number: u64) -> Event {
    Event {
        kind: kind::CHANNEL_SEGMENT,
        client: None,
        channel: None,
        data: json!(number),
    }
}

/// What is queued, without waiting for more.
fn queued(subscription: &mut Subscription) -> Vec<Arc<Published>> {
    let mut events = Vec::new();
    loop {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let next = std::pin::pin!(tokio::task::unconstrained(subscription.next())).poll(&mut cx);
        match next {
            std::task::Poll::Ready(Some(event)) => events.push(event),
            _ => return events,
        }
    }
}

fn data(events: &[Arc<Published>]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event.data.as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_subscriber_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let hub = Hub::default();
    let mut first = hub.subscribe(Filter::default(), None);
    for n in 0..5 {
        hub.publish(event(n));
    }
    let last = queued(&mut first)[2].id.to_string();
    drop(first);
    for n in 5..8 {
        hub.publish(event(n));
    }
    let mut again = hub.subscribe(Filter::default(), Some(&last));
    hub.publish(event(8));
    assert_eq!(data(&queued(&mut again)), [3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn what_is_forgotten_unknown_or_of_an_earlier_run_begins_with_a_reset() {
    let hub = Hub::new(3, KEEP);
    let ids: Vec<String> = (0..6).map(|n| hub.publish(event(n)).to_string()).collect();
    let newest = hub.last_id();
    let earlier = Hub::default();
    for n in 0..6 {
        earlier.publish(event(n));
    }
    let future = format!("{}9", ids[5]);
    for id in [
        &ids[1],
        &earlier.last_id().to_string(),
        &future,
        "",
        "nonsense",
        "1-",
        "-1",
    ] {
        let mut subscription = hub.subscribe(Filter::default(), Some(id));
        let events = queued(&mut subscription);
        assert_eq!(events.len(), 1, "{id}");
        assert_eq!(
            (events[0].kind, events[0].id),
            (kind::RESET, newest),
            "{id}"
        );
    }
    let mut near = hub.subscribe(Filter::default(), Some(&ids[2]));
    assert_eq!(data(&queued(&mut near)), [3, 4, 5]);
    let mut newest = hub.subscribe(Filter::default(), Some(&ids[5]));
    assert!(queued(&mut newest).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_is_forgotten_when_it_is_old() {
    let hub = Hub::new(10, Duration::from_secs(60));
    let first = hub.publish(event(0)).to_string();
    tokio::time::advance(Duration::from_secs(50)).await;
    let second = hub.publish(event(1)).to_string();
    tokio::time::advance(Duration::from_secs(50)).await;
    hub.publish(event(2));
    let mut late = hub.subscribe(Filter::default(), Some(&first));
    assert_eq!(data(&queued(&mut late)), [1, 2]);
    tokio::time::advance(Duration::from_secs(50)).await;
    for (id, expected) in [(&first, None), (&second, Some(2))] {
        let mut late = hub.subscribe(Filter::default(), Some(id));
        assert_eq!(queued(&mut late)[0].data.as_u64(), expected);
    }
}

#[tokio::test]
async fn a_slow_subscriber_is_dropped_and_nobody_else_notices() {
    let hub = Hub::default();
    let mut slow = hub.subscribe(Filter::default(), None);
    let mut quick = hub.subscribe(Filter::default(), None);
    let events = QUEUE as u64 + 10;
    let mut seen = 0;
    for n in 0..events {
        hub.publish(event(n));
        seen += queued(&mut quick).len();
    }
    assert_eq!(seen, events as usize);
    assert_eq!(hub.subscribers(), 1);
    // It still reads what was queued, is told the end, and catches up.
    let mut last = None;
    while let Some(event) = slow.next().await {
        last = Some(event.id.to_string());
    }
    let mut again = hub.subscribe(Filter::default(), last.as_deref());
    assert_eq!(
        data(&queued(&mut again)),
        (QUEUE as u64..events).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn those_who_left_are_forgotten() {
    let hub = Hub::default();
    drop(hub.subscribe(Filter::default(), None));
    let _stays = hub.subscribe(Filter::default(), None);
    assert_eq!(hub.lock().subscribers.len(), 1);
}

fn filter() -> impl Strategy<Value = Filter> {
    let kinds = prop_oneof![
        Just(None),
        Just(Some(&[kind::CHANNEL_STATUS] as &[&str])),
        Just(Some(&[kind::CHANNEL_SEGMENT, kind::MEDIA_READY] as &[&str])),
    ];
    (
        proptest::option::of(0..3_u128),
        proptest::option::of(0..3_u128),
        kinds,
    )
        .prop_map(|(client, channel, kinds)| Filter {
            client: client.map(|n| ClientId::from(Uuid::from_u128(n))),
            channel: channel.map(|n| ChannelId::from(Uuid::from_u128(n))),
            kinds,
        })
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(kind::CHANNEL_STATUS),
        Just(kind::CHANNEL_SEGMENT),
        Just(kind::MEDIA_READY)
    ];
    (
        kind,
        proptest::option::of(0..3_u128),
        proptest::option::of(0..3_u128),
    )
        .prop_map(|(kind, client, channel)| Event {
            kind,
            client: client.map(|n| ClientId::from(Uuid::from_u128(n))),
            channel: channel.map(|n| ChannelId::from(Uuid::from_u128(n))),
            data: json!({}),
        })
}

proptest! {
    /// Nobody gets what is not theirs, live or missed; and everything that is, in order.
    #[test]
    fn a_subscriber_gets_exactly_what_its_filter_wants(
        filter in filter(),
        events in proptest::collection::vec(any_event(), 0..40),
        split in 0..40_usize,
    ) {
        let hub = Hub::default();
        let start = hub.last_id().to_string();
        let split = split.min(events.len());
        let mut expected = Vec::new();
        let mut subscription = None;
        for (n, event) in events.into_iter().enumerate() {
            if n == split {
                subscription = Some(hub.subscribe(filter.clone(), Some(&start)));
            }
            let theirs = (filter.client.is_none() || filter.client == event.client)
                && (filter.channel.is_none() || filter.channel == event.channel)
                && (filter.kinds.is_none() || filter.kinds.unwrap().contains(&event.kind));
            let id = hub.publish(event);
            if theirs {
                expected.push(id);
            }
        }
        let mut subscription =
            subscription.unwrap_or_else(|| hub.subscribe(filter.clone(), Some(&start)));
        let got: Vec<EventId> = queued(&mut subscription).iter().map(|event| event.id).collect();
        prop_assert_eq!(got, expected);
    }
}
