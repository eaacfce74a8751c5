//! One channel as everybody outside its actor sees it: a snapshot that the actor replaces after every
//! change, and what a running playout shows. Readers never wait for the actor.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use playout_domain::channel::Channel;
use playout_domain::ids::ChannelId;
use playout_domain::lifecycle::Desired;
use playout_domain::media::Profile;
use playout_domain::overlay::Font;
use playout_domain::plan::PlanEntry;
use playout_domain::units::Frame;
use playout_media::guide::now_and_next;
use playout_store::{Airtime, Lease, StoredChannel};
use tokio::sync::{Mutex, Notify, watch};

use super::actor::Pen;
use super::views::{
    HealthView, HlsMetrics, OutputMetrics, OutputTarget, OutputView, OverlayPhase, OverlayView,
    PlannedView, ProcessView, ProgrammeView, RtmpMetrics, RungView, StatusView,
};
use crate::admission::Place;
use crate::library::Library;
use crate::playout::{HlsOutput, PlayoutSettings, Spool, State, Taps, View};
use crate::process::{Role, Sampled};
use crate::rtmp::Board;

/// Entries that one look at the plan answers at most.
const MAX_PLANNED: usize = 1_000;

/// A source that has delivered nothing for so long, while nothing is missed, waits for room.
const WAITING_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(3);

/// A channel at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) channel: Channel,
    pub(crate) airtime: Airtime,
}

impl Snapshot {
    /// The plan between two times: whole entries, and what lies between them.
    pub(crate) fn plan(
        &self,
        from: Timestamp,
        until: Timestamp,
        title: impl Fn(playout_domain::ids::MediaId) -> Option<String>,
    ) -> Vec<PlannedView> {
        let Airtime { timeline, plan, .. } = &self.airtime;
        let (mut cursor, mut last) = (timeline.frame_at(from), timeline.frame_at(until));
        let mut entries = plan.entries_from(cursor, last);
        let found: Vec<_> = entries.by_ref().take(MAX_PLANNED).collect();
        if found.len() == MAX_PLANNED || entries.is_cut_short() {
            // What follows is not known to be nothing.
            last = found.last().map_or(cursor, |entry| entry.end);
        }
        let mut planned = Vec::new();
        for entry in found {
            if cursor < entry.start {
                planned.push(PlannedView::nothing(cursor..entry.start, timeline));
            }
            planned.push(PlannedView::of(&entry, timeline, title(entry.media_id)));
            cursor = entry.end;
        }
        if cursor < last {
            planned.push(PlannedView::nothing(cursor..last, timeline));
        }
        planned.truncate(MAX_PLANNED);
        planned
    }
}

/// What there is while a channel is on air.
#[derive(Debug, Clone)]
pub(crate) struct OnAirNow {
    pub(crate) view: View,
    /// Nothing where the channel is not served as HLS.
    pub(crate) output: Option<Arc<HlsOutput>>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: ChannelId,
    /// The folder of what was published.
    pub(crate) spool_dir: PathBuf,
    pub(crate) spool: Arc<Mutex<Option<Spool>>>,
    /// Where outputs get what goes on air.
    pub(crate) taps: Arc<Taps>,
    /// What the RTMP outputs show.
    pub(crate) board: Board,
    /// Whether the channel is this daemon's to air.
    pub(crate) lease: Lease,
    /// Held while a destination is tested: a client cannot keep many look-ups and connections busy.
    pub(super) testing: Mutex<()>,
    /// Held by whoever writes about the channel.
    pub(crate) pen: Mutex<Pen>,
    /// What the database has of a channel that was put on air without it, until its actor takes it up.
    left: std::sync::Mutex<Option<StoredChannel>>,
    /// Told when the snapshot was replaced.
    changed: Notify,
    snapshot: RwLock<Arc<Snapshot>>,
    on_air: RwLock<Option<OnAirNow>>,
    /// Its place on the node, from a start to a stop, whatever happens to its actor.
    place: std::sync::Mutex<Option<Place>>,
}

impl Handle {
    /// `pen` is what the database has of the channel.
    pub(crate) fn new(snapshot: Snapshot, lease: Lease, spool_dir: PathBuf, pen: Pen) -> Self {
        Self {
            lease,
            pen: Mutex::new(pen),
            left: std::sync::Mutex::default(),
            changed: Notify::new(),
            id: snapshot.channel.id,
            spool_dir,
            spool: Arc::default(),
            taps: Arc::default(),
            board: Board::default(),
            testing: Mutex::default(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            on_air: RwLock::default(),
            place: std::sync::Mutex::default(),
        }
    }

    /// The channel as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Only the channel's actor replaces the snapshot.
    pub(super) fn replace(&self, snapshot: Snapshot) {
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.changed.notify_one();
    }

    /// What is known of the database is not what it was.
    pub(super) fn touch(&self) {
        self.changed.notify_one();
    }

    /// Leaves here what the channel's actor is to take up, now or when it is started next.
    pub(super) fn leave(&self, stored: StoredChannel) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
    }

