//! What a running playout shows of itself: written by its tasks, read by status, health, processes and
//! heartbeats without a message and without a wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use playout_domain::units::{BitsPerSecond, FrameRate, Ticks90k};

use crate::channels::OnAir;
use crate::process::{self, ProcessStats};

/// The segments over which the bitrate is taken.
const RECENT: usize = 10;

/// See the module's head. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    inner: Arc<Mutex<State>>,
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
    processes: Vec<Running>,
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

/// A source process.
#[derive(Debug, Clone)]
struct Running {
    run: u64,
    pid: u32,
    input: String,
    started: Timestamp,
    /// When it last delivered media.
    delivered: Timestamp,
    /// Bytes it delivered.
    bytes: u64,
    /// The last sample, from which rates are taken.
    last: Option<(Instant, ProcessStats, u64)>,
}

/// One source process as it was sampled.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    /// The number of the run.
    pub(crate) run: u64,
    /// Its process id.
    pub(crate) pid: u32,
    /// The file it reads.
    pub(crate) input: String,
    /// When it was started.
    pub(crate) started: Timestamp,
    /// When it last delivered media.
    pub(crate) delivered: Timestamp,
    /// Fraction of a core since the last sample (since its start for the first).
    pub(crate) cpu: f64,
    /// Bits/s piped since the last sample.
    pub(crate) bandwidth: BitsPerSecond,
    /// Memory and I/O.
    pub(crate) stats: ProcessStats,
}

impl View {
    /// The view of a playout that follows this one's: what was published since the start is counted on,
    /// what was going on is over.
    pub(crate) fn followed(&self) -> Self {
        let mut state = self.read();
        state.processes.clear();
        state.on_air = None;
        state.recovering = false;
        state.errors = 0;
        state.buffered = Ticks90k::default();
        Self {
            inner: Arc::new(Mutex::new(state)),
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

    /// Shows a source process for as long as the answer lives.
    pub(super) fn show(&self, run: u64, pid: u32, input: String, now: Timestamp) -> Shown {
        let running = Running {
            run,
            pid,
            input,
            started: now,
            delivered: now,
            bytes: 0,
            last: None,
        };
        self.lock().processes.push(running);
        Shown {
            view: self.clone(),
            run,
        }
    }

    /// Samples the source processes; `keep` makes this sample the one that the next is compared with.
    pub(crate) fn sample(&self, keep: bool) -> Vec<Sampled> {
        let now = Instant::now();
        let wall = Timestamp::now();
        let mut state = self.lock();
        let sample = |running: &mut Running| {
            let stats = process::stats(running.pid)?;
            let (since, cpu_before, bytes_before) = match &running.last {
                Some((at, stats, bytes)) => (now.duration_since(*at), stats.cpu_time, *bytes),
                None => (
                    wall.duration_since(running.started)
                        .try_into()
                        .unwrap_or_default(),
                    Default::default(),
                    0,
                ),
            };
            let cpu = stats.cpu_time.saturating_sub(cpu_before).as_secs_f64()
                / since.as_secs_f64().max(0.001);
            let bandwidth = BitsPerSecond::of(running.bytes - bytes_before, since);
            if keep {
                running.last = Some((now, stats, running.bytes));
            }
            Some(Sampled {
                run: running.run,
                pid: running.pid,
                input: running.input.clone(),
                started: running.started,
                delivered: running.delivered,
                cpu,
                bandwidth,
                stats,
            })
        };
        state.processes.iter_mut().filter_map(sample).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a source process shown; dropping it takes it away.
#[derive(Debug)]
pub(super) struct Shown {
    view: View,
    run: u64,
}

impl Shown {
    /// Notes that the process delivered `bytes`.
    pub(super) fn delivered(&self, bytes: u64, now: Timestamp) {
        let run = self.run;
        self.view.update(|state| {
            if let Some(running) = state
                .processes
                .iter_mut()
                .find(|running| running.run == run)
            {
                running.bytes += bytes;
                running.delivered = now;
            }
        });
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let run = self.run;
        self.view
            .update(|state| state.processes.retain(|running| running.run != run));
    }
}
