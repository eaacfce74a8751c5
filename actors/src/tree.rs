//! Everything that lives, as one table: who is whose child, when it is restarted, how long it may
//! take to stop, and how many failures are too many. Spawn, shutdown and the drawing in the docs
//! read this table.
//!
//! ```text
//! root                 one_for_one, 5 restarts in 60 s, then the daemon ends; stopped from the bottom
//! ├─ store guard       tells whether PostgreSQL and Redis work
//! ├─ leases            which channels are this daemon's: renewed, lost, taken over
//! ├─ integrity         exports the audit's heads, follows the audit once after a start
//! ├─ drain             heartbeats from Redis to PostgreSQL, in batches
//! ├─ heartbeats        to Redis at once; straight to PostgreSQL without it
//! ├─ hot copy          latest heartbeats to Redis
//! ├─ webhooks          what happens: written down, told to whoever asked for it
//! ├─ alerts            what fails: written, told by webhook and mail; the history of channels
//! ├─ decisions         what the daemon decides by itself: into the audit
//! ├─ as-run            what really went out: written in batches, deleted when it is old
//! ├─ disk              room on the disk: removes spool, pauses preparing, tells
//! ├─ library           the prepare queue: one FFmpeg each, bounded, lowest priority
//! ├─ plans             keeps clients within their plans: tells, and takes off air after the grace
//! ├─ arrivals          files on their way into the library: what is fetched, watched, left over
//! └─ channels          one_for_one, dynamic, stopped together
//!     └─ channel …     10 restarts in 300 s, then parked and tried every 60 s; never a sibling's harm
//! ```
//!
//! A child is restarted alone because none holds what another needs to go on: reports, alerts and what went out wait in
//! memory, the library answers from memory, a channel's truth is in the store. Stopping goes from
//! the bottom: channels first, so that what they report last is still written.
//!
//! Restarts multiply through levels: a channel's failures end in its own parking and never reach
//! the root. So the daemon ends by supervision only after six failures of its own loops in a
//! minute.

use std::future::Future;
use std::time::Duration;

use playout_domain::backoff::{BUDGET_FAILURES, BUDGET_TIME, SLOW_RETRY};
use ractor::Actor;

use crate::alerts::ErrorHandler;
use crate::as_run::AsRun;
use crate::decisions::Decisions;
use crate::disk::Disk;
use crate::integrity::Integrity;
use crate::library::Library;
use crate::supervise::{
    ChildError, ChildSpec, Intensity, OnExhaustion, Policy, Restart, StopOrder, Stopping, Strategy,
    Supervisor,
};
use crate::telemetry::Telemetry;
use crate::webhooks::Webhooks;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name among its siblings.
    pub name: &'static str,
    /// When it is started again.
    pub restart: Restart,
    /// How long it may take to stop; then it is killed.
    pub shutdown: Duration,
}

/// What everything hangs on.
pub const ROOT: Row = permanent("root", 65);
/// How the children of the root are kept.
pub const ROOT_POLICY: Policy = Policy {
    strategy: Strategy::OneForOne,
    intensity: Intensity {
        restarts: 5,
        within: Duration::from_secs(60),
    },
    on_exhaustion: OnExhaustion::Escalate,
    order: StopOrder::Reversed,
};

/// Tells whether the stores work.
pub const STORE_GUARD: Row = permanent("store guard", 2);
/// Keeps leases: it goes on until the channels have left the air.
pub const LEASES: Row = permanent("leases", 2);
/// Watches over what is kept; it stops after all who write, so that everything done is in what it exports.
pub const INTEGRITY: Row = permanent("integrity", 5);
/// Heartbeats from Redis to PostgreSQL. It ends after the one that brings them to Redis.
pub const DRAIN: Row = permanent("drain", 5);
/// Heartbeats to Redis, or straight to PostgreSQL.
pub const HEARTBEATS: Row = permanent("heartbeats", 5);
/// Latest heartbeats to Redis.
pub const HOT_COPY: Row = permanent("hot copy", 2);
/// What happens. It ends after those who tell of it, so that what they tell last is written.
pub const WEBHOOKS: Row = permanent("webhooks", 2);
/// What fails.
pub const ALERTS: Row = permanent("alerts", 5);
/// What is decided. It ends after the channels about which that is.
pub const DECISIONS: Row = permanent("decisions", 2);
/// What went out. It ends after the channels that tell it.
pub const AS_RUN: Row = permanent("as-run", 4);
/// Room on the disk. It ends after the queue that it pauses.
pub const DISK: Row = permanent("disk", 1);
/// The prepare queue.
pub const LIBRARY: Row = permanent("library", 5);

