//! A plan as it is stored: what is settled, and the small state from which the rest follows. Plans that were
//! stored as runs of items, before there were schedules, are read, too.

use super::basis::{Basis, PlannedItem};
use super::{Expansion, Origin, Plan, PlanEntry, Tail};
use crate::units::Frame;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What does not make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Entries and runs must come one after another.
    #[error(
        "part {index} of the plan begins at frame {starts}, before the one before it has ended"
    )]
    OutOfOrder {
        /// Which, from 0.
        index: usize,
        /// Where it begins.
        starts: Frame,
    },
    /// What the state names must be there.
    #[error("the plan goes on with {what} {named}, but has {have}")]
    NoSuch {
        /// Of what.
        what: &'static str,
        /// Which one it names.
        named: usize,
        /// How many it has.
        have: usize,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum StoredPlan {
    Now {
        settled: Vec<PlanEntry>,
        tail: Box<Option<Tail>>,
    },
    Runs {
        runs: Vec<Run>,
    },
}

/// Items that looped for ever from a first frame until the next run began.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    starts: Frame,
    #[serde(default)]
    first: usize,
    items: Vec<PlannedItem>,
}

impl TryFrom<StoredPlan> for Plan {
    type Error = InvalidPlan;

    fn try_from(stored: StoredPlan) -> Result<Self, InvalidPlan> {
        let (settled, tail) = match stored {
            StoredPlan::Now { settled, tail } => (settled, *tail),
            StoredPlan::Runs { runs } => return of_runs(runs),
        };
        let mut before = Frame::default();
        for (index, entry) in settled.iter().enumerate() {
            let starts = entry.start;
            if starts < before || entry.end <= starts {
                return Err(InvalidPlan::OutOfOrder { index, starts });
            }
            before = entry.end;
        }
        if let Some(tail) = &tail {
            if tail.state.at < before {
                let (index, starts) = (settled.len(), tail.state.at);
                return Err(InvalidPlan::OutOfOrder { index, starts });
            }
            check(tail)?;
        }
        Ok(Self {
            settled,
            tail,
            ahead: Arc::new(Expansion::default()),
        })
    }
}

/// Everything that a state names by number is there.
fn check(tail: &Tail) -> Result<(), InvalidPlan> {
    let Tail { basis, state } = tail;
    let there = |what, named: usize, have: usize| match named < have {
        true => Ok(()),
        false => Err(InvalidPlan::NoSuch { what, named, have }),
    };
    let units = basis.units.len();
    let put_off = state.place.put_off.iter().map(|unit| *unit as usize);
    let unit = state.unit.map(|(unit, _)| unit);
    for unit in put_off.chain(state.last).chain(unit) {
        there("entry", unit, units)?;
    }
    for insert in &state.inserts {
        if let Origin::Rotation(unit) = insert.origin {
            there("entry", unit, units)?;
        }
    }
    if let Some(slot) = &state.slot {
        there("slot", slot.slot, basis.slots.len())?;
    }
    for (_, slot) in basis.days.iter().flat_map(|day| &day.slots) {
        there("slot", *slot as usize, basis.slots.len())?;
    }
    if state.filler > 0 {
        there("filler", state.filler, basis.fillers.len())?;
    }
    let round = super::order::round(basis, state.place.round).len();
    if state.place.next > 0 {
        there("place", state.place.next, round)?;
    }
    Ok(())
}

fn of_runs(runs: Vec<Run>) -> Result<Plan, InvalidPlan> {
    let mut plan = Plan::default();
    let mut before: Option<Frame> = None;
    for (index, run) in runs.into_iter().enumerate() {
        let starts = run.starts;
        if before.is_some_and(|before| starts <= before) {
            return Err(InvalidPlan::OutOfOrder { index, starts });
        }
        let (named, have) = (run.first, run.items.len());
        if named >= have.max(1) {
            let what = "item";
            return Err(InvalidPlan::NoSuch { what, named, have });
        }
        before = Some(starts);
        if plan.tail.is_some() {
            let _ = plan.settle(starts.before(1));
            plan.end_at(starts);
        }
        let mut next = Plan::starting(starts, Basis::looping(run.items));
        if let Some(tail) = &mut next.tail {
            tail.state.place.next = run.first;
        }
        plan.tail = next.tail;
        plan.ahead = next.ahead;
    }
    Ok(plan)
}

impl From<Plan> for StoredPlan {
    fn from(plan: Plan) -> Self {
        Self::Now {
            settled: plan.settled,
            tail: Box::new(plan.tail),
        }
    }
}

/// A basis is shared in memory, and stored like any other.
pub(super) mod shared {
    use super::{Arc, Basis};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::plan) fn serialize<S: Serializer>(
        basis: &Arc<Basis>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Basis::serialize(basis, serializer)
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Basis>, D::Error> {
        Basis::deserialize(deserializer).map(Arc::new)
    }
}
