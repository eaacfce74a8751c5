//! P-plan: what is on air at a frame is a pure function of what is stored; nothing overlaps, nothing is left out,
//! and a change never touches what is on air. What slots, blocks and orders add: proptests/p_plan.rs.

use playout_domain::plan::{Basis, KEPT_FRAMES};
use playout_domain::{Frame, MediaId, Origin, Plan, PlanEntry, PlannedItem};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

fn media(n: u8) -> MediaId {
    MediaId::from(Uuid::from_u128(u128::from(n) + 1))
}

fn item(n: u8, frames: u64) -> PlannedItem {
    PlannedItem::whole(media(n), frames)
}

/// Few media, so that the same one comes again; some of no length.
fn items() -> impl Strategy<Value = Vec<PlannedItem>> {
    prop::collection::vec(
        (0..5_u8, prop_oneof![1 => Just(0), 6 => 1..40_u64])
            .prop_map(|(n, frames)| item(n, frames)),
        0..6,
    )
}

/// What a frame shows: the medium, its frame, its place in the rotation.
type Shown = Option<(MediaId, u64, usize)>;

/// Items played in a loop frame by frame, as slowly as can be.
fn looped(starts: u64, first: usize, items: &[PlannedItem], frames: u64) -> Vec<Shown> {
    let mut all = vec![None; frames as usize];
    if items.iter().all(|item| item.frames == 0) {
        return all;
    }
    let (mut at, mut index) = (starts, first);
    while at < frames {
        for frame in 0..items[index].frames {
            if at < frames {
                all[at as usize] = Some((items[index].media_id, frame, index));
                at += 1;
            }
        }
        index = (index + 1) % items.len();
    }
    all
}

