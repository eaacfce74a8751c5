//! `/api/v1/media…`: the library over HTTP.

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use playout_actors::library::MediaView;
use playout_domain::violation::{Fields, Violations};
use playout_domain::{ArrivalId, Details, MediaId, MediaStatus};
use playout_media::prepare::hex;
use playout_store::{MediaCursor, MediaQuery, MediaSort};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use warp::http::StatusCode;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::MERGE_PATCH;
use super::page::Page;
use super::problem::Problem;
use super::representation::{Representation, if_match};

/// What `POST /media` is asked to import.
#[derive(Debug, PartialEq)]
enum Wanted {
    /// A file or a folder.
    Path(String),
    /// A URL, and what is said about the item.
    Url(String, Details),
}

/// `POST /media {"path": "/a/file/or/folder"}`: a report of what was accepted and what refused; 201 when something is
/// new, 200 when all of it was there already; 422 with every reason when nothing was accepted.
///
/// `POST /media {"url": "https://…"}`: 202, and where it is told how far it is.
pub(super) async fn import(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(&["application/json"]).await?;
    let path = match wanted(&body).map_err(|violations| Problem::invalid(&violations))? {
        Wanted::Path(path) => path,
        Wanted::Url(url, details) => {
            let begun = call.app.library.fetch(&call.who, &url, details).await?;
            let location = format!("/api/v1/media/imports/{}", begun.arrival.id);
            let mut response = answer::created(&location, &begun.arrival.to_json(begun.offset))?;
            *response.status_mut() = StatusCode::ACCEPTED;
            return Ok(response);
        }
    };
    let began = Timestamp::now();
    // Each file is a change of its own, and none of them is the whole: to import again what is there does no harm.
    call.who.attempt = None;
    let report = call.app.library.import(&call.who, Path::new(&path)).await?;
    if report.accepted.is_empty() {
        return Err(Problem::invalid(&refusals(&report.refused, &path)));
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

/// `GET /media?q=&tag=&status=&sort=`: without any of these it is answered from memory, also while the database is away.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [q, tag, status, sort, limit, cursor] = call
        .request
        .query(["q", "tag", "status", "sort", "limit", "cursor"])?;
    let query = query(q, tag, status, sort)?;
    let library = &call.app.library;
    if query.is_plain() {
        let page = Page::<MediaId>::read(limit, cursor)?;
        let fetched = library.list(&call.who, page.after, page.fetch()).await?;
        let (items, next) = page.cut(fetched, |view| view.item.id);
        return answer::page(items.iter().map(|view| view.to_json()).collect(), next);
    }
    let page = Page::<MediaCursor>::read(limit, cursor)?;
    let query = MediaQuery {
        after: page.after.clone(),
        limit: u32::try_from(page.fetch()).unwrap_or(u32::MAX),
        ..query
    };
    let fetched = library.search(&call.who, query).await?;
    let (items, next) = page.cut(fetched, |(_, cursor)| cursor.clone());
    answer::page(items.iter().map(|(view, _)| view.to_json()).collect(), next)
}

fn query(
    q: Option<String>,
    tag: Option<String>,
    status: Option<String>,
    sort: Option<String>,
) -> Result<MediaQuery, Problem> {
    let words = q.map(|q| MediaQuery::words_of(&q));
    if words.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::bad_request(
            "`q` has to hold a word: letters or digits.",
        ));
    }
    let status = status.map(|status| status.parse::<MediaStatus>());
    let status = status.transpose().map_err(|_| {
        let known = MediaStatus::ALL.map(MediaStatus::name).join(", ");
        Problem::bad_request(format!("`status` has to be one of {known}."))
    })?;
    let sort = sort.map(|sort| sort.parse::<MediaSort>()).transpose();
    if tag.as_ref().is_some_and(|tag| tag.contains('\0')) {
        return Err(Problem::bad_request("`tag` holds a null character."));
    }
    Ok(MediaQuery {
        words: words.unwrap_or_default(),
        tag: tag.map(|tag| tag.trim().to_lowercase()),
        status,
        sort: sort.map_err(Problem::bad_request)?.unwrap_or_default(),
        ..MediaQuery::default()
    })
}

