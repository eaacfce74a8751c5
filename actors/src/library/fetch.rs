//! Imports by URL: jobs that download a file and take it into the library. One that a restart breaks off begins again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use playout_domain::Details;
use playout_domain::ids::{ArrivalId, ClientId};
use playout_domain::violation::Violations;
use playout_media::probe::{GLANCE, glance};
use playout_partners::download::{DownloadLimits, Part};
use playout_store::{Arrival, ArrivalState, Principal};
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::uploads::{UploadError, UploadView, unwritten};
use super::{Inner, Library};
use crate::error::OpError;
use crate::hub::kind;

/// Downloads at the same time, of all clients; besides, each client has one turn that nobody can take from it.
const PARALLEL: usize = 4;
/// How long nothing may come.
const IDLE: Duration = Duration::from_secs(30);
/// The longest time between two renewals of an import that waits or runs.
const RENEWAL: Duration = Duration::from_secs(600);
/// A file without a length counts against the plan by steps of so many bytes.
const STEP: u64 = 64 << 20;
/// Parts that wait to be written.
const AHEAD: usize = 16;

/// The jobs there are.
#[derive(Debug)]
pub(super) struct Fetches {
    turns: Semaphore,
    /// The turn that each client has of its own.
    own: Mutex<HashMap<ClientId, Arc<Semaphore>>>,
    running: Mutex<HashMap<ArrivalId, AbortHandle>>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(PARALLEL),
            own: Mutex::default(),
            running: Mutex::default(),
        }
    }
}

/// Why a job ended without a file: a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    #[error("{0}")]
    Op(#[from] OpError),
    #[error("{0}")]
    Upload(#[from] UploadError),
    #[error("{0}")]
    Said(String),
}

impl Library {
    /// Begins an import by URL; what is said about the item goes before what its file says.
    ///
    /// # Errors
    /// It is no URL, or none that may be asked; the plan's limit.
    pub async fn fetch(
        &self,
        who: &Principal,
        url: &str,
        details: Details,
    ) -> Result<UploadView, OpError> {
        let inner = &self.inner;
        let read = inner.downloader.url(url);
        let read = read.map_err(|wrong| Violations::one("/url", format!("url {wrong}")))?;
        let path = read.path();
        let path = path.split('?').next().unwrap_or_default();
        let arrival = inner.new_arrival(who, Some(url.to_owned()), path, details, None);
        inner.store.insert_arrival(who, &arrival).await?;
        inner.begin_fetch(arrival.clone());
        Ok(UploadView { arrival, offset: 0 })
    }

    /// An import by URL.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn fetched(&self, who: &Principal, id: ArrivalId) -> Result<UploadView, OpError> {
        let arrival = self.arrival(who, id, true).await?;
        Ok(self.inner.fetch_view(arrival).await)
    }

    /// The imports by URL that `who` may know of, oldest first: those behind `after`, `limit` at most.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn fetches(
        &self,
        who: &Principal,
        after: Option<ArrivalId>,
        limit: usize,
    ) -> Result<Vec<UploadView>, OpError> {
        let mut views = Vec::new();
        for arrival in self.inner.store.imports(who, after, limit).await? {
            views.push(self.inner.fetch_view(arrival).await);
        }
        Ok(views)
    }

    /// Ends an import by URL, or forgets one that has ended. An item that it has become stays.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn end_fetch(&self, who: &Principal, id: ArrivalId) -> Result<(), OpError> {
        let ended = self.arrival(who, id, true).await?;
        if let Some(job) = self.inner.fetches.lock().remove(&id) {
            job.abort();
        }
        let (_turn, ..) = self.inner.displace(id).await;
        self.inner.end_arrival(who, &ended).await
    }
}

