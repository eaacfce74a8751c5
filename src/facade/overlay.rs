//! `/api/v1/channels/{id}/overlay`: what a channel draws over its programme for a while.

use playout_domain::ChannelId;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{self, JSON};
use super::problem::Problem;
use super::representation::if_match;

/// `GET`: what is drawn, or will be.
pub(super) async fn get(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let channel = call.app.channels.look(&call.who, id).await?;
    let overlay = channel.config.overlay.as_deref();
    let overlay = overlay.ok_or_else(|| Problem::not_found("overlay"))?;
    Ok(channels::versioned(answer::ok(overlay)?, &channel))
}

/// `PUT`: draws this, in the place of what was drawn.
pub(super) async fn put(mut call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let overlay = call.json(JSON).await?;
    let channels = &call.app.channels;
    let channel = channels
        .put_overlay(&call.who, id, &overlay, version)
        .await?;
    channels::one(&call, &channel)
}

/// `DELETE`: draws nothing any more.
pub(super) async fn delete(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let channels = &call.app.channels;
    channels.delete_overlay(&call.who, id, version).await?;
    Ok(answer::nothing())
}
