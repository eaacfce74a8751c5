//! `/api/v1/channels/{id}/rotation`, `/blocks`, `/templates`, `/slots` and `/play`: the parts of a schedule, each read and
//! edited by itself and checked with all the others. They share one version, which is the tag that `If-Match` takes.

use playout_actors::OpError;
use playout_actors::channels::Looked;
use playout_domain::schedule::{Edit, Schedule};
use playout_domain::violation::{Fields, Violations, quoted};
use playout_domain::{ChannelId, MediaId, SlotId};
use serde::Serialize;
use serde_json::{Value, json};
use warp::http::header;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::problem::Problem;
use super::representation::if_match;

/// A part of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Rotation,
    Blocks,
    Templates,
    Slots,
}

impl Part {
    fn of(self, schedule: &Schedule) -> Value {
        let all = schedule.to_json();
        match self {
            Self::Rotation => all["rotation"].clone(),
            Self::Blocks => json!({ "items": all["blocks"] }),
            Self::Templates => json!({ "items": all["templates"] }),
            Self::Slots => json!({ "items": all["slots"] }),
        }
    }

    const fn replacing(self) -> fn(Value) -> Edit {
        match self {
            Self::Rotation => Edit::Rotation,
            Self::Blocks => Edit::Blocks,
            Self::Templates => Edit::Templates,
            Self::Slots => Edit::Slots,
        }
    }
}

pub(super) async fn get(call: Call, id: ChannelId, part: Part) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let looked = call.app.channels.schedule(&call.who, id).await?;
    let view = Looked {
        view: part.of(&looked),
        held_by: looked.held_by.clone(),
    };
    tagged(answer::ok(&view)?, looked.version)
}

pub(super) async fn replace(call: Call, id: ChannelId, part: Part) -> Result<Response, Problem> {
    let (schedule, ..) = edit(call, id, JSON, part.replacing()).await?;
    answered(&part.of(&schedule), &schedule)
}

/// `POST …/slots`: one slot, or `{"items": [slot, …]}`; answers those that are new.
pub(super) async fn add_slots(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let (schedule, given) = edit(call, id, JSON, Edit::AddSlots).await?;
    let several = given.get("items").and_then(Value::as_array);
    let one = given.get("at").is_some() || given.get("time").is_some();
    let new = several.filter(|_| !one).map_or(1, Vec::len);
    let slots = &schedule.slots[schedule.slots.len().saturating_sub(new)..];
    let location = match slots {
        [slot] => format!("/api/v1/channels/{id}/slots/{}", slot.id),
        _ => format!("/api/v1/channels/{id}/slots"),
    };
    let shown = match slots {
        [slot] if one => slot.to_json(),
        _ => json!({ "items": slots.iter().map(|slot| slot.to_json()).collect::<Vec<_>>() }),
    };
    tagged(answer::created(&location, &shown)?, schedule.version)
}

pub(super) async fn clear_slots(call: Call, id: ChannelId) -> Result<Response, Problem> {
    remove(call, id, Edit::ClearSlots).await
}

pub(super) async fn slot(call: Call, id: ChannelId, slot: SlotId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let looked = call.app.channels.schedule(&call.who, id).await?;
    let view = Looked {
        view: shown(&looked, slot)?,
        held_by: looked.held_by.clone(),
    };
    tagged(answer::ok(&view)?, looked.version)
}

pub(super) async fn change_slot(
    call: Call,
    id: ChannelId,
    slot: SlotId,
) -> Result<Response, Problem> {
    let (schedule, _) = edit(call, id, MERGE_PATCH, |patch| Edit::Slot(slot, patch)).await?;
    answered(&shown(&schedule, slot)?, &schedule)
}

pub(super) async fn remove_slot(
    call: Call,
    id: ChannelId,
    slot: SlotId,
) -> Result<Response, Problem> {
    remove(call, id, Edit::RemoveSlot(slot)).await
}

/// `POST …/play` `{"mediaId": "…", "when": "now" | "next"}`: answers the entry of the plan.
pub(super) async fn play(mut call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let (media, at_once) = asked(&body).map_err(|wrong| Problem::from(OpError::from(wrong)))?;
    let played = call.app.channels.play(&call.who, id, media, at_once);
    answer::ok(&played.await?)
}

/// What is to be played, and whether at once.
fn asked(body: &Value) -> Result<(MediaId, bool), Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let media = fields.required_parsed("mediaId", str::parse::<MediaId>);
    let at_once = fields.required_parsed("when", |when| match when {
        "now" => Ok(true),
        "next" => Ok(false),
        other => Err(format!("when is {}; it is now or next", quoted(other))),
    });
    fields.finish();
    violations.or(())?;
    media
        .zip(at_once)
        .ok_or_else(|| Violations::one("", "mediaId and when are needed"))
}

async fn edit(
    mut call: Call,
    id: ChannelId,
    accepted: &[&str],
    edit: impl FnOnce(Value) -> Edit,
) -> Result<(Schedule, Value), Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let given = call.json(accepted).await?;
    let edit = edit(given.clone());
    let channels = &call.app.channels;
    let schedule = channels.edit_schedule(&call.who, id, edit, version).await?;
    Ok((schedule, given))
}

async fn remove(call: Call, id: ChannelId, edit: Edit) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let channels = &call.app.channels;
    let schedule = channels.edit_schedule(&call.who, id, edit, version).await?;
    tagged(answer::nothing(), schedule.version)
}

fn shown(schedule: &Schedule, id: SlotId) -> Result<Value, Problem> {
    let slot = schedule.slots.iter().find(|slot| slot.id == id);
    slot.map(|slot| slot.to_json())
        .ok_or_else(|| Problem::not_found("slot"))
}

fn answered(shown: &impl Serialize, schedule: &Schedule) -> Result<Response, Problem> {
    tagged(answer::ok(shown)?, schedule.version)
}

/// The version of the schedule is the tag that `If-Match` takes.
fn tagged(mut response: Response, version: u64) -> Result<Response, Problem> {
    answer::set(&mut response, header::ETAG, &format!("\"{version}\""));
    Ok(response)
}
