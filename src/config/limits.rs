//! `[limits]`: what FFmpeg processes may use. A limit of 0 is none.

use std::time::Duration;

use playout_domain::resources::{Allowance, Allowances, GroupAllowance, Share};
use serde::{Deserialize, Serialize};

use super::bounded::{Count, Seconds};

/// Bytes.
type Memory = Count<0, 1_000_000_000_000>;
/// Percent of one core.
type Percent = Count<0, 100_000>;

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    pub source_memory: Memory,
    pub source_cpu: Percent,
    pub live_memory: Memory,
    pub live_cpu: Percent,
    pub push_memory: Memory,
    pub push_cpu: Percent,
    pub cpu_window: Seconds<1, 3600>,
    pub prepare_memory: Memory,
    pub prepare_cpu_time: Seconds<0, 10_000_000>,
    pub probe_memory: Memory,
    pub probe_cpu_time: Seconds<0, 10_000_000>,
    pub channel_memory: Memory,
    pub channel_cpu: Percent,
    pub channel_tasks: Count<0, 1_000_000>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            source_memory: Count::of(512 << 20),
            source_cpu: Count::of(100),
            live_memory: Count::of(8 << 30),
            live_cpu: Count::of(1600),
            push_memory: Count::of(512 << 20),
            push_cpu: Count::of(100),
            cpu_window: Seconds::of(30),
            prepare_memory: Count::of(8 << 30),
            prepare_cpu_time: Seconds::of(0),
            probe_memory: Count::of(8 << 30),
            probe_cpu_time: Seconds::of(60),
            channel_memory: Count::of(0),
            channel_cpu: Count::of(0),
            channel_tasks: Count::of(4096),
        }
    }
}

impl LimitSettings {
    /// As the living tier wants to know it.
    pub fn allowances(&self) -> Allowances {
        let lasting = |memory: Memory, cpu: Percent| Allowance {
            memory: bytes(memory),
            cpu_time: None,
            share: number(cpu.get()).map(|percent| Share {
                percent,
                over: self.cpu_window.duration(),
            }),
        };
        let ending = |memory: Memory, cpu_time: Duration| Allowance {
            memory: bytes(memory),
            cpu_time: (!cpu_time.is_zero()).then_some(cpu_time),
            share: None,
        };
        Allowances {
            source: lasting(self.source_memory, self.source_cpu),
            live: lasting(self.live_memory, self.live_cpu),
            push: lasting(self.push_memory, self.push_cpu),
            prepare: ending(self.prepare_memory, self.prepare_cpu_time.duration()),
            probe: ending(self.probe_memory, self.probe_cpu_time.duration()),
            channel: GroupAllowance {
                memory: bytes(self.channel_memory),
                cpu: number(self.channel_cpu.get()),
                tasks: number(self.channel_tasks.get()),
            },
        }
    }
}

fn bytes(memory: Memory) -> Option<u64> {
    Some(memory.get() as u64).filter(|limit| *limit > 0)
}

fn number(count: usize) -> Option<u32> {
    u32::try_from(count).ok().filter(|limit| *limit > 0)
}
