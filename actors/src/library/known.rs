//! One item in memory: what was found in its file, and how far each rendition has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::Language;
use playout_domain::ids::RenditionId;
use playout_domain::media::{MediaItem, MediaStatus, Profile};
use playout_domain::prepare::{Hand, JobState};
use playout_media::probe::Probed;
use playout_store::Subtitle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::files::Stamp;
use super::view::{MediaView, RenditionView};
use super::{Prepared, Room};

/// What packaging adds to the bitrate.
const PACKAGING: f64 = 1.05;
/// Why something is not prepared yet.
pub(super) const NO_ROOM: &str = "It waits for room on the daemon's disk.";
/// How long after a failure the first new attempt may come; it doubles with each failure.
const RETRY: Duration = Duration::from_secs(600);
const LONGEST_RETRY: Duration = Duration::from_secs(24 * 3600);

/// What FFprobe found in a file, and which file that was.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    pub(super) probed: Arc<Probed>,
    /// The file at that time.
    pub(super) stamp: Stamp,
}

/// How far a rendition has come.
#[derive(Debug)]
pub(super) enum Work {
    Waiting,
    /// Somebody has paused it.
    Paused,
    /// Somebody has cancelled it.
    Cancelled,
    Running(Pace),
    Ready {
        prepared: Prepared,
        id: RenditionId,
        created_at: Timestamp,
        /// Since when nobody needs it.
        unneeded_since: Option<Timestamp>,
        saved: bool,
    },
    Failed {
        reason: String,
        /// Nothing: in an earlier run of the daemon.
        at: Option<Instant>,
    },
}

/// How fast a job comes on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) percent: f64,
    /// While it is measured how loud the item is: how much of it was listened to, in percent.
    pub(super) measured: Option<f64>,
    pub(super) eta: Option<Duration>,
    /// Seconds of media a second.
    pub(super) speed: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Shared, for it is large, and there is one for every item.
    pub(super) profile: Arc<Profile>,
    pub(super) work: Work,
    /// Failures in a row.
    pub(super) failures: u32,
    /// What somebody said about its turn.
    pub(super) hand: Option<Hand>,
    /// Ends the job that works on it.
    pub(super) job: Option<AbortHandle>,
}

impl Entry {
    pub(super) fn new(profile: impl Into<Arc<Profile>>, work: Work) -> Self {
        Self {
            profile: profile.into(),
            work,
            failures: 0,
            hand: None,
            job: None,
        }
    }

    pub(super) const fn state(&self) -> JobState {
        match self.work {
            Work::Waiting => JobState::Waiting,
            Work::Paused => JobState::Paused,
            Work::Cancelled => JobState::Cancelled,
            Work::Running(_) => JobState::Preparing,
            Work::Ready { .. } => JobState::Ready,
            Work::Failed { .. } => JobState::Failed,
        }
    }
}

/// One item.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) item: MediaItem,
    /// Nothing until it was examined in this run, where the findings of an earlier one are lost.
    pub(super) findings: Option<Findings>,
    /// By the profile's key.
    pub(super) renditions: BTreeMap<String, Entry>,
    /// Counts the files that this item has been: what a job makes of an earlier one is dropped.
    pub(super) edition: u64,
    /// What is said in it, by language.
    pub(super) subtitles: BTreeMap<Language, Subtitle>,
}

impl Known {
    /// An item as it is imported or loaded; nothing of it is prepared.
    pub(super) fn new(item: MediaItem, findings: Option<Findings>, edition: u64) -> Self {
        Self {
            item,
            findings,
            renditions: BTreeMap::new(),
            edition,
            subtitles: BTreeMap::new(),
        }
    }

    /// Whether the item's length was measured by preparing it.
    pub(super) fn is_measured(&self) -> bool {
        self.ready() > 0
    }

    fn ready(&self) -> usize {
        let ready = |entry: &&Entry| matches!(entry.work, Work::Ready { .. });
        self.renditions.values().filter(ready).count()
    }

