//! P-plan: what is on air at a frame is a pure function of the persisted runs; nothing overlaps, nothing
//! is left out, and a change never touches what is on air.

use playout_domain::plan::{InvalidPlan, KEPT_FRAMES};
use playout_domain::{
    Frame, MediaId, Plan, PlanEntry, PlanRun, PlannedItem, Rotation, RotationItem,
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

fn media(n: u8) -> MediaId {
    MediaId::from(Uuid::from_u128(u128::from(n) + 1))
}

fn item(n: u8, frames: u64) -> PlannedItem {
    PlannedItem {
        media_id: media(n),
        frames,
    }
}

/// Few media, so that the same one comes again; some of no length.
fn items() -> impl Strategy<Value = Vec<PlannedItem>> {
    prop::collection::vec(
        (0..5_u8, prop_oneof![1 => Just(0), 6 => 1..40_u64])
            .prop_map(|(n, frames)| item(n, frames)),
        0..6,
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let run = (1..150_u64, items(), any::<prop::sample::Index>());
    prop::collection::vec(run, 0..5).prop_map(|runs| {
        let mut starts = 0;
        let runs = runs.into_iter().map(|(after, items, first)| {
            starts += after;
            let first = if items.is_empty() {
                0
            } else {
                first.index(items.len())
            };
            PlanRun {
                starts: Frame::new(starts),
                first,
                items,
            }
        });
        Plan::from_runs(runs.collect()).expect("runs in order")
    })
}

/// What a frame shows: the medium, its frame, its place in the rotation.
type Shown = Option<(MediaId, u64, usize)>;

/// The plan played frame by frame, as slowly as can be.
fn played(runs: &[PlanRun], frames: u64) -> Vec<Shown> {
    let mut all = vec![None; frames as usize];
    for (n, run) in runs.iter().enumerate() {
        let end = runs
            .get(n + 1)
            .map_or(frames, |next| next.starts.get())
            .min(frames);
        let mut at = run.starts.get();
        let mut index = run.first;
        if run.items.iter().all(|item| item.frames == 0) {
            continue;
        }
        while at < end {
            let item = run.items[index];
            for frame in 0..item.frames {
                if at < end {
                    all[at as usize] = Some((item.media_id, frame, index));
                    at += 1;
                }
            }
            index = (index + 1) % run.items.len();
        }
    }
    all
}

fn shown(plan: &Plan, frame: u64) -> Shown {
    let frame = Frame::new(frame);
    plan.at(frame).map(|entry| {
        (
            entry.media_id,
            entry.item_frame(frame),
            entry.rotation_index,
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_shows_what_playing_from_the_beginning_would(plan in plan()) {
        let expected = played(plan.runs(), 900);
        for (frame, expected) in (0..).zip(expected) {
            prop_assert_eq!(shown(&plan, frame), expected, "frame {}", frame);
        }
    }

    #[test]
    fn entries_neither_overlap_nor_leave_out_a_frame(plan in plan(), from in 0..500_u64, long in 0..400_u64) {
        let entries = plan.entries(Frame::new(from)..Frame::new(from + long));
        let mut expected: Vec<PlanEntry> = (from..from + long).filter_map(|frame| plan.at(Frame::new(frame))).collect();
        expected.dedup();
        prop_assert_eq!(&entries, &expected);
        for entry in &entries {
            prop_assert!(entry.start < entry.end && entry.frames() > 0);
            for frame in entry.start.get()..entry.end.get() {
                prop_assert_eq!(plan.at(Frame::new(frame)), Some(*entry), "frame {}", frame);
            }
        }
        for pair in entries.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start);
        }
    }

    #[test]
    fn replacing_keeps_what_is_on_air_to_its_end(mut plan in plan(), airing in 0..600_u64, items in items()) {
        let before = plan.clone();
        let on_air = before.at(Frame::new(airing));
        let changed = plan.replace_from(Frame::new(airing), items.clone());
        prop_assert_eq!(changed, plan != before);
        let from = on_air.map_or(airing, |entry| entry.end.get());
        for frame in airing..from {
            prop_assert_eq!(plan.at(Frame::new(frame)), before.at(Frame::new(frame)), "frame {}", frame);
        }
        // From there on the new items loop, after the one on air where they have it.
        let place = on_air.and_then(|entry| {
            let same = |n: &usize| items[*n].media_id == entry.media_id;
            Some(entry.rotation_index).filter(|n| *n < items.len() && same(n)).or_else(|| (0..items.len()).find(same))
        });
        let first = place.map_or(0, |n| (n + 1) % items.len());
        let expected = played(&[PlanRun { starts: Frame::new(from), first, items }], from + 300);
        for frame in from..from + 300 {
            prop_assert_eq!(shown(&plan, frame), expected[frame as usize], "frame {}", frame);
        }
        prop_assert!(Plan::from_runs(plan.runs().to_vec()).is_ok());
    }

    #[test]
    fn replacing_with_the_same_changes_nothing(items in items(), starts in 0..100_u64, airing in 100..900_u64) {
        let mut plan = Plan::starting(Frame::new(starts), items.clone());
        let before = plan.clone();
        // Where one medium comes twice, the place in the rotation decides.
        prop_assert!(!plan.replace_from(Frame::new(airing), items), "{:?}", plan);
        prop_assert_eq!(plan, before);
    }

    #[test]
    fn skipping_goes_on_with_the_next_item_at_once(mut plan in plan(), at in 0..600_u64) {
        let before = plan.clone();
        let on_air = before.at(Frame::new(at));
        prop_assert_eq!(plan.skip(Frame::new(at)), on_air.is_some() && plan != before);
        let Some(entry) = on_air else {
            prop_assert_eq!(plan, before);
            return Ok(());
        };
        for frame in entry.start.get()..at {
            prop_assert_eq!(shown(&plan, frame), shown(&before, frame), "frame {}", frame);
        }
        let run = before.runs().iter().rfind(|run| run.starts.get() <= at).expect("a run").clone();
        let first = (entry.rotation_index + 1) % run.items.len();
        let expected = played(&[PlanRun { starts: Frame::new(at), first, items: run.items }], at + 300);
        for frame in at..at + 300 {
            prop_assert_eq!(shown(&plan, frame), expected[frame as usize], "frame {}", frame);
        }
    }

    #[test]
    fn what_was_on_air_lately_is_known_and_a_plan_does_not_grow(mut plan in plan(), changes in prop::collection::vec((0..9_000_u64, items(), any::<bool>()), 1..40)) {
        let mut now = 600;
        let mut history: Vec<(u64, Shown)> = Vec::new();
        for (after, items, skip) in changes {
            history.extend((now..now + after).step_by(397).map(|frame| (frame, shown(&plan, frame))));
            now += after;
            if skip {
                plan.skip(Frame::new(now));
            } else {
                plan.replace_from(Frame::new(now), items);
            }
            for (frame, before) in history.iter().filter(|(frame, _)| *frame + KEPT_FRAMES >= now) {
                prop_assert_eq!(shown(&plan, *frame), *before, "frame {} at {}", frame, now);
            }
            let stored = serde_json::to_string(&plan).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Plan>(&stored).expect("what was stored"), &plan);
        }
        for n in 0..100 {
            plan.skip(Frame::new(now + n));
        }
        prop_assert!(plan.runs().len() <= 17, "{} runs", plan.runs().len());
        plan.replace_from(Frame::new(now + 100 + KEPT_FRAMES), vec![item(9, 5)]);
        prop_assert!(plan.runs().len() <= 3, "{} runs long after", plan.runs().len());
    }
}

#[test]
fn no_frames_are_shown_by_no_entry() {
    let plan = Plan::starting(Frame::new(0), vec![item(0, 10)]);
    assert_eq!(plan.entries(Frame::new(5)..Frame::new(5)), []);
    assert_eq!(plan.entries(Frame::new(5)..Frame::new(6)).len(), 1);
}

#[test]
fn runs_out_of_order_and_items_that_are_not_there_are_refused() {
    let run = |starts, first, items| PlanRun {
        starts: Frame::new(starts),
        first,
        items,
    };
    assert_eq!(
        Plan::from_runs(vec![run(5, 0, vec![]), run(5, 0, vec![])]),
        Err(InvalidPlan::OutOfOrder {
            index: 1,
            starts: Frame::new(5)
        })
    );
    assert_eq!(
        Plan::from_runs(vec![run(5, 1, vec![item(0, 1)])]),
        Err(InvalidPlan::NoSuchItem {
            index: 0,
            first: 1,
            items: 1
        })
    );
    assert!(Plan::from_runs(vec![run(5, 0, vec![])]).is_ok());
    let stored = json!({ "runs": [{ "starts": 9, "items": [] }, { "starts": 3, "items": [] }] });
    assert!(serde_json::from_value::<Plan>(stored).is_err());
}

#[test]
fn a_rotation_that_is_wrong_is_told_in_full() {
    let id = media(1);
    let good = json!({ "items": [{ "mediaId": id }, { "mediaId": id }] });
    let rotation = Rotation::parse(&good).expect("a rotation");
    assert_eq!(rotation.items, [RotationItem { media_id: id }; 2]);
    assert_eq!(serde_json::to_value(&rotation).expect("JSON"), good);
    let pointers = |value| -> Vec<String> {
        let violations = Rotation::parse(&value).expect_err("violations");
        violations
            .0
            .into_iter()
            .map(|violation| violation.pointer)
            .collect()
    };
    assert_eq!(pointers(json!([])), [""]);
    assert_eq!(pointers(json!({})), ["/items"]);
    assert_eq!(
        pointers(json!({ "items": {}, "more": 1 })),
        ["/items", "/more"]
    );
    assert_eq!(
        pointers(
            json!({ "items": [{}, { "mediaId": 1 }, { "mediaId": "x" }, 7, { "mediaId": id, "frames": 1 }] })
        ),
        [
            "/items/0/mediaId",
            "/items/1/mediaId",
            "/items/2/mediaId",
            "/items/3",
            "/items/4/frames"
        ]
    );
    assert_eq!(
        pointers(json!({ "items": vec![json!({ "mediaId": id }); 10_001] })),
        ["/items"]
    );
}

#[test]
fn what_has_no_known_length_keeps_its_place_and_is_passed_over() {
    let rotation = Rotation {
        items: [0, 1, 2]
            .map(|n| RotationItem { media_id: media(n) })
            .to_vec(),
    };
    let planned = rotation.planned(|id| (id != media(1)).then_some(10));
    assert_eq!(planned, [item(0, 10), item(1, 0), item(2, 10)]);
    let plan = Plan::starting(Frame::new(0), planned);
    assert_eq!(
        plan.at(Frame::new(10))
            .map(|entry| (entry.media_id, entry.rotation_index)),
        Some((media(2), 2))
    );
}
