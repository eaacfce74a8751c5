//! `/api/v1/media/uploads…`: resumable uploads, by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>) with its
//! extensions creation, creation-with-upload, termination, checksum and expiration.

use std::pin::pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use playout_actors::OpError;
use playout_actors::library::{Checksum, UploadError, UploadView};
use playout_domain::{ArrivalId, Details, MediaId};
use serde_json::{Map, Value, json};
use warp::http::header::{self, HeaderName};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::Facade;
use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::request::Request;

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,termination,checksum,expiration";
/// What a piece comes as.
pub(super) const PIECE: &[&str] = &["application/offset+octet-stream"];
/// Bytes of `Upload-Metadata` at most.
const MAX_METADATA: usize = 16 << 10;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// What the daemon can, for whoever asks with `OPTIONS`.
pub(super) fn options(facade: &Facade, mut response: Response) -> Response {
    let largest = facade.settings.max_file.to_string();
    for (name, value) in [
        (TUS_VERSION, VERSION),
        (HeaderName::from_static("tus-extension"), EXTENSIONS),
        (HeaderName::from_static("tus-max-size"), &largest),
        (
            HeaderName::from_static("tus-checksum-algorithm"),
            &Checksum::ALGORITHMS.join(","),
        ),
    ] {
        answer::set(&mut response, name, value);
    }
    response
}

/// The request with the method that it means: clients that cannot send every method name it in a header.
///
/// # Errors
/// That is no method.
pub(super) fn as_meant(mut request: Request) -> Result<Request, Problem> {
    if let Some(given) = request.headers.get(METHOD_OVERRIDE) {
        request.method = Method::from_bytes(given.as_bytes())
            .map_err(|_| Problem::bad_request("X-HTTP-Method-Override has to be a method."))?;
    }
    Ok(request)
}

/// Every answer names the version; a refusal of the client's names those there are.
pub(super) fn spoken(mut response: Response) -> Response {
    answer::set(&mut response, TUS_RESUMABLE, VERSION);
    if response.status() == StatusCode::PRECONDITION_FAILED {
        answer::set(&mut response, TUS_VERSION, VERSION);
    }
    response
}

/// `POST /media/uploads`: 201 with where it is; a body is its first piece.
pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    speaks(&call.request)?;
    if call.request.headers.contains_key(UPLOAD_DEFER_LENGTH) {
        return Err(Problem::bad_request(
            "Upload-Defer-Length is not taken: say how long the upload is by Upload-Length.",
        ));
    }
    let length = number(&call.request, UPLOAD_LENGTH)?;
    let largest = call.app.library.intake().largest;
    if length > largest {
        return Err(Problem::upload_too_large(largest));
    }
    if length == 0 {
        return Err(Problem::bad_request("An upload of no bytes is no video."));
    }
    let (name, details) = metadata(&call.request)?;
    let has_piece = call.request.headers.contains_key(header::CONTENT_TYPE);
    let checksum = match has_piece {
        true => {
            call.request.check_type(PIECE)?;
            checksum(&call.request)?
        }
        false => None,
    };
    if has_piece {
        // Where the piece fails, nothing is left: then it can be sent again with the same key.
        call.who.attempt = None;
    }
    let library = &call.app.library;
    let created = library
        .create_upload(&call.who, &name, details, given(&call.request), length)
        .await;
    let mut view = created.map_err(problem)?;
    let id = view.arrival.id;
    let mut media = None;
    if has_piece {
        match piece(&mut call, id, 0, checksum).await {
            Ok(written) => (view, media) = written,
            Err(problem) => {
                // Nobody is told where it is: nobody could go on with it.
                if let Err(error) = call.app.library.end_upload(&call.who, id).await {
                    tracing::info!(upload = %id, %error, "an upload that nobody knows of stays until it expires");
                }
                return Err(problem);
            }
        }
    }
    let mut response = answer::nothing();
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("{}/api/v1/media/uploads/{id}", call.public_url());
    answer::set(&mut response, header::LOCATION, &location);
    told(&mut response, &view, media);
    Ok(response)
}

