//! What reads of a running channel answer. Durations are seconds, bitrates bits/s, CPU a fraction of
//! one core, memory bytes.

use std::ops::Range;

use jiff::Timestamp;
use playout_domain::destination::Platform;
use playout_domain::ids::{ChannelId, DestinationId, MediaId, SlotId};
use playout_domain::lifecycle::{ChannelStatus, Desired};
use playout_domain::plan::{Origin, PlanEntry};
use playout_domain::units::{Frame, Timeline};
use serde::Serialize;

use crate::rtmp::RtmpView;

/// What viewers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAirKind {
    /// The plan's item.
    Scheduled,
    /// The fallback video.
    Fallback,
    /// The built-in slate.
    Slate,
}

/// What is on air, from when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnAir {
    /// Why it is on air.
    pub kind: OnAirKind,
    /// What it is; the slate is no media.
    pub media_id: Option<MediaId>,
    /// When it went on air.
    pub since: Timestamp,
    /// When the plan's entry ends; unknown for what stands in.
    pub until: Option<Timestamp>,
}

/// `GET /channels/{id}/status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The channel.
    pub channel_id: ChannelId,
    /// What it does.
    pub status: ChannelStatus,
    /// What it should do.
    pub desired: Desired,
    /// Whether something else than the plan's item is on air because its source failed.
    pub recovering: bool,
    /// What viewers see; nothing when the channel is off air.
    pub on_air: Option<OnAir>,
    /// How it goes with what is drawn over it; nothing where nothing is to be, and off air.
    pub overlay: Option<OverlayView>,
    /// What the plan has now; nothing where it has nothing, and off air.
    pub now: Option<ProgrammeView>,
    /// What the plan has next.
    pub next: Option<ProgrammeView>,
    /// Since when it is LIVE.
    pub live_since: Option<Timestamp>,
    /// Its place, from 1, among the channels that wait for room on the node; nothing where it does not wait.
    pub waits_at: Option<usize>,
}

/// How it goes with what is drawn over a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverlayView {
    /// What it does.
    pub state: OverlayPhase,
    /// Why it is not drawn.
    pub error: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

/// What an overlay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlayPhase {
    /// Its time, its encoder or something to draw it on is still to come.
    Waiting,
    /// Viewers see it.
    Drawn,
    /// It could not be drawn.
    Failing,
    /// Its time is over.
    Over,
}

/// What the plan has from when until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgrammeView {
    /// What is shown.
    pub media_id: MediaId,
    /// Its title.
    pub title: Option<String>,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

/// `GET /channels/{id}/health`: the `StreamHealth` of a channel, and what it is drawn from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthView {
    /// What the channel does.
    pub status: ChannelStatus,
    /// Seconds LIVE since it last went live.
    pub uptime: f64,
    /// When the newest segment was published.
    pub last_segment_time: Option<Timestamp>,
    /// Segments published since the start.
    pub segments: u64,
    /// Automatic restarts since the start.
    pub restart_count: u64,
    /// Bits/s over the segments of the last window.
    pub current_bitrate: u64,
    /// Seconds of media read ahead.
    pub buffered: f64,
    /// Whether something else than the plan's item is on air because its source failed.
    pub recovering: bool,
    /// Failures of sources in a row.
    pub error_count: u64,
    /// What viewers see.
    pub on_air: Option<OnAir>,
}

/// One FFmpeg process: the `StreamProcess` of the API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessView {
    /// Its id: channel and number of the run.
    pub id: String,
    /// The channel it works for.
    pub channel_id: ChannelId,
    /// Its process id.
    pub ffmpeg_pid: u32,
    /// `RUNNING`: one that has ended is not shown any more.
    pub status: &'static str,
    /// When it was started.
    pub start_time: Timestamp,
    /// When it last delivered media.
    pub last_heartbeat: Timestamp,
    /// The file it reads.
    pub input_source: String,
    /// Where its output goes.
    pub output_targets: Vec<OutputTarget>,
    /// Fraction of one core since the last sample.
    pub cpu_usage: f64,
    /// Resident bytes.
    pub memory_usage: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Bytes written to storage.
    pub write_bytes: u64,
    /// Bits/s piped since the last sample.
    pub network_bandwidth: u64,
    /// Failures of sources in a row.
    pub error_count: u64,
    /// Restarts within the budget's time before the channel is in ERROR.
    pub max_restarts: u32,
    /// The delay after the second failure in a row; it doubles from there.
    pub restart_delay: f64,
    /// Seconds between two heartbeats.
    pub health_check_interval: f64,
}

