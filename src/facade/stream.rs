//! Event streams (`text/event-stream`, WHATWG HTML §9.2): at most so many at once, a comment when
//! nothing happens, an end when the daemon goes. Those that need no token have places of their own, and
//! neither a client nor an address takes them all.
//!
//! One task pumps each stream through a short queue. A client that takes nothing keeps only its
//! own task waiting: after its patience it is dropped, and before that the hub drops it.

use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use playout_actors::hub::EventId;
use playout_domain::ClientId;
use playout_store::{Principal, operator};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::http::{Method, header};
use warp::reply::Response;

use super::Settings;
use super::answer;
use super::origin::Origin;
use super::places::{Full, Place, Places};
use super::problem::Problem;
use super::request::Request;
use super::shutdown::ShuttingDown;

/// Frames between the pump and the connection.
const QUEUE: usize = 16;

/// One event as it is sent; `id` is what `Last-Event-ID` brings back, `json` is one line of JSON.
pub(super) fn frame(id: Option<EventId>, kind: &str, json: &str) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {kind}\ndata: {json}\n\n"))
}

/// How many event streams there may be at once.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Of whoever comes with a token.
    pub all: usize,
    /// Of those the ones of one client; the operator's are not counted so.
    pub of_client: usize,
    /// Of everybody else.
    pub public: usize,
    /// Of those the ones of one address.
    pub of_address: usize,
}

/// Who opens a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience<'a> {
    /// Somebody with a token.
    Known(&'a Principal),
    /// Anybody.
    Public,
}

/// All event streams of the daemon.
#[derive(Debug)]
pub(super) struct Streams {
    known: Places<ClientId>,
    public: Places<Origin>,
    heartbeat: Duration,
    patience: Duration,
    shutting_down: ShuttingDown,
}

impl Streams {
    pub(super) fn new(settings: &Settings, shutting_down: ShuttingDown) -> Self {
        Self {
            known: Places::new(settings.streams.all, settings.streams.of_client),
            public: Places::new(settings.streams.public, settings.streams.of_address),
            heartbeat: settings.heartbeat,
            patience: settings.patience,
            shutting_down,
        }
    }

    /// A stream of `frames`; a `HEAD` is told what it would be.
    ///
    /// # Errors
    /// 503: there are too many, or the daemon is going.
    pub(super) fn open(
        &self,
        request: &Request,
        audience: Audience<'_>,
        frames: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Response, Problem> {
        if self.shutting_down.has_begun() {
            let soon = Duration::from_secs(5);
            return Err(Problem::unavailable("The daemon is shutting down.", soon));
        }
        let is_head = request.method == Method::HEAD;
        let mut response = match audience {
            Audience::Known(who) => {
                let client = (who.client != operator()).then_some(who.client);
                let place = taken(&self.known, client, "the client")?;
                self.answered(frames, place, is_head)
            }
            Audience::Public => {
                let origin = Origin::of(request.address());
                let place = taken(&self.public, Some(origin), "the address")?;
                self.answered(frames, place, is_head)
            }
        };
        answer::set(&mut response, header::CONTENT_TYPE, "text/event-stream");
        answer::set(&mut response, header::CACHE_CONTROL, "no-store");
        // nginx would otherwise hold events back until its buffer is full.
        answer::set(
            &mut response,
            header::HeaderName::from_static("x-accel-buffering"),
            "no",
        );
        Ok(response)
    }

    fn answered<K: Eq + Hash + Send + 'static>(
        &self,
        frames: impl Stream<Item = Bytes> + Send + 'static,
        place: Place<K>,
        is_head: bool,
    ) -> Response {
        if is_head {
            return Response::new("".into());
        }
        let (queue, connection) = mpsc::channel(QUEUE);
        let (heartbeat, patience) = (self.heartbeat, self.patience);
        let mut shutting_down = self.shutting_down.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = pump(frames, &queue, heartbeat, patience) => {}
                () = queue.closed() => {}
                () = shutting_down.begun() => {}
            }
            drop(place);
        });
        let body = ReceiverStream::new(connection).map(Ok::<_, std::convert::Infallible>);
        warp::reply::stream(body).into_response()
    }
}

