//! `/api/v1/tokens`: several for a client, each with a name, scopes and an end; shown without their secrets, given
//! another one, revoked.
//!
//! A secret is in the answer that makes it and nowhere else: only its digest is kept.

use jiff::Timestamp;
use playout_domain::config::can_be_read;
use playout_domain::violation::{Fields, Violations, quoted};
use playout_domain::{ClientId, TokenId};
use playout_store::{NewToken, Principal, Scope, Scopes, StoreError, Token, operator};
use serde_json::{Value, json};
use warp::reply::Response;
use zeroize::Zeroizing;

use super::answer;
use super::api::Call;
use super::channels::JSON;
use super::page::Page;
use super::problem::Problem;
use super::representation::if_match;
use super::request::{narrowed, time_of};

/// Characters of a name at most.
pub(super) const MAX_NAME: usize = 100;

/// What the audit calls others than tokens: the daemon, the one in its file, and the operator to clients.
const RESERVED: [&str; 5] = [
    "daemon",
    "release",
    "rotate-key",
    "operator",
    "admin token file",
];

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [client, limit, cursor] = call.request.query(["client", "limit", "cursor"])?;
    let client = narrowed::<ClientId>("client", client)?;
    let page = Page::<TokenId>::read(limit, cursor)?;
    let store = &call.app.store;
    let fetched = store.tokens(&call.who, client, page.after, page.fetch());
    let fetched = fetched.await.map_err(missing)?;
    let (tokens, next) = page.cut(fetched, |token| token.id);
    answer::page(tokens.iter().map(|token| json!(token)).collect(), next)
}

/// `POST /tokens`: with the scopes of the one that asks, where the body names none.
pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(JSON).await?;
    let new = read(&body, &call.who, Timestamp::now());
    let new = new.map_err(|violations| Problem::invalid(&violations))?;
    let made = call.app.store.create_token(&call.who, new).await;
    let (token, secret) = made.map_err(|error| match error {
        StoreError::NotFound => {
            Problem::invalid(&Violations::one("/clientId", "there is no such client"))
        }
        error => missing(error),
    })?;
    let location = format!("/api/v1/tokens/{}", token.id);
    let response = answer::created(&location, &with_secret(&token, &secret))?;
    Ok(answer::tagged(response, token.version()))
}

pub(super) async fn get(call: Call, id: TokenId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let token = call.app.store.token(&call.who, id).await;
    let token = token.map_err(missing)?;
    Ok(answer::tagged(answer::ok(&token)?, token.version()))
}

pub(super) async fn revoke(call: Call, id: TokenId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let revoked = call.app.store.revoke_token(&call.who, id, version).await;
    revoked.map_err(missing)?;
    Ok(answer::nothing())
}

pub(super) async fn rotate(call: Call, id: TokenId) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let version = if_match(&call.request)?;
    let rotated = call.app.store.rotate_token(&call.who, id, version).await;
    let (token, secret) = rotated.map_err(missing)?;
    let response = answer::ok(&with_secret(&token, &secret))?;
    Ok(answer::tagged(response, token.version()))
}

fn missing(error: StoreError) -> Problem {
    Problem::of_stored("token", error)
}

fn with_secret(token: &Token, secret: &Zeroizing<String>) -> Value {
    let mut shown = json!(token);
    shown["token"] = json!(**secret);
    shown
}

fn read(body: &Value, who: &Principal, now: Timestamp) -> Result<NewToken, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let name = fields.required_parsed("name", |text| match RESERVED.contains(&text) {
        true => Err(format!("the name {} is the daemon's own", quoted(text))),
        false => name_of(text),
    });
    let client = fields.parsed("clientId", |text| {
        text.parse::<ClientId>().map_err(|error| error.to_string())
    });
    let expires_at = fields.parsed_or_null("expiresAt", |text| expiry_of(text, now));
    let scopes = fields.value("scopes");
    fields.finish();
    let client = client.unwrap_or(who.client);
    let scopes = match scopes {
        // What the operator may do is not for others.
        None | Some(Value::Null) if client != who.client => Scopes::CLIENT,
        None | Some(Value::Null) => who.scopes,
        Some(given) => scopes_of(given, who, client, &mut violations),
    };
    violations.or(NewToken {
        client,
        scopes,
        name: name.unwrap_or_default(),
        expires_at,
    })
}

