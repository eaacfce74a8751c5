//! P15 (15.1–15.4): many channels. Whoever claims a place on a node that is short: higher tiers go first, a channel on air is never
//! displaced, and nothing that has room waits. And whatever many do to many channels at once, on real PostgreSQL, is done
//! whole or not at all, as each was answered, within what is allowed, and to nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use playout_domain::admission::{Admission, Claim, ClaimId, Cost, Decision, Kind};
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::Limit;
use playout_domain::plans::Plan;
use playout_domain::{ChannelId, ChannelStatus, Desired};
use playout_store::testing::{self, TestStore};
use playout_store::{Cause, NewOverride, Principal, Scopes, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use super::cases;
use super::stored::{airtime, channel};

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask {
        kind: Kind,
        tier: u32,
        cpu: u32,
        memory: u64,
    },
    /// The claim that came so many before the latest.
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let channel = (0..4_u32, 1..12_u32, 1..10_u64).prop_map(|(tier, cpu, memory)| Step::Ask {
        kind: Kind::Channel,
        tier,
        cpu,
        memory,
    });
    let transcode = (0..4_u32, 5..90_u32, 1..60_u64).prop_map(|(tier, cpu, memory)| Step::Ask {
        kind: Kind::Transcode,
        tier,
        cpu,
        memory,
    });
    let step = prop_oneof![
        3 => channel,
        3 => transcode,
        3 => (0..12_usize).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is known of the claims from the decisions alone.
#[derive(Debug, Default, Clone)]
struct Told(BTreeMap<ClaimId, (Claim, bool)>);

impl Told {
    fn used(&self) -> (u32, u64) {
        let held = self.0.values().filter(|(_, held)| *held);
        held.fold((0, 0), |(cpu, memory), (claim, _)| {
            (cpu + claim.cost.cpu, memory + claim.cost.memory)
        })
    }

    fn waiting(&self, kind: Kind) -> impl Iterator<Item = (&ClaimId, &Claim)> {
        let of = self
            .0
            .iter()
            .filter(move |(_, (claim, held))| !held && claim.kind == kind);
        of.map(|(id, (claim, _))| (id, claim))
    }
}

fn is_held(steps: &[Step]) -> Result<(), TestCaseError> {
    let capacity = Cost {
        cpu: 100,
        memory: 100,
    };
    let mut node = Admission::new(capacity);
    let mut told = Told::default();
    for step in steps {
        let before = told.clone();
        let decisions = match *step {
            Step::Ask {
                kind,
                tier,
                cpu,
                memory,
            } => {
                let claim = Claim {
                    channel: ChannelId::from(Uuid::nil()),
                    tier,
                    kind,
                    // So much one has at most.
                    cost: Cost {
                        cpu: cpu.min(80),
                        memory: memory.min(80),
                    },
                };
                let cost = Cost { cpu, memory };
                let (id, decisions) = node.ask(Claim { cost, ..claim });
                prop_assert!(
                    told.0.insert(id, (claim, false)).is_none(),
                    "{id:?} came twice"
                );
                let of_it = |decision: &&Decision| matches!(decision, Decision::Admitted(of) | Decision::Queued(of) if *of == id);
                prop_assert_eq!(
                    decisions.iter().filter(of_it).count(),
                    1,
                    "it is told what becomes of it"
                );
                decisions
            }
            Step::Release(back) => {
                let Some(id) = told.0.keys().rev().nth(back).copied() else {
                    continue;
                };
                told.0.remove(&id);
                node.release(id)
            }
        };
        for decision in &decisions {
            match *decision {
                Decision::Admitted(id) => {
                    let (claim, held) = told.0.get_mut(&id).expect("a claim");
                    prop_assert!(!*held);
                    *held = true;
                    let claim = *claim;
                    let passed = before.waiting(claim.kind).find(|(other, waits)| {
                        waits.tier > claim.tier && told.0.get(other).is_some_and(|(_, held)| !held)
                    });
                    prop_assert!(passed.is_none(), "{claim:?} passed {passed:?}");
                }
                Decision::Queued(id) => prop_assert!(!told.0[&id].1),
                Decision::Displaced { id, to } => {
                    let taker = told.0[&to].0;
                    let (claim, held) = told.0.get_mut(&id).expect("a claim");
                    prop_assert!(*held && claim.kind == Kind::Transcode && claim.tier < taker.tier);
                    *held = false;
                }
            }
        }
        let (cpu, memory) = told.used();
        prop_assert!(cpu <= 100 && memory <= 100, "{cpu} {memory}");
        for (id, (_, held)) in &told.0 {
            prop_assert_eq!(node.claim(*id).map(|(_, held)| held), Some(*held));
            prop_assert_eq!(node.place(*id).is_some(), !held);
        }
        for kind in [Kind::Channel, Kind::Transcode] {
            // Of the highest tier that waits nobody has room, also where every transcode below would give way.
            let highest = told.waiting(kind).map(|(_, claim)| claim.tier).max();
            for (id, claim) in told
                .waiting(kind)
                .filter(|(_, claim)| Some(claim.tier) == highest)
            {
                let below = told.0.values().filter(|(other, held)| {
                    *held && other.kind == Kind::Transcode && other.tier < claim.tier
                });
                let (free_cpu, free_memory) = below.fold((0, 0), |(cpu, memory), (other, _)| {
                    (cpu + other.cost.cpu, memory + other.cost.memory)
                });
                let fits = cpu - free_cpu + claim.cost.cpu <= 100
                    && memory - free_memory + claim.cost.memory <= 100;
                prop_assert!(!fits, "{id:?} waits though there is room");
            }
        }
    }
    for id in told.0.keys().copied().collect::<Vec<_>>() {
        node.release(id);
    }
    prop_assert_eq!((node.used(), node.waiting().count()), (Cost::default(), 0));
    Ok(())
}

proptest! {
    #![proptest_config(cases(500))]
    #[test]
    fn higher_tiers_go_first_and_nobody_on_air_is_displaced(steps in steps()) {
        is_held(&steps)?;
    }
}

/// What somebody does, all at once.
#[derive(Debug, Clone, Copy)]
enum Do {
    Create,
    Start(usize),
    Stop(usize),
    Rename(usize),
    Delete(usize),
    /// Another client's channel is deleted, if that is possible.
    Steal(usize),
    /// The operator allows the client so many channels, or what its plan says.
    Override(Option<u64>),
}

fn things() -> impl Strategy<Value = Vec<(usize, Do)>> {
    let n = || 0..3_usize;
    let what = prop_oneof![
        3 => Just(Do::Create),
        3 => n().prop_map(Do::Start),
        2 => n().prop_map(Do::Stop),
        2 => n().prop_map(Do::Rename),
        2 => n().prop_map(Do::Delete),
        1 => n().prop_map(Do::Steal),
        1 => prop::option::of(4..7_u64).prop_map(Do::Override),
    ];
    prop::collection::vec((0..2_usize, what), 6..24)
}

const MOST_CHANNELS: u64 = 5;
const MOST_LIVE: u64 = 1;

async fn done(
    store: Store,
    what: Do,
    who: Principal,
    own: Vec<ChannelId>,
    others: Vec<ChannelId>,
) -> Result<Option<ChannelId>, StoreError> {
    let operator = Principal::daemon();
    let ordered = |desired, status, operation| {
        let life = LifeState {
            desired,
            status,
            ..LifeState::default()
        };
        let who = who.clone();
        (life, Cause::Ordered { who, operation })
    };
    match what {
        Do::Create => {
            let made = channel(who.client, "new");
            let airs = airtime(Uuid::now_v7().into());
            store.insert_channel(&who, &made, &airs).await?;
            return Ok(Some(made.id));
        }
        Do::Start(n) => {
            let (life, cause) = ordered(Desired::Live, ChannelStatus::Starting, Operation::Start);
            store.save_life(own[n], &life, cause).await?;
        }
        Do::Stop(n) => {
            let (life, cause) = ordered(Desired::Stopped, ChannelStatus::Stopped, Operation::Stop);
            store.save_life(own[n], &life, cause).await?;
        }
        Do::Rename(n) => {
            let config = channel(who.client, "renamed").config;
            store.update_channel(&who, own[n], 1, &config, None).await?;
        }
        Do::Delete(n) => store.delete_channel(&who, own[n], None).await?,
        Do::Steal(n) => store.delete_channel(&who, others[n], None).await?,
        Do::Override(Some(value)) => {
            let new = NewOverride {
                limit: Limit::MaxChannels,
                value: json!(value),
                reason: "a trial".to_owned(),
                expires_at: None,
            };
            store
                .put_override(&operator, who.client, &new, None)
                .await?;
        }
        Do::Override(None) => {
            let limit = Limit::MaxChannels;
            store
                .delete_override(&operator, who.client, limit, None)
                .await?;
        }
    }
    Ok(None)
}

async fn is_exact(
    test: &TestStore,
    session: &Client,
    things: &[(usize, Do)],
) -> Result<(), TestCaseError> {
    let operator = Principal::daemon();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let name = Uuid::now_v7().to_string();
        let plan = "p15".parse().unwrap();
        let client = test.create_client(&operator, &name, &plan).await.unwrap();
        let who = Principal {
            client: client.id,
            scopes: Scopes::CLIENT,
            name,
            ..Principal::daemon()
        };
        let mut own = Vec::new();
        for n in 0..3 {
            let made = channel(who.client, &format!("{n}"));
            let airs = airtime(Uuid::now_v7().into());
            test.insert_channel(&who, &made, &airs).await.unwrap();
            own.push(made.id);
        }
        clients.push((who, own));
    }
    let mut doing = JoinSet::new();
    for (of, what) in things.iter().copied() {
        let (who, own) = clients[of].clone();
        let others = clients[1 - of].1.clone();
        let store = Store::clone(test);
        doing.spawn(async move { (of, what, done(store, what, who, own, others).await) });
    }
    let results = doing.join_all().await;
    for (place, (who, own)) in clients.iter().enumerate() {
        let of = results.iter().filter(|(of, ..)| *of == place);
        let (mut there, mut renamed) = (BTreeSet::from_iter(own.iter().copied()), BTreeSet::new());
        let mut most = MOST_CHANNELS;
        let mut told = BTreeMap::new();
        for (_, what, result) in of {
            let operation = match (what, result) {
                (Do::Steal(_), result) => {
                    prop_assert!(matches!(result, Err(StoreError::NotFound)), "{:?}", result);
                    continue;
                }
                (Do::Create, Ok(made)) => {
                    there.insert(made.expect("an id"));
                    "channel.create"
                }
                (Do::Delete(n), Ok(_)) => {
                    prop_assert!(there.remove(&own[*n]), "it was deleted twice");
                    "channel.delete"
                }
                (Do::Rename(n), Ok(_)) => {
                    prop_assert!(renamed.insert(own[*n]), "one version was changed twice");
                    "channel.update"
                }
                (Do::Override(value), Ok(_)) => {
                    most = most.max(value.unwrap_or_default());
                    continue;
                }
                (Do::Start(_) | Do::Stop(_), Ok(_)) => continue,
                (Do::Create, Err(StoreError::Limit(_)))
                | (Do::Start(_), Err(StoreError::Limit(_) | StoreError::NotFound))
                | (Do::Stop(_) | Do::Delete(_), Err(StoreError::NotFound))
                | (Do::Rename(_), Err(StoreError::VersionMismatch { .. } | StoreError::NotFound))
                | (Do::Override(None), Err(StoreError::NotFound)) => continue,
                (what, Err(other)) => panic!("{what:?}: {other}"),
            };
            *told.entry(operation).or_insert(0) += 1;
        }
        // What was answered is what is there.
        let sql = "SELECT id, version, desired FROM channels WHERE client_id = $1";
        let rows = session.query(sql, &[&who.client.uuid()]).await.unwrap();
        let found = rows
            .iter()
            .map(|row| ChannelId::from(row.get::<_, Uuid>(0)));
        prop_assert_eq!(found.collect::<BTreeSet<_>>(), there.clone());
        for row in &rows {
            let id = ChannelId::from(row.get::<_, Uuid>(0));
            prop_assert_eq!(row.get::<_, i64>(1), 1 + i64::from(renamed.contains(&id)));
        }
        prop_assert!(rows.len() as u64 <= most, "{} channels", rows.len());
        let live = rows
            .iter()
            .filter(|row| row.get::<_, &str>(2) == "LIVE")
            .count();
        prop_assert!(live as u64 <= MOST_LIVE, "{live} live");
        // And the audit tells of each, without a gap.
        let audit = test.audit(who.client, 0, 1000).await.unwrap();
        let numbers: Vec<u64> = audit.iter().map(|entry| entry.seq).collect();
        prop_assert_eq!(numbers, (1..=audit.len() as u64).collect::<Vec<_>>());
        *told.entry("channel.create").or_insert(0) += own.len();
        for (operation, times) in told {
            let entries = audit.iter().filter(|entry| entry.operation == operation);
            prop_assert_eq!(entries.count(), times, "{}", operation);
        }
    }
    Ok(())
}

#[test]
fn whatever_many_do_to_many_channels_at_once_is_done_whole_or_not_at_all() {
    let runtime = super::stored::racing();
    let (test, session) = runtime.block_on(async {
        let test = testing::fresh().await;
        let limits = json!({ "maxChannels": MOST_CHANNELS, "maxLive": MOST_LIVE });
        let plan = json!({ "tier": 3, "limits": limits });
        let plan = Plan::parse("p15".parse().unwrap(), &plan).unwrap();
        test.put_plan(&Principal::daemon(), &plan, None)
            .await
            .unwrap();
        let session = test.session().await;
        (test, session)
    });
    let mut runner = TestRunner::new(cases(100));
    let held = runner.run(&things(), |things| {
        runtime.block_on(is_exact(&test, &session, &things))
    });
    held.unwrap();
}
