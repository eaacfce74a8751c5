//! What a plan allows: at the limit yes, beyond it no, and nobody is punished for what he already has.

use playout_domain::Resolution;
use playout_domain::feature::{Feature, Features};
use playout_domain::limits::{Amount, Demand, Limit, LimitExceeded, PlanLimits, Raise, Usage};
use proptest::prelude::*;

fn demand(resolution: Resolution, rungs: u64, destinations: u64) -> Demand {
    Demand {
        resolution,
        rungs,
        destinations,
        features: Features::default(),
    }
}

fn resolution() -> impl Strategy<Value = Resolution> {
    prop::sample::select(Resolution::ALL.to_vec())
}

fn small() -> impl Strategy<Value = u64> {
    prop_oneof![0..6_u64, Just(1 << 60)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_raise_is_allowed_just_when_no_limit_is_passed(
        (channels, live, storage) in (small(), small(), small()),
        (max_channels, max_live, max_storage, max_destinations) in (prop::option::of(small()), prop::option::of(small()), prop::option::of(small()), prop::option::of(small())),
        (max_resolution, max_rungs) in (prop::option::of(resolution()), prop::option::of(1..5_u64)),
        (from, to) in ((resolution(), 1..5_u64, small()), (resolution(), 1..5_u64, small())),
        bytes in small(),
    ) {
        let limits = PlanLimits { max_channels, max_resolution, max_rungs, max_live, max_destinations, storage_bytes: max_storage, ..PlanLimits::UNLIMITED };
        let usage = Usage { channels, live, storage_bytes: storage, ..Usage::default() };
        let within = |now: u64, more: u64, most: Option<u64>| most.is_none_or(|most| u128::from(now) + u128::from(more) <= u128::from(most));
        let (from, to) = (demand(from.0, from.1, from.2), demand(to.0, to.1, to.2));
        let sharp_enough = max_resolution.is_none_or(|most| to.resolution <= most);
        let few_enough = within(0, to.rungs, max_rungs);
        let create = within(channels, 1, max_channels) && sharp_enough && few_enough && within(0, to.destinations, max_destinations);
        prop_assert_eq!(limits.check(&Raise::CreateChannel(to), &usage).is_ok(), create);
        let update = (sharp_enough || to.resolution <= from.resolution)
            && (few_enough || to.rungs <= from.rungs)
            && (to.destinations <= from.destinations || within(0, to.destinations, max_destinations));
        prop_assert_eq!(limits.check(&Raise::UpdateChannel { from, to }, &usage).is_ok(), update);
        let start = within(live, 1, max_live) && sharp_enough && few_enough;
        prop_assert_eq!(limits.check(&Raise::StartChannel(to), &usage).is_ok(), start);
        prop_assert_eq!(limits.check(&Raise::AddMedia { bytes }, &usage).is_ok(), bytes == 0 || within(storage, bytes, max_storage));
        prop_assert_eq!(PlanLimits::UNLIMITED.check(&Raise::CreateChannel(to), &usage), Ok(()));
    }
}

#[test]
fn a_refusal_says_which_limit_and_how_far_it_is() {
    let limits = PlanLimits {
        max_channels: Some(3),
        max_resolution: Some(Resolution::P720),
        ..PlanLimits::UNLIMITED
    };
    let usage = Usage {
        channels: 3,
        ..Usage::default()
    };
    let refused = limits
        .check(
            &Raise::CreateChannel(demand(Resolution::P720, 1, 0)),
            &usage,
        )
        .expect_err("a refusal");
    let expected = LimitExceeded {
        limit: Limit::MaxChannels,
        current: Amount::Count(3),
        requested: Amount::Count(4),
        allowed: Amount::Count(3),
    };
    assert_eq!(refused, expected);
    assert_eq!(
        refused.to_string(),
        "the plan allows 3 channels; this would make it 4 (now 3)"
    );
    assert_eq!(
        serde_json::to_value(refused).expect("JSON"),
        serde_json::json!({ "limit": "maxChannels", "current": 3, "requested": 4, "allowed": 3 })
    );
    let rungs = PlanLimits {
        max_rungs: Some(2),
        ..PlanLimits::UNLIMITED
    };
    let refused = rungs
        .check(
            &Raise::CreateChannel(demand(Resolution::P720, 3, 0)),
            &usage,
        )
        .expect_err("a refusal");
    assert_eq!(
        refused.to_string(),
        "the plan allows 2 rungs a ladder; this would make it 3 (now 0)"
    );
    let (from, to) = (
        demand(Resolution::P480, 1, 0),
        demand(Resolution::P1080, 1, 0),
    );
    let refused = limits
        .check(&Raise::UpdateChannel { from, to }, &usage)
        .expect_err("a refusal");
    assert_eq!(
        (refused.limit, refused.current, refused.allowed),
        (
            Limit::MaxResolution,
            Amount::Resolution(Resolution::P480),
            Amount::Resolution(Resolution::P720)
        )
    );
}

#[test]
fn limits_read_as_they_are_written_and_absent_is_unlimited() {
    let limits: PlanLimits =
        serde_json::from_str(r#"{"maxResolution":"720p","maxLive":2}"#).expect("limits");
    assert_eq!(
        limits,
        PlanLimits {
            max_resolution: Some(Resolution::P720),
            max_live: Some(2),
            ..PlanLimits::UNLIMITED
        }
    );
    assert_eq!(
        serde_json::from_value::<PlanLimits>(serde_json::to_value(&limits).expect("JSON"))
            .expect("limits"),
        limits
    );
    assert!(
        serde_json::from_str::<PlanLimits>(r#"{"maxChanels":2}"#).is_err(),
        "a limit that is misspelt is none"
    );
}

#[test]
fn what_a_plan_withholds_is_not_switched_on_and_stays_where_it_is() {
    let features = |features: &[Feature]| features.iter().copied().collect::<Features>();
    let limits = PlanLimits {
        features: Some(features(&[Feature::Ads])),
        max_bulk: Some(2),
        max_viewers: Some(10),
        ..PlanLimits::UNLIMITED
    };
    let asking = |asked: &[Feature]| Demand {
        features: features(asked),
        ..demand(Resolution::P240, 1, 0)
    };
    let usage = Usage {
        viewers: 8,
        ..Usage::default()
    };
    let check = |raise| limits.check(&raise, &usage);
    assert!(check(Raise::CreateChannel(asking(&[Feature::Ads]))).is_ok());
    let refused = check(Raise::CreateChannel(asking(&[Feature::Ads, Feature::Ai])));
    let refused = refused.expect_err("a refusal");
    assert_eq!(
        refused.to_string(),
        "the plan allows ads as features; this would make it ads, ai (now none)"
    );
    let update = |from: &[Feature], to: &[Feature]| {
        check(Raise::UpdateChannel {
            from: asking(from),
            to: asking(to),
        })
    };
    assert!(update(&[Feature::Ai], &[Feature::Ai, Feature::Ads]).is_ok());
    assert!(update(&[Feature::Ai], &[]).is_ok());
    assert!(update(&[], &[Feature::Ai]).is_err());
    assert!(check(Raise::Bulk { channels: 2 }).is_ok());
    assert!(check(Raise::Bulk { channels: 3 }).is_err());
    assert!(check(Raise::AddViewers { viewers: 2 }).is_ok());
    assert!(check(Raise::AddViewers { viewers: 3 }).is_err());
}

#[test]
fn what_is_above_a_plan_is_told_limit_by_limit() {
    let limits = PlanLimits {
        max_channels: Some(2),
        max_live: Some(1),
        max_resolution: Some(Resolution::P720),
        storage_bytes: Some(100),
        ..PlanLimits::UNLIMITED
    };
    let usage = Usage {
        channels: 2,
        live: 2,
        storage_bytes: 101,
        viewers: 0,
    };
    let demands = [
        demand(Resolution::P240, 1, 0),
        demand(Resolution::P1080, 1, 0),
    ];
    let passed = limits.passed(&usage, &demands);
    let names: Vec<Limit> = passed.iter().map(|passed| passed.limit).collect();
    assert_eq!(
        names,
        [Limit::MaxLive, Limit::StorageBytes, Limit::MaxResolution]
    );
    assert_eq!(passed[0].current, Amount::Count(2));
    assert_eq!(PlanLimits::UNLIMITED.passed(&usage, &demands), []);
}
