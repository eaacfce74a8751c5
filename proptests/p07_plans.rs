//! P7 (5.1–5.5): whatever is asked at once, no use passes what the plan with its overrides allows; as much is allowed
//! as fits; a refusal says which limit, how far it is, and which plan lifts it, truly; less than there is takes nothing
//! away.
//!
//! Real PostgreSQL; what there is afterwards is counted past the store.

use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Amount, Limit, PlanLimits};
use playout_domain::plans::{Plan, PlanName};
use playout_domain::{ChannelStatus, Desired, Resolution};
use playout_store::testing::{self, TestStore};
use playout_store::{Cause, ClientEdit, NewOverride, Principal, Scopes, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use super::stored::{airtime, channel};

/// What a client asks at once.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Create(Resolution),
    Start(usize),
    Stop(usize),
}

#[derive(Debug, Clone)]
struct Case {
    channels: u64,
    live: u64,
    highest: Resolution,
    /// What an override makes of the channels.
    overridden: Option<u64>,
    asks: Vec<Ask>,
    /// What the plan allows afterwards.
    later: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let resolution =
        || prop::sample::select(vec![Resolution::P240, Resolution::P480, Resolution::P1080]);
    let ask = prop_oneof![
        3 => resolution().prop_map(Ask::Create),
        3 => (0..4_usize).prop_map(Ask::Start),
        1 => (0..4_usize).prop_map(Ask::Stop),
    ];
    (
        1..6_u64,
        0..4_u64,
        resolution(),
        prop::option::of(0..8_u64),
        prop::collection::vec(ask, 4..14),
        0..6_u64,
    )
        .prop_map(|(channels, live, highest, overridden, asks, later)| Case {
            channels,
            live,
            highest,
            overridden,
            asks,
            later,
        })
}

fn plan(name: &str, tier: u32, channels: u64, live: u64, highest: Resolution) -> Plan {
    let limits = json!({ "maxChannels": channels, "maxLive": live, "maxResolution": highest });
    Plan::parse(
        name.parse().unwrap(),
        &json!({ "tier": tier, "limits": limits }),
    )
    .unwrap()
}

async fn count(session: &Client, who: &Principal, of: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM channels WHERE client_id = $1 AND {of}");
    let row = session
        .query_one(&sql, &[&who.client.uuid()])
        .await
        .unwrap();
    row.get::<_, i64>(0) as u64
}