/// `HEAD` and `GET`: how far it is; `GET` says the rest in JSON.
pub(super) async fn look(call: Call, id: ArrivalId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    if call.request.method == Method::HEAD {
        speaks(&call.request)?;
    }
    let view = call.app.library.upload(&call.who, id).await?;
    let mut response = answer::ok(&view.arrival.to_json(view.offset))?;
    told(&mut response, &view, view.arrival.media_id);
    let length = view.arrival.length.unwrap_or(0).to_string();
    answer::set(&mut response, UPLOAD_LENGTH, &length);
    if let Some(metadata) = call.app.library.upload_metadata(id).await {
        answer::set(&mut response, UPLOAD_METADATA, &metadata);
    }
    Ok(response)
}

/// `PATCH`: a piece. What has arrived of one that breaks off counts, unless it has a checksum. 204; where it was the
/// last, `Content-Location` is the item.
pub(super) async fn write(mut call: Call, id: ArrivalId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    speaks(&call.request)?;
    call.request.check_type(PIECE)?;
    let offset = number(&call.request, UPLOAD_OFFSET)?;
    let checksum = checksum(&call.request)?;
    let (view, media) = piece(&mut call, id, offset, checksum).await?;
    let mut response = answer::nothing();
    told(&mut response, &view, media);
    Ok(response)
}

pub(super) async fn end(call: Call, id: ArrivalId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    speaks(&call.request)?;
    call.app.library.end_upload(&call.who, id).await?;
    Ok(answer::nothing())
}

async fn piece(
    call: &mut Call,
    id: ArrivalId,
    offset: u64,
    checksum: Option<Checksum>,
) -> Result<(UploadView, Option<MediaId>), Problem> {
    let limits = call.facade.settings.body;
    let library = call.app.library.clone();
    let begun = library.write_upload(&call.who, id, offset, checksum).await;
    let mut writer = match begun {
        Ok(writer) => writer,
        // The answer to the last piece was lost: it is told again.
        Err(UploadError::Complete) => {
            let view = library.upload(&call.who, id).await?;
            let media = view.arrival.media_id;
            return Ok((view, media));
        }
        Err(error) => {
            call.request.discard(limits).await;
            return Err(problem(error));
        }
    };
    let mut ended = pin!(call.app.store.ended(&call.credential));
    let broken = loop {
        let chunk = tokio::select! {
            chunk = call.request.chunk(limits.time) => chunk,
            () = writer.displaced() => break Some(problem(UploadError::Displaced)),
            () = &mut ended => {
                let detail = "The token has ended; what arrived before counts.";
                break Some(Problem::unauthenticated(detail));
            }
        };
        match chunk {
            Ok(Some(chunk)) => {
                if let Err(error) = writer.write(&chunk).await {
                    writer.abandon(&error).await;
                    call.request.discard(limits).await;
                    return Err(problem(error));
                }
            }
            Ok(None) => break None,
            Err(broken) => break Some(broken),
        }
    };
    let finished = writer.finish(broken.is_none()).await;
    match broken {
        Some(broken) => Err(broken),
        None => finished.map_err(problem),
    }
}

/// What every answer about an upload tells.
fn told(response: &mut Response, view: &UploadView, media: Option<MediaId>) {
    answer::set(response, UPLOAD_OFFSET, &view.offset.to_string());
    answer::set(response, header::CACHE_CONTROL, "no-store");
    if let Ok(expires) = expires(view.arrival.expires_at) {
        answer::set(response, UPLOAD_EXPIRES, &expires);
    }
    if let Some(media) = media {
        let location = format!("/api/v1/media/{media}");
        answer::set(response, header::CONTENT_LOCATION, &location);
    }
}

/// A time as RFC 9110 §5.6.7 writes it.
fn expires(at: Timestamp) -> Result<String, jiff::Error> {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at)
}

fn problem(error: UploadError) -> Problem {
    match error {
        UploadError::Op(error) => Problem::from(error),
        UploadError::Offset { current } => Problem::upload_offset(current),
        UploadError::Displaced => {
            Problem::conflict("displaced", "Another request writes to the upload now.")
        }
        UploadError::TooLong { length } => Problem::upload_too_large(length),
        UploadError::Checksum => Problem::checksum_mismatch(),
        UploadError::NoRoom => Problem::no_room(),
        UploadError::Complete => Problem::from(OpError::Internal),
    }
}