impl Fetches {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ArrivalId, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn that a client has of its own.
    fn own(&self, client: ClientId) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = own.entry(client);
        Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    /// A turn to download: the client's own, or one of all; nothing when the daemon ends.
    async fn turn<'a>(&'a self, own: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        let turn = tokio::select! {
            biased;
            turn = own.acquire() => turn,
            turn = self.turns.acquire() => turn,
        };
        turn.ok()
    }

    /// That a job runs.
    #[cfg(test)]
    pub(super) fn note(&self, id: ArrivalId, job: AbortHandle) {
        self.lock().insert(id, job);
    }

    /// Whether a job runs.
    pub(super) fn runs(&self, id: ArrivalId) -> bool {
        self.lock().get(&id).is_some_and(|job| !job.is_finished())
    }

    /// Ends every job; each begins again at the next start.
    pub(super) fn stop(&self) {
        for (_, job) in self.lock().drain() {
            job.abort();
        }
    }
}

impl Inner {
    async fn fetch_view(&self, arrival: Arrival) -> UploadView {
        let offset = match arrival.state {
            ArrivalState::Arriving => tokio::fs::metadata(self.files.upload(arrival.id))
                .await
                .map_or(0, |file| file.len()),
            ArrivalState::Importing | ArrivalState::Done => arrival.length.unwrap_or(0),
            // Its bytes are gone.
            ArrivalState::Failed => 0,
        };
        UploadView { arrival, offset }
    }

    /// Begins a job, unless it runs.
    pub(super) fn begin_fetch(self: &Arc<Self>, arrival: Arrival) {
        let mut running = self.fetches.lock();
        let id = arrival.id;
        if running.get(&id).is_some_and(|job| !job.is_finished()) {
            return;
        }
        let inner = Arc::clone(self);
        let job = tokio::spawn(async move {
            tokio::select! {
                () = inner.fetch(arrival) => {}
                never = inner.keep_fetch(id) => match never {},
            }
            inner.fetches.lock().remove(&id);
        });
        running.insert(id, job.abort_handle());
    }

    /// Keeps an import from expiring as long as its job waits for its turn, and runs.
    async fn keep_fetch(&self, id: ArrivalId) -> Infallible {
        let every = (self.intake.expiry / 4).min(RENEWAL);
        loop {
            sleep(every).await;
            if let Err(error) = self.store.renew_arrival(id, self.expiry()).await {
                tracing::debug!(import = %id, %error, "an import is renewed later");
            }
        }
    }

