//! What a schedule is refused for, and the results that are defined where clocks and slots collide. For any schedule:
//! proptests/p_plan.rs.

use jiff::{SignedDuration, Timestamp};
use playout_domain::plan::{Basis, Origin, Plan, PlanEntry};
use playout_domain::schedule::{Edit, Facts, Known, Refused, Schedule};
use playout_domain::{Frame, FrameRate, MediaId, SlotId, Ticks90k, Timeline};
use serde_json::{Value, json};
use uuid::Uuid;

/// A minute.
const FRAMES: u64 = 60 * 25;

fn media(n: u128) -> MediaId {
    MediaId::from(Uuid::from_u128(n + 1))
}

fn item(n: u128) -> Value {
    json!({ "mediaId": media(n) })
}

fn slot(n: u128) -> SlotId {
    SlotId::from(Uuid::from_u128(n << 64))
}

fn try_edit(schedule: &Schedule, edit: Edit) -> Result<Schedule, Refused> {
    let mut next = schedule.slots.len() as u128;
    let mut ids = || {
        next += 1;
        slot(next)
    };
    // Ten media of a minute, and one of unknown length.
    let known = |id| {
        let n = (0..11).find(|n| media(*n) == id)?;
        Some(Known {
            frames: (n < 10).then_some(FRAMES),
        })
    };
    schedule.edited(&edit, &mut ids, &known, FrameRate::F25)
}

fn edit(schedule: &Schedule, edit: Edit) -> Schedule {
    try_edit(schedule, edit).unwrap_or_else(|refused| panic!("{refused:?}"))
}

