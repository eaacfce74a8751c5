//! Stores that are away for long are an alert to the operator, and over when they are back. What works meanwhile:
//! `tests/daemon/stores.rs`.

use std::time::Duration;

use serde_json::json;

use crate::clips::clip;
use crate::daemon::{Daemon, folder, until};
use crate::servers::Server;
use crate::stores::broken;
use crate::viewer::Viewer;

/// Three looks, one each five seconds, and what a slow machine adds.
const TOLD_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_store_that_is_away_is_an_alert_until_it_is_back() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 700));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    for (server, kind, severity) in [
        (Server::Postgres, "store.postgres_down", "critical"),
        (Server::Redis, "store.redis_down", "warning"),
    ] {
        let of_kind = |state: &str| {
            let list = daemon.get(&format!("/alerts?state={state}"));
            let all = list["items"].as_array().cloned().unwrap_or_default();
            all.into_iter().find(|alert| alert["kind"] == kind)
        };
        let mend = broken(data.path(), server);
        server.signal(&daemon, "KILL");
        server.found(&daemon, false);
        let mut alert = None;
        until("the operator is told", TOLD_WITHIN, || {
            viewer.look();
            alert = of_kind("open");
            alert.is_some()
        });
        let alert = alert.expect("an alert");
        assert_eq!(
            (&alert["severity"], &alert["audience"]),
            (&json!(severity), &json!("operator"))
        );
        mend();
        viewer.follow("it is over", TOLD_WITHIN, |_| of_kind("closed").is_some());
    }
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
}
