//! The as-run log: what really went out, written down as it does, and told to whoever asks.
//!
//! ```text
//! air ─▶ book of the channel (memory, and a file beside its spool) ─▶ PostgreSQL, in batches
//! ```
//!
//! Invariants: airing never waits for a database; what was published is in the file before it is in the playlist; memory is
//! bounded, and what did not fit is counted; what is too old goes in small batches.

mod book;
mod journal;
#[cfg(test)]
mod tests;

pub(crate) use book::{Beginning, Book, Session, Titles};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::as_run::Entry;
use playout_domain::{AsRunId, ChannelId};
use playout_store::{Store, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::error::OpError;
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;

/// How often what is complete goes to the database.
const EVERY: Duration = Duration::from_secs(5);
/// How often what goes on does, too, so that other daemons know of it.
const OPEN_EVERY: Duration = Duration::from_secs(30);
/// Rows written at once.
const BATCH: usize = 500;
/// How often what is too old is deleted, and how much at once.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_BATCH: u32 = 1_000;
/// How long the last writing may take when the daemon ends.
const LAST: Duration = Duration::from_secs(2);

/// An entry of the log, and whether it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The entry.
    pub entry: Entry,
    /// Whether it is on air still: its end is not its end.
    pub open: bool,
}

/// The as-run logs of all channels. Cheap to clone.
#[derive(Clone)]
pub struct AsRun {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// The folder with a folder for each channel.
    channels: PathBuf,
    /// How long rows are kept.
    keep: Duration,
    titles: Titles,
    books: Mutex<BTreeMap<ChannelId, Arc<Book>>>,
}

impl AsRun {
    /// The logs of the channels whose folders are in `channels`. Nothing is written to the database before [`AsRun::child`] runs.
    pub(crate) fn new(store: Store, channels: PathBuf, keep: Duration, titles: Titles) -> Self {
        let inner = Inner {
            store,
            channels,
            keep,
            titles,
            books: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What writes, to be run by the root.
    pub(crate) fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::AS_RUN.task(move |stopping| run(Arc::clone(&inner), stopping))
    }

    /// A channel's log.
    pub(crate) fn book(&self, channel: ChannelId) -> Arc<Book> {
        self.inner.book(channel)
    }

    /// The folder of a channel is about to be removed: what it has of the log is taken in before.
    pub(crate) async fn take_in(&self, channel: ChannelId) {
        let book = self.book(channel);
        let taken = tokio::task::spawn_blocking(move || book.take_in());
        if let Err(error) = taken.await {
            tracing::error!(%channel, %error, "what the as-run log had noted is lost");
        }
    }

    /// What a channel has aired between two times, and what it has not: in order, what comes after `after`, `limit` entries at
    /// most.
    ///
    /// # Errors
    /// [`OpError::Unavailable`]: the database is away.
    pub(crate) async fn entries(
        &self,
        channel: ChannelId,
        (from, until): (Timestamp, Timestamp),
        after: Option<AsRunId>,
        limit: usize,
    ) -> Result<Vec<Told>, OpError> {
        // Memory first: what leaves it meanwhile is in the database.
        let (complete, open) = match self.inner.books().get(&channel) {
            Some(book) => book.rows(),
            None => Default::default(),
        };
        let stored = self.inner.store.as_run(channel, from, until, after, limit);
        let mut all: BTreeMap<AsRunId, Told> = BTreeMap::new();
        let told = |open| move |entry: Entry| (entry.id, Told { entry, open });
        all.extend(stored.await?.into_iter().map(told(false)));
        let asked = |entry: &Entry| {
            entry.from < until && entry.until > from && after.is_none_or(|after| entry.id > after)
        };
        all.extend(complete.into_iter().filter(asked).map(told(false)));
        all.extend(open.into_iter().filter(asked).map(told(true)));
        Ok(all.into_values().take(limit).collect())
    }
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Arc<Book>>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self, channel: ChannelId) -> Arc<Book> {
        let path = self.channels.join(channel.to_string()).join(journal::NAME);
        let mut books = self.books();
        let book = books.entry(channel);
        Arc::clone(
            book.or_insert_with(|| Arc::new(Book::new(channel, path, Arc::clone(&self.titles)))),
        )
    }

