//! What one FFmpeg, and all of a channel's together, may use; and when that is more than allowed.
//!
//! Memory is what the process may change and shares with nobody (`RLIMIT_DATA`), in bytes. CPU is either a time
//! in all, for work that ends, or a share of a core over a while, for what runs as long as its channel does: its
//! time adds up for ever, and only a share says that it runs away.
//!
//! Decides only. `now` is the time since any fixed moment, by a clock that is never set back.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::config::ResourceSettings;

const MIB: u64 = 1 << 20;

/// A share of the processors over a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share {
    /// In percent of one core: 250 are two and a half.
    pub percent: u32,
    /// The while it is taken over.
    pub over: Duration,
}

/// What one process may use. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// Private writable memory, in bytes.
    pub memory: Option<u64>,
    /// CPU time in all.
    pub cpu_time: Option<Duration>,
    /// CPU over a while.
    pub share: Option<Share>,
}

impl Allowance {
    /// The same for a channel that wants less; it cannot have more.
    #[must_use]
    pub fn within(self, wanted: ResourceSettings) -> Self {
        Self {
            memory: least(self.memory, wanted.memory),
            share: match (self.share, wanted.cpu) {
                (Some(share), cpu) => Some(Share {
                    percent: least(Some(share.percent), cpu).unwrap_or(share.percent),
                    ..share
                }),
                (None, Some(percent)) => Some(Share {
                    percent,
                    over: WINDOW,
                }),
                (None, None) => None,
            },
            ..self
        }
    }
}

/// What all processes of a channel may use together, where the system lets the daemon group them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupAllowance {
    /// Memory with the files that are read, in bytes.
    pub memory: Option<u64>,
    /// In percent of one core: more is held back, and ends nobody.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub tasks: Option<u32>,
}

impl GroupAllowance {
    /// The same for a channel that wants less; it cannot have more.
    #[must_use]
    pub fn within(self, wanted: ResourceSettings) -> Self {
        Self {
            memory: least(self.memory, wanted.memory),
            cpu: least(self.cpu, wanted.cpu),
            ..self
        }
    }
}

/// What each kind of process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowances {
    /// A source that copies what is prepared.
    pub source: Allowance,
    /// A source that transcodes while it plays.
    pub live: Allowance,
    /// A push to a destination.
    pub push: Allowance,
    /// What prepares an item.
    pub prepare: Allowance,
    /// A look into a file.
    pub probe: Allowance,
    /// A channel's processes together.
    pub channel: GroupAllowance,
}

/// The while over which a share is taken unless it is said otherwise.
pub const WINDOW: Duration = Duration::from_secs(30);

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What a process was ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Excess {
    /// It wanted more memory than this, in bytes.
    Memory(u64),
    /// Its channel's processes together wanted more memory than this, in bytes.
    GroupMemory(u64),
    /// It used more CPU time in all than this.
    CpuTime(Duration),
    /// It used more of the processors than this, all the while.
    Share(Share),
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory(bytes) => write!(
                f,
                "used more memory than its limit of {} MiB",
                bytes.div_ceil(MIB)
            ),
            Self::GroupMemory(bytes) => write!(
                f,
                "was ended because its channel used more memory than its limit of {} MiB",
                bytes.div_ceil(MIB)
            ),
            Self::CpuTime(time) => write!(
                f,
                "used more CPU time than its limit of {} s",
                time.as_secs()
            ),
            Self::Share(Share { percent, over }) => write!(
                f,
                "ran away: it used more than {percent} % of a core for {} s",
                over.as_secs()
            ),
        }
    }
}

/// Watches one process's CPU for more than its share. A process is judged once it has run for the whole while, and
/// from then on by what lies behind: a short burst, be it at the start or later, is nothing.
#[derive(Debug, Clone)]
pub struct ShareMeter {
    share: Share,
    /// Moments and the CPU time used until then, oldest first; the oldest is a whole while back, once there is one.
    samples: VecDeque<(Duration, Duration)>,
}

impl ShareMeter {
    /// A process that began at `now`.
    pub fn starting(share: Share, now: Duration) -> Self {
        Self {
            share,
            samples: VecDeque::from([(now, Duration::ZERO)]),
        }
    }

    /// How often it wants to be told.
    pub fn period(&self) -> Duration {
        (self.share.over / 10).clamp(Duration::from_millis(100), Duration::from_secs(3))
    }

