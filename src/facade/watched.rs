//! `/api/v1/media/watched…`: folders whose files are imported as they come.

use std::path::Path;

use playout_domain::WatchedFolderId;
use playout_domain::violation::{Fields, Violations};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::page::Page;
use super::problem::Problem;

pub(super) async fn add(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(&["application/json"]).await?;
    let mut violations = Violations::default();
    let mut fields = Fields::open(&body, "", &mut violations);
    let path = fields.required_text("path").unwrap_or_default();
    fields.finish();
    violations
        .or(())
        .map_err(|violations| Problem::invalid(&violations))?;
    let view = call.app.library.watch(&call.who, Path::new(path)).await?;
    let location = format!("/api/v1/media/watched/{}", view.folder.id);
    answer::created(&location, &view.to_json())
}

pub(super) fn list(call: &Call) -> Result<Response, Problem> {
    let page = Page::<WatchedFolderId>::of(&call.request)?;
    let library = &call.app.library;
    let fetched = library.all_watched(&call.who, page.after, page.fetch());
    let (views, next) = page.cut(fetched, |view| view.folder.id);
    answer::page(views.iter().map(|view| view.to_json()).collect(), next)
}

pub(super) fn get(call: &Call, id: WatchedFolderId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.library.watched(&call.who, id)?.to_json())
}

pub(super) async fn remove(call: Call, id: WatchedFolderId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    call.app.library.unwatch(&call.who, id).await?;
    Ok(answer::nothing())
}
