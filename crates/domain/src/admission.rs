//! Who goes on air, and who is transcoded while it plays, when a node is short of processors or memory.
//!
//! There are two kinds of claims. A *channel* on air costs what copying prepared media costs: little. A *transcode* plays what is
//! not prepared, and costs a lot; without it the channel shows its fallback until there is room, or until the item is prepared.
//! Whoever finds no room waits, higher tiers first and then in the order of coming; a claim may take the place of transcodes of
//! lower tiers, those of the lowest first.
//!
//! Decides only.
//!
//! Invariants (P15): a channel on air is never displaced; a transcode is displaced by a claim of a higher tier alone; what waits
//! waits behind nobody of a lower tier and its kind; a claim holds or waits until it is released.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::ids::ChannelId;

/// A share of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// In thousandths of a core: 2500 are two and a half.
    pub cpu: u32,
    /// In bytes.
    pub memory: u64,
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    fn within(self, other: Self) -> bool {
        self.cpu <= other.cpu && self.memory <= other.memory
    }

    /// Four fifths of it: so much one transcode costs at most, or it would never begin on a small node.
    fn most(self) -> Self {
        Self {
            cpu: self.cpu / 5 * 4,
            memory: self.memory / 5 * 4,
        }
    }

    fn at_most(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.min(other.cpu),
            memory: self.memory.min(other.memory),
        }
    }
}

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// To be on air.
    Channel,
    /// To be transcoded while it plays.
    Transcode,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Channel, Self::Transcode];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Transcode => "transcode",
        }
    }
}

/// Numbers the claims in the order of their coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(pub u64);

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Of which channel.
    pub channel: ChannelId,
    /// The tier of its client's plan: higher goes first.
    pub tier: u32,
    /// What for.
    pub kind: Kind,
    /// What it costs.
    pub cost: Cost,
}

/// What was decided about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There is room for it.
    Admitted(ClaimId),
    /// There is none: it waits.
    Queued(ClaimId),
    /// A transcode gives its place to `to`, and waits.
    Displaced {
        /// Which.
        id: ClaimId,
        /// The claim that takes it.
        to: ClaimId,
    },
}

/// The order of those that wait: channels before transcodes, high tiers first, then by coming.
type Turn = (Kind, Reverse<u32>, ClaimId);

/// The claims of one node.
#[derive(Debug)]
pub struct Admission {
    capacity: Cost,
    held: BTreeMap<ClaimId, Claim>,
    waiting: BTreeMap<Turn, Claim>,
    next: u64,
}

impl Admission {
    /// Of a node with so much for channels.
    pub fn new(capacity: Cost) -> Self {
        Self {
            capacity,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
        }
    }

    /// What there is.
    pub fn capacity(&self) -> Cost {
        self.capacity
    }

    /// What is taken of it.
    pub fn used(&self) -> Cost {
        let costs = self.held.values().map(|claim| claim.cost);
        costs.fold(Cost::default(), Cost::plus)
    }

    /// A claim by its number, and whether it holds.
    pub fn claim(&self, id: ClaimId) -> Option<(Claim, bool)> {
        let held = self.held.get(&id).map(|claim| (*claim, true));
        held.or_else(|| self.turn(id).map(|turn| (self.waiting[&turn], false)))
    }

    /// How many of its kind go before a claim that waits, it included.
    pub fn place(&self, id: ClaimId) -> Option<usize> {
        let turn = self.turn(id)?;
        let before = self.waiting.range(..=turn);
        Some(before.filter(|((kind, ..), _)| *kind == turn.0).count())
    }

    /// Those that wait, in their order.
    pub fn waiting(&self) -> impl Iterator<Item = (ClaimId, &Claim)> {
        self.waiting.iter().map(|((_, _, id), claim)| (*id, claim))
    }

    /// Takes a claim; what was decided about it and others.
    pub fn ask(&mut self, claim: Claim) -> (ClaimId, Vec<Decision>) {
        let id = ClaimId(self.next);
        self.next += 1;
        let cost = claim.cost.at_most(self.capacity.most());
        self.queue(id, Claim { cost, ..claim });
        let mut decisions = self.settle();
        if self.turn(id).is_some() {
            decisions.push(Decision::Queued(id));
        }
        (id, decisions)
    }

    /// A claim is over; what was decided about others.
    pub fn release(&mut self, id: ClaimId) -> Vec<Decision> {
        if self.held.remove(&id).is_none()
            && let Some(turn) = self.turn(id)
        {
            self.waiting.remove(&turn);
        }
        self.settle()
    }

    fn turn(&self, id: ClaimId) -> Option<Turn> {
        let mut turns = self.waiting.keys();
        turns.find(|(_, _, waiting)| *waiting == id).copied()
    }

    fn queue(&mut self, id: ClaimId, claim: Claim) {
        let turn = (claim.kind, Reverse(claim.tier), id);
        self.waiting.insert(turn, claim);
    }

    /// Lets in whoever has room now.
    fn settle(&mut self) -> Vec<Decision> {
        let mut decisions = self.settle_once();
        // Who gave way to somebody large may find room beside it.
        let gave_way = |decision: &Decision| matches!(decision, Decision::Displaced { .. });
        if decisions.iter().any(gave_way) {
            decisions.extend(self.settle());
        }
        decisions
    }

