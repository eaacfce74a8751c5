//! Changes of a plan that is on air. What is played by hand: what it interrupts goes on, slots end both, and what has not
//! begun waits for them. Slots that are moved: what is on air ends where the slot begins now.

use playout_domain::plan::{Basis, MOST_WAITING, PlannedSlot, Rule, Unit};
use playout_domain::{
    Frame, FrameRate, MediaId, Origin, Plan, PlannedItem, SlotId, Ticks90k, Timeline,
};
use uuid::Uuid;

fn media(n: u8) -> MediaId {
    MediaId::from(Uuid::from_u128(u128::from(n) + 1))
}

/// An item of so many seconds.
fn item(n: u8, seconds: u64) -> PlannedItem {
    PlannedItem::whole(media(n), seconds * 25)
}

/// A rotation of one item of 100 s. At 250 s a slot with an item of 100 s begins, which is over after `duration`.
fn basis(duration: Option<u64>) -> Basis {
    let timeline = Timeline {
        epoch: "2027-06-01T10:00:00Z".parse().expect("a time"),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k(900_000),
    };
    Basis {
        timeline: Some(timeline),
        units: vec![Unit::of(item(0, 100))],
        slots: vec![PlannedSlot {
            id: Some(SlotId::from(Uuid::from_u128(7))),
            rule: Rule::Once("2027-06-01T10:04:10Z".parse().expect("a time")),
            items: vec![item(1, 100)],
            frames: duration.map(|seconds| seconds * 25),
        }],
        ..Basis::default()
    }
}

/// The same with the slot at another second.
fn moved(to: i64, duration: Option<u64>) -> Basis {
    let mut basis = basis(duration);
    let epoch = basis.timeline.expect("one").epoch;
    basis.slots[0].rule = Rule::Once(epoch + jiff::SignedDuration::from_secs(to));
    basis
}

fn second(n: u64) -> Frame {
    Frame::new(n * 25)
}

/// What is on air from a second on: its second, its item, the second of the item.
fn shown(plan: &Plan, from: u64, until: u64) -> Vec<(u64, u8, u64)> {
    let entries = plan.entries(second(from)..second(until));
    let number = |id: MediaId| id.uuid().as_u128() as u8 - 1;
    let each = entries.iter();
    each.map(|entry| {
        (
            entry.start.get() / 25,
            number(entry.media_id),
            entry.in_frame / 25,
        )
    })
    .collect()
}

#[test]
fn what_is_played_in_a_slot_goes_on_beyond_its_end_and_the_slot_does_not() {
    let mut plan = Plan::starting(second(0), basis(Some(60)));
    assert!(plan.play_now(second(280), item(5, 50)));
    // The slot would have ended at 310 s.
    assert_eq!(
        shown(&plan, 250, 400),
        [(250, 1, 0), (280, 5, 0), (330, 0, 0)]
    );
    // One that is over before the slot is: the rest of the slot's item follows up to there.
    let mut plan = Plan::starting(second(0), basis(Some(60)));
    assert!(plan.play_now(second(280), item(5, 20)));
    assert_eq!(
        shown(&plan, 250, 400),
        [(250, 1, 0), (280, 5, 0), (300, 1, 30), (310, 0, 0)]
    );
}

#[test]
fn a_slot_ends_what_is_played_and_what_that_interrupted() {
    let mut plan = Plan::starting(second(0), basis(Some(60)));
    assert!(plan.play_now(second(230), item(5, 100)));
    assert!(plan.play_now(second(240), item(6, 100)));
    assert_eq!(
        shown(&plan, 200, 400),
        [
            (200, 0, 0),
            (230, 5, 0),
            (240, 6, 0),
            (250, 1, 0),
            (310, 0, 0)
        ]
    );
}

#[test]
fn what_has_not_begun_when_a_slot_begins_waits_until_it_is_over() {
    for (duration, over) in [(Some(60), 310), (None, 350)] {
        let mut plan = Plan::starting(second(0), basis(duration));
        assert!(plan.play_next(second(130), item(5, 100)));
        assert!(plan.play_next(second(130), item(6, 20)));
        assert_eq!(
            shown(&plan, 200, 400),
            [(200, 5, 0), (250, 1, 0), (over, 6, 0), (over + 20, 0, 0)]
        );
        // What is asked for in the slot is next in it, and after what waits where nothing of the slot follows.
        assert!(plan.play_next(second(260), item(7, 20)));
        let (first, then) = match duration {
            Some(_) => (6, 7),
            None => (7, 6),
        };
        assert_eq!(
            shown(&plan, over, 400),
            [(over, first, 0), (over + 20, then, 0), (over + 40, 0, 0)]
        );
    }
}

#[test]
fn so_much_may_wait_and_no_more() {
    let mut plan = Plan::looping(second(0), vec![item(0, 100)]);
    for _ in 0..MOST_WAITING {
        assert!(plan.play_next(second(10), item(5, 10)));
    }
    let before = plan.clone();
    assert!(!plan.play_next(second(10), item(6, 10)));
    assert!(!plan.play_now(second(10), item(6, 10)));
    assert_eq!(plan, before);
    // When one of them is on air there is room for another.
    assert!(plan.play_next(second(105), item(6, 10)));
    assert!(plan.holds(media(6), second(105)));
}

