//! The channel's actor: takes orders and facts one at a time, asks the state machine what follows, and
//! does it. What must survive is committed before it takes effect.
//!
//! It owns the playout; when the actor ends, however it ends, the playout ends with it.
//! What happens by itself is written down beside it ([`recorder`]): a fact never waits for a database.

mod as_run;
mod changes;
mod needs;
mod orders;
mod outputs;
mod places;
mod planning;
mod recorder;
mod recovery;
mod settle;
mod take_up;

pub(super) use changes::{check_fallback, check_logo};
pub(super) use planning::new_timeline;
pub(crate) use recorder::Pen;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::as_run::Reason;
use playout_domain::backoff::{self, Chance};
use playout_domain::channel::{Channel, ChannelStatus};
use playout_domain::config::{DestinationEdit, Policy, RecoverySettings};
use playout_domain::health::{self, Beats};
use playout_domain::ids::MediaId;
use playout_domain::lifecycle::{Effect, Event, Generation, Lifecycle, Operation};
use playout_domain::media::Profile;
use playout_domain::plan::PlanEntry;
use playout_domain::schedule::{Edit, Schedule};
use playout_domain::units::Frame;
use playout_store::{Heartbeat, Principal, ProcessBeat, Store};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use planning::programme;
use recovery::Airing;

use super::PlannedView;
use super::handle::{Handle, OnAirNow, Snapshot};
use super::live::Live;
use crate::admission::Admissions;
use crate::alerts::ErrorHandler;
use crate::as_run::AsRun;
use crate::decisions::Decisions;
use crate::error::OpError;
use crate::hub::{Event as HubEvent, Hub, kind};
use crate::library::LibraryFact;
use crate::playout::{Fact, Facts, HlsOutput, Playout, Setup, Studio, View};
use crate::process::Sampled;
use crate::rtmp::{Outputs, RtmpSettings};
use crate::telemetry::Telemetry;

/// After this long an item that was given up is tried again.
const FORGIVE: Duration = Duration::from_secs(600);
/// The same, where nothing else is left to play.
const FORGIVE_ALL: Duration = Duration::from_secs(60);

/// Answers an order.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, OpError>>;

/// An order or a fact.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Start, stop, restart, skip.
    Operate(Principal, Operation, Reply<Channel>),
    /// Change the configuration by merge patch.
    Update(Principal, Value, Option<u64>, Reply<Channel>),
    /// Add, change or remove one RTMP destination.
    EditDestination(Principal, DestinationEdit, Option<u64>, Reply<Channel>),
    /// Edit the schedule.
    EditSchedule(Principal, Edit, Option<u64>, Reply<Schedule>),
    /// Play a media item: at once, or else next.
    Play(Principal, MediaId, bool, Reply<PlannedView>),
    /// Delete the channel; whoever keeps the actors is told, and ends this one.
    Delete(Principal, Option<u64>, Reply<()>),
    /// Off air; what should be live stays so.
    Drain(oneshot::Sender<()>),
    /// A playout says.
    Told(Generation, Fact),
    /// The delay before another playout is over.
    RetryDue(Generation),
    /// The library says.
    Library(LibraryFact),
    /// Time to try again what was given up.
    Forgive,
    /// Time for a heartbeat.
    Beat,
    /// What the database has of a channel that was put on air without it lies with its handle.
    TakeUp(oneshot::Sender<()>),
    /// There is a place on the node.
    Placed,
    /// A change was given up before it was known what became of it: time to find out.
    Settle,
}

/// What every channel's actor works with.
pub(crate) struct Environment {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) telemetry: Telemetry,
    pub(crate) alerts: ErrorHandler,
    pub(crate) as_run: AsRun,
    pub(crate) studio: Arc<Studio>,
    pub(crate) policy: Policy,
    pub(crate) live: Live,
    pub(crate) rtmp: RtmpSettings,
    pub(crate) admissions: Admissions,
    pub(crate) decisions: Decisions,
}

/// The actor's behaviour.
pub(crate) struct ChannelActor;

