//! What the daemon holds when all is calm: memory, descriptors, processes. What it holds more of each time leaks.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::servers::Server;
use crate::stage::{CHANNELS, Stage};

/// The name in the environment of every process of the daemon.
pub const MARK: &str = "PLAYOUT_SOAK";
/// How long is measured at each calm.
const MEASURED: Duration = Duration::from_secs(12);
/// More descriptors than at the first calm. Pools of connections breathe; one lost by each fault would be hundreds.
const SLACK: usize = 8;
/// Memory may grow by so much in ten minutes, in KiB.
const GROWTH: f64 = 1024.0;
/// Shorter, and no rate of growth can be told.
const JUDGED: Duration = Duration::from_secs(600);

/// The daemon at one calm.
#[derive(Debug, Clone)]
pub struct Measured {
    pub at: Duration,
    /// Whether memory is judged from here on.
    pub warm: bool,
    /// Memory that is nobody else's and no file's, in KiB: the median over the calm.
    pub anonymous: u64,
    /// `VmRSS` in KiB.
    pub resident: u64,
    /// The fewest at once.
    pub descriptors: usize,
    pub threads: usize,
    pub processes: usize,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Gauges {
    pub calms: Vec<Measured>,
    pub faults: Vec<String>,
}

impl Gauges {
    /// Measures at a calm.
    pub fn measure(&mut self, stage: &Stage, at: Duration, warm: bool) {
        let pid = stage.daemon.pid();
        let begun = Instant::now();
        let (mut anonymous, mut descriptors) = (Vec::new(), Vec::new());
        while begun.elapsed() < MEASURED {
            anonymous.push(kib(pid, "smaps_rollup", "Anonymous:"));
            descriptors.push(open_files(pid));
            std::thread::park_timeout(Duration::from_millis(250));
        }
        anonymous.sort_unstable();
        let measured = Measured {
            at,
            warm,
            anonymous: anonymous[anonymous.len() / 2],
            resident: kib(pid, "status", "VmRSS:"),
            descriptors: descriptors.iter().copied().min().unwrap_or_default(),
            threads: kib(pid, "status", "Threads:") as usize,
            processes: self.processes(stage),
        };
        let base = self
            .calms
            .first()
            .map_or(usize::MAX, |first| first.descriptors);
        if measured.descriptors > base.saturating_add(SLACK) {
            let held = measured.descriptors;
            self.faults.push(format!(
                "{held} descriptors at {at:?}, {base} at the first calm: {:?}",
                kinds(pid)
            ));
        }
        self.calms.push(measured);
    }

    /// Looks whether the daemon's processes are those that should be, and counts them.
    pub fn processes(&mut self, stage: &Stage) -> usize {
        let mut strange = Vec::new();
        let mut count = 0;
        let right = || {
            let mut running = children(stage.daemon.pid());
            count = running.len();
            let servers = [Server::Postgres, Server::Redis].map(|server| server.pid(&stage.daemon));
            running.retain(|pid| !servers.contains(&Some(*pid)));
            let mut listed = Vec::new();
            for n in 0..CHANNELS {
                let [sources, pushes] = stage.processes(n);
                // One reads, and the next may be ready; one pushes to each platform.
                if !(1..=2).contains(&sources.len()) || pushes.len() != stage.platforms.len() {
                    return false;
                }
                listed.extend(sources);
                listed.extend(pushes);
            }
            running.sort_unstable();
            listed.sort_unstable();
            strange = running
                .iter()
                .filter(|pid| !listed.contains(pid))
                .copied()
                .collect();
            strange.extend(orphans());
            running == listed && strange.is_empty()
        };
        if !holds_soon(right) {
            let named: Vec<String> = strange
                .iter()
                .map(|pid| format!("{pid} {}", command(*pid)))
                .collect();
            self.faults.push(format!(
                "processes that nobody knows, or too few: {named:?}"
            ));
        }
        count
    }

    /// The latest measurement in a line.
    pub fn last(&self) -> String {
        format!("{:?}", self.calms.last())
    }

    /// How much memory grows in ten minutes, in KiB, by the median of all slopes (Theil, Sen): what a single
    /// measurement is off by does not move it. Nothing where too little was measured.
    pub fn growth(&self) -> Option<f64> {
        let warm: Vec<&Measured> = self.calms.iter().filter(|calm| calm.warm).collect();
        let (first, last) = (warm.first()?, warm.last()?);
        if last.at - first.at < JUDGED {
            return None;
        }
        let mut slopes = Vec::new();
        for (n, from) in warm.iter().enumerate() {
            for to in &warm[n + 1..] {
                let grown = to.anonymous as f64 - from.anonymous as f64;
                slopes.push(grown / (to.at - from.at).as_secs_f64() * 600.0);
            }
        }
        slopes.sort_by(f64::total_cmp);
        slopes.get(slopes.len() / 2).copied()
    }

    /// Everything wrong.
    pub fn wrong(&self) -> Vec<String> {
        let grown = self.growth().filter(|grown| *grown > GROWTH);
        let grown = grown.map(|grown| format!("memory grows by {grown:.0} KiB in 10 minutes"));
        self.faults.iter().cloned().chain(grown).collect()
    }
}

/// Whether it holds within half a minute; what is left over never goes.
fn holds_soon(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if condition() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    false
}

/// The value of [`MARK`] for this run.
pub fn mark() -> &'static str {
    static MARKED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MARKED.get_or_init(|| format!("/soak/{}", std::process::id()))
}

/// Every process that has begun as the daemon or below it, whoever its parent is now.
pub fn marked() -> Vec<u32> {
    let wanted = format!("{MARK}={}", mark());
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    };
    pids().into_iter().filter(is_marked).collect()
}

/// Marked processes that are not below this one any more.
fn orphans() -> Vec<u32> {
    let own = std::process::id();
    let is_below = |pid: &u32| {
        let mut at = Some(*pid);
        while let Some(pid) = at.filter(|pid| *pid > 1) {
            if pid == own {
                return true;
            }
            at = parent(pid);
        }
        false
    };
    let mut found = marked();
    found.retain(|pid| !is_below(pid) && parent(*pid).is_some());
    found
}

fn pids() -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("proc").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn children(of: u32) -> Vec<u32> {
    pids()
        .into_iter()
        .filter(|pid| parent(*pid) == Some(of))
        .collect()
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line)
        .replace('\0', " ")
        .chars()
        .take(160)
        .collect()
}

/// A number in KiB, or a plain one, from one of a process's files.
fn kib(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How many descriptors of each kind there are.
fn kinds(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        let kind = target.split(":[").next().unwrap_or(&target).to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}
