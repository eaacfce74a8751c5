//! `GET /api/v1/openapi.json`: the API as an OpenAPI 3.1 document, written from the table of routes, the kinds of refusals,
//! and a contract for each operation: what it is asked, and what it answers. Public: a browser cannot send a token, and
//! nothing in it is secret. Everybody can ask for it, so it is written once. What is served outside the API is in it, too
//! ([`pages`]).
//!
//! Invariant: no operation is without a contract, and none has another than it keeps. The first a test here says; the second
//! the tests of the whole daemon, whose client holds every answer against this document.

mod access;
mod alerts;
mod channels;
mod clients;
mod config;
mod contract;
mod destinations;
mod media;
mod pages;
mod problems;
mod schedule;
mod schema;
mod webhooks;

use std::collections::HashMap;

use playout_domain::limits::Limit;
use playout_domain::prepare::JobOrder;
use serde_json::{Map, Value, json};
use warp::http::{Method, header};
use warp::reply::Response;

use self::contract::Contract;
use self::schema::{Schema, id, one_of, pattern};
use super::api::{self, Asked};
use super::compress::{self, LastingJson};
use super::problem::{Kind, Problem};
use super::request::Request;
use super::routes::{Operation, ROUTES, Route};
use super::{Facade, answer, idempotency, sessions};

pub(super) fn answer(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let document = facade.document.get_or_init(|| {
        let document = format!("{}\n", document(facade.public_url()));
        LastingJson::new(document.into())
    });
    let gzip = compress::wanted(&request.method, &request.headers);
    let mut response = document.answer(gzip);
    answer::set(&mut response, header::CONTENT_TYPE, "application/json");
    answer::set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// The whole document; `public_url` is where others reach the daemon.
pub fn document(public_url: &str) -> Value {
    let mut contracts = contracts();
    let (mut paths, mut refusals) = (Map::new(), Map::new());
    for route in ROUTES {
        let path = path(route, &mut contracts, &mut refusals);
        paths.insert(route.template.to_owned(), path);
    }
    paths.insert("/openapi.json".to_owned(), own_path(&mut refusals));
    paths.extend(pages::paths(public_url, &mut refusals));
    let schemas: Map<String, Value> = schemas()
        .into_iter()
        .map(|(name, of)| (name, of.0))
        .collect();
    let tags = tags().into_iter().chain(["openapi", "public"]);
    let tags: Vec<Value> = tags.map(|tag| json!({ "name": tag })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "playoutd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "24x7 channels on air from a media library. Wherever there is a GET there is a HEAD; OPTIONS tells the methods. \
                Every answer has an X-Request-Id. What is not described is refused, never ignored.",
        },
        "servers": [{ "url": format!("{public_url}/api/v1") }],
        "security": [{ "token": [] }, { "session": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "A token; what each operation needs is its `x-scope`." },
                "session": { "type": "apiKey", "in": "cookie", "name": sessions::cookie_name(public_url),
                    "description": "A session, made by `POST /session`. Whatever changes something needs its `csrfToken` in `X-CSRF-Token`." } },
            "schemas": schemas,
            "responses": refusals,
        },
    })
}

fn contracts() -> HashMap<&'static str, Contract> {
    let all = [
        channels::contracts(),
        destinations::contracts(),
        schedule::contracts(),
        alerts::contracts(),
        media::contracts(),
        clients::contracts(),
        access::contracts(),
        webhooks::contracts(),
    ];
    all.into_iter().flatten().collect()
}

fn schemas() -> Vec<(String, Schema)> {
    let named = [
        channels::schemas(),
        config::schemas(),
        destinations::schemas(),
        schedule::schemas(),
        alerts::schemas(),
        media::schemas(),
        clients::schemas(),
        access::schemas(),
        webhooks::schemas(),
        pages::schemas(),
    ];
    let named = named.into_iter().flatten();
    let mut all: Vec<(String, Schema)> = named.map(|(name, of)| (name.to_owned(), of)).collect();
    let found: HashMap<String, Schema> = all.iter().cloned().collect();
    let lookup = |name: &str| found.get(name).cloned();
    for (patch, of) in [
        ("ChannelPatch", "NewChannel"),
        ("DestinationPatch", "NewDestination"),
        ("SlotPatch", "NewSlot"),
        ("AlertRoutePatch", "NewAlertRoute"),
        ("WebhookPatch", "NewWebhook"),
        ("DetailsPatch", "Details"),
    ] {
        let of = Schema(json!({ "$ref": format!("#/components/schemas/{of}") }));
        all.push((patch.to_owned(), of.patch(&lookup)));
    }
    all.extend(problems::schemas());
    all
}

/// The first word of each path, in the order of the table.
fn tags() -> Vec<&'static str> {
    let mut tags: Vec<&str> = Vec::new();
    for tag in ROUTES.iter().map(|route| tag(route.template)) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// What a path belongs to: its first word.
fn tag(template: &str) -> &str {
    let word = template.split('/').nth(1).unwrap_or_default();
    word.split('.').next().unwrap_or(word)
}

