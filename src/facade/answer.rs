//! Successes, as every route answers them: JSON that no cache keeps.

use serde::Serialize;
use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::http::header::{self, HeaderName, HeaderValue};
use warp::reply::Response;

use super::problem::Problem;

/// 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Result<Response, Problem> {
    let mut text = serde_json::to_string(body).map_err(|error| {
        tracing::error!(%error, "an answer is no JSON");
        Problem::internal()
    })?;
    text.push('\n');
    let mut response = Response::new(text.into());
    set(&mut response, header::CONTENT_TYPE, "application/json");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// 201 with JSON and where it is from now on.
pub(super) fn created(location: &str, body: &impl Serialize) -> Result<Response, Problem> {
    let mut response = ok(body)?;
    *response.status_mut() = StatusCode::CREATED;
    set(&mut response, header::LOCATION, location);
    Ok(response)
}

/// The version is the tag that `If-Match` takes.
pub(super) fn tagged(mut response: Response, version: u64) -> Response {
    set(&mut response, header::ETAG, &format!("\"{version}\""));
    response
}

/// 204.
pub(super) fn nothing() -> Response {
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// One page of a list, and the cursor of the next one where there is more.
pub(super) fn page(items: Vec<Value>, next: Option<String>) -> Result<Response, Problem> {
    ok(&json!({ "items": items, "nextCursor": next }))
}

/// Sets a header of a response; a value that is none is a fault of ours and is left out.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        Err(_) => tracing::error!(%name, value, "not a header value"),
    }
}
