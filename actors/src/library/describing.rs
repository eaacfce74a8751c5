//! What people say about items, and finding them by it.

use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::Details;
use playout_domain::ids::MediaId;
use playout_domain::media::MediaItem;
use playout_store::{MediaCursor, MediaQuery, Principal, StoreError};
use serde_json::Value;

use super::view::MediaView;
use super::{Inner, Library, LibraryFact, import};
use crate::error::OpError;
use crate::hub::kind;

impl Library {
    /// Changes what is said about an item: `patch` is merged onto it (RFC 7396). What it names does not follow the
    /// item's file any more.
    ///
    /// # Errors
    /// There is none, or it is another client's; it is not of `version` any more; every violation.
    pub async fn edit(
        &self,
        who: &Principal,
        id: MediaId,
        patch: &Value,
        version: Option<u64>,
    ) -> Result<MediaView, OpError> {
        self.seen(who, id)?;
        let (inner, editor, patch) = (Arc::clone(&self.inner), who.clone(), patch.clone());
        let edit = tokio::spawn(async move { inner.edit(&editor, id, &patch, version).await });
        edit.await.map_err(OpError::internal)??;
        self.seen(who, id)
    }

    /// Items that `query` asks for, each with where a page ends with it.
    ///
    /// # Errors
    /// The database does not answer, or the cursor is of a list in another order.
    pub async fn search(
        &self,
        who: &Principal,
        query: MediaQuery,
    ) -> Result<Vec<(MediaView, MediaCursor)>, OpError> {
        let found = self.inner.store.search_media(who, query).await?;
        let room = *self.inner.room.borrow();
        let views = found.into_iter().map(|(item, cursor)| {
            let known = self.inner.read(|catalogue| catalogue.view(item.id, room));
            let unknown = || MediaView {
                item,
                renditions: Vec::new(),
                subtitles: Vec::new(),
            };
            (known.unwrap_or_else(unknown), cursor)
        });
        Ok(views.collect())
    }
}

impl Inner {
    /// An item with what is said about it by now: another daemon may have written since. Whoever changes that holds
    /// the turn of edits.
    ///
    /// # Errors
    /// There is none here; the database does not answer.
    pub(super) async fn latest(&self, id: MediaId) -> Result<MediaItem, OpError> {
        let known = self.read(|catalogue| catalogue.item(id).cloned());
        let item = known.ok_or(OpError::NotFound("media"))?;
        Ok(match self.store.media(id).await? {
            Some(stored) if stored.version > item.version => described_as(item, &stored),
            _ => item,
        })
    }

    async fn edit(
        &self,
        who: &Principal,
        id: MediaId,
        patch: &Value,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        // One after the other: each begins with what the one before has made.
        let _turn = self.editing.lock().await;
        let item = self.latest(id).await?;
        OpError::unless_of_version(version, item.version)?;
        let (details, named) = item.details.patched(patch)?;
        self.describe(who, item, details, named).await.map(drop)
    }

    /// Has more said about an item that is there already, by whoever has brought its file again: where nobody said
    /// anything yet, and its title is the name of its file. Answers the item.
    ///
    /// # Errors
    /// It is gone; the database does not answer.
    pub(super) async fn say_more(
        &self,
        who: &Principal,
        item: MediaItem,
        said: Details,
    ) -> Result<MediaItem, OpError> {
        if said == Details::default() {
            return Ok(item);
        }
        let _turn = self.editing.lock().await;
        let item = self.latest(item.id).await?;
        let mut kept = item.details.named();
        if item.title == import::title(&item.path) {
            kept.retain(|name| name != "title");
        }
        // What was taken away was said, too.
        kept.extend_from_slice(&item.edited);
        let mut named = said.named();
        named.retain(|name| !kept.contains(name));
        if named.is_empty() {
            return Ok(item);
        }
        let details = said.refreshed(item.details.clone(), &named);
        self.describe(who, item, details, named).await
    }

    /// Has `details` said about an item, of which `named` stay when its file says something else.
    async fn describe(
        &self,
        who: &Principal,
        mut item: MediaItem,
        details: Details,
        named: Vec<String>,
    ) -> Result<MediaItem, OpError> {
        let id = item.id;
        for name in named {
            if !item.edited.contains(&name) {
                item.edited.push(name);
            }
        }
        if let Some(title) = &details.title {
            item.title.clone_from(title);
        }
        item.details = details;
        item.version += 1;
        item.updated_at = Timestamp::now();
        match self.store.edit_media(who, &item).await {
            Err(StoreError::NotFound) => return Err(OpError::NotFound("media")),
            other => other?,
        }
        let series = self.write(|catalogue| {
            let before = catalogue.item(id).map(|known| known.details.series.clone());
            catalogue.change(id, |known| *known = described_as(known.clone(), &item));
            before
        });
        if series.as_ref() != Some(&item.details.series) {
            // Plans keep the items of a series apart.
            self.tell(LibraryFact::Changed { media: id });
        }
        self.publish(kind::MEDIA_CHANGED, item.client_id, item.to_json());
        Ok(item)
    }
}

/// `item`, with what is said about `other`.
fn described_as(item: MediaItem, other: &MediaItem) -> MediaItem {
    MediaItem {
        title: other.title.clone(),
        details: other.details.clone(),
        edited: other.edited.clone(),
        version: other.version,
        updated_at: other.updated_at,
        ..item
    }
}
