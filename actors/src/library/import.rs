//! Import: files are found, examined, judged, and accepted or refused with a sentence.
//!
//! Idempotent: a file of a client is one item. Imported again unchanged, the item is answered as it
//! is; changed, it is examined anew and stays the same item. A file with the content of one that the client has is
//! that item, wherever it lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::Details;
use playout_domain::details::MAX_TITLE;
use playout_domain::ids::{ArrivalId, MediaId};
use playout_domain::media::{MediaItem, MediaStatus};
use playout_domain::violation::Violations;
use playout_media::probe::Judged;
use playout_store::{Inserted, Principal, StoreError};
use serde_json::json;
use tokio::task::JoinSet;

use super::examine::NotAccepted;
use super::files::Stamp;
use super::known::Findings;
use super::{Inner, LibraryFact, walk};
use crate::error::OpError;
use crate::hub::kind;

/// A file that was not accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFile {
    /// The file.
    pub path: PathBuf,
    /// A sentence.
    pub reason: String,
}

/// What became of an import, in the order of the files' names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportReport {
    /// The items, new or known before.
    pub accepted: Vec<MediaItem>,
    /// What is not media, or may not be imported.
    pub refused: Vec<RefusedFile>,
}

/// A file that is to become an item.
pub(super) struct Arrived {
    pub(super) path: PathBuf,
    /// What is said about it by whoever brings it.
    pub(super) said: Details,
    pub(super) hash: Hash,
    /// What it was on its way here; nothing: it lay there.
    pub(super) arrival: Option<ArrivalId>,
}

/// When the digest of a file is taken: that reads all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// Where the client has another of its size.
    WhereNeeded,
    Always,
}

/// What became of a file.
pub(super) enum Taken {
    New(Box<MediaItem>),
    /// The client has what is in it already.
    Known(Box<MediaItem>),
    Refused(RefusedFile),
}

impl Inner {
    pub(super) async fn import(
        self: Arc<Self>,
        who: &Principal,
        path: &Path,
    ) -> Result<ImportReport, OpError> {
        let (wanted, roots) = (path.to_owned(), self.roots.of(who.client));
        let own = self.files.dir();
        let found = tokio::task::spawn_blocking(move || walk::find(&wanted, &roots, &own)).await;
        let found = found
            .map_err(OpError::internal)?
            .map_err(|sentence| OpError::Invalid(Violations::one("/path", sentence)))?;
        let mut outcomes: Vec<Option<Taken>> = found.files.iter().map(|_| None).collect();
        let mut waiting = found.files.into_iter().enumerate();
        let mut under_way: JoinSet<(usize, Result<Taken, OpError>)> = JoinSet::new();
        loop {
            while under_way.len() < self.parallel_examinations
                && let Some((at, file)) = waiting.next()
            {
                let (inner, who) = (Arc::clone(&self), who.clone());
                under_way.spawn(async move { (at, inner.import_file(&who, file).await) });
            }
            let Some(done) = under_way.join_next().await else {
                break;
            };
            // The first error ends the import: the rest would meet it too. What was accepted stays.
            let (at, outcome) = done.map_err(OpError::internal)?;
            outcomes[at] = Some(outcome?);
        }
        let mut report = ImportReport {
            accepted: Vec::new(),
            refused: found.refused,
        };
        for outcome in outcomes.into_iter().flatten() {
            match outcome {
                Taken::New(item) | Taken::Known(item) => report.accepted.push(*item),
                Taken::Refused(file) => report.refused.push(file),
            }
        }
        for sidecar in &found.sidecars {
            report
                .refused
                .extend(self.take_sidecar(who, sidecar).await?);
        }
        report.refused.sort_by(|a, b| a.path.cmp(&b.path));
        for file in &report.refused {
            let data = json!({ "path": file.path.to_string_lossy(), "reason": file.reason });
            self.publish(kind::MEDIA_REFUSED, who.client, data);
        }
        Ok(report)
    }

    async fn import_file(&self, who: &Principal, file: PathBuf) -> Result<Taken, OpError> {
        let ending = || OpError::unavailable("the daemon is being ended");
        let _permit = self.permit().await.ok_or_else(ending)?;
        if let Some(item) = self.unchanged(who, &file).await {
            return Ok(Taken::Known(Box::new(item)));
        }
        let arrival = Arrived {
            path: file,
            said: Details::default(),
            hash: Hash::WhereNeeded,
            arrival: None,
        };
        self.take(who, arrival).await
    }

    /// Takes a file into the library that is not there as it is: looks into it, compares it with what the client has.
    pub(super) async fn take(&self, who: &Principal, arrived: Arrived) -> Result<Taken, OpError> {
        let path = arrived.path.clone();
        match self.examine(&path, who.client).await {
            Ok((findings, judged)) => self.accept(who, arrived, findings, judged).await,
            Err(NotAccepted::Refused(reason)) => Ok(Taken::Refused(RefusedFile { path, reason })),
            Err(NotAccepted::Failed(reason)) => Err(OpError::unavailable(reason)),
        }
    }

    /// The item of a file that is as it was when it was examined.
    pub(super) async fn unchanged(&self, who: &Principal, file: &Path) -> Option<MediaItem> {
        let (id, known) = self.read(|catalogue| {
            let known = catalogue.by_path(who.client, file)?;
            Some((known.item.id, known.findings.as_ref()?.stamp))
        })?;
        let now = Stamp::from(&tokio::fs::metadata(file).await.ok()?);
        if now != known {
            return None;
        }
        // Imported again, what has failed gets another chance.
        self.want_default(id);
        self.read(|catalogue| catalogue.item(id).cloned())
    }

