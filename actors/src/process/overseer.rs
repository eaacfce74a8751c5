//! Whether a child uses more than it may, and whether that is why it ended.
//!
//! The kernel refuses it memory a little above its limit, and asks it to end when its CPU time is spent. A program
//! may go on without the memory that it was refused (FFmpeg's decoders do, and leave out pictures), and a share of
//! CPU is nothing the kernel counts: so a look at `/proc` every second or so ends what is above its limits. What
//! ended before anybody looked is known by its last words and by the CPU time it had used.

use std::time::Duration;

use nix::sys::signal::Signal;
use playout_domain::resources::{Allowance, Excess, ShareMeter};
use tokio::time::{Instant, sleep_until};

use super::group::ExitKind;
use super::stats::{ProcessStats, cpu_time, stats};

/// How often its memory is looked at, at least.
const PERIOD: Duration = Duration::from_secs(1);

/// What programs say, in lower case, when they get no more memory: the C library, perl and python, x264, FFmpeg's
/// decoders and filters.
const NO_MEMORY: [&str; 5] = [
    "cannot allocate memory",
    "out of memory",
    "memoryerror",
    "malloc of size",
    "thread_get_buffer() failed",
];

/// Watches one child.
#[derive(Debug)]
pub(super) struct Overseer {
    pid: u32,
    allowance: Allowance,
    began: Instant,
    /// Where its share of CPU is limited.
    meter: Option<ShareMeter>,
    /// When it is to be looked at; nothing: there is nothing to look for.
    next: Option<Instant>,
    /// What it is being killed for.
    excess: Option<Excess>,
}

impl Overseer {
    /// For child `pid`, which begins now.
    pub(super) fn new(pid: u32, allowance: Allowance) -> Self {
        let meter = allowance
            .share
            .map(|share| ShareMeter::starting(share, Duration::ZERO));
        let mut overseer = Self {
            pid,
            allowance,
            began: Instant::now(),
            meter,
            next: None,
            excess: None,
        };
        overseer.look_again();
        overseer
    }

    fn look_again(&mut self) {
        let memory = self.allowance.memory.map(|_| PERIOD);
        let share = self.meter.as_ref().map(ShareMeter::period);
        let soonest = [memory, share].into_iter().flatten().min();
        self.next = soonest.map(|period| Instant::now() + period);
    }

    /// Returns when the child is to be looked at; never, where there is nothing to look for. Cancel-safe.
    pub(super) async fn due(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the child, which is not reaped meanwhile; answers whether it is to be killed.
    pub(super) fn look(&mut self) -> bool {
        self.look_again();
        let Some(stats) = stats(self.pid) else {
            return false;
        };
        self.excess = self.judge(&stats);
        if self.excess.is_some() {
            // It is killed once.
            self.next = None;
        }
        self.excess.is_some()
    }

    fn judge(&mut self, stats: &ProcessStats) -> Option<Excess> {
        let since = self.began.elapsed();
        let above = self.allowance.memory.filter(|limit| stats.data > *limit);
        above.map(Excess::Memory).or_else(|| {
            self.meter
                .as_mut()
                .and_then(|meter| meter.on(since, stats.cpu_time))
        })
    }

    /// Looks at the child, which has ended and is not reaped yet: FFmpeg takes SIGXCPU for the wish that it end,
    /// and says nothing of it. Limits go by whole ticks of the clock and `/proc` by time, so they lie apart.
    pub(super) fn look_back(&mut self) {
        if let Some(limit) = self.allowance.cpu_time
            && self.excess.is_none()
            && cpu_time(self.pid).is_some_and(|used| used >= limit * 3 / 4)
        {
            self.excess = Some(Excess::CpuTime(limit));
        }
    }

    /// How it ended, seen by what it has used.
    pub(super) fn explain(&self, exit: ExitKind) -> ExitKind {
        if let (ExitKind::Signal(signal), Some(limit)) = (exit, self.allowance.cpu_time)
            && signal == Signal::SIGXCPU as i32
        {
            return ExitKind::Overran(Excess::CpuTime(limit));
        }
        match self.excess {
            Some(excess) if !exit.success() && !matches!(exit, ExitKind::Overran(_)) => {
                ExitKind::Overran(excess)
            }
            _ => exit,
        }
    }
}

/// How a child ended, seen by its last `words`.
pub(super) fn judged(exit: ExitKind, words: &str, allowance: &Allowance) -> ExitKind {
    if exit.success() || matches!(exit, ExitKind::Overran(_)) {
        return exit;
    }
    let words = words.to_ascii_lowercase();
    match allowance.memory {
        Some(limit) if NO_MEMORY.iter().any(|said| words.contains(said)) => {
            ExitKind::Overran(Excess::Memory(limit))
        }
        _ => exit,
    }
}
