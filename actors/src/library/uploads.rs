//! Uploads: bytes that come in pieces, each where the one before ended.
//!
//! How far an upload is, its file says: `uploads/<id>` in the library's folder. A piece with a checksum counts only
//! when it is all there and right; until then `uploads/<id>.piece` says where it began. A new writer takes the place of
//! an old one, which may be a connection that is dead and does not know.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::ids::ArrivalId;
use playout_domain::violation::Violations;
use playout_domain::{Details, MediaId};
use playout_partners::address::Reach;
use playout_store::{Arrival, ArrivalState, Principal, StoreError};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedMutexGuard, watch};

use super::checksum::Checksum;
use super::{Inner, Library};
use crate::error::OpError;

/// Why a piece was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum UploadError {
    /// As for every operation.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The piece begins elsewhere than the upload ends.
    #[error("the upload has {current} bytes")]
    Offset {
        /// Where it ends.
        current: u64,
    },
    /// Another writer has come.
    #[error("another request writes to the upload")]
    Displaced,
    /// There are more bytes than the upload was said to have. None of the piece is kept.
    #[error("the upload has {length} bytes, and this would be more")]
    TooLong {
        /// What was said.
        length: u64,
    },
    /// The piece is not what its checksum says. None of it is kept.
    #[error("the checksum does not match")]
    Checksum,
    /// There is no room on the daemon's disk.
    #[error("there is no room on the daemon's disk")]
    NoRoom,
    /// All of it has arrived already.
    #[error("the upload is complete")]
    Complete,
}

/// Who writes to an upload.
#[derive(Debug, Default)]
struct Desk {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Counts writers; all but the newest leave.
    newest: watch::Sender<u64>,
}

/// Who writes to which upload.
#[derive(Debug, Default)]
pub(super) struct Desks(Mutex<HashMap<ArrivalId, Arc<Desk>>>);

impl Desks {
    fn of(&self, id: ArrivalId) -> Arc<Desk> {
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(desks.entry(id).or_default())
    }

    /// The turn to write to an upload, where nobody has it.
    pub(super) fn free(&self, id: ArrivalId) -> Option<OwnedMutexGuard<()>> {
        let desk = self.of(id);
        Arc::clone(&desk.turn).try_lock_owned().ok()
    }

    /// The turn of a file that nobody sends.
    pub(super) async fn turn(&self, id: ArrivalId) -> OwnedMutexGuard<()> {
        let desk = self.of(id);
        Arc::clone(&desk.turn).lock_owned().await
    }

    fn close(&self, id: ArrivalId) {
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desks.remove(&id);
    }
}

/// An upload as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadView {
    /// What is known of it.
    pub arrival: Arrival,
    /// Bytes that are there.
    pub offset: u64,
}

/// One who writes a piece.
pub struct UploadWriter {
    inner: Arc<Inner>,
    arrival: Arrival,
    length: u64,
    file: File,
    /// Where the piece began.
    began: u64,
    /// Where it has come to.
    at: u64,
    checksum: Option<Checksum>,
    number: u64,
    newest: watch::Receiver<u64>,
    /// Held as long as it writes.
    _turn: OwnedMutexGuard<()>,
}

impl Library {
    /// Begins an upload of `length` bytes; `metadata` is what its client said about it, to the letter.
    ///
    /// # Errors
    /// [`UploadError::NoRoom`]; the plan's limit.
    pub async fn create_upload(
        &self,
        who: &Principal,
        name: &str,
        details: Details,
        metadata: &str,
        length: u64,
    ) -> Result<UploadView, UploadError> {
        let inner = &self.inner;
        let room = *inner.room.borrow();
        if room.paused || length > room.spare {
            return Err(UploadError::NoRoom);
        }
        let arrival = inner.new_arrival(who, None, name, details, Some(length));
        inner
            .store
            .insert_arrival(who, &arrival)
            .await
            .map_err(OpError::from)?;
        // Without a file it has no bytes, which is right.
        fs::write(inner.files.upload(arrival.id), b"")
            .await
            .map_err(unwritten)?;
        if !metadata.is_empty() {
            fs::write(inner.files.metadata(arrival.id), metadata)
                .await
                .map_err(unwritten)?;
        }
        Ok(UploadView { arrival, offset: 0 })
    }

