//! A schedule with all that it can have: templates, days of the week, blocks, an order with separation, fillers; what is planned
//! of it days ahead, and what of it goes on air. And what turns out to be shorter than the schedule takes it for.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};

use super::clips::{make, numbered};
use super::daemon::{BOUND, Daemon, folder, until};
use super::schedule::begins;
use super::viewer::Viewer;

/// Without summer time, and not a whole number of hours off.
const ZONE: &str = "Asia/Kathmandu";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time");
    text.parse().expect("a time")
}

fn seconds(value: &Value) -> f64 {
    value.as_f64().expect("seconds")
}

fn frames(value: &Value) -> u32 {
    (seconds(value) * 25.0).round() as u32
}

/// One after another, without a hole.
fn entries(daemon: &Daemon, channel: &str, from: Timestamp, to: Timestamp) -> Vec<Value> {
    let plan = daemon.get(&format!("/channels/{channel}/plan?from={from}&to={to}"));
    let mut entries = plan["items"].as_array().expect("a plan").clone();
    // Before the first there may have been nothing.
    entries.retain(|entry| !entry["mediaId"].is_null());
    for pair in entries.windows(2) {
        assert_eq!(pair[0]["end"], pair[1]["start"], "{plan}");
    }
    entries
}

/// The media of the entries that are shown for this reason.
fn shown<'a>(entries: &'a [Value], reason: &str) -> Vec<&'a str> {
    let of = entries.iter().filter(|entry| entry["reason"] == reason);
    of.map(|entry| entry["mediaId"].as_str().expect("an item"))
        .collect()
}

