//! What follows when sources fail (for any row of failures: proptests/p04).

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::backoff::Chance;
use playout_domain::config::RecoverySettings;
use playout_domain::source::{Cause, SourceFailures, Then, is_over};
use playout_domain::{Frame, MediaId, Origin, PlanEntry};
use uuid::Uuid;

const STRETCH: u64 = 250;

fn entry(start: u64, end: u64) -> PlanEntry {
    PlanEntry {
        start: Frame::new(start),
        end: Frame::new(end),
        media_id: MediaId::from(Uuid::from_u128(u128::from(start))),
        in_frame: 0,
        origin: Origin::Rotation(0),
        cut: 0,
    }
}

fn failures() -> SourceFailures {
    SourceFailures::new(RecoverySettings::default())
}

fn fail(failures: &mut SourceFailures, entry: &PlanEntry, at: u64, cause: Cause) -> Then {
    let verdict = failures.failed(
        entry,
        Frame::new(at),
        cause,
        STRETCH,
        Timestamp::UNIX_EPOCH,
        Chance::EVEN,
    );
    verdict.then
}

#[test]
fn a_source_that_fails_once_at_a_place_is_started_there_again() {
    let (mut failures, entry) = (failures(), entry(0, 10_000));
    for at in [100, 200, 300] {
        assert_eq!(
            fail(&mut failures, &entry, at, Cause::Failed),
            Then::Restart
        );
        failures.delivered(&entry);
    }
}

#[test]
fn what_cannot_be_read_is_passed_over_and_after_three_stretches_the_rest_is_given_up() {
    let (mut failures, entry) = (failures(), entry(0, 10_000));
    failures.delivered(&entry);
    let mut seen = Vec::new();
    let mut at = 100;
    for _ in 0..8 {
        let then = fail(&mut failures, &entry, at, Cause::Failed);
        if let Then::PassOver(behind) = then {
            at = behind.get();
        }
        seen.push(then);
    }
    let over = |frame| Then::PassOver(Frame::new(frame));
    assert_eq!(
        seen,
        [
            Then::Restart,
            over(350),
            Then::Restart,
            over(600),
            Then::Restart,
            over(850),
            Then::Restart,
            Then::GiveUp
        ]
    );
}

#[test]
fn an_item_that_never_delivered_anything_is_given_up_at_once() {
    let (mut failures, first, second) = (failures(), entry(0, 10_000), entry(10_000, 20_000));
    failures.delivered(&first);
    assert_eq!(
        fail(&mut failures, &second, 10_000, Cause::Failed),
        Then::Restart
    );
    assert_eq!(
        fail(&mut failures, &second, 10_000, Cause::Failed),
        Then::GiveUp
    );
}

#[test]
fn an_item_is_too_slow_when_it_was_so_twice() {
    let (mut failures, entry) = (failures(), entry(0, 10_000));
    assert_eq!(
        fail(&mut failures, &entry, 100, Cause::TooSlow),
        Then::Restart
    );
    failures.delivered(&entry);
    assert_eq!(
        fail(&mut failures, &entry, 900, Cause::TooSlow),
        Then::GiveUp
    );
    assert_eq!(
        fail(&mut failures, &entry, 950, Cause::TooSlow),
        Then::Restart
    );
}

#[test]
fn when_the_budget_is_spent_it_is_tried_slowly() {
    let mut failures = SourceFailures::new(RecoverySettings {
        max_restarts: 3,
        ..RecoverySettings::default()
    });
    let entry = entry(0, 100_000);
    let delays: Vec<Duration> = (0..4_u64)
        .map(|n| {
            let at = Frame::new(n * 100);
            let now = Timestamp::UNIX_EPOCH;
            failures
                .failed(&entry, at, Cause::Failed, STRETCH, now, Chance::EVEN)
                .delay
        })
        .collect();
    let seconds: Vec<f64> = delays.iter().map(Duration::as_secs_f64).collect();
    assert_eq!(seconds, [0.0, 0.5, 60.0, 60.0]);
}

#[test]
fn a_prepared_item_is_over_at_its_end_or_the_plans_and_another_wherever_it_ends() {
    let entry = entry(1_000, 1_500);
    for (frames, ends) in [(500, 500), (900, 500), (300, 300)] {
        assert!(!is_over(&entry, ends - 1, Some(frames)), "{frames}");
        assert!(is_over(&entry, ends, Some(frames)), "{frames}");
    }
    let middle = PlanEntry {
        in_frame: 200,
        ..entry
    };
    assert!(!is_over(&middle, 500, Some(900)), "up to frame 700 of it");
    assert!(is_over(&middle, 700, Some(900)));
    assert!(is_over(&entry, 0, None), "nobody knows how long it is");
}
