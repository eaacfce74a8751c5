//! Sending is not showing: the daemon looks at what a platform shows, and tells what it sees.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::{BOUND, Daemon, folder, until};
use super::receiver::{Receiver, SHOWN};
use super::rtmp::{PRIVATE, add_with, change, on_air, output};

/// Looks every second; two without movement are an alert.
const FAR_END: &str = "[rtmp.far_end]\ngrace = 1\ninterval = 1\nlooks = 2\n";

fn start(data: &std::path::Path) -> Daemon {
    Daemon::start(data, &format!("{PRIVATE}{FAR_END}"))
}

/// What is open because a platform does not show what it takes.
fn not_shown(daemon: &Daemon, destination: &str) -> Option<Value> {
    let open = daemon.get("/alerts?state=open");
    let mut items = open["items"].as_array().cloned().unwrap_or_default();
    items.retain(|alert| {
        alert["kind"] == "output.not_showing" && alert["destinationId"] == destination
    });
    items.pop()
}

fn until_state(daemon: &Daemon, channel: &str, destination: &str, state: &str) {
    until(&format!("it is {state}"), BOUND, || {
        output(daemon, channel, destination)["farEnd"]["state"] == state
    });
    until("the alert says the same", BOUND, || {
        not_shown(daemon, destination).is_some() == (state == "notShowing")
    });
}

#[test]
fn a_stream_that_is_taken_and_not_played_is_an_alert_until_it_is() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = start(data.path());
    let mut events = daemon.events("");
    let (_, channel) = on_air(&daemon, 700);
    // What is pushed as one stream is shown as another, which nobody publishes yet.
    let playback = json!({ "playbackUrl": format!("{}/shown", platform.url()) });
    let watched = add_with(&daemon, &channel, &platform.url(), "taken", playback);
    until_state(&daemon, &channel, &watched, "notShowing");
    let shown = output(&daemon, &channel, &watched);
    assert_eq!(
        (&shown["status"], &shown["connections"]),
        (&json!("LIVE"), &json!(1)),
        "{shown}"
    );
    assert_eq!(
        shown["farEnd"]["why"],
        "the stream is asked for, and no media comes"
    );
    assert!(shown["farEnd"]["checkedAt"].is_string());
    until("whoever listens is told", BOUND, || {
        let event = events.next().expect("events go on");
        event.kind == "output.farEnd" && event.data["state"] == "notShowing"
    });
    add_with(&daemon, &channel, &platform.url(), "shown", json!({}));
    until_state(&daemon, &channel, &watched, "showing");
    let shown = output(&daemon, &channel, &watched);
    assert_eq!(
        (&shown["connections"], &shown["failures"]),
        (&json!(1), &json!(0)),
        "it was left alone"
    );
    assert_eq!(shown["farEnd"]["why"], Value::Null);
}

#[test]
fn a_playlist_that_stands_still_is_an_alert_until_it_moves_or_nothing_is_sent() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = start(data.path());
    let (_, channel) = on_air(&daemon, 700);
    let source = add_with(&daemon, &channel, &platform.url_of(SHOWN), "tv", json!({}));
    let playback = json!({ "playbackUrl": platform.hls_url("tv") });
    let watched = add_with(&daemon, &channel, &platform.url(), "taken", playback);
    until_state(&daemon, &channel, &watched, "showing");
    change(&daemon, &channel, &source, &json!({ "enabled": false }));
    until_state(&daemon, &channel, &watched, "notShowing");
    change(&daemon, &channel, &source, &json!({ "enabled": true }));
    until_state(&daemon, &channel, &watched, "showing");
    // Another URL is looked at without touching the connection.
    let gone = json!({ "playbackUrl": platform.hls_url("nothing") });
    change(&daemon, &channel, &watched, &gone);
    until_state(&daemon, &channel, &watched, "notShowing");
    let shown = output(&daemon, &channel, &watched);
    assert!(
        shown["farEnd"]["why"].as_str().unwrap().contains("404"),
        "{shown}"
    );
    assert_eq!(
        (&shown["status"], &shown["connections"]),
        (&json!("LIVE"), &json!(1)),
        "{shown}"
    );
    change(&daemon, &channel, &watched, &json!({ "enabled": false }));
    until("what is not sent need not be shown", BOUND, || {
        not_shown(&daemon, &watched).is_none()
    });
    assert_eq!(output(&daemon, &channel, &watched)["farEnd"], Value::Null);
}

#[test]
fn another_channels_hls_is_looked_at_and_what_cannot_be_is_no_alert() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = start(data.path());
    let (media, channel) = on_air(&daemon, 700);
    let shown = daemon.channel(&[&media]);
    let playback = format!("http://{}/hls/{shown}/index.m3u8", daemon.address());
    let playback = json!({ "playbackUrl": playback });
    let watched = add_with(&daemon, &channel, &platform.url(), "taken", playback);
    until_state(&daemon, &channel, &watched, "notShowing");
    daemon.on_air(&shown);
    until_state(&daemon, &channel, &watched, "showing");
    let nobody = json!({ "playbackUrl": "http://127.0.0.1:1/x.m3u8" });
    change(&daemon, &channel, &watched, &nobody);
    until("it cannot be looked at", BOUND, || {
        let seen = output(&daemon, &channel, &watched)["farEnd"].clone();
        seen["state"] == "unknown"
            && seen["why"]
                .as_str()
                .is_some_and(|why| why.contains("no connection"))
    });
    assert!(not_shown(&daemon, &watched).is_none());
}

#[test]
fn a_playback_url_that_hangs_holds_nothing_up_and_is_left_with_its_output() {
    let data = folder();
    let platform = Receiver::start();
    let daemon = start(data.path());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // Looks under way, and those that came.
    let (open, came) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&open), Arc::clone(&came));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (open, came) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
            open.fetch_add(1, SeqCst);
            came.fetch_add(1, SeqCst);
            std::thread::spawn(move || {
                while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    let (_, channel) = on_air(&daemon, 700);
    let playback = json!({ "playbackUrl": format!("http://{address}/x.m3u8") });
    let watched = add_with(&daemon, &channel, &platform.url(), "taken", playback);
    until("it hangs twice", BOUND, || {
        assert!(open.load(SeqCst) <= 1, "one look at a time");
        came.load(SeqCst) == 2 && open.load(SeqCst) == 1
    });
    let shown = output(&daemon, &channel, &watched);
    assert_eq!(
        (&shown["status"], &shown["connections"]),
        (&json!("LIVE"), &json!(1)),
        "{shown}"
    );
    let far_end = &shown["farEnd"];
    assert_eq!(far_end["state"], "unknown");
    assert!(
        far_end["why"]
            .as_str()
            .unwrap()
            .contains("did not come within 10 s"),
        "{far_end}"
    );
    change(&daemon, &channel, &watched, &json!({ "enabled": false }));
    // Before its own limit of 10 s.
    let soon = Duration::from_secs(8);
    until("the look is over", soon, || open.load(SeqCst) == 0);
    assert_eq!(
        came.load(SeqCst),
        2,
        "it was ended with its output, and no other was begun"
    );
}
