//! The schedule on air: slots at their time, what is played by hand, points within items, edits, and what is refused.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// The clips by hundreds of their numbers: 0–699, 700–1399, 1400–1599.
struct Stage {
    one: String,
    two: String,
    short: String,
    channel: String,
}

/// The lengths of the clips where a lot of them is shown.
const LONG: [u32; 3] = [700, 700, 200];

/// Two items in a loop, and one beside, of these lengths; off air.
fn stage(daemon: &Daemon, [one, two, short]: [u32; 3]) -> Stage {
    let clips = [(0, one), (700, two), (1_400, short)];
    let [one, two, short] =
        clips.map(|(first, frames)| daemon.import(&numbered("schedule", first, frames)));
    let channel = daemon.channel(&[&one, &two]);
    // What no channel names is not prepared.
    daemon.channel(&[&short]);
    Stage {
        one,
        two,
        short,
        channel,
    }
}

impl Stage {
    fn path(&self, rest: &str) -> String {
        format!("/channels/{}{rest}", self.channel)
    }

    fn prepared(&self, daemon: &Daemon) {
        for media in [&self.one, &self.two, &self.short] {
            daemon.prepared(media);
        }
    }

    fn rotate(&self, daemon: &Daemon, media: &[&String]) -> Value {
        let items: Vec<Value> = media.iter().map(|id| json!({ "mediaId": id })).collect();
        daemon.api("PUT", &self.path("/rotation"), &json!({ "items": items }))
    }

    fn on_air(&self, daemon: &Daemon) -> Value {
        daemon.get(&self.path("/status"))["onAir"]["mediaId"].clone()
    }
}

/// The numbers without those that follow their predecessor: where something begins.
pub fn begins(numbers: &[Option<u32>]) -> Vec<(usize, u32)> {
    let numbers: Vec<u32> = numbers
        .iter()
        .map(|number| number.expect("every picture carries a number"))
        .collect();
    let follows =
        |k: usize| k > 0 && numbers[k] == numbers[k - 1] + 1 && ![700, 1_400].contains(&numbers[k]);
    let all = numbers.iter().enumerate();
    all.filter(|(k, _)| !follows(*k))
        .map(|(k, number)| (k, *number))
        .collect()
}

