//! `/api/v1/channels/{id}/logo`: the picture that a channel draws over what it plays. Where and how it is drawn is
//! part of the channel's configuration.

use bytes::Bytes;
use playout_domain::ChannelId;
use warp::reply::Response;

use super::api::Call;
use super::channels;
use super::media::tag;
use super::problem::Problem;
use super::representation::{Representation, if_match};

/// What it comes as.
pub(super) const PNG: &[&str] = &["image/png"];

/// `GET`: the picture as it was sent.
pub(super) async fn get(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = Bytes::from(call.app.channels.logo(&call.who, id).await?);
    let picture = Representation {
        etag: tag(&body),
        body,
        content_type: "image/png",
        cache_control: "private, no-cache".to_owned(),
    };
    picture.answer(&call.request)
}

/// `PUT`: another picture, in the same place.
pub(super) async fn put(mut call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let png = call.bytes(PNG).await?;
    let channels = &call.app.channels;
    let channel = channels
        .put_logo(&call.who, id, png.to_vec(), version)
        .await?;
    channels::one(&call, &channel)
}

/// `DELETE`: none any more.
pub(super) async fn delete(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    call.app
        .channels
        .delete_logo(&call.who, id, version)
        .await?;
    Ok(super::answer::nothing())
}
