//! `/api/v1/clients…`: the owners of channels and media, what each is allowed, and what it uses of that. The operator
//! makes and changes them; a client sees itself.

use jiff::Timestamp;
use playout_domain::feature::{Feature, Features};
use playout_domain::limits::{Demand, Limit, PlanLimits, Raise};
use playout_domain::plans::PlanName;
use playout_domain::violation::{Fields, Violations};
use playout_domain::{ClientId, Resolution};
use playout_store::{ClientEdit, NewOverride, Override, StoreError, StoredClient};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::page::Page;
use super::problem::Problem;
use super::representation::if_match;
use super::tokens::{expiry_of, name_of};

/// Operations that limits are checked for, by their names.
pub(super) const OPERATIONS: [&str; 5] = [
    "createChannel",
    "startChannel",
    "addMedia",
    "addViewers",
    "bulk",
];
/// Characters of a reason at most.
pub(super) const MAX_REASON: usize = 500;

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let page = Page::<ClientId>::of(&call.request)?;
    let fetched = call.app.store.clients(&call.who, page.after, page.fetch());
    let fetched = fetched.await.map_err(refused)?;
    let (clients, next) = page.cut(fetched, |client| client.id);
    answer::page(clients.iter().map(|client| json!(client)).collect(), next)
}

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let (name, plan) = new(&body).map_err(|wrong| Problem::invalid(&wrong.0))?;
    let made = call.app.store.create_client(&call.who, &name, &plan).await;
    let client = made.map_err(refused)?;
    let response = answer::created(&format!("/api/v1/clients/{}", client.id), &client)?;
    Ok(answer::tagged(response, client.version))
}

pub(super) async fn get(call: Call, id: ClientId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let client = call.app.store.client_of(&call.who, id).await;
    one(&client.map_err(refused)?)
}

pub(super) async fn update(mut call: Call, id: ClientId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let body = call.json(MERGE_PATCH).await?;
    let edit = edit(&body).map_err(|wrong| Problem::invalid(&wrong.0))?;
    let store = &call.app.store;
    let changed = store.update_client(&call.who, id, &edit, version).await;
    one(&changed.map_err(refused)?)
}

pub(super) async fn delete(call: Call, id: ClientId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let deleted = call.app.store.delete_client(&call.who, id, version).await;
    deleted.map_err(refused)?;
    Ok(answer::nothing())
}

/// `GET …/limits`: what counts, what is used, what is overridden, what is above.
pub(super) async fn limits(call: Call, id: ClientId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let limits = call.app.store.client_limits(&call.who, id).await;
    answer::ok(&limits.map_err(refused)?)
}

/// `POST …/limits/check`: whether an operation is allowed now, and else what a refusal would say.
pub(super) async fn check(mut call: Call, id: ClientId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let raise = raise(&body).map_err(|wrong| Problem::invalid(&wrong.0))?;
    let checked = call.app.store.check_limits(&call.who, id, raise).await;
    let refusal = checked.map_err(refused)?.err();
    answer::ok(&json!({ "allowed": refusal.is_none(), "refusal": refusal }))
}

/// `PUT …/overrides/{limit}`
pub(super) async fn put_override(
    mut call: Call,
    id: ClientId,
    limit: Limit,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let body = call.json(JSON).await?;
    let new = overriding(limit, &body, Timestamp::now());
    let new = new.map_err(|wrong| Problem::invalid(&wrong.0))?;
    let store = &call.app.store;
    let put = store.put_override(&call.who, id, &new, version).await;
    overridden(put)
}

/// `GET …/overrides/{limit}`
pub(super) async fn limit_override(
    call: Call,
    id: ClientId,
    limit: Limit,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let store = &call.app.store;
    overridden(store.limit_override(&call.who, id, limit).await)
}

fn overridden(found: Result<Override, StoreError>) -> Result<Response, Problem> {
    let found = found.map_err(|error| Problem::of_stored("override", error))?;
    Ok(answer::tagged(answer::ok(&found)?, found.version()))
}

/// `DELETE …/overrides/{limit}`
pub(super) async fn delete_override(
    call: Call,
    id: ClientId,
    limit: Limit,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let store = &call.app.store;
    let version = if_match(&call.request)?;
    let deleted = store.delete_override(&call.who, id, limit, version).await;
    deleted.map_err(|error| Problem::of_stored("override", error))?;
    Ok(answer::nothing())
}

fn refused(error: StoreError) -> Problem {
    Problem::of_stored("client", error)
}

fn one(client: &StoredClient) -> Result<Response, Problem> {
    Ok(answer::tagged(answer::ok(client)?, client.version))
}

fn new(body: &Value) -> Result<(String, PlanName), Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let name = fields.required_parsed("name", name_of);
    let plan = fields.required_parsed("plan", str::parse::<PlanName>);
    fields.finish();
    match (name, plan) {
        (Some(name), Some(plan)) => violations.or((name, plan)),
        _ => Err(violations),
    }
}

fn edit(body: &Value) -> Result<ClientEdit, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let edit = ClientEdit {
        name: fields.parsed("name", name_of),
        plan: fields.parsed("plan", str::parse::<PlanName>),
    };
    fields.finish();
    violations.or(edit)
}

