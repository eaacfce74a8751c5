//! Hours in minutes (`make soak MINUTES=30`): several channels, each pushed to two platforms through a bad network,
//! followed by viewers that judge every segment, while random faults are injected.
//!
//! It fails on any continuity error, leaked process, leaked descriptor, or memory that grows by more than 1 MiB in 10
//! minutes after warm-up. `SEED=` repeats a run's faults. Prints a Markdown report for `docs/reliability.md`.
#![allow(clippy::unwrap_used, reason = "a soak that cannot go on has failed")]
#![allow(unreachable_pub)]

#[path = "../../tests/daemon/clips.rs"]
#[allow(dead_code)]
mod clips;
#[path = "../../tests/daemon/daemon.rs"]
#[allow(dead_code)]
mod daemon;
#[path = "../../tests/daemon/plain.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../tests/judge/mod.rs"]
mod judge;
#[path = "../../tests/daemon/numbers.rs"]
mod numbers;
#[path = "../../tests/faults/proxy.rs"]
#[allow(dead_code)]
mod proxy;
#[path = "../../tests/receiver/mod.rs"]
mod receiver;
#[path = "../../tests/daemon/servers.rs"]
#[allow(dead_code)]
mod servers;
#[path = "../../tests/daemon/viewer.rs"]
#[allow(dead_code)]
mod viewer;

mod faults;
mod follower;
mod gauges;
mod pictures;
mod report;
mod stage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use faults::Faults;
use gauges::Gauges;
use report::Report;
use stage::Stage;

/// Faults are injected for so long at a time, then everything has to come back.
const BETWEEN_CALMS: Duration = Duration::from_secs(100);
/// How often a daemon is killed at the end.
const KILLS: usize = 4;

/// How long the whole of it takes, and how long its first part, in which memory is not judged: what is
/// remembered for ten minutes has to fill up first.
struct Plan {
    whole: Duration,
    warm_up: Duration,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.trim().parse::<u64>().ok();
        let minutes = number("MINUTES").unwrap_or(30).max(1);
        let whole = Duration::from_secs(minutes * 60);
        Self {
            whole,
            warm_up: whole.mul_f64(0.4).min(Duration::from_secs(720)),
            seed: number("SEED").unwrap_or_else(|| jiff::Timestamp::now().as_second() as u64),
        }
    }
}

fn main() -> ExitCode {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    let plan = Plan::from_environment();
    eprintln!("soak: {:?}, SEED={}", plan.whole, plan.seed);
    let report = soak(&plan);
    println!("{report}");
    if report.failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn soak(plan: &Plan) -> Report {
    let data = daemon::folder();
    let mut stage = Stage::set(data.path());
    let mut faults = Faults::new(plan.seed);
    let mut gauges = Gauges::default();
    let begun = Instant::now();
    // The kills take their time, and so does the last calm.
    let kills_at = plan.whole.mul_f64(0.85);
    while begun.elapsed() < kills_at {
        let until = begun.elapsed() + BETWEEN_CALMS;
        while begun.elapsed() < until.min(kills_at) {
            faults.inject(&mut stage);
        }
        faults.mend_all(&mut stage);
        stage.calm();
        gauges.measure(&stage, begun.elapsed(), begun.elapsed() >= plan.warm_up);
        eprintln!("soak: {:?} {}", begun.elapsed(), gauges.last());
    }
    for _ in 0..KILLS {
        let until = begun.elapsed() + (plan.whole - kills_at) / 8;
        while begun.elapsed() < until {
            faults.inject(&mut stage);
        }
        faults.mend_all(&mut stage);
        faults.kill_daemon(&mut stage);
    }
    stage.calm();
    gauges.processes(&stage);
    let late = stage.late_segments();
    let channels = stage.followed();
    let left = stage.end();
    Report {
        seed: plan.seed,
        took: begun.elapsed(),
        faults: faults.counted(),
        gauges,
        channels,
        late,
        left,
    }
}
