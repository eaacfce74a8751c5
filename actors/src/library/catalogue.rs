//! The library in memory: items, what was found in them, what is prepared, and what waits for that.
//!
//! Decides only; nothing here waits or touches the disk.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ids::{ClientId, MediaId, RenditionId};
use playout_domain::media::{MediaItem, MediaStatus, Profile};
use playout_media::probe::Probed;
use playout_store::Rendition;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::files::Stamp;
use super::view::{MediaView, RenditionStatus, RenditionView};
use super::{Original, Prepared};

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
    Waiting { urgent: bool },
    Running { percent: f64, eta: Option<Duration> },
    Ready { prepared: Prepared, id: RenditionId, created_at: Timestamp, saved: bool },
    Failed { reason: String, at: Instant },
}

#[derive(Debug)]
struct Entry {
    profile: Profile,
    work: Work,
    /// Failures in a row.
    failures: u32,
    /// Ends the job that works on it.
    job: Option<AbortHandle>,
}

/// One item.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) item: MediaItem,
    /// Nothing until it was examined in this run, where the findings of an earlier one are lost.
    pub(super) findings: Option<Findings>,
    /// By the profile's key.
    renditions: BTreeMap<String, Entry>,
    /// Counts the files that this item has been: what a job makes of an earlier one is dropped.
    edition: u64,
}

/// Something to prepare, and of which edition.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) media: MediaId,
    pub(super) profile: Profile,
    pub(super) edition: u64,
}

#[derive(Debug, Default)]
pub(super) struct Catalogue {
    items: BTreeMap<MediaId, Known>,
    /// Where the items are.
    paths: HashMap<(ClientId, PathBuf), MediaId>,
    /// What a channel waits for.
    urgent: VecDeque<(MediaId, Profile)>,
    /// What nobody waits for.
    later: VecDeque<(MediaId, Profile)>,
    /// Items of which the store does not know the latest.
    unsaved: HashSet<MediaId>,
}

impl Catalogue {
    pub(super) fn item(&self, media: MediaId) -> Option<&MediaItem> {
        self.items.get(&media).map(|known| &known.item)
    }

    pub(super) fn findings(&self, media: MediaId) -> Option<Findings> {
        self.items.get(&media)?.findings.clone()
    }

    /// Puts an item in, as it is in the store.
    pub(super) fn insert(&mut self, item: MediaItem, findings: Option<Findings>) {
        self.put_in(Known { item, findings, renditions: BTreeMap::new(), edition: 0 });
    }

    fn put_in(&mut self, known: Known) {
        let Known { item, .. } = &known;
        self.paths.insert((item.client_id, item.path.clone()), item.id);
        self.items.insert(known.item.id, known);
    }

    /// Notes what was found in an item's file.
    pub(super) fn examined(&mut self, media: MediaId, findings: Findings) {
        if let Some(known) = self.items.get_mut(&media) {
            known.findings = Some(findings);
        }
    }

    /// The file of an item has become another: what was prepared of it counts no more.
    pub(super) fn replace(&mut self, item: MediaItem, findings: Findings) {
        let Some(known) = self.items.get_mut(&item.id) else { return };
        let edition = known.edition + 1;
        self.unsaved.insert(item.id);
        let known = Known { item, findings: Some(findings), renditions: BTreeMap::new(), edition };
        self.take_out(known.item.id);
        self.put_in(known);
    }

    /// Forgets an item; the jobs that work on it end.
    pub(super) fn remove(&mut self, media: MediaId) -> Option<Known> {
        self.unsaved.remove(&media);
        self.take_out(media)
    }

    fn take_out(&mut self, media: MediaId) -> Option<Known> {
        self.urgent.retain(|(waiting, _)| *waiting != media);
        self.later.retain(|(waiting, _)| *waiting != media);
        let known = self.items.remove(&media)?;
        self.paths.remove(&(known.item.client_id, known.item.path.clone()));
        for job in known.renditions.values().filter_map(|entry| entry.job.as_ref()) {
            job.abort();
        }
        Some(known)
    }

    /// The item of a client with this file.
    pub(super) fn by_path(&self, client: ClientId, path: &Path) -> Option<&Known> {
        self.items.get(self.paths.get(&(client, path.to_owned()))?)
    }

    /// A rendition as it is in the store, checked against the disk.
    pub(super) fn restore(&mut self, rendition: &Rendition, prepared: Prepared) {
        let Some(known) = self.items.get_mut(&rendition.media_id) else { return };
        let (id, created_at) = (rendition.id, rendition.created_at);
        let work = Work::Ready { prepared, id, created_at, saved: true };
        let entry = Entry { profile: rendition.profile, work, failures: 0, job: None };
        known.renditions.insert(rendition.profile.key(), entry);
    }

