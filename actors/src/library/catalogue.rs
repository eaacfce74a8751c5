//! The library in memory: items, what was found in them, what is prepared, and what waits for that.
//!
//! Decides only; nothing here waits or touches the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use playout_domain::Language;
use playout_domain::ids::{ClientId, MediaId};
use playout_domain::media::{MediaItem, MediaStatus, Profile};
use playout_domain::prepare::{Demands, JobId, Lineup};
use playout_store::{Rendition, Subtitle};

use super::known::{Entry, Findings, Known, Work};
use super::view::MediaView;
use super::{Original, Prepared, Room};

#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) items: BTreeMap<MediaId, Known>,
    /// Where the items are.
    paths: HashMap<(ClientId, PathBuf), MediaId>,
    /// What waits for its turn.
    pub(super) lineup: Lineup<JobId>,
    /// What runs.
    pub(super) running: BTreeSet<JobId>,
    /// What has ended or is removed, until nothing is left of it: it is not begun before.
    pub(super) leaving: BTreeSet<JobId>,
    /// What channels need.
    pub(super) demands: Demands,
    /// What everything is prepared into.
    pub(super) default_profile: Option<Profile>,
    /// The first and the last place that somebody has given.
    pub(super) places: (i64, i64),
    /// Items of which the store does not know the latest.
    pub(super) unsaved: HashSet<MediaId>,
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
        self.put_in(Known::new(item, findings, 0));
    }

    fn put_in(&mut self, known: Known) {
        let Known { item, .. } = &known;
        self.paths
            .insert((item.client_id, item.path.clone()), item.id);
        self.items.insert(known.item.id, known);
    }

    /// Makes this catalogue know the items that `stored` knows, and no others; of those that both know,
    /// this one knows what they have become. Answers those that are new, and those that are gone.
    pub(super) fn take_up(&mut self, stored: Self) -> (Vec<MediaId>, Vec<Known>) {
        let gone: Vec<MediaId> = self.items.keys().copied().collect();
        let gone = gone.into_iter().filter(|id| !stored.items.contains_key(id));
        let gone = gone.filter_map(|id| self.remove(id)).collect();
        let mut new = Vec::new();
        for (id, known) in stored.items {
            if !self.items.contains_key(&id) {
                new.push(id);
                self.put_in(known);
                self.want_needed(id);
            }
        }
        (new, gone)
    }

    /// Notes what was found in an item's file.
    pub(super) fn examined(&mut self, media: MediaId, findings: Findings) {
        if let Some(known) = self.items.get_mut(&media) {
            known.findings = Some(findings);
        }
    }

    /// The file of an item has become another: what was prepared of it counts no more.
    pub(super) fn replace(&mut self, item: MediaItem, findings: Findings) {
        // One that another daemon has imported is new here.
        let edition = self
            .items
            .get(&item.id)
            .map_or(0, |known| known.edition + 1);
        let media = item.id;
        self.unsaved.insert(media);
        let mut known = Known::new(item, Some(findings), edition);
        let before = self.take_out(media);
        let (subtitles, renditions) = before
            .map(|before| (before.subtitles, before.renditions))
            .unwrap_or_default();
        known.subtitles = subtitles;
        for (key, entry) in renditions {
            // What people have said counts for the new file, too.
            let work = match entry.work {
                Work::Paused => Work::Paused,
                Work::Cancelled => Work::Cancelled,
                Work::Ready { .. } => continue,
                _ if entry.hand.is_some() => Work::Waiting,
                _ => continue,
            };
            let hand = entry.hand;
            let entry = Entry::new(entry.profile, work);
            known.renditions.insert(key, Entry { hand, ..entry });
        }
        let kept: Vec<_> = known.renditions.keys().cloned().collect();
        self.put_in(known);
        for key in kept {
            self.line_up(&JobId::new(media, key));
        }
        self.want_needed(media);
    }

    /// What is said in an item, by language.
    pub(super) fn subtitles(&self, media: MediaId) -> Vec<Subtitle> {
        let known = self.items.get(&media).into_iter();
        known
            .flat_map(|known| known.subtitles.values().cloned())
            .collect()
    }

    /// Notes what is said in an item; answers what it had in that language.
    pub(super) fn put_subtitle(&mut self, subtitle: Subtitle) -> Option<Subtitle> {
        let known = self.items.get_mut(&subtitle.media_id)?;
        known.subtitles.insert(subtitle.language.clone(), subtitle)
    }

    pub(super) fn remove_subtitle(
        &mut self,
        media: MediaId,
        language: &Language,
    ) -> Option<Subtitle> {
        self.items.get_mut(&media)?.subtitles.remove(language)
    }

    /// Makes this catalogue know these, and no others.
    pub(super) fn all_subtitles(&mut self, stored: Vec<Subtitle>) {
        for known in self.items.values_mut() {
            known.subtitles.clear();
        }
        for subtitle in stored {
            self.put_subtitle(subtitle);
        }
    }

    /// Changes an item; the store is to be told.
    pub(super) fn change(&mut self, media: MediaId, change: impl FnOnce(&mut MediaItem)) {
        if let Some(known) = self.items.get_mut(&media) {
            change(&mut known.item);
            self.unsaved.insert(media);
        }
    }

    /// The file of an item is now at `path`, and is there.
    pub(super) fn relocate(&mut self, media: MediaId, path: PathBuf) {
        let Some(known) = self.items.get_mut(&media) else {
            return;
        };
        let item = &mut known.item;
        self.paths.remove(&(item.client_id, item.path.clone()));
        self.paths.insert((item.client_id, path.clone()), media);
        item.path = path;
        item.missing_since = None;
        self.unsaved.insert(media);
    }

    /// The items of a client whose files are in `folder`, also deeper.
    pub(super) fn within(&self, client: ClientId, folder: &Path) -> Vec<MediaItem> {
        let items = self.items.values().map(|known| &known.item);
        let within = items.filter(|item| item.client_id == client && item.path.starts_with(folder));
        within.cloned().collect()
    }

    /// Forgets an item; the jobs that work on it end.
    pub(super) fn remove(&mut self, media: MediaId) -> Option<Known> {
        self.unsaved.remove(&media);
        self.take_out(media)
    }

    fn take_out(&mut self, media: MediaId) -> Option<Known> {
        let keys: Vec<_> = self.items.get(&media)?.renditions.keys().cloned().collect();
        for key in keys {
            let job = JobId::new(media, key);
            self.lineup.remove(&job);
            self.end(&job);
        }
        let known = self.items.remove(&media)?;
        self.paths
            .remove(&(known.item.client_id, known.item.path.clone()));
        Some(known)
    }

    /// The item of a client with this file.
    pub(super) fn by_path(&self, client: ClientId, path: &Path) -> Option<&Known> {
        self.items.get(self.paths.get(&(client, path.to_owned()))?)
    }

    /// A rendition as it is in the store, checked against the disk.
    pub(super) fn restore(&mut self, rendition: &Rendition, prepared: Prepared) {
        let Some(known) = self.items.get_mut(&rendition.media_id) else {
            return;
        };
        let (id, created_at) = (rendition.id, rendition.created_at);
        let work = Work::Ready {
            prepared,
            id,
            created_at,
            unneeded_since: rendition.unneeded_since,
            saved: true,
        };
        let entry = Entry::new(rendition.profile, work);
        known.renditions.insert(rendition.profile.key(), entry);
        if known.measure(&rendition.profile, rendition.frames) {
            self.unsaved.insert(rendition.media_id);
        }
    }

    /// Brings items to where they were when the daemon ended.
    pub(super) fn resume(&mut self, default_profile: Option<&Profile>) {
        self.default_profile = default_profile.copied();
        let ids: Vec<MediaId> = self.items.keys().copied().collect();
        for id in ids {
            if let Some(profile) = default_profile
                && let Some(known) = self.items.get_mut(&id)
            {
                match (known.item.status, &known.item.reason) {
                    (MediaStatus::Failed, Some(reason)) => {
                        let reason = reason.clone();
                        let failed = || Entry {
                            failures: 1,
                            ..Entry::new(*profile, Work::Failed { reason, at: None })
                        };
                        known.renditions.entry(profile.key()).or_insert_with(failed);
                    }
                    (MediaStatus::Failed, None) => {}
                    _ => drop(self.want(id, profile)),
                }
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
        let known = self
            .items
            .get(&media)
            .filter(|known| known.item.status.is_playable())?;
        let probed = Arc::clone(&known.findings.as_ref()?.probed);
        Some(Original {
            path: known.item.path.clone(),
            probed,
            loudness: known.item.loudness.clone(),
        })
    }

    pub(super) fn frames(&self, media: MediaId, profile: &Profile) -> Option<u64> {
        if let Some(prepared) = self.prepared(media, profile) {
            return Some(prepared.index.frames);
        }
        let known = self
            .items
            .get(&media)
            .filter(|known| known.item.status.is_playable())?;
        match &known.findings {
            Some(findings) if !known.is_measured() => findings.probed.frames(profile.frame_rate),
            // The item's own length is exact, or all that is known.
            _ => {
                let rate = profile.frame_rate;
                let length = known.item.duration + rate.duration(1) / 2;
                Some(rate.frames_at(length)).filter(|frames| *frames > 0)
            }
        }
    }

    /// Brings the status of an item up to date.
    pub(super) fn settle(&mut self, media: MediaId) {
        if self.items.get_mut(&media).is_some_and(Known::settle) {
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
            if let Work::Ready {
                prepared,
                id,
                created_at,
                unneeded_since,
                saved,
            } = &mut entry.work
                && !*saved
            {
                *saved = true;
                let (frames, bytes) = (prepared.index.frames, prepared.index.bytes);
                let (profile, created_at) = (*entry.profile, *created_at);
                let unneeded_since = *unneeded_since;
                renditions.push(Rendition {
                    id: *id,
                    media_id: media,
                    profile,
                    frames,
                    bytes,
                    created_at,
                    heard: prepared.heard,
                    unneeded_since,
                });
            }
        }
        Some((known.item.clone(), renditions))
    }

    /// The store did not take it: it is tried again.
    pub(super) fn not_saved(&mut self, media: MediaId, renditions: &[Rendition]) {
        let Some(known) = self.items.get_mut(&media) else {
            return;
        };
        self.unsaved.insert(media);
        for rendition in renditions {
            if let Some(Entry {
                work: Work::Ready { saved, .. },
                ..
            }) = known.renditions.get_mut(&rendition.profile.key())
            {
                *saved = false;
            }
        }
    }

    pub(super) fn view(&self, media: MediaId, room: Room) -> Option<MediaView> {
        self.items.get(&media).map(|known| known.view(room))
    }

    pub(super) fn list(
        &self,
        after: Option<MediaId>,
        limit: usize,
        room: Room,
        sees: impl Fn(ClientId) -> bool,
    ) -> Vec<MediaView> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self
            .items
            .range((from, Bound::Unbounded))
            .map(|(_, known)| known);
        later
            .filter(|known| sees(known.item.client_id))
            .take(limit)
            .map(|known| known.view(room))
            .collect()
    }
}
