//! A bad network before one of two platforms: it is named, it is nobody else's, and it is over when it is over.

use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::{Manner, Proxy};
use crate::daemon::{BOUND, Daemon, folder, until};
use crate::receiver::{Receiver, free_address};
use crate::recovery;
use crate::rtmp::{add, assert_recorded_unbroken, assert_unbroken, change, on_air, output};
use crate::viewer::Viewer;

const SETTINGS: &str = "[rtmp]\nallow_private = true\nstalled_after = 3\nsuspended_retry = 5\n";

/// A channel on air, pushed to one platform directly and to another through a network.
struct Scene {
    daemon: Daemon,
    media: String,
    channel: String,
    good: (Receiver, String),
    bad: (Receiver, String),
    network: Proxy,
}

impl Scene {
    fn set(data: &std::path::Path) -> Self {
        let (good, bad) = (Receiver::start(), Receiver::start());
        let network = Proxy::start(free_address(), bad.address());
        let daemon = Daemon::start(data, SETTINGS);
        let (media, channel) = on_air(&daemon, 700);
        let direct = add(&daemon, &channel, &good.url(), "good");
        let through = format!("rtmp://{}/live", network.address());
        let through = add(&daemon, &channel, &through, "bad");
        good.until_published("good");
        bad.until_published("bad");
        Self {
            daemon,
            media,
            channel,
            good: (good, direct),
            bad: (bad, through),
            network,
        }
    }

    fn bad(&self) -> Value {
        output(&self.daemon, &self.channel, &self.bad.1)
    }

    /// Begins to count failures anew, as a client does who switches the output off and on.
    fn forgiven(&self) {
        for enabled in [false, true] {
            let patch = json!({ "enabled": enabled });
            change(&self.daemon, &self.channel, &self.bad.1, &patch);
        }
        self.until_live();
    }

    fn until_live(&self) {
        until("the output delivers", BOUND, || {
            self.bad()["status"] == "LIVE"
        });
    }

    /// Neither viewers nor the other platform have lost anything.
    fn nobody_else_noticed(&self, viewer: &mut Viewer<'_>) {
        let seen = viewer.seconds;
        viewer.watch(seen + 8.0);
        viewer.judge();
        assert_eq!(viewer.discontinuities, 0);
        let file = self.daemon.prepared_file(&self.media);
        recovery::assert_unbroken(&viewer.shown(&[&file]), 700);
        let other = output(&self.daemon, &self.channel, &self.good.1);
        assert_eq!(
            (&other["connections"], &other["failures"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(self.daemon.status(&self.channel), "LIVE");
        let of = (self.channel.as_str(), self.media.as_str());
        assert_recorded_unbroken(&self.daemon, &self.good.0, of, "good", 700);
    }
}

/// Each manner is told as one of these kinds; when it is over the output delivers by itself.
fn are_named(faults: &[(Manner, &[&str])]) {
    let data = folder();
    let scene = Scene::set(data.path());
    let mut viewer = Viewer::of(&scene.daemon, &scene.channel);
    viewer.look();
    for (manner, kinds) in faults {
        let before = scene.bad()["lastFailure"]["at"].clone();
        scene.network.set(*manner);
        viewer.follow(&format!("{manner:?} is one of {kinds:?}"), BOUND, |_| {
            let failure = &scene.bad()["lastFailure"];
            let kind = failure["kind"].as_str().unwrap_or_default();
            failure["at"] != before && kinds.contains(&kind)
        });
        scene.network.set(Manner::Pass);
        viewer.follow("it delivers again by itself", BOUND, |_| {
            scene.bad()["status"] == "LIVE" && scene.bad.0.publisher("bad").is_some()
        });
        scene.forgiven();
    }
    scene.nobody_else_noticed(&mut viewer);
}

#[test]
fn a_platform_that_refuses_or_resets_is_named_and_reached_again() {
    are_named(&[
        (Manner::Refuse, &["refused"]),
        (Manner::Reset, &["remoteClosed"]),
    ]);
}

#[test]
fn a_network_that_stalls_or_is_too_slow_is_named_and_used_again() {
    are_named(&[
        (Manner::Stall, &["stalled", "network"]),
        (Manner::Throttle(4_000), &["stalled", "network"]),
    ]);
}

#[test]
fn an_output_that_fails_five_times_is_suspended_and_its_client_told_until_it_comes_back_by_itself()
{
    let data = folder();
    let scene = Scene::set(data.path());
    let mut viewer = Viewer::of(&scene.daemon, &scene.channel);
    let mut events = scene.daemon.events(&format!("?channel={}", scene.channel));
    let mut alert = |event: &str| {
        let mut told = Value::Null;
        until(event, BOUND, || {
            let next = events.next().expect("events go on");
            let found = next.kind == event && next.data["kind"] == "output.suspended";
            if found {
                told = next.data;
            }
            found
        });
        told
    };
    scene.network.set(Manner::Refuse);
    let opened = alert("alert.opened");
    assert_eq!(
        (
            &opened["severity"],
            &opened["audience"],
            &opened["destinationId"]
        ),
        (&json!("critical"), &json!("client"), &json!(scene.bad.1))
    );
    let shown = scene.bad();
    assert_eq!(
        (&shown["status"], &shown["failures"], &shown["enabled"]),
        (&json!("SUSPENDED"), &json!(5), &json!(true))
    );
    let history = scene
        .daemon
        .get(&format!("/channels/{}/history", scene.channel));
    let last = &history["items"][0];
    assert_eq!(
        (&last["type"], &last["failure"], &last["attempt"]),
        (&json!("escalate"), &json!("output"), &json!(5))
    );
    scene.network.set(Manner::Pass);
    assert_eq!(alert("alert.closed")["id"], opened["id"]);
    scene.until_live();
    scene.nobody_else_noticed(&mut viewer);
}

#[test]
fn a_slow_and_distant_network_that_suffices_is_no_failure() {
    let data = folder();
    let scene = Scene::set(data.path());
    let mut viewer = Viewer::of(&scene.daemon, &scene.channel);
    let begun = scene.bad()["connections"].clone();
    for manner in [
        Manner::Delay(Duration::from_millis(700)),
        Manner::Throttle(400_000),
    ] {
        scene.network.set(manner);
        let seen = scene.bad.0.publisher("bad").expect("it is pushed").bytes_in;
        scene.bad.0.until_received("bad", seen + 400_000);
    }
    let shown = scene.bad();
    assert_eq!(shown["connections"], begun);
    assert_eq!(shown["failures"], 0, "{shown}");
    scene.nobody_else_noticed(&mut viewer);
    scene.bad.0.until_unpublished("bad");
    scene.bad.0.stop();
    let recordings = scene.bad.0.recordings("bad");
    let file = scene.daemon.prepared_file(&scene.media);
    assert_unbroken(&recordings[0], &file, 700);
}
