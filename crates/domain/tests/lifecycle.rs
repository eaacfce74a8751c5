//! P3, told as stories: what follows from an order or a fact. (`proptests/p03_lifecycle.rs` tries every order.)

use jiff::Timestamp;
use playout_domain::ChannelStatus::{self, Error, Live, Starting, Stopped};
use playout_domain::Desired;
use playout_domain::config::RecoverySettings;
use playout_domain::lifecycle::{
    Effect, Event, Generation, LifeState, Lifecycle, Operation, Refused,
};
use std::time::Duration;

const G1: Generation = Generation(1);
const G2: Generation = Generation(2);

fn at(second: u64) -> Timestamp {
    "2025-01-01T00:00:00Z".parse::<Timestamp>().expect("a time") + Duration::from_secs(second)
}

fn on(life: &mut Lifecycle, event: Event, second: u64) -> Vec<Effect> {
    life.on(event, at(second))
        .expect("an order that is allowed")
}

fn order(life: &mut Lifecycle, operation: Operation, second: u64) -> Vec<Effect> {
    on(life, Event::Operate(operation), second)
}

fn status(life: &Lifecycle) -> ChannelStatus {
    life.state().status
}

/// A channel that is LIVE since second 10, in generation 1.
fn live() -> Lifecycle {
    let mut life = Lifecycle::default();
    assert_eq!(
        order(&mut life, Operation::Start, 0),
        [Effect::StartPlayout(G1)]
    );
    assert_eq!(status(&life), Starting);
    assert_eq!(
        on(&mut life, Event::FirstSegment { generation: G1 }, 10),
        []
    );
    assert_eq!(status(&life), Live);
    life
}

#[test]
fn a_channel_goes_on_air_and_off_and_counts_the_time_between() {
    let mut life = live();
    assert_eq!(life.state().uptime_at(at(70)), Duration::from_secs(60));
    assert_eq!(
        order(&mut life, Operation::Stop, 110),
        [Effect::StopPlayout(G1)]
    );
    let state = life.state();
    assert_eq!(
        (state.status, state.desired, state.live_since),
        (Stopped, Desired::Stopped, None)
    );
    assert_eq!(
        (state.uptime, state.uptime_at(at(999))),
        (Duration::from_secs(100), Duration::from_secs(100))
    );
    assert_eq!(
        (state.last_start_time, state.last_stop_time),
        (Some(at(0)), Some(at(110)))
    );
}

#[test]
fn an_order_that_is_fulfilled_has_no_effect() {
    let mut life = live();
    let before = life.clone();
    assert_eq!(order(&mut life, Operation::Start, 20), []);
    assert_eq!(life, before);
    order(&mut life, Operation::Stop, 30);
    let stopped = life.clone();
    assert_eq!(order(&mut life, Operation::Stop, 40), []);
    assert_eq!(life, stopped);
}

#[test]
fn what_the_state_does_not_allow_is_refused_and_changes_nothing() {
    let mut life = Lifecycle::default();
    for operation in [Operation::Restart, Operation::Skip] {
        let before = life.clone();
        let refused = life
            .on(Event::Operate(operation), at(0))
            .expect_err("a refusal");
        assert_eq!(
            refused,
            Refused {
                operation,
                state: Stopped
            }
        );
        assert_eq!(life, before);
        assert!(
            refused
                .to_string()
                .starts_with("a channel that is STOPPED cannot "),
            "{refused}"
        );
    }
    order(&mut life, Operation::Start, 0);
    assert!(
        life.on(Event::Operate(Operation::Skip), at(1)).is_err(),
        "nothing is on air yet"
    );
}

#[test]
fn a_fact_of_an_earlier_playout_changes_nothing() {
    let mut life = live();
    assert_eq!(
        order(&mut life, Operation::Restart, 20),
        [Effect::StopPlayout(G1), Effect::StartPlayout(G2)]
    );
    let before = life.clone();
    for stale in [
        Event::FirstSegment { generation: G1 },
        Event::SourceRestarted { generation: G1 },
        Event::PlayoutFailed { generation: G1 },
        Event::RetryDue { generation: G1 },
        Event::Healthy { generation: G1 },
        Event::Stopped { generation: G1 },
        Event::FirstSegment {
            generation: Generation(3),
        },
    ] {
        assert_eq!(on(&mut life, stale, 30), [], "{stale:?}");
        assert_eq!(life, before, "{stale:?}");
    }
}

