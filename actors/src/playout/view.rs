//! What a running playout shows of itself: written by its tasks, read by status, health, processes and
//! heartbeats without a message and without a wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::units::{BitsPerSecond, FrameRate, Ticks90k};

use crate::channels::OnAir;
use crate::process::Running;

/// The segments over which the bitrate is taken.
const RECENT: usize = 10;

/// See the module's head. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    inner: Arc<Mutex<State>>,
    /// Its source processes.
    pub(crate) processes: Running,
}

/// What there is to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// What viewers see.
    pub(crate) on_air: Option<OnAir>,
    /// Whether a source failed and its item is not back yet.
    pub(crate) recovering: bool,
    /// Failures of sources in a row.
    pub(crate) errors: u64,
    /// Failures of sources in all.
    pub(crate) failures: u64,
    /// Segments published.
    pub(crate) segments: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// When the newest was published.
    pub(crate) last_segment: Option<Timestamp>,
    /// Segments published later than their media time allows.
    pub(crate) late_segments: u64,
    /// True breaks of the stream.
    pub(crate) discontinuities: u64,
    /// Access units that silence stands for.
    pub(crate) silent_units: u64,
    /// Media read ahead.
    pub(crate) buffered: Ticks90k,
    /// Bytes and frames of the newest segments.
    recent: VecDeque<(u64, u64)>,
}

impl State {
    /// Bits/s over the newest segments.
    pub(crate) fn bitrate(&self, rate: FrameRate) -> BitsPerSecond {
        let (bytes, frames) = self
            .recent
            .iter()
            .fold((0, 0), |(b, f), (bytes, frames)| (b + bytes, f + frames));
        BitsPerSecond::of(bytes, rate.duration(frames))
    }

    /// Counts a published segment.
    pub(crate) fn published(&mut self, bytes: u64, frames: u64, at: Timestamp) {
        self.segments += 1;
        self.bytes += bytes;
        self.last_segment = Some(at);
        self.recent.push_back((bytes, frames));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }
}

impl View {
    /// The view of a playout that follows this one's: what was published since the start is counted on,
    /// what was going on is over.
    pub(crate) fn followed(&self) -> Self {
        let mut state = self.read();
        state.on_air = None;
        state.recovering = false;
        state.errors = 0;
        state.buffered = Ticks90k::default();
        Self {
            inner: Arc::new(Mutex::new(state)),
            processes: Running::default(),
        }
    }

    /// Reads.
    pub(crate) fn read(&self) -> State {
        self.lock().clone()
    }

    /// Looks at one thing, without a copy of the whole.
    pub(super) fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock())
    }

    /// Changes.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
