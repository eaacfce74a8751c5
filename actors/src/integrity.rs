//! Watches over what is kept: exports the heads of the audit, follows the whole audit once after a start,
//! and forgets master keys that are not needed any more.
//!
//! It finds and tells; nothing on air depends on it. The one place where tampering is told: the log, and
//! an `audit.broken` event.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_store::{AuditFault, ExportedHeads, HeadsFile, Store, StoreError};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::hub::{Event, Hub, kind};
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;

/// How often heads are exported: so much of the audit could be cut off unseen by a daemon that was killed.
const EVERY: Duration = Duration::from_secs(60);
/// How long the last export may take when the daemon ends.
const LAST: Duration = Duration::from_secs(3);
/// Faults that are told one by one; `playoutd verify` names all of them.
const TOLD: usize = 20;

/// What watches. Cheap to clone.
#[derive(Clone)]
pub struct Integrity {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hub: Arc<Hub>,
    /// The file of exported heads.
    path: PathBuf,
}

impl Integrity {
    /// Watches over `store`, with the exported heads in the file at `path`, once [`Integrity::child`] runs.
    pub fn new(store: Store, hub: Arc<Hub>, path: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner { store, hub, path }),
        }
    }

    /// What has to run.
    pub fn child(&self) -> ChildSpec {
        let inner = Arc::clone(&self.inner);
        tree::INTEGRITY.task(move |stopping| watch(Arc::clone(&inner), stopping))
    }
}

async fn watch(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut followed = false;
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = tick.tick() => {}
        }
        let turn = async {
            if !followed {
                // Held against what earlier runs have exported, before this one adds to it.
                followed = follow(&inner).await;
            }
            export(&inner).await;
            if let Err(error) = inner.store.forget_retired_keys().await {
                tracing::debug!(%error, "retired master keys are forgotten later");
            }
        };
        tokio::select! {
            () = stopping.asked() => break,
            () = turn => {}
        }
    }
    if tokio::time::timeout(LAST, export(&inner)).await.is_err() {
        tracing::warn!("the audit's last heads are not exported: PostgreSQL does not answer");
    }
    Ok(())
}

/// Follows the whole audit; `false` when that could not be done.
async fn follow(inner: &Inner) -> bool {
    let path = inner.path.clone();
    let exported = match blocking(move || ExportedHeads::read(&path)).await {
        Ok(exported) => exported,
        Err(error) => {
            tracing::error!(%error, path = %inner.path.display(), "the exported audit heads cannot be read");
            ExportedHeads::default()
        }
    };
    match inner.store.verify_audit(&exported).await {
        Ok(report) => {
            tell(inner, &report.faults);
            true
        }
        Err(StoreError::Unavailable(cause)) => {
            tracing::debug!(%cause, "the audit is followed later");
            false
        }
        Err(error) => {
            tracing::error!(%error, "the audit cannot be followed");
            true
        }
    }
}

fn tell(inner: &Inner, faults: &[AuditFault]) {
    for fault in faults.iter().take(TOLD) {
        tracing::error!(client = %fault.client, "the audit was tampered with: {fault}");
        inner.hub.publish(Event {
            kind: kind::AUDIT_BROKEN,
            client: None,
            channel: None,
            data: json!({
                "clientId": fault.client,
                "fault": fault.what.map(|what| what.name()),
                "seq": fault.what.map(|what| what.seq()),
                "message": fault.message,
            }),
        });
    }
    if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
        tracing::error!(more, "there are more; `playoutd verify` names all of them");
    }
}

async fn export(inner: &Inner) {
    let heads = match inner.store.audit_heads().await {
        Ok(heads) => heads,
        Err(error) => {
            tracing::debug!(%error, "the audit's heads are exported later");
            return;
        }
    };
    let (path, at) = (inner.path.clone(), Timestamp::now());
    let added = blocking(move || HeadsFile::open(path)?.add(&heads, at)).await;
    if let Err(error) = added {
        tracing::error!(%error, path = %inner.path.display(), "the audit's heads cannot be exported");
    }
}

/// Work on files, which may take the time of a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| Err(std::io::Error::other(failure)))
}
