//! Who goes on air, and who is transcoded while it plays, on this node: what [`playout_domain::admission`] decides, performed
//! and told.
//!
//! A [`Place`] holds or waits, and is given back when it is dropped. Whoever has to wait, goes on after waiting, or gives way is
//! in the audit of its client, and has an alert for as long as it waits.

mod costs;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playout_domain::admission::{Admission, Claim, ClaimId, Cost, Decision, Kind};
use playout_domain::media::Profile;
use playout_domain::{ChannelId, ClientId};
use tokio::sync::watch;

use self::costs::Measured;
use self::told::{Decided, Teller, What};
use crate::alerts::ErrorHandler;
use crate::decisions::Decisions;

/// Whose claim it is.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    pub(crate) channel: ChannelId,
    pub(crate) client: ClientId,
    /// What the channel is called.
    pub(crate) name: String,
    /// The tier of its client's plan.
    pub(crate) tier: u32,
}

/// The claims on this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admissions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Nobody is told in tests of what places are for.
    teller: Option<Teller>,
}

#[derive(Debug)]
struct State {
    node: Admission,
    claims: HashMap<ClaimId, Standing>,
    measured: Measured,
}

#[derive(Debug)]
struct Standing {
    claimant: Claimant,
    /// Whether it holds.
    held: watch::Sender<bool>,
    /// It waited, or gave way: what becomes of it is told.
    told: bool,
}

/// What is known of a claim that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose.
    pub channel: ChannelId,
    /// The tier of its client's plan.
    pub tier: u32,
    /// What for.
    pub kind: Kind,
    /// Its place among those of its kind, from 1.
    pub place: usize,
}

/// How a node is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    /// What there is for channels.
    pub capacity: Cost,
    /// What is taken.
    pub used: Cost,
    /// What a copy costs, as it was measured.
    pub copy: Cost,
    /// What a transcode costs for a million pixels a second, in thousandths of a core.
    pub per_megapixel: u32,
    /// Who waits, in their order.
    pub waiting: Vec<Waiting>,
}

/// A claim that holds or waits; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Place {
    id: ClaimId,
    held: watch::Receiver<bool>,
    admissions: Admissions,
}

impl Place {
    /// Whether it holds.
    pub(crate) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Its place among those of its kind that wait, from 1; nothing when it holds.
    pub(crate) fn waits_at(&self) -> Option<usize> {
        self.admissions.lock().node.place(self.id)
    }

    /// Hears when that changes.
    pub(crate) fn listen(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admissions.release(self.id);
    }
}

/// What claims the places of one channel's transcodes.
#[derive(Debug, Clone)]
pub(crate) struct Transcodes {
    pub(crate) admissions: Admissions,
    pub(crate) claimant: Claimant,
}

impl Transcodes {
    /// Of a channel on a node with room for all.
    #[cfg(test)]
    pub(crate) fn everywhere() -> Self {
        let most = Cost {
            cpu: u32::MAX,
            memory: u64::MAX,
        };
        Self {
            admissions: Admissions::untold(most),
            claimant: Claimant {
                channel: ChannelId::from(uuid::Uuid::nil()),
                client: ClientId::from(uuid::Uuid::nil()),
                name: "a channel".to_owned(),
                tier: 0,
            },
        }
    }

    /// A place to transcode into `profile` while it plays.
    pub(crate) fn claim(&self, profile: &Profile) -> Place {
        self.admissions.transcode(self.claimant.clone(), profile)
    }
}

impl Admissions {
    /// Of a node with so much for channels; what is decided goes to `decisions` and is told by `alerts`.
    pub(crate) fn new(capacity: Cost, decisions: Decisions, alerts: ErrorHandler) -> Self {
        let made = Self::deciding(capacity, Some(Teller { decisions, alerts }));
        made.close_old_alerts();
        made
    }

    /// Closes alerts on claims that an earlier run of the daemon had, and this one has not.
    fn close_old_alerts(&self) {
        let Some(teller) = &self.0.teller else { return };
        let state = self.lock();
        teller.close_unless(|channel, kind| {
            let mut waiting = state.node.waiting();
            waiting.any(|(_, claim)| claim.channel == channel && claim.kind == kind)
        });
    }

    /// The same, told to nobody.
    #[cfg(test)]
    pub(crate) fn untold(capacity: Cost) -> Self {
        Self::deciding(capacity, None)
    }

