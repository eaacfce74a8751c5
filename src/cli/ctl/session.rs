//! Requests to the daemon as commands make them: list after list to its end, things found by their names, refusals told
//! whole.

use hyper::Method;
use serde_json::Value;

use super::super::client::{Client, ClientError, Refusal};
use super::super::{Failure, complain};
use super::output::{Column, Output};

/// The most that a list answers at once.
const PAGE: usize = 500;

/// A daemon, and how its answers are written.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) output: Output,
}

impl Session {
    pub(super) const fn new(client: Client, output: Output) -> Self {
        Self { client, output }
    }

    /// Asks below `/api/v1`.
    ///
    /// # Errors
    /// Refused: its sentence and every violation is on stderr then. Nobody answers.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let path = format!("/api/v1{path}");
        let asked = self.client.ask(method, &path, body).await;
        asked.map_err(told)
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(
        &mut self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.ask(Method::POST, path, body).await
    }

    /// A list to its end, page after page.
    pub(super) async fn all(&mut self, path: &str) -> Result<Vec<Value>, Failure> {
        let first = match path.contains('?') {
            true => format!("{path}&limit={PAGE}"),
            false => format!("{path}?limit={PAGE}"),
        };
        let mut items = Vec::new();
        let mut next = first.clone();
        loop {
            let page = self.get(&next).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["nextCursor"].as_str() {
                Some(cursor) => next = format!("{first}&cursor={}", escaped(cursor)),
                None => return Ok(items),
            }
        }
    }

    /// A list to its end, written out.
    pub(super) async fn list(&mut self, path: &str, columns: &[Column]) -> Result<(), Failure> {
        let items = self.all(path).await?;
        self.output.list(&items, columns);
        Ok(())
    }

    /// The id of the thing below `list` that `text` names: an id as it is, or the name of one alone.
    ///
    /// # Errors
    /// None is called so, or several are: the sentence has their ids.
    pub(super) async fn id_of(
        &mut self,
        list: &str,
        what: &str,
        text: &str,
    ) -> Result<String, Failure> {
        if is_id(text) {
            return Ok(text.to_owned());
        }
        let items = self.all(list).await?;
        let ids: Vec<&str> = items
            .iter()
            .filter(|item| item["name"] == text || item["title"] == text)
            .filter_map(|item| item["id"].as_str())
            .collect();
        match ids[..] {
            [id] => Ok(id.to_owned()),
            [] => Err(Failure::Failed(format!(
                "there is no {what} of the name {text:?}"
            ))),
            _ => Err(Failure::Failed(format!(
                "{} {what}s have the name {text:?}; say which by its id: {}",
                ids.len(),
                ids.join(", ")
            ))),
        }
    }
}

/// Tells a refusal whole: its sentence, and every violation on a line of its own.
pub(super) fn told(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(refusal) => {
            for line in lines(&refusal) {
                complain(&line);
            }
            Failure::Told
        }
        ClientError::Unusable(sentence) => Failure::Usage(sentence),
        other => Failure::Failed(other.to_string()),
    }
}

fn lines(refusal: &Refusal) -> Vec<String> {
    let violations = refusal.document["violations"].as_array();
    let violations = violations.into_iter().flatten().map(|violation| {
        let text = |name: &str| violation[name].as_str().unwrap_or_default();
        match text("pointer") {
            "" => format!("  {}", text("message")),
            pointer => format!("  {pointer}: {}", text("message")),
        }
    });
    let sentence = format!("playoutd: {refusal}");
    std::iter::once(sentence).chain(violations).collect()
}

/// Whether a text is an id, and so no name.
fn is_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// A text as it stands in a path or a query (RFC 3986 §2.3).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use serde_json::json;

    #[test]
    fn a_refusal_is_told_with_every_violation() {
        let document = json!({
            "detail": "There are 2 violations.",
            "violations": [{ "pointer": "/name", "message": "name is empty" }, { "pointer": "", "message": "an object is needed" }],
        });
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let told = lines(&Refusal { status, document });
        assert_eq!(
            told,
            [
                "playoutd: There are 2 violations.",
                "  /name: name is empty",
                "  an object is needed"
            ]
        );
    }

    #[test]
    fn what_is_no_letter_or_digit_is_escaped() {
        assert_eq!(
            escaped("tier=gold,!a/b é"),
            "tier%3Dgold%2C%21a%2Fb%20%C3%A9"
        );
        assert!(is_id("0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11"));
        assert!(!is_id("0195d1a47c1e7a52b6a45f1f8e2f9c11") && !is_id("News"));
    }
}
