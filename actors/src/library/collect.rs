//! What is prepared and nobody needs any more is removed, when that has been so for long, or when the disk runs short.
//!
//! Needed is what a channel shows, names or has in its plan, and what is prepared for everybody. Channels that have not
//! spoken here (another daemon's, one that is damaged, one that is just being loaded) are asked in the database.

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, ClientId, MediaId};
use playout_domain::media::Profile;
use playout_domain::prepare::JobId;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::catalogue::Catalogue;
use super::known::{Entry, Work};
use super::{Inner, Library};
use crate::hub::kind;

/// Something that is prepared and that no channel here needs.
#[derive(Debug, Clone, Copy)]
struct Unneeded {
    since: Timestamp,
    media: MediaId,
    profile: Profile,
    bytes: u64,
}

impl Library {
    /// Removes what nobody needs until `missing` bytes more are free, the longest unneeded first; answers how many
    /// there are.
    pub(crate) async fn make_room(&self, missing: u64) -> u64 {
        let inner = &self.inner;
        let _turn = inner.collecting.lock().await;
        let now = Timestamp::now();
        inner.write(|catalogue| catalogue.note_unneeded(now));
        let mut freed = 0;
        for unneeded in inner.read(Catalogue::unneeded) {
            if freed >= missing {
                break;
            }
            match inner.remove_unneeded(&unneeded).await {
                Ok(true) => freed += unneeded.bytes,
                Ok(false) => {}
                Err(()) => break,
            }
        }
        freed
    }
}

impl Inner {
    /// Notes what nobody needs, and removes what nobody has needed for the time of grace.
    pub(super) async fn collect(&self, now: Timestamp) {
        // Without the database it is not known what other channels need.
        if !self.store.is_taken_up() {
            return;
        }
        let _turn = self.collecting.lock().await;
        self.write(|catalogue| catalogue.note_unneeded(now));
        let grace = self.collect_after;
        let is_over = |unneeded: &Unneeded| {
            let for_so_long = now.duration_since(unneeded.since).unsigned_abs();
            unneeded.since <= now && for_so_long >= grace
        };
        let unneeded = self.read(Catalogue::unneeded).into_iter();
        for unneeded in unneeded.filter(is_over) {
            if self.remove_unneeded(&unneeded).await.is_err() {
                break;
            }
        }
        self.work.notify_one();
    }

    /// Removes what nobody needs, row and files; answers whether nobody did.
    async fn remove_unneeded(&self, unneeded: &Unneeded) -> Result<bool, ()> {
        let Unneeded { media, profile, .. } = *unneeded;
        let away = |error| tracing::debug!(%media, %error, "what nobody needs stays for now");
        let told: Vec<ChannelId> = self.read(|all| all.demands.channels().collect());
        if self
            .store
            .is_named(media, &profile, told)
            .await
            .map_err(away)?
        {
            self.write(|catalogue| catalogue.note_needed(media, &profile));
            return Ok(false);
        }
        let removed = self.write(|catalogue| catalogue.collect(media, &profile));
        let Some((client, title, entry)) = removed else {
            return Ok(false);
        };
        if let Err(error) = self.store.delete_rendition(media, &profile).await {
            away(error);
            self.write(|catalogue| catalogue.put_back(media, &profile, entry));
            return Err(());
        }
        let files = self.files.clone();
        // What cannot be removed now is a stray at the next start.
        let _ = spawn_blocking(move || files.remove_prepared(media, &profile)).await;
        let job = JobId::new(media, profile.key());
        self.write(|catalogue| catalogue.leaving.remove(&job));
        self.work.notify_one();
        tracing::info!(%media, profile = profile.key(), "what nobody needs is removed");
        let data = json!({ "id": media, "title": title, "profile": profile.key(), "bytes": unneeded.bytes });
        self.publish(kind::MEDIA_COLLECTED, client, data);
        Ok(true)
    }
}

impl Catalogue {
    /// Notes since when what is ready is needed by nobody.
    fn note_unneeded(&mut self, now: Timestamp) {
        let mut changed = Vec::new();
        for (media, known) in &mut self.items {
            for (key, entry) in &mut known.renditions {
                let Work::Ready {
                    unneeded_since,
                    saved,
                    ..
                } = &mut entry.work
                else {
                    continue;
                };
                let job = JobId::new(*media, key.as_str());
                let default = self.default_profile.as_ref();
                let is_default = default.is_some_and(|profile| *profile == *entry.profile);
                let since = match is_default || self.demands.is_needed(&job) {
                    true => None,
                    false => unneeded_since.or(Some(now)),
                };
                if since != *unneeded_since {
                    (*unneeded_since, *saved) = (since, false);
                    changed.push(*media);
                }
            }
        }
        self.unsaved.extend(changed);
    }

    /// Somebody needs it after all: it is asked again after another time of grace.
    fn note_needed(&mut self, media: MediaId, profile: &Profile) {
        let entry = self.entry_of_mut(&JobId::new(media, profile.key()));
        if let Some(Work::Ready {
            unneeded_since,
            saved,
            ..
        }) = entry.map(|entry| &mut entry.work)
        {
            (*unneeded_since, *saved) = (None, false);
            self.unsaved.insert(media);
        }
    }

    /// What nobody here needs, what has not been needed for the longest time first.
    fn unneeded(&self) -> Vec<Unneeded> {
        let mut unneeded = Vec::new();
        for (media, known) in &self.items {
            for entry in known.renditions.values() {
                if let Work::Ready {
                    unneeded_since: Some(since),
                    prepared,
                    ..
                } = &entry.work
                {
                    unneeded.push(Unneeded {
                        since: *since,
                        media: *media,
                        profile: *entry.profile,
                        bytes: prepared.index.bytes,
                    });
                }
            }
        }
        unneeded.sort_by_key(|unneeded| (unneeded.since, unneeded.media));
        unneeded
    }

    /// Takes out what is ready and still needed by nobody.
    fn collect(&mut self, media: MediaId, profile: &Profile) -> Option<(ClientId, String, Entry)> {
        let job = JobId::new(media, profile.key());
        let is_ready = self.prepared(media, profile).is_some();
        if self.is_needed(&job) || !is_ready {
            return None;
        }
        let known = self.items.get_mut(&media)?;
        let entry = known.renditions.remove(&*job.profile)?;
        let told = (known.item.client_id, known.item.title.clone(), entry);
        self.leaving.insert(job);
        self.settle(media);
        Some(told)
    }

    /// It could not be removed.
    fn put_back(&mut self, media: MediaId, profile: &Profile, entry: Entry) {
        let job = JobId::new(media, profile.key());
        self.leaving.remove(&job);
        self.lineup.remove(&job);
        if let Some(known) = self.items.get_mut(&media) {
            known.renditions.insert(profile.key(), entry);
        }
        self.settle(media);
    }
}