fn path(
    route: &Route,
    contracts: &mut HashMap<&'static str, Contract>,
    refusals: &mut Map<String, Value>,
) -> Value {
    let parameters = parameters(route.template);
    let mut path = Map::new();
    for operation in route.operations {
        let contract = contracts.remove(operation.id).unwrap_or_default();
        let method = operation.method.as_str().to_ascii_lowercase();
        path.insert(method, one(route, operation, &contract, refusals));
    }
    if !parameters.is_empty() {
        path.insert("parameters".to_owned(), parameters.into());
    }
    path.into()
}

/// The values in a path.
fn parameters(template: &str) -> Vec<Value> {
    let names = template.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    names.map(parameter).collect()
}

/// A value in a path: an id is a UUID.
fn parameter(name: &str) -> Value {
    let schema = match name {
        "language" => config::language_tag(),
        "limit" => one_of(Limit::ALL.map(Limit::name)),
        "order" => one_of(JobOrder::ALL.map(JobOrder::name)),
        "plan" => clients::plan_name(),
        "profileKey" | "file" => pattern("^[^/]+$"),
        _ => id(),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema.0 })
}

fn one(
    route: &Route,
    operation: &Operation,
    contract: &Contract,
    refusals: &mut Map<String, Value>,
) -> Value {
    let answers = contract.answers.iter();
    let mut responses: Map<String, Value> = answers
        .map(|(status, answer)| (status.to_string(), answer.clone()))
        .collect();
    responses.extend(problems::responses(route, operation, contract, refusals));
    let mut one = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(route.template)],
        "x-scope": operation.scope,
        "responses": responses,
    });
    if let Some(description) = contract.description {
        one["description"] = description.into();
    }
    let mut parameters = contract.parameters.clone();
    if idempotency::is_kept(route, operation) {
        parameters.push(idempotency_key());
    }
    if !parameters.is_empty() {
        one["parameters"] = parameters.into();
    }
    if let Some(body) = &contract.body {
        one["requestBody"] = body.clone();
    }
    one
}

/// The header that makes an operation one that is done once.
fn idempotency_key() -> Value {
    let schema = pattern("^[!#-~]+$")
        .with("minLength", 1)
        .with("maxLength", idempotency::LONGEST);
    let meaning =
        "Sent again with the same key within a day, it is done once, and answered as it was.";
    json!({ "name": "Idempotency-Key", "in": "header", "description": meaning, "schema": schema.0 })
}

/// This document's own path, which needs no token.
fn own_path(refusals: &mut Map<String, Value>) -> Value {
    let refused = [Kind::BadRequest, Kind::MethodNotAllowed, Kind::Internal];
    let mut responses = problems::of_kinds(&refused, refusals);
    responses.insert(
        "200".to_owned(),
        json!({ "description": "This document.", "content": { "application/json": { "schema": { "type": "object" } } } }),
    );
    json!({ "get": {
        "operationId": "getOpenApi",
        "summary": "This document.",
        "tags": ["openapi"],
        "security": [],
        "responses": responses,
    } })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_operation_is_in_the_document_with_its_scope_and_the_values_of_its_path() {
        let document = document("http://tv");
        assert_eq!(document["servers"][0]["url"], "http://tv/api/v1");
        for route in ROUTES {
            let path = &document["paths"][route.template];
            let values = route.template.matches('{').count();
            let parameters = path["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(parameters, values, "{}", route.template);
            for operation in route.operations {
                let one = &path[operation.method.as_str().to_lowercase()];
                assert_eq!(one["operationId"], operation.id);
                assert_eq!(one["x-scope"], operation.scope.name());
                assert!(operation.summary.ends_with('.'), "{}", operation.id);
            }
        }
    }

    #[test]
    fn every_operation_has_a_contract_and_every_contract_an_operation() {
        let mut contracts = contracts();
        for operation in ROUTES.iter().flat_map(|route| route.operations) {
            let contract = contracts.remove(operation.id);
            let contract = contract.unwrap_or_else(|| panic!("no contract of {}", operation.id));
            assert!(!contract.answers.is_empty(), "{}", operation.id);
        }
        assert!(
            contracts.is_empty(),
            "of no operation: {:?}",
            contracts.keys()
        );
    }

    #[test]
    fn every_schema_has_a_name_of_its_own_and_is_used_and_every_name_is_one() {
        let document = document("http://tv");
        let mut named = HashSet::new();
        references(&document, &mut named);
        let names: Vec<String> = schemas().into_iter().map(|(name, _)| name).collect();
        let there: HashSet<String> = names.iter().cloned().collect();
        assert_eq!(there.len(), names.len(), "two schemas have one name");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "not there: {missing:?}");
        let unused: Vec<_> = there
            .difference(&named)
            .filter(|name| *name != "Problem")
            .collect();
        assert!(unused.is_empty(), "not used: {unused:?}");
    }

    fn references(value: &Value, into: &mut HashSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member.as_str()) {
                        ("$ref", Some(path)) => {
                            let name = path.strip_prefix("#/components/schemas/");
                            into.extend(name.map(str::to_owned));
                        }
                        _ => references(member, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }
}
