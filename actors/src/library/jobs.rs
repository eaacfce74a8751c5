//! The prepare queue as people see it: its jobs in their order, how far all of them are, and what one of them is told.
//!
//! An order is committed with its audit entry before it takes effect, so it outlives a crash.

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::prepare::{JobId, JobOrder, JobState};
use playout_store::{Principal, StoreError};
use serde::Serialize;
use serde_json::json;

use super::catalogue::Catalogue;
use super::known::{Entry, Known, NO_ROOM, Pace, Work};
use super::{Inner, Library, Room};
use crate::error::OpError;
use crate::hub::{Event, kind};

mod listing;
mod totals;
mod words;

pub use listing::JobCursor;
pub use totals::QueueView;
use words::Planned;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The item.
    pub media_id: MediaId,
    /// What it is called.
    pub title: String,
    /// The profile's key.
    pub profile: String,
    /// How far it has come.
    pub status: JobState,
    /// How many have their turn before it, and one; while it waits.
    pub place: Option<usize>,
    /// When it is on air next, and not prepared yet.
    pub due: Option<Timestamp>,
    /// The channel that shows it then, or that names it.
    pub channel_id: Option<ChannelId>,
    /// Whether somebody spoke of its turn.
    pub by_hand: bool,
    /// How far it is, in percent.
    pub percent: f64,
    /// While it is measured how loud the item is: how much of it was listened to, in percent.
    pub measured_percent: Option<f64>,
    /// Seconds of media a second, while it runs.
    pub speed: Option<f64>,
    /// Seconds until it is ready, as far as can be told.
    pub eta_seconds: Option<u64>,
    /// How often it has failed in a row.
    pub attempts: u32,
    /// Why it has failed, or what it waits for.
    pub reason: Option<String>,
}

impl Library {
    /// A job; what is ready is one, too.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub fn job(&self, who: &Principal, job: &JobId) -> Result<JobView, OpError> {
        let room = *self.inner.room.borrow();
        self.seen(who, job.media)?;
        let view = self.inner.read(|catalogue| catalogue.job(job, room));
        view.ok_or(OpError::NotFound("rendition"))
    }

    /// Pauses a job, has it go on, cancels it, retries it, or moves it to the front. Answers it as it is then.
    ///
    /// # Errors
    /// There is none, or it is another client's; a state that does not allow it; the database is away.
    pub async fn order_job(
        &self,
        who: &Principal,
        job: &JobId,
        order: JobOrder,
    ) -> Result<JobView, OpError> {
        self.job(who, job)?;
        let inner = &self.inner;
        // One after the other: each begins with what the one before has made.
        let turn = inner.ordering.lock().await;
        let planned = inner.read(|catalogue| catalogue.plan(job, order, who))?;
        if let Some(Planned {
            client,
            mark,
            states,
        }) = planned
        {
            let marked = inner.store.mark_job(who, client, &mark, order, states);
            match marked.await {
                Err(StoreError::NotFound) => return Err(OpError::NotFound("media")),
                other => other?,
            }
            let applied = inner.write(|catalogue| catalogue.apply(job, order, mark.hand));
            if let Err(refused) = applied {
                // It has come further meanwhile.
                inner.store.forget_mark(job.media, &mark.profile).await?;
                return Err(refused);
            }
            inner.work.notify_one();
            inner.tell_job(job);
        }
        drop(turn);
        self.job(who, job)
    }

    /// Pauses the whole queue, or has it go on. What runs is stopped and begun anew later.
    ///
    /// # Errors
    /// The database is away.
    pub async fn pause_queue(&self, who: &Principal, paused: bool) -> Result<(), OpError> {
        let inner = &self.inner;
        let _turn = inner.ordering.lock().await;
        if *inner.paused.borrow() == paused {
            return Ok(());
        }
        inner.store.pause_queue(who, paused).await?;
        inner.paused.send_replace(paused);
        inner.hub.publish(Event {
            kind: match paused {
                true => kind::QUEUE_PAUSED,
                false => kind::QUEUE_RESUMED,
            },
            client: None,
            channel: None,
            data: json!({ "paused": paused }),
        });
        Ok(())
    }

    /// Jobs that `who` may know of: what runs, what waits in the order of its turns, and the others; of one state, or of
    /// all but what is ready. Each with where a page ends with it. Never waits.
    pub fn jobs(
        &self,
        who: &Principal,
        state: Option<JobState>,
        after: Option<&JobCursor>,
        limit: usize,
    ) -> Vec<(JobView, JobCursor)> {
        let room = *self.inner.room.borrow();
        let sees = |client| who.sees(client);
        self.inner
            .read(|catalogue| catalogue.jobs(state, after, limit, room, sees))
    }
}

impl Inner {
    /// Tells that a job is in another state.
    pub(super) fn tell_job(&self, job: &JobId) {
        let room = *self.room.borrow();
        let told = self.read(|catalogue| {
            let client = catalogue.item(job.media)?.client_id;
            Some((client, catalogue.job(job, room)?))
        });
        if let Some((client, view)) = told {
            self.publish(kind::MEDIA_JOB, client, json!(view));
        }
    }

    /// Reads what people have said about the queue, and keeps to it.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn recall(&self) -> Result<(), StoreError> {
        let marks = self.store.prepare_marks().await?;
        let paused = self.store.is_queue_paused().await?;
        self.write(|catalogue| catalogue.recall(&marks));
        self.paused.send_replace(paused);
        Ok(())
    }
}

impl Catalogue {
    /// A job as people see it.
    fn job(&self, job: &JobId, room: Room) -> Option<JobView> {
        let known = self.items.get(&job.media)?;
        let entry = known.renditions.get(&*job.profile)?;
        let place = self.lineup.rank(job);
        let place = place.map(|rank| self.lineup.before(&(rank, job.clone())) + 1);
        Some(self.job_view(job, known, entry, place, room))
    }

    fn job_view(
        &self,
        job: &JobId,
        known: &Known,
        entry: &Entry,
        place: Option<usize>,
        room: Room,
    ) -> JobView {
        let soonest = self.demands.soonest(job);
        let Pace {
            percent,
            measured,
            eta,
            speed,
        } = match entry.work {
            Work::Running(pace) => pace,
            Work::Ready { .. } => Pace {
                percent: 100.0,
                ..Pace::default()
            },
            _ => Pace::default(),
        };
        let is_ready = matches!(entry.work, Work::Ready { .. });
        JobView {
            media_id: job.media,
            title: known.item.title.clone(),
            profile: job.profile.to_string(),
            status: entry.state(),
            place,
            due: soonest
                .and_then(|soonest| soonest.need.due)
                .filter(|_| !is_ready),
            channel_id: soonest.map(|soonest| soonest.channel),
            by_hand: entry.hand.is_some(),
            percent,
            measured_percent: measured,
            speed,
            eta_seconds: eta.map(|eta| eta.as_secs_f64().ceil() as u64),
            attempts: entry.failures,
            reason: match &entry.work {
                Work::Failed { reason, .. } => Some(reason.clone()),
                Work::Waiting => {
                    let waits = room.paused || known.expected(&entry.profile) > room.spare;
                    waits.then(|| NO_ROOM.to_owned())
                }
                _ => None,
            },
        }
    }
}