/// What an actor is started with; the same again when it is restarted.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) environment: Arc<Environment>,
    pub(crate) handle: Arc<Handle>,
    /// Told when the channel was deleted.
    pub(crate) deleted: mpsc::UnboundedSender<playout_domain::ids::ChannelId>,
}

/// What the actor keeps.
pub(crate) struct Room {
    args: Args,
    life: Lifecycle,
    playout: Option<Playout>,
    /// Where the channel is pushed to.
    outputs: Outputs,
    /// The playout speaks into this; the other end is forwarded to the mailbox.
    facts: mpsc::UnboundedSender<(Generation, Fact)>,
    /// Items that failed twice at one place: passed over until they are forgiven.
    faulty: HashSet<MediaId>,
    /// What viewers see, for who wants to know whether it came through.
    airing: Airing,
    /// When it tells how it is doing.
    beats: Beats<Instant>,
    /// Writes down what happens; ends with the actor. Nothing before the room is ready.
    recorder: Option<AbortHandle>,
    /// Who has given the order that is being performed.
    orderer: Option<String>,
    /// The frame from which the library is to be told anew what is needed.
    needs_until: Option<Frame>,
    /// Entries of the schedule that show nothing, as they were told last.
    beyond: Option<Vec<String>>,
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(recorder) = &self.recorder {
            recorder.abort();
        }
    }
}

impl Actor for ChannelActor {
    type Msg = Msg;
    type State = Room;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<Room, ActorProcessingErr> {
        let (facts, mut told) = mpsc::unbounded_channel();
        let mailbox = me.clone();
        tokio::spawn(async move {
            while let Some((generation, fact)) = told.recv().await {
                if mailbox.cast(Msg::Told(generation, fact)).is_err() {
                    return;
                }
            }
        });
        let snapshot = args.handle.snapshot();
        let last_seen = last_seen(&args, &snapshot).await;
        let interval = snapshot.channel.config.recovery.health_check_interval;
        let mut room = Room {
            life: Lifecycle::from(snapshot.channel.life.clone()),
            args,
            playout: None,
            outputs: Outputs::default(),
            facts,
            faulty: HashSet::new(),
            airing: Airing::default(),
            beats: Beats::starting(Instant::now(), interval),
            recorder: None,
            orderer: None,
            needs_until: None,
            beyond: None,
        };
        room.life.recover_by(room.recovery());
        room.tell_needs();
        room.follow(&me, Event::Booted { last_seen }).await;
        // What was passed over when its predecessor ended has another chance, and lengths may be others.
        room.replan().await;
        // Left there while this actor's predecessor was down.
        if let Some(stored) = room.args.handle.take_left() {
            room.take_up(&me, stored).await;
        }
        let (store, handle) = (room.args.environment.store.clone(), &room.args.handle);
        let recorder = recorder::record(store, Arc::clone(handle), me.clone());
        room.recorder = Some(tokio::spawn(recorder).abort_handle());
        room.beat_later(&me);
        Ok(room)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        room: &mut Room,
    ) -> Result<(), ActorProcessingErr> {
        // Whoever asked may have left; the answer is then of no use.
        match msg {
            Msg::Operate(who, operation, reply) => {
                let done = match room.settle(&me).await {
                    Err(error @ OpError::NotFound(_)) => Err(error),
                    // An order does not ask what the channel is.
                    Ok(()) | Err(_) => room.operate(&me, &who, operation).await,
                };
                drop(reply.send(done));
            }
            Msg::Update(who, patch, if_match, reply) => {
                let done = match room.settle(&me).await {
                    Ok(()) => room.update(&who, &patch, if_match).await,
                    Err(error) => Err(error),
                };
                drop(reply.send(done));
            }
            Msg::EditDestination(who, edit, if_match, reply) => {
                let done = match room.settle(&me).await {
                    Ok(()) => room.edit_destination(&who, &edit, if_match).await,
                    Err(error) => Err(error),
                };
                drop(reply.send(done));
            }
            Msg::EditSchedule(who, edit, if_match, reply) => {
                let done = match room.settle(&me).await {
                    Ok(()) => room.edit_schedule(&who, &edit, if_match).await,
                    Err(error) => Err(error),
                };
                drop(reply.send(done));
            }
            Msg::Play(who, media, at_once, reply) => {
                let done = match room.settle(&me).await {
                    Ok(()) => room.play(&who, media, at_once).await,
                    Err(error) => Err(error),
                };
                drop(reply.send(done));
            }
            Msg::Delete(who, if_match, reply) => {
                let done = match room.settle(&me).await {
                    Ok(()) => room.delete(&who, if_match).await,
                    Err(error) => Err(error),
                };
                drop(reply.send(done));
            }
            Msg::Drain(done) => {
                room.follow(&me, Event::Drain).await;
                recorder::record_now(&room.args.environment.store, &room.args.handle).await;
                room.outputs.end().await;
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Msg::Told(generation, fact) => room.told(&me, generation, fact).await,
            Msg::RetryDue(generation) => room.follow(&me, Event::RetryDue { generation }).await,
            Msg::Library(fact) => room.library(fact).await,
            Msg::Forgive => {
                room.faulty.clear();
                room.replan().await;
            }
            Msg::Beat => {
                room.beat();
                room.settle_plan();
                room.renew_needs();
                let interval = room.recovery().health_check_interval;
                room.beats.told(Instant::now(), interval);
                room.beat_later(&me);
            }
            Msg::TakeUp(done) => {
                if let Some(stored) = room.args.handle.take_left() {
                    room.take_up(&me, stored).await;
                }
                let _ = done.send(());
            }
            Msg::Placed => room.placed(&me),
            Msg::Settle => {
                if let Err(error) = room.settle(&me).await {
                    tracing::debug!(channel = %room.args.handle.id, %error, "what became of a change is not known yet");
                }
            }
        }
        Ok(())
    }
}

/// Until when a channel that was LIVE is known to have been so: this actor's predecessor knows, and
/// after a crash of the daemon the last heartbeat.
async fn last_seen(args: &Args, snapshot: &Snapshot) -> Option<Timestamp> {
    if let Some(on_air) = args.handle.on_air() {
        return on_air.view.read().health.last_segment();
    }
    snapshot.channel.life.live_since?;
    args.environment.store.last_seen(args.handle.id).await
}

impl Room {
    fn snapshot(&self) -> Snapshot {
        Snapshot::clone(&self.args.handle.snapshot())
    }

