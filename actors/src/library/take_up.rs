//! A library that was loaded without the database takes up what it has, when it is there at last.

use super::files::Strays;
use super::{Inner, Library, LibraryFact};
use std::sync::Arc;

use playout_domain::media::MediaItem;

use crate::error::OpError;

impl Library {
    /// Takes in what other daemons have imported since, and lets go of what they have deleted. New items are
    /// looked into at once, so that they can be played before they are prepared here.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn refresh(&self) -> Result<(), OpError> {
        let inner = &self.inner;
        let known = inner.read(|catalogue| catalogue.items.keys().copied().collect());
        let (new, gone) = inner.store.media_news(known).await?;
        for id in gone {
            if inner.write(|catalogue| catalogue.remove(id)).is_some() {
                inner.tell(LibraryFact::Removed { media: id });
                let files = inner.files.clone();
                // What cannot be removed now is a stray at the next start.
                let _ = tokio::task::spawn_blocking(move || files.remove(id)).await;
            }
        }
        let anew = !new.is_empty();
        let mut unseen = Vec::new();
        for item in new {
            let is_new = inner.write(|catalogue| {
                let is_new = catalogue.item(item.id).is_none();
                if is_new {
                    catalogue.insert(item.clone(), None);
                }
                is_new
            });
            if is_new && item.status.is_playable() {
                unseen.push(item);
            }
        }
        inner.follow_subtitles(Strays::Keep, anew).await?;
        if !unseen.is_empty() {
            tokio::spawn(look_into(Arc::clone(inner), unseen));
        }
        Ok(())
    }

    /// Compares with what the database has: items that it does not have are gone, those that only it has are
    /// new.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn take_up(&self) -> Result<(), OpError> {
        let inner = &self.inner;
        let store = &inner.store;
        let (items, renditions) = tokio::try_join!(store.all_media(), store.all_renditions())?;
        let files = inner.files.clone();
        let loaded =
            tokio::task::spawn_blocking(move || files.load(items, renditions, Strays::Keep));
        let loaded = loaded.await.map_err(OpError::internal)?;
        let (new, gone) = inner.write(|catalogue| catalogue.take_up(loaded));
        inner.follow_subtitles(Strays::Keep, true).await?;
        inner.recall().await?;
        for known in gone {
            tracing::warn!(media = %known.item.id, "the database does not have this item");
            inner.tell(LibraryFact::Removed {
                media: known.item.id,
            });
        }
        for media in new {
            tracing::info!(%media, "an item that only the database knows is taken up");
            inner.tell(LibraryFact::Changed { media });
            if let Some(profile) = &inner.default_profile {
                inner.want(media, profile);
            }
        }
        Ok(())
    }
}

/// Examines the files of items that others have imported.
async fn look_into(inner: Arc<Inner>, items: Vec<MediaItem>) {
    for item in items {
        let media = item.id;
        match inner.examine(&item.path, item.client_id).await {
            Ok((findings, _)) => {
                inner.write(|catalogue| catalogue.examined(media, findings.clone()));
                inner.keep(media, &findings).await;
                inner.tell(LibraryFact::Changed { media });
                if let Some(profile) = &inner.default_profile {
                    inner.want(media, profile);
                }
            }
            Err(_) => {
                tracing::warn!(%media, file = %item.path.display(), "an item that another daemon has imported cannot be read here");
            }
        }
    }
}
