//! `/api/v1/clients…`: the owners of channels and media, what each is allowed, and what it uses of that. The operator
//! makes and changes them; a client sees itself.

use jiff::Timestamp;
use playout_actors::OpError;
use playout_domain::feature::{Feature, Features};
use playout_domain::limits::{Demand, Limit, PlanLimits, Raise};
use playout_domain::plans::PlanName;
use playout_domain::violation::{Fields, Violations};
use playout_domain::{ChannelId, ClientId, Resolution};
use playout_store::{ClientEdit, NewOverride, Override, StoreError, StoredClient};
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::{JSON, MERGE_PATCH};
use super::page::Page;
use super::problem::Problem;
use super::representation::{expected, if_match};
use super::request::narrowed;
use super::tokens::{expiry_of, name_of};

/// Operations that limits are checked for, by their names.
pub(super) const OPERATIONS: [&str; 7] = [
    "createChannel",
    "updateChannel",
    "addDestination",
    "startChannel",
    "addMedia",
    "addViewers",
    "bulk",
];
/// Characters of a reason at most.
pub(super) const MAX_REASON: usize = 500;

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [plan, limit, cursor] = call.request.query(["plan", "limit", "cursor"])?;
    let plan = narrowed::<PlanName>("plan", plan)?;
    let page = Page::<ClientId>::read(limit, cursor)?;
    let store = &call.app.store;
    let fetched = store.clients(&call.who, plan, page.after, page.fetch());
    let fetched = fetched.await.map_err(refused)?;
    let (clients, next) = page.cut(fetched, |client| client.id);
    answer::page(clients.iter().map(|client| json!(client)).collect(), next)
}

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let (name, plan) = new(&body).map_err(|wrong| Problem::invalid(&wrong))?;
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
    let edit = edit(&body).map_err(|wrong| Problem::invalid(&wrong))?;
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
    let asked = asked(&body).map_err(|wrong| Problem::invalid(&wrong))?;
    let raise = match asked {
        Asked::Raise(raise) => raise,
        Asked::Update(channel, change) => {
            let from = demand_of(&call, id, channel).await?;
            let to = change.made_to(from);
            Raise::UpdateChannel { from, to }
        }
        Asked::Start(channel) => Raise::StartChannel(demand_of(&call, id, channel).await?),
        Asked::AddDestination(channel) => {
            let from = demand_of(&call, id, channel).await?;
            let destinations = from.destinations + 1;
            let to = Demand {
                destinations,
                ..from
            };
            Raise::UpdateChannel { from, to }
        }
    };
    let checked = call.app.store.check_limits(&call.who, id, raise).await;
    let refusal = checked.map_err(refused)?.err();
    answer::ok(&json!({ "allowed": refusal.is_none(), "refusal": refusal }))
}

/// What a channel of a client asks now.
async fn demand_of(call: &Call, client: ClientId, channel: ChannelId) -> Result<Demand, Problem> {
    if !call.who.sees(client) {
        return Err(Problem::not_found("client"));
    }
    let none = || Problem::invalid(&Violations::one("/channelId", "there is no such channel"));
    let channel = match call.app.channels.get(&call.who, channel).await {
        Ok(channel) if channel.client_id == client => channel,
        Ok(_) | Err(OpError::NotFound(_)) => return Err(none()),
        Err(error) => return Err(error.into()),
    };
    Ok(Demand::of(&channel.config))
}

/// `PUT …/overrides/{limit}`
pub(super) async fn put_override(
    mut call: Call,
    id: ClientId,
    limit: Limit,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let expected = expected(&call.request)?;
    let body = call.json(JSON).await?;
    let new = overriding(limit, &body, Timestamp::now());
    let new = new.map_err(|wrong| Problem::invalid(&wrong))?;
    let store = &call.app.store;
    let put = store.put_override(&call.who, id, &new, expected).await;
    overridden(&put.map_err(refused)?)
}

/// `GET …/overrides/{limit}`
pub(super) async fn limit_override(
    call: Call,
    id: ClientId,
    limit: Limit,
) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let store = &call.app.store;
    let found = store.limit_override(&call.who, id, limit).await;
    overridden(&found.map_err(|error| Problem::of_stored("override", error))?)
}

fn overridden(one: &Override) -> Result<Response, Problem> {
    Ok(answer::tagged(answer::ok(one)?, one.version()))
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

/// An operation that limits are checked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    /// What it would take is known.
    Raise(Raise),
    /// A channel is changed.
    Update(ChannelId, DemandChange),
    /// A channel goes on air.
    Start(ChannelId),
    /// A channel is pushed to one more destination.
    AddDestination(ChannelId),
}

/// What changes of what a channel asks; nothing: it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct DemandChange {
    resolution: Option<Resolution>,
    rungs: Option<u64>,
    destinations: Option<u64>,
    features: Option<Features>,
}

