//! What the RTMP outputs of one channel show of themselves: written by their tasks, read by the API without a
//! message and without a wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use playout_domain::far_end::State;
use playout_domain::ids::DestinationId;
use playout_domain::output::{FailureKind, OutputStatus};
use serde::Serialize;

use crate::process::Running;

/// One RTMP output.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtmpView {
    /// What it does.
    pub status: OutputStatus,
    /// Since when the server takes media.
    pub delivering_since: Option<Timestamp>,
    /// Connections made since the channel went on air.
    pub connections: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure.
    pub last_failure: Option<FailureView>,
    /// When it tries again.
    pub next_attempt: Option<Timestamp>,
    /// Bytes that servers took since the channel went on air.
    pub bytes: u64,
    /// What is sent.
    pub quality: Quality,
    /// What viewers are shown; nothing where the destination has no playback URL, or nothing is pushed there.
    pub far_end: Option<FarEndView>,
}

/// How much of what the destination should have is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Quality {
    /// All of it.
    #[default]
    Full,
    /// The next lower rung, or half the bitrate, because the network did not take more, and the client has allowed it.
    Lower,
}

/// Whether what an output sends is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FarEndView {
    /// When it was last looked at.
    pub checked_at: Option<Timestamp>,
    /// What is known.
    pub state: State,
    /// A sentence about the last look, where it saw nothing go on.
    pub why: Option<String>,
}

/// Why an output failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// One sentence.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// See the module's head. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    outputs: Arc<Mutex<BTreeMap<DestinationId, RtmpView>>>,
    /// The processes that push.
    pub(crate) processes: Running,
}

impl Board {
    /// What an output shows; one that never was is off.
    pub(crate) fn of(&self, id: DestinationId) -> RtmpView {
        self.lock().get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn update(&self, id: DestinationId, change: impl FnOnce(&mut RtmpView)) {
        change(self.lock().entry(id).or_default());
    }

    /// An output begins: nothing of what was is shown any more.
    pub(super) fn begin(&self, id: DestinationId) {
        self.lock().insert(id, RtmpView::default());
    }

    /// Forgets what is none of these destinations.
    pub(crate) fn retain(&self, named: impl Fn(DestinationId) -> bool) {
        self.lock().retain(|id, _| named(*id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DestinationId, RtmpView>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
