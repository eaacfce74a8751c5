//! `/api/v1/channels/{id}/destinations…`: the RTMP destinations of a channel, one by one; `/api/v1/platforms`.

use playout_domain::config::DestinationEdit;
use playout_domain::{Channel, ChannelId, DestinationConfig, DestinationId};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH, versioned};
use super::problem::Problem;
use super::representation::if_match;

/// `GET /api/v1/platforms`: what is known of platforms.
pub(super) fn platforms(call: &Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&json!({ "items": call.app.channels.platforms() }))
}

pub(super) async fn list(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let channel = call.app.channels.get(&call.who, id).await?;
    let destinations = channel.config.rtmp_destinations.iter();
    let items: Vec<Value> = destinations
        .map(DestinationConfig::to_json_public)
        .collect();
    let response = answer::ok(&json!({ "items": items }))?;
    Ok(versioned(response, &channel))
}

pub(super) async fn add(mut call: Call, id: ChannelId) -> Result<Response, Problem> {
    let destination = call.json(JSON).await?;
    let channel = edit(&call, id, DestinationEdit::Add(destination)).await?;
    let added = channel.config.rtmp_destinations.last();
    let added = added.ok_or_else(Problem::internal)?;
    let added_id = added.id.ok_or_else(Problem::internal)?;
    let location = format!("/api/v1/channels/{id}/destinations/{added_id}");
    let response = answer::created(&location, &added.to_json_public())?;
    Ok(versioned(response, &channel))
}

pub(super) async fn get(
    call: Call,
    id: ChannelId,
    destination: DestinationId,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let channel = call.app.channels.get(&call.who, id).await?;
    one(&channel, destination)
}

pub(super) async fn change(
    mut call: Call,
    id: ChannelId,
    destination: DestinationId,
) -> Result<Response, Problem> {
    let patch = call.json(MERGE_PATCH).await?;
    let channel = edit(&call, id, DestinationEdit::Change(destination, patch)).await?;
    one(&channel, destination)
}

pub(super) async fn remove(
    call: Call,
    id: ChannelId,
    destination: DestinationId,
) -> Result<Response, Problem> {
    edit(&call, id, DestinationEdit::Remove(destination)).await?;
    Ok(answer::nothing())
}

/// `POST …/validate?publish=true`: also an answer where the destination is not right.
pub(super) async fn validate(
    call: Call,
    id: ChannelId,
    destination: DestinationId,
) -> Result<Response, Problem> {
    let [publish] = call.request.query(["publish"])?;
    let publish = match publish.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("`publish` is `true` or `false`.")),
    };
    let channels = &call.app.channels;
    let tested = channels.validate_destination(&call.who, id, destination, publish);
    answer::ok(&tested.await?)
}

async fn edit(call: &Call, id: ChannelId, edit: DestinationEdit) -> Result<Channel, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let channels = &call.app.channels;
    Ok(channels
        .edit_destination(&call.who, id, edit, version)
        .await?)
}

fn one(channel: &Channel, id: DestinationId) -> Result<Response, Problem> {
    let mut destinations = channel.config.rtmp_destinations.iter();
    let found = destinations.find(|destination| destination.id == Some(id));
    let found = found.ok_or_else(|| Problem::not_found("destination"))?;
    Ok(versioned(answer::ok(&found.to_json_public())?, channel))
}