    async fn accept(
        &self,
        who: &Principal,
        arrived: Arrived,
        findings: Findings,
        judged: Judged,
    ) -> Result<Taken, OpError> {
        let Arrived {
            path,
            said,
            hash,
            arrival,
        } = arrived;
        let size = findings.probed.size;
        // Two files of one size at once: the second sees what became of the first.
        let _turn = self.sizes.turn(who.client, size).await;
        let mut sha256 = None;
        let known_path = self.read(|catalogue| catalogue.by_path(who.client, &path).is_some());
        if !known_path {
            let same_size = self.store.media_of_size(who.client, size).await?;
            if hash == Hash::Always || !same_size.is_empty() {
                sha256 = Some(self.digest(&path).await.map_err(OpError::unavailable)?);
            }
            if let Some(twin) = self.twin(&same_size, &findings, sha256).await {
                let twin = self.say_more(who, twin, said).await?;
                return Ok(Taken::Known(Box::new(
                    self.found_again(twin, path, &findings).await?,
                )));
            }
        }
        let now = Timestamp::now();
        let item = MediaItem {
            id: MediaId::from(uuid::Uuid::now_v7()),
            client_id: who.client,
            title: String::new(),
            details: Details::default(),
            edited: said.named(),
            version: 1,
            sha256,
            missing_since: None,
            path,
            duration: judged.duration,
            size,
            probe: None,
            status: MediaStatus::Preparing,
            reason: None,
            damage: Vec::new(),
            loudness: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        let item = MediaItem {
            details: said,
            ..item
        };
        let sidecar = self.sidecar(&item).await;
        let item = described(item, &findings, judged, sidecar);
        let item = match self.store.insert_arrived(who, &item, arrival).await? {
            Inserted::New => self.add(item, findings).await?,
            Inserted::Existing(known) => self.replace(who, known, item, findings).await?,
        };
        Ok(Taken::New(Box::new(item)))
    }

    async fn add(&self, item: MediaItem, findings: Findings) -> Result<MediaItem, OpError> {
        self.keep(item.id, &findings).await;
        self.write(|catalogue| catalogue.insert(item.clone(), Some(findings)));
        self.publish(kind::MEDIA_IMPORTED, item.client_id, item.to_json());
        self.want_default(item.id);
        Ok(item)
    }

    /// The file of a `known` item was changed, or what was found in it is lost: it becomes what `found` is, but for
    /// what was edited.
    async fn replace(
        &self,
        who: &Principal,
        known: MediaItem,
        found: MediaItem,
        findings: Findings,
    ) -> Result<MediaItem, OpError> {
        let id = known.id;
        // In turn with edits: what one has answered stays.
        let _turn = self.editing.lock().await;
        let stamp = self.read(|catalogue| catalogue.findings(id).map(|known| known.stamp));
        if stamp == Some(findings.stamp) {
            // Two imports of the same file at once.
            let item = self.read(|catalogue| catalogue.item(id).cloned());
            return item.ok_or(OpError::NotFound("media"));
        }
        let known = match self.latest(id).await {
            // Imported by another daemon, and not known here yet.
            Err(OpError::NotFound(_)) => known,
            latest => latest?,
        };
        let item = MediaItem {
            id,
            created_at: known.created_at,
            client_id: known.client_id,
            version: known.version + 1,
            details: known.details.refreshed(found.details, &known.edited),
            title: match known.edited.iter().any(|name| name == "title") {
                true => known.title,
                false => found.title,
            },
            edited: known.edited,
            ..found
        };
        self.store.replace_media(who, &item).await?;
        match self.store.delete_renditions(id).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        self.write(|catalogue| catalogue.replace(item.clone(), findings.clone()));
        let files = self.files.clone();
        // What is left is overwritten, or a stray at the next start.
        let _ = tokio::task::spawn_blocking(move || files.remove(id)).await;
        self.keep(id, &findings).await;
        self.tell(LibraryFact::Changed { media: id });
        self.publish(kind::MEDIA_IMPORTED, item.client_id, item.to_json());
        self.want_default(id);
        self.work.notify_one();
        Ok(item)
    }

    pub(super) async fn keep(&self, media: MediaId, findings: &Findings) {
        let (files, findings) = (self.files.clone(), findings.clone());
        let kept =
            tokio::task::spawn_blocking(move || files.write_findings(media, &findings)).await;
        if let Ok(Err(error)) = kept {
            // The file is then examined again at the next start.
            tracing::warn!(%media, %error, "what was found in a file cannot be kept");
        }
    }

    fn want_default(&self, media: MediaId) {
        if let Some(profile) = &self.default_profile {
            self.want(media, profile);
        }
    }
}

/// An item as its file was found to be, and as its sidecar says; nothing of that is prepared.
pub(super) fn described(
    item: MediaItem,
    findings: &Findings,
    judged: Judged,
    sidecar: Details,
) -> MediaItem {
    let named = Details {
        title: Some(title(&item.path)),
        ..Details::default()
    };
    let found = sidecar.or(judged.details).or(named);
    MediaItem {
        duration: judged.duration,
        size: findings.probed.size,
        probe: Some(judged.summary),
        status: MediaStatus::Preparing,
        reason: None,
        damage: Vec::new(),
        loudness: Vec::new(),
        updated_at: Timestamp::now(),
        ..item.described(found)
    }
}

/// What a file without a title is called: its name.
pub(super) fn title(path: &Path) -> String {
    let name = path
        .file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    let printable = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    let title: String = printable.take(MAX_TITLE).collect();
    match title.trim() {
        "" => "Untitled".to_owned(),
        title => title.to_owned(),
    }
}
