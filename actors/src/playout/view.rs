//! What a running playout shows of itself: written by its tasks, read by status, health, processes and
//! heartbeats without a message and without a wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::health::Health;
use playout_domain::units::Ticks90k;

use crate::channels::OnAir;
use crate::process::Running;

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
    /// What is counted.
    pub(crate) health: Health,
    /// Segments published later than their media time allows.
    pub(crate) late_segments: u64,
    /// True breaks of the stream.
    pub(crate) discontinuities: u64,
    /// Access units that silence stands for.
    pub(crate) silent_units: u64,
    /// Frames in which nothing but the slate was shown.
    pub(crate) dead_frames: u64,
    /// Media read ahead.
    pub(crate) buffered: Ticks90k,
    /// What is drawn over it.
    pub(crate) overlay: OverlayState,
}

/// How drawing goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct OverlayState {
    /// Whether viewers see what is drawn while it plays.
    pub(crate) drawn: bool,
    /// Whether they see the text of the profile.
    pub(crate) stands: bool,
    /// Why it is not drawn, where it should be.
    pub(crate) failure: Option<OverlayFailure>,
}

/// Why nothing is drawn.
#[derive(Debug, Clone)]
pub(crate) struct OverlayFailure {
    /// What happened.
    pub(crate) error: Arc<str>,
    /// When it is tried again.
    pub(crate) retry_at: Timestamp,
}

impl View {
    /// The view of a playout that follows this one's: what was published since the start is counted on,
    /// what was going on is over.
    pub(crate) fn followed(&self) -> Self {
        let mut state = self.read();
        state.on_air = None;
        state.health.followed();
        state.buffered = Ticks90k::default();
        state.overlay = OverlayState::default();
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
