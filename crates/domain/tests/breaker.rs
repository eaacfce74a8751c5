//! A breaker that is not closed lets nobody through but one probe at a time, and tells the others when to come
//! again.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use playout_domain::breaker::{Breaker, Change, Outcome, Pass, Settings};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const QUICK: Outcome = Outcome::Answered(Duration::from_millis(3));

fn fails(breaker: &mut Breaker, times: u32, now: Duration) -> Option<Change> {
    let mut change = None;
    for _ in 0..times {
        let pass = breaker.pass(now).unwrap();
        change = breaker.note(pass, Outcome::Failed, now);
    }
    change
}

#[test]
fn failures_in_a_row_open_it_and_an_answered_probe_closes_it() {
    let mut breaker = Breaker::closed(Settings::STORE, SECOND);
    assert_eq!(fails(&mut breaker, 2, SECOND), None);
    let pass = breaker.pass(SECOND).unwrap();
    breaker.note(pass, QUICK, SECOND);
    assert_eq!(fails(&mut breaker, 2, SECOND), None, "not in a row");
    assert_eq!(fails(&mut breaker, 1, SECOND), Some(Change::Opened));
    assert_eq!(breaker.pass(SECOND), Err(SECOND));
    assert_eq!(breaker.probe(SECOND * 3 / 2), None, "too early");
    let probe = breaker.probe(2 * SECOND).unwrap();
    assert_eq!(breaker.probe(2 * SECOND), None, "one at a time");
    assert_eq!(breaker.note(probe, Outcome::Failed, 3 * SECOND), None);
    assert_eq!(breaker.probe(3 * SECOND), None);
    let probe = breaker.probe(4 * SECOND).unwrap();
    assert!(
        breaker.pass(4 * SECOND).is_err(),
        "callers wait for the probe"
    );
    assert_eq!(breaker.note(probe, QUICK, 4 * SECOND), Some(Change::Closed));
    assert!(breaker.pass(4 * SECOND).is_ok());
}

#[test]
fn a_probe_that_never_comes_back_does_not_keep_others_from_probing() {
    let mut breaker = Breaker::open(Settings::STORE, SECOND);
    assert!(breaker.probe(SECOND).is_some());
    assert_eq!(breaker.probe(SECOND * 3 / 2), None);
    assert!(breaker.probe(2 * SECOND).is_some());
}

#[test]
fn slow_answers_open_it_when_they_are_more_than_half() {
    let slow = Outcome::Answered(Settings::STORE.slow);
    for (slow_ones, opens) in [(10, false), (11, true)] {
        let mut breaker = Breaker::closed(Settings::STORE, SECOND);
        let mut change = None;
        for n in 0..Settings::STORE.window {
            let pass = breaker.pass(SECOND).unwrap();
            change = breaker.note(pass, if n < slow_ones { slow } else { QUICK }, SECOND);
        }
        assert_eq!(change.is_some(), opens, "{slow_ones} slow ones");
    }
}

/// Statements that wait for a lock neither open it nor hide that the server is slow.
#[test]
fn answers_whose_length_says_nothing_are_passed_over() {
    let note = |breaker: &mut Breaker, outcome| {
        let pass = breaker.pass(SECOND).unwrap();
        breaker.note(pass, outcome, SECOND)
    };
    let slow = Outcome::Answered(Settings::STORE.slow);
    let mut breaker = Breaker::closed(Settings::STORE, SECOND);
    for _ in 0..2 * Settings::STORE.window {
        assert_eq!(note(&mut breaker, Outcome::AnsweredAtLength), None);
    }
    for _ in 1..Settings::STORE.window {
        assert_eq!(note(&mut breaker, slow), None);
        assert_eq!(note(&mut breaker, Outcome::AnsweredAtLength), None);
    }
    assert_eq!(note(&mut breaker, slow), Some(Change::Opened));
    let mut breaker = Breaker::closed(Settings::STORE, SECOND);
    fails(&mut breaker, 2, SECOND);
    assert_eq!(note(&mut breaker, Outcome::AnsweredAtLength), None);
    assert_eq!(fails(&mut breaker, 2, SECOND), None, "not in a row");
}

