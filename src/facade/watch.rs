//! `/watch/{channelId}`: one public page that plays a channel, what the page needs, and the events
//! of that one channel that everybody may see.
//!
//! Invariant: of a channel only its name, what it does and what is on air is shown here; no id of
//! its client, no path, no destination.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use playout_actors::App;
use playout_actors::hub::{Filter, Published, kind};
use playout_domain::ChannelId;
use playout_media::prepare::hex;
use rust_embed::RustEmbed;
use serde_json::{Value, json};
use warp::http::{Method, header};
use warp::reply::Response;

use super::Facade;
use super::answer;
use super::api::{self, Asked};
use super::events::{frames, last_event_id};
use super::problem::Problem;
use super::representation::Representation;
use super::request::Request;
use super::stream::{Audience, frame};

/// The built pages; empty where they were not built.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Pages;

/// What the page may do: load from here, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";
const NOT_BUILT: &str = "This playoutd was built without its web pages: run `npm ci` and \
    `npm run build` in web/, then build it again.";
/// The events that the page reads.
const KINDS: &[&str] = &[
    kind::CHANNEL_STATUS,
    kind::CHANNEL_ONAIR,
    kind::CHANNEL_SEGMENT,
    kind::CHANNEL_HEARTBEAT,
    kind::CHANNEL_DELETED,
];

/// Answers a request below `/watch`.
pub(super) fn answer(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    let segments = request.segments();
    let [_, rest @ ..] = &segments[..] else {
        return Err(Problem::not_found("route"));
    };
    match rest {
        ["assets", name] => asset(request, &format!("assets/{name}")),
        [channel] => {
            api::id::<ChannelId>(channel, "channel")?;
            page(request)
        }
        [channel, "events"] => events(facade, request, api::id(channel, "channel")?),
        _ => Err(Problem::not_found("route")),
    }
}

fn page(request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let file = Pages::get("watch.html").ok_or_else(|| Problem::missing(NOT_BUILT))?;
    // A new build has other assets, so the page itself is asked for each time.
    let mut response = representation("watch.html", file, "no-cache").answer(request)?;
    answer::set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

fn asset(request: &Request, name: &str) -> Result<Response, Problem> {
    let file = Pages::get(name).ok_or_else(|| Problem::not_found("page"))?;
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    // The name holds a digest of the content.
    let cache = "public, max-age=31536000, immutable";
    let mut response = representation(name, file, cache).answer(request)?;
    // A worker has the policy of its script.
    answer::set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

fn representation(name: &str, file: rust_embed::EmbeddedFile, cache: &str) -> Representation {
    let digest = file.metadata.sha256_hash();
    let hex = hex(&digest[..16]);
    Representation {
        body: match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        },
        etag: format!("\"{hex}\""),
        content_type: content_type(name),
        cache_control: cache.to_owned(),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// The channel's own events. The first of every stream is `channel.status` as it is now, so a page
/// has nothing to remember when it comes back.
fn events(facade: &Facade, request: &Request, id: ChannelId) -> Result<Response, Problem> {
    let app = facade.app()?.clone();
    let known = snapshot(&app, id).is_some();
    if !known {
        return Err(Problem::not_found("channel"));
    }
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let filter = Filter {
        channel: Some(id),
        kinds: Some(KINDS),
        ..Filter::default()
    };
    // Subscribed before the snapshot is taken: what changes in between comes twice, not never.
    let subscription = app.hub.subscribe(filter, last_event_id(request).as_deref());
    let first = snapshot(&app, id).map(|now| frame(None, kind::CHANNEL_STATUS, &now.to_string()));
    let later = frames(subscription, move |event| {
        shown(&app, id, event).map(|data| data.to_string())
    });
    facade
        .streams
        .open(request, Audience::Public, stream::iter(first).chain(later))
}

/// What a channel does, as everybody may know it; nothing when there is no such channel.
fn snapshot(app: &App, id: ChannelId) -> Option<Value> {
    let name = app.channels.name(id)?;
    let view = app.channels.public_status(id)?;
    let media = view.on_air.and_then(|on_air| on_air.media_id);
    Some(json!({
        "name": name,
        "status": view.status,
        "recovering": view.recovering,
        "onAir": view.on_air.map(|on_air| on_air.kind),
        "title": media.and_then(|media| app.library.title(media)),
    }))
}

/// What of an event everybody may see.
fn shown(app: &App, id: ChannelId, event: &Published) -> Option<Value> {
    match event.kind {
        kind::CHANNEL_SEGMENT => Some(picked(&event.data, &["sequence", "duration"])),
        kind::CHANNEL_HEARTBEAT => Some(picked(
            &event.data,
            &[
                "at",
                "status",
                "uptime",
                "lastSegment",
                "segments",
                "bitrate",
            ],
        )),
        kind::CHANNEL_DELETED | kind::RESET => Some(json!({})),
        _ => snapshot(app, id),
    }
}

fn picked(data: &Value, names: &[&str]) -> Value {
    let known = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), data.get(name)?.clone())));
    Value::Object(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_members_are_shown() {
        let data = json!({ "sequence": 7, "clientId": "x", "path": "/films" });
        assert_eq!(
            picked(&data, &["sequence", "duration"]),
            json!({ "sequence": 7 })
        );
    }

    #[test]
    fn the_page_is_html_and_its_script_is_script() {
        assert_eq!(content_type("watch.html"), "text/html; charset=utf-8");
        assert_eq!(
            content_type("assets/watch-Bx.js"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(content_type("assets/LICENSE"), "application/octet-stream");
    }
}