    /// Brings items to where they were when the daemon ended.
    pub(super) fn resume(&mut self, default_profile: Option<&Profile>) {
        let ids: Vec<MediaId> = self.items.keys().copied().collect();
        for id in ids {
            if let Some(profile) = default_profile
                && self.item(id).is_some_and(|item| item.status != MediaStatus::Failed)
            {
                self.want(id, profile, false);
            }
            self.settle(id);
        }
    }

    pub(super) fn prepared(&self, media: MediaId, profile: &Profile) -> Option<Prepared> {
        match &self.items.get(&media)?.renditions.get(&profile.key())?.work {
            Work::Ready { prepared, .. } => Some(prepared.clone()),
            _ => None,
        }
    }

    pub(super) fn original(&self, media: MediaId) -> Option<Original> {
        let known = self.items.get(&media).filter(|known| known.item.status.is_playable())?;
        let probed = Arc::clone(&known.findings.as_ref()?.probed);
        Some(Original { path: known.item.path.clone(), probed })
    }

    pub(super) fn frames(&self, media: MediaId, profile: &Profile) -> Option<u64> {
        if let Some(prepared) = self.prepared(media, profile) {
            return Some(prepared.index.frames);
        }
        let known = self.items.get(&media).filter(|known| known.item.status.is_playable())?;
        match &known.findings {
            Some(findings) => findings.probed.frames(profile.frame_rate),
            None => Some(profile.frame_rate.frames_at(known.item.duration)).filter(|frames| *frames > 0),
        }
    }

    /// Puts a rendition into the queue, unless it is there or further; answers whether it did.
    pub(super) fn want(&mut self, media: MediaId, profile: &Profile, urgent: bool) -> bool {
        let Some(known) = self.items.get_mut(&media) else { return false };
        if !known.item.status.is_playable() {
            return false;
        }
        let key = profile.key();
        let failures = match known.renditions.get(&key) {
            None => 0,
            Some(Entry { work: Work::Waiting { urgent: false }, .. }) if urgent => {
                self.later.retain(|waiting| *waiting != (media, *profile));
                0
            }
            Some(Entry { work: Work::Failed { at, .. }, failures, .. }) if at.elapsed() >= patience(*failures) => {
                *failures
            }
            Some(_) => return false,
        };
        let entry = Entry { profile: *profile, work: Work::Waiting { urgent }, failures, job: None };
        known.renditions.insert(key, entry);
        let queue = if urgent { &mut self.urgent } else { &mut self.later };
        queue.push_back((media, *profile));
        self.settle(media);
        true
    }

    /// The next thing to prepare, which counts as running from now on.
    pub(super) fn next(&mut self) -> Option<Order> {
        loop {
            let (media, profile) = self.urgent.pop_front().or_else(|| self.later.pop_front())?;
            let Some(known) = self.items.get_mut(&media) else { continue };
            let edition = known.edition;
            if let Some(entry) = known.renditions.get_mut(&profile.key()) {
                entry.work = Work::Running { percent: 0.0, eta: None };
                return Some(Order { media, profile, edition });
            }
        }
    }

    /// Notes which job works on an order, so that it ends with the item.
    pub(super) fn working(&mut self, order: &Order, job: AbortHandle) {
        match self.entry(order) {
            Some(entry) => entry.job = Some(job),
            None => job.abort(),
        }
    }

    /// Whether an order is still wanted.
    pub(super) fn progress(&mut self, order: &Order, percent: f64, eta: Option<Duration>) -> bool {
        let Some(entry) = self.entry(order) else { return false };
        entry.work = Work::Running { percent, eta };
        true
    }

