//! The channels of this daemon: what clients and operators do with them, and what reads answer.
//!
//! Reads come from memory, so they go on while PostgreSQL is away. Changes are serialised per
//! channel by its actor; each is committed with its audit entry before it takes effect.

mod actor;
mod elsewhere;
mod guide;
mod handle;
mod keeping;
mod live;
mod quarantine;
mod take_up;
#[cfg(test)]
mod tests;
mod views;
mod walks;

pub use elsewhere::Looked;
pub use guide::Window;
pub use views::{
    HealthView, HlsMetrics, OnAir, OnAirKind, OutputMetrics, OutputTarget, OutputView,
    OverlayPhase, OverlayView, PlannedView, ProcessView, ProgrammeView, RtmpMetrics, RungView,
    StatusView,
};
pub use walks::Turn;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use playout_domain::channel::Channel;
use playout_domain::config::{ChannelConfig, DestinationEdit};
use playout_domain::ids::{AsRunId, ChannelId, DestinationId, MediaId};
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::logo::Logo;
use playout_domain::overlay::{Font, Overlay};
use playout_domain::plan::Plan;
use playout_domain::schedule::{Edit, Schedule};
use playout_store::{Airtime, Principal, ToAir};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::as_run::Told;
use crate::error::OpError;
use crate::hub::Event as HubEvent;
use crate::library::LibraryFact;
use crate::playout::HlsOutput;
use crate::rtmp::{Validation, validate};
use crate::supervise::Supervisor;
pub(crate) use actor::Environment;
use actor::{Msg, Reply};
use handle::{Handle, Snapshot};
pub(crate) use live::Live;
use quarantine::Quarantine;
use walks::Walks;

/// The channels of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Arc<Environment>,
    /// `channels/` of the data folder.
    dir: PathBuf,
    supervisor: Supervisor,
    handles: RwLock<BTreeMap<ChannelId, Arc<Handle>>>,
    /// Those that are stored damaged.
    quarantine: Quarantine,
    walks: Walks,
    /// Cloned into every actor: says when a channel was deleted.
    deleted: mpsc::UnboundedSender<ChannelId>,
}

impl Channels {
    /// The channels of the store; those that should be live go on air, damaged ones are quarantined.
    pub(crate) async fn start(
        environment: Environment,
        supervisor: Supervisor,
        dir: PathBuf,
        mut library: mpsc::UnboundedReceiver<LibraryFact>,
    ) -> Result<Self, OpError> {
        let (deleted, mut gone) = mpsc::unbounded_channel();
        let (to_air, quarantined) = environment.store.channels_to_air().await?;
        let environment = Arc::new(environment);
        let channels = Self {
            inner: Arc::new(Inner {
                environment,
                dir,
                supervisor,
                handles: RwLock::default(),
                quarantine: Quarantine::default(),
                walks: Walks::default(),
                deleted,
            }),
        };
        for damaged in quarantined {
            channels.quarantine(damaged);
        }
        let mut not_running = Vec::new();
        // Where the node is short, they go on air in this order.
        let tier = |to_air: &ToAir| {
            let client = to_air.stored.channel.client_id;
            let limits = channels.inner.environment.store.known_limits(client);
            limits.map_or(0, |limits| limits.tier)
        };
        let mut to_air = to_air;
        to_air.sort_by_cached_key(|each| Reverse(tier(each)));
        for ToAir { stored, recorded } in to_air {
            let snapshot = Snapshot {
                channel: stored.channel,
                airtime: stored.airtime,
            };
            let id = snapshot.channel.id;
            if let Err(error) = channels.open(snapshot, recorded).await {
                not_running.push((id, error));
            }
        }
        let all = Arc::downgrade(&channels.inner);
        tokio::spawn(async move {
            loop {
                let (fact, deleted) = tokio::select! {
                    Some(fact) = library.recv() => (Some(fact), None),
                    Some(id) = gone.recv() => (None, Some(id)),
                    else => return,
                };
                let Some(inner) = all.upgrade() else { return };
                let channels = Self { inner };
                if let Some(id) = deleted {
                    channels.forget(id).await;
                }
                if let Some(fact) = fact {
                    channels.tell_all(&fact);
                }
            }
        });
        let inner = Arc::downgrade(&channels.inner);
        channels
            .inner
            .environment
            .studio
            .library
            .set_in_use(move |media| {
                inner
                    .upgrade()
                    .and_then(|inner| Self { inner }.user_of(media))
            });
        channels.answer_to_alerts();
        for (id, error) in not_running {
            channels.tell_not_running(id, &error);
        }
        Ok(channels)
    }

