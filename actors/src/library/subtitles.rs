//! Subtitles of items: attached, listed, taken away, and found while their item is on air.
//!
//! The database has the text; a copy lies in the library's folder, so that what airs asks nobody. A copy is known by its
//! digest, and fetched anew where it is missing:
//!
//! ```text
//! subtitles/<id>.<language>.<digest>.vtt
//! ```

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playout_domain::Language;
use playout_domain::ids::MediaId;
use playout_domain::violation::Violations;
use playout_media::subtitle::{Format, Track};
use playout_store::{Expected, Principal, StoreError, Subtitle, SubtitleOrigin};
use tokio::task::spawn_blocking;

use super::files::{Files, Strays, entries, is_ours, remove, write_whole};
use super::{Inner, Library};
use crate::error::OpError;
use crate::hub::kind;

/// Their folder in the library's own.
pub(super) const FOLDER: &str = "subtitles";
/// So much of a digest is in a file's name.
const NAMED: usize = 16;

impl Library {
    /// What is said in an item, by language.
    ///
    /// # Errors
    /// There is no such item, or it is another client's.
    pub fn subtitles(&self, who: &Principal, id: MediaId) -> Result<Vec<Subtitle>, OpError> {
        self.seen(who, id)?;
        Ok(self.inner.read(|catalogue| catalogue.subtitles(id)))
    }

    /// What is said in an item in one language, and as WebVTT.
    ///
    /// # Errors
    /// There is nothing, or it is another client's; the database does not answer.
    pub async fn subtitle(
        &self,
        who: &Principal,
        id: MediaId,
        language: &Language,
    ) -> Result<(Subtitle, String), OpError> {
        let known = self.subtitles(who, id)?;
        let known = known.into_iter().find(|known| known.language == *language);
        let known = known.ok_or(OpError::NotFound("subtitles"))?;
        if let Some(text) = self.inner.copy(&known).await {
            return Ok((known, text));
        }
        let text = self.inner.store.subtitle_content(id, language).await?;
        Ok((known, text.ok_or(OpError::NotFound("subtitles"))?))
    }

    /// Attaches a file to an item, in place of what it has in that language. Answers it, and whether there was none.
    ///
    /// # Errors
    /// There is no such item, or it is another client's; what is wrong with the file, and where; the plan's limit; what is
    /// there is of another version.
    pub async fn attach_subtitle(
        &self,
        who: &Principal,
        id: MediaId,
        (language, expected): (Language, Expected),
        (format, file): (Format, &[u8]),
    ) -> Result<(Subtitle, bool), OpError> {
        let known = self.subtitles(who, id)?;
        let is_new = !known.iter().any(|known| known.language == language);
        let track = Track::parse(file, format)
            .map_err(|refusal| OpError::Invalid(Violations::one("", refusal.to_string())))?;
        let (text, cues) = (track.to_webvtt(), track.cues.len());
        let subtitle = Subtitle::new(id, language, SubtitleOrigin::Api, &text, cues);
        let (inner, who, kept) = (Arc::clone(&self.inner), who.clone(), subtitle.clone());
        let attaching =
            tokio::spawn(async move { inner.put_subtitle(&who, kept, &text, expected).await });
        attaching.await.map_err(OpError::internal)??;
        Ok((subtitle, is_new))
    }

    /// Takes away what an item has in a language.
    ///
    /// # Errors
    /// There is nothing, or it is another client's; it is of another version.
    pub async fn delete_subtitle(
        &self,
        who: &Principal,
        id: MediaId,
        language: &Language,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        self.seen(who, id)?;
        let inner = &self.inner;
        let deleted = inner.store.delete_subtitle(who, id, language, version);
        match deleted.await {
            Err(StoreError::NotFound) => return Err(OpError::NotFound("subtitles")),
            other => other?,
        }
        let removed = inner.write(|catalogue| catalogue.remove_subtitle(id, language));
        if let Some(removed) = removed {
            inner.remove_copies(vec![removed]).await;
        }
        inner.told_of(id);
        Ok(())
    }

    /// What is to be shown of an item to whoever reads `language`, if there is anything. What nobody has named a language
    /// of serves the channel's default one. Never waits.
    pub(crate) fn subtitle_for(
        &self,
        media: MediaId,
        language: &Language,
        is_default: bool,
    ) -> Option<Subtitle> {
        let known = self.inner.read(|catalogue| catalogue.subtitles(media));
        let chosen = language.choose(known.iter().map(|known| &known.language));
        let unnamed = || {
            let unnamed = known.iter().find(|known| known.language.is_undetermined());
            unnamed.filter(|_| is_default)
        };
        let chosen =
            chosen.and_then(|language| known.iter().find(|known| known.language == *language));
        chosen.or_else(unnamed).cloned()
    }

    /// The cues of a text. Asks the disk alone; where the copy is missing it is fetched, and there for the next one who asks.
    pub(crate) async fn cues(&self, subtitle: &Subtitle) -> Option<Track> {
        match self.inner.copy(subtitle).await {
            Some(text) => Track::from_webvtt(&text).ok(),
            None => {
                let (inner, subtitle) = (Arc::clone(&self.inner), subtitle.clone());
                tokio::spawn(async move { inner.fetch_copies(vec![subtitle]).await });
                None
            }
        }
    }
}