#[test]
fn a_schedule_of_every_kind_is_planned_for_days_and_goes_on_air() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let clips = [
        (0, 250),
        (700, 200),
        (1_400, 60),
        (1_600, 150),
        (1_800, 100),
    ];
    let media = clips.map(|(first, frames)| daemon.import(&numbered("schedule", first, frames)));
    let [a, b, filler, d, e] = media.each_ref().map(String::as_str);
    let clip_of = |entry: &Value| {
        let n = media.iter().position(|id| entry["mediaId"] == json!(id));
        clips[n.unwrap_or_else(|| panic!("nothing of ours: {entry}"))]
    };
    let channel = daemon.channel(&[]);
    let path = |rest: &str| format!("/channels/{channel}{rest}");
    let today = Timestamp::now().in_tz(ZONE).expect("a zone").date();
    let day = |n: i64| today.checked_add(n.days()).expect("a date");
    let at = |day: Date, hour: i8| {
        let local = day.at(hour, 0, 0, 0).in_tz(ZONE);
        local.expect("a time").timestamp()
    };
    let put = |part: &str, body: Value| daemon.api("PUT", &path(part), &body);
    put(
        "/blocks",
        json!({ "items": [{ "name": "news", "items": [{ "mediaId": d }, { "mediaId": e }] }] }),
    );
    put(
        "/rotation",
        json!({ "items": [{ "mediaId": a }, { "mediaId": b }, { "block": "news" }], "order": "shuffled", "seed": 7,
            "separation": { "item": 5 }, "fillers": [{ "mediaId": filler }] }),
    );
    put(
        "/templates",
        json!({ "items": [
            { "name": "special", "zone": ZONE, "dates": [day(2)], "slots": [
                { "time": "10:00", "items": [{ "block": "news" }, { "mediaId": a, "out": 4 }], "duration": 60 }] },
            { "name": "every", "zone": ZONE, "days": DAYS, "slots": [{ "time": "11:00", "items": [{ "mediaId": b, "out": 4 }] }] },
        ] }),
    );
    let weekday = DAYS[day(1).weekday().to_monday_zero_offset() as usize];
    let weekly = daemon.post(
        &path("/slots"),
        &json!({ "time": "18:00", "zone": ZONE, "days": [weekday], "items": [{ "block": "news" }] }),
    );

    // On air: the schedule as it stands, and a slot that comes soon, at an odd time.
    for id in &media {
        daemon.prepared(id);
    }
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    let soon = Timestamp::now() + SignedDuration::from_millis(6_730);
    let slot = daemon.post(
        &path("/slots"),
        &json!({ "at": soon, "items": [{ "mediaId": e, "in": 1, "out": 3 }], "duration": 4.4 }),
    );

    // Meanwhile, what is planned for days: each on its days, at its time, in its order, and nothing on others.
    let planned: [(i64, i8, &str, &[&str]); 9] = [
        (1, 10, "template", &[]),
        (2, 10, "template", &[d, e, a]),
        (3, 10, "template", &[]),
        (1, 11, "template", &[b]),
        (2, 11, "template", &[]),
        (3, 11, "template", &[b]),
        (1, 18, "slot", &[d, e]),
        (2, 18, "slot", &[]),
        (3, 18, "slot", &[]),
    ];
    for (n, hour, reason, expected) in planned {
        let at = at(day(n), hour);
        let around = [-40, 80].map(|seconds| at + SignedDuration::from_secs(seconds));
        let all = entries(&daemon, &channel, around[0], around[1]);
        assert_eq!(
            shown(&all, reason),
            expected,
            "on day {n} at {hour}: {all:?}"
        );
        let Some(first) = all.iter().position(|entry| entry["reason"] == reason) else {
            continue;
        };
        let deviation = time(&all[first]["start"]).duration_since(at).abs();
        assert!(
            deviation <= SignedDuration::from_millis(1_040),
            "{}",
            all[first]
        );
        // What did not fit before it waited, and fillers have padded.
        let before = all[..first]
            .iter()
            .filter(|one| one["reason"] == "rotation");
        for entry in before {
            assert_eq!(frames(&entry["duration"]), clip_of(entry).1, "{entry}");
        }
        if reason == "slot" {
            assert_eq!(all[first]["slotId"], weekly["id"]);
        } else if expected == [d, e, a] {
            let after = &all[first + 3..];
            let padded = after.iter().take_while(|one| one["reason"] == "filler");
            let over = &after[padded.count() - 1];
            let ends = time(&over["end"]).duration_since(at + SignedDuration::from_secs(60));
            assert!(ends.abs() <= SignedDuration::from_millis(1_040), "{over}");
            assert_eq!(over["mediaId"], filler, "{all:?}");
        }
    }
    // The rotation: another order each round, blocks in theirs, and everything as far apart as it should be.
    let noon = at(day(1), 12);
    let all = entries(
        &daemon,
        &channel,
        noon,
        noon + SignedDuration::from_hours(2),
    );
    let last = all.len() - 1;
    for (k, entry) in all.iter().enumerate() {
        let same = all[..k]
            .iter()
            .rfind(|one| one["mediaId"] == entry["mediaId"]);
        let away = same.map(|one| time(&entry["start"]).duration_since(time(&one["end"])));
        assert!(
            away.is_none_or(|away| away >= SignedDuration::from_secs(5)),
            "{entry}"
        );
        if entry["mediaId"] == d && k < last {
            assert_eq!(all[k + 1]["mediaId"], e);
        }
    }
    let units: Vec<&str> = shown(&all, "rotation");
    let units: Vec<&str> = units.into_iter().filter(|media| *media != e).collect();
    let next_of = |one: &str| {
        let pairs = units.windows(2).filter(|pair| pair[0] == one);
        let mut next: Vec<&str> = pairs.map(|pair| pair[1]).collect();
        next.sort_unstable();
        next.dedup();
        next.len()
    };
    assert!(
        units.len() > 600 && next_of(a) == 2 && next_of(b) == 2,
        "{units:?}"
    );

    // Weights, on a channel beside.
    let beside = daemon.channel(&[]);
    let weights =
        json!({ "order": "weighted", "items": [{ "mediaId": a, "weight": 3 }, { "mediaId": b }] });
    daemon.api("PUT", &format!("/channels/{beside}/rotation"), &weights);
    let all = entries(&daemon, &beside, noon, noon + SignedDuration::from_hours(1));
    for four in shown(&all, "rotation").windows(4) {
        let times = four.iter().filter(|media| **media == a).count();
        assert_eq!(times, 3, "{four:?}");
    }

    // What went out, picture by picture, is what was planned.
    let is_on_air = |media: &str| daemon.get(&path("/status"))["onAir"]["mediaId"] == json!(media);
    viewer.follow("the slot is on air", BOUND, |_| {
        Timestamp::now() > soon && is_on_air(e)
    });
    viewer.follow("the slot is padded", BOUND, |_| is_on_air(filler));
    viewer.follow("the rotation goes on", BOUND, |_| {
        [a, b, d].iter().any(|media| is_on_air(media))
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 4.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    let begins = begins(&viewer.numbers());
    let aired: Vec<(u32, u32)> = begins
        .windows(2)
        .map(|two| (two[0].1, (two[1].0 - two[0].0) as u32))
        .collect();
    let began = viewer.began.expect("a time") - SignedDuration::from_secs(30);
    let plan = entries(&daemon, &channel, began, Timestamp::now());
    let planned: Vec<(u32, u32)> = plan
        .iter()
        .map(|entry| {
            let number = clip_of(entry).0 + frames(&entry["in"]);
            (number, frames(&entry["duration"]))
        })
        .collect();
    // The first may have begun before.
    let whole = &aired[1..];
    assert!(
        planned.windows(whole.len()).any(|some| some == whole),
        "planned {planned:?}, shown {begins:?}"
    );
    let slot_at = whole.iter().position(|shown| *shown == (1_825, 50));
    let slot_at = slot_at.unwrap_or_else(|| panic!("no slot in {whole:?}"));
    let padded = whole[slot_at + 1..]
        .iter()
        .take_while(|shown| shown.0 == 1_400);
    let long = 50 + padded.map(|shown| shown.1).sum::<u32>();
    assert!(long.abs_diff(110) <= 25, "the slot was {long} frames long");
    // The log says the same.
    let mut log = Value::Null;
    until("the log tells of the slot", BOUND, || {
        log = daemon.get(&path("/as-run"));
        let rows = log["items"].as_array().expect("rows").iter();
        let mut rows = rows.skip_while(|row| row["planned"]["slotId"] != slot["id"]);
        let [slot, pad] = [rows.next(), rows.next()];
        slot.is_some_and(|row| row["frames"] == 50 && row["mediaId"] == e)
            && pad.is_some_and(|row| row["kind"] == "filler" && row["mediaId"] == filler)
    });
}

/// A clip that says it is ten seconds long, and has about half of that.
fn shorter_than_it_says() -> std::path::PathBuf {
    make("shorter-than-it-says.mkv", |out| {
        let whole = out.with_extension("whole.mkv");
        let made = super::clips::ffmpeg(&["-i"])
            .arg(numbered("schedule", 0, 250))
            .args(["-c", "copy"])
            .arg(&whole)
            .status();
        let bytes = std::fs::read(&whole).expect("a clip");
        std::fs::write(out, &bytes[..bytes.len() / 2]).expect("writes");
        std::fs::remove_file(&whole).expect("removes");
        made.expect("ffmpeg runs").success()
    })
}

#[test]
fn an_entry_that_lies_beyond_the_real_end_of_its_item_is_told() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    daemon.post("/media/queue/pause", &Value::Null);
    let good = daemon.import(&numbered("schedule", 700, 200));
    let short = daemon.import(&shorter_than_it_says());
    let channel = daemon.channel(&[&good]);
    let rotate = |items: Value| {
        let body = json!({ "items": items });
        daemon.api("PUT", &format!("/channels/{channel}/rotation"), &body)
    };
    // It says that there is so much of it.
    rotate(json!([{ "mediaId": good }, { "mediaId": short, "in": 8 }]));
    daemon.on_air(&channel);
    let alerts = || {
        let all = daemon.get("/alerts");
        let all = all["items"].as_array().expect("alerts").clone();
        let mut all = all.into_iter();
        all.find(|alert| alert["kind"] == "channel.points_beyond")
    };
    assert!(alerts().is_none());
    daemon.post("/media/queue/resume", &Value::Null);
    daemon.prepared(&short);
    let mut told = None;
    until("it is told", BOUND, || {
        told = alerts();
        told.is_some()
    });
    let told = told.expect("an alert");
    assert_eq!(
        (&told["channelId"], &told["state"]),
        (&json!(channel), &json!("open"))
    );
    let detail = told["detail"].as_str().expect("a detail");
    let expected = "/rotation/items/1: in is 8 s, but the item ends at ";
    assert!(detail.starts_with(expected), "{detail}");
    rotate(json!([{ "mediaId": good }, { "mediaId": short, "in": 1 }]));
    until("it is over", BOUND, || {
        alerts().is_some_and(|alert| alert["state"] == "closed")
    });
}
