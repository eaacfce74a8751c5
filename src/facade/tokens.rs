//! `POST /api/v1/tokens`: another token with the rights of the one that asks.
//!
//! The secret is in this answer and nowhere else: only its digest is kept.

use playout_domain::violation::{Fields, Violations, quoted};
use playout_store::NewToken;
use serde_json::{Value, json};
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::problem::Problem;

const MAX_NAME: usize = 100;

pub(super) async fn create(mut call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let body = call.json(&["application/json"]).await?;
    let name = name_of(&body).map_err(|violations| Problem::invalid(&violations.0))?;
    let new = NewToken {
        client: call.who.client,
        scope: call.who.scope,
        name: name.clone(),
    };
    let (id, secret) = call
        .app
        .store
        .create_token(&call.who, new)
        .await
        .map_err(Problem::of_store)?;
    let location = format!("/api/v1/tokens/{id}");
    answer::created(
        &location,
        &json!({ "id": id, "name": name, "token": secret }),
    )
}

fn name_of(body: &Value) -> Result<String, Violations> {
    let mut violations = Violations::default();
    let mut fields = Fields::open(body, "", &mut violations);
    let name = fields.required_parsed("name", |text| {
        let fits = (1..=MAX_NAME).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) && !text.trim().is_empty() {
            return Ok(text.to_owned());
        }
        Err(format!(
            "a name {} is not taken; 1 to {MAX_NAME} characters are needed",
            quoted(text)
        ))
    });
    fields.finish();
    violations.or(name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_of_some_length() {
        assert_eq!(name_of(&json!({ "name": "ci" })), Ok("ci".to_owned()));
        for bad in [
            json!({}),
            json!({ "name": "" }),
            json!({ "name": " " }),
            json!({ "name": "a\nb" }),
            json!({ "name": "x".repeat(101) }),
            json!({ "name": "ci", "scope": "admin" }),
        ] {
            assert!(name_of(&bad).is_err(), "{bad}");
        }
    }
}
