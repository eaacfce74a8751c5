//! How far all jobs are together.

use std::collections::BTreeMap;

use playout_domain::ids::ClientId;
use playout_domain::prepare::{JobId, JobState};
use playout_store::Principal;
use serde::Serialize;

use super::super::Library;
use super::super::catalogue::Catalogue;
use super::super::known::Work;

/// All jobs together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueView {
    /// Whether somebody has paused it.
    pub paused: bool,
    /// Whether it waits for room on the disk.
    pub waits_for_room: bool,
    /// How many jobs there are in each state, what is ready among them.
    pub counts: BTreeMap<&'static str, u64>,
    /// Seconds of media that are prepared, or are to be.
    pub seconds: f64,
    /// Those that are prepared.
    pub prepared_seconds: f64,
    /// The same in percent.
    pub percent: f64,
    /// Seconds of media a second, of all that runs.
    pub speed: Option<f64>,
    /// Seconds until all of it is ready, as far as can be told.
    pub eta_seconds: Option<u64>,
}

impl Library {
    /// How far the jobs are that `who` may know of. Never waits.
    pub fn queue(&self, who: &Principal) -> QueueView {
        let (room, paused) = (*self.inner.room.borrow(), *self.inner.paused.borrow());
        let mut view = self
            .inner
            .read(|catalogue| catalogue.totals(|client| who.sees(client)));
        view.paused = paused;
        view.waits_for_room = room.paused;
        if paused || room.paused {
            view.eta_seconds = None;
        }
        view
    }
}

impl Catalogue {
    /// How far the jobs are of those clients that are seen.
    fn totals(&self, sees: impl Fn(ClientId) -> bool) -> QueueView {
        let mut counts: BTreeMap<_, u64> = JobState::ALL.map(|state| (state.name(), 0)).into();
        let (mut seconds, mut prepared) = (0.0, 0.0);
        for known in self
            .items
            .values()
            .filter(|known| sees(known.item.client_id))
        {
            let length = known.item.duration.as_secs_f64();
            for entry in known.renditions.values() {
                *counts.entry(entry.state().name()).or_default() += 1;
                let done = match entry.work {
                    Work::Ready { .. } => 1.0,
                    Work::Running(pace) => pace.percent.min(100.0) / 100.0,
                    Work::Waiting | Work::Paused => 0.0,
                    Work::Cancelled | Work::Failed { .. } => continue,
                };
                seconds += length;
                prepared += length * done;
            }
        }
        let pace = |job: &JobId| match self.entry_of(job)?.work {
            Work::Running(pace) => pace.speed,
            _ => None,
        };
        let speeds: Vec<f64> = self.running.iter().filter_map(pace).collect();
        let speed: f64 = speeds.iter().sum();
        let speed = (speed > 0.0).then_some(speed);
        let left = self.left_for(sees);
        let eta = speed.and_then(|speed| Some(left? / speed));
        QueueView {
            paused: false,
            waits_for_room: false,
            counts,
            seconds,
            prepared_seconds: prepared,
            percent: if seconds > 0.0 {
                prepared * 100.0 / seconds
            } else {
                100.0
            },
            speed,
            eta_seconds: eta.map(|eta| eta.ceil() as u64),
        }
    }

    /// Seconds of media that are to be prepared until the last job is ready whose client is seen: those of others that
    /// have their turn before it count. Nothing when there is none.
    fn left_for(&self, sees: impl Fn(ClientId) -> bool) -> Option<f64> {
        let (mut sum, mut left) = (0.0, None);
        for job in self.running.iter().chain(self.lineup.iter()) {
            let Some(known) = self.items.get(&job.media) else {
                continue;
            };
            let done = match self.entry_of(job).map(|entry| &entry.work) {
                Some(Work::Running(pace)) => pace.percent.min(100.0) / 100.0,
                _ => 0.0,
            };
            sum += known.item.duration.as_secs_f64() * (1.0 - done);
            if sees(known.item.client_id) {
                left = Some(sum);
            }
        }
        left
    }
}