async fn is_held(test: &TestStore, session: &Client, case: &Case) -> Result<(), TestCaseError> {
    let operator = Principal::daemon();
    let unique = Uuid::now_v7().to_string();
    let own: PlanName = unique.parse().unwrap();
    let put = |channels| plan(&unique, 10, channels, case.live, case.highest);
    test.put_plan(&operator, &put(case.channels), None)
        .await
        .unwrap();
    let client = test.create_client(&operator, &unique, &own).await.unwrap();
    let who = Principal {
        client: client.id,
        scopes: Scopes::CLIENT,
        token: None,
        name: "script".to_owned(),
        attempt: None,
    };
    // What there is to be started.
    let airs = airtime(Uuid::now_v7().into());
    let before = case.channels.min(4);
    let mut ids = Vec::new();
    for n in 0..before {
        let mut made = channel(who.client, &format!("{n}"));
        made.config.resolution = Resolution::P240;
        made.config.ladder[0].resolution = Resolution::P240;
        made.config.ladder.truncate(1);
        test.insert_channel(&who, &made, &airs).await.unwrap();
        ids.push(made.id);
    }
    let allowed = match case.overridden {
        None => case.channels,
        Some(value) => {
            let new = NewOverride {
                limit: Limit::MaxChannels,
                value: json!(value),
                reason: "a trial".to_owned(),
                expires_at: None,
            };
            test.put_override(&operator, client.id, &new, None)
                .await
                .unwrap();
            value
        }
    };

    let mut asking = JoinSet::new();
    for ask in case.asks.clone() {
        let (store, who, ids, airs) = (
            playout_store::Store::clone(test),
            who.clone(),
            ids.clone(),
            airs.clone(),
        );
        asking.spawn(async move {
            let done = match ask {
                Ask::Create(resolution) => {
                    let mut made = channel(who.client, "new");
                    made.config.resolution = resolution;
                    made.config.ladder[0].resolution = resolution;
                    made.config.ladder.truncate(1);
                    store.insert_channel(&who, &made, &airs).await.map(drop)
                }
                Ask::Start(n) | Ask::Stop(n) => {
                    let id = ids[n % ids.len()];
                    let (desired, status, operation) = match ask {
                        Ask::Start(_) => (Desired::Live, ChannelStatus::Starting, Operation::Start),
                        _ => (Desired::Stopped, ChannelStatus::Stopped, Operation::Stop),
                    };
                    let life = LifeState {
                        desired,
                        status,
                        ..LifeState::default()
                    };
                    store
                        .save_life(id, &life, Cause::Ordered { who, operation })
                        .await
                }
            };
            (ask, done)
        });
    }
    let done = asking.join_all().await;

    let there = count(session, &who, "true").await;
    let live = count(session, &who, "desired = 'LIVE'").await;
    let made = done
        .iter()
        .filter(|(ask, done)| matches!(ask, Ask::Create(_)) && done.is_ok())
        .count() as u64;
    prop_assert_eq!(there, before + made);
    prop_assert!(
        there <= allowed.max(before),
        "{} channels, {} allowed",
        there,
        allowed
    );
    prop_assert!(live <= case.live, "{} live, {} allowed", live, case.live);
    let fits = |resolution: Resolution| resolution <= case.highest;
    let small = case
        .asks
        .iter()
        .filter(|ask| matches!(ask, Ask::Create(resolution) if fits(*resolution)))
        .count() as u64;
    prop_assert_eq!(
        made,
        small.min(allowed.saturating_sub(before)),
        "as many as fit"
    );
    let plans = test.plans().await.unwrap();
    for (ask, done) in done {
        let refusal = match done {
            Ok(()) => continue,
            Err(StoreError::Limit(refusal)) => refusal,
            Err(other) => panic!("{other}"),
        };
        prop_assert_eq!(refusal.plan.as_ref(), Some(&own));
        let exceeded = &refusal.exceeded;
        let expected = match ask {
            Ask::Create(resolution) if !fits(resolution) => {
                [Limit::MaxResolution, Limit::MaxChannels]
            }
            Ask::Create(_) => [Limit::MaxChannels; 2],
            _ => [Limit::MaxLive; 2],
        };
        prop_assert!(
            expected.contains(&exceeded.limit),
            "{:?} for {:?}",
            exceeded,
            ask
        );
        // Plans above, told apart without the code that refuses. Of a picture that is too large nobody says how many
        // channels there were then.
        let uses = match (exceeded.limit, exceeded.current) {
            (Limit::MaxChannels, Amount::Count(now)) => now..=now,
            _ => before..=there,
        };
        let named = uses.into_iter().any(|channels| {
            let lifts = |limits: &PlanLimits| match ask {
                Ask::Create(resolution) => {
                    case.overridden.or(limits.max_channels) > Some(channels)
                        && limits.max_resolution >= Some(resolution)
                }
                _ => limits.max_live > Some(case.live),
            };
            let higher = plans
                .iter()
                .filter(|kept| kept.plan.name.as_str().starts_with("above"));
            let lifting = higher.filter(|kept| lifts(&kept.plan.limits));
            let lowest = lifting.min_by_key(|kept| kept.plan.tier);
            refusal.upgrade_to == lowest.map(|kept| kept.plan.name.clone())
        });
        prop_assert!(named, "{:?} for {:?}", refusal, ask);
    }

    // Less than there is: accepted, and nothing goes.
    let version = test.plan(&own).await.unwrap().version;
    test.put_plan(&operator, &put(case.later), Some(version))
        .await
        .unwrap();
    let _ = test
        .delete_override(&operator, client.id, Limit::MaxChannels, None)
        .await;
    prop_assert_eq!(count(session, &who, "true").await, there);
    let limits = test.client_limits(&who, client.id).await.unwrap();
    let over = limits
        .over_limit
        .iter()
        .any(|over| over.limit == Limit::MaxChannels);
    prop_assert_eq!(over, there > case.later);
    let edit = ClientEdit {
        plan: Some("above-9".parse().unwrap()),
        ..ClientEdit::default()
    };
    test.update_client(&operator, client.id, &edit, None)
        .await
        .unwrap();
    prop_assert_eq!(
        test.client_limits(&who, client.id)
            .await
            .unwrap()
            .over_limit,
        []
    );
    Ok(())
}

#[test]
fn p7_no_use_passes_the_plan_however_much_is_asked_at_once() {
    let runtime = super::stored::racing();
    let (test, session) = runtime.block_on(async {
        let test = testing::fresh().await;
        let operator = Principal::daemon();
        for (name, tier, channels, live, highest) in [
            ("above-1", 11, 6, 2, Resolution::P480),
            ("above-2", 12, 6, 9, Resolution::P1080),
            ("above-9", 19, 99, 99, Resolution::P2160),
        ] {
            let above = plan(name, tier, channels, live, highest);
            test.put_plan(&operator, &above, None).await.unwrap();
        }
        let session = test.session().await;
        (test, session)
    });
    let mut runner = TestRunner::new(super::cases(100));
    let held = runner.run(&case(), |case| {
        runtime.block_on(is_held(&test, &session, &case))
    });
    held.unwrap();
}
