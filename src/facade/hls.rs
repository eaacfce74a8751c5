//! `/hls/{channelId}/…`: what viewers fetch. Public, from memory, for players of any origin.
//!
//! Everything here is answered on the connection's own task without a wait: it is the path that
//! every viewer takes every few seconds.

use playout_actors::Served;
use playout_domain::ChannelId;
use warp::http::header::{self, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Facade;
use super::api::{self, Asked};
use super::problem::Problem;
use super::representation::Representation;
use super::request::Request;

/// Answers a request below `/hls`; every answer, also a refusal, may be read by any origin.
pub(super) fn answer(facade: &Facade, request: &Request) -> Response {
    let mut response = serve(facade, request).unwrap_or_else(Problem::into_response);
    share(&mut response);
    response
}

fn serve(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    let segments = request.segments();
    let ["hls", channel, rest @ ..] = &segments[..] else {
        return Err(Problem::not_found("route"));
    };
    let channel: ChannelId = api::id(channel, "channel")?;
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(preflight(response));
    }
    let output = facade
        .app()?
        .channels
        .hls(channel)
        .ok_or_else(|| Problem::not_found("stream on air"))?;
    let served = match rest {
        ["index.m3u8"] => output.master(),
        [name] => match name.strip_suffix(".m3u8") {
            Some(rung) => output.media(rung),
            None => output.segment(name),
        },
        _ => None,
    };
    let served = served.ok_or_else(|| Problem::not_found("playlist or segment (any more)"))?;
    Representation::from(served).answer(request)
}

impl From<Served> for Representation {
    fn from(served: Served) -> Self {
        Self {
            body: served.body,
            etag: served.etag,
            content_type: served.content_type,
            cache_control: served.cache_control,
        }
    }
}

/// Lets a page of any origin read the answer (Fetch standard, CORS protocol).
fn share(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Content-Length, Content-Range, Date, ETag, X-Request-Id",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn preflight(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