#[test]
fn a_slot_begins_at_its_time_and_what_is_on_air_stays_until_then() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stage = stage(&daemon, LONG);
    stage.prepared(&daemon);
    daemon.on_air(&stage.channel);
    let mut viewer = Viewer::of(&daemon, &stage.channel);
    viewer.watch(12.0);
    assert_eq!(stage.on_air(&daemon), json!(stage.one));
    // An odd time, so that it falls into the middle of a GOP.
    let at = Timestamp::now() + SignedDuration::from_millis(9_730);
    let slot = daemon.api(
        "POST",
        &stage.path("/slots"),
        &json!({ "at": at, "items": [{ "mediaId": stage.short }] }),
    );
    // The rotation is another one from now on, too; what is on air stays.
    stage.rotate(&daemon, &[&stage.two]);
    viewer.follow("the slot is on air", BOUND, |_| {
        stage.on_air(&daemon) == json!(stage.short)
    });
    let plan = daemon.get(&stage.path(&format!(
        "/plan?from={}&to={}",
        at,
        at + SignedDuration::from_secs(20)
    )));
    viewer.follow("the rotation is on air", BOUND, |_| {
        stage.on_air(&daemon) == json!(stage.two)
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let entry = plan["items"]
        .as_array()
        .expect("a plan")
        .iter()
        .find(|entry| entry["slotId"] == slot["id"]);
    let entry = entry.unwrap_or_else(|| panic!("no slot in {plan}"));
    assert_eq!(
        (&entry["reason"], &entry["mediaId"]),
        (&json!("slot"), &json!(stage.short))
    );
    let planned: Timestamp = entry["start"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    assert!(
        planned.duration_since(at).abs() <= SignedDuration::from_millis(1_080),
        "{planned} for {at}"
    );
    // What was published: the item on air in one piece up to the slot, the slot whole, then the rotation.
    let begins = begins(&viewer.numbers());
    let [_, (slot, 1_400), (next, 700)] = begins[..] else {
        panic!("something else was shown: {begins:?}")
    };
    assert_eq!(next - slot, 200, "the slot is shown whole");
    let published = viewer.began.expect("a time") + SignedDuration::from_millis(40 * slot as i64);
    assert!(
        published.duration_since(at).abs() <= SignedDuration::from_secs(2),
        "published for {published}, wanted at {at}"
    );
}

#[test]
fn what_is_played_now_interrupts_within_two_gops_and_what_was_on_air_goes_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stage = stage(&daemon, [700, 200, 200]);
    stage.prepared(&daemon);
    daemon.on_air(&stage.channel);
    let mut viewer = Viewer::of(&daemon, &stage.channel);
    viewer.watch(12.0);
    let before = viewer.frames();
    let played = daemon.post(
        &stage.path("/play"),
        &json!({ "mediaId": stage.short, "when": "now" }),
    );
    assert_eq!(played["reason"], "play");
    viewer.follow("it is on air", BOUND, |_| {
        stage.on_air(&daemon) == json!(stage.short)
    });
    let next = daemon.post(
        &stage.path("/play"),
        &json!({ "mediaId": stage.two, "when": "next" }),
    );
    assert_eq!(next["start"], played["end"], "after what is on air");
    viewer.follow("what is next is on air", BOUND, |_| {
        stage.on_air(&daemon) == json!(stage.two)
    });
    viewer.follow("what was interrupted is on air", BOUND, |_| {
        stage.on_air(&daemon) == json!(stage.one)
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 4.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let begins = begins(&viewer.numbers());
    let [(_, first), (now, 1_400), (next, 700), (back, resumed)] = begins[..] else {
        panic!("something else was shown: {begins:?}")
    };
    // A segment of four seconds may have been complete but not published, and two GOPs of two.
    assert!(
        now as u64 <= before + 100 + 100,
        "asked for at {before}, seen at {now}"
    );
    assert_eq!(
        (next - now, back - next),
        (200, 200),
        "both are shown whole"
    );
    assert_eq!(
        resumed as usize,
        first as usize + now,
        "no picture is lost or repeated"
    );
}

#[test]
fn points_within_items_are_exact_to_the_frame() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stage = stage(&daemon, [250, 200, 60]);
    stage.prepared(&daemon);
    // Frames 63 to 238 of one, and 20 to 44 of another, which is less than a GOP.
    let items = json!([
        { "mediaId": stage.one, "in": 2.52, "out": 9.52 },
        { "mediaId": stage.short, "in": 0.8, "out": 1.76 },
        { "mediaId": stage.two, "in": 6 },
    ]);
    daemon.api("PUT", &stage.path("/rotation"), &json!({ "items": items }));
    daemon.on_air(&stage.channel);
    let mut viewer = Viewer::of(&daemon, &stage.channel);
    viewer.watch(28.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let begins = begins(&viewer.numbers());
    let lengths: Vec<(u32, usize)> = begins
        .windows(2)
        .map(|two| (two[0].1, two[1].0 - two[0].0))
        .collect();
    let expected = [(63, 175), (1_420, 24), (850, 50)];
    assert!(lengths.len() > 4, "{begins:?}");
    // The output may begin within an item.
    for (k, shown) in lengths.iter().enumerate().skip(1) {
        let place = expected.iter().position(|known| known == shown);
        assert!(place.is_some(), "entry {k} of {lengths:?}");
    }
}

/// The pointers of the violations that a request is refused with.
fn refused(daemon: &Daemon, method: &str, path: &str, body: &Value) -> Vec<String> {
    let answer = ask(daemon, method, path, body, &[]);
    assert_eq!(answer.status, 422, "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let all = problem["violations"]
        .as_array()
        .expect("violations")
        .clone();
    all.iter()
        .map(|one| one["pointer"].as_str().expect("a pointer").to_owned())
        .collect()
}

fn ask(
    daemon: &Daemon,
    method: &str,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> super::http::Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend(headers);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    daemon.ask(method, path, &all, body.as_bytes())
}

#[test]
fn a_bad_schedule_is_refused_whole_and_the_channel_stays_on_air() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let stage = stage(&daemon, [250, 200, 60]);
    daemon.on_air(&stage.channel);
    let (one, nobody) = (&stage.one, "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11");
    let refuse =
        |method: &str, rest: &str, body: Value| refused(&daemon, method, &stage.path(rest), &body);
    assert_eq!(
        refuse(
            "PUT",
            "/rotation",
            json!({ "items": [{ "mediaId": nobody }, { "mediaId": one, "in": 10.5 }, { "mediaId": one, "in": 3, "out": 2 }, { "mediaId": one, "in": -1 }, { "block": "x" }], "order": "any" })
        ),
        [
            "/order",
            "/items/2/out",
            "/items/3/in",
            "/items/0/mediaId",
            "/items/1/in",
            "/items/4/block"
        ],
    );
    assert_eq!(
        refuse(
            "PUT",
            "/blocks",
            json!({ "items": [{ "name": "a", "items": [{ "block": "b" }] }, { "name": "b", "items": [{ "mediaId": one }, { "block": "a" }] }] })
        ),
        ["/items/0"],
    );
    assert_eq!(
        refuse(
            "POST",
            "/slots",
            json!({ "time": "25:00", "zone": "Europe/Vienne", "duration": 0, "items": [{ "mediaId": nobody }] })
        ),
        ["/zone", "/time", "/duration", "/items/0/mediaId"],
    );
    assert_eq!(
        refuse(
            "PUT",
            "/templates",
            json!({ "items": [{ "name": "t", "zone": "UTC", "dates": ["2027-02-29"], "slots": [] }] })
        ),
        ["/items/0/dates/0"]
    );
    let slot = json!({ "time": "20:15", "zone": "Europe/Vienna", "items": [{ "mediaId": one }] });
    assert_eq!(
        refuse(
            "POST",
            "/slots",
            json!({ "items": vec![slot.clone(); 10_000] })
        ),
        ["/items"]
    );
    assert_eq!(
        refuse("POST", "/play", json!({ "when": "later" })),
        ["/mediaId", "/when"]
    );
    assert_eq!(
        daemon.get(&stage.path("/slots"))["items"],
        json!([]),
        "nothing was taken"
    );
    assert_eq!(
        daemon.get(&stage.path("/rotation"))["items"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    // The operator sees what every client has, but a channel plays what its own client has.
    let config = json!({ "name": "Theirs", "resolution": "240p" });
    let theirs = Caller::stranger(&daemon).ask("POST", "/channels", &config);
    let theirs = format!("/channels/{}", theirs.json()["id"].as_str().expect("an id"));
    let other = |method: &str, rest: &str, body: Value| {
        refused(&daemon, method, &format!("{theirs}{rest}"), &body)
    };
    assert_eq!(
        other("PUT", "/rotation", json!({ "items": [{ "mediaId": one }] })),
        ["/items/0/mediaId"]
    );
    assert_eq!(
        other("POST", "/play", json!({ "mediaId": one, "when": "now" })),
        ["/mediaId"]
    );
    assert_eq!(
        other("PATCH", "", json!({ "fallbackVideo": one })),
        ["/fallbackVideo"]
    );

    // Blocks that are played cannot go; what is scheduled cannot be deleted.
    daemon.api(
        "PUT",
        &stage.path("/blocks"),
        &json!({ "items": [{ "name": "a", "items": [{ "mediaId": stage.short }] }] }),
    );
    daemon.api(
        "PUT",
        &stage.path("/rotation"),
        &json!({ "items": [{ "mediaId": one }, { "block": "a" }] }),
    );
    assert_eq!(refuse("PUT", "/blocks", json!({ "items": [] })), ["/items"]);
    for media in [&stage.short, &stage.one] {
        let answer = ask(
            &daemon,
            "DELETE",
            &format!("/media/{media}"),
            &Value::Null,
            &[],
        );
        assert_eq!(answer.status, 409, "{}", answer.text());
    }

    // A slot is added, moved, seen by who knows its version, and removed.
    let added = daemon.api("POST", &stage.path("/slots"), &slot);
    let path = stage.path(&format!("/slots/{}", added["id"].as_str().expect("an id")));
    let moved = daemon.api(
        "PATCH",
        &path,
        &json!({ "time": "21:00", "days": ["sat", "sun"] }),
    );
    assert_eq!(
        (&moved["time"], &moved["days"]),
        (&json!("21:00:00"), &json!(["sat", "sun"]))
    );
    assert_eq!(
        refused(&daemon, "PATCH", &path, &json!({ "zone": "Mars/Olympus" })),
        ["/zone"]
    );
    let answer = ask(&daemon, "GET", &path, &Value::Null, &[]);
    let tag = answer.headers["etag"].clone();
    // Two edits of what both have seen: one of both is told that there is a newer one.
    let edit = |time: &str| {
        ask(
            &daemon,
            "PATCH",
            &path,
            &json!({ "time": time }),
            &[("If-Match", &tag)],
        )
        .status
    };
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| edit("22:00"));
        [edit("23:00"), other.join().expect("an answer")]
    });
    assert!(both == [200, 412] || both == [412, 200], "{both:?}");
    assert_eq!(ask(&daemon, "DELETE", &path, &Value::Null, &[]).status, 204);
    assert_eq!(ask(&daemon, "GET", &path, &Value::Null, &[]).status, 404);
    assert_eq!(daemon.status(&stage.channel), "LIVE");
    until("the plan is on air", BOUND, || {
        daemon.get(&stage.path("/status"))["onAir"]["kind"] == "scheduled"
    });
}