fn shown(plan: &Plan, frame: u64) -> Shown {
    let frame = Frame::new(frame);
    plan.at(frame).map(|entry| {
        let index = entry.rotation_index().expect("of the rotation");
        (entry.media_id, entry.item_frame(frame), index)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_shows_what_playing_from_the_beginning_would(items in items(), starts in 0..200_u64, asked in prop::collection::vec(0..900_u64, 1..20)) {
        let plan = Plan::looping(Frame::new(starts), items.clone());
        let expected = looped(starts, 0, &items, 900);
        // In any order, for what was expanded before must not matter.
        for frame in asked.into_iter().chain(0..900) {
            prop_assert_eq!(shown(&plan, frame), expected[frame as usize], "frame {}", frame);
        }
    }

    #[test]
    fn entries_neither_overlap_nor_leave_out_a_frame(items in items(), starts in 0..100_u64, from in 0..500_u64, long in 0..400_u64) {
        let plan = Plan::looping(Frame::new(starts), items);
        let entries = plan.entries(Frame::new(from)..Frame::new(from + long));
        let mut expected: Vec<PlanEntry> = (from..from + long).filter_map(|frame| plan.at(Frame::new(frame))).collect();
        expected.dedup();
        prop_assert_eq!(&entries, &expected);
        for entry in &entries {
            prop_assert!(entry.start < entry.end && entry.frames() > 0);
        }
        for pair in entries.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
        }
    }

    #[test]
    fn replacing_keeps_what_is_on_air_to_its_end(old in items(), starts in 0..100_u64, airing in 0..600_u64, items in items()) {
        let mut plan = Plan::looping(Frame::new(starts), old.clone());
        let before = plan.clone();
        let on_air = before.at(Frame::new(airing));
        let changed = plan.replace_from(Frame::new(airing), Basis::looping(items.clone()));
        prop_assert_eq!(changed, old != items);
        if !changed {
            return Ok(());
        }
        let from = on_air.map_or(airing.max(starts), |entry| entry.end.get());
        for frame in airing..from.min(airing + 100) {
            prop_assert_eq!(plan.at(Frame::new(frame)), before.at(Frame::new(frame)), "frame {}", frame);
        }
        // From there on the new items loop, after the one on air where they have it.
        let place = on_air.and_then(|entry| {
            let same = |n: &usize| items[*n].media_id == entry.media_id;
            entry.rotation_index().filter(|n| *n < items.len() && same(n)).or_else(|| (0..items.len()).find(same))
        });
        let alike = old.len() == items.len() && old.iter().zip(&items).all(|(old, new)| old.media_id == new.media_id);
        let first = place.map_or(0, |n| (n + 1) % items.len());
        let first = if alike && on_air.is_none() { 0 } else { first };
        let expected = looped(from, first, &items, from + 300);
        for frame in from..from + 300 {
            prop_assert_eq!(shown(&plan, frame), expected[frame as usize], "frame {}", frame);
        }
    }

    #[test]
    fn skipping_goes_on_with_the_next_item_at_once(items in items(), starts in 0..100_u64, at in 0..600_u64) {
        let mut plan = Plan::looping(Frame::new(starts), items.clone());
        let before = plan.clone();
        let on_air = before.at(Frame::new(at));
        prop_assert_eq!(plan.skip(Frame::new(at)), on_air.is_some());
        let Some(entry) = on_air else {
            prop_assert_eq!(plan, before);
            return Ok(());
        };
        for frame in entry.start.get()..at {
            prop_assert_eq!(shown(&plan, frame), shown(&before, frame), "frame {}", frame);
        }
        let first = (entry.rotation_index().expect("of the rotation") + 1) % items.len();
        let expected = looped(at, first, &items, at + 300);
        for frame in at..at + 300 {
            prop_assert_eq!(shown(&plan, frame), expected[frame as usize], "frame {}", frame);
        }
    }

    #[test]
    fn what_was_on_air_lately_is_known_and_a_plan_does_not_grow(first in items(), changes in prop::collection::vec((0..9_000_u64, items(), 0..4_u8), 1..12)) {
        let mut plan = Plan::looping(Frame::new(0), first);
        let mut now = 600;
        let mut history: Vec<(u64, Option<PlanEntry>)> = Vec::new();
        for (after, items, what) in changes {
            history.extend((now..now + after).step_by(331).map(|frame| (frame, plan.at(Frame::new(frame)))));
            now += after;
            match what {
                0 => { plan.skip(Frame::new(now)); }
                1 => { plan.play_next(Frame::new(now), item(7, 30)); }
                2 => { plan.play_now(Frame::new(now), item(8, 30)); }
                _ => { plan.replace_from(Frame::new(now), Basis::looping(items)); }
            }
            // As many entries as there are frames are kept.
            for (frame, before) in history.iter().filter(|(frame, _)| *frame + 500 >= now) {
                let after = plan.at(Frame::new(*frame));
                prop_assert_eq!(after.map(|e| (e.start, e.media_id)), before.map(|e| (e.start, e.media_id)), "frame {} at {}", frame, now);
            }
            let stored = serde_json::to_string(&plan).expect("JSON");
            let read = serde_json::from_str::<Plan>(&stored).expect("what was stored");
            prop_assert_eq!(&read, &plan);
            for frame in now..now + 200 {
                prop_assert_eq!(read.at(Frame::new(frame)), plan.at(Frame::new(frame)));
            }
        }
        let long = serde_json::to_string(&plan).expect("JSON").len();
        prop_assert!(long < 120_000, "{} bytes", long);
        plan.skip(Frame::new(now + KEPT_FRAMES * 2));
        let long = serde_json::to_string(&plan).expect("JSON").len();
        prop_assert!(long < 120_000, "{} bytes long after", long);
    }

    #[test]
    fn what_is_played_now_begins_at_once_and_what_it_interrupted_goes_on(items in items(), at in 0..600_u64, frames in 1..80_u64) {
        let mut plan = Plan::looping(Frame::new(0), items);
        let before = plan.clone();
        plan.play_now(Frame::new(at), item(9, frames));
        for frame in at..at + frames {
            let entry = plan.at(Frame::new(frame)).expect("what is played");
            prop_assert_eq!((entry.origin, entry.media_id, entry.item_frame(Frame::new(frame))), (Origin::Play, media(9), frame - at));
        }
        for frame in at..at + 300 {
            prop_assert_eq!(shown(&plan, frame + frames), shown(&before, frame), "frame {}", frame);
        }
    }

    #[test]
    fn what_is_played_next_waits_for_the_end_of_what_is_on_air(items in items(), at in 0..600_u64) {
        let mut plan = Plan::looping(Frame::new(0), items);
        let before = plan.clone();
        let end = before.at(Frame::new(at)).map_or(at, |entry| entry.end.get());
        plan.play_next(Frame::new(at), item(8, 20));
        plan.play_next(Frame::new(at), item(9, 30));
        for frame in at..end {
            prop_assert_eq!(shown(&plan, frame), shown(&before, frame), "frame {}", frame);
        }
        let played = |frame: u64| plan.at(Frame::new(frame)).map(|entry| (entry.origin, entry.media_id));
        prop_assert_eq!(played(end), Some((Origin::Play, media(8))));
        prop_assert_eq!(played(end + 20), Some((Origin::Play, media(9))));
        for frame in end..end + 300 {
            prop_assert_eq!(shown(&plan, frame + 50), shown(&before, frame), "frame {}", frame);
        }
    }
}

#[test]
fn no_frames_are_shown_by_no_entry() {
    let plan = Plan::looping(Frame::new(0), vec![item(0, 10)]);
    assert_eq!(plan.entries(Frame::new(5)..Frame::new(5)), []);
    assert_eq!(plan.entries(Frame::new(5)..Frame::new(6)).len(), 1);
}

#[test]
fn a_walk_ends_after_so_many_entries_and_says_so() {
    let plan = Plan::looping(Frame::new(0), vec![item(0, 10)]);
    let from = |frame, most| {
        plan.entries_from(Frame::new(frame), Frame::new(1_000))
            .at_most(most)
    };
    for (frame, most, seen, cut) in [(0, 7, 7, true), (50, 7, 2, true), (50, 200, 95, false)] {
        let mut entries = from(frame, most);
        assert_eq!(entries.by_ref().count(), seen, "{most} from {frame} on");
        assert_eq!(entries.is_cut_short(), cut, "{most} from {frame} on");
    }
    // More than a look may walk over it does not become.
    assert!(from(0, usize::MAX).count() == 100);
}

#[test]
fn settling_what_was_long_ago_changes_nothing_that_is_shown() {
    let mut plan = Plan::looping(Frame::new(0), (0..7).map(|n| item(n, 25)).collect());
    let before = plan.clone();
    let far = Frame::new(25 * 3_000 + 3);
    assert!(!plan.forget(Frame::new(100)));
    let shown = plan.at(far);
    assert!(plan.forget(far));
    assert_ne!(plan, before);
    assert_eq!(plan.at(far), shown);
    for frame in (25 * 2_900..25 * 3_100).step_by(11) {
        assert_eq!(plan.at(Frame::new(frame)), before.at(Frame::new(frame)));
    }
}

#[test]
fn plans_that_were_stored_as_runs_are_read_and_nonsense_is_refused() {
    let items =
        json!([{ "mediaId": media(1), "frames": 30 }, { "mediaId": media(2), "frames": 20 }]);
    let stored = json!({ "runs": [{ "starts": 10, "items": items }, { "starts": 75, "first": 1, "items": items }] });
    let plan: Plan = serde_json::from_value(stored).expect("a plan");
    let starts: Vec<_> = plan
        .entries(Frame::new(0)..Frame::new(140))
        .iter()
        .map(|entry| (entry.start.get(), entry.media_id))
        .collect();
    let (one, two) = (media(1), media(2));
    assert_eq!(
        starts,
        [
            (10, one),
            (40, two),
            (60, one),
            (75, two),
            (95, one),
            (125, two)
        ]
    );
    for nonsense in [
        json!({ "runs": [{ "starts": 9, "items": [] }, { "starts": 3, "items": [] }] }),
        json!({ "runs": [{ "starts": 5, "first": 1, "items": [] }] }),
        json!({ "settled": [{ "start": 5, "end": 5, "mediaId": one, "inFrame": 0, "origin": "play" }], "tail": null }),
        json!({ "settled": [], "tail": { "basis": { "units": [] }, "state": { "at": 0, "from": "1970-01-01T00:00:00Z", "unit": [0, 0] } } }),
        json!({ "settled": [], "tail": { "basis": { "units": [] }, "state": { "at": 0, "from": "1970-01-01T00:00:00Z", "place": { "putOff": [3] } } } }),
    ] {
        assert!(
            serde_json::from_value::<Plan>(nonsense.clone()).is_err(),
            "{nonsense}"
        );
    }
}

#[test]
fn what_has_no_known_length_keeps_its_place_and_is_passed_over() {
    let plan = Plan::looping(Frame::new(0), vec![item(0, 10), item(1, 0), item(2, 10)]);
    let second = plan
        .at(Frame::new(10))
        .map(|entry| (entry.media_id, entry.rotation_index()));
    assert_eq!(second, Some((media(2), Some(2))));
}