    /// Creates a channel, off air.
    ///
    /// # Errors
    /// Every violation; a limit of the plan.
    pub async fn create(&self, who: &Principal, config: &Value) -> Result<Channel, OpError> {
        let Environment {
            store,
            hub,
            studio,
            policy,
            ..
        } = &*self.inner.environment;
        let config = ChannelConfig::parse(config, policy)?;
        actor::check_fallback(&studio.library, who.client, &config, None)?;
        actor::check_logo(&studio.library, who.client, &config, None).await?;
        let now = Timestamp::now();
        let airtime = Airtime {
            timeline: actor::new_timeline(&studio.settings, &config, now),
            plan: Plan::default(),
            schedule: Schedule::default(),
        };
        let channel = Channel {
            id: ChannelId::from(uuid::Uuid::now_v7()),
            client_id: who.client,
            config,
            life: LifeState::default(),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let channel = store.insert_channel(who, &channel, &airtime).await?;
        let snapshot = Snapshot {
            channel: channel.clone(),
            airtime,
        };
        self.open(snapshot, true).await?;
        hub.publish(HubEvent {
            kind: "channel.created",
            client: Some(channel.client_id),
            channel: Some(channel.id),
            data: channel.to_json(now, ""),
        });
        // The slate is ready before the first start wants it.
        let studio = Arc::clone(studio);
        let profile = playout_domain::media::Profile::of(&channel.config, studio.library.font());
        tokio::spawn(async move { drop(studio.slates.get(&profile).await) });
        Ok(channel)
    }

    /// A channel.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn get(&self, who: &Principal, id: ChannelId) -> Result<Channel, OpError> {
        Ok(self.look(who, id).await?.view)
    }

    /// Changes a configuration by JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// Every violation; another version than `if_match`; a change that the state does not allow.
    pub async fn update(
        &self,
        who: &Principal,
        id: ChannelId,
        patch: &Value,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        let (who_too, patch) = (who.clone(), patch.clone());
        self.ask(who, id, |reply| {
            Msg::Update(who_too, patch, if_match, reply)
        })
        .await
    }

    /// The picture of a channel's logo.
    ///
    /// # Errors
    /// There is no such channel, or it has none.
    pub async fn logo(&self, who: &Principal, id: ChannelId) -> Result<Vec<u8>, OpError> {
        let looked = self.look(who, id).await?;
        let none = OpError::NotFound("logo");
        let Some(logo) = looked.config.logo else {
            return Err(none);
        };
        let library = &self.inner.environment.studio.library;
        library.logo_of(looked.client_id, &logo).await?.ok_or(none)
    }

    /// Takes a PNG as a channel's logo, in the place of the one before.
    ///
    /// # Errors
    /// It cannot be drawn; as [`Channels::update`].
    pub async fn put_logo(
        &self,
        who: &Principal,
        id: ChannelId,
        png: Vec<u8>,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        self.here(who, id).await?;
        let client = self.seen(who, id)?.snapshot().channel.client_id;
        let library = &self.inner.environment.studio.library;
        let logo = Logo::new(library.keep_logo(client, png).await?);
        let patch = json!({ "logo": { "sha256": logo.digest() } });
        let channel = self.update(who, id, &patch, if_match).await?;
        library.forget_logos(client).await;
        Ok(channel)
    }

    /// Takes a channel's logo away.
    ///
    /// # Errors
    /// It has none; as [`Channels::update`].
    pub async fn delete_logo(
        &self,
        who: &Principal,
        id: ChannelId,
        if_match: Option<u64>,
    ) -> Result<(), OpError> {
        self.here(who, id).await?;
        let before = self.seen(who, id)?.snapshot().channel.clone();
        if before.config.logo.is_none() {
            return Err(OpError::NotFound("logo"));
        }
        let patch = json!({ "logo": null });
        self.update(who, id, &patch, if_match).await?;
        let library = &self.inner.environment.studio.library;
        library.forget_logos(before.client_id).await;
        Ok(())
    }

    /// Draws this over a channel, in the place of what was drawn before.
    ///
    /// # Errors
    /// Every violation; as [`Channels::update`].
    pub async fn put_overlay(
        &self,
        who: &Principal,
        id: ChannelId,
        overlay: &Value,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        self.here(who, id).await?;
        // It has every field, so that nothing is left of another.
        let patch = json!({ "overlay": Overlay::parse(overlay)? });
        self.update(who, id, &patch, if_match).await
    }

