//! `GET /api/v1/events`: everything that happens to what the caller may see, as it happens.
//!
//! `?channel=` narrows it to one channel; `Last-Event-ID` resumes after that event, and where
//! that is no longer possible the first event is `reset`: what was read before has to be read
//! again.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use playout_actors::hub::{Filter, Published, Subscription};
use playout_domain::ChannelId;
use warp::reply::Response;

use super::api::Call;
use super::problem::Problem;
use super::request::Request;
use super::stream::{Audience, frame};

/// The header that brings back the id of the last event seen.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn subscribe(call: Call) -> Result<Response, Problem> {
    let [channel] = call.request.query(["channel"])?;
    let channel = channel.map(|text| text.parse::<ChannelId>()).transpose();
    let channel = channel.map_err(|error| Problem::bad_request(format!("`channel`: {error}.")))?;
    if let Some(id) = channel {
        call.app.channels.get(&call.who, id).await?;
    }
    let filter = Filter {
        client: call.who.only(),
        channel,
        ..Filter::default()
    };
    let subscription = call
        .app
        .hub
        .subscribe(filter, last_event_id(&call.request).as_deref());
    let frames = frames(subscription, |event| Some(event.told()));
    let ended = call.app.store.ended(&call.credential);
    let frames = frames.take_until(Box::pin(ended));
    let audience = Audience::Known(&call.who);
    call.facade.streams.open(&call.request, audience, frames)
}

/// Where to resume, as the client said it.
pub(super) fn last_event_id(request: &Request) -> Option<String> {
    let value = request.headers.get(LAST_EVENT_ID)?;
    value
        .to_str()
        .ok()
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
}

/// The subscription's events as frames, each with the JSON that `shown` gives it; one without is
/// left out.
pub(super) fn frames(
    subscription: Subscription,
    shown: impl Fn(&Published) -> Option<String> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold(
        (subscription, shown),
        |(mut subscription, shown)| async move {
            loop {
                let event = subscription.next().await?;
                if let Some(json) = shown(&event) {
                    let frame = frame(Some(event.id), event.kind, &json);
                    return Some((frame, (subscription, shown)));
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playout_actors::Hub;
    use playout_actors::hub::{Event, kind};
    use serde_json::{Value, json};
    use uuid::Uuid;

    async fn told_of(data: Value) -> Value {
        let hub = Hub::default();
        let mut subscription = hub.subscribe(Filter::default(), None);
        let channel = Some(ChannelId::from(Uuid::from_u128(7)));
        hub.publish(Event {
            kind: kind::CHANNEL_SEGMENT,
            client: None,
            channel,
            data,
        });
        serde_json::from_str(&subscription.next().await.unwrap().told()).unwrap()
    }

    #[tokio::test]
    async fn every_event_says_when_and_on_which_channel() {
        let id = Uuid::from_u128(7).to_string();
        let event = told_of(json!({ "sequence": 3 })).await;
        assert_eq!(
            (&event["sequence"], &event["channelId"]),
            (&json!(3), &json!(id))
        );
        assert!(
            event["at"]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok()
        );
        let event = told_of(json!({})).await;
        assert_eq!(event["channelId"], id);
        let event = told_of(json!({ "channelId": "its own", "at": "then" })).await;
        assert_eq!(event, json!({ "channelId": "its own", "at": "then" }));
        assert_eq!(told_of(json!([1])).await, json!([1]));
    }
}