    /// The process has used `cpu` in all by `now`. Answers what it is to be ended for.
    pub fn on(&mut self, now: Duration, cpu: Duration) -> Option<Excess> {
        self.samples.push_back((now, cpu));
        let whole = |(at, _): &(Duration, Duration)| now.saturating_sub(*at) >= self.share.over;
        while self.samples.get(1).is_some_and(whole) {
            self.samples.pop_front();
        }
        let (since, before) = self
            .samples
            .front()
            .copied()
            .filter(|oldest| whole(oldest))?;
        let used = cpu.saturating_sub(before).as_nanos() * 100;
        let allowed = now.saturating_sub(since).as_nanos() * u128::from(self.share.percent);
        (used > allowed).then_some(Excess::Share(self.share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Share = Share {
        percent: 50,
        over: Duration::from_secs(10),
    };

    /// Feeds a second of CPU at each of `loads` (percent of a core); answers at which second it is ended.
    fn ended_at(loads: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut meter = ShareMeter::starting(HALF, Duration::from_secs(7));
        let mut cpu = Duration::ZERO;
        for (second, load) in loads.into_iter().enumerate() {
            cpu += Duration::from_millis(load * 10);
            let now = Duration::from_secs(8 + second as u64);
            if meter.on(now, cpu).is_some() {
                return Some(second + 1);
            }
        }
        None
    }

    #[test]
    fn a_process_runs_away_when_it_is_above_its_share_for_the_whole_while() {
        let (burst, calm) = (vec![100; 4], vec![3; 30]);
        let table = [
            ("calm", vec![3; 86_400], None),
            ("a spinning core", vec![100; 30], Some(10)),
            ("just its share", vec![50; 3_600], None),
            ("a little more", vec![51; 30], Some(10)),
            (
                "a burst at the start",
                [burst.clone(), calm.clone()].concat(),
                None,
            ),
            ("a burst later", [calm.clone(), burst, calm].concat(), None),
            // Six seconds at 100 % and four at 3 %: 61 % of ten.
            (
                "it begins to spin",
                [vec![3; 30], vec![100; 30]].concat(),
                Some(35),
            ),
        ];
        for (what, loads, ended) in table {
            assert_eq!(ended_at(loads), ended, "{what}");
        }
    }

    #[test]
    fn a_meter_keeps_no_more_than_its_while() {
        let mut meter = ShareMeter::starting(HALF, Duration::ZERO);
        for second in 1..1_000 {
            meter.on(Duration::from_secs(second), Duration::ZERO);
        }
        assert_eq!(meter.samples.len(), 11);
    }

    #[test]
    fn a_channel_may_want_less_and_never_gets_more() {
        let memory = |memory| Allowance {
            memory,
            ..Allowance::default()
        };
        let wants = |memory, cpu| ResourceSettings { memory, cpu };
        for (daemon, channel, result) in [
            (None, None, None),
            (Some(9), None, Some(9)),
            (None, Some(5), Some(5)),
            (Some(9), Some(5), Some(5)),
            (Some(9), Some(50), Some(9)),
        ] {
            let within = memory(daemon).within(wants(channel, None));
            assert_eq!(within.memory, result, "{daemon:?} {channel:?}");
            let group = GroupAllowance {
                memory: daemon,
                cpu: None,
                tasks: None,
            };
            assert_eq!(group.within(wants(channel, None)).memory, result);
        }
        let shared = Allowance {
            share: Some(HALF),
            ..Allowance::default()
        };
        let percent =
            |of: Allowance, cpu| of.within(wants(None, cpu)).share.map(|share| share.percent);
        assert_eq!(percent(shared, Some(20)), Some(20));
        assert_eq!(percent(shared, Some(200)), Some(50));
        assert_eq!(percent(Allowance::default(), Some(20)), Some(20));
    }

    #[test]
    fn an_excess_says_the_limit() {
        for (excess, sentence) in [
            (
                Excess::Memory(64 << 20),
                "used more memory than its limit of 64 MiB",
            ),
            (
                Excess::CpuTime(Duration::from_secs(60)),
                "used more CPU time than its limit of 60 s",
            ),
            (
                Excess::Share(HALF),
                "ran away: it used more than 50 % of a core for 10 s",
            ),
            (
                Excess::GroupMemory(1 << 30),
                "was ended because its channel used more memory than its limit of 1024 MiB",
            ),
        ] {
            assert_eq!(excess.to_string(), sentence);
        }
    }
}
