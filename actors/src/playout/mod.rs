//! What makes a channel's output: one task for each channel on air, in which a feeder reads ahead and
//! an air side releases in time.
//!
//! ```text
//! plan ─▶ feeder ─▶ queue (8 s) ─▶ air: clock ─▶ splicer ─▶ segmenter ─▶ spool ─▶ HLS output
//!           ▲ sources (FFmpeg or direct), fallback, slate
//! ```
//!
//! Bytes stay in this task; the channel hears [`Fact`]s only. Dropping a [`Playout`] ends the task and
//! kills its sources.

mod air;
mod blocking;
mod clock;
mod facts;
mod feeder;
mod filler;
mod gate;
mod hls_output;
mod opening;
mod queue;
mod reporter;
mod resume;
mod slate;
mod source;
mod spool;
mod subtitles;
mod taps;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use facts::{Fact, Facts};
pub(crate) use gate::StartGate;
pub use hls_output::{HlsOutput, Served};
pub(crate) use slate::Slates;
pub(crate) use spool::Spool;
pub use taps::{Aired, Taps};
pub(crate) use view::{State, View};

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::config::{RecoverySettings, ResourceSettings, SubtitleSetting};
use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::media::Profile;
use playout_domain::overlay::Overlay;
use playout_domain::plan::Plan;
use playout_domain::resources::Allowances;
use playout_domain::units::{Frame, Timeline};
use playout_media::hls::{MediaPlaylist, Segmenter, variants};
use playout_media::splice::{Layout, Splicer};
use playout_store::Lease;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::admission::Transcodes;
use crate::as_run::{Beginning, Book};
use crate::library::Library;
use crate::process::{Cgroups, ChannelGroup, Launcher};
use air::{Air, Hls};
use clock::Clock;
use feeder::Feeder;
use filler::Filler;
use opening::Equipment;
use queue::Queue;
use reporter::Reporter;
use resume::{Resume, Situation};
use subtitles::Subtitles;

/// Segments with which the output begins, before now.
pub(crate) const BURST_SEGMENTS: u64 = 3;

/// Which reader prepared media have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// An FFmpeg process for each entry of the plan.
    Ffmpeg,
    /// The daemon itself, by the file's index.
    Direct,
}

/// How channels play out.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayoutSettings {
    /// What reads prepared media.
    pub source: SourceKind,
    /// Seconds that a source may read ahead of real time.
    pub buffer: u32,
    /// Seconds at which the clock of a new channel begins.
    pub clock_origin: u32,
    /// HLS target duration in seconds.
    pub target_duration: u32,
    /// Segments in a playlist.
    pub window: usize,
    /// The font of what is drawn over programmes.
    pub font: PathBuf,
}

/// What a channel shows, and what stands in for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Programme {
    /// What every frame shows.
    pub(crate) plan: Plan,
    /// What plays where the plan has nothing.
    pub(crate) fallback: Option<MediaId>,
    /// How its sources are kept running.
    pub(crate) recovery: RecoverySettings,
    /// What its sources may use.
    pub(crate) resources: ResourceSettings,
    /// What is drawn over it.
    pub(crate) overlay: Option<Arc<Overlay>>,
}

/// What all playouts share.
pub(crate) struct Studio {
    pub(crate) library: Library,
    pub(crate) launcher: Launcher,
    /// Where all source processes begin.
    pub(crate) gate: StartGate,
    pub(crate) slates: Slates,
    pub(crate) settings: PlayoutSettings,
    /// What processes may use, where a channel does not want less.
    pub(crate) allowances: Allowances,
    /// Where channels have control groups.
    pub(crate) cgroups: Option<Cgroups>,
}

impl Studio {
    /// A channel's control group, where there are any.
    pub(crate) fn group(
        &self,
        channel: ChannelId,
        wanted: ResourceSettings,
    ) -> Option<Arc<ChannelGroup>> {
        let allowance = self.allowances.channel.within(wanted);
        self.cgroups.as_ref()?.channel(channel, allowance)
    }
}

/// What one playout is given.
pub(crate) struct Setup {
    /// The channel, for logs and process lists.
    pub(crate) label: String,
    pub(crate) profile: Profile,
    pub(crate) timeline: Timeline,
    pub(crate) programme: Programme,
    /// Where segments are published; `None`: the channel is not served as HLS.
    pub(crate) output: Option<Arc<HlsOutput>>,
    /// The languages that are offered there.
    pub(crate) subtitles: Vec<SubtitleSetting>,
    /// The folder of what was published.
    pub(crate) spool_dir: PathBuf,
    /// The spool in it, shared by all playouts of the channel so that only one writes.
    pub(crate) spool: Arc<Mutex<Option<Spool>>>,
    /// The control group of its sources.
    pub(crate) group: Option<Arc<ChannelGroup>>,
    /// Where outputs outside of the playout get what goes on air.
    pub(crate) taps: Arc<Taps>,
    pub(crate) view: View,
    /// Where it is written down what goes out.
    pub(crate) book: Arc<Book>,
    /// Asked before anything is published.
    pub(crate) lease: Lease,
    pub(crate) facts: Facts,
    /// What claims places on the node for what it transcodes.
    pub(crate) transcodes: Transcodes,
}

