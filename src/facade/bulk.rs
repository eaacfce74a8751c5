//! `POST /api/v1/channels/bulk`: one operation on many channels, each by itself, with a result for each.

use futures_util::{StreamExt, stream};
use playout_actors::{App, OpError};
use playout_domain::labels::Selector;
use playout_domain::lifecycle::Operation;
use playout_domain::limits::{Raise, Usage};
use playout_domain::plans::PlanRefusal;
use playout_domain::violation::{Fields, Violations};
use playout_domain::{ChannelConfig, ChannelId};
use playout_store::{Principal, Scope, StoreError};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::JSON;
use super::problem::Problem;

/// Channels of one request at most, whatever the plan says.
pub(super) const MOST: usize = 1_000;
/// Every operation by its name.
pub(super) const OPERATIONS: [&str; 5] = ["start", "stop", "restart", "delete", "update"];
/// Bytes of a patch: each channel reads it.
pub(super) const LONGEST_PATCH: usize = 64 << 10;
/// Violations that are told of each channel.
const TOLD: usize = 10;
/// Channels that are worked on at once.
const AT_ONCE: usize = 8;

/// What is done to each.
#[derive(Debug, Clone, PartialEq)]
enum Work {
    Operate(Operation),
    Update(Value),
    Delete,
}

/// To which.
#[derive(Debug, Clone, PartialEq)]
enum Meant {
    Ids(Vec<ChannelId>),
    Selected(Selector),
}

pub(super) async fn bulk(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let (work, meant) = read(&body).map_err(|wrong| Problem::invalid(&wrong))?;
    if !call.who.scopes.allow(work.scope()) {
        return Err(Problem::scope_missing(work.scope()));
    }
    // The whole is done once; the first change to a channel is not what it was asked for.
    let attempt = call.who.attempt.take();
    let (app, who) = (&call.app, &call.who);
    let ids = match meant {
        Meant::Ids(ids) => ids,
        Meant::Selected(selector) => {
            let found = app.channels.select(who, &selector, None, MOST + 1).await?;
            if found.len() > MOST {
                let many = format!("it means more than {MOST} channels");
                return Err(Problem::invalid(&Violations::one("/selector", many)));
            }
            found.into_iter().map(|looked| looked.view.id).collect()
        }
    };
    let raise = Raise::Bulk {
        channels: ids.len() as u64,
    };
    within_plan(app, who, &raise).await?;
    if let Some(attempt) = &attempt {
        match app.store.idempotent_commence(attempt).await {
            Err(StoreError::Unavailable(away)) => {
                tracing::debug!(%away, "an Idempotency-Key is not kept");
            }
            commenced => commenced.map_err(Problem::of_store)?,
        }
    }
    let results = stream::iter(ids).map(|id| one(app.clone(), who.clone(), id, work.clone()));
    let results: Vec<Value> = results.buffered(AT_ONCE).collect().await;
    let failed = results.iter().filter(|one| !one["problem"].is_null());
    let failed = failed.count();
    answer::ok(&json!({ "succeeded": results.len() - failed, "failed": failed, "items": results }))
}

/// Whether the plan allows so many at once; while the database is away, by what is known of it.
async fn within_plan(app: &App, who: &Principal, raise: &Raise) -> Result<(), Problem> {
    let checked = match app.store.check_limits(who, who.client, *raise).await {
        Err(StoreError::Unavailable(away)) => {
            let known = app.store.known_limits(who.client);
            let known = known.ok_or(StoreError::Unavailable(away));
            known.map(|known| {
                let checked = known.limits.check(raise, &Usage::default());
                checked.map_err(|exceeded| PlanRefusal {
                    plan: Some(known.plan),
                    ..exceeded.into()
                })
            })
        }
        checked => checked,
    };
    let checked = checked.map_err(|error| Problem::of_stored("client", error))?;
    checked.map_err(|refusal| Problem::limit_exceeded(&refusal))
}

/// What became of one channel. Whoever leaves meanwhile does not stop it.
async fn one(app: App, who: Principal, id: ChannelId, work: Work) -> Value {
    let done = super::api::task(async move {
        let channels = &app.channels;
        match work {
            Work::Operate(operation) => {
                let channel = channels.operate(&who, id, operation).await?;
                Ok(json!(channel.status()))
            }
            Work::Update(patch) => {
                let changed = channels.update(&who, id, &patch, None).await;
                Ok(json!(changed.map_err(shortened)?.status()))
            }
            Work::Delete => {
                channels.delete(&who, id, None).await?;
                Ok(Value::Null)
            }
        }
    });
    match done.await {
        Ok(status) => json!({ "channelId": id, "status": status, "problem": null }),
        Err(problem) => json!({ "channelId": id, "status": null, "problem": problem.document() }),
    }
}

/// What is wrong with a patch for one of many channels: the first of it.
fn shortened(refused: OpError) -> OpError {
    match refused {
        OpError::Invalid(violations) => OpError::Invalid(violations.shortened(TOLD)),
        refused => refused,
    }
}

