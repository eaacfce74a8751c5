//! What the feeder has read ahead and the air task has not released yet: GOPs in order, each with its
//! place on the channel's timeline.
//!
//! One writer, one reader. Bounded in frames: the writer asks for room before it reads more. The writer
//! may take back what the reader has not taken, so a change of the plan is on air within one GOP.
//! Invariant: every GOP begins where the one before it ends.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::ids::MediaId;
use playout_domain::overlay::Version;
use playout_domain::units::Frame;
use playout_media::gop::Gop;
use playout_media::splice::SourceId;
use tokio::sync::Notify;

use super::reporter::About;
use crate::channels::OnAirKind;

/// One GOP with its place on air.
#[derive(Debug)]
pub(super) struct Fed {
    /// The channel's frame that its first frame is.
    pub(super) at: Frame,
    /// The media.
    pub(super) gop: Gop,
    /// Which source it comes from.
    pub(super) source: SourceId,
    /// Why it is on air.
    pub(super) shows: Shows,
    /// What is drawn over it.
    pub(super) drawn: Option<Version>,
    /// Whether the text of the profile is missing on it, for it could not be drawn.
    pub(super) bare: bool,
    /// The same, for the as-run log.
    pub(super) about: About,
}

impl Fed {
    /// The frame that follows it.
    pub(super) fn end(&self) -> Frame {
        self.at + u64::from(self.gop.frames)
    }
}

/// What a GOP shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shows {
    /// Why it is on air.
    pub(super) kind: OnAirKind,
    /// The item; the slate is none.
    pub(super) media: Option<MediaId>,
    /// Where its entry begins and ends on air, when it is the plan's.
    pub(super) entry: Option<(Frame, Frame)>,
    /// When the entry ends.
    pub(super) until: Option<Timestamp>,
}

#[derive(Debug)]
struct Inner {
    gops: VecDeque<Fed>,
    /// Where the first GOP in the queue begins, or would.
    front: Frame,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Queue {
    /// Frames that may wait.
    capacity: u64,
    inner: Mutex<Inner>,
    /// Wakes the reader.
    filled: Notify,
    /// Wakes the writer.
    drained: Notify,
}

impl Queue {
    /// An empty queue that goes on at `front` and holds `capacity` frames before it is full.
    pub(super) fn new(front: Frame, capacity: u64) -> Self {
        Self {
            capacity,
            inner: Mutex::new(Inner {
                gops: VecDeque::new(),
                front,
            }),
            filled: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// Frames that may wait before the queue is full.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Says where the first GOP will begin.
    pub(super) fn begin(&self, front: Frame) {
        self.lock().front = front;
    }

    /// Adds a GOP behind the last.
    pub(super) fn push(&self, fed: Fed) {
        self.lock().gops.push_back(fed);
        self.filled.notify_one();
    }

    /// Takes the first GOP, once there is one.
    pub(super) async fn pop(&self) -> Fed {
        loop {
            if let Some(fed) = self.take() {
                self.drained.notify_one();
                return fed;
            }
            self.filled.notified().await;
        }
    }

    /// Waits until less than the capacity waits.
    pub(super) async fn room(&self) {
        while self.frames() >= self.capacity {
            self.drained.notified().await;
        }
    }

    /// Frames that wait.
    pub(super) fn frames(&self) -> u64 {
        let inner = self.lock();
        inner
            .gops
            .back()
            .map_or(0, |last| last.end().since(inner.front))
    }

    /// Where a change can take effect at the earliest: the first frame that is not taken yet.
    pub(super) fn front(&self) -> Frame {
        self.lock().front
    }

    /// Takes back the first GOP for which `stays` is false, and all behind it; answers where the next
    /// has to begin, if anything was taken back.
    pub(super) fn cut(&self, stays: impl Fn(&Fed) -> bool) -> Option<Frame> {
        let mut inner = self.lock();
        let at = inner.gops.iter().position(|fed| !stays(fed))?;
        let from = inner.gops[at].at;
        inner.gops.truncate(at);
        Some(from)
    }

    fn take(&self) -> Option<Fed> {
        let mut inner = self.lock();
        let fed = inner.gops.pop_front()?;
        inner.front = fed.end();
        Some(fed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