/// Where a process' output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum OutputTarget {
    /// The channel's own clock, inside the daemon.
    Splicer,
    /// A platform.
    Rtmp {
        /// Which of the channel's destinations.
        destination_id: DestinationId,
    },
}

/// `GET /channels/{id}/outputs`: one output of a channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum OutputView {
    /// The HLS output.
    Hls {
        /// Whether it is switched on.
        enabled: bool,
        /// Whether a playlist is published now.
        active: bool,
        /// The path of the master playlist.
        endpoint: String,
        /// The rungs, highest first.
        rungs: Vec<RungView>,
        /// Target duration in seconds.
        target_duration: u32,
        /// Segments in the playlist.
        window: usize,
    },
    /// One RTMP output.
    Rtmp {
        /// The destination.
        destination_id: DestinationId,
        /// What kind of server it is.
        platform: Platform,
        /// Where it is.
        server_url: String,
        /// Whether the client wants it.
        enabled: bool,
        /// What it does.
        #[serde(flatten)]
        output: RtmpView,
    },
}

/// One rung of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RungView {
    /// Its name, as in its playlist's path.
    pub name: String,
    /// The path of its playlist.
    pub endpoint: String,
    /// Size of its picture.
    pub resolution: playout_domain::resolution::Resolution,
    /// Its video bitrate.
    pub bitrate: u64,
}

/// `GET /channels/{id}/outputs/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputMetrics {
    /// The channel.
    pub channel_id: ChannelId,
    /// Of the HLS output.
    pub hls: HlsMetrics,
    /// Seconds in which nothing but the slate was shown.
    pub dead_air: f64,
    /// Of each RTMP output.
    pub rtmp: Vec<RtmpMetrics>,
}

/// What one RTMP output has done since the channel went on air.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtmpMetrics {
    /// The destination.
    pub destination_id: DestinationId,
    /// Bytes that the server took.
    pub bytes: u64,
    /// Connections made.
    pub connections: u64,
    /// Failures in a row.
    pub failures: u32,
}

/// What the HLS output has done since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HlsMetrics {
    /// Segments published.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bits/s over the segments of the last window.
    pub current_bitrate: u64,
    /// When the newest was published.
    pub last_segment_time: Option<Timestamp>,
    /// Segments that came later than their media time allows.
    pub late_segments: u64,
    /// True breaks of the stream.
    pub discontinuities: u64,
    /// Access units that silence stands for.
    pub silent_audio_units: u64,
}

/// One entry of `GET /channels/{id}/plan`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedView {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// Seconds.
    pub duration: f64,
    /// What is shown; nothing: fallback or slate.
    pub media_id: Option<MediaId>,
    /// Its title.
    pub title: Option<String>,
    /// Seconds into the item at which it begins.
    #[serde(rename = "in")]
    pub begins: f64,
    /// Why it is shown: `rotation`, `slot`, `template`, `filler` or `play`; nothing: fallback or slate.
    pub reason: Option<&'static str>,
    /// Its place in the rotation, from 0.
    pub rotation_index: Option<usize>,
    /// The slot that has it.
    pub slot_id: Option<SlotId>,
}

impl PlannedView {
    pub(super) fn of(entry: &PlanEntry, timeline: &Timeline, title: Option<String>) -> Self {
        let seconds = |frames| timeline.frame_rate.duration(frames).as_secs_f64();
        Self {
            media_id: Some(entry.media_id),
            title,
            begins: seconds(entry.in_frame),
            reason: Some(match entry.origin {
                Origin::Rotation(_) => "rotation",
                Origin::Slot(_) => "slot",
                Origin::Template => "template",
                Origin::Filler => "filler",
                Origin::Play => "play",
            }),
            rotation_index: entry.rotation_index(),
            slot_id: match entry.origin {
                Origin::Slot(id) => Some(id),
                _ => None,
            },
            ..Self::nothing(entry.start..entry.end, timeline)
        }
    }

    pub(super) fn nothing(frames: Range<Frame>, timeline: &Timeline) -> Self {
        let length = frames.end.since(frames.start);
        Self {
            start: timeline.wall(frames.start),
            end: timeline.wall(frames.end),
            duration: timeline.frame_rate.duration(length).as_secs_f64(),
            media_id: None,
            title: None,
            begins: 0.0,
            reason: None,
            rotation_index: None,
            slot_id: None,
        }
    }
}
