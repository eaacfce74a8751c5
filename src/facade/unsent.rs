//! Answers that nobody takes. The kernel notices whoever acknowledges nothing; it does not notice a stream of HTTP/2 whose
//! window stays shut, nor a reader that takes a byte a minute.
//!
//! Large answers, and those that are streams, are handed on in parts. Where a part is not taken in time, the answer is given
//! up: what it holds is freed at once, and over HTTP/1 the connection, which is nothing but this answer, ends. Over HTTP/2
//! the stream is reset when its window opens, and the others of the connection go on.
//!
//! Invariant: an answer that waits for its own source is never given up.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Bytes of a part. Shorter answers are handed on whole, and nobody looks after them.
const PART: usize = 128 << 10;

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff<E> {
    #[error("nobody takes the answer")]
    Unsent,
    #[error(transparent)]
    Source(E),
}

/// What comes of asking for the next part.
type Polled<E> = Poll<Option<Result<Frame<Bytes>, BrokenOff<E>>>>;

/// The answers on one connection.
#[derive(Debug)]
pub(super) struct Unsent<B> {
    answers: Mutex<Vec<Weak<Mutex<Answer<B>>>>>,
    /// How long a part may wait.
    patience: Duration,
}

/// An answer on its way.
#[derive(Debug)]
struct Answer<B> {
    /// Where it comes from; nothing: it was given up.
    source: Option<B>,
    /// What has come and is to be handed on.
    rest: Bytes,
    /// Since when a part waits to be taken; nothing: the source is waited for.
    waits: Option<Instant>,
    /// Whether the connection ends with it.
    alone: bool,
}

/// The body of an answer that is looked after.
pub(super) struct Parts<B>(Kind<B>);

enum Kind<B> {
    Short(B),
    Long(Arc<Mutex<Answer<B>>>),
}

impl<B: Body<Data = Bytes> + Unpin> Unsent<B> {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            answers: Mutex::default(),
            patience,
        }
    }

    /// The same body, looked after; `alone` says whether the connection ends with it.
    pub(super) fn parts(&self, body: B, alone: bool) -> Parts<B> {
        let short = body
            .size_hint()
            .upper()
            .is_some_and(|most| most <= PART as u64);
        if short {
            return Parts(Kind::Short(body));
        }
        let answer = Arc::new(Mutex::new(Answer {
            source: Some(body),
            rest: Bytes::new(),
            waits: Some(Instant::now()),
            alone,
        }));
        let mut answers = lock(&self.answers);
        answers.retain(|answer| answer.strong_count() > 0);
        answers.push(Arc::downgrade(&answer));
        Parts(Kind::Long(answer))
    }

    /// Gives up what has waited too long; whether the connection is to end.
    pub(super) fn give_up(&self, now: Instant) -> bool {
        let answers = lock(&self.answers);
        let on_their_way = answers.iter().filter_map(Weak::upgrade);
        let given_up = on_their_way.filter(|answer| lock(answer).give_up(now, self.patience));
        given_up.fold(false, |ends, answer| ends | lock(&answer).alone)
    }
}

impl<B> Answer<B> {
    fn give_up(&mut self, now: Instant, patience: Duration) -> bool {
        let late = self.waits.is_some_and(|since| now - since >= patience);
        if late {
            (self.source, self.rest, self.waits) = (None, Bytes::new(), None);
        }
        late
    }
}

impl<B: Body<Data = Bytes> + Unpin> Answer<B> {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Polled<B::Error> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(Some(Err(BrokenOff::Unsent)));
        };
        if self.rest.is_empty() {
            self.waits = None;
            match ready!(Pin::new(source).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(BrokenOff::Source(error)))),
                None => return Poll::Ready(None),
            }
        }
        let part = self.rest.split_to(self.rest.len().min(PART));
        // From here on it is waited until the next one is asked for.
        self.waits = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(part))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Parts<B> {
    type Data = Bytes;
    type Error = BrokenOff<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Short(body) => {
                let polled = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(polled.map(|frame| frame.map_err(BrokenOff::Source)))
            }
            Kind::Long(answer) => lock(answer).poll_part(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Short(body) => body.is_end_stream(),
            Kind::Long(answer) => {
                let answer = lock(answer);
                let ended = |source: &B| source.is_end_stream();
                answer.rest.is_empty() && answer.source.as_ref().is_some_and(ended)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Short(body) => body.size_hint(),
            Kind::Long(answer) => {
                let answer = lock(answer);
                let rest = answer.rest.len() as u64;
                let hint = answer.source.as_ref().map(Body::size_hint);
                let mut whole = SizeHint::new();
                let hint = hint.unwrap_or_default();
                if let Some(upper) = hint.upper() {
                    whole.set_upper(upper + rest);
                }
                whole.set_lower(hint.lower() + rest);
                whole
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::task::noop_waker_ref;
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn large() -> Bytes {
        (0..3 * PART + 7).map(|n| n as u8).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_in_parts_and_is_the_same() {
        let unsent = Unsent::new(PATIENCE);
        let mut parts = unsent.parts(Full::new(large()), true);
        assert_eq!(parts.size_hint().exact(), Some(large().len() as u64));
        let mut came = Vec::new();
        while let Some(frame) = parts.frame().await {
            let part = frame.unwrap().into_data().unwrap();
            assert!(part.len() <= PART);
            came.extend_from_slice(&part);
            // However long the whole takes.
            tokio::time::advance(PATIENCE / 2).await;
            assert!(!unsent.give_up(Instant::now()));
        }
        assert_eq!(came, large());
        assert!(parts.is_end_stream());
        drop(parts);
        unsent.parts(Full::new(large()), true);
        assert_eq!(lock(&unsent.answers).len(), 1, "what is over is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_given_up_and_freed() {
        for (alone, taken) in [(true, 0), (false, 0), (true, 1)] {
            let unsent = Unsent::new(PATIENCE);
            let mut parts = unsent.parts(Full::new(large()), alone);
            for _ in 0..taken {
                assert!(parts.frame().await.unwrap().is_ok());
            }
            tokio::time::advance(PATIENCE).await;
            assert_eq!(unsent.give_up(Instant::now()), alone);
            let Kind::Long(answer) = &parts.0 else {
                panic!("a short one")
            };
            assert!(lock(answer).source.is_none() && lock(answer).rest.is_empty());
            assert!(matches!(parts.frame().await, Some(Err(BrokenOff::Unsent))));
            assert!(!unsent.give_up(Instant::now()), "once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_source_is_not_given_up() {
        let unsent = Unsent::new(PATIENCE);
        let pending = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut parts = unsent.parts(StreamBody::new(pending), true);
        let mut context = Context::from_waker(noop_waker_ref());
        assert!(Pin::new(&mut parts).poll_frame(&mut context).is_pending());
        tokio::time::advance(PATIENCE * 10).await;
        assert!(!unsent.give_up(Instant::now()));
    }
}