    /// An upload.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn upload(&self, who: &Principal, id: ArrivalId) -> Result<UploadView, OpError> {
        let arrival = self.arrival(who, id, false).await?;
        let offset = match arrival.state {
            ArrivalState::Arriving => self.inner.offset(id).await,
            ArrivalState::Importing | ArrivalState::Done => arrival.length.unwrap_or(0),
            // Its bytes are gone: nobody is to take it for complete.
            ArrivalState::Failed => 0,
        };
        Ok(UploadView { arrival, offset })
    }

    /// What the client of an upload said about it, to the letter; nothing where it said nothing.
    pub async fn upload_metadata(&self, id: ArrivalId) -> Option<String> {
        let file = self.inner.files.metadata(id);
        fs::read_to_string(file).await.ok()
    }

    /// Begins a piece at `offset`. Whoever writes to the upload leaves first.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn write_upload(
        &self,
        who: &Principal,
        id: ArrivalId,
        offset: u64,
        checksum: Option<Checksum>,
    ) -> Result<UploadWriter, UploadError> {
        self.arrival(who, id, false).await?;
        let (turn, number, newest) = self.inner.displace(id).await;
        // What it was before its turn counts no more.
        let arrival = self.arrival(who, id, false).await?;
        if *newest.borrow() != number {
            return Err(UploadError::Displaced);
        }
        let length = arrival.length.unwrap_or(0);
        if arrival.state == ArrivalState::Failed {
            // As it was refused with its last piece.
            let reason = arrival.reason.unwrap_or_default();
            return Err(OpError::from(Violations::one("", reason)).into());
        }
        if arrival.state != ArrivalState::Arriving {
            let current = length;
            return Err(match offset == current {
                true => UploadError::Complete,
                false => UploadError::Offset { current },
            });
        }
        let current = self.inner.offset(id).await;
        if offset != current {
            return Err(UploadError::Offset { current });
        }
        let path = self.inner.files.upload(id);
        let mut options = OpenOptions::new();
        // What has bytes has a file: a new one would have zeros in their place.
        let file = options.create(current == 0).append(true);
        let file = file.open(&path).await;
        let file = file.map_err(unwritten)?;
        // Also what was left of a piece that did not count.
        file.set_len(current).await.map_err(unwritten)?;
        match checksum {
            None => forget(&self.inner.files.piece(id)).await,
            Some(_) => {
                let began = current.to_string();
                let written = fs::write(self.inner.files.piece(id), began).await;
                written.map_err(unwritten)?;
            }
        }
        Ok(UploadWriter {
            inner: Arc::clone(&self.inner),
            arrival,
            length,
            file,
            began: current,
            at: current,
            checksum,
            number,
            newest,
            _turn: turn,
        })
    }

    /// Ends an upload, or forgets one that has ended. An item that it has become stays.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn end_upload(&self, who: &Principal, id: ArrivalId) -> Result<(), OpError> {
        let ended = self.arrival(who, id, false).await?;
        let (_turn, ..) = self.inner.displace(id).await;
        self.inner.end_arrival(who, &ended).await
    }

    /// An arrival of a kind: by URL, or an upload.
    pub(super) async fn arrival(
        &self,
        who: &Principal,
        id: ArrivalId,
        by_url: bool,
    ) -> Result<Arrival, OpError> {
        let what = if by_url { "import" } else { "upload" };
        let found = match self.inner.store.arrival(who, id).await {
            Err(StoreError::NotFound) => return Err(OpError::NotFound(what)),
            other => other?,
        };
        let live = found.expires_at > Timestamp::now() || self.inner.fetches.runs(id);
        (live && found.url.is_some() == by_url)
            .then_some(found)
            .ok_or(OpError::NotFound(what))
    }
}

