//! wrk, the load generator: a process beside the daemon, on the same cores.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What wrk found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Answers a second.
    pub per_second: f64,
    /// Half of them came within this.
    pub median: Duration,
    /// 99 of 100 did.
    pub late: Duration,
    /// So many were refusals.
    pub refused: u64,
}

/// Requests as fast as they are answered, on so many connections for so many seconds. The script is Lua; it makes other
/// requests than `GET`.
pub fn wrk(url: &str, connections: usize, seconds: u32, script: &Path) -> Found {
    let threads = connections.min(2);
    let run = Command::new("wrk")
        .args(["--latency", "--timeout", "10s"])
        .arg(format!("--threads={threads}"))
        .arg(format!("--connections={connections}"))
        .arg(format!("--duration={seconds}s"))
        .arg("--script")
        .arg(script)
        .arg(url)
        .output()
        .expect("wrk runs: Debian's package of that name");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "wrk: {said}");
    assert!(!said.contains("Socket errors"), "{url}: {said}");
    let line = |name: &str| {
        let mut lines = said.lines();
        lines.find_map(|line| line.trim().strip_prefix(name).map(str::trim))
    };
    let after = |name: &str| line(name).unwrap_or_else(|| panic!("wrk says no {name}: {said}"));
    Found {
        per_second: after("Requests/sec:").parse().expect("a number"),
        median: time(after("50%")),
        late: time(after("99%")),
        // It says nothing of them where there are none.
        refused: line("Non-2xx or 3xx responses:").map_or(0, |n| n.parse().expect("a number")),
    }
}

/// A script for `GET` with these headers.
pub fn get(headers: &[(&str, &str)]) -> String {
    let mut script = String::new();
    for (name, value) in headers {
        let _ = writeln!(script, "wrk.headers[\"{name}\"] = \"{value}\"");
    }
    script
}

/// A script for `POST` of a body, each as the next of `tokens`.
pub fn post(tokens: &[String], body: &serde_json::Value) -> String {
    let tokens: Vec<String> = tokens.iter().map(|token| format!("\"{token}\"")).collect();
    format!(
        "local tokens, asked = {{ {} }}, 0
wrk.method = \"POST\"
wrk.body = [[{body}]]
wrk.headers[\"Content-Type\"] = \"application/json\"
request = function()
  asked = asked + 1
  wrk.headers[\"Authorization\"] = \"Bearer \" .. tokens[asked % #tokens + 1]
  return wrk.format()
end
",
        tokens.join(", ")
    )
}

/// `950.00us`, `1.20ms`, `1.02s`.
fn time(text: &str) -> Duration {
    let (number, unit) = ["us", "ms", "s"]
        .into_iter()
        .find_map(|unit| Some((text.strip_suffix(unit)?.parse::<f64>().ok()?, unit)))
        .unwrap_or_else(|| panic!("{text:?} is no time"));
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        _ => number,
    };
    Duration::from_secs_f64(seconds)
}