impl Inner {
    /// Stores a text, keeps a copy, and says so.
    pub(super) async fn put_subtitle(
        &self,
        who: &Principal,
        subtitle: Subtitle,
        text: &str,
        expected: Expected,
    ) -> Result<(), OpError> {
        // Two for one language at once: memory has what the database has.
        let _turn = self.editing.lock().await;
        let saved = self.store.save_subtitle(who, &subtitle, text, expected);
        match saved.await {
            Err(StoreError::NotFound) => return Err(OpError::NotFound("media")),
            other => other?,
        }
        self.keep_copy(&subtitle, text.to_owned()).await;
        let media = subtitle.media_id;
        let replaced = self.write(|catalogue| catalogue.put_subtitle(subtitle.clone()));
        if let Some(replaced) = replaced.filter(|replaced| replaced.sha256 != subtitle.sha256) {
            self.remove_copies(vec![replaced]).await;
        }
        self.told_of(media);
        Ok(())
    }

    /// Tells that what is known of an item is another.
    fn told_of(&self, media: MediaId) {
        if let Some(item) = self.read(|catalogue| catalogue.item(media).cloned()) {
            self.publish(kind::MEDIA_CHANGED, item.client_id, item.to_json());
        }
    }

    /// Makes memory and the copies on disk follow the database. Nothing is read where that has not changed, unless memory
    /// has: `anew`.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn follow_subtitles(
        self: &Arc<Self>,
        strays: Strays,
        anew: bool,
    ) -> Result<(), OpError> {
        // What is brought meanwhile is not forgotten.
        let _turn = self.editing.lock().await;
        let mark = self.store.subtitles_mark().await.ok();
        if !anew && mark.is_some() && *lock(&self.subtitles_mark) == mark {
            return Ok(());
        }
        let stored = self.store.all_subtitles().await?;
        *lock(&self.subtitles_mark) = mark;
        self.write(|catalogue| catalogue.all_subtitles(stored.clone()));
        let files = self.files.clone();
        let missing = spawn_blocking(move || files.compare_subtitles(stored, strays)).await;
        let missing = missing.map_err(OpError::internal)?;
        if !missing.is_empty() {
            let inner = Arc::clone(self);
            tokio::spawn(async move { inner.fetch_copies(missing).await });
        }
        Ok(())
    }

    /// Fetches what is missing on disk.
    async fn fetch_copies(&self, missing: Vec<Subtitle>) {
        for subtitle in missing {
            let (media, language) = (subtitle.media_id, &subtitle.language);
            match self.store.subtitle_content(media, language).await {
                // Another daemon may have brought another one since.
                Ok(Some(text)) if subtitle.is_of(&text) => self.keep_copy(&subtitle, text).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%media, %language, %error, "subtitles are not here, and cannot be fetched");
                    return;
                }
            }
        }
    }

    async fn keep_copy(&self, subtitle: &Subtitle, text: String) {
        let path = self.files.subtitle(subtitle);
        let kept = spawn_blocking(move || write_whole(&path, text.as_bytes())).await;
        if let Ok(Err(error)) = kept {
            // It is fetched when it is needed.
            tracing::warn!(media = %subtitle.media_id, language = %subtitle.language, %error, "subtitles cannot be kept on disk");
        }
    }

    async fn copy(&self, subtitle: &Subtitle) -> Option<String> {
        let path = self.files.subtitle(subtitle);
        let read = spawn_blocking(move || fs::read_to_string(path)).await;
        let text = read.ok()?.ok()?;
        subtitle.is_of(&text).then_some(text)
    }

    async fn remove_copies(&self, gone: Vec<Subtitle>) {
        let files = self.files.clone();
        let removed = move || gone.iter().for_each(|gone| remove(&files.subtitle(gone)));
        let _ = spawn_blocking(removed).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    fn subtitle(&self, subtitle: &Subtitle) -> PathBuf {
        let Subtitle {
            media_id, language, ..
        } = subtitle;
        let digest = subtitle.sha256.get(..NAMED).unwrap_or(&subtitle.sha256);
        let name = format!("{media_id}.{language}.{digest}.vtt");
        self.dir().join(FOLDER).join(name)
    }

    /// Removes the copies of everything that is said in an item. Blocks.
    pub(super) fn remove_subtitles(&self, known: &[Subtitle]) {
        known.iter().for_each(|known| remove(&self.subtitle(known)));
    }

    /// What of `stored` is not here as it should be; what is here and not stored is a stray. Blocks.
    fn compare_subtitles(&self, stored: Vec<Subtitle>, strays: Strays) -> Vec<Subtitle> {
        if strays == Strays::Remove {
            let known: HashSet<PathBuf> = stored.iter().map(|known| self.subtitle(known)).collect();
            let there = entries(&self.dir().join(FOLDER)).into_iter();
            there
                .filter(|file| !known.contains(file) && is_ours(file))
                .for_each(|file| remove(&file));
        }
        let is_here = |known: &Subtitle| {
            fs::metadata(self.subtitle(known)).is_ok_and(|file| file.len() == known.bytes)
        };
        stored.into_iter().filter(|known| !is_here(known)).collect()
    }
}