    /// A fact: performed at once; the recorder writes down what it changes.
    async fn follow(&mut self, me: &ActorRef<Msg>, event: Event) {
        let mut life = self.life.clone();
        // Facts are never refused.
        let Ok(effects) = life.on(event, Timestamp::now()) else {
            return;
        };
        self.enter(me, life, effects).await;
    }

    async fn enter(&mut self, me: &ActorRef<Msg>, life: Lifecycle, effects: Vec<Effect>) {
        let before = self.life.state().clone();
        self.life = life;
        let now = self.life.state();
        if before != *now {
            let mut snapshot = self.snapshot();
            snapshot.channel.life = now.clone();
            self.args.handle.replace(snapshot);
        }
        self.note_live(now);
        if before.status != now.status || before.desired != now.desired {
            let library = &self.args.environment.studio.library;
            self.publish("channel.status", json!(self.args.handle.status(library)));
            self.tell_status();
            self.note_decided(before.status);
        }
        if before.desired != self.life.state().desired {
            self.tell_needs();
        }
        for effect in effects {
            self.perform(me, effect).await;
        }
        self.sync_outputs(&HashSet::new());
    }

    async fn perform(&mut self, me: &ActorRef<Msg>, effect: Effect) {
        match effect {
            Effect::StartPlayout(generation) => {
                if self.has_place(me) {
                    self.start_playout(generation);
                }
            }
            Effect::StopPlayout(_) => {
                self.playout = None;
                if self.life.state().status == ChannelStatus::Stopped {
                    self.args.handle.set_on_air(None);
                    self.args.handle.give_back();
                }
                self.tell_off_air().await;
            }
            Effect::RetryAfter {
                generation,
                failures,
                slow,
            } => {
                let delay = if slow {
                    backoff::SLOW_RETRY
                } else {
                    self.recovery().delay(failures, Chance::EVEN)
                };
                // Ends with the actor.
                drop(me.send_after(delay, move || Msg::RetryDue(generation)));
            }
            Effect::SkipItem(_) => {
                let Some(playout) = &self.playout else { return };
                let front = playout.front();
                let mut snapshot = self.snapshot();
                let entry = snapshot.airtime.plan.at(front);
                if snapshot.airtime.plan.skip(front) {
                    self.tell_skipped(entry, front, Reason::Skipped);
                    self.change_plan(snapshot);
                }
            }
        }
    }