/// A place for a stream.
///
/// # Errors
/// 503: all are taken, or whoever asks has enough.
fn taken<K: Copy + Eq + Hash>(
    places: &Places<K>,
    by: Option<K>,
    whose: &str,
) -> Result<Place<K>, Problem> {
    places.take(by).map_err(|full| {
        let detail = match full {
            Full::All => format!("There are {} event streams already.", places.most()),
            Full::Own => format!(
                "There are {} event streams of {whose} already.",
                places.each()
            ),
        };
        Problem::unavailable(detail, Duration::from_secs(10))
    })
}

/// Brings `frames` to the queue until they end or nobody takes them.
async fn pump(
    frames: impl Stream<Item = Bytes>,
    queue: &mpsc::Sender<Bytes>,
    heartbeat: Duration,
    patience: Duration,
) {
    let mut frames = std::pin::pin!(frames);
    // Something is sent at once, so that whatever lies between passes the head on.
    let mut next = Bytes::from_static(b"retry: 2000\n\n");
    loop {
        if queue.send_timeout(next, patience).await.is_err() {
            return;
        }
        next = match tokio::time::timeout(heartbeat, frames.next()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_idle) => Bytes::from_static(b": still here\n\n"),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::stream;
    use serde_json::json;

    const LONG: Duration = Duration::from_secs(3600);

    async fn pumped(
        frames: impl Stream<Item = Bytes> + Send + 'static,
        patience: Duration,
    ) -> mpsc::Receiver<Bytes> {
        let (queue, connection) = mpsc::channel(2);
        tokio::spawn(async move {
            pump(frames, &queue, Duration::from_secs(15), patience).await;
        });
        connection
    }

    #[test]
    fn a_frame_is_one_event_whatever_its_data_holds() {
        let id = "00000000000000ab-7".parse().unwrap();
        let data = json!({ "name": "a\nb\r\n\ndata: x" }).to_string();
        let frame = frame(Some(id), "channel.status", &data);
        let text = std::str::from_utf8(&frame).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(
            lines[..2],
            ["id: 00000000000000ab-7", "event: channel.status"]
        );
        assert!(
            lines[2].starts_with("data: {") && !lines[2].contains('\r'),
            "{text:?}"
        );
        assert_eq!(lines[3..], ["", ""]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_at_once_and_says_something_when_nothing_happens() {
        let began = tokio::time::Instant::now();
        let mut connection = pumped(stream::pending(), LONG).await;
        assert!(connection.recv().await.unwrap().starts_with(b"retry:"));
        assert_eq!(began.elapsed(), Duration::ZERO);
        for beats in 1..3 {
            assert!(connection.recv().await.unwrap().starts_with(b":"));
            assert_eq!(began.elapsed(), Duration::from_secs(15) * beats);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_dropped_after_its_patience() {
        let event = Bytes::from_static(b"data: 1\n\n");
        let mut connection = pumped(stream::repeat(event), Duration::from_secs(60)).await;
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!connection.is_closed());
        tokio::time::timeout(LONG, async {
            while !connection.is_closed() {
                tokio::time::advance(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert!(connection.recv().await.unwrap().starts_with(b"retry:"));
        assert!(connection.recv().await.is_some());
        assert_eq!(connection.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_ends_the_answer() {
        let mut connection = pumped(stream::iter([Bytes::from_static(b"data: 1\n\n")]), LONG).await;
        assert!(connection.recv().await.is_some());
        assert_eq!(connection.recv().await.unwrap(), &b"data: 1\n\n"[..]);
        assert_eq!(connection.recv().await, None);
    }
}
