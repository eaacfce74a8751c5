//! What a channel draws over its programme for a while (what it always draws: `branding.rs`): judged on the published pictures.

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::viewer::{Viewer, filtered};

/// The first number of the clip: the eleventh of its bars is white on every picture.
pub const FIRST: u32 = 1024;
const FRAMES: u32 = 250;

/// With an end it passes, however late that is.
const LATE: &str = "2099-12-31T00:00:00Z";

/// Of each frame of 240p, what a place at the right of a lower third shows: white, white with a bar over it, the slate.
pub fn places(stream: &[u8]) -> String {
    let filter =
        "crop=12:12:366:208:exact=1,scale=1:1:flags=area:in_range=tv:out_range=tv,format=gray";
    let named = |luma: &u8| match luma {
        190..=255 => '-',
        60..=130 => 'd',
        _ => '?',
    };
    filtered(stream, filter).iter().map(named).collect()
}

/// Every picture of the clip in its turn, whatever is drawn over it.
fn assert_in_turn(viewer: &Viewer<'_>) {
    let numbers = viewer.numbers();
    let clear: Vec<u32> = numbers.iter().flatten().copied().collect();
    assert_eq!(clear.len(), numbers.len(), "every picture is the clip's");
    for pair in clear.windows(2) {
        let next = FIRST + (pair[0] + 1 - FIRST) % FRAMES;
        assert_eq!(pair[1], next, "after {}", pair[0]);
    }
}

/// A channel that plays the clip again and again, which is prepared.
fn plays_numbers(daemon: &Daemon) -> String {
    let media = daemon.import(&numbered("overlay", FIRST, FRAMES));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    channel
}

pub fn phase(daemon: &Daemon, channel: &str) -> Value {
    daemon.get(&format!("/channels/{channel}/status"))["overlay"]["state"].clone()
}

#[test]
fn a_lower_third_comes_and_goes_on_air_and_its_encoder_may_die() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let channel = plays_numbers(&daemon);
    let at = format!("/channels/{channel}/overlay");
    assert_eq!(daemon.ask("GET", &at, &[], b"").status, 404);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    assert_eq!(phase(&daemon, &channel), Value::Null);

    let third = json!({ "until": LATE, "lowerThird": { "title": "It's %{pts}: [a];'b'\\", "subtitle": "100 %" } });
    daemon.api("PUT", &at, &third);
    assert_eq!(daemon.get(&at)["lowerThird"], third["lowerThird"]);
    viewer.follow("it is seen", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('d')
    });
    viewer.follow("it is told as drawn", BOUND, |_| {
        phase(&daemon, &channel) == "drawn"
    });

    // What draws dies: the programme goes on without, and later with it again.
    let mut events = daemon.events(&format!("?channel={channel}"));
    let mut failed = None;
    viewer.follow("drawing has failed", BOUND, |viewer| {
        daemon.kill_sources(&channel);
        // One may have delivered all that it had: when so much more was published that is known. (What takes its place
        // is not to be killed.)
        let mut segments = 0;
        viewer.follow("something is told", BOUND, |_| {
            let event = events.next().unwrap();
            segments += u32::from(event.kind == "channel.segment");
            failed = Some(event).filter(|event| event.kind == "channel.overlay_failed");
            failed.is_some() || segments == 5
        });
        failed.is_some()
    });
    let failed = failed.unwrap().data;
    assert!(!failed["error"].as_str().unwrap().is_empty(), "{failed}");
    viewer.follow("it is not seen", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('-')
    });
    viewer.follow("it is seen again", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('d')
    });
    viewer.follow("that is told", BOUND, |_| {
        events
            .next()
            .is_some_and(|event| event.kind == "channel.overlay_drawn")
    });

    // It is remembered.
    daemon.signal("KILL");
    daemon.ended();
    let again = Daemon::start(data.path(), "");
    let mut viewer = viewer.moved_to(&again);
    until("it is drawn again", BOUND, || {
        viewer.look();
        phase(&again, &channel) == "drawn"
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    assert_eq!(again.ask("DELETE", &at, &[], b"").status, 204);
    viewer.follow("it is gone", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('-')
    });
    assert_eq!(again.ask("DELETE", &at, &[], b"").status, 404);
    assert_eq!(phase(&again, &channel), Value::Null);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_in_turn(&viewer);
}