    fn start_playout(&mut self, generation: Generation) {
        let Args {
            environment,
            handle,
            ..
        } = &self.args;
        let snapshot = handle.snapshot();
        let channel = &snapshot.channel;
        let settings = &environment.studio.settings;
        // A playout that follows another serves what that one published, and counts on.
        let kept = handle.on_air();
        let view = kept
            .as_ref()
            .map_or_else(View::default, |on_air| on_air.view.followed());
        let kept = kept.and_then(|on_air| on_air.output);
        let output = channel.config.hls_enabled.then(|| {
            kept.unwrap_or_else(|| {
                Arc::new(HlsOutput::new(settings.target_duration, settings.window))
            })
        });
        let setup = Setup {
            label: channel.id.to_string(),
            profile: Profile::of(&channel.config, self.args.environment.studio.library.font()),
            timeline: snapshot.airtime.timeline,
            programme: programme(&snapshot),
            output: output.clone(),
            subtitles: channel.config.subtitles.clone(),
            spool_dir: handle.spool_dir.clone(),
            spool: Arc::clone(&handle.spool),
            group: environment
                .studio
                .group(channel.id, channel.config.resources),
            taps: Arc::clone(&handle.taps),
            view: view.clone(),
            book: self.book(),
            lease: handle.lease.clone(),
            facts: Facts {
                generation,
                to: self.facts.clone(),
            },
            transcodes: self.transcodes(),
        };
        handle.set_on_air(Some(OnAirNow { view, output }));
        self.airing = Airing::default();
        self.playout = Some(Playout::start(Arc::clone(&environment.studio), setup));
    }