impl UploadWriter {
    /// Returns when another writer has come: this one is to leave.
    pub async fn displaced(&mut self) {
        let number = self.number;
        // It lives as long as its desk.
        let _ = self.newest.wait_for(|newest| *newest != number).await;
    }

    /// Appends to the upload.
    ///
    /// # Errors
    /// [`UploadError::TooLong`], [`UploadError::NoRoom`]; then [`UploadWriter::abandon`] it.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), UploadError> {
        let at = self.at.saturating_add(bytes.len() as u64);
        if at > self.length {
            let length = self.length;
            return Err(UploadError::TooLong { length });
        }
        if self.inner.room.borrow().paused {
            return Err(UploadError::NoRoom);
        }
        self.file.write_all(bytes).await.map_err(unwritten)?;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        self.at = at;
        Ok(())
    }

    /// The piece is at its end, or has broken off there. Answers the upload, and the item that it has become where it is
    /// complete.
    ///
    /// # Errors
    /// [`UploadError::Checksum`]; what an import is refused for.
    pub async fn finish(
        mut self,
        whole: bool,
    ) -> Result<(UploadView, Option<MediaId>), UploadError> {
        let right = self
            .checksum
            .take()
            .is_none_or(|sum| whole && sum.matches());
        if !right {
            self.cut(self.began).await?;
            return Err(UploadError::Checksum);
        }
        self.file.flush().await.map_err(unwritten)?;
        self.file.sync_data().await.map_err(unwritten)?;
        forget(&self.inner.files.piece(self.arrival.id)).await;
        self.arrival.expires_at = self.inner.expiry();
        let file = self.file.metadata().await.map_err(unwritten)?;
        let offset = file.len();
        if offset < self.length {
            let updated = self.inner.store.update_arrival(&self.arrival).await;
            updated.map_err(OpError::from)?;
            let arrival = self.arrival;
            return Ok((UploadView { arrival, offset }, None));
        }
        let arrival = self.inner.complete(self.arrival.clone()).await?;
        let media = arrival.media_id;
        Ok((UploadView { arrival, offset }, media))
    }

    /// The piece counts for nothing where it was wrong as a whole; what came before a full disk stays.
    pub async fn abandon(mut self, error: &UploadError) {
        let keep = *error == UploadError::NoRoom && self.checksum.is_none();
        let end = if keep { self.at } else { self.began };
        if let Err(error) = self.cut(end).await {
            tracing::warn!(upload = %self.arrival.id, %error, "a piece that does not count stays");
        }
    }

    /// Ends the file at `end`, or where it ends before: bytes count as written when they are handed on, and those that
    /// a full disk did not take must not become zeros.
    async fn cut(&mut self, end: u64) -> Result<(), UploadError> {
        // What is still on its way to the file comes first, or fails.
        let _ = self.file.flush().await;
        let file = self.file.metadata().await.map_err(unwritten)?;
        self.file
            .set_len(end.min(file.len()))
            .await
            .map_err(unwritten)?;
        forget(&self.inner.files.piece(self.arrival.id)).await;
        Ok(())
    }
}

impl Inner {
    /// The turn to write to an upload: whoever had it has left.
    pub(super) async fn displace(
        &self,
        id: ArrivalId,
    ) -> (OwnedMutexGuard<()>, u64, watch::Receiver<u64>) {
        let desk = self.desks.of(id);
        let mut number = 0;
        desk.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let newest = desk.newest.subscribe();
        (self.desks.turn(id).await, number, newest)
    }

    /// How many bytes of an upload count.
    async fn offset(&self, id: ArrivalId) -> u64 {
        let piece = fs::read_to_string(self.files.piece(id)).await;
        let began = piece.ok().and_then(|text| text.trim().parse().ok());
        let length = fs::metadata(self.files.upload(id)).await;
        let length = length.map_or(0, |file| file.len());
        began.map_or(length, |began: u64| began.min(length))
    }

