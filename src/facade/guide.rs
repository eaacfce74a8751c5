//! `…/epg.json`, `…/epg.xml` and `/channels.m3u`: what viewers and their players are told of channels.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use playout_actors::channels::{Looked, Window};
use playout_domain::ChannelId;
use playout_media::guide::{Guide, Station, TooLong, json, m3u, xmltv};
use serde::Serialize;
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::api::Call;
use super::channels::stretch;
use super::problem::Problem;
use super::representation::Representation;

/// How much of a guide is told where the query does not say.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// So many programmes at most are told at once.
const MOST_PROGRAMMES: usize = 100_000;
/// Bytes of a guide at most: a lot may be said about each item.
const MOST_BYTES: usize = 64 << 20;
/// What players show the channels under.
const GROUP: &str = "TV";

/// How a guide is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xmltv,
}

/// A guide as JSON.
#[derive(Serialize)]
struct View<T> {
    from: Timestamp,
    until: Timestamp,
    items: T,
}

/// `GET …/epg.json`, `…/epg.xml`, `?from=&to=`: of one channel, or of all that the token sees.
pub(super) async fn epg(
    call: Call,
    id: Option<ChannelId>,
    format: Format,
) -> Result<Response, Problem> {
    let [from, to] = call.request.query(["from", "to"])?;
    let (from, until) = stretch(from, to, Timestamp::now(), DEFAULT_WINDOW)?;
    let window = Window {
        times: from..until,
        most: MOST_PROGRAMMES,
    };
    let channels = &call.app.channels;
    let turn = channels.turn_to_walk(&call.who).await?;
    let Looked {
        view: guide,
        held_by,
    } = match id {
        Some(id) => channels.guide_of(&call.who, id, window, &turn).await?,
        None => Looked {
            view: channels.guide(&call.who, window, &turn).await?,
            held_by: None,
        },
    };
    if guide.programmes() > MOST_PROGRAMMES {
        return Err(too_much());
    }
    let write = move |guide: &Guide| match format {
        Format::Xmltv => xmltv(guide, MOST_BYTES),
        Format::Json => {
            let items = guide.view();
            let view = View { from, until, items };
            json(&Looked { view, held_by }, MOST_BYTES)
        }
    };
    // A long one takes a while, which nobody else is to wait for.
    let text = turn.work(move || write(&guide)).await?;
    let text = text.map_err(|TooLong { .. }| too_much())?;
    let content_type = match format {
        Format::Json => "application/json",
        Format::Xmltv => "application/xml; charset=utf-8",
    };
    told(&call, text + "\n", content_type)
}

/// `GET /channels.m3u`: the channels that the token sees and that are served as HLS.
pub(super) async fn stations(call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let base = call.public_url().trim_end_matches('/');
    let channels = call.app.channels.by_name(&call.who).await;
    let served = channels.iter().filter(|channel| channel.config.hls_enabled);
    let stations = served.map(|channel| Station {
        id: channel.id,
        name: channel.config.name.to_string(),
        address: format!("{}{}", call.viewer_url(), channel.hls_path()),
    });
    let stations: Vec<Station> = stations.collect();
    let guide = format!("{base}/api/v1/epg.xml");
    told(&call, m3u(&guide, GROUP, &stations), "audio/x-mpegurl")
}

fn told(call: &Call, text: String, content_type: &'static str) -> Result<Response, Problem> {
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
    let told = Representation {
        body: Bytes::from(text),
        etag: format!("\"{hex}\""),
        content_type,
        cache_control: "private, no-cache".to_owned(),
    };
    told.answer(&call.request)
}

fn too_much() -> Problem {
    Problem::bad_request(format!(
        "More is shown between `from` and `to` than one answer holds ({MOST_PROGRAMMES} programmes, {} MiB): ask for less.",
        MOST_BYTES >> 20
    ))
}