    fn settle_once(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let turns: Vec<Turn> = self.waiting.keys().copied().collect();
        // The kind and tier of the first that finds no room: nobody of a lower tier and its kind passes it.
        let mut stuck: Option<(Kind, Reverse<u32>)> = None;
        for turn in turns {
            let (kind, tier, id) = turn;
            if stuck.is_some_and(|(of, at)| of == kind && at < tier) {
                continue;
            }
            let Some(claim) = self.waiting.get(&turn).copied() else {
                continue;
            };
            match self.room_for(&claim) {
                Some(victims) => {
                    for victim in victims {
                        if let Some(displaced) = self.held.remove(&victim) {
                            self.queue(victim, displaced);
                            decisions.push(Decision::Displaced { id: victim, to: id });
                        }
                    }
                    self.waiting.remove(&turn);
                    self.held.insert(id, claim);
                    decisions.push(Decision::Admitted(id));
                }
                None => stuck = Some((kind, tier)),
            }
        }
        decisions
    }

    /// The transcodes that have to give way to `claim`; nothing when there is no room even so.
    fn room_for(&self, claim: &Claim) -> Option<Vec<ClaimId>> {
        let mut used = self.used().plus(claim.cost);
        let mut lower: Vec<(ClaimId, Claim)> = self
            .held
            .iter()
            .filter(|(_, held)| held.kind == Kind::Transcode && held.tier < claim.tier)
            .map(|(id, held)| (*id, *held))
            .collect();
        // The lowest tier first, and of one tier the newest.
        lower.sort_by_key(|(id, held)| (held.tier, Reverse(*id)));
        let mut victims = Vec::new();
        let mut lower = lower.into_iter();
        while !used.within(self.capacity) {
            let (id, held) = lower.next()?;
            used = used.minus(held.cost);
            victims.push(id);
        }
        Some(victims)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    const NODE: Cost = Cost {
        cpu: 200,
        memory: 1000,
    };

    fn claim(kind: Kind, tier: u32, cpu: u32) -> Claim {
        Claim {
            channel: ChannelId::from(Uuid::nil()),
            tier,
            kind,
            cost: Cost { cpu, memory: 10 },
        }
    }

    fn channel(tier: u32) -> Claim {
        claim(Kind::Channel, tier, 50)
    }

    fn transcode(tier: u32) -> Claim {
        claim(Kind::Transcode, tier, 100)
    }

    #[test]
    fn whoever_finds_no_room_waits_and_higher_tiers_go_first() {
        let mut node = Admission::new(NODE);
        let on_air: Vec<ClaimId> = (0..4).map(|_| node.ask(channel(1)).0).collect();
        let (low, decided) = node.ask(channel(1));
        assert_eq!(decided, [Decision::Queued(low)]);
        let (lower, _) = node.ask(channel(0));
        let (high, _) = node.ask(channel(4));
        let places = [high, low, lower].map(|id| node.place(id));
        assert_eq!(places, [Some(1), Some(2), Some(3)]);
        assert_eq!(node.release(on_air[2]), [Decision::Admitted(high)]);
        assert_eq!(node.place(low), Some(1));
        assert_eq!(node.release(low), [], "it has left the queue");
        assert_eq!(node.release(high), [Decision::Admitted(lower)]);
    }

    #[test]
    fn a_higher_tier_takes_the_place_of_the_lowest_tiers_transcodes_and_of_no_channel() {
        let mut node = Admission::new(NODE);
        let (one, _) = node.ask(transcode(1));
        let (two, _) = node.ask(transcode(2));
        let (same, decided) = node.ask(transcode(1));
        assert_eq!(
            decided,
            [Decision::Queued(same)],
            "of its own tier nobody gives way"
        );
        let (high, decided) = node.ask(channel(3));
        let expected = [
            Decision::Displaced { id: one, to: high },
            Decision::Admitted(high),
        ];
        assert_eq!(decided, expected);
        assert_eq!(node.claim(one).map(|(_, held)| held), Some(false));
        // There is room for fifty, and a transcode of the highest tier takes that of `two`.
        let (higher, decided) = node.ask(transcode(4));
        let expected = [
            Decision::Displaced {
                id: two,
                to: higher,
            },
            Decision::Admitted(higher),
        ];
        assert_eq!(decided, expected);
        // It fills what the channel leaves, so everybody lower gives way.
        let (most, decided) = node.ask(claim(Kind::Transcode, 9, 150));
        let expected = [
            Decision::Displaced {
                id: higher,
                to: most,
            },
            Decision::Admitted(most),
        ];
        assert_eq!(decided, expected);
        let (stuck, decided) = node.ask(channel(1));
        assert_eq!(decided, [Decision::Queued(stuck)]);
        assert!(node.claim(high).unwrap().1, "the channel is on air");
    }

    #[test]
    fn what_costs_more_than_there_is_has_its_turn_all_the_same() {
        let mut node = Admission::new(NODE);
        let (on_air, _) = node.ask(claim(Kind::Channel, 1, 4));
        let (huge, decided) = node.ask(claim(Kind::Transcode, 1, 5000));
        assert_eq!(decided, [Decision::Admitted(huge)]);
        assert!(node.claim(on_air).unwrap().1);
    }

    #[test]
    fn a_transcode_that_waits_holds_up_no_channel_and_nobody_of_its_own_tier() {
        let mut node = Admission::new(NODE);
        node.ask(claim(Kind::Transcode, 2, 120));
        let (stuck, _) = node.ask(claim(Kind::Transcode, 2, 120));
        let (small, decided) = node.ask(claim(Kind::Transcode, 2, 10));
        assert_eq!(decided, [Decision::Admitted(small)]);
        let (lower, decided) = node.ask(claim(Kind::Transcode, 1, 10));
        assert_eq!(
            decided,
            [Decision::Queued(lower)],
            "nobody passes a higher tier"
        );
        let (start, decided) = node.ask(claim(Kind::Channel, 1, 10));
        assert_eq!(decided, [Decision::Admitted(start)]);
        assert_eq!((node.place(stuck), node.place(lower)), (Some(1), Some(2)));
    }
}
