//! The processes that run for one channel, as its API and its heartbeats show them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use playout_domain::ids::DestinationId;
use playout_domain::units::BitsPerSecond;

use super::stats::{ProcessStats, stats};

/// What a process does for its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It reads an item of the plan and feeds the splicer.
    Source,
    /// It pushes the channel to a destination.
    Rtmp(DestinationId),
}

impl Role {
    /// Its name in heartbeats.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Rtmp(_) => "rtmp",
        }
    }
}

/// What is shown of a process that begins.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) role: Role,
    /// Whether it reads an item that it has to transcode.
    pub(crate) transcodes: bool,
    /// The number of the run among those of its role.
    pub(crate) run: u64,
    pub(crate) pid: u32,
    /// What it reads.
    pub(crate) input: String,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Tells it from all others of the list.
    number: u64,
    begun: Begun,
    started: Timestamp,
    /// When media last passed through it.
    moved: Timestamp,
    /// Bytes that passed through it.
    bytes: u64,
    /// The last sample, from which rates are taken.
    last: Option<(Instant, ProcessStats, u64)>,
}

/// One process as it was sampled.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    pub(crate) begun: Begun,
    /// When it was started.
    pub(crate) started: Timestamp,
    /// When media last passed through it.
    pub(crate) moved: Timestamp,
    /// Fraction of a core since the last sample (since its start for the first).
    pub(crate) cpu: f64,
    /// Bits/s piped since the last sample.
    pub(crate) bandwidth: BitsPerSecond,
    /// Memory and I/O.
    pub(crate) stats: ProcessStats,
}

/// See the module's head. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Numbers the entries.
    came: u64,
    entries: Vec<Entry>,
}

impl Running {
    /// Shows a process for as long as the answer lives.
    pub(crate) fn show(&self, begun: Begun, now: Timestamp) -> Shown {
        let mut inner = self.lock();
        inner.came += 1;
        let number = inner.came;
        inner.entries.push(Entry {
            number,
            begun,
            started: now,
            moved: now,
            bytes: 0,
            last: None,
        });
        Shown {
            list: self.clone(),
            number,
        }
    }

    /// Samples the processes; `keep` makes this sample the one that the next is compared with.
    pub(crate) fn sample(&self, keep: bool) -> Vec<Sampled> {
        let now = Instant::now();
        let wall = Timestamp::now();
        let sample = |entry: &mut Entry| {
            let stats = stats(entry.begun.pid)?;
            let (since, cpu_before, bytes_before) = match &entry.last {
                Some((at, stats, bytes)) => (now.duration_since(*at), stats.cpu_time, *bytes),
                None => (
                    wall.duration_since(entry.started)
                        .try_into()
                        .unwrap_or_default(),
                    Default::default(),
                    0,
                ),
            };
            let cpu = stats.cpu_time.saturating_sub(cpu_before).as_secs_f64()
                / since.as_secs_f64().max(0.001);
            let bandwidth = BitsPerSecond::of(entry.bytes - bytes_before, since);
            if keep {
                entry.last = Some((now, stats, entry.bytes));
            }
            Some(Sampled {
                begun: entry.begun.clone(),
                started: entry.started,
                moved: entry.moved,
                cpu,
                bandwidth,
                stats,
            })
        };
        self.lock().entries.iter_mut().filter_map(sample).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a process shown; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Shown {
    list: Running,
    number: u64,
}

impl Shown {
    /// Notes that `bytes` of media passed through the process.
    pub(crate) fn moved(&self, bytes: u64, now: Timestamp) {
        let mut inner = self.list.lock();
        let entry = inner.entries.iter_mut().find(|e| e.number == self.number);
        if let Some(entry) = entry {
            entry.bytes += bytes;
            entry.moved = now;
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let number = self.number;
        self.list.lock().entries.retain(|e| e.number != number);
    }
}
