//! A library that was loaded without the database takes up what it has, when it is there at last.

use super::files::Strays;
use super::{Library, LibraryFact};
use crate::error::OpError;

impl Library {
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
                inner.want(media, profile, false);
            }
        }
        Ok(())
    }
}