fn pointers(schedule: &Schedule, edit: Edit) -> Vec<String> {
    match try_edit(schedule, edit) {
        Err(Refused::Violations(violations)) => {
            violations.0.into_iter().map(|one| one.pointer).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn rotation(items: &[u128]) -> Schedule {
    let items: Vec<Value> = items.iter().map(|n| item(*n)).collect();
    edit(
        &Schedule::default(),
        Edit::Rotation(json!({ "items": items })),
    )
}

fn basis(schedule: &Schedule, epoch: &str) -> Basis {
    let timeline = Timeline {
        epoch: epoch.parse().expect("a time"),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k(900_000),
    };
    schedule.resolve(timeline, |_| Facts {
        frames: Some(FRAMES),
        series: None,
    })
}

/// When entries of slots begin within two days from `epoch`, to the second, and what they show.
fn slots(schedule: &Schedule, epoch: &str) -> Vec<(String, MediaId)> {
    let plan = Plan::starting(Frame::new(0), basis(schedule, epoch));
    let begins: Timestamp = epoch.parse().expect("a time");
    let entries = plan.entries(Frame::new(0)..Frame::new(2 * 24 * 60 * FRAMES));
    let of_slot = |entry: &&PlanEntry| matches!(entry.origin, Origin::Slot(_) | Origin::Template);
    entries
        .iter()
        .filter(of_slot)
        .map(|entry| {
            let at = begins + SignedDuration::from_millis(40 * entry.start.get() as i64);
            let rounded = at.round(jiff::Unit::Second).expect("a time");
            (rounded.to_string(), entry.media_id)
        })
        .collect()
}

fn with_slots(slots: Value) -> Schedule {
    edit(&rotation(&[0, 1]), Edit::Slots(json!({ "items": slots })))
}

fn assert_slots(schedule: &Schedule, epoch: &str, expected: &[(&str, u128)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(at, n)| ((*at).to_owned(), media(*n)))
        .collect();
    assert_eq!(slots(schedule, epoch), expected);
}

#[test]
fn a_rotation_that_is_wrong_is_told_in_full() {
    let good = json!({ "items": [item(1), item(1)] });
    let schedule = edit(&Schedule::default(), Edit::Rotation(good.clone()));
    assert_eq!(schedule.rotation.to_json(), good);
    assert_eq!(schedule.version, 1);
    let wrong = |value| pointers(&schedule, Edit::Rotation(value));
    assert_eq!(wrong(json!([])), [""]);
    assert_eq!(wrong(json!({})), ["/items"]);
    assert_eq!(
        wrong(json!({ "items": {}, "more": 1 })),
        ["/items", "/more"]
    );
    assert_eq!(
        wrong(
            json!({ "items": [{}, { "mediaId": 1 }, { "mediaId": "x" }, 7, { "mediaId": media(1), "frames": 1 }, item(77)] })
        ),
        [
            "/items/0/mediaId",
            "/items/1/mediaId",
            "/items/2/mediaId",
            "/items/3",
            "/items/4/frames",
            "/items/5/mediaId"
        ],
        "what cannot be read moves nothing"
    );
    assert_eq!(wrong(json!({ "items": vec![item(1); 10_001] })), ["/items"]);
    assert_eq!(
        wrong(json!({ "items": [{ "mediaId": media(1), "weight": 2 }] })),
        ["/items/0/weight"]
    );
    assert_eq!(
        wrong(json!({ "items": [{ "mediaId": media(1), "weight": 0 }], "order": "weighted" })),
        ["/items/0/weight"]
    );
    assert_eq!(
        wrong(json!({ "items": [], "order": "shuffled", "seed": 1_u64 << 53 })),
        ["/seed"]
    );
    assert_eq!(
        wrong(json!({ "items": [], "seed": 1, "separation": { "item": -1, "all": 1 } })),
        ["/seed", "/separation/item", "/separation/all"]
    );
    assert_eq!(
        wrong(json!({ "items": [], "fillers": [{ "block": "x" }] })),
        ["/fillers/0/block", "/fillers/0/block"]
    );
}

#[test]
fn points_lie_within_their_item_as_far_as_its_length_is_known() {
    let schedule = Schedule::default();
    let one = |begins: f64, ends: f64, n| {
        Edit::Rotation(json!({ "items": [{ "mediaId": media(n), "in": begins, "out": ends }] }))
    };
    assert!(try_edit(&schedule, one(0.0, 60.0, 1)).is_ok());
    assert!(
        try_edit(&schedule, one(59.0, 3_600.0, 10)).is_ok(),
        "nothing is known of its length"
    );
    assert_eq!(
        pointers(&schedule, one(60.0, 61.0, 1)),
        ["/items/0/in", "/items/0/out"]
    );
    assert_eq!(pointers(&schedule, one(10.0, 10.0, 1)), ["/items/0/out"]);
    assert_eq!(
        pointers(&schedule, one(10.0, 10.001, 1)),
        ["/items/0/out"],
        "less than a frame"
    );
    assert_eq!(
        pointers(&schedule, one(-0.1, 0.0, 1)),
        ["/items/0/in", "/items/0/out"]
    );
    assert_eq!(
        pointers(&schedule, one(1e300, 604_801.0, 1)),
        ["/items/0/in", "/items/0/out"]
    );
    let read = edit(&schedule, one(2.5, 4.0, 1));
    let basis = basis(&read, "2027-01-01T00:00:00Z");
    assert_eq!(
        (
            basis.units[0].items[0].in_frame,
            basis.units[0].items[0].frames
        ),
        (63, 37)
    );
}

#[test]
fn blocks_in_a_circle_are_refused_and_so_is_what_unfolds_without_end() {
    let blocks = |items: Value| Edit::Blocks(json!({ "items": items }));
    let schedule = rotation(&[0]);
    let circle = json!([
        { "name": "a", "items": [item(1), { "block": "b" }] },
        { "name": "b", "items": [{ "block": "c" }] },
        { "name": "c", "items": [{ "block": "a" }] },
        { "name": "alone", "items": [{ "block": "alone" }] },
        { "name": "a", "items": [{ "block": "nowhere" }] },
    ]);
    let told = pointers(&schedule, blocks(circle));
    assert!(
        ["/items/3", "/items/4/items/0/block", "/items/4/name"]
            .iter()
            .all(|at| told.contains(&(*at).to_owned())),
        "{told:?}"
    );
    let circle = json!([{ "name": "a", "items": [{ "block": "b" }] }, { "name": "b", "items": [{ "block": "a" }] }]);
    assert_eq!(pointers(&schedule, blocks(circle)), ["/items/0"]);
    // Each holds the one before twice: 2^40 items.
    let mut bomb = vec![json!({ "name": "0", "items": [item(1)] })];
    bomb.extend((1..=40).map(|n| json!({ "name": n.to_string(), "items": [{ "block": (n - 1).to_string() }, { "block": (n - 1).to_string() }] })));
    let schedule = edit(&schedule, blocks(json!(bomb)));
    let small = Edit::Rotation(json!({ "items": [{ "block": "10" }] }));
    assert_eq!(
        edit(&schedule, small)
            .resolve(
                basis(&schedule, "2027-01-01T00:00:00Z")
                    .timeline
                    .expect("one"),
                |_| Facts::default()
            )
            .units[0]
            .items
            .len(),
        1_024
    );
    assert_eq!(
        pointers(
            &schedule,
            Edit::Rotation(json!({ "items": [{ "block": "40" }] }))
        ),
        ["/items/0", ""]
    );
    assert_eq!(
        pointers(
            &schedule,
            Edit::Rotation(json!({ "items": vec![json!({ "block": "13" }); 7] }))
        ),
        [""]
    );
}

/// Counted: how often an item is looked up.
#[test]
fn a_block_is_unfolded_once_however_often_and_however_deep_it_is_named() {
    // Each of a thousand blocks holds the next one alone.
    let chain = (0..1_000).map(|n| match n {
        999 => json!({ "name": "999", "items": [item(1), item(2)] }),
        n => json!({ "name": n.to_string(), "items": [{ "block": (n + 1).to_string() }] }),
    });
    let blocks = Edit::Blocks(json!({ "items": chain.collect::<Vec<_>>() }));
    let schedule = edit(&rotation(&[]), blocks);
    let named: Vec<Value> = (0..10_000).map(|_| json!({ "block": "0" })).collect();
    let all = edit(&schedule, Edit::Rotation(json!({ "items": named })));
    let looked = std::cell::Cell::new(0);
    let count = |_| {
        looked.set(looked.get() + 1);
        Facts {
            frames: Some(FRAMES),
            series: None,
        }
    };
    let timeline = basis(&schedule, "2027-01-01T00:00:00Z").timeline;
    let unfolded = all.resolve(timeline.expect("one"), count);
    assert_eq!(looked.get(), 2);
    let shown = |n: usize| unfolded.units[n].items.iter().map(|one| one.media_id);
    for n in [0, 9_999] {
        assert!(shown(n).eq([media(1), media(2)]));
    }
    // A block within a block that was unfolded before, and after.
    let blocks = json!({ "items": [
        { "name": "outer", "items": [item(1), { "block": "inner" }, item(2), { "block": "inner" }] },
        { "name": "inner", "items": [item(3), item(4)] },
    ] });
    let schedule = edit(&schedule, Edit::Rotation(json!({ "items": [item(0)] })));
    let schedule = edit(&schedule, Edit::Blocks(blocks));
    for names in [["outer", "inner"], ["inner", "outer"]] {
        let named = names.map(|name| json!({ "block": name }));
        let both = edit(&schedule, Edit::Rotation(json!({ "items": named })));
        let units = basis(&both, "2027-01-01T00:00:00Z").units;
        for (unit, name) in units.iter().zip(names) {
            let shown: Vec<_> = unit.items.iter().map(|one| one.media_id).collect();
            let expected: &[u128] = match name {
                "outer" => &[1, 3, 4, 2, 3, 4],
                _ => &[3, 4],
            };
            let expected: Vec<_> = expected.iter().map(|n| media(*n)).collect();
            assert_eq!(shown, expected, "{name} of {names:?}");
        }
    }
}

#[test]
fn a_slot_that_is_wrong_is_told_in_full() {
    let schedule = rotation(&[0]);
    let wrong = |value| pointers(&schedule, Edit::AddSlots(value));
    assert_eq!(wrong(json!({})), ["/time", "/items"]);
    assert_eq!(
        wrong(json!({ "time": "20:15", "items": [item(1)] })),
        ["/zone"]
    );
    assert_eq!(
        wrong(json!({ "time": "20:15", "zone": "Nowhere/Town", "items": [] })),
        ["/zone", "/items"]
    );
    assert_eq!(
        wrong(json!({ "time": "2030-01-01", "zone": "UTC", "items": [item(1)] })),
        ["/time"]
    );
    assert_eq!(
        wrong(json!({ "at": "2030-02-30T10:00:00Z", "items": [item(1)] })),
        ["/at"]
    );
    assert_eq!(
        wrong(json!({ "at": "2030-02-03T10:00:00", "items": [item(1)] })),
        ["/at"],
        "local without a zone"
    );
    assert_eq!(
        wrong(
            json!({ "at": "2030-02-03T10:00:00Z", "time": "10:00", "days": ["mon"], "items": [item(1)] })
        ),
        ["/time", "/days"]
    );
    assert_eq!(
        wrong(
            json!({ "time": "10:00", "zone": "UTC", "days": ["someday", 7], "items": [item(1)] })
        ),
        ["/days/0", "/days/1"]
    );
    assert_eq!(
        wrong(
            json!({ "time": "10:00", "zone": "UTC", "days": [], "items": [item(1)], "duration": -5 })
        ),
        ["/days", "/duration"]
    );
    assert_eq!(
        wrong(
            json!({ "time": "2030-01-31T20:15", "zone": "UTC", "items": [item(1)], "duration": 1.9, "id": Uuid::nil() })
        ),
        ["/id", "/time", "/duration"]
    );
    assert_eq!(
        wrong(json!({ "time": "20:15:30.5", "zone": "UTC", "items": [item(1)], "duration": 1.9 })),
        ["/duration"],
        "less than a GOP"
    );
    let many = json!({ "items": vec![json!({ "time": "10:00", "zone": "UTC", "items": [item(1)] }); 1_000] });
    let full = edit(&schedule, Edit::AddSlots(many));
    assert_eq!(
        pointers(
            &full,
            Edit::AddSlots(json!({ "time": "10:00", "zone": "UTC", "items": [item(1)] }))
        ),
        [""]
    );
    assert_eq!(
        try_edit(&schedule, Edit::RemoveSlot(slot(1))),
        Err(Refused::NoSuchSlot)
    );
    assert_eq!(full.slots.len(), 1_000);
    assert_eq!(edit(&full, Edit::RemoveSlot(slot(7))).slots.len(), 999);
    assert!(edit(&full, Edit::ClearSlots).slots.is_empty());
}

#[test]
fn clocks_that_are_changed_move_slots_as_defined() {
    let daily = |time: &str| json!([{ "time": time, "zone": "Europe/Vienna", "items": [item(5)] }]);
    // Put forward from 02:00 to 03:00 on 28 March 2027, and back from 03:00 to 02:00 on 31 October.
    assert_slots(
        &with_slots(daily("02:30")),
        "2027-03-27T00:00:00Z",
        &[("2027-03-27T01:30:00Z", 5), ("2027-03-28T01:30:00Z", 5)],
    );
    assert_slots(
        &with_slots(daily("03:30")),
        "2027-03-27T00:00:00Z",
        &[("2027-03-27T02:30:00Z", 5), ("2027-03-28T01:30:00Z", 5)],
    );
    assert_slots(
        &with_slots(daily("02:30")),
        "2027-10-30T00:00:00Z",
        &[("2027-10-30T00:30:00Z", 5), ("2027-10-31T00:30:00Z", 5)],
    );
    // A leap day is a day like any other.
    assert_slots(
        &with_slots(daily("12:00")),
        "2028-02-28T12:00:00Z",
        &[("2028-02-29T11:00:00Z", 5), ("2028-03-01T11:00:00Z", 5)],
    );
    let local =
        json!([{ "at": "2027-03-28T02:30:00", "zone": "Europe/Vienna", "items": [item(5)] }]);
    assert_slots(
        &with_slots(local),
        "2027-03-27T00:00:00Z",
        &[("2027-03-28T01:30:00Z", 5)],
    );
}

#[test]
fn slots_that_overlap_give_way_as_defined() {
    let epoch = "2027-06-01T09:00:00Z";
    // A later one ends an earlier one, which does not come back.
    let long = json!({ "at": "2027-06-01T10:00:00Z", "items": [item(2), item(3), item(4)] });
    let inner = json!({ "at": "2027-06-01T10:01:30Z", "items": [item(5)] });
    assert_slots(
        &with_slots(json!([inner, long])),
        epoch,
        &[
            ("2027-06-01T10:00:00Z", 2),
            ("2027-06-01T10:01:00Z", 3),
            ("2027-06-01T10:01:30Z", 5),
        ],
    );
    // At one time the most particular airs.
    let daily = json!({ "time": "10:00", "zone": "UTC", "items": [item(2)] });
    let weekly = json!({ "time": "10:00", "zone": "UTC", "days": ["tue"], "items": [item(3)] });
    let once = json!({ "at": "2027-06-02T10:00:00Z", "items": [item(4)] });
    assert_slots(
        &with_slots(json!([daily, weekly, once])),
        epoch,
        &[("2027-06-01T10:00:00Z", 3), ("2027-06-02T10:00:00Z", 4)],
    );
}

#[test]
fn a_template_counts_on_its_dates_and_days() {
    let day = |name: &str, at: &str, rule: Value, n| {
        let mut day =
            json!({ "name": name, "zone": "UTC", "slots": [{ "time": at, "items": [item(n)] }] });
        day.as_object_mut()
            .expect("one")
            .extend(rule.as_object().expect("one").clone());
        day
    };
    let all = json!({ "items": [
        day("week", "10:00", json!({ "days": ["tue", "wed"] }), 2),
        day("holiday", "11:00", json!({ "dates": ["2027-06-02"] }), 3),
    ] });
    let schedule = edit(&rotation(&[0]), Edit::Templates(all));
    assert_slots(
        &schedule,
        "2027-06-01T00:00:00Z",
        &[("2027-06-01T10:00:00Z", 2), ("2027-06-02T11:00:00Z", 3)],
    );
    let wrong = json!({ "items": [{ "name": "t", "zone": "UTC", "slots": [{ "items": [item(77)] }] }, { "name": "t", "zone": "X/Y", "dates": ["2027-02-29"] }] });
    assert_eq!(
        pointers(&schedule, Edit::Templates(wrong)),
        [
            "/items/0/days",
            "/items/0/slots/0/time",
            "/items/1/zone",
            "/items/1/dates/0",
            "/items/1/slots",
            "/items/0/slots/0/items/0/mediaId",
            "/items/1/name"
        ]
    );
}

#[test]
fn slots_go_on_after_days_that_have_none() {
    let all = json!({ "items": [
        { "name": "monday", "zone": "UTC", "days": ["mon"], "slots": [{ "time": "10:00", "items": [item(2)] }] },
        { "name": "holiday", "zone": "UTC", "dates": ["2027-06-07", "2027-06-14", "2027-07-12"], "slots": [] },
    ] });
    let schedule = edit(&rotation(&[0]), Edit::Templates(all));
    let once = json!([{ "at": "2027-06-17T10:00:00Z", "items": [item(3)] }]);
    let schedule = edit(&schedule, Edit::Slots(json!({ "items": once })));
    // A Tuesday.
    let epoch = "2027-06-01T00:00:00Z";
    let begins: Timestamp = epoch.parse().expect("a time");
    let plan = Plan::starting(Frame::new(0), basis(&schedule, epoch));
    let entries = plan.entries(Frame::new(0)..Frame::new(50 * 24 * 60 * FRAMES));
    let slots = entries.iter().filter(|entry| entry.media_id != media(0));
    let dates: Vec<_> = slots
        .map(|entry| {
            let at = begins + SignedDuration::from_millis(40 * entry.start.get() as i64);
            at.to_string()
        })
        .collect();
    assert_eq!(
        dates,
        [
            "2027-06-17T10:00:00Z",
            "2027-06-21T10:00:00Z",
            "2027-06-28T10:00:00Z",
            "2027-07-05T10:00:00Z",
            "2027-07-19T10:00:00Z",
        ]
    );
}

#[test]
fn where_nothing_can_be_played_nobody_looks_to_the_end_of_time() {
    let slots = json!({ "items": [
        { "time": "10:00", "zone": "UTC", "items": [item(10)] },
        { "at": "2027-07-11T12:00:00Z", "items": [item(1)] },
    ] });
    let schedule = edit(&Schedule::default(), Edit::Slots(slots));
    let timeline = basis(&schedule, "2027-06-01T12:00:00Z")
        .timeline
        .expect("one");
    // Nothing is known of what is on every day.
    let basis = schedule.resolve(timeline, |id| Facts {
        frames: (id == media(1)).then_some(FRAMES),
        series: None,
    });
    let plan = Plan::starting(Frame::new(0), basis);
    let day = |n: u64| Frame::new(n * 24 * 60 * FRAMES);
    assert_eq!(plan.after(day(0)), None, "40 days ahead");
    let found = plan.after(day(10)).expect("30 days ahead");
    assert_eq!((found.start, found.media_id), (day(40), media(1)));
    assert_eq!(plan.after(day(0)), None, "whatever was asked for before");
    assert_eq!(plan.at(day(40)), Some(found));
    assert_eq!(plan.after(day(41)), None);
}

#[test]
fn a_slot_is_cut_or_padded_to_its_duration_and_joined_where_it_is() {
    let fillers = json!({ "items": [item(0)], "fillers": [{ "mediaId": media(9), "out": 20 }] });
    let schedule = edit(&Schedule::default(), Edit::Rotation(fillers));
    let slots = json!({ "items": [
        { "at": "2027-06-01T10:00:30Z", "items": [item(2), item(3)], "duration": 90 },
        { "at": "2027-06-01T10:03:00Z", "items": [item(4)], "duration": 100 },
    ] });
    let schedule = edit(&schedule, Edit::Slots(slots));
    let basis = basis(&schedule, "2027-06-01T10:00:00Z");
    let lengths = |plan: &Plan, from: u64| -> Vec<(MediaId, u64)> {
        let entries = plan.entries(Frame::new(from * 25)..Frame::new(300 * 25));
        entries
            .iter()
            .map(|entry| (entry.media_id, entry.frames() / 25))
            .collect()
    };
    let plan = Plan::starting(Frame::new(0), basis.clone());
    let (film, filler) = (media(0), media(9));
    let from_90 = [
        (media(3), 30),
        (film, 60),
        (media(4), 60),
        (filler, 20),
        (filler, 20),
        (film, 60),
    ];
    let all: Vec<_> = [(film, 30), (media(2), 60)]
        .into_iter()
        .chain(from_90)
        .collect();
    assert_eq!(lengths(&plan, 0), all);
    // Whoever starts in the middle of a slot finds it there.
    let joined = Plan::starting(Frame::new(100 * 25), basis);
    assert_eq!(lengths(&joined, 100), from_90);
}