impl Work {
    fn scope(&self) -> Scope {
        match self {
            Self::Operate(_) => Scope::Operate,
            Self::Update(_) | Self::Delete => Scope::Configure,
        }
    }
}

fn read(body: &Value) -> Result<(Work, Meant), Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let patch = fields.value("patch");
    let work = fields.required_parsed("operation", |name| {
        Ok(match name {
            "start" => Work::Operate(Operation::Start),
            "stop" => Work::Operate(Operation::Stop),
            "restart" => Work::Operate(Operation::Restart),
            "delete" => Work::Delete,
            "update" => Work::Update(patch.cloned().unwrap_or_default()),
            _ => return Err(format!("has to be one of {}", OPERATIONS.join(", "))),
        })
    });
    match (&work, patch) {
        (Some(Work::Update(_)), None) => fields.refuse("patch", "is missing; update needs it"),
        (Some(Work::Update(_)), Some(_)) | (_, None) => {}
        (_, Some(_)) => fields.refuse("patch", "belongs to update alone"),
    }
    let selector = fields.parsed("selector", str::parse::<Selector>);
    let selects = fields.value("selector").is_some();
    let list = fields.list("channelIds", MOST);
    match (list.is_some(), selects) {
        (true, true) => fields.refuse("selector", "send either channelIds or selector"),
        (false, false) => fields.refuse("channelIds", "is missing; send it or selector"),
        _ => {}
    }
    let ids = list.map(|list| ids(list, &mut fields));
    fields.finish();
    if let (Some(Work::Update(_)), Some(patch)) = (&work, patch) {
        violations.append(foreign_to_all(patch));
    }
    let meant = ids.map(Meant::Ids).or(selector.map(Meant::Selected));
    match (work, meant) {
        (Some(work), Some(meant)) => violations.or((work, meant)),
        _ => Err(violations),
    }
}

/// What is wrong with a patch for every channel: that is told once, and none of them is asked.
fn foreign_to_all(patch: &Value) -> Violations {
    let mut wrong = ChannelConfig::foreign_to_all(patch, "/patch");
    let bytes = patch.to_string().len();
    if bytes > LONGEST_PATCH {
        let message = format!("has {bytes} bytes; {LONGEST_PATCH} are taken for many channels");
        wrong.add("/patch", message);
    }
    wrong
}

/// Each once, in the order in which they are given.
fn ids(list: &[Value], fields: &mut Fields<'_, '_>) -> Vec<ChannelId> {
    let mut ids = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let wrong = match value.as_str().unwrap_or_default().parse::<ChannelId>() {
            Ok(id) if ids.contains(&id) => "comes a second time".to_owned(),
            Ok(id) => {
                ids.push(id);
                continue;
            }
            Err(error) => error.to_string(),
        };
        fields.violations().add(format!("/channelIds/{n}"), wrong);
    }
    ids
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";

    #[test]
    fn what_is_done_to_which_is_read() {
        let (work, meant) = read(&json!({ "operation": "start", "channelIds": [ID] })).unwrap();
        assert_eq!(
            (work, meant),
            (
                Work::Operate(Operation::Start),
                Meant::Ids(vec![ID.parse().unwrap()])
            )
        );
        let (work, meant) = read(
            &json!({ "operation": "update", "selector": "tier=gold", "patch": { "fit": "crop" } }),
        )
        .unwrap();
        assert_eq!(work, Work::Update(json!({ "fit": "crop" })));
        assert_eq!(
            (work.scope(), meant),
            (
                Scope::Configure,
                Meant::Selected("tier=gold".parse().unwrap())
            )
        );
        for bad in [
            json!({}),
            json!({ "operation": "start" }),
            json!({ "operation": "fly", "channelIds": [ID] }),
            json!({ "operation": "start", "channelIds": [ID, ID] }),
            json!({ "operation": "start", "channelIds": ["x"] }),
            json!({ "operation": "start", "channelIds": [ID], "selector": "a" }),
            json!({ "operation": "start", "selector": "a b" }),
            json!({ "operation": "start", "channelIds": [ID], "patch": {} }),
            json!({ "operation": "update", "channelIds": [ID] }),
            json!({ "operation": "update", "channelIds": [ID], "patch": 7 }),
            json!({ "operation": "update", "channelIds": [ID], "patch": { "name": "x".repeat(LONGEST_PATCH) } }),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_channel_has_is_told_once_before_any_channel_is_asked() {
        let patch = json!({ "fit": "nonsense", "gone": null, "colour": 1, "rtmpDestinations": 7 });
        let body = json!({ "operation": "update", "channelIds": [ID], "patch": patch });
        let wrong = read(&body).unwrap_err().0;
        let places: Vec<&str> = wrong.iter().map(|one| &*one.pointer).collect();
        assert_eq!(places, ["/patch/colour"]);
        let many = (0..200).map(|_| "is wrong");
        let mut violations = Violations::default();
        many.for_each(|wrong| violations.add("/labels", wrong));
        let OpError::Invalid(told) = shortened(OpError::Invalid(violations)) else {
            panic!("another refusal")
        };
        assert_eq!((told.0.len(), told.count()), (TOLD, 200));
    }
}
