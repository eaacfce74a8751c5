//! What a process has used, from `/proc/PID/{stat,statm,io}` (`proc(5)`).

use std::fs;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// Resources used by one process since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStats {
    /// CPU time in user and kernel mode.
    pub cpu_time: Duration,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Private writable memory in bytes, resident or not: what `RLIMIT_DATA` counts, and the stack.
    pub data: u64,
    /// Bytes read by system calls, from files and pipes, cached or not.
    pub read_bytes: u64,
    /// Bytes written by system calls, to files and pipes.
    pub write_bytes: u64,
}

/// The figures of process `pid`; `None` when there is no such process or it has ended.
///
/// The process must belong to this user, else its I/O figures are 0.
pub fn stats(pid: u32) -> Option<ProcessStats> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let (cpu_ticks, state) = parse_stat(&read("stat")?)?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let (read_bytes, write_bytes) = read("io").map_or((0, 0), |io| parse_io(&io));
    let page = variable(SysconfVar::PAGE_SIZE, 4096);
    let (rss, data) = parse_statm(&read("statm")?)?;
    Some(ProcessStats {
        cpu_time: ticks(cpu_ticks),
        rss: rss * page,
        data: data * page,
        read_bytes,
        write_bytes,
    })
}

/// The CPU time of process `pid`, also once it has ended and is not reaped yet.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat).map(|(cpu_ticks, _)| ticks(cpu_ticks))
}

fn variable(name: SysconfVar, usual: u64) -> u64 {
    sysconf(name)
        .ok()
        .flatten()
        .and_then(|v| u64::try_from(v).ok())
        .unwrap_or(usual)
}

fn ticks(count: u64) -> Duration {
    let per_second = variable(SysconfVar::CLK_TCK, 100).max(1);
    Duration::from_millis(count.saturating_mul(1000) / per_second)
}

/// CPU ticks and state. The command name, field 2, may hold spaces and parentheses: fields are
/// counted from the last `)`.
fn parse_stat(stat: &str) -> Option<(u64, char)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut times = fields.skip(10);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system, state))
}

/// Resident pages, and those of data and stack.
fn parse_statm(statm: &str) -> Option<(u64, u64)> {
    let mut fields = statm.split_ascii_whitespace().skip(1);
    let resident = fields.next()?.parse().ok()?;
    Some((resident, fields.nth(3)?.parse().ok()?))
}

fn parse_io(io: &str) -> (u64, u64) {
    let field = |name: &str| {
        io.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or(0)
    };
    (field("rchar:"), field("wchar:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 1 0 9 1 2";
        assert_eq!(parse_stat(line), Some((22, 'S')));
    }

    #[test]
    fn statm_tells_what_is_resident_and_what_is_data() {
        assert_eq!(parse_statm("900 300 100 20 0 450 0\n"), Some((300, 450)));
    }

    #[test]
    fn io_counts_what_passed_through_system_calls() {
        let io = "rchar: 12\nwchar: 34\nsyscr: 1\nread_bytes: 99\nwrite_bytes: 98\n";
        assert_eq!(parse_io(io), (12, 34));
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn this_process_has_figures_and_a_missing_one_has_none() {
        let own = stats(std::process::id()).unwrap();
        assert!(own.rss > 100_000, "{own:?}");
        assert!(own.read_bytes > 0, "{own:?}");
        assert_eq!(stats(u32::MAX), None);
    }
}
