//! `GET /api/v1/openapi.json`: the API as an OpenAPI 3.1 document, written from the table of routes and the kinds of
//! refusals, so that neither can be without the other.

use serde_json::{Map, Value, json};
use warp::http::Method;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::problem::{PROBLEM_JSON, kinds};
use super::routes::{Operation, Protocol, ROUTES, Route};

pub(super) fn answer(call: &Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    answer::ok(&document(call.public_url()))
}

/// The whole document; `public_url` is where others reach the daemon.
fn document(public_url: &str) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        paths.insert(route.template.to_owned(), path(route));
    }
    let problems: Map<String, Value> = kinds()
        .map(|(status, name, title)| (name.to_owned(), problem(status.as_u16(), name, title)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "playoutd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "24x7 channels on air from a media library. docs/api.md says what each field means.",
        },
        "servers": [{ "url": format!("{public_url}/api/v1") }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Problem": problem_schema() },
            "responses": problems,
        },
    })
}

fn path(route: &Route) -> Value {
    let names = route.template.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    let parameters: Vec<Value> = names.map(parameter).collect();
    let mut path = Map::new();
    for operation in route.operations {
        path.insert(
            operation.method.as_str().to_ascii_lowercase(),
            one(route, operation),
        );
    }
    if !parameters.is_empty() {
        path.insert("parameters".to_owned(), parameters.into());
    }
    path.into()
}

/// A value in a path: an id is a UUID.
fn parameter(name: &str) -> Value {
    let schema = match name.ends_with("Id") {
        true => json!({ "type": "string", "format": "uuid" }),
        false => json!({ "type": "string" }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn one(route: &Route, operation: &Operation) -> Value {
    let tag = route.template.split('/').nth(1).unwrap_or_default();
    let mut responses = Map::new();
    responses.insert("2XX".to_owned(), json!({ "description": "It was done." }));
    responses.insert(
        "default".to_owned(),
        json!({ "description": "A refusal.", "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } } }),
    );
    let mut one = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag],
        "x-scope": operation.scope,
        "responses": responses,
    });
    if operation.method != Method::GET && operation.method != Method::DELETE {
        let media_type = match route.protocol {
            Protocol::Http => "application/json",
            Protocol::Tus => "application/offset+octet-stream",
        };
        one["requestBody"] = json!({ "content": { media_type: {} } });
    }
    one
}

fn problem(status: u16, name: &str, title: &str) -> Value {
    json!({
        "description": title,
        "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "example": { "type": format!("urn:problem-type:playoutd:{name}"), "title": title, "status": status, "detail": "…" },
        } },
    })
}

/// RFC 9457 §3.1, with the members of every kind.
fn problem_schema() -> Value {
    let names: Vec<String> = kinds()
        .map(|(_, name, _)| format!("urn:problem-type:playoutd:{name}"))
        .collect();
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "enum": names },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "violations": { "type": "array", "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": { "pointer": { "type": "string" }, "message": { "type": "string" } },
            } },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
        let responses = document["components"]["responses"].as_object().unwrap();
        assert_eq!(responses.len(), kinds().count(), "two kinds have one name");
    }
}