#[test]
fn what_comes_and_goes_is_probed_less_often_and_a_steady_minute_forgives() {
    let mut breaker = Breaker::closed(Settings::STORE, SECOND);
    let mut now = SECOND;
    for expected in [1, 2, 4, 8, 16, 16] {
        fails(&mut breaker, 3, now);
        assert!(
            breaker
                .probe(now + expected * SECOND - Duration::from_millis(1))
                .is_none()
        );
        now += expected * SECOND;
        let probe = breaker.probe(now).unwrap();
        breaker.note(probe, QUICK, now);
    }
    now += 60 * SECOND;
    fails(&mut breaker, 3, now);
    assert!(breaker.probe(now + SECOND).is_some());
}

#[test]
fn the_longer_it_is_away_the_later_callers_are_told_to_come() {
    let breaker = Breaker::open(Settings::STORE, SECOND);
    let hint = |after: u64| {
        breaker
            .pass(SECOND + Duration::from_secs(after))
            .unwrap_err()
    };
    assert_eq!(
        [0, 3, 40, 4_000].map(hint),
        [1, 1, 10, 30].map(Duration::from_secs)
    );
}

/// One thing that happens to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A call begins.
    Call,
    /// Somebody tries to probe.
    Probe,
    /// One of the calls under way (by its place) ends.
    End(usize, Outcome),
    /// Time goes by.
    Wait(u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Failed),
        Just(Outcome::Failed),
        Just(Outcome::AnsweredAtLength),
        (0_u64..6_000).prop_map(|ms| Outcome::Answered(Duration::from_millis(ms))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Call),
        2 => Just(Step::Probe),
        4 => (0_usize..8, outcome()).prop_map(|(which, outcome)| Step::End(which, outcome)),
        2 => (0_u64..3_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// The model: opened by the settings' failures in a row of calls that began since it closed, closed by a
    /// probe alone; refused callers are told a time from one to thirty seconds.
    #[test]
    fn callers_pass_just_while_it_is_closed(steps in prop::collection::vec(step(), 1..120)) {
        let settings = Settings { window: 10_000, ..Settings::STORE };
        let mut breaker = Breaker::closed(settings, Duration::ZERO);
        let mut now = Duration::ZERO;
        let (mut closed, mut in_a_row) = (true, 0);
        let mut under_way: Vec<(Pass, bool)> = Vec::new(); // whether it is a probe
        let mut last_probe: Option<Duration> = None;
        for step in steps {
            match step {
                Step::Call => match breaker.pass(now) {
                    Ok(pass) => {
                        prop_assert!(closed);
                        under_way.push((pass, false));
                    }
                    Err(hint) => {
                        prop_assert!(!closed);
                        prop_assert!(hint >= SECOND && hint <= 30 * SECOND);
                    }
                },
                Step::Probe => if let Some(pass) = breaker.probe(now) {
                    prop_assert!(!closed);
                    prop_assert!(last_probe.is_none_or(|last| now - last >= settings.pause));
                    last_probe = Some(now);
                    under_way.push((pass, true));
                },
                Step::End(which, outcome) => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let (pass, is_probe) = under_way.remove(which % under_way.len());
                    let stale = pass.epoch() != breaker.epoch();
                    let change = breaker.note(pass, outcome, now);
                    let expected = match (stale, is_probe, outcome) {
                        (true, ..) => None,
                        (false, true, Outcome::Failed) => None,
                        (false, true, _) => Some(Change::Closed),
                        (false, false, Outcome::Answered(_) | Outcome::AnsweredAtLength) => {
                            in_a_row = 0;
                            None
                        }
                        (false, false, Outcome::Failed) => {
                            in_a_row += 1;
                            (in_a_row == settings.failures).then_some(Change::Opened)
                        }
                    };
                    prop_assert_eq!(change, expected);
                    if let Some(change) = change {
                        closed = change == Change::Closed;
                        in_a_row = 0;
                    }
                }
                Step::Wait(ms) => now += Duration::from_millis(ms),
            }
            prop_assert_eq!(breaker.is_closed(), closed);
        }
    }
}
