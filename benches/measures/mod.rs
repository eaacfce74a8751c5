//! What several measurements share: which parts were asked for, a clip, what processes use, as the kernel tells.

use std::path::PathBuf;

use crate::clips;

/// Whether a part was asked for: `cargo bench --bench recovery -- kills`; all are where none is named.
pub fn wanted(part: &str) -> bool {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    named.is_empty() || named.iter().any(|name| name == part)
}

/// So many seconds of 1280×720 at 25 frames a second, with noise in every frame.
pub fn clip(seconds: u32) -> PathBuf {
    clips::make(&format!("bench-720p25-{seconds}s.mp4"), |out| {
        let pictures =
            format!("testsrc2=size=1280x720:rate=25:duration={seconds},noise=alls=12:allf=t");
        let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        clips::ffmpeg(&["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M"])
            .args([
                "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "mp4",
            ])
            .arg(out)
            .status()
            .expect("ffmpeg runs")
            .success()
    })
}

/// User and kernel time of a process in seconds, with that of children it has reaped.
fn cpu_of(pid: u32, reaped: bool) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or_default()
    };
    let own = ticks(11) + ticks(12);
    (if reaped {
        own + ticks(13) + ticks(14)
    } else {
        own
    }) / 100.0
}

/// User and kernel time of a process in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    cpu_of(pid, false)
}

/// The same of a process and everything below it, ended children included.
pub fn tree_cpu(pid: u32) -> f64 {
    let below: f64 = children(pid).into_iter().map(tree_cpu).sum();
    cpu_of(pid, true) + below
}

/// The processes that a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let of = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    let all: Vec<String> = tasks.flatten().flatten().map(of).collect();
    let pids = all.iter().flat_map(|pids| pids.split_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// What a process was started with.
pub fn arguments(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let parts = line
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// Proportional memory of a process in megabytes.
pub fn pss(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .unwrap_or_default()
        / 1000.0
}
