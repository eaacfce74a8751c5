//! `/api/v1/media/queue…` and `/media/{id}/renditions/{profile}…`: the prepare queue, its jobs, and what they are told.

use playout_actors::library::JobCursor;
use playout_domain::prepare::{JobId, JobOrder, JobState};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::page::Page;
use super::problem::Problem;

/// `GET /media/queue`: how far all jobs are.
pub(super) fn totals(call: &Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.library.queue(&call.who))
}

/// `POST /media/queue/pause` and `/resume`: everybody's queue. Jobs can be paused one by one.
pub(super) async fn pause(call: Call, paused: bool) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let library = &call.app.library;
    library.pause_queue(&call.who, paused).await?;
    answer::ok(&library.queue(&call.who))
}

/// `GET /media/queue/jobs?status=`: what runs, what waits in the order of its turns, and what does not.
pub(super) fn jobs(call: &Call) -> Result<Response, Problem> {
    let [status, limit, cursor] = call.request.query(["status", "limit", "cursor"])?;
    let status = status.map(|status| {
        JobState::named(&status).ok_or_else(|| {
            let known = JobState::ALL.map(JobState::name).join(", ");
            Problem::bad_request(format!("`status` has to be one of {known}."))
        })
    });
    let status = status.transpose()?;
    let page = Page::<JobCursor>::read(limit, cursor)?;
    let library = &call.app.library;
    let fetched = library.jobs(&call.who, status, page.after.as_ref(), page.fetch());
    let (jobs, next) = page.cut(fetched, |(_, cursor)| cursor.clone());
    let jobs: Vec<Value> = jobs.iter().map(|(view, _)| json!(view)).collect();
    answer::page(jobs, next)
}

pub(super) fn job(call: &Call, job: &JobId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.library.job(&call.who, job)?)
}

/// `POST …/pause`, `/resume`, `/cancel`, `/retry`, `/next`: answers the job as it is then.
pub(super) async fn order(call: Call, job: &JobId, order: JobOrder) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.library.order_job(&call.who, job, order).await?)
}