    /// What was left here.
    pub(super) fn take_left(&self) -> Option<StoredChannel> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.take()
    }

    /// Whether something lies here still.
    pub(super) fn has_left(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.is_some()
    }

    /// Returns when the snapshot was replaced since this was last asked. One asks: the recorder.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is on air.
    pub(crate) fn on_air(&self) -> Option<OnAirNow> {
        self.on_air
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Claims a place on the node, if it has not done so: nothing when it holds, else what hears of it.
    pub(super) fn claim(&self, claim: impl FnOnce() -> Place) -> Option<watch::Receiver<bool>> {
        let mut place = self.place();
        let place = place.get_or_insert_with(claim);
        (!place.is_held()).then(|| place.listen())
    }

    /// Gives its place on the node back.
    pub(super) fn give_back(&self) {
        let place = self.place().take();
        drop(place);
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_on_air(&self, on_air: Option<OnAirNow>) {
        *self.on_air.write().unwrap_or_else(PoisonError::into_inner) = on_air;
    }

    fn state(&self) -> State {
        self.on_air()
            .map(|on_air| on_air.view.read())
            .unwrap_or_default()
    }

    /// What the plan has at `at`, and what it has next.
    pub(super) fn now_and_next(
        &self,
        at: Timestamp,
        library: &Library,
    ) -> [Option<ProgrammeView>; 2] {
        let snapshot = self.snapshot();
        let Airtime { timeline, plan, .. } = &snapshot.airtime;
        let view = |entry: PlanEntry| ProgrammeView {
            media_id: entry.media_id,
            title: library.title(entry.media_id),
            start: timeline.wall(entry.start),
            end: timeline.wall(entry.end),
        };
        now_and_next(plan, timeline.frame_at(at)).map(|entry| entry.map(view))
    }

    pub(crate) fn status(&self, library: &Library) -> StatusView {
        let life = &self.snapshot().channel.life;
        let state = self.state();
        let [now, next] = match life.desired {
            Desired::Live => self.now_and_next(Timestamp::now(), library),
            // A start makes another plan.
            Desired::Stopped => [None, None],
        };
        StatusView {
            channel_id: self.id,
            status: life.status,
            desired: life.desired,
            recovering: state.health.is_recovering(),
            overlay: self.overlay(&state, Timestamp::now()),
            on_air: state.on_air,
            now,
            next,
            live_since: life.live_since,
            waits_at: self.place().as_ref().and_then(Place::waits_at),
        }
    }

    fn overlay(&self, state: &State, now: Timestamp) -> Option<OverlayView> {
        state.on_air?;
        let snapshot = self.snapshot();
        let overlay = snapshot.channel.config.overlay.as_ref()?;
        let failure = state.overlay.failure.as_ref();
        // What stands is told of where nothing passes.
        let is_drawn = match overlay.passing() {
            Some(_) => state.overlay.drawn,
            None => state.overlay.stands,
        };
        let (state, failure) = match failure {
            _ if is_drawn => (OverlayPhase::Drawn, None),
            _ if overlay.is_over(now) => (OverlayPhase::Over, None),
            Some(failure) => (OverlayPhase::Failing, Some(failure)),
            None => (OverlayPhase::Waiting, None),
        };
        Some(OverlayView {
            state,
            error: failure.map(|failure| failure.error.to_string()),
            retry_at: failure.map(|failure| failure.retry_at),
        })
    }

    pub(crate) fn health(&self, now: Timestamp) -> HealthView {
        let snapshot = self.snapshot();
        let life = &snapshot.channel.life;
        let state = self.state();
        HealthView {
            status: life.status,
            uptime: life.live_for(now).as_secs_f64(),
            last_segment_time: state.health.last_segment(),
            segments: state.health.segments(),
            restart_count: life.restarts_since_start,
            current_bitrate: state
                .health
                .bitrate(snapshot.channel.config.frame_rate)
                .get(),
            buffered: state.buffered.seconds(),
            recovering: state.health.is_recovering(),
            error_count: state.health.errors(),
            on_air: state.on_air,
        }
    }

    /// Its processes, sources first; `keep` makes this sample the one that the next is compared with.
    pub(super) fn sample(&self, keep: bool) -> Vec<Sampled> {
        let sources = self.on_air().map(|on_air| on_air.view.processes);
        let mut sampled = sources.map_or_else(Vec::new, |sources| sources.sample(keep));
        sampled.extend(self.board.processes.sample(keep));
        sampled
    }

    pub(crate) fn processes(&self) -> Vec<ProcessView> {
        let State { health, .. } = self.state();
        let (errors, recovering) = (health.errors(), health.is_recovering());
        let recovery = self.snapshot().channel.config.recovery;
        let now = Timestamp::now();
        let view = |sampled: Sampled| {
            let (id, output_targets, error_count) = match sampled.begun.role {
                Role::Source => {
                    let id = format!("{}-{}", self.id, sampled.begun.run);
                    (id, OutputTarget::Splicer, errors)
                }
                Role::Rtmp(destination) => {
                    let id = format!("{}-{destination}-{}", self.id, sampled.begun.run);
                    let failures = self.board.of(destination).failures;
                    (
                        id,
                        OutputTarget::Rtmp {
                            destination_id: destination,
                        },
                        failures.into(),
                    )
                }
            };
            ProcessView {
                id,
                channel_id: self.id,
                ffmpeg_pid: sampled.begun.pid,
                status: match recovering || now.duration_since(sampled.moved) < WAITING_AFTER {
                    true => "RUNNING",
                    false => "WAITING",
                },
                start_time: sampled.started,
                last_heartbeat: sampled.moved,
                input_source: sampled.begun.input,
                output_targets: vec![output_targets],
                cpu_usage: sampled.cpu,
                memory_usage: sampled.stats.rss,
                read_bytes: sampled.stats.read_bytes,
                write_bytes: sampled.stats.write_bytes,
                network_bandwidth: sampled.bandwidth.get(),
                error_count,
                max_restarts: recovery.max_restarts,
                restart_delay: recovery.restart_delay.as_secs_f64(),
                health_check_interval: recovery.health_check_interval.as_secs_f64(),
            }
        };
        self.sample(false).into_iter().map(view).collect()
    }

    pub(crate) fn outputs(&self, settings: &PlayoutSettings) -> Vec<OutputView> {
        let snapshot = self.snapshot();
        let channel = &snapshot.channel;
        let output = self.on_air().and_then(|on_air| on_air.output);
        let rung = |rung: &playout_domain::config::Rung| RungView {
            name: rung.resolution.to_string(),
            endpoint: format!("/hls/{}/{}.m3u8", self.id, rung.resolution),
            resolution: rung.resolution,
            bitrate: rung.bitrate.get(),
        };
        let hls = OutputView::Hls {
            enabled: channel.config.hls_enabled,
            active: output.is_some_and(|output| output.master().is_some()),
            endpoint: channel.hls_path(),
            rungs: channel.config.ladder.iter().map(rung).collect(),
            target_duration: settings.target_duration,
            window: settings.window,
        };
        let rtmp = channel.config.rtmp_destinations.iter();
        let rtmp = rtmp.filter_map(|destination| {
            let id = destination.id?;
            Some(OutputView::Rtmp {
                destination_id: id,
                platform: destination.platform,
                server_url: destination.server_url.as_str().to_owned(),
                enabled: destination.enabled,
                output: self.board.of(id),
            })
        });
        [hls].into_iter().chain(rtmp).collect()
    }

    pub(crate) fn output_metrics(&self) -> OutputMetrics {
        let rate = self.snapshot().channel.config.frame_rate;
        let state = self.state();
        OutputMetrics {
            channel_id: self.id,
            hls: HlsMetrics {
                segments: state.health.segments(),
                bytes: state.health.bytes(),
                current_bitrate: state.health.bitrate(rate).get(),
                last_segment_time: state.health.last_segment(),
                late_segments: state.late_segments,
                discontinuities: state.discontinuities,
                silent_audio_units: state.silent_units,
            },
            dead_air: rate.duration(state.dead_frames).as_secs_f64(),
            rtmp: self.rtmp_metrics(),
        }
    }

    fn rtmp_metrics(&self) -> Vec<RtmpMetrics> {
        let snapshot = self.snapshot();
        let ids = snapshot.channel.config.rtmp_destinations.iter();
        let of = |destination_id| {
            let output = self.board.of(destination_id);
            RtmpMetrics {
                destination_id,
                bytes: output.bytes,
                connections: output.connections,
                failures: output.failures,
            }
        };
        ids.filter_map(|destination| destination.id)
            .map(of)
            .collect()
    }

    /// The frame that is due now.
    pub(super) fn due(&self, now: Timestamp) -> Frame {
        self.snapshot().airtime.timeline.frame_at(now)
    }

    pub(super) fn profile(&self, font: Font) -> Profile {
        Profile::of(&self.snapshot().channel.config, font)
    }
}
