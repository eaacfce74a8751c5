//! `/api/v1/channels…`: one function per route; what is allowed and valid is decided behind them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_actors::channels::Looked;
use playout_domain::lifecycle::Operation;
use playout_domain::{Channel, ChannelId};
use serde::Serialize;
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::representation::if_match;

pub(super) const JSON: &[&str] = &["application/json"];
/// RFC 7396 names the first; the second is what everybody sends.
pub(super) const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// How far ahead of now a plan is answered: a plan has no end, but looking far ahead takes time.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 31);
const DEFAULT_PLAN: Duration = Duration::from_secs(60 * 60);
/// So many entries at most does a plan answer at once.
const MAX_ENTRIES: usize = 1_000;

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let config = call.json(JSON).await?;
    let channel = call.app.channels.create(&call.who, &config).await?;
    let location = format!("/api/v1/channels/{}", channel.id);
    let response = answer::created(&location, &json(&call, &channel))?;
    Ok(versioned(response, &channel))
}

pub(super) async fn get(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let looked = call.app.channels.look(&call.who, id).await?;
    Ok(versioned(answer::ok(&shown(&call, &looked))?, &looked))
}

pub(super) async fn update(mut call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let patch = call.json(MERGE_PATCH).await?;
    let channel = call
        .app
        .channels
        .update(&call.who, id, &patch, version)
        .await?;
    one(&call, &channel)
}

pub(super) async fn delete(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    call.app.channels.delete(&call.who, id, version).await?;
    Ok(answer::nothing())
}

pub(super) async fn operate(
    call: Call,
    id: ChannelId,
    operation: Operation,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let channel = call.app.channels.operate(&call.who, id, operation).await?;
    one(&call, &channel)
}

pub(super) async fn status(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.channels.status(&call.who, id).await?)
}

pub(super) async fn health(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.channels.health(&call.who, id).await?)
}

pub(super) async fn processes(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    items(call.app.channels.processes(&call.who, id).await?)
}

pub(super) async fn outputs(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    items(call.app.channels.outputs(&call.who, id).await?)
}

pub(super) async fn output_metrics(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&call.app.channels.output_metrics(&call.who, id).await?)
}

/// `GET …/plan?from=&to=` (`until` is the same as `to`): whole entries; where there are more than one answer holds,
/// `nextFrom` is where to ask on.
pub(super) async fn plan(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let [from, to, until] = call.request.query(["from", "to", "until"])?;
    if to.is_some() && until.is_some() {
        return Err(Problem::bad_request(
            "`to` and `until` are the same: send one.",
        ));
    }
    let (from, until) = stretch(from, to.or(until), Timestamp::now(), DEFAULT_PLAN)?;
    let entries = call.app.channels.plan(&call.who, id, from, until).await?;
    let last = entries.get(MAX_ENTRIES - 1);
    let next = last.map(|entry| entry.end).filter(|end| *end < until);
    let plan = json!({ "from": from, "until": until, "items": entries.view, "nextFrom": next });
    answer::ok(&Looked {
        view: plan,
        held_by: entries.held_by,
    })
}

/// A list, and who holds the channel that it is of.
fn items<T: Serialize>(looked: Looked<Vec<T>>) -> Result<Response, Problem> {
    answer::ok(&Looked {
        view: json!({ "items": looked.view }),
        held_by: looked.held_by,
    })
}

/// The stretch of time that a query asks for; `length` is how long it is where nothing says so.
pub(super) fn stretch(
    from: Option<String>,
    until: Option<String>,
    now: Timestamp,
    length: Duration,
) -> Result<(Timestamp, Timestamp), Problem> {
    let time = |name: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => text.parse::<Timestamp>().map(Some).map_err(|_| {
            Problem::bad_request(format!(
                "`{name}` has to be a time as in 2030-01-31T20:15:00Z (RFC 3339)."
            ))
        }),
    };
    let from = time("from", from)?.unwrap_or(now);
    let after = |length: Duration| from.saturating_add(length).unwrap_or(Timestamp::MAX);
    let until = time("to", until)?.unwrap_or_else(|| after(length));
    let length = until.duration_since(from);
    if length <= SignedDuration::ZERO {
        return Err(Problem::bad_request("`to` has to be after `from`."));
    }
    if until > now.saturating_add(MAX_AHEAD).unwrap_or(Timestamp::MAX) {
        return Err(Problem::bad_request(
            "A plan is answered up to 31 days from now; `to` lies beyond.",
        ));
    }
    Ok((from, until))
}

/// A channel as every route answers it.
fn json(call: &Call, channel: &Channel) -> Value {
    channel.to_json(Timestamp::now(), call.viewer_url())
}

/// The same with the daemon that holds it, where that is another.
pub(super) fn shown(call: &Call, looked: &Looked<Channel>) -> Value {
    let mut shown = json(call, looked);
    if let Some(holder) = &looked.held_by {
        shown["heldBy"] = json!(holder);
    }
    shown
}

pub(super) fn one(call: &Call, channel: &Channel) -> Result<Response, Problem> {
    Ok(versioned(answer::ok(&json(call, channel))?, channel))
}

/// The version is the tag that `If-Match` takes.
pub(super) fn versioned(response: Response, channel: &Channel) -> Response {
    answer::tagged(response, channel.version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_plan_is_asked_for_an_hour_from_now_or_as_the_query_says() {
        let now: Timestamp = "2030-01-31T20:00:00Z".parse().unwrap();
        let text = |t: &str| Some(t.to_owned());
        let (from, until) = stretch(None, None, now, DEFAULT_PLAN).unwrap();
        assert_eq!(
            (from, until.to_string().as_str()),
            (now, "2030-01-31T21:00:00Z")
        );
        let (from, until) =
            stretch(text("2030-02-01T00:00:00+01:00"), None, now, DEFAULT_PLAN).unwrap();
        assert_eq!(from.to_string(), "2030-01-31T23:00:00Z");
        assert_eq!(until.to_string(), "2030-02-01T00:00:00Z");
        let long = stretch(
            text("2029-01-01T00:00:00Z"),
            text("2030-03-03T20:00:00Z"),
            now,
            DEFAULT_PLAN,
        );
        assert!(long.is_ok(), "any window up to 31 days ahead");
        for (from, until) in [
            (Some("soon"), None),
            (None, Some("2030-01-31")),
            (None, Some("2030-01-31T20:00:00Z")),
            (None, Some("2030-01-31T19:00:00Z")),
            (None, Some("2030-03-03T20:00:01Z")),
            (Some("2030-03-03T20:00:00Z"), None),
        ] {
            let refused = stretch(
                from.map(str::to_owned),
                until.map(str::to_owned),
                now,
                DEFAULT_PLAN,
            );
            assert!(refused.is_err(), "{from:?} {until:?}");
        }
    }
}
