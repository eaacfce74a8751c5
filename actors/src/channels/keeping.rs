//! The actors of the channels: begun, found, told, taken off air, and forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::channel::{Channel, ChannelStatus, Desired};
use playout_domain::ids::{ChannelId, MediaId};
use playout_store::{Airtime, Lease};
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::Channels;
use super::actor::{Args, ChannelActor, Msg, Pen};
use super::handle::{Handle, Snapshot};
use crate::error::OpError;
use crate::library::LibraryFact;
use crate::supervise::{ChildError, ChildSpec};
use crate::tree::CHANNEL;

/// How long a channel may take to go off air when the daemon ends.
const DRAIN: Duration = Duration::from_secs(10);

impl Channels {
    /// Alerts on channels that are off air or not there are over, and whoever watches the daemon's start may
    /// ask how far it is.
    pub(super) fn answer_to_alerts(&self) {
        let alerts = &self.inner.environment.alerts;
        let is_wanted = |channel| {
            let known = self.handles().get(&channel).cloned();
            known.is_some_and(|handle| handle.snapshot().channel.life.desired == Desired::Live)
        };
        alerts.forget_unless(is_wanted, |channel| self.is_quarantined(channel));
        let inner = Arc::downgrade(&self.inner);
        alerts.set_settled(move || {
            inner
                .upgrade()
                .is_some_and(|inner| Self { inner }.are_as_wanted())
        });
    }

    /// Whether every channel that should be live is, be it in ERROR.
    fn are_as_wanted(&self) -> bool {
        self.handles().values().all(|handle| {
            let life = &handle.snapshot().channel.life;
            life.desired == Desired::Stopped
                || matches!(life.status, ChannelStatus::Live | ChannelStatus::Error)
        })
    }

    /// Takes every channel off air; what should be live stays so.
    pub(crate) async fn drain(&self) {
        let ids: Vec<ChannelId> = self.handles().keys().copied().collect();
        let mut leaving = tokio::task::JoinSet::new();
        for id in ids {
            let channels = self.clone();
            leaving.spawn(async move { channels.drain_one(id).await });
        }
        while leaving.join_next().await.is_some() {}
    }

    async fn drain_one(&self, id: ChannelId) {
        let (done, left) = oneshot::channel();
        let Some(actor) = self.actor(id) else { return };
        if actor.cast(Msg::Drain(done)).is_ok()
            && !matches!(tokio::time::timeout(DRAIN, left).await, Ok(Ok(())))
        {
            tracing::warn!(channel = %id, "the channel did not go off air in time");
        }
    }

    /// Gives a channel its handle and its actor; `recorded` says whether the database has it as it is.
    pub(super) async fn open(&self, snapshot: Snapshot, recorded: bool) -> Result<(), OpError> {
        let Channel {
            id,
            client_id,
            ref life,
            ..
        } = snapshot.channel;
        let live = life.desired == Desired::Live;
        self.inner.environment.live.set(id, client_id, live);
        let pen = match recorded {
            true => Pen {
                life: Some(life.clone()),
                airtime: Some(snapshot.airtime.clone()),
                ..Pen::default()
            },
            false => Pen::default(),
        };
        let spool = self.inner.dir.join(id.to_string()).join("spool");
        let lease = self.inner.environment.store.lease(id);
        let lease = lease.unwrap_or_else(Lease::nobodys);
        let handle = Arc::new(Handle::new(snapshot, lease, spool, pen));
        self.inner
            .handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::clone(&handle));
        self.add_actor(&handle).await
    }

    /// Starts the actor of a channel that has none.
    pub(super) async fn add_actor(&self, handle: &Arc<Handle>) -> Result<(), OpError> {
        let id = handle.id;
        let args = Args {
            environment: Arc::clone(&self.inner.environment),
            handle: Arc::clone(handle),
            deleted: self.inner.deleted.clone(),
        };
        let make = move || (ChannelActor, args.clone());
        let spec = ChildSpec::actor(id.to_string(), CHANNEL.restart, CHANNEL.shutdown, make);
        self.inner
            .supervisor
            .add_child(spec)
            .await
            .map_err(OpError::internal)
    }

    /// A channel that was deleted: nothing of it stays in memory.
    pub(super) async fn forget(&self, id: ChannelId) {
        let handle = self
            .inner
            .handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Some(handle) = handle {
            let client = handle.snapshot().channel.client_id;
            self.inner.environment.live.set(id, client, false);
            let library = &self.inner.environment.studio.library;
            library.need(id, &handle.profile(library.font()), &BTreeMap::new());
        }
        match self.inner.supervisor.terminate_child(id.to_string()).await {
            Ok(()) | Err(ChildError::Unknown(_)) => {}
            Err(error) => {
                tracing::warn!(channel = %id, %error, "the actor of a deleted channel stays")
            }
        }
    }

    pub(super) fn actor(&self, id: ChannelId) -> Option<ActorRef<Msg>> {
        self.inner.supervisor.child(&id.to_string())
    }

    pub(super) fn tell_all(&self, fact: &LibraryFact) {
        let ids: Vec<ChannelId> = self.handles().keys().copied().collect();
        for actor in ids.into_iter().filter_map(|id| self.actor(id)) {
            // One that is being restarted reads the library anew.
            let _ = actor.cast(Msg::Library(fact.clone()));
        }
    }

    /// The name of a channel that plays `media`.
    pub(super) fn user_of(&self, media: MediaId) -> Option<String> {
        let uses = |snapshot: &Snapshot| {
            snapshot.channel.config.fallback_video == Some(media)
                || snapshot.airtime.schedule.names(media)
        };
        let now = Timestamp::now();
        let handles = self.handles();
        let user = handles.values().find_map(|handle| {
            let snapshot = handle.snapshot();
            let asked_for = || {
                let Airtime { timeline, plan, .. } = &snapshot.airtime;
                handle.on_air().is_some() && plan.holds(media, timeline.frame_at(now))
            };
            (uses(&snapshot) || asked_for()).then_some(snapshot)
        })?;
        Some(user.channel.config.name.clone())
    }
}