    pub(super) fn expiry(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.intake.expiry)
            .unwrap_or(Timestamp::MAX)
    }

    pub(super) fn new_arrival(
        &self,
        who: &Principal,
        url: Option<String>,
        name: &str,
        details: Details,
        length: Option<u64>,
    ) -> Arrival {
        Arrival {
            id: ArrivalId::from(uuid::Uuid::now_v7()),
            client_id: who.client,
            actor: who.name.clone(),
            token: who.token,
            url,
            name: file_name(name),
            details,
            length,
            state: ArrivalState::Arriving,
            reason: None,
            media_id: None,
            created_at: Timestamp::now(),
            expires_at: self.expiry(),
        }
    }

    /// Forgets an arrival and its bytes.
    pub(super) async fn forget_arrival(&self, id: ArrivalId) -> Result<(), OpError> {
        match self.store.delete_arrival(id).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        self.forget_bytes(id).await;
        Ok(())
    }

    /// Ends an arrival for `who`.
    pub(super) async fn end_arrival(
        &self,
        who: &Principal,
        ended: &Arrival,
    ) -> Result<(), OpError> {
        match self.store.end_arrival(who, ended).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        self.forget_bytes(ended.id).await;
        Ok(())
    }

    async fn forget_bytes(&self, id: ArrivalId) {
        forget(&self.files.upload(id)).await;
        forget(&self.files.piece(id)).await;
        forget(&self.files.metadata(id)).await;
        self.desks.close(id);
    }
}

/// A file's name as it may stand in a folder of ours.
fn file_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = |c: char| if c.is_control() { '_' } else { c };
    let mut name: String = last
        .trim()
        .trim_start_matches('.')
        .chars()
        .map(clean)
        .collect();
    // Most file systems take 255 bytes; what tells the kind of file is at the end.
    while name.len() > 200 {
        name.remove(0);
    }
    if name.is_empty() {
        "upload".to_owned()
    } else {
        name
    }
}

pub(super) async fn forget(file: &PathBuf) {
    if let Err(error) = fs::remove_file(file).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = %file.display(), %error, "a file stays");
    }
}

pub(super) fn unwritten(error: io::Error) -> UploadError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UploadError::NoRoom,
        _ => UploadError::Op(OpError::internal(format!(
            "an upload cannot be written: {error}"
        ))),
    }
}

/// How files come in.
#[derive(Debug, Clone)]
pub struct Intake {
    /// So long an upload is kept from its last piece on, and what is told of one that has ended.
    pub expiry: Duration,
    /// Bytes of one file at most.
    pub largest: u64,
    /// How long the download of one file may take.
    pub fetch_time: Duration,
    /// Whether a URL may lead to a private address.
    pub allow_private: bool,
    /// So long a file in a watched folder has to stay as it is.
    pub settle: Duration,
}

impl Intake {
    /// Which addresses may be fetched from.
    pub(crate) fn reach(&self) -> Reach {
        match self.allow_private {
            true => Reach::Anywhere,
            false => Reach::Public,
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            expiry: Duration::from_secs(86_400),
            largest: 100 << 30,
            fetch_time: Duration::from_secs(3_600),
            allow_private: false,
            settle: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_stay_in_their_folder() {
        for (given, expected) in [
            ("film.mp4", "film.mp4"),
            ("../../etc/passwd", "passwd"),
            ("C:\\films\\a b.mkv", "a b.mkv"),
            ("..", "upload"),
            ("/", "upload"),
            (".hidden\n.mp4", "hidden_.mp4"),
        ] {
            assert_eq!(file_name(given), expected);
        }
        let long = file_name(&format!("{}.mp4", "ä".repeat(300)));
        assert!(long.len() <= 200 && long.ends_with(".mp4"));
    }
}