#[test]
fn what_was_interrupted_may_be_of_a_rotation_that_is_no_more() {
    let mut plan = Plan::looping(second(0), (0..3).map(|n| item(n, 100)).collect());
    assert!(plan.replace_from(second(250), Basis::looping(vec![item(0, 100)])));
    assert!(plan.play_now(second(260), item(5, 20)));
    let expected = [(200, 2, 0), (260, 5, 0), (280, 2, 60), (320, 0, 0)];
    assert_eq!(shown(&plan, 250, 400), expected);
    let stored = serde_json::to_value(&plan).expect("JSON");
    assert!(serde_json::from_value::<Plan>(stored).is_ok());
    assert!(plan.replace_from(second(265), Basis::looping(vec![item(0, 90)])));
    assert_eq!(
        shown(&plan, 250, 400),
        expected[..3]
            .iter()
            .chain(&[(320, 0, 0)])
            .copied()
            .collect::<Vec<_>>()
    );
    // Where it is in the rotation still it is of that, wherever it stands.
    let mut plan = Plan::looping(second(0), (0..3).map(|n| item(n, 100)).collect());
    assert!(plan.replace_from(
        second(250),
        Basis::looping(vec![item(2, 100), item(0, 100)])
    ));
    assert!(plan.play_now(second(260), item(5, 20)));
    let rest = plan.at(second(280)).map(|entry| entry.origin);
    assert_eq!(rest, Some(Origin::Rotation(0)));
}

#[test]
fn an_insert_of_no_entry_of_the_rotation_is_refused() {
    let mut plan = Plan::looping(second(0), vec![item(0, 100)]);
    assert!(plan.play_now(second(10), item(5, 10)));
    let mut stored = serde_json::to_value(&plan).expect("JSON");
    let inserts = &mut stored["tail"]["state"]["inserts"];
    assert_eq!(inserts[1]["origin"]["rotation"], 0);
    inserts[1]["origin"]["rotation"] = 1.into();
    assert!(serde_json::from_value::<Plan>(stored).is_err());
}

#[test]
fn what_was_cut_for_a_slot_goes_on_when_the_slot_is_moved() {
    // The second round of the rotation would have been cut at 250 s.
    for (to, shown_then) in [
        (290, vec![(200, 0, 0), (290, 1, 0), (390, 0, 0)]),
        (320, vec![(200, 0, 0), (300, 0, 0), (320, 1, 0)]),
        (230, vec![(200, 0, 0), (230, 1, 0), (330, 0, 0)]),
    ] {
        let mut plan = Plan::starting(second(0), basis(None));
        assert_eq!(shown(&plan, 200, 260), [(200, 0, 0), (250, 1, 0)]);
        assert!(plan.replace_from(second(220), moved(to, None)));
        assert_eq!(shown(&plan, 200, 400), shown_then, "moved to {to}");
        // And back: as it was.
        assert!(plan.replace_from(second(221), basis(None)));
        assert_eq!(shown(&plan, 200, 260), [(200, 0, 0), (250, 1, 0)]);
    }
    // A slot that is gone cuts nothing, and stored meanwhile or not is the same.
    let plan = Plan::starting(second(0), basis(None));
    let stored = serde_json::to_string(&plan).expect("a plan");
    let mut plan: Plan = serde_json::from_str(&stored).expect("the same");
    let without = Basis {
        slots: Vec::new(),
        ..basis(None)
    };
    assert!(plan.replace_from(second(220), without));
    assert_eq!(shown(&plan, 200, 400), [(200, 0, 0), (300, 0, 0)]);
}

#[test]
fn what_was_interrupted_goes_on_as_far_as_the_slot_lets_it_now() {
    let mut plan = Plan::starting(second(0), basis(None));
    assert!(plan.play_now(second(220), item(5, 10)));
    assert!(plan.replace_from(second(225), moved(290, None)));
    assert_eq!(
        shown(&plan, 200, 320),
        [(200, 0, 0), (220, 5, 0), (230, 0, 20), (290, 1, 0)]
    );
}

#[test]
fn a_duration_counts_from_the_beginning_of_its_slot() {
    // The slot's item of 100 s is on air since 250 s.
    let over_at = |duration, then| {
        let mut plan = Plan::starting(second(0), basis(duration));
        assert!(plan.replace_from(second(270), basis(then)));
        shown(&plan, 250, 400)
    };
    let ends = |at| vec![(250, 1, 0), (at, 0, 0)];
    assert_eq!(over_at(None, Some(60))[..2], ends(310));
    assert_eq!(over_at(Some(60), Some(80))[..2], ends(330));
    assert_eq!(over_at(Some(60), None)[..2], ends(350));
    // Over already: at once.
    assert_eq!(over_at(None, Some(10))[..2], ends(270));
    // Its end is by the clock, in whatever round of its items it was added: here in the second of two.
    let two = |duration| {
        let mut basis = basis(duration);
        basis.slots[0].items = vec![item(1, 40), item(2, 100)];
        basis
    };
    let mut plan = Plan::starting(second(0), two(None));
    assert!(plan.replace_from(second(300), two(Some(70))));
    assert_eq!(
        shown(&plan, 250, 400)[..3],
        [(250, 1, 0), (290, 2, 0), (320, 0, 0)]
    );
}

#[test]
fn what_is_on_air_of_a_slot_that_is_gone_ends_as_it_was_planned() {
    let mut plan = Plan::starting(second(0), basis(Some(60)));
    let _ = plan.at(second(270));
    let without = Basis {
        slots: Vec::new(),
        ..basis(None)
    };
    assert!(plan.replace_from(second(270), without));
    assert_eq!(shown(&plan, 250, 400), [(250, 1, 0), (310, 0, 0)]);
}

#[test]
fn what_was_asked_for_is_held_until_it_is_over() {
    let mut plan = Plan::starting(second(0), basis(None));
    assert!(plan.play_next(second(10), item(5, 20)));
    let held = |at| plan.holds(media(5), second(at));
    assert!(held(20), "it waits");
    assert!(held(110), "it is on air");
    assert!(!held(130), "it is over");
    assert!(plan.holds(media(0), second(130)));
    assert!(!plan.holds(media(9), second(20)));
}