    /// The first rendition that is ready says exactly how long the item is; what a probe says is a claim of
    /// the file. Answers whether it is another length now, of those that the store can tell apart.
    pub(super) fn measure(&mut self, profile: &Profile, frames: u64) -> bool {
        let length = profile.frame_rate.duration(frames);
        if self.ready() > 1 || self.item.duration.as_micros() == length.as_micros() {
            return false;
        }
        self.item.duration = length;
        self.item.updated_at = Timestamp::now();
        true
    }

    /// The status of an item follows from its renditions; answers whether it is another now.
    pub(super) fn settle(&mut self) -> bool {
        let works = || self.renditions.values().map(|entry| &entry.work);
        let failed = works().find_map(|work| match work {
            Work::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        let ready = works().any(|work| matches!(work, Work::Ready { .. }));
        let under_way = works().any(|work| match work {
            Work::Waiting | Work::Paused | Work::Running(_) => true,
            // Nothing is wrong with it.
            Work::Cancelled => !ready,
            Work::Ready { .. } | Work::Failed { .. } => false,
        });
        let (status, reason) = match (under_way, failed, ready) {
            (true, ..) => (MediaStatus::Preparing, None),
            (false, Some(reason), _) => (MediaStatus::Failed, Some(reason)),
            (false, None, true) => (MediaStatus::Ready, None),
            // What was prepared is lost.
            (false, None, false) if self.item.status == MediaStatus::Ready => {
                (MediaStatus::Preparing, None)
            }
            (false, None, false) => return false,
        };
        let same = (self.item.status, &self.item.reason) == (status, &reason);
        if same || !self.item.status.is_playable() {
            return false;
        }
        self.item.status = status;
        self.item.reason = reason;
        self.item.updated_at = Timestamp::now();
        true
    }

    /// About how many bytes it takes in a profile.
    pub(super) fn expected(&self, profile: &Profile) -> u64 {
        let bits = self.item.duration.as_secs_f64() * profile.total_bitrate().get() as f64;
        (bits / 8.0 * PACKAGING) as u64
    }

    /// What a job that runs is still to write.
    pub(super) fn promised(&self, entry: &Entry) -> u64 {
        match entry.work {
            Work::Running(Pace { percent, .. }) => {
                (self.expected(&entry.profile) as f64 * (1.0 - percent.min(100.0) / 100.0)) as u64
            }
            _ => 0,
        }
    }

    pub(super) fn view(&self, room: Room) -> MediaView {
        let rendition = |(key, entry): (&String, &Entry)| {
            let mut view = RenditionView {
                profile: key.clone(),
                status: entry.state(),
                percent: 0.0,
                measured_percent: None,
                eta_seconds: None,
                frames: None,
                bytes: None,
                loudness: None,
                warning: None,
                reason: None,
            };
            match &entry.work {
                Work::Paused | Work::Cancelled => {}
                Work::Waiting => {
                    let waits = room.paused || self.expected(&entry.profile) > room.spare;
                    view.reason = waits.then(|| NO_ROOM.to_owned());
                }
                Work::Running(Pace {
                    percent,
                    measured,
                    eta,
                    ..
                }) => {
                    view.percent = *percent;
                    view.measured_percent = *measured;
                    view.eta_seconds = eta.map(|eta| eta.as_secs_f64().ceil() as u64);
                }
                Work::Ready { prepared, .. } => {
                    view.percent = 100.0;
                    view.frames = Some(prepared.index.frames);
                    view.bytes = Some(prepared.index.bytes);
                    view.loudness = prepared.heard;
                    view.warning = prepared
                        .heard
                        .and_then(|heard| heard.remark(entry.profile.treatment.loudness));
                }
                Work::Failed { reason, .. } => {
                    view.reason = Some(reason.clone());
                }
            }
            view
        };
        MediaView {
            item: self.item.clone(),
            renditions: self.renditions.iter().map(rendition).collect(),
            subtitles: self.subtitles.values().cloned().collect(),
        }
    }
}

/// How long what has failed so often is left alone.
pub(super) fn patience(failures: u32) -> Duration {
    RETRY
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_RETRY)
}
