//! Channels do not notice that a store is away.

use std::path::Path;

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::viewer::Viewer;

/// The private PostgreSQL's own process and those it has started.
fn postgres(data: &Path) -> Vec<u32> {
    let pid_file = std::fs::read_to_string(data.join("postgres/postmaster.pid")).expect("a pid");
    let postmaster: u32 = pid_file
        .lines()
        .next()
        .and_then(|pid| pid.parse().ok())
        .expect("a pid");
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    [postmaster].into_iter().chain(children).collect()
}

#[test]
fn channels_go_on_while_postgresql_hangs_and_what_changed_meanwhile_is_recorded_afterwards() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let sources = daemon.sources(&channel);
    let hanging = postgres(data.path());
    hanging.iter().for_each(|pid| signal_process(*pid, "STOP"));
    until("the daemon says so", BOUND, || {
        daemon.try_get("/readyz").is_some_and(|a| a.status == 503)
    });
    sources.iter().for_each(|pid| signal_process(*pid, "KILL"));
    let refused = daemon.ask(
        "PATCH",
        &format!("/channels/{channel}"),
        &[("Content-Type", "application/json")],
        br#"{"name":"Later"}"#,
    );
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    let seen = viewer.seconds;
    viewer.watch(seen + 20.0);
    hanging.iter().for_each(|pid| signal_process(*pid, "CONT"));
    until("the daemon is ready again", BOUND, || {
        daemon.try_get("/readyz").is_some_and(|a| a.status == 200)
    });
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let health = daemon.get(&format!("/channels/{channel}/health"));
    let counted = health["restartCount"].as_u64();
    assert!(counted >= Some(1), "{health}");
    until("the restarts are in the database", BOUND, || {
        recorded_restarts(data.path(), &channel) == counted
    });
}

/// What the database says; asked as anybody with access to its socket would.
fn recorded_restarts(data: &Path, channel: &str) -> Option<u64> {
    let query = format!("SELECT restarts_since_start FROM channels WHERE id = '{channel}'");
    let psql = std::process::Command::new("psql")
        .args(["-h"])
        .arg(data.join("run/postgres"))
        .args(["-U", "playoutd", "-At", "-c", &query, "playoutd"])
        .output()
        .expect("psql runs");
    String::from_utf8_lossy(&psql.stdout).trim().parse().ok()
}