    /// An order is done. Answers the item; nothing when it is not wanted any more: what was made
    /// of an item that is gone, or another by now.
    pub(super) fn done(
        &mut self,
        order: &Order,
        outcome: Result<(Prepared, RenditionId), String>,
    ) -> Option<MediaItem> {
        let entry = self.entry(order)?;
        entry.job = None;
        match outcome {
            Ok((prepared, id)) => {
                entry.failures = 0;
                entry.work = Work::Ready { prepared, id, created_at: Timestamp::now(), saved: false };
            }
            Err(reason) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.work = Work::Failed { reason, at: Instant::now() };
            }
        }
        self.settle(order.media);
        self.unsaved.insert(order.media);
        self.item(order.media).cloned()
    }

    /// Work that was begun and will not be ended, because its queue has ended: it waits again.
    pub(super) fn requeue(&mut self) {
        for (media, known) in &mut self.items {
            for entry in known.renditions.values_mut() {
                if matches!(entry.work, Work::Running { .. }) {
                    entry.work = Work::Waiting { urgent: true };
                    entry.job = None;
                    self.urgent.push_front((*media, entry.profile));
                }
            }
        }
    }

    fn entry(&mut self, order: &Order) -> Option<&mut Entry> {
        let known = self.items.get_mut(&order.media).filter(|known| known.edition == order.edition)?;
        let entry = known.renditions.get_mut(&order.profile.key())?;
        matches!(entry.work, Work::Running { .. }).then_some(entry)
    }

    /// The status of an item follows from its renditions.
    fn settle(&mut self, media: MediaId) {
        let Some(known) = self.items.get_mut(&media) else { return };
        let works = || known.renditions.values().map(|entry| &entry.work);
        let failed = works().find_map(|work| match work {
            Work::Failed { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        let under_way = works().any(|work| matches!(work, Work::Waiting { .. } | Work::Running { .. }));
        let ready = works().any(|work| matches!(work, Work::Ready { .. }));
        let (status, reason) = match (under_way, failed, ready) {
            (true, ..) => (MediaStatus::Preparing, None),
            (false, Some(reason), _) => (MediaStatus::Failed, Some(reason)),
            (false, None, true) => (MediaStatus::Ready, None),
            // What was prepared is lost.
            (false, None, false) if known.item.status == MediaStatus::Ready => {
                (MediaStatus::Preparing, None)
            }
            (false, None, false) => return,
        };
        if (known.item.status, &known.item.reason) != (status, &reason) && known.item.status.is_playable() {
            known.item.status = status;
            known.item.reason = reason;
            known.item.updated_at = Timestamp::now();
            self.unsaved.insert(media);
        }
    }

    /// An item of which the store does not know the latest, and its renditions that the store does
    /// not know; it counts as known from now on.
    pub(super) fn take_unsaved(&mut self) -> Option<(MediaItem, Vec<Rendition>)> {
        let media = *self.unsaved.iter().next()?;
        self.unsaved.remove(&media);
        let known = self.items.get_mut(&media)?;
        let mut renditions = Vec::new();
        for entry in known.renditions.values_mut() {
            if let Work::Ready { prepared, id, created_at, saved } = &mut entry.work
                && !*saved
            {
                *saved = true;
                let (frames, bytes) = (prepared.index.frames, prepared.index.bytes);
                let (profile, created_at) = (entry.profile, *created_at);
                renditions.push(Rendition { id: *id, media_id: media, profile, frames, bytes, created_at });
            }
        }
        Some((known.item.clone(), renditions))
    }

    /// The store did not take it: it is tried again.
    pub(super) fn not_saved(&mut self, media: MediaId, renditions: &[Rendition]) {
        let Some(known) = self.items.get_mut(&media) else { return };
        self.unsaved.insert(media);
        for rendition in renditions {
            if let Some(Entry { work: Work::Ready { saved, .. }, .. }) =
                known.renditions.get_mut(&rendition.profile.key())
            {
                *saved = false;
            }
        }
    }

    pub(super) fn view(&self, media: MediaId) -> Option<MediaView> {
        self.items.get(&media).map(Known::view)
    }

    pub(super) fn list(
        &self,
        after: Option<MediaId>,
        limit: usize,
        sees: impl Fn(ClientId) -> bool,
    ) -> Vec<MediaView> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.items.range((from, Bound::Unbounded)).map(|(_, known)| known);
        later.filter(|known| sees(known.item.client_id)).take(limit).map(Known::view).collect()
    }
}

impl Known {
    fn view(&self) -> MediaView {
        let rendition = |(key, entry): (&String, &Entry)| {
            let mut view = RenditionView {
                profile: key.clone(),
                status: RenditionStatus::Waiting,
                percent: 0.0,
                eta_seconds: None,
                frames: None,
                bytes: None,
                reason: None,
            };
            match &entry.work {
                Work::Waiting { .. } => {}
                Work::Running { percent, eta } => {
                    view.status = RenditionStatus::Preparing;
                    view.percent = *percent;
                    view.eta_seconds = eta.map(|eta| eta.as_secs_f64().ceil() as u64);
                }
                Work::Ready { prepared, .. } => {
                    view.status = RenditionStatus::Ready;
                    view.percent = 100.0;
                    view.frames = Some(prepared.index.frames);
                    view.bytes = Some(prepared.index.bytes);
                }
                Work::Failed { reason, .. } => {
                    view.status = RenditionStatus::Failed;
                    view.reason = Some(reason.clone());
                }
            }
            view
        };
        MediaView { item: self.item.clone(), renditions: self.renditions.iter().map(rendition).collect() }
    }
}

/// How long what has failed so often is left alone.
fn patience(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_RETRY)
}