fn overriding(limit: Limit, body: &Value, now: Timestamp) -> Result<NewOverride, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let value = fields.required("value").cloned().unwrap_or_default();
    if let Err(wrong) = PlanLimits::UNLIMITED.clone().set(limit, &value) {
        fields.refuse("value", wrong);
    }
    let reason = fields.required_parsed("reason", |text| {
        let fits = !text.trim().is_empty() && text.chars().count() <= MAX_REASON;
        match fits && !text.chars().any(char::is_control) {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "has to be 1 to {MAX_REASON} characters on one line"
            )),
        }
    });
    let expires_at = fields.parsed_or_null("expiresAt", |text| expiry_of(text, now));
    fields.finish();
    violations.or(NewOverride {
        limit,
        value,
        reason: reason.unwrap_or_default(),
        expires_at,
    })
}

/// An operation, by its name, and what it would take.
fn raise(body: &Value) -> Result<Raise, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let raise = match fields.required_text("operation") {
        Some("createChannel") => Some(Raise::CreateChannel(demand(&mut fields))),
        Some("startChannel") => Some(Raise::StartChannel(demand(&mut fields))),
        Some("addMedia") => number(&mut fields, "bytes").map(|bytes| Raise::AddMedia { bytes }),
        Some("addViewers") => {
            number(&mut fields, "viewers").map(|viewers| Raise::AddViewers { viewers })
        }
        Some("bulk") => number(&mut fields, "channels").map(|channels| Raise::Bulk { channels }),
        Some(_) => {
            let known = OPERATIONS.join(", ");
            fields.refuse("operation", format!("has to be one of {known}"));
            None
        }
        None => None,
    };
    fields.finish();
    match raise {
        Some(raise) => violations.or(raise),
        None => Err(violations),
    }
}

/// What a channel would ask; what is not said is what a channel has by default.
fn demand(fields: &mut Fields<'_, '_>) -> Demand {
    let resolution = fields.parsed("resolution", str::parse::<Resolution>);
    let features = fields
        .list("features", Feature::ALL.len())
        .unwrap_or_default();
    let mut asked = Vec::new();
    for (n, feature) in features.iter().enumerate() {
        match feature.as_str().unwrap_or_default().parse::<Feature>() {
            Ok(feature) => asked.push(feature),
            Err(wrong) => fields.violations().add(format!("/features/{n}"), wrong),
        }
    }
    Demand {
        resolution: resolution.unwrap_or_default(),
        rungs: fields.whole_number("rungs").unwrap_or(1),
        destinations: fields.whole_number("destinations").unwrap_or(0),
        features: asked.into_iter().collect::<Features>(),
    }
}

fn number(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<u64> {
    fields.required(name)?;
    fields.whole_number(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_operation_is_read_with_what_it_would_take() {
        let read = |body: Value| raise(&body).unwrap();
        assert_eq!(
            read(json!({ "operation": "startChannel" })),
            Raise::StartChannel(Demand {
                resolution: Resolution::default(),
                rungs: 1,
                destinations: 0,
                features: Features::default(),
            })
        );
        assert_eq!(
            read(json!({ "operation": "bulk", "channels": 7 })),
            Raise::Bulk { channels: 7 }
        );
        let created = read(
            json!({ "operation": "createChannel", "resolution": "1080p", "rungs": 3, "destinations": 2,
            "features": ["ai"] }),
        );
        let Raise::CreateChannel(demand) = created else {
            panic!("{created:?}")
        };
        assert_eq!(
            (demand.resolution, demand.rungs, demand.destinations),
            (Resolution::P1080, 3, 2)
        );
        assert!(demand.features.has(Feature::Ai));
        for bad in [
            json!({}),
            json!({ "operation": "fly" }),
            json!({ "operation": "bulk" }),
            json!({ "operation": "addMedia", "bytes": -1 }),
            json!({ "operation": "startChannel", "rungs": 1 }),
            json!({ "operation": "createChannel", "features": ["all"] }),
        ] {
            assert!(raise(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_override_wants_a_reason_and_a_value_of_its_limit() {
        let now = "2030-01-31T20:15:00Z".parse().unwrap();
        let read = |limit, body: Value| overriding(limit, &body, now);
        let new = read(
            Limit::MaxLive,
            json!({ "value": 5, "reason": "festival", "expiresAt": "2030-02-28T00:00:00Z" }),
        );
        assert_eq!(new.unwrap().value, json!(5));
        assert!(
            read(
                Limit::MaxLive,
                json!({ "value": null, "reason": "partner" })
            )
            .is_ok()
        );
        assert!(
            read(
                Limit::MaxResolution,
                json!({ "value": "2160p", "reason": "test" })
            )
            .is_ok()
        );
        for bad in [
            json!({ "value": 5 }),
            json!({ "reason": "x" }),
            json!({ "value": "5", "reason": "x" }),
            json!({ "value": 5, "reason": " " }),
            json!({ "value": 5, "reason": "a\nb" }),
            json!({ "value": 5, "reason": "x", "expiresAt": "2030-01-01T00:00:00Z" }),
        ] {
            assert!(read(Limit::MaxLive, bad.clone()).is_err(), "{bad}");
        }
    }
}
