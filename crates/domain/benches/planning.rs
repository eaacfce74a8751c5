//! What planning costs: seven days of items of 30 s, with all that a schedule can have (`make bench`). Prints one row of a
//! Markdown table for each figure.
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

use std::hint::black_box;
use std::time::Instant;

use playout_domain::plan::{Basis, Plan};
use playout_domain::schedule::{Edit, Facts, Known, Schedule};
use playout_domain::{Frame, FrameRate, MediaId, SlotId, Ticks90k, Timeline};
use serde_json::{Value, json};
use uuid::Uuid;

const FRAMES: u64 = 30 * 25;
const WEEK: u64 = 7 * 24 * 3_600 * 25;
const ITEMS: u128 = 1_000;

fn media(n: u128) -> MediaId {
    MediaId::from(Uuid::from_u128(n % ITEMS + 1))
}

fn schedule(rotation: Value, slots: usize) -> Basis {
    let mut ids = (1..).map(|n| SlotId::from(Uuid::from_u128(n)));
    let known = |_| {
        Some(Known {
            frames: Some(FRAMES),
        })
    };
    let mut edited = |schedule: &Schedule, edit| {
        let mut next = || ids.next().unwrap();
        schedule
            .edited(&edit, &mut next, &known, FrameRate::F25)
            .unwrap()
    };
    let schedule = edited(&Schedule::default(), Edit::Rotation(rotation));
    let slots: Vec<Value> = (0..slots)
        .map(|n| json!({ "time": format!("{:02}:{:02}", n / 60, n % 60), "zone": "Europe/Vienna", "items": [{ "mediaId": media(n as u128) }] }))
        .collect();
    let schedule = edited(&schedule, Edit::Slots(json!({ "items": slots })));
    let timeline = Timeline {
        epoch: "2027-03-25T00:00:00Z".parse().unwrap(),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k(900_000),
    };
    schedule.resolve(timeline, |_| Facts {
        frames: Some(FRAMES),
        series: None,
    })
}

fn main() {
    let items: Vec<Value> = (0..ITEMS).map(|n| json!({ "mediaId": media(n) })).collect();
    let fillers = json!([{ "mediaId": media(1) }, { "mediaId": media(2), "out": 5 }]);
    let hour = json!({ "item": 3_600 });
    // A round of a thousand items takes eight hours and a third.
    let day = json!({ "item": 86_400 });
    for (what, rotation, slots) in [
        ("a rotation in order", json!({ "items": items }), 0),
        (
            "shuffled, an hour apart",
            json!({ "items": items, "order": "shuffled", "separation": hour }),
            0,
        ),
        (
            "the same, with fillers and 1 000 slots a day",
            json!({ "items": items, "order": "shuffled", "separation": hour, "fillers": fillers }),
            1_000,
        ),
        (
            "shuffled, a day apart, which a round of eight hours cannot keep",
            json!({ "items": items, "order": "shuffled", "separation": day }),
            0,
        ),
    ] {
        let basis = schedule(rotation, slots);
        let mut took: Vec<_> = (0..5)
            .map(|_| {
                let basis = basis.clone();
                let begun = Instant::now();
                let plan = Plan::starting(Frame::new(0), basis);
                let entries = plan.entries(Frame::new(0)..Frame::new(WEEK)).len();
                (begun.elapsed(), black_box(entries))
            })
            .collect();
        took.sort_unstable();
        let (median, entries) = took[2];
        println!(
            "| 7 days of items of 30 s, planned ({entries} entries): {what} | ≤ 50 ms | {:.1} ms |",
            median.as_secs_f64() * 1_000.0
        );
    }
}
