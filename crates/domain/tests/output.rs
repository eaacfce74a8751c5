//! What an RTMP output does when it fails, is moved and is back (for any row of events: proptests/p04).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::backoff::Chance;
use playout_domain::output::{Effect, Event, FailureKind, OutputLife, OutputStatus, SUSPEND_AFTER};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn on(life: &mut OutputLife, event: Event, seconds: u64) -> Vec<Effect> {
    life.on(event, START + Duration::from_secs(seconds), Chance::EVEN)
}

fn fail(life: &mut OutputLife, seconds: u64) -> Vec<Effect> {
    let failed = Event::Failed(life.connection(), FailureKind::Refused);
    on(life, failed, seconds)
}

fn fail_by(life: &mut OutputLife, kind: FailureKind, seconds: u64) {
    let failed = Event::Failed(life.connection(), kind);
    on(life, failed, seconds);
}

fn retry(life: &mut OutputLife, seconds: u64) -> Vec<Effect> {
    let due = Event::RetryDue(life.connection());
    on(life, due, seconds)
}

#[test]
fn failures_are_tried_again_with_other_parameters_later_and_later() {
    let mut life = OutputLife::default();
    on(&mut life, Event::Wanted(true), 0);
    let mut delays = Vec::new();
    let mut variants = Vec::new();
    for _ in 0..SUSPEND_AFTER {
        for effect in fail(&mut life, 1) {
            if let Effect::RetryAfter { delay, .. } = effect {
                delays.push(delay.as_secs_f64());
            }
        }
        for effect in retry(&mut life, 1) {
            if let Effect::Connect { variant, .. } = effect {
                variants.push(variant);
            }
        }
    }
    assert_eq!(delays, [0.0, 0.5, 1.0, 2.0, 300.0]);
    assert_eq!(variants, [1, 2, 3, 4, 5]);
}

#[test]
fn five_failures_in_a_row_suspend_it_once_and_delivering_resumes_it() {
    let mut life = OutputLife::default();
    on(&mut life, Event::Wanted(true), 0);
    let mut told = Vec::new();
    for _ in 0..SUSPEND_AFTER + 3 {
        told.extend(fail(&mut life, 1));
        retry(&mut life, 1);
    }
    told.retain(|effect| matches!(effect, Effect::Suspended { .. }));
    let (failures, kind) = (SUSPEND_AFTER, FailureKind::Refused);
    assert_eq!(told, [Effect::Suspended { failures, kind }]);
    let delivering = Event::Delivering(life.connection());
    assert_eq!(on(&mut life, delivering, 2), [Effect::Resumed]);
    assert_eq!(life.status(), OutputStatus::Live);
}

#[test]
fn a_minute_of_media_begins_the_count_anew() {
    for (minute, failures) in [(59, 4), (60, 1)] {
        let mut life = OutputLife::default();
        on(&mut life, Event::Wanted(true), 0);
        for _ in 0..3 {
            fail(&mut life, 0);
            retry(&mut life, 0);
        }
        let delivering = Event::Delivering(life.connection());
        on(&mut life, delivering, 10);
        fail(&mut life, 10 + minute);
        assert_eq!(life.failures(), failures, "after {minute} s");
    }
}

#[test]
fn what_failed_before_a_long_session_does_not_count_after_it() {
    let mut life = OutputLife::default();
    on(&mut life, Event::Wanted(true), 0);
    for _ in 0..SUSPEND_AFTER - 1 {
        fail(&mut life, 0);
        retry(&mut life, 0);
    }
    let delivering = Event::Delivering(life.connection());
    on(&mut life, delivering, 1);
    let over = Event::SessionOver(life.connection());
    on(&mut life, over, 25_000);
    fail(&mut life, 25_001);
    assert_eq!(life.failures(), 1);
    assert_eq!(life.status(), OutputStatus::Waiting);
}

#[test]
fn who_was_suspended_is_told_to_be_back_by_media_alone() {
    let suspended = || {
        let mut life = OutputLife::default();
        on(&mut life, Event::Wanted(true), 0);
        for _ in 0..SUSPEND_AFTER {
            fail(&mut life, 0);
            retry(&mut life, 0);
        }
        life
    };
    let mut life = suspended();
    assert_eq!(on(&mut life, Event::Wanted(false), 1), [Effect::Disconnect]);
    let mut life = suspended();
    let moved = on(&mut life, Event::Redirected, 1);
    assert!(!moved.contains(&Effect::Resumed), "{moved:?}");
    let delivering = Event::Delivering(life.connection());
    assert_eq!(on(&mut life, delivering, 2), [Effect::Resumed]);
}

#[test]
fn a_session_that_is_over_is_no_failure() {
    let mut life = OutputLife::default();
    on(&mut life, Event::Wanted(true), 0);
    let first = life.connection();
    on(&mut life, Event::Delivering(first), 1);
    let effects = on(&mut life, Event::SessionOver(first), 100);
    assert_eq!(effects[0], Effect::Disconnect);
    assert!(matches!(effects[1], Effect::Connect { variant: 0, .. }));
    assert!(life.connection() > first);
}

/// What each connection sends after failures of these kinds: `true` is less.
fn lowered(kinds: &[FailureKind]) -> Vec<bool> {
    let mut life = OutputLife::default();
    on(&mut life, Event::Wanted(true), 0);
    let mut lowered = Vec::new();
    for kind in kinds {
        fail_by(&mut life, *kind, 1);
        for effect in retry(&mut life, 1) {
            if let Effect::Connect { lower, .. } = effect {
                lowered.push(lower);
            }
        }
    }
    lowered
}

#[test]
fn less_is_sent_only_for_want_of_a_network() {
    use FailureKind::{Network, Refused, Rejected, Stalled};
    assert_eq!(lowered(&[Stalled, Network, Stalled]), [false, true, true]);
    assert_eq!(lowered(&[Stalled, Refused, Network]), [false, false, true]);
    assert_eq!(lowered(&[Refused, Rejected, Refused, Stalled]), [false; 4]);
}

#[test]
fn after_a_minute_of_less_all_of_it_is_tried_again() {
    for (minute, lower) in [(59, true), (60, false)] {
        let mut life = OutputLife::default();
        on(&mut life, Event::Wanted(true), 0);
        for _ in 0..2 {
            fail_by(&mut life, FailureKind::Stalled, 0);
            retry(&mut life, 0);
        }
        let delivering = Event::Delivering(life.connection());
        on(&mut life, delivering, 10);
        fail_by(&mut life, FailureKind::Stalled, 10 + minute);
        let effects = retry(&mut life, 100);
        let connects =
            |effect: &Effect| matches!(effect, Effect::Connect { lower: is, .. } if *is == lower);
        assert!(
            effects.iter().any(connects),
            "after {minute} s: {effects:?}"
        );
    }
}
