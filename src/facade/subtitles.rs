//! `/api/v1/media/{id}/subtitles…`: what is said in an item, to be read along.

use bytes::Bytes;
use playout_domain::{Language, MediaId};
use playout_media::subtitle::{Format, LARGEST_FILE};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::representation::{Representation, expected, if_match};
use super::request::BodyLimits;

const WEBVTT: &str = "text/vtt";
const SUBRIP: &str = "application/x-subrip";
/// What a file may come as.
pub(super) const ACCEPTED: &[&str] = &[WEBVTT, SUBRIP];

/// `GET /media/{id}/subtitles`: the languages there are.
pub(super) fn list(call: &Call, id: MediaId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let subtitles = call.app.library.subtitles(&call.who, id)?;
    let items: Vec<Value> = subtitles.iter().map(|one| one.to_json()).collect();
    answer::ok(&json!({ "items": items }))
}

/// `GET /media/{id}/subtitles/{language}`: WebVTT, whatever was attached.
pub(super) async fn get(call: Call, id: MediaId, language: &str) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let language = tag(language)?;
    let library = &call.app.library;
    let (subtitle, text) = library.subtitle(&call.who, id, &language).await?;
    let file = Representation {
        etag: format!("\"{}\"", subtitle.version()),
        body: Bytes::from(text),
        content_type: "text/vtt; charset=utf-8",
        cache_control: "private, no-cache".to_owned(),
    };
    file.answer(&call.request)
}

/// `PUT /media/{id}/subtitles/{language}`: 201 where there were none in that language, 200 where they take the place of others;
/// 422 with the line where the file is broken.
pub(super) async fn attach(
    mut call: Call,
    id: MediaId,
    language: &str,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let (language, expected) = (tag(language)?, expected(&call.request)?);
    let limits = BodyLimits {
        bytes: LARGEST_FILE,
        ..call.facade.settings.body
    };
    let (kind, file) = call.request.file(ACCEPTED, limits).await?;
    let format = match kind {
        SUBRIP => Format::Srt,
        _ => Format::WebVtt,
    };
    let library = &call.app.library;
    let attached = library.attach_subtitle(&call.who, id, (language, expected), (format, &file));
    let (subtitle, is_new) = attached.await?;
    let location = format!("/api/v1/media/{id}/subtitles/{}", subtitle.language);
    let response = match is_new {
        true => answer::created(&location, &subtitle.to_json()),
        false => answer::ok(&subtitle.to_json()),
    }?;
    Ok(answer::tagged(response, subtitle.version()))
}

pub(super) async fn remove(call: Call, id: MediaId, language: &str) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let (language, version) = (tag(language)?, if_match(&call.request)?);
    let library = &call.app.library;
    let deleted = library.delete_subtitle(&call.who, id, &language, version);
    deleted.await?;
    Ok(answer::nothing())
}

fn tag(language: &str) -> Result<Language, Problem> {
    let refused = |why: String| {
        let mut sentence = why;
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Problem::bad_request(format!("{sentence}."))
    };
    language.parse().map_err(refused)
}