pub(super) async fn get(call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    one(&call.app.library.get(&call.who, id).await?)
}

pub(super) async fn update(mut call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let patch = call.json(MERGE_PATCH).await?;
    one(&call
        .app
        .library
        .edit(&call.who, id, &patch, version)
        .await?)
}

/// The version of what is said about it is the tag that `If-Match` takes.
fn one(view: &MediaView) -> Result<Response, Problem> {
    Ok(answer::tagged(
        answer::ok(&view.to_json())?,
        view.item.version,
    ))
}

pub(super) async fn delete(call: Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    call.app.library.delete(&call.who, id, version).await?;
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

/// `GET /media/imports`: imports by URL, those that have ended for a day.
pub(super) async fn imports(call: Call) -> Result<Response, Problem> {
    let page = Page::<ArrivalId>::of(&call.request)?;
    let library = &call.app.library;
    let fetched = library.fetches(&call.who, page.after, page.fetch()).await?;
    let (views, next) = page.cut(fetched, |view| view.arrival.id);
    let items: Vec<Value> = views
        .iter()
        .map(|view| view.arrival.to_json(view.offset))
        .collect();
    answer::page(items, next)
}

pub(super) async fn an_import(call: Call, id: ArrivalId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let view = call.app.library.fetched(&call.who, id).await?;
    answer::ok(&view.arrival.to_json(view.offset))
}

pub(super) async fn end_import(call: Call, id: ArrivalId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    call.app.library.end_fetch(&call.who, id).await?;
    Ok(answer::nothing())
}

/// `GET /media/storage`: what the client of the token uses of its plan.
pub(super) async fn storage(call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let storage = call.app.library.storage(&call.who).await?;
    answer::ok(&json!({
        "items": storage.items,
        "usedBytes": storage.used,
        "arrivingBytes": storage.arriving,
        "allowedBytes": storage.allowed,
    }))
}

/// A strong tag of bytes that have no version.
pub(super) fn tag(bytes: &Bytes) -> String {
    let digest = Sha256::digest(bytes);
    let hex = hex(&digest[..16]);
    format!("\"{hex}\"")
}

fn wanted(body: &Value) -> Result<Wanted, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let by_url = fields.value("url").is_some();
    let path = |text: &str| match text {
        text if !text.starts_with('/') => Err("a path has to be absolute, from / on"),
        text if text.contains('\0') => Err("a path holds no null character"),
        text => Ok(text.to_owned()),
    };
    let wanted = if by_url {
        let url = fields.required_text("url").unwrap_or_default().to_owned();
        let details = fields
            .value("details")
            .map_or(Ok(Details::default()), Details::parse);
        if fields.value("path").is_some() {
            fields.refuse("path", "a path and a url are not imported at once");
        }
        let details = details.unwrap_or_else(|wrong| {
            for violation in wrong.0 {
                let pointer = format!("/details{}", violation.pointer);
                fields.violations().add(pointer, violation.message);
            }
            Details::default()
        });
        Wanted::Url(url, details)
    } else {
        Wanted::Path(fields.required_parsed("path", path).unwrap_or_default())
    };
    fields.finish();
    violations.or(wanted)
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
            wanted(&json!({ "path": "/films/a b.mp4" })),
            Ok(Wanted::Path("/films/a b.mp4".to_owned()))
        );
        for bad in [
            json!({}),
            json!({ "path": "films" }),
            json!({ "path": "/a\0b" }),
            json!({ "path": 1 }),
            json!({ "path": "/a", "url": "http://a" }),
            json!({ "path": "/a", "details": {} }),
            json!({ "url": 7 }),
            json!({ "url": "http://a", "details": { "season": -1 } }),
            json!("/a"),
        ] {
            assert!(wanted(&bad).is_err(), "{bad}");
        }
    }
}