    async fn fetch(self: &Arc<Self>, mut arrival: Arrival) {
        let own = self.fetches.own(arrival.client_id);
        let Some(_turn) = self.fetches.turn(&own).await else {
            return;
        };
        let limit = self.intake.fetch_time;
        let fetched = timeout(limit, self.receive(&arrival)).await;
        let fetched = fetched.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(NotFetched::Said(format!(
                "it did not come within {seconds} s"
            )))
        });
        let outcome = match fetched {
            Ok(length) => {
                arrival.length = Some(length);
                arrival.expires_at = self.expiry();
                self.imported(arrival.clone()).await
            }
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(()) => return,
            // It is no fault of the file's: the next sweep goes on with what is there.
            Err(NotFetched::Op(error @ OpError::Unavailable { .. })) => {
                tracing::info!(import = %arrival.id, %error, "an import is tried again");
                return;
            }
            Err(error) => error,
        };
        let reason = format!("{}.", error.to_string().trim_end_matches('.'));
        tracing::info!(import = %arrival.id, reason, "a file was not fetched");
        let data = json!({ "path": arrival.shown_url(), "reason": reason, "importId": arrival.id });
        self.publish(kind::MEDIA_REFUSED, arrival.client_id, data);
        arrival.state = ArrivalState::Failed;
        arrival.reason = Some(reason);
        arrival.expires_at = self.expiry();
        super::uploads::forget(&self.files.upload(arrival.id)).await;
        if let Err(error) = self.store.update_arrival(&arrival).await {
            tracing::warn!(%error, "that an import has failed is not written; it begins again");
        }
    }

    /// Has the file that is there become an item. Who ends the import meanwhile waits for that: half an item is none.
    pub(super) async fn imported(self: &Arc<Self>, arrival: Arrival) -> Result<(), NotFetched> {
        let turn = self.desks.turn(arrival.id).await;
        let inner = Arc::clone(self);
        let import = tokio::spawn(async move {
            let _turn = turn;
            inner.complete(arrival).await.map(drop)
        });
        Ok(import.await.map_err(OpError::internal)??)
    }

    /// Downloads the file to where arrivals come; answers how long it is.
    async fn receive(&self, arrival: &Arrival) -> Result<u64, NotFetched> {
        let url = self
            .downloader
            .url(arrival.url.as_deref().unwrap_or_default());
        let url = url.map_err(|wrong| NotFetched::Said(format!("the URL {wrong}")))?;
        let limits = DownloadLimits {
            bytes: self.intake.largest,
            idle: IDLE,
        };
        let (parts, taken) = mpsc::channel(AHEAD);
        let write = self.write_parts(arrival, taken);
        let (ended, written) = tokio::join!(self.downloader.download(&url, limits, parts), write);
        // Whoever writes knows better why it was given up.
        let length = written?;
        ended.map_err(|error| NotFetched::Said(error.to_string()))?;
        self.store
            .arrival_has(arrival, length)
            .await
            .map_err(OpError::from)?;
        Ok(length)
    }

    async fn write_parts(
        &self,
        arrival: &Arrival,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<u64, NotFetched> {
        let file = File::create(self.files.upload(arrival.id)).await;
        let mut file = file.map_err(unwritten)?;
        let (mut received, mut counted) = (0_u64, 0_u64);
        // How it begins, until that is enough to see what is no video.
        let mut head = Some(BytesMut::new());
        while let Some(part) = parts.recv().await {
            let bytes = match part {
                Part::Begins { length } => {
                    counted = length.unwrap_or(0);
                    self.reserve(arrival, counted).await?;
                    continue;
                }
                Part::Bytes(bytes) => bytes,
            };
            received += bytes.len() as u64;
            if received > counted {
                counted = received + STEP;
                self.reserve(arrival, counted).await?;
            }
            if self.room.borrow().paused {
                return Err(UploadError::NoRoom.into());
            }
            look_at(&mut head, &bytes)?;
            file.write_all(&bytes).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)?;
        file.sync_data().await.map_err(unwritten)?;
        Ok(received)
    }

    /// Counts so many bytes against the plan, and looks whether there is room for them.
    async fn reserve(&self, arrival: &Arrival, bytes: u64) -> Result<(), NotFetched> {
        if bytes > self.room.borrow().spare {
            return Err(UploadError::NoRoom.into());
        }
        let has = self.store.arrival_has(arrival, bytes).await;
        Ok(has.map_err(OpError::from)?)
    }
}

/// Refuses what is no video by its first bytes: a playlist names other files, and is not waited for.
fn look_at(head: &mut Option<BytesMut>, bytes: &Bytes) -> Result<(), NotFetched> {
    let Some(known) = head else { return Ok(()) };
    known.extend_from_slice(&bytes[..bytes.len().min(GLANCE)]);
    if known.len() < GLANCE {
        return Ok(());
    }
    let refusal = glance(u64::MAX, &known[..GLANCE]);
    *head = None;
    match refusal {
        Some(refusal) => {
            let sentence = refusal.to_string();
            Err(NotFetched::Said(sentence.trim_end_matches('.').to_owned()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn, where one is free.
    async fn at_once<'a>(fetches: &'a Fetches, own: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            biased;
            turn = fetches.turn(own) => turn,
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn a_client_whose_downloads_never_end_leaves_every_other_one_a_turn() {
        let fetches = Fetches::default();
        let client = || fetches.own(ClientId::from(uuid::Uuid::now_v7()));
        let (greedy, other) = (client(), client());
        let mut turns = Vec::new();
        while let Some(turn) = at_once(&fetches, &greedy).await {
            turns.push(turn);
        }
        assert_eq!(turns.len(), PARALLEL + 1);
        assert!(at_once(&fetches, &other).await.is_some());
    }
}
