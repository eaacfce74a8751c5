//! Where a playout begins, for every record, plan and time.

use playout_domain::ids::MediaId;
use playout_domain::plan::{Plan, PlannedItem};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::resume::{Resume, Situation};
use super::*;

const BURST: u64 = 3 * SEGMENT;
const KEPT: u64 = WINDOW as u64 * SEGMENT;

/// The plan that loops through items of those lengths from frame `starts` on.
fn plan(starts: u64, lengths: &[u64]) -> Plan {
    let item =
        |(n, frames): (u128, &u64)| PlannedItem::whole(MediaId::from(Uuid::from_u128(n)), *frames);
    Plan::looping(Frame::new(starts), (0..).zip(lengths).map(item).collect())
}

fn resume(plan: &Plan, now: u64, record: Option<Record>, lost: bool) -> Resume {
    let timeline = timeline();
    let seconds = timeline.wall(Frame::new(now)).as_second();
    Situation {
        timeline: &timeline,
        plan,
        profile: "profile",
        now: Frame::new(now),
        unix_seconds: seconds.try_into().unwrap(),
        lost,
        burst: BURST,
        window: KEPT,
        target: 4,
    }
    .resume(record)
}

#[test]
fn segments_longer_than_a_new_target_duration_are_not_offered_again() {
    let mut left = record(10, 2, 15);
    left.playlist.segments[1].frames = 2 * SEGMENT;
    let begun = resume(&plan(0, &[1_000]), 1_700, Some(left.clone()), false);
    assert_eq!((begun.follows, begun.playlist.segments.len()), (None, 0));
    assert!(begun.next_sequence >= left.next_sequence);
    assert!(begun.playlist.discontinuity_sequence > left.playlist.discontinuity_sequence);
}

#[test]
fn a_new_channel_begins_three_segments_before_now_with_a_number_of_its_own() {
    let begun = resume(&plan(700, &[1_000]), 1_000, None, false);
    assert_eq!(begun.start, Frame::new(700));
    assert_eq!(begun.next_sequence, 2_000_000_040);
    assert_eq!((begun.follows, begun.counters), (None, None));
    assert_eq!(begun.playlist, PlaylistState::default());
}

#[test]
fn where_a_record_is_lost_numbers_of_segments_and_breaks_are_above_any_used() {
    let begun = resume(&plan(0, &[1_000]), 1_000, None, true);
    assert_eq!(begun.next_sequence, 2_000_000_040);
    assert_eq!(begun.playlist.discontinuity_sequence, 2_000_000_040);
    assert!(begun.playlist.segments.is_empty());
}

#[test]
fn after_a_short_absence_it_goes_on_without_a_break() {
    let left = record(10, 2, 15);
    let begun = resume(&plan(0, &[1_000]), 1_700, Some(left.clone()), false);
    assert_eq!(begun.start, left.next);
    assert_eq!(begun.next_sequence, 16);
    assert_eq!(begun.counters, Some(left.counters));
    assert_eq!(
        begun.follows,
        Some((left.next, vec![Bytes::from_static(&[1, 2, 0xff])]))
    );
    assert_eq!((begun.playlist, begun.past), (left.playlist, left.past));
}

#[test]
fn after_one_no_longer_than_the_window_nothing_is_left_out() {
    let left = record(10, 2, 15);
    let now = left.next.get() + KEPT;
    let begun = resume(&plan(0, &[1_000]), now, Some(left.clone()), false);
    assert_eq!(begun.start, left.next);
    let begun = resume(&plan(0, &[1_000]), now + 1, Some(left.clone()), false);
    assert!(begun.start > left.next);
}

#[test]
fn after_a_longer_one_it_begins_on_a_gop_of_the_item_and_the_window_stays() {
    let left = record(10, 2, 15);
    let begun = resume(&plan(33, &[1_000]), 2_050, Some(left.clone()), false);
    assert_eq!(begun.start, Frame::new(33 + 1_700));
    assert_eq!(
        begun.follows.unwrap().0,
        left.next,
        "so the segmenter sees the break"
    );
    assert_eq!((begun.next_sequence, begun.playlist), (16, left.playlist));
}

#[test]
fn after_a_long_one_the_window_is_fresh_and_above_what_was_not_recorded() {
    let mut left = record(10, 2, 15);
    left.playlist.segments[1].discontinuity = true;
    // 1 600 frames were recorded; 300 s later the disk may have missed as many segments at most.
    let begun = resume(&plan(0, &[1_000]), 1_600 + 300 * 25, Some(left), false);
    assert_eq!((begun.follows, begun.past), (None, Vec::new()));
    assert_eq!(begun.next_sequence, 16 + 300);
    assert_eq!(begun.playlist.discontinuity_sequence, 7 + 1 + 1);
    assert!(begun.playlist.segments.is_empty());
}

#[test]
fn another_profile_or_clock_cannot_go_on() {
    let other_profile = Record {
        profile: "other".into(),
        ..record(10, 2, 15)
    };
    let begun = resume(&plan(0, &[1_000]), 1_700, Some(other_profile), false);
    assert_eq!((begun.counters, begun.follows), (None, None));
    assert_eq!(begun.start, Frame::new(1_600), "nothing is published twice");

    let other_clock = Record {
        timeline: Timeline {
            frame_rate: FrameRate::F30,
            ..timeline()
        },
        ..record(10, 2, 15)
    };
    let begun = resume(&plan(0, &[1_000]), 1_700, Some(other_clock), false);
    assert_eq!((begun.counters, begun.follows), (None, None));
    assert_eq!(begun.start, Frame::new(1_400));
    assert!(begun.next_sequence >= 16);
}

proptest! {
    #[test]
    fn numbers_never_go_back_and_nothing_is_published_twice(
        lengths in prop::collection::vec(1_u64..900, 0..4),
        starts in 0_u64..4_000,
        now in 0_u64..20_000,
        last in 10_u64..100,
        broken in prop::collection::vec(any::<bool>(), 4),
    ) {
        let mut left = record(last - 5, 2, last);
        for (info, broken) in left.playlist.segments.iter_mut().zip(broken) {
            info.discontinuity = broken;
        }
        let plan = plan(starts, &lengths);
        let begun = resume(&plan, now, Some(left.clone()), false);
        prop_assert!(begun.start >= left.next);
        prop_assert!(begun.start <= left.next.max(Frame::new(now)));
        prop_assert!(begun.next_sequence >= left.next_sequence);
        if now <= left.next.get() + KEPT {
            prop_assert_eq!(begun.start, left.next);
        }
        let fresh = begun.playlist.segments.is_empty();
        prop_assert_eq!(fresh, begun.follows.is_none());
        if fresh {
            // As many numbers as seconds: more than segments.
            let seconds = begun.start.since(left.next) / 25;
            prop_assert!(begun.next_sequence >= left.next_sequence + seconds);
            prop_assert!(begun.start.since(left.next) > KEPT);
            let breaks = left.playlist.segments.iter().filter(|s| s.discontinuity).count() as u64;
            prop_assert!(begun.playlist.discontinuity_sequence > left.playlist.discontinuity_sequence + breaks);
        } else {
            // Numbers in one window follow one another.
            prop_assert_eq!(begun.next_sequence, left.next_sequence);
            prop_assert_eq!(begun.playlist, left.playlist);
        }
        if begun.start > left.next {
            let burst = Frame::new(now).since(begun.start);
            prop_assert!((BURST.min(now)..BURST + 50).contains(&burst), "{}", burst);
            if let Some(entry) = plan.at(begun.start) {
                prop_assert_eq!(entry.item_frame(begun.start) % 50, 0);
            }
        }
    }
}