/// A running playout.
pub(crate) struct Playout {
    task: AbortHandle,
    programme: watch::Sender<Arc<Programme>>,
    queue: Arc<Queue>,
}

impl Playout {
    /// Starts a playout. Whatever goes wrong is told as a fact.
    pub(crate) fn start(studio: Arc<Studio>, setup: Setup) -> Self {
        let (programme, told) = watch::channel(Arc::new(setup.programme.clone()));
        let rate = setup.profile.frame_rate;
        let capacity = u64::from(studio.settings.buffer) * rate.gop_frames() / 2;
        let now = setup.timeline.frame_at(Timestamp::now());
        let queue = Arc::new(Queue::new(now, capacity));
        let facts = setup.facts.clone();
        let task = tokio::spawn(run(studio, setup, Arc::clone(&queue), told));
        let abort = task.abort_handle();
        tokio::spawn(async move {
            let reason = match task.await {
                Ok(Ok(reason)) => reason.to_owned(),
                Ok(Err(reason)) => reason,
                Err(ended) if ended.is_cancelled() => return,
                Err(_) => "a fault in the playout; the log has its place".to_owned(),
            };
            facts.tell(Fact::Ended { reason });
        });
        Self {
            task: abort,
            programme,
            queue,
        }
    }

    /// Changes what is shown, beginning with the first frame that is not on its way out.
    pub(crate) fn show(&self, programme: Programme) {
        self.programme.send_replace(Arc::new(programme));
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// The first frame that a change can still reach.
    pub(crate) fn front(&self) -> Frame {
        self.queue.front()
    }
}

impl Drop for Playout {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    studio: Arc<Studio>,
    setup: Setup,
    queue: Arc<Queue>,
    programme: watch::Receiver<Arc<Programme>>,
) -> Result<&'static str, String> {
    let begun = Instant::now();
    let slate = studio
        .slates
        .get(&setup.profile)
        .await
        .map_err(|error| error.to_string())?;
    let resume = resume(&studio.settings, &setup).await?;
    if !setup.lease.holds() {
        return Ok(without_lease(&setup.label, &setup.lease).await);
    }
    let reporter = report(&studio.settings, &setup, &resume).await?;
    let now = Timestamp::now();
    let clock = Clock::starting(setup.timeline, now, resume.published);
    queue.begin(resume.start);
    let filler = Filler::new(studio.library.clone(), setup.profile, slate);
    let equipment = Equipment {
        label: setup.label.clone(),
        profile: setup.profile,
        timeline: setup.timeline,
        source: studio.settings.source,
        library: studio.library.clone(),
        launcher: studio.launcher.clone(),
        allowances: studio.allowances,
        group: setup.group.clone(),
        gate: studio.gate.clone(),
        clock,
        queue: Arc::clone(&queue),
        view: setup.view.clone(),
        facts: setup.facts.clone(),
        font: studio.settings.font.as_path().into(),
        transcodes: setup.transcodes.clone(),
    };
    let feeder = Feeder::new(equipment, filler, programme, resume.start);
    let splicer = match &resume.counters {
        Some(counters) => Splicer::resume(setup.timeline, counters.clone()),
        None => Splicer::new(
            setup.timeline,
            Layout::StreamPerRung(setup.profile.rungs().count()),
        ),
    };
    let languages = match &setup.output {
        Some(_) => setup.subtitles.clone(),
        None => Vec::new(),
    };
    let subtitles = Subtitles::new(
        studio.library.clone(),
        setup.timeline,
        languages,
        resume.airing.map(|airing| (airing, resume.start)),
    );
    let hls = setup
        .output
        .clone()
        .map(|output| begin_hls(&studio.settings, &setup, output, resume));
    let air = Air {
        label: setup.label,
        profile: setup.profile,
        timeline: setup.timeline,
        clock,
        begun,
        queue,
        splicer,
        subtitles,
        hls,
        taps: setup.taps,
        view: setup.view,
        reporter,
        lease: setup.lease,
        facts: setup.facts,
        out: false,
        shows: None,
        sets: Vec::new(),
        healthy: None,
    };
    Ok(tokio::select! {
        ended = feeder.run() => ended,
        ended = air.run() => ended,
    })
}