#[test]
fn what_draws_may_hang_and_change_at_any_moment() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let channel = plays_numbers(&daemon);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let put = |title: &str| {
        let third = json!({ "lowerThird": { "title": title }, "clock": {}, "until": LATE });
        daemon.api("PUT", &format!("/channels/{channel}/overlay"), &third);
    };
    put("first");
    viewer.follow("it is seen", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('d')
    });
    for pid in daemon.sources(&channel) {
        signal_process(pid, "STOP");
    }
    let seen = viewer.seconds;
    viewer.watch(seen + 12.0);
    // Each takes the place of the one before, whose encoder has hardly begun.
    for number in 0..40 {
        put(&number.to_string());
        viewer.look();
    }
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.follow("it is seen at last", BOUND, |viewer| {
        places(&viewer.bytes).ends_with('d')
    });
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_in_turn(&viewer);
}

#[test]
fn it_is_drawn_on_the_frames_between_its_beginning_and_its_end_alone() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[playout]\nsource = \"direct\"\n");
    let channel = plays_numbers(&daemon);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(4.0);
    // Neither begins with a GOP; an item ends in between.
    let from = Timestamp::from_second(Timestamp::now().as_second() + 21).unwrap();
    let until_when = from + 12_200.milliseconds();
    let third = json!({ "lowerThird": { "title": "Now" }, "from": from, "until": until_when });
    daemon.api("PUT", &format!("/channels/{channel}/overlay"), &third);
    assert_eq!(phase(&daemon, &channel), "waiting");
    viewer.follow("its time is over", BOUND, |viewer| {
        let began = viewer.began.unwrap();
        let seen = (viewer.seconds * 1000.0) as i64;
        began + seen.milliseconds() > until_when + 5.seconds()
    });
    assert_eq!(phase(&daemon, &channel), "over");
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_in_turn(&viewer);
    let began = viewer.began.unwrap();
    let places = places(&viewer.bytes);
    let failed = daemon.log().contains("the overlay is not drawn");
    for (frame, place) in (0_i64..).zip(places.chars()) {
        let shown = began + (frame * 40).milliseconds();
        let wanted = from <= shown && shown < until_when;
        // On a busy machine what is prepared may stand in for some of it.
        let right = match place {
            'd' => wanted,
            _ => place == '-' && (!wanted || failed),
        };
        assert!(right, "{frame} at {shown}: {places}");
    }
    assert!(places.contains('d'), "{}", daemon.log());
}

#[test]
fn what_cannot_be_drawn_is_refused_and_nobody_else_sees_it() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stranger = Caller::stranger(&daemon);
    let channel = daemon.post("/channels", &json!({ "name": "Plain" }));
    let channel = channel["id"].as_str().unwrap();
    let at = format!("/channels/{channel}/overlay");
    let json = [("Content-Type", "application/json")];
    let put = |body: &str| {
        let answer = daemon.ask("PUT", &at, &json, body.as_bytes());
        (answer.status, answer.text())
    };
    let (status, text) = put(
        r#"{"lowerThird": {"title": "two\nlines", "size": 5}, "clock": {"timeZone": "Mars"},
            "from": "now", "until": 1}"#,
    );
    let all = [
        "/lowerThird/title",
        "/lowerThird/size",
        "/clock/timeZone",
        "/from",
        "/until",
    ];
    assert!(
        status == 422 && all.iter().all(|pointer| text.contains(pointer)),
        "{status} {text}"
    );
    assert_eq!(put("{}").0, 422);
    assert_eq!(put("[").0, 400);
    assert_eq!(daemon.ask("PUT", &at, &[], b"{}").status, 415);
    assert_eq!(daemon.ask("GET", &at, &[], b"").status, 404);

    let whole = r#"{"lowerThird": {"title": "a", "subtitle": "b"}, "clock": {}}"#;
    let (status, text) = put(whole);
    assert_eq!(status, 200, "{text}");
    let got = daemon.ask("GET", &at, &[], b"");
    let tag = got.headers["etag"].clone();
    // What is put replaces all of it; what is patched changes a part.
    let stale = [json[0], ("If-Match", "\"1\"")];
    let clock = br#"{"clock": {"position": "bottom-left"}}"#;
    assert_eq!(daemon.ask("PUT", &at, &stale, clock).status, 412);
    let fresh = [json[0], ("If-Match", &*tag)];
    assert_eq!(daemon.ask("PUT", &at, &fresh, clock).status, 200);
    assert_eq!(daemon.get(&at)["lowerThird"], Value::Null);
    let part = json!({ "overlay": { "clock": { "seconds": false } } });
    daemon.api("PATCH", &format!("/channels/{channel}"), &part);
    let now = daemon.get(&at);
    assert_eq!(
        (&now["clock"]["position"], &now["clock"]["seconds"]),
        (&json!("bottom-left"), &json!(false))
    );
    for method in ["GET", "PUT", "DELETE"] {
        let answer = stranger.ask(method, &at, &serde_json::from_str(whole).unwrap());
        assert_eq!(answer.status, 404, "{method} {}", answer.text());
    }
    assert_eq!(daemon.get(&at), now);
}