/// Keeps clients within their plans.
pub const PLANS: Row = permanent("plans", 2);

/// What is on its way into the library.
pub const ARRIVALS: Row = permanent("arrivals", 2);

/// The channels.
pub const CHANNELS: Row = permanent("channels", 20);
/// How channels are kept.
pub const CHANNELS_POLICY: Policy = Policy {
    strategy: Strategy::OneForOne,
    intensity: Intensity {
        restarts: BUDGET_FAILURES,
        within: BUDGET_TIME,
    },
    on_exhaustion: OnExhaustion::Park { retry: SLOW_RETRY },
    order: StopOrder::Together,
};

/// One channel, named by its id.
pub const CHANNEL: Row = permanent("channel", 15);

/// The children of the root, in the order in which they are started.
pub const TABLE: [Row; 15] = [
    STORE_GUARD,
    LEASES,
    INTEGRITY,
    DRAIN,
    HEARTBEATS,
    HOT_COPY,
    WEBHOOKS,
    ALERTS,
    DECISIONS,
    AS_RUN,
    DISK,
    LIBRARY,
    PLANS,
    ARRIVALS,
    CHANNELS,
];

const fn permanent(name: &'static str, shutdown: u64) -> Row {
    Row {
        name,
        restart: Restart::Permanent,
        shutdown: Duration::from_secs(shutdown),
    }
}

impl Row {
    /// An actor as this row says, under a name of its own where there are several: `make` makes it
    /// and its arguments, anew for each start.
    pub fn actor<A: Actor>(
        &self,
        name: impl Into<String>,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::actor(name, self.restart, self.shutdown, make)
    }

    /// A loop as this row says.
    pub fn task<F>(&self, make: impl Fn(Stopping) -> F + Send + Sync + 'static) -> ChildSpec
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        ChildSpec::task(self.name, self.restart, self.shutdown, make)
    }
}

/// The tree as it lives.
#[derive(Clone)]
pub struct Tree {
    /// What everything hangs on.
    pub root: Supervisor,
    /// Where channels are added and removed.
    pub channels: Supervisor,
}

impl Tree {
    /// Starts everything that the table names; channels come later.
    ///
    /// # Errors
    /// What did not start.
    #[allow(clippy::too_many_arguments, reason = "everything that lives")]
    pub async fn grow(
        stores: ChildSpec,
        leases: ChildSpec,
        integrity: &Integrity,
        telemetry: &Telemetry,
        webhooks: &Webhooks,
        alerts: &ErrorHandler,
        decisions: &Decisions,
        as_run: &AsRun,
        disk: &Disk,
        library: &Library,
        plans: ChildSpec,
    ) -> Result<Self, ChildError> {
        let channels = Supervisor::planned(CHANNELS.name, CHANNELS_POLICY, Vec::new());
        let mut children = vec![stores, leases, integrity.child()];
        children.extend(telemetry.children());
        children.push(webhooks.child());
        children.push(alerts.child());
        children.push(decisions.child());
        children.push(as_run.child());
        children.push(disk.child());
        children.push(library.child());
        children.push(plans);
        children.push(library.arrivals());
        children.push(channels.as_child(CHANNELS.restart, CHANNELS.shutdown));
        debug_assert!(
            children
                .iter()
                .map(|child| &*child.name)
                .eq(TABLE.iter().map(|row| row.name))
        );
        let root = Supervisor::spawn(ROOT.name, ROOT_POLICY, children).await?;
        Ok(Self { root, channels })
    }

    /// Stops everything, from the bottom of the table to its top, in bounded time.
    pub async fn stop(&self) {
        self.root.stop().await;
    }

    /// Returns when the tree has ended by itself: its root has given up, and the daemon should end.
    pub async fn ended(&self) {
        self.root.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_has_the_time_that_its_children_may_take() {
        let children: Duration = TABLE.iter().map(|row| row.shutdown).sum();
        assert!(ROOT.shutdown >= children, "{children:?}");
        assert!(CHANNELS.shutdown > CHANNEL.shutdown);
    }

    #[test]
    fn the_drawing_shows_the_table() {
        let source = include_str!("tree.rs");
        let drawn: Vec<&str> = source
            .lines()
            .filter_map(|line| {
                line.strip_prefix("//! ├─ ")
                    .or_else(|| line.strip_prefix("//! └─ "))
            })
            .filter_map(|line| line.split("  ").next())
            .collect();
        assert!(
            drawn.iter().eq(TABLE.iter().map(|row| &row.name)),
            "{drawn:?}"
        );
    }
}