    /// Draws nothing over a channel any more.
    ///
    /// # Errors
    /// There is nothing; as [`Channels::update`].
    pub async fn delete_overlay(
        &self,
        who: &Principal,
        id: ChannelId,
        if_match: Option<u64>,
    ) -> Result<(), OpError> {
        let looked = self.look(who, id).await?;
        if looked.config.overlay.is_none() {
            return Err(OpError::NotFound("overlay"));
        }
        let patch = json!({ "overlay": null });
        self.update(who, id, &patch, if_match).await?;
        Ok(())
    }

    /// Adds, changes or removes one RTMP destination; live, without touching the others.
    ///
    /// # Errors
    /// There is none of that id; every violation; another version than `if_match`; a limit of the plan.
    pub async fn edit_destination(
        &self,
        who: &Principal,
        id: ChannelId,
        edit: DestinationEdit,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        let who_too = who.clone();
        self.ask(who, id, |reply| {
            Msg::EditDestination(who_too, edit, if_match, reply)
        })
        .await
    }

    /// Every platform that is known: where it takes streams and what it asks of them.
    pub fn platforms(&self) -> Vec<serde_json::Value> {
        crate::rtmp::platforms(&self.inner.environment.rtmp.sessions)
    }

    /// Tests a destination: whether its server can be reached and takes the application, and with
    /// `publish` the key.
    ///
    /// # Errors
    /// There is no such destination; its key cannot be read.
    pub async fn validate_destination(
        &self,
        who: &Principal,
        id: ChannelId,
        destination: DestinationId,
        publish: bool,
    ) -> Result<Validation, OpError> {
        let handle = self.here(who, id).await?;
        let Ok(_testing) = handle.testing.try_lock() else {
            return Err(OpError::Conflict {
                state: "testing".into(),
                message: "a destination of this channel is being tested; wait for that to end"
                    .into(),
            });
        };
        let snapshot = handle.snapshot();
        let known = snapshot.channel.config.rtmp_destinations.iter();
        let named = known.clone().find(|known| known.id == Some(destination));
        let named = named.ok_or(OpError::NotFound("destination"))?;
        let Environment { store, rtmp, .. } = &*self.inner.environment;
        let key = match named.stream_key.is_set() && publish {
            true => store.stream_key(destination).await?,
            false => None,
        };
        let profile = playout_domain::Profile::of(&snapshot.channel.config, Font::default());
        Ok(validate(rtmp, named, &profile, key.as_ref(), publish).await)
    }

    /// Deletes a channel that is STOPPED, or quarantined.
    ///
    /// # Errors
    /// Another version than `if_match`; a channel that is not STOPPED.
    pub async fn delete(
        &self,
        who: &Principal,
        id: ChannelId,
        if_match: Option<u64>,
    ) -> Result<(), OpError> {
        if self.inner.quarantine.refusal(who, id).is_some() {
            return self.delete_damaged(who, id, if_match).await;
        }
        let who_too = who.clone();
        self.ask(who, id, |reply| Msg::Delete(who_too, if_match, reply))
            .await?;
        self.forget(id).await;
        Ok(())
    }

    /// Starts, stops, restarts, skips.
    ///
    /// # Errors
    /// A state that does not allow it; a limit of the plan.
    pub async fn operate(
        &self,
        who: &Principal,
        id: ChannelId,
        operation: Operation,
    ) -> Result<Channel, OpError> {
        let who_too = who.clone();
        self.ask(who, id, |reply| Msg::Operate(who_too, operation, reply))
            .await
    }

