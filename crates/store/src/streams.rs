//! Streams in Redis, each daemon's own: texts that are appended, read from the oldest on, and removed when they are done with.

use std::collections::HashMap;

use fred::prelude::StreamsInterface;

use crate::error::StoreError;
use crate::hot::Hot;

/// The field of an entry that holds its text.
const FIELD: &str = "json";

/// An entry: its id in the stream, and its text.
pub(crate) type Entry = (String, String);

impl Hot {
    /// Appends a text; answers its id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it is not there, or not known to be.
    pub(crate) async fn append(&self, stream: &str, text: &str) -> Result<String, StoreError> {
        let (now, key) = (self.now(), self.own(stream));
        self.bounded(now.xadd(key, false, None, "*", (FIELD, text)))
            .await
    }

    /// The oldest entries, `most` at most.
    pub(crate) async fn oldest(&self, stream: &str, most: u64) -> Result<Vec<Entry>, StoreError> {
        self.entries_from(stream, "-", most).await
    }

    /// Every entry, oldest first.
    pub(crate) async fn entries(&self, stream: &str) -> Result<Vec<Entry>, StoreError> {
        const PAGE: u64 = 1_000;
        let (mut from, mut all) = ("-".to_owned(), Vec::new());
        loop {
            let page = self.entries_from(stream, &from, PAGE).await?;
            let last = page.len() < PAGE as usize;
            if let Some((id, _)) = page.last() {
                from = format!("({id}");
            }
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    async fn entries_from(
        &self,
        stream: &str,
        from: &str,
        most: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let (now, key) = (self.now(), self.own(stream));
        let read = now.xrange_values::<String, String, String, _, _, _>(key, from, "+", Some(most));
        let entries: Vec<(String, HashMap<String, String>)> = self.bounded(read).await?;
        let text = |mut fields: HashMap<String, String>| fields.remove(FIELD).unwrap_or_default();
        Ok(entries
            .into_iter()
            .map(|(id, fields)| (id, text(fields)))
            .collect())
    }

    /// Removes entries; those that are gone already do no harm.
    pub(crate) async fn remove_entries(
        &self,
        stream: &str,
        ids: Vec<String>,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (now, key) = (self.now(), self.own(stream));
        self.bounded(now.xdel::<(), _, _>(key, ids)).await
    }
}