/// The name of a token or a client.
pub(super) fn name_of(text: &str) -> Result<String, String> {
    can_be_read(text)?;
    let fits = (1..=MAX_NAME).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) && !text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a name {} is not taken; 1 to {MAX_NAME} characters are needed",
        quoted(text)
    ))
}

pub(super) fn expiry_of(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let at = time_of(text)?;
    match at > now {
        true => Ok(at),
        false => Err(format!("{} has passed", quoted(text))),
    }
}

/// The scopes that are given; a token gives no more than it has.
fn scopes_of(
    given: &Value,
    who: &Principal,
    client: ClientId,
    violations: &mut Violations,
) -> Scopes {
    let items = given.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() || items.len() > Scope::ALL.len() {
        let known = Scope::ALL.map(Scope::name).join(", ");
        violations.add(
            "/scopes",
            format!("has to be a list of one or more of {known}"),
        );
    }
    let mut scopes = Vec::new();
    for (n, item) in items.iter().take(Scope::ALL.len()).enumerate() {
        let place = format!("/scopes/{n}");
        match item.as_str().unwrap_or_default().parse::<Scope>() {
            Err(wrong) => violations.add(place, wrong),
            Ok(scope) if !who.scopes.allow(scope) => {
                violations.add(place, format!("a token without {scope} does not give it"));
            }
            Ok(Scope::Admin) if client != operator() => {
                violations.add(place, "a token of a client is not the operator's");
            }
            Ok(scope) => scopes.push(scope),
        }
    }
    Scopes::of(scopes).unwrap_or(who.scopes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_by(scopes: Scopes, body: Value) -> Result<NewToken, Violations> {
        let who = Principal {
            scopes,
            ..Principal::daemon()
        };
        read(&body, &who, "2030-01-31T20:15:00Z".parse().unwrap())
    }

    #[test]
    fn a_token_has_what_is_asked_for_and_else_what_the_one_has_that_asks() {
        let new = read_by(Scopes::CLIENT, json!({ "name": "ci" })).unwrap();
        assert_eq!((new.scopes, new.expires_at), (Scopes::CLIENT, None));
        // What the operator makes for a client is not the operator's.
        let client = json!({ "name": "ci", "clientId": "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11" });
        assert_eq!(
            read_by(Scopes::ADMIN, client.clone()).unwrap().scopes,
            Scopes::CLIENT
        );
        let mut more = client;
        more["scopes"] = json!(["admin"]);
        assert!(read_by(Scopes::ADMIN, more).is_err());
        let body =
            json!({ "name": "ci", "scopes": ["read"], "expiresAt": "2030-02-01T00:00:00+01:00" });
        let new = read_by(Scopes::ADMIN, body).unwrap();
        assert_eq!(new.scopes, Scopes::of([Scope::Read]).unwrap());
        assert_eq!(new.expires_at.unwrap().to_string(), "2030-01-31T23:00:00Z");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_told_at_once() {
        let wrong = read_by(
            Scopes::CLIENT,
            json!({ "name": "", "scopes": ["read", "admin", "all", 7], "expiresAt": "2030-01-31T20:15:00Z",
                    "clientId": "x", "scope": "admin" }),
        );
        let places = wrong.unwrap_err().0.into_iter().map(|wrong| wrong.pointer);
        let mut places: Vec<String> = places.collect();
        places.sort();
        let expected = [
            "/clientId",
            "/expiresAt",
            "/name",
            "/scope",
            "/scopes/1",
            "/scopes/2",
            "/scopes/3",
        ];
        assert_eq!(places, expected);
        for bad in [
            json!({}),
            json!({ "name": " " }),
            json!({ "name": "a\nb" }),
            json!({ "name": "x".repeat(101) }),
            json!({ "name": "ci", "scopes": [] }),
            json!({ "name": "ci", "scopes": "read" }),
            json!({ "name": "ci", "expiresAt": "soon" }),
        ] {
            assert!(read_by(Scopes::ADMIN, bad.clone()).is_err(), "{bad}");
        }
    }
}