    /// What it does and what viewers see.
    pub async fn status(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<StatusView>, OpError> {
        let library = &self.inner.environment.studio.library;
        self.look_at(who, id, |handle| handle.status(library)).await
    }

    /// How it does.
    pub async fn health(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<HealthView>, OpError> {
        let health = |handle: &Handle| handle.health(Timestamp::now());
        self.look_at(who, id, health).await
    }

    /// Its FFmpeg processes.
    pub async fn processes(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<Vec<ProcessView>>, OpError> {
        self.look_at(who, id, Handle::processes).await
    }

    /// Its outputs.
    pub async fn outputs(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<Vec<OutputView>>, OpError> {
        let settings = &self.inner.environment.studio.settings;
        self.look_at(who, id, |handle| handle.outputs(settings))
            .await
    }

    /// What its outputs have done.
    pub async fn output_metrics(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<OutputMetrics>, OpError> {
        self.look_at(who, id, Handle::output_metrics).await
    }

    /// Its schedule.
    pub async fn schedule(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Looked<Schedule>, OpError> {
        let schedule = |handle: &Handle| handle.snapshot().airtime.schedule.clone();
        self.look_at(who, id, schedule).await
    }

    /// Edits its schedule; what is on air stays to its end, or to the next slot.
    ///
    /// # Errors
    /// Every violation of the schedule that would be, media that are not there among them; another version than
    /// `if_match`; no such slot.
    pub async fn edit_schedule(
        &self,
        who: &Principal,
        id: ChannelId,
        edit: Edit,
        if_match: Option<u64>,
    ) -> Result<Schedule, OpError> {
        let who_too = who.clone();
        self.ask(who, id, |reply| {
            Msg::EditSchedule(who_too, edit, if_match, reply)
        })
        .await
    }

    /// Plays a media item at once, or else after what is on air, and then goes on where the plan was.
    ///
    /// # Errors
    /// There is no such item; it cannot be played; the channel is not on air.
    pub async fn play(
        &self,
        who: &Principal,
        id: ChannelId,
        media: MediaId,
        at_once: bool,
    ) -> Result<PlannedView, OpError> {
        let who_too = who.clone();
        self.ask(who, id, |reply| Msg::Play(who_too, media, at_once, reply))
            .await
    }

    /// What is planned between two times: whole entries, 1000 at most.
    pub async fn plan(
        &self,
        who: &Principal,
        id: ChannelId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Looked<Vec<PlannedView>>, OpError> {
        let Looked { view, held_by } = self.look_at(who, id, Handle::snapshot).await?;
        let library = self.inner.environment.studio.library.clone();
        let turn = self.turn_to_walk(who).await?;
        let plan = move || view.plan(from, until, |media| library.title(media));
        let view = turn.work(plan).await?;
        Ok(Looked { view, held_by })
    }

    /// What it has aired between two times, and what it has not: in order, what comes after `after`, `limit` entries at most.
    ///
    /// # Errors
    /// There is no such channel; the database is away.
    pub async fn as_run(
        &self,
        who: &Principal,
        id: ChannelId,
        times: (Timestamp, Timestamp),
        after: Option<AsRunId>,
        limit: usize,
    ) -> Result<Looked<Vec<Told>>, OpError> {
        let Looked { held_by, .. } = self.look(who, id).await?;
        let as_run = &self.inner.environment.as_run;
        let view = as_run.entries(id, times, after, limit).await?;
        Ok(Looked { view, held_by })
    }

    /// The HLS output of a channel that is on air with HLS enabled. Never waits.
    pub fn hls(&self, id: ChannelId) -> Option<Arc<HlsOutput>> {
        let handle = self.handles().get(&id).cloned()?;
        // Another daemon may publish by now.
        let output = handle.on_air()?.output?;
        handle.lease.holds().then_some(output)
    }

    /// What a channel is called, for the public page; nothing when there is no such channel.
    pub fn name(&self, id: ChannelId) -> Option<String> {
        Some(
            self.handles()
                .get(&id)?
                .snapshot()
                .channel
                .config
                .name
                .clone(),
        )
    }

    /// What the public page may know of a channel's state.
    pub fn public_status(&self, id: ChannelId) -> Option<StatusView> {
        let handle = self.handles().get(&id).cloned()?;
        Some(handle.status(&self.inner.environment.studio.library))
    }

    /// Asks a channel's actor, and waits for its answer.
    async fn ask<T>(
        &self,
        who: &Principal,
        id: ChannelId,
        order: impl FnOnce(Reply<T>) -> Msg,
    ) -> Result<T, OpError> {
        self.here(who, id).await?;
        // Its actor ends with it.
        let busy = || match self.seen(who, id) {
            Ok(_) => OpError::unavailable("the channel's actor is being restarted"),
            Err(gone) => gone,
        };
        let (reply, answer) = oneshot::channel();
        let actor = self.actor(id).ok_or_else(busy)?;
        actor.cast(order(reply)).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())?
    }

    /// A channel that `who` may see; any other is not there.
    fn seen(&self, who: &Principal, id: ChannelId) -> Result<Arc<Handle>, OpError> {
        let handle = self.handles().get(&id).cloned();
        let seen = handle.filter(|handle| who.sees(handle.snapshot().channel.client_id));
        seen.ok_or_else(|| {
            let damaged = self.inner.quarantine.refusal(who, id);
            damaged.unwrap_or(OpError::NotFound("channel"))
        })
    }

    fn handles(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<ChannelId, Arc<Handle>>> {
        self.inner
            .handles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
