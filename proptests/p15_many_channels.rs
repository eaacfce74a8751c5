//! P15 (15.1, 15.2, 15.4): many channels. Of the pure half: whoever claims a place on a node that is short, higher tiers go first,
//! a channel on air is never displaced, and nothing that has room waits.

use std::collections::BTreeMap;

use playout_domain::ChannelId;
use playout_domain::admission::{Admission, Claim, ClaimId, Cost, Decision, Kind};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use uuid::Uuid;

use super::cases;

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
