//! Which channels are this daemon's to air and to write about, where several share a database.
//!
//! A channel belongs to one daemon at a time: the one that made it, or took it over when the lease of the one
//! before had run out. Leases are granted by the database, by its own clock, and renewed together. Each holder
//! has a number, the epoch, and every write about a channel asks for it ([`Fence`]).
//!
//! Invariants:
//! - what is written under an earlier epoch changes nothing;
//! - a lease counts here from before its renewal was sent, and ends here no later than in the database;
//! - a daemon that airs on without leases (it is *alone*) has said so in the database before, and is not alone
//!   for itself before it says so there.

mod alone;
mod claims;
mod elsewhere;
mod release;
mod take_over;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use playout_domain::{ChannelId, NodeId};
use serde::Serialize;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Store;
use crate::error::StoreError;
use crate::session::Transaction;

pub(crate) use alone::Alone;
pub(crate) use claims::FIRST_EPOCH;
pub use elsewhere::{Elsewhere, NodeView};
pub use release::{Released, release};
pub use take_over::Abandoned;

/// Who this daemon is among those that share the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeConfig {
    /// Its id, the same at every start.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where it is reached, for those who ask another daemon for its channels.
    pub url: Option<String>,
    /// How long its leases run; they are renewed three times in that.
    #[serde(skip)]
    pub lease: Duration,
}

impl NodeConfig {
    /// A daemon that nobody knows yet, with leases of 20 s.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            id: NodeId::from(Uuid::now_v7()),
            name: name.into(),
            url: None,
            lease: Duration::from_secs(20),
        }
    }
}

/// Until when everything that this daemon holds is its own, by a clock that runs while the machine sleeps.
#[derive(Debug, Default)]
struct Term {
    /// Milliseconds of [`elapsed`].
    until: AtomicU64,
    /// It knows of no other daemon, and airs on when its leases have run out.
    alone: AtomicBool,
}

impl Term {
    fn runs(&self) -> bool {
        self.alone.load(Ordering::Acquire) || self.left() > Duration::ZERO
    }

    fn left(&self) -> Duration {
        let until = self.until.load(Ordering::Acquire);
        Duration::from_millis(until.saturating_sub(elapsed()))
    }
}

/// One channel that this daemon holds, or held.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Held>);

#[derive(Debug)]
struct Held {
    epoch: AtomicI64,
    /// Another daemon has it, or it was given up.
    lost: AtomicBool,
    /// When it was taken from another daemon, the last time.
    taken: Mutex<Option<Timestamp>>,
    term: Arc<Term>,
}

impl Lease {
    /// Whether the channel may be aired now. Never waits; asked before anything is published.
    pub fn holds(&self) -> bool {
        !self.0.lost.load(Ordering::Acquire) && self.0.term.runs()
    }

    /// Returns when the channel may be aired: at once, or when its lease was renewed. Never, once it is lost.
    pub async fn until_held(&self) {
        while !self.holds() {
            if self.0.lost.load(Ordering::Acquire) {
                return std::future::pending().await;
            }
            tokio::time::sleep(LOOKED_AT).await;
        }
    }

    /// Whether another daemon has aired the channel before: what this one has of it from earlier may be old.
    pub fn was_taken(&self) -> bool {
        self.taken_at().is_some()
    }

    /// Of a channel that this daemon only looks at.
    pub fn nobodys() -> Self {
        Self(Arc::new(Held {
            epoch: AtomicI64::new(NOT_HELD),
            lost: AtomicBool::new(true),
            taken: Mutex::default(),
            term: Arc::default(),
        }))
    }

