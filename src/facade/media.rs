//! `/api/v1/media…`: the library over HTTP.

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::MediaId;
use playout_domain::violation::{Fields, Violations};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::page::Page;
use super::problem::Problem;
use super::representation::Representation;

/// `POST /media {"path": "/a/file/or/folder"}`: a report of what was accepted and what refused.
///
/// 201 when something is new, 200 when all of it was there already; 422 with every reason when
/// nothing was accepted.
pub(super) async fn import(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(&["application/json"]).await?;
    let path = path_of(&body).map_err(|violations| Problem::invalid(&violations.0))?;
    let began = Timestamp::now();
    let report = call.app.library.import(&call.who, Path::new(&path)).await?;
    if report.accepted.is_empty() {
        return Err(Problem::invalid(&refusals(&report.refused, &path).0));
    }
    let refused = report
        .refused
        .iter()
        .map(|file| json!({ "path": file.path.to_string_lossy(), "reason": file.reason }));
    let accepted: Vec<Value> = report.accepted.iter().map(|item| item.to_json()).collect();
    let answered = json!({ "accepted": accepted, "refused": refused.collect::<Vec<_>>() });
    if report.accepted.iter().all(|item| item.created_at < began) {
        return answer::ok(&answered);
    }
    let location = match &report.accepted[..] {
        [one] => format!("/api/v1/media/{}", one.id),
        _ => "/api/v1/media".to_owned(),
    };
    answer::created(&location, &answered)
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let page = Page::<MediaId>::of(&call.request)?;
    let fetched = call
        .app
        .library
        .list(&call.who, page.after, page.fetch())
        .await?;
    let (items, next) = page.cut(fetched, |view| view.item.id);
    answer::page(items.iter().map(|view| view.to_json()).collect(), next)
}

pub(super) async fn get(call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.library.get(&call.who, id).await?.to_json())
}

pub(super) async fn delete(call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    call.app.library.delete(&call.who, id).await?;
    Ok(answer::nothing())
}

pub(super) async fn thumbnail(call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.app.library.thumbnail(&call.who, id).await?;
    let picture = Representation {
        etag: tag(&body),
        body,
        content_type: "image/jpeg",
        cache_control: "private, max-age=3600".to_owned(),
    };
    picture.answer(&call.request)
}

/// A strong tag of bytes that have no version.
fn tag(bytes: &Bytes) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

fn path_of(body: &Value) -> Result<String, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let path = fields.required_parsed("path", |text| match text {
        text if !text.starts_with('/') => Err("a path has to be absolute, from / on"),
        text if text.contains('\0') => Err("a path holds no null character"),
        text => Ok(text.to_owned()),
    });
    fields.finish();
    violations.or(path.unwrap_or_default())
}

/// Why nothing was accepted, file by file.
fn refusals(refused: &[playout_actors::library::RefusedFile], path: &str) -> Violations {
    let mut violations = Violations::default();
    for file in refused {
        violations.add("/path", format!("{}: {}", file.path.display(), file.reason));
    }
    if refused.is_empty() {
        violations.add("/path", format!("{path} holds no files"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_alone() {
        assert_eq!(
            path_of(&json!({ "path": "/films/a b.mp4" })),
            Ok("/films/a b.mp4".to_owned())
        );
        for bad in [
            json!({}),
            json!({ "path": "films" }),
            json!({ "path": "/a\0b" }),
            json!({ "path": 1 }),
            json!({ "path": "/a", "url": "http://a" }),
            json!("/a"),
        ] {
            assert!(path_of(&bad).is_err(), "{bad}");
        }
    }
}