    fn deciding(capacity: Cost, teller: Option<Teller>) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                node: Admission::new(capacity),
                claims: HashMap::new(),
                measured: Measured::default(),
            }),
            teller,
        }))
    }

    /// A channel wants to be on air.
    pub(crate) fn channel(&self, claimant: Claimant) -> Place {
        let cost = self.lock().measured.copy();
        self.ask(claimant, Kind::Channel, cost)
    }

    /// A channel wants to play what is not prepared.
    pub(crate) fn transcode(&self, claimant: Claimant, profile: &Profile) -> Place {
        let cost = self.lock().measured.transcode(profile);
        self.ask(claimant, Kind::Transcode, cost)
    }

    /// A copy took so much of a core, and so many bytes.
    pub(crate) fn measured_copy(&self, cpu: f64, memory: u64) {
        self.lock().measured.copied(cpu, memory);
    }

    /// A transcode into `profile` took so much of a core, and so many bytes.
    pub(crate) fn measured_transcode(&self, profile: &Profile, cpu: f64, memory: u64) {
        self.lock().measured.transcoded(profile, cpu, memory);
    }

    /// How the node is taken.
    pub fn occupancy(&self) -> Occupancy {
        let state = self.lock();
        let waiting = state.node.waiting().map(|(id, claim)| Waiting {
            channel: claim.channel,
            tier: claim.tier,
            kind: claim.kind,
            place: state.node.place(id).unwrap_or_default(),
        });
        Occupancy {
            capacity: state.node.capacity(),
            used: state.node.used(),
            copy: state.measured.copy(),
            per_megapixel: state.measured.per_megapixel(),
            waiting: waiting.collect(),
        }
    }

    fn ask(&self, claimant: Claimant, kind: Kind, cost: Cost) -> Place {
        let mut state = self.lock();
        let (id, decisions) = state.node.ask(Claim {
            channel: claimant.channel,
            tier: claimant.tier,
            kind,
            cost,
        });
        let (held, listens) = watch::channel(false);
        let standing = Standing {
            claimant,
            held,
            told: false,
        };
        state.claims.insert(id, standing);
        self.perform(&mut state, &decisions);
        Place {
            id,
            held: listens,
            admissions: self.clone(),
        }
    }

    fn release(&self, id: ClaimId) {
        let mut state = self.lock();
        let kind = state.node.claim(id).map(|(claim, _)| claim.kind);
        let decisions = state.node.release(id);
        if let (Some(standing), Some(kind)) = (state.claims.remove(&id), kind)
            && standing.told
        {
            self.decided(standing.claimant, kind, What::Left);
        }
        self.perform(&mut state, &decisions);
    }

    fn perform(&self, state: &mut State, decisions: &[Decision]) {
        for decision in decisions {
            let (id, held) = match *decision {
                Decision::Admitted(id) => (id, true),
                Decision::Queued(id) | Decision::Displaced { id, .. } => (id, false),
            };
            let taker = match *decision {
                Decision::Displaced { to, .. } => state.node.claim(to).map(|(claim, _)| claim),
                _ => None,
            };
            let (Some((claim, _)), place) = (state.node.claim(id), state.node.place(id)) else {
                continue;
            };
            let Some(standing) = state.claims.get_mut(&id) else {
                continue;
            };
            standing.held.send_replace(held);
            let what = match (decision, taker) {
                (Decision::Admitted(_), _) if !standing.told => {
                    if let Some(teller) = &self.0.teller {
                        teller.has_place(claim.channel, claim.kind);
                    }
                    continue;
                }
                (Decision::Admitted(_), _) => What::GoesOn,
                (Decision::Displaced { .. }, Some(taker)) => What::GaveWay {
                    to: taker.channel,
                    tier: taker.tier,
                },
                _ => What::Waits {
                    place: place.unwrap_or(1),
                },
            };
            standing.told = !held;
            self.decided(standing.claimant.clone(), claim.kind, what);
        }
    }

    fn decided(&self, claimant: Claimant, kind: Kind, what: What) {
        tracing::info!(channel = %claimant.channel, tier = claimant.tier, ?kind, ?what, "the node is short");
        if let Some(teller) = &self.0.teller {
            teller.tell(&Decided {
                claimant,
                kind,
                what,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
