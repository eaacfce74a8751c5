//! P4: what an RTMP output does, for any row of orders and facts.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::backoff::Chance;
use playout_domain::output::{
    Connection, Effect, Event, FailureKind, OutputLife, OutputStatus, SUSPEND_AFTER,
    SUSPENDED_RETRY,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn on(life: &mut OutputLife, event: Event, seconds: u64) -> Vec<Effect> {
    life.on(event, START + Duration::from_secs(seconds), Chance::EVEN)
}

fn fail(life: &mut OutputLife, seconds: u64) -> Vec<Effect> {
    let failed = Event::Failed(life.connection(), FailureKind::Refused);
    on(life, failed, seconds)
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

/// What may happen; a fact is of the latest connection or of one some steps before.
fn event() -> impl Strategy<Value = (u8, u64, bool)> {
    (0..7_u8, 0..3_u64, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The model: what is wanted, which connection is open, which retry waits.
    #[test]
    fn p4_an_output_does_what_is_wanted_and_never_more(events in prop::collection::vec((event(), 0..200_u64), 1..80)) {
        let mut life = OutputLife::default();
        let mut wanted = false;
        let mut open: Option<Connection> = None;
        let mut waiting: Option<Connection> = None;
        let mut suspended = false;
        let mut now = 0;
        for ((what, before, yes), wait) in events {
            now += wait;
            let connection = Connection(life.connection().0.saturating_sub(before));
            let event = match what {
                0 => Event::Wanted(yes),
                1 => Event::Redirected,
                2 => Event::Delivering(connection),
                3 | 4 => Event::Failed(connection, FailureKind::Network),
                5 => Event::RetryDue(connection),
                _ => Event::SessionOver(connection),
            };
            let stale = !matches!(event, Event::Wanted(_) | Event::Redirected) && connection != life.connection();
            let unchanged = life.clone();
            if let Event::Wanted(yes) = event {
                wanted = yes;
            }
            if matches!(event, Event::Wanted(false) | Event::Redirected | Event::RetryDue(_)) && !stale {
                waiting = None;
            }
            let effects = on(&mut life, event, now);
            if stale {
                prop_assert_eq!(&effects, &[]);
                prop_assert_eq!(&life, &unchanged);
            }
            for effect in effects {
                match effect {
                    Effect::Connect { connection, .. } => {
                        prop_assert_eq!(open, None, "one connection at a time");
                        open = Some(connection);
                    }
                    Effect::Disconnect => {
                        prop_assert!(open.take().is_some(), "there is one to end");
                    }
                    Effect::RetryAfter { connection, delay } => {
                        prop_assert_eq!(waiting.replace(connection), None);
                        prop_assert!(delay <= SUSPENDED_RETRY);
                    }
                    Effect::Suspended { .. } => prop_assert!(!std::mem::replace(&mut suspended, true)),
                    Effect::Resumed => prop_assert!(std::mem::replace(&mut suspended, false)),
                }
            }
            prop_assert_eq!(wanted, open.is_some() || waiting.is_some(), "it is connected or will be, or is not wanted");
            prop_assert_eq!(!wanted, life.status() == OutputStatus::Off);
        }
    }
}