impl DemandChange {
    fn made_to(self, from: Demand) -> Demand {
        Demand {
            resolution: self.resolution.unwrap_or(from.resolution),
            rungs: self.rungs.unwrap_or(from.rungs),
            destinations: self.destinations.unwrap_or(from.destinations),
            features: self.features.unwrap_or(from.features),
        }
    }
}

/// An operation, by its name, and what it would take.
fn asked(body: &Value) -> Result<Asked, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let asked = match fields.required_text("operation") {
        Some("createChannel") => {
            let demand = change(&mut fields).made_to(DEFAULT);
            Some(Asked::Raise(Raise::CreateChannel(demand)))
        }
        Some("updateChannel") => {
            let channel = fields.required_parsed("channelId", str::parse::<ChannelId>);
            let change = change(&mut fields);
            channel.map(|channel| Asked::Update(channel, change))
        }
        Some("addDestination") => {
            let channel = fields.required_parsed("channelId", str::parse::<ChannelId>);
            channel.map(Asked::AddDestination)
        }
        Some("startChannel") => {
            let channel = fields.parsed("channelId", str::parse::<ChannelId>);
            Some(channel.map_or(Asked::Raise(Raise::StartChannel(LEAST)), Asked::Start))
        }
        Some("addMedia") => {
            number(&mut fields, "bytes").map(|bytes| Asked::Raise(Raise::AddMedia { bytes }))
        }
        Some("addViewers") => number(&mut fields, "viewers")
            .map(|viewers| Asked::Raise(Raise::AddViewers { viewers })),
        Some("bulk") => {
            number(&mut fields, "channels").map(|channels| Asked::Raise(Raise::Bulk { channels }))
        }
        Some(_) => {
            let known = OPERATIONS.join(", ");
            fields.refuse("operation", format!("has to be one of {known}"));
            None
        }
        None => None,
    };
    fields.finish();
    match asked {
        Some(asked) => violations.or(asked),
        None => Err(violations),
    }
}

/// What a channel asks that says nothing of it.
const DEFAULT: Demand = Demand {
    resolution: Resolution::P720,
    rungs: 1,
    destinations: 0,
    features: Features::NONE,
};

/// What a channel asks at least: of one that is not named it is not known what its picture is.
const LEAST: Demand = Demand {
    resolution: Resolution::P240,
    ..DEFAULT
};

/// What is said of what a channel would ask.
fn change(fields: &mut Fields<'_, '_>) -> DemandChange {
    let resolution = fields.parsed("resolution", str::parse::<Resolution>);
    let features = fields.list("features", Feature::ALL.len());
    let mut asked = Vec::new();
    for (n, feature) in features.into_iter().flatten().enumerate() {
        match feature.as_str().unwrap_or_default().parse::<Feature>() {
            Ok(feature) => asked.push(feature),
            Err(wrong) => fields.violations().add(format!("/features/{n}"), wrong),
        }
    }
    DemandChange {
        resolution,
        rungs: fields.whole_number("rungs"),
        destinations: fields.whole_number("destinations"),
        features: features.map(|_| asked.into_iter().collect()),
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
        let read = |body: Value| asked(&body).unwrap();
        assert_eq!(
            read(json!({ "operation": "startChannel" })),
            Asked::Raise(Raise::StartChannel(LEAST))
        );
        assert_eq!(
            read(json!({ "operation": "bulk", "channels": 7 })),
            Asked::Raise(Raise::Bulk { channels: 7 })
        );
        let plain = read(json!({ "operation": "createChannel" }));
        assert_eq!(plain, Asked::Raise(Raise::CreateChannel(DEFAULT)));
        assert_eq!(DEFAULT.resolution, Resolution::default());
        let id = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
        let channel = id.parse().unwrap();
        assert_eq!(
            read(json!({ "operation": "addDestination", "channelId": id })),
            Asked::AddDestination(channel)
        );
        assert_eq!(
            read(json!({ "operation": "startChannel", "channelId": id })),
            Asked::Start(channel)
        );
        let changed = read(
            json!({ "operation": "updateChannel", "channelId": id, "rungs": 2, "features": [] }),
        );
        let Asked::Update(of, change) = changed else {
            panic!("{changed:?}")
        };
        let from = Demand {
            destinations: 3,
            features: [Feature::Ai].into_iter().collect(),
            ..DEFAULT
        };
        let to = Demand {
            rungs: 2,
            destinations: 3,
            ..DEFAULT
        };
        assert_eq!((of, change.made_to(from)), (channel, to));
        let created = read(
            json!({ "operation": "createChannel", "resolution": "1080p", "rungs": 3, "destinations": 2,
            "features": ["ai"] }),
        );
        let Asked::Raise(Raise::CreateChannel(demand)) = created else {
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
            json!({ "operation": "createChannel", "channelId": id }),
            json!({ "operation": "updateChannel", "rungs": 1 }),
            json!({ "operation": "addDestination", "channelId": "x" }),
            json!({ "operation": "addDestination", "channelId": id, "destinations": 1 }),
        ] {
            assert!(asked(&bad).is_err(), "{bad}");
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
