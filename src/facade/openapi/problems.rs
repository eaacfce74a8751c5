//! Refusals: a schema for each kind, and which kinds an operation has.

use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use super::clients::refusal;
use super::contract::Contract;
use super::schema::{Member, Schema, id, known, list, may, member, object, one_of, text, whole};
use crate::facade::idempotency;
use crate::facade::problem::{Kind, PROBLEM_JSON};
use crate::facade::routes::{Operation, Route};
use playout_store::Scope;
use warp::http::Method;

/// The name of a kind's schema: `NotFoundProblem`.
fn name(kind: Kind) -> String {
    format!("{}Problem", words(kind))
}

/// `NotFound`
fn words(kind: Kind) -> String {
    let (_, name, _) = kind.facts();
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1.min(word.len()));
        format!("{}{rest}", first.to_uppercase())
    });
    words.collect()
}

/// `type` of a kind.
fn urn(kind: Kind) -> String {
    format!("urn:problem-type:playoutd:{}", kind.facts().1)
}

/// The members that every refusal has (RFC 9457 §3.1), and those of its kind.
fn schema(kind: Kind) -> Schema {
    let (status, _, title) = kind.facts();
    let standard = [
        member(
            "type",
            one_of([urn(kind)]),
            "A stable name to program against.",
        ),
        member("title", one_of([title]), "The same for people."),
        member(
            "status",
            whole().with("const", status.as_u16()),
            "The status of the answer.",
        ),
        member("detail", text(), "A sentence about this refusal."),
    ];
    object(standard.into_iter().chain(members(kind))).said(title)
}

fn members(kind: Kind) -> Vec<Member> {
    match kind {
        Kind::MalformedJson => vec![
            may("line", whole(), "Where the body stops being JSON, from 1."),
            may("column", whole(), "Where in the line, from 1."),
        ],
        Kind::Forbidden => vec![member(
            "scope",
            one_of(Scope::ALL.map(Scope::name)),
            "What the token needs for this.",
        )],
        Kind::LimitExceeded => refusal(),
        Kind::Conflict => vec![
            member("state", text(), "The state that does not allow it."),
            may("offset", whole(), "Bytes that the upload has."),
            may(
                "made",
                object([
                    member("type", text(), "What kind of thing."),
                    member("id", id(), "Which."),
                ]),
                "What the request with the same `Idempotency-Key` has made.",
            ),
        ],
        Kind::Quarantined => vec![
            member("state", one_of(["QUARANTINED"]), "Stored damaged."),
            may(
                "reason",
                text(),
                "What is wrong with it; for the operator alone.",
            ),
        ],
        Kind::HeldElsewhere => vec![member("node", known("Node"), "Who holds the channel.")],
        Kind::PreconditionFailed => vec![may(
            "currentVersion",
            whole(),
            "The version that is there now.",
        )],
        Kind::BodyTooLarge => vec![may("limit", whole(), "Bytes at most.")],
        Kind::Invalid => vec![member(
            "violations",
            list(object([
                member("pointer", text(), "Where: a JSON pointer (RFC 6901)."),
                member("message", text(), "What is wrong there."),
            ])),
            "Everything that is wrong.",
        )],
        Kind::TooManyRequests => vec![member(
            "retryAfter",
            whole(),
            "Seconds after which there is one more.",
        )],
        Kind::Unavailable => vec![
            member(
                "retryAfter",
                whole(),
                "Seconds after which it is worth trying again.",
            ),
            may(
                "parts",
                Schema(json!({ "type": "object" })),
                "Which part does not answer.",
            ),
        ],
        Kind::BadRequest
        | Kind::Unauthenticated
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::BodyTimeout
        | Kind::UnsupportedMediaType
        | Kind::RangeNotSatisfiable
        | Kind::ChecksumMismatch
        | Kind::CsrfTokenMissing
        | Kind::IdempotencyKeyReused
        | Kind::Internal
        | Kind::NoRoom => vec![],
    }
}

/// The schemas of all kinds, and of any of them.
pub(super) fn schemas() -> Vec<(String, Schema)> {
    let each = Kind::ALL.map(|kind| (name(kind), schema(kind)));
    let any = one_kind_of(&Kind::ALL);
    each.into_iter()
        .chain([("Problem".to_owned(), any)])
        .collect()
}