#[test]
fn a_failed_playout_is_tried_again_and_a_live_channel_stays_live() {
    let mut life = live();
    let retry = |generation, failures| Effect::RetryAfter {
        generation,
        failures,
        slow: false,
    };
    assert_eq!(
        on(&mut life, Event::PlayoutFailed { generation: G1 }, 20),
        [Effect::StopPlayout(G1), retry(G2, 1)]
    );
    assert_eq!(status(&life), Live);
    // That it has ended now is the same failure.
    assert_eq!(on(&mut life, Event::Stopped { generation: G1 }, 21), []);
    assert_eq!(
        on(&mut life, Event::RetryDue { generation: G2 }, 22),
        [Effect::StartPlayout(G2)]
    );
    assert_eq!(
        on(&mut life, Event::RetryDue { generation: G2 }, 22),
        [],
        "once"
    );
    assert_eq!(
        on(&mut life, Event::Stopped { generation: G2 }, 23),
        [Effect::StopPlayout(G2), retry(Generation(3), 2)]
    );
    assert_eq!(
        (
            life.state().restart_count,
            life.state().restarts_since_start,
            life.failures()
        ),
        (2, 2, 2)
    );
}

#[test]
fn a_stop_while_a_retry_is_due_ends_it() {
    let mut life = live();
    on(&mut life, Event::PlayoutFailed { generation: G1 }, 20);
    assert_eq!(
        order(&mut life, Operation::Stop, 21),
        [Effect::StopPlayout(G2)]
    );
    assert_eq!(on(&mut life, Event::RetryDue { generation: G2 }, 22), []);
    assert_eq!(status(&life), Stopped);
    // And the next start is another generation.
    assert_eq!(
        order(&mut life, Operation::Start, 23),
        [Effect::StartPlayout(Generation(3))]
    );
}

#[test]
fn the_tenth_failure_in_five_minutes_is_an_error_and_health_ends_it() {
    let mut life = live();
    for n in 1..=9 {
        on(&mut life, Event::SourceRestarted { generation: G1 }, 20 + n);
        assert_eq!(status(&life), Live, "after {n}");
    }
    let effects = on(&mut life, Event::PlayoutFailed { generation: G1 }, 40);
    assert_eq!(
        effects,
        [
            Effect::StopPlayout(G1),
            Effect::RetryAfter {
                generation: G2,
                failures: 10,
                slow: true
            }
        ]
    );
    assert_eq!(
        (status(&life), life.state().live_since, life.state().uptime),
        (Error, None, Duration::from_secs(30))
    );
    // Long after it is still retried slowly, and its segments do not make it LIVE; health does.
    on(&mut life, Event::RetryDue { generation: G2 }, 1_000);
    on(&mut life, Event::FirstSegment { generation: G2 }, 1_001);
    assert_eq!(status(&life), Error);
    on(&mut life, Event::Healthy { generation: G2 }, 1_060);
    assert_eq!((status(&life), life.failures()), (Live, 0));
    assert_eq!(life.state().uptime_at(at(1_070)), Duration::from_secs(40));
    assert_eq!(life.state().restart_count, 10);
}

#[test]
fn starting_a_channel_in_error_is_a_fresh_start() {
    let mut life = live();
    (0..10).for_each(|n| {
        drop(on(
            &mut life,
            Event::SourceRestarted { generation: G1 },
            20 + n,
        ))
    });
    assert_eq!(status(&life), Error);
    assert_eq!(
        order(&mut life, Operation::Start, 60),
        [Effect::StopPlayout(G1), Effect::StartPlayout(G2)]
    );
    assert_eq!(
        (
            status(&life),
            life.failures(),
            life.state().restarts_since_start
        ),
        (Starting, 0, 0)
    );
    assert_eq!(life.state().restart_count, 10);
}