/// Whether the client speaks this version of the protocol.
fn speaks(request: &Request) -> Result<(), Problem> {
    match request.header(TUS_RESUMABLE) {
        Some(VERSION) => Ok(()),
        _ => Err(Problem::upload_protocol(
            "Uploads speak tus 1.0.0; send `Tus-Resumable: 1.0.0`.",
        )),
    }
}

fn number(request: &Request, name: HeaderName) -> Result<u64, Problem> {
    let given = request.header(name.clone());
    let digits = given.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Problem::bad_request(format!("{name} has to be a whole number of bytes.")))
}

/// `Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`
fn checksum(request: &Request) -> Result<Option<Checksum>, Problem> {
    if !request.headers.contains_key(UPLOAD_CHECKSUM) {
        return Ok(None);
    }
    let given = request.header(UPLOAD_CHECKSUM).unwrap_or_default();
    let read = given.split_once(' ').and_then(|(algorithm, sum)| {
        let sum = BASE64_STANDARD.decode(sum.trim()).ok()?;
        Checksum::new(algorithm, sum)
    });
    read.map(Some).ok_or_else(|| {
        let known = Checksum::ALGORITHMS.join(" or ");
        Problem::bad_request(format!(
            "Upload-Checksum has to be {known}, a space and the sum in Base64."
        ))
    })
}

/// The name of the file and what is said about it: `key base64,key base64`.
fn metadata(request: &Request) -> Result<(String, Details), Problem> {
    read_metadata(given(request))
}

/// `Upload-Metadata` to the letter.
fn given(request: &Request) -> &str {
    match request.headers.get(UPLOAD_METADATA) {
        None => "",
        Some(given) => given.to_str().unwrap_or("\u{fffd}"),
    }
}

fn read_metadata(given: &str) -> Result<(String, Details), Problem> {
    let wrong = || {
        Problem::bad_request(
            "Upload-Metadata has to be pairs of a name and a text in Base64, with commas between.",
        )
    };
    if given.len() > MAX_METADATA {
        return Err(Problem::bad_request(format!(
            "Upload-Metadata has more than {MAX_METADATA} bytes."
        )));
    }
    let mut name = String::new();
    let mut fields = Map::new();
    for pair in given
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64_STANDARD.decode(value).map_err(|_| wrong())?;
        let value = String::from_utf8(value).map_err(|_| wrong())?;
        let listed = || {
            value
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
        };
        match key {
            "filename" | "name" if !value.is_empty() => name = value,
            "title" | "description" | "genre" | "language" | "rating" | "series"
                if !value.is_empty() =>
            {
                fields.insert(key.to_owned(), value.into());
            }
            "season" | "episode" => {
                let number = value
                    .parse::<u64>()
                    .map_or(Value::String(value), Value::from);
                fields.insert(key.to_owned(), number);
            }
            "tags" => {
                fields.insert(key.to_owned(), json!(listed().collect::<Vec<_>>()));
            }
            // Clients send more than this daemon asks for.
            _ => {}
        }
    }
    let details = Details::parse(&Value::Object(fields));
    let details = details.map_err(|violations| Problem::invalid(&violations))?;
    Ok((name, details))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn metadata_are_read_as_the_protocol_writes_them() {
        let code = |text: &str| BASE64_STANDARD.encode(text);
        let given = format!(
            "filename {}, title {},tags {},season {},filetype {},is_confidential",
            code("../über.mp4"),
            code("Über"),
            code("Night, old town"),
            code("3"),
            code("video/mp4")
        );
        let (name, details) = read_metadata(&given).unwrap();
        assert_eq!(name, "../über.mp4");
        let expected = Details {
            title: Some("Über".into()),
            tags: vec!["night".into(), "old town".into()],
            season: Some(3),
            ..Details::default()
        };
        assert_eq!(details, expected);
        assert!(read_metadata("").is_ok());
        for bad in [
            "title !",
            "title /w==",
            &format!("season {}", code("x")),
            &"a".repeat(20_000),
        ] {
            assert!(read_metadata(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_written_as_http_has_it() {
        let at: Timestamp = "2026-11-29T17:00:00.5Z".parse().unwrap();
        assert_eq!(expires(at).unwrap(), "Sun, 29 Nov 2026 17:00:00 GMT");
    }
}