/// Decides where to begin, and offers what the last playout left.
async fn resume(settings: &PlayoutSettings, setup: &Setup) -> Result<Resume, String> {
    let mut spool = Arc::clone(&setup.spool).lock_owned().await;
    let dir = setup.spool_dir.clone();
    let label = setup.label.clone();
    let languages = setup.subtitles.clone();
    let loading = tokio::task::spawn_blocking(move || {
        let opened = Spool::open(dir).inspect_err(|error| {
            tracing::error!(channel = label, %error, "segments are kept in memory only; a restart will lose them");
        });
        *spool = opened.as_ref().ok().cloned();
        opened.and_then(|opened| opened.load(&languages)).inspect_err(|error| {
            tracing::error!(channel = label, %error, "what was published before is lost; numbers go on above it");
        })
    });
    let loaded = loading.await.map_err(|error| error.to_string())?;
    let failed = loaded.is_err();
    let left = loaded.unwrap_or_default();
    // What another daemon has published of it is not here.
    let lost = failed || (left.is_none() && setup.lease.was_taken());
    let segment = segment_frames(settings, &setup.timeline);
    let now = Timestamp::now();
    let profile = setup.profile.spliced().key();
    let situation = Situation {
        timeline: &setup.timeline,
        plan: &setup.programme.plan,
        profile: &profile,
        now: setup.timeline.frame_at(now),
        unix_seconds: now.as_second().try_into().unwrap_or_default(),
        lost,
        burst: BURST_SEGMENTS * segment,
        window: settings.window as u64 * segment,
        target: settings.target_duration,
    };
    let (record, segments) = left.map_or((None, Vec::new()), |(record, segments)| {
        (Some(record), segments)
    });
    let resume = situation.resume(record);
    if let (Some(output), Some((_, sets))) = (&setup.output, &resume.follows)
        && !resume.playlist.segments.is_empty()
        && setup.lease.holds()
    {
        let playlist = MediaPlaylist::resume(
            setup.timeline,
            settings.target_duration,
            settings.window,
            resume.playlist.clone(),
        );
        let known = segments.iter().map(|segment| &segment.info);
        let variants = variants(&setup.profile, sets, settings.target_duration, known);
        output.publish(&variants, &setup.subtitles, &playlist, &segments);
    }
    Ok(resume)
}

/// Tells the as-run log where it goes on, and from where.
async fn report(
    settings: &PlayoutSettings,
    setup: &Setup,
    resume: &Resume,
) -> Result<Reporter, String> {
    let segment = segment_frames(settings, &setup.timeline);
    // What is not served as HLS is not published.
    let published = Some(resume.published)
        .filter(|published| setup.output.is_some() && *published > Frame::default());
    let (book, timeline, start) = (Arc::clone(&setup.book), setup.timeline, resume.start);
    let (plan, taken_at) = (setup.programme.plan.clone(), setup.lease.taken_at());
    let begun = tokio::task::spawn_blocking(move || {
        let session = book.begin(&Beginning {
            timeline,
            plan: &plan,
            published,
            start,
            noted: 2 * segment,
            taken_at,
        });
        (book, session)
    });
    let (book, session) = begun.await.map_err(|error| error.to_string())?;
    Ok(Reporter::new(book, session, segment))
}

fn segment_frames(settings: &PlayoutSettings, timeline: &Timeline) -> u64 {
    u64::from(settings.target_duration) * timeline.frame_rate.gop_frames() / 2
}

/// Another daemon may air the channel: nothing goes out any more. Whoever keeps the leases ends this playout; where
/// the lease is renewed after all, it ends by itself, and another one takes its place.
async fn without_lease(label: &str, lease: &Lease) -> &'static str {
    tracing::warn!(
        channel = label,
        "the lease of the channel has run out: it leaves the air"
    );
    lease.until_held().await;
    "the lease of the channel had run out, and was renewed"
}

fn begin_hls(
    settings: &PlayoutSettings,
    setup: &Setup,
    output: Arc<HlsOutput>,
    resume: Resume,
) -> Hls {
    let mut segmenter = Segmenter::new(
        &setup.timeline,
        settings.target_duration,
        resume.next_sequence,
    );
    let published = resume.follows.is_some() && !resume.playlist.segments.is_empty();
    if let Some((frame, sets)) = resume.follows {
        segmenter = segmenter.following(frame, sets);
    }
    let playlist = MediaPlaylist::resume(
        setup.timeline,
        settings.target_duration,
        settings.window,
        resume.playlist,
    );
    Hls {
        output,
        segmenter,
        playlist,
        past: resume.past,
        spool: Arc::clone(&setup.spool),
        target: settings.target_duration,
        held: Vec::new(),
        published,
    }
}