    fn all(&self) -> Vec<Arc<Book>> {
        self.books().values().cloned().collect()
    }

    /// Takes in what an earlier run has left, of channels that this daemon does not air, too.
    fn take_in_all(&self) {
        let folders = std::fs::read_dir(&self.channels);
        for folder in folders.into_iter().flatten().flatten() {
            let name = folder.file_name();
            let channel = name.to_str().and_then(|name| name.parse().ok());
            if let Some(channel) = channel.filter(|_| folder.path().join(journal::NAME).exists()) {
                self.book(channel).take_in();
            }
        }
    }

    /// Writes everything that is complete.
    async fn flush(&self) -> Result<(), StoreError> {
        let mut books = self.all();
        while !books.is_empty() {
            let mut batch: Vec<Entry> = Vec::new();
            for book in &books {
                batch.extend(book.unsent(BATCH - batch.len()));
                if batch.len() >= BATCH {
                    break;
                }
            }
            if batch.is_empty() {
                break;
            }
            self.write(&batch).await?;
            let ids: Vec<AsRunId> = batch.iter().map(|entry| entry.id).collect();
            let of: BTreeSet<ChannelId> = batch.iter().map(|entry| entry.channel_id).collect();
            for channel in of {
                if let Some(book) = self.books().get(&channel) {
                    book.sent(&ids);
                }
            }
            books.retain(|book| !book.unsent(1).is_empty());
        }
        self.books().retain(|_, book| !book.is_done());
        Ok(())
    }

    /// Writes what goes on.
    async fn flush_open(&self) -> Result<(), StoreError> {
        let open: Vec<Entry> = self.all().iter().flat_map(|book| book.going_on()).collect();
        for batch in open.chunks(BATCH) {
            self.write(batch).await?;
        }
        Ok(())
    }

    /// What the database refuses for good is let go, so that it holds up nothing else.
    async fn write(&self, batch: &[Entry]) -> Result<(), StoreError> {
        match self.store.save_as_run(batch).await {
            Ok(()) => Ok(()),
            Err(StoreError::Unavailable(away)) => Err(StoreError::Unavailable(away)),
            Err(error) => {
                tracing::error!(%error, rows = batch.len(), "rows of the as-run log cannot be written");
                Ok(())
            }
        }
    }

    /// Deletes what is too old, a little at a time.
    async fn prune(&self) -> Result<(), StoreError> {
        let before = Timestamp::now().saturating_sub(self.keep);
        let before = before.unwrap_or(Timestamp::MIN);
        while self.store.prune_as_run(before, PRUNE_BATCH).await? == u64::from(PRUNE_BATCH) {}
        Ok(())
    }

    fn tell_losses(&self, told: &mut u64) {
        let lost = self.all().iter().map(|book| book.lost()).sum();
        if lost > *told {
            tracing::error!(
                lost,
                "rows of the as-run log are lost: the database was away for too long"
            );
        }
        *told = lost;
    }
}

async fn run(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let left = Arc::clone(&inner);
    let taken = tokio::task::spawn_blocking(move || left.take_in_all());
    taken.await.map_err(|error| error.to_string())?;
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut opened: Option<Instant> = None;
    let mut pruned: Option<Instant> = None;
    let mut lost = 0;
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = tick.tick() => {}
        }
        let turn = async {
            inner.flush().await?;
            if opened.is_none_or(|at| at.elapsed() >= OPEN_EVERY) {
                inner.flush_open().await?;
                opened = Some(Instant::now());
            }
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
                inner.prune().await?;
                pruned = Some(Instant::now());
            }
            Ok::<(), StoreError>(())
        };
        tokio::select! {
            () = stopping.asked() => break,
            done = turn => if let Err(error) = done {
                tracing::debug!(%error, "the as-run log waits for PostgreSQL");
            },
        }
        inner.tell_losses(&mut lost);
    }
    let last = async {
        inner.flush().await?;
        inner.flush_open().await
    };
    match timeout(LAST, last).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                "the last of the as-run log waits in its files: PostgreSQL does not answer"
            );
        }
    }
    Ok(())
}