    async fn told(&mut self, me: &ActorRef<Msg>, generation: Generation, fact: Fact) {
        if generation != self.life.state().generation {
            return;
        }
        match fact {
            Fact::FirstOut => self.follow(me, Event::FirstSegment { generation }).await,
            Fact::Healthy => {
                self.args
                    .environment
                    .alerts
                    .stream_healthy(self.args.handle.id);
                self.follow(me, Event::Healthy { generation }).await;
            }
            Fact::OnAirChanged(on_air) => {
                let library = &self.args.environment.studio.library;
                let [_, next] = self.args.handle.now_and_next(on_air.since, library);
                let mut data = json!(on_air);
                data["next"] = json!(next);
                self.publish("channel.onair", data);
                self.tell_on_air(on_air);
            }
            Fact::SegmentPublished {
                sequence,
                starts,
                duration,
                bytes,
            } => {
                let data = json!({ "sequence": sequence, "starts": starts, "duration": duration, "bytes": bytes });
                self.publish("channel.segment", data);
            }
            Fact::SourceFailed {
                media,
                error,
                attempt,
                delay,
            } => {
                self.source_failed(media, &error, attempt, delay);
                self.follow(me, Event::SourceRestarted { generation }).await;
            }
            Fact::Recovered { media } => {
                self.publish(kind::CHANNEL_RECOVERED, json!({ "mediaId": media }));
            }
            Fact::OverlayFailed {
                error,
                attempt,
                rest,
            } => {
                let channel = &self.args.handle.snapshot().channel;
                tracing::warn!(channel = %channel.id, %error, attempt, ?rest, "the overlay is not drawn");
                self.args.environment.alerts.overlay_failed(channel, &error);
                let data =
                    json!({ "error": &*error, "attempt": attempt, "delay": rest.as_secs_f64() });
                self.publish(kind::CHANNEL_OVERLAY_FAILED, data);
            }
            Fact::OverlayDrawn => {
                let alerts = &self.args.environment.alerts;
                alerts.overlay_well(self.args.handle.id);
                self.publish(kind::CHANNEL_OVERLAY_DRAWN, json!({}));
            }
            Fact::OverlayOver => {
                let alerts = &self.args.environment.alerts;
                alerts.overlay_well(self.args.handle.id);
            }
            Fact::ItemBroken { media, at } => {
                self.faulty.insert(media);
                let mut snapshot = self.snapshot();
                let basis = self.basis(&snapshot);
                let fallback = snapshot.channel.config.fallback_video;
                let plan = &mut snapshot.airtime.plan;
                let entry = plan.at(at);
                // A fallback video fills the rest of the item; better an early start than dead air.
                let skipped = fallback.is_none()
                    && plan.at(at).is_some_and(|entry| entry.media_id == media)
                    && plan.skip(at);
                let changed = plan.replace_from(at.before(1), basis);
                let plan_goes_on = plan.at(at).is_some();
                let forgive = if plan_goes_on { FORGIVE } else { FORGIVE_ALL };
                drop(me.send_after(forgive, || Msg::Forgive));
                self.item_broken(media, plan_goes_on, forgive);
                let now = snapshot.airtime.plan.at(at);
                let stays = |entry: &PlanEntry| {
                    now.is_some_and(|now| (now.start, now.media_id) == (entry.start, media))
                };
                if entry.is_some_and(|entry| entry.media_id == media && !stays(&entry)) {
                    self.tell_skipped(entry, at, Reason::SourceFailed);
                }
                if skipped || changed {
                    self.change_plan(snapshot);
                }
            }
            Fact::EndedEarly { media, at } => {
                tracing::info!(channel = %self.args.handle.id, %media, "an item is shorter than was planned");
                self.end_entry(media, at);
            }
            // A playout that was replaced within its generation may have spoken before.
            Fact::Ended { .. } if !self.playout.as_ref().is_some_and(Playout::has_ended) => {}
            Fact::Ended { reason } => {
                self.book().away(Reason::PlayoutFailed);
                self.follow(me, Event::PlayoutFailed { generation }).await;
                self.playout_failed(&reason);
            }
        }
    }

    fn recovery(&self) -> RecoverySettings {
        self.args.handle.snapshot().channel.config.recovery
    }

    /// Ends with the actor.
    fn beat_later(&self, me: &ActorRef<Msg>) {
        let wait = self.beats.due().saturating_duration_since(Instant::now());
        drop(me.send_after(wait, || Msg::Beat));
    }

    fn beat(&self) {
        let Args {
            environment,
            handle,
            ..
        } = &self.args;
        let snapshot = handle.snapshot();
        let status = snapshot.channel.life.status;
        if !health::beats(status) || !handle.lease.holds() {
            return;
        }
        let now = Timestamp::now();
        let health = handle.health(now);
        let sampled = handle.sample(true);
        self.measure(&sampled, now);
        let process = |sampled: Sampled| ProcessBeat {
            pid: sampled.begun.pid,
            role: sampled.begun.role.name().into(),
            cpu: sampled.cpu,
            memory: sampled.stats.rss,
            read_bytes: sampled.stats.read_bytes,
            written_bytes: sampled.stats.write_bytes,
        };
        environment.telemetry.record(
            snapshot.channel.client_id,
            Heartbeat {
                channel: handle.id,
                at: now,
                status,
                uptime: snapshot.channel.life.live_for(now),
                last_segment: health.last_segment_time,
                segments: health.segments,
                bitrate: playout_domain::units::BitsPerSecond(health.current_bitrate),
                restarts: health.restart_count,
                processes: sampled.into_iter().map(process).collect(),
            },
        );
    }

    fn publish(&self, kind: &'static str, data: Value) {
        let snapshot = self.args.handle.snapshot();
        self.args.environment.hub.publish(HubEvent {
            kind,
            client: Some(snapshot.channel.client_id),
            channel: Some(self.args.handle.id),
            data,
        });
    }
}