fn one_kind_of(kinds: &[Kind]) -> Schema {
    match kinds {
        [kind] => known(&name(*kind)),
        many => {
            let mapping: Map<String, Value> = many
                .iter()
                .map(|kind| (urn(*kind), known(&name(*kind)).0["$ref"].clone()))
                .collect();
            let each: Vec<Value> = many.iter().map(|kind| known(&name(*kind)).0).collect();
            Schema(
                json!({ "oneOf": each, "discriminator": { "propertyName": "type", "mapping": mapping } }),
            )
        }
    }
}

/// What an operation refuses, by the status of the answer; `shared` are the components.
pub(super) fn responses(
    route: &Route,
    operation: &Operation,
    contract: &Contract,
    shared: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut kinds = vec![
        Kind::BadRequest,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::MethodNotAllowed,
        Kind::TooManyRequests,
        Kind::Internal,
        Kind::Unavailable,
    ];
    if operation.method != Method::GET {
        kinds.push(Kind::CsrfTokenMissing);
    }
    if idempotency::is_kept(route, operation) {
        kinds.extend([Kind::Conflict, Kind::IdempotencyKeyReused]);
        kinds.extend([Kind::BodyTimeout, Kind::BodyTooLarge]);
    }
    if route.template.contains('{') {
        kinds.push(Kind::NotFound);
    }
    if route.template.starts_with("/channels/{channelId}") {
        kinds.push(Kind::Quarantined);
        if operation.method != Method::GET {
            kinds.extend([Kind::HeldElsewhere, Kind::Conflict, Kind::Invalid]);
        }
    }
    kinds.extend(&contract.refusals);
    of_kinds(&kinds, shared)
}

/// Answers of these kinds, by their status: operations share those that are alike.
pub(super) fn of_kinds(kinds: &[Kind], shared: &mut Map<String, Value>) -> Map<String, Value> {
    let mut responses = Map::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        let status = kind.facts().0;
        let alike: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|other| other.facts().0 == status && kinds.contains(other))
            .collect();
        let name = alike
            .iter()
            .map(|kind| words(*kind))
            .collect::<Vec<_>>()
            .join("Or");
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.insert(status.as_u16().to_string(), reference);
        shared
            .entry(name)
            .or_insert_with(|| response(status, &alike));
    }
    responses
}

fn response(status: StatusCode, kinds: &[Kind]) -> Value {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.facts().2).collect();
    let mut response = json!({
        "description": format!("{}.", titles.join("; or: ")),
        "content": { PROBLEM_JSON: { "schema": one_kind_of(kinds).0 } },
    });
    let header = |meaning: &str| json!({ "description": meaning, "required": true, "schema": { "type": "string" } });
    match status {
        StatusCode::UNAUTHORIZED => {
            response["headers"] =
                json!({ "WWW-Authenticate": header("How to say who asks (RFC 6750).") });
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            response["headers"] = json!({ "Allow": header("The methods that are allowed.") });
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            response["headers"] =
                json!({ "Retry-After": header("Seconds after which it is worth trying again.") });
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            response["headers"] = json!({ "Accept": header("The media types that are taken.") });
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        assert_eq!(name(Kind::HeldElsewhere), "HeldElsewhereProblem");
        let mut names = Kind::ALL.map(name);
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        let urns: std::collections::HashSet<String> = Kind::ALL.map(urn).into();
        assert_eq!(urns.len(), Kind::ALL.len());
    }

    #[test]
    fn kinds_of_one_status_are_one_answer() {
        let mut shared = Map::new();
        let responses = of_kinds(
            &[Kind::Conflict, Kind::NotFound, Kind::Quarantined],
            &mut shared,
        );
        assert_eq!(responses.keys().collect::<Vec<_>>(), ["404", "409"]);
        assert_eq!(
            responses["409"]["$ref"],
            "#/components/responses/ConflictOrQuarantined"
        );
        let conflict = &shared["ConflictOrQuarantined"];
        let conflict = &conflict["content"][PROBLEM_JSON]["schema"]["oneOf"];
        assert_eq!(conflict.as_array().map(Vec::len), Some(2));
    }
}
