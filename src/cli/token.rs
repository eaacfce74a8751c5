//! `playoutd token create`.

use hyper::Method;
use serde_json::json;

use super::client::Client;
use super::{Failure, say};

/// Creates a token and prints it, alone on its line.
pub(super) async fn create(mut client: Client, name: &str) -> Result<(), Failure> {
    let body = json!({ "name": name });
    let created = client
        .ask(Method::POST, "/api/v1/tokens", Some(&body))
        .await;
    let created = created.map_err(|error| Failure::Failed(error.to_string()))?;
    let token = created["token"].as_str().ok_or_else(|| {
        Failure::Failed("the daemon answered without a token; is it another version?".to_owned())
    })?;
    say(token);
    Ok(())
}