#[test]
fn skip_ends_the_item_and_changes_no_state() {
    let mut life = live();
    let before = life.clone();
    assert_eq!(
        order(&mut life, Operation::Skip, 20),
        [Effect::SkipItem(G1)]
    );
    assert_eq!(life, before);
}

#[test]
fn a_daemon_that_comes_back_goes_on_and_counts_what_was_seen() {
    let mut life = live();
    on(&mut life, Event::SourceRestarted { generation: G1 }, 20);
    let stored = serde_json::to_string(life.state()).expect("JSON");
    let state: LifeState = serde_json::from_str(&stored).expect("what was stored");
    assert_eq!(&state, life.state());
    let mut back = Lifecycle::from(state.clone());
    assert_eq!(
        on(
            &mut back,
            Event::Booted {
                last_seen: Some(at(60))
            },
            100
        ),
        [Effect::StartPlayout(G2)]
    );
    let after = back.state();
    assert_eq!(
        (after.status, after.desired, after.uptime),
        (Starting, Desired::Live, Duration::from_secs(50))
    );
    assert_eq!(
        (after.last_start_time, after.restarts_since_start),
        (Some(at(0)), 1)
    );
    // Without a trace of what was seen, none of it is made up.
    let mut blind = Lifecycle::from(state);
    on(&mut blind, Event::Booted { last_seen: None }, 100);
    assert_eq!(blind.state().uptime, Duration::ZERO);
}

#[test]
fn a_drained_channel_is_off_air_and_still_wanted() {
    let mut life = live();
    assert_eq!(on(&mut life, Event::Drain, 40), [Effect::StopPlayout(G1)]);
    assert_eq!(
        (status(&life), life.state().desired),
        (Stopped, Desired::Live)
    );
    assert_eq!(
        (life.state().uptime, life.state().last_stop_time),
        (Duration::from_secs(30), None)
    );
    assert_eq!(on(&mut life, Event::Drain, 41), []);
    let mut back = Lifecycle::from(life.state().clone());
    assert_eq!(
        on(
            &mut back,
            Event::Booted {
                last_seen: Some(at(40))
            },
            50
        ),
        [Effect::StartPlayout(G2)]
    );
    assert_eq!(
        back.state().uptime,
        Duration::from_secs(30),
        "nothing is counted twice"
    );
}

#[test]
fn a_channel_that_should_be_off_air_stays_so() {
    let mut life = Lifecycle::default();
    assert_eq!(on(&mut life, Event::Booted { last_seen: None }, 0), []);
    assert_eq!(status(&life), Stopped);
}

#[test]
fn a_clock_that_is_set_back_never_takes_time_away() {
    let mut life = live();
    assert_eq!(life.state().uptime_at(at(0)), Duration::ZERO);
    order(&mut life, Operation::Stop, 5);
    assert_eq!(life.state().uptime, Duration::ZERO);
}

#[test]
fn names_lead_back() {
    for status in [Stopped, Starting, Live, Error] {
        assert_eq!(status.name().parse(), Ok(status));
        assert_eq!(serde_json::to_value(status).expect("JSON"), status.name());
    }
    for desired in [Desired::Live, Desired::Stopped] {
        assert_eq!(desired.name().parse(), Ok(desired));
        assert_eq!(serde_json::to_value(desired).expect("JSON"), desired.name());
    }
    assert!("live".parse::<ChannelStatus>().is_err() && "ERROR".parse::<Desired>().is_err());
}

#[test]
fn a_channel_has_the_budget_that_its_client_chose() {
    let mut life = Lifecycle::default();
    life.recover_by(RecoverySettings {
        max_restarts: 2,
        ..RecoverySettings::default()
    });
    let now = Timestamp::UNIX_EPOCH;
    life.on(Event::Operate(Operation::Start), now).unwrap();
    let generation = life.state().generation;
    life.on(Event::FirstSegment { generation }, now).unwrap();
    life.on(Event::SourceRestarted { generation }, now).unwrap();
    assert_eq!(life.state().status, ChannelStatus::Live);
    life.on(Event::SourceRestarted { generation }, now).unwrap();
    assert_eq!(life.state().status, ChannelStatus::Error);
}