    /// When another daemon's channel became this one's, the last time.
    pub fn taken_at(&self) -> Option<Timestamp> {
        *self.0.taken()
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    fn give_up(&self) {
        self.0.lost.store(true, Ordering::Release);
    }
}

impl Held {
    fn taken(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often it is looked whether a lease that ran out was renewed.
const LOOKED_AT: Duration = Duration::from_millis(250);

/// So much of a lease counts here: clocks do not run alike.
const COUNTED: f64 = 0.95;

/// What this daemon holds. See the module's head.
#[derive(Debug)]
pub(crate) struct Leases {
    node: NodeConfig,
    term: Arc<Term>,
    alone: Alone,
    held: Mutex<HashMap<ChannelId, Lease>>,
    /// Lost, and not asked for yet by whoever has to let go of them.
    lost: Mutex<Vec<ChannelId>>,
    /// Told when something was lost.
    losing: Notify,
    /// Read by who makes a channel, written by who claims: what is being made is not claimed.
    claiming: tokio::sync::RwLock<()>,
    /// The last renewal was granted.
    granted: AtomicBool,
    /// The last renewal, and the one before it, were granted: others have had the time to renew as well.
    settled: AtomicBool,
    /// Whether others hold channels, or were there when it was looked last.
    shared: AtomicBool,
    /// What keeps this daemon from taking over channels whose lease has run out, as it was told last.
    told: RwLock<Vec<NodeId>>,
    watched: Mutex<take_over::Watched>,
    /// That it is alone could not be noted on disk the last time.
    not_noted: AtomicBool,
    /// What keeps this daemon from being alone, as it was told last.
    other: Mutex<Option<NodeId>>,
}

impl Leases {
    pub(crate) fn new(node: NodeConfig, alone: Alone) -> Self {
        Self {
            node,
            term: Arc::default(),
            alone,
            held: Mutex::default(),
            lost: Mutex::default(),
            losing: Notify::new(),
            claiming: tokio::sync::RwLock::default(),
            granted: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            watched: Mutex::default(),
            not_noted: AtomicBool::new(false),
            other: Mutex::default(),
            shared: AtomicBool::new(true),
            told: RwLock::default(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node.id
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ChannelId, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a channel is this daemon's. One that is known stays the same lease, under the latest epoch that
    /// was ever heard of: a copy, or a database that was restored, may know an earlier one.
    fn hold(&self, id: ChannelId, epoch: i64, taken: Option<Timestamp>) {
        let mut held = self.held();
        if let Some(lease) = held.get(&id) {
            lease.0.epoch.fetch_max(epoch, Ordering::AcqRel);
            let mut known = lease.0.taken();
            *known = taken.max(*known);
            return;
        }
        held.insert(id, self.lease(epoch, taken));
    }

    /// The database has a channel that is held under this epoch.
    fn raise(&self, id: ChannelId, epoch: i64) {
        if let Some(lease) = self.held().get(&id) {
            lease.0.epoch.fetch_max(epoch, Ordering::AcqRel);
        }
    }

    /// From now on a lease runs that was asked for at `sent`, milliseconds of [`elapsed`].
    fn count(&self, sent: u64) {
        let counted = self.node.lease.mul_f64(COUNTED).as_millis();
        let until = sent + u64::try_from(counted).unwrap_or_default();
        self.term.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Notes that a channel was taken from another daemon: whatever was held of it before ends.
    fn take(&self, id: ChannelId, epoch: i64, at: Timestamp) {
        let taken = self.lease(epoch, Some(at));
        if let Some(before) = self.held().insert(id, taken) {
            before.give_up();
        }
    }

    fn lease(&self, epoch: i64, taken: Option<Timestamp>) -> Lease {
        Lease(Arc::new(Held {
            epoch: AtomicI64::new(epoch),
            lost: AtomicBool::new(false),
            taken: Mutex::new(taken),
            term: Arc::clone(&self.term),
        }))
    }

    /// Logs who keeps this daemon from being alone, when that changes.
    fn tell_other(&self, other: Option<(NodeId, String)>) {
        let mut told = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, other.as_ref().map(|(id, _)| *id));
        if let Some((id, name)) = other.filter(|(id, _)| before != Some(*id)) {
            tracing::info!(
                node = name, %id,
                "this node is on the database, or was alone and may still air its channels: this daemon is not alone"
            );
        }
    }

    /// The channels that are held, and under which epochs.
    fn all(&self) -> Vec<(ChannelId, i64)> {
        let held = self.held();
        let all = held.iter().map(|(id, lease)| (*id, lease.epoch()));
        all.collect()
    }

    /// A channel is not this daemon's any more, if it still is by `epoch`.
    fn lose(&self, id: ChannelId, epoch: i64) {
        let mut held = self.held();
        if held.get(&id).is_some_and(|lease| lease.epoch() == epoch)
            && let Some(lease) = held.remove(&id)
        {
            lease.give_up();
            drop(held);
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.push(id);
            self.losing.notify_one();
        }
    }
}

impl Store {
    /// Who this daemon is.
    pub fn node(&self) -> &NodeConfig {
        &self.0.leases.node
    }

    /// The lease of a channel that this daemon holds.
    pub fn lease(&self, id: ChannelId) -> Option<Lease> {
        self.0.leases.held().get(&id).cloned()
    }

    /// Whether this daemon knows of no other: its channels are all there are, and go on without leases.
    pub fn is_alone(&self) -> bool {
        self.0.leases.term.alone.load(Ordering::Acquire)
    }

    /// Whether there may be channels that other daemons hold.
    pub fn shares_channels(&self) -> bool {
        !self.is_alone() || self.0.leases.shared.load(Ordering::Acquire)
    }

    /// Returns when a channel was lost, or, where this daemon is not alone, when its leases have run out.
    pub async fn until_lost(&self) {
        let leases = &self.0.leases;
        loop {
            let none = leases.held().is_empty();
            let left = match leases.term.alone.load(Ordering::Acquire) || none {
                true => Duration::from_secs(1),
                false => leases.term.left(),
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = leases.losing.notified() => return,
                () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
            }
        }
    }

    /// The channels that were lost since this was last asked: they have to leave the air. Where the leases have
    /// run out, these are all.
    pub fn take_lost(&self) -> Vec<ChannelId> {
        let leases = &self.0.leases;
        if !leases.term.runs() {
            for (id, epoch) in leases.all() {
                leases.lose(id, epoch);
            }
        }
        let mut lost = leases.lost.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lost)
    }

    /// What a write about a channel has to ask for.
    pub(crate) fn fence(&self, id: ChannelId) -> Fence {
        let lease = self.lease(id);
        Fence {
            channel: id,
            node: self.0.leases.node.id,
            epoch: lease.map_or(NOT_HELD, |lease| lease.epoch()),
        }
    }

    /// Notes what a write about a channel came to: one that another daemon holds is lost.
    pub(crate) fn fenced<T>(
        &self,
        fence: Fence,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if matches!(done, Err(StoreError::LeaseLost)) {
            self.0.leases.lose(fence.channel, fence.epoch);
        }
        done
    }
}

/// No channel has this epoch.
const NOT_HELD: i64 = -1;

/// Under which epoch a daemon writes about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) channel: ChannelId,
    node: NodeId,
    epoch: i64,
}

impl Fence {
    /// Holds the row of a channel until the transaction ends, if it is this daemon's. A database that was restored
    /// may know an earlier epoch; nobody else writes this daemon's id.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when another holds it; [`StoreError::NotFound`]; [`StoreError::Unavailable`] when
    /// this daemon has meanwhile got a later epoch: with that it may be tried again.
    pub(crate) async fn hold(self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let sql = "SELECT node IS NOT DISTINCT FROM $2, epoch FROM channels WHERE id = $1 FOR NO KEY UPDATE";
        let row = tx
            .query_opt(sql, &[&self.channel.uuid(), &self.node.uuid()])
            .await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let (ours, epoch): (bool, i64) = (row.try_get(0)?, row.try_get(1)?);
        match ours && self.epoch != NOT_HELD {
            true if epoch <= self.epoch => Ok(()),
            true => Err(StoreError::busy("the channel's lease is under a new epoch")),
            false => Err(StoreError::LeaseLost),
        }
    }
}

/// Milliseconds of a clock that nobody sets and that runs while the machine sleeps.
fn elapsed() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    // A clock that does not answer has run out.
    now.map_or(u64::MAX, |now| {
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    })
}
