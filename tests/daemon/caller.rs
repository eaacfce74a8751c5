//! Somebody beside the operator: a client with a token of its own.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use super::daemon::{BOUND, Daemon, until};
use super::http::{self, Answer, EventStream};

/// Who comes with a token.
pub struct Caller<'a> {
    daemon: &'a Daemon,
    pub token: String,
}

/// A request whose body, where it is not null, is JSON; `who` is the header that says who asks.
pub fn ask(
    daemon: &Daemon,
    who: (&str, &str),
    method: &str,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let mut all = vec![who, ("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let path = format!("/api/v1{path}");
    http::request(daemon.address(), method, &path, &all, body.as_bytes()).expect("an answer")
}

impl<'a> Caller<'a> {
    pub fn with(daemon: &'a Daemon, token: &Value) -> Self {
        let token = token.as_str().expect("a token").to_owned();
        Self { daemon, token }
    }

    /// A new client on a plan, and its id; who comes with a token of it that has these scopes.
    pub fn of_client(daemon: &'a Daemon, name: &str, plan: &str, scopes: Value) -> (String, Self) {
        let made = daemon.post("/clients", &json!({ "name": name, "plan": plan }));
        let token = json!({ "name": "script", "clientId": made["id"], "scopes": scopes });
        let token = daemon.post("/tokens", &token);
        let id = made["id"].as_str().expect("an id").to_owned();
        (id, Self::with(daemon, &token["token"]))
    }

    /// Another client, which may do everything with what is its own.
    pub fn stranger(daemon: &'a Daemon) -> Self {
        let all = json!(["read", "operate", "configure"]);
        Self::of_client(daemon, "stranger", "enterprise", all).1
    }

    /// A request whose body, where it is not null, is JSON.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_with(method, path, body, &[])
    }

    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let who = ("Authorization", &*bearer);
        ask(self.daemon, who, method, path, body, headers)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null)
    }

    /// Begins an upload of `length` bytes with the first of them; answers its id.
    pub fn begin_upload(&self, name: &str, length: usize, bytes: &[u8]) -> String {
        let (bearer, length) = (format!("Bearer {}", self.token), length.to_string());
        let metadata = format!("filename {}", BASE64_STANDARD.encode(name));
        let headers = [
            ("Authorization", &*bearer),
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", &*length),
            ("Upload-Metadata", &*metadata),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let path = "/api/v1/media/uploads";
        let answer = http::request(self.daemon.address(), "POST", path, &headers, bytes);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
        let location = answer.headers["location"].rsplit('/').next();
        location.expect("an id").to_owned()
    }

    /// Uploads a file; the id of its item.
    pub fn upload(&self, name: &str, file: &Path) -> String {
        let bytes = std::fs::read(file).expect("a file");
        let path = format!(
            "/media/uploads/{}",
            self.begin_upload(name, bytes.len(), &bytes)
        );
        let mut media = Value::Null;
        until("the item is in the library", BOUND, || {
            media = self.get(&path).json()["mediaId"].clone();
            media.is_string()
        });
        media.as_str().expect("an id").to_owned()
    }

    pub fn events(&self) -> EventStream {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", &*bearer)];
        EventStream::open(self.daemon.address(), "/api/v1/events", &headers)
    }
}
