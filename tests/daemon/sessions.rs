//! The sessions of browsers, and that tokens are not guessed and not overused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::caller::{Caller, ask};
use super::daemon::{Daemon, folder};
use super::http::{self, Answer, EventStream};

/// A browser that has logged in.
struct Browser<'a> {
    daemon: &'a Daemon,
    cookie: String,
    csrf: String,
}

impl<'a> Browser<'a> {
    fn log_in(daemon: &'a Daemon, who: &Caller) -> Self {
        let answer = who.ask("POST", "/session", &Value::Null);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let set = &answer.headers["set-cookie"];
        let (cookie, attributes) = set.split_once("; ").expect("attributes");
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        assert!(cookie.starts_with("playoutd_session=playouts_"), "{cookie}");
        let shown = answer.json();
        assert!(
            !shown.to_string().contains("playouts_"),
            "the page is told the secret"
        );
        Self {
            daemon,
            cookie: cookie.to_owned(),
            csrf: shown["csrfToken"].as_str().expect("a token").to_owned(),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let who = ("Cookie", &*self.cookie);
        ask(self.daemon, who, method, path, body, headers)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null, &[])
    }

    fn change(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, body, &[("X-CSRF-Token", &self.csrf)])
    }
}

#[test]
fn a_browser_logs_in_with_a_token_and_changes_nothing_without_the_page_that_asks() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let scopes = json!(["read", "configure"]);
    let (client, script) = Caller::of_client(&daemon, "Canal Uno", "pro", scopes.clone());
    let browser = Browser::log_in(&daemon, &script);

    let me = browser.get("/session").json();
    assert_eq!((&me["clientId"], &me["scopes"]), (&json!(client), &scopes));
    assert_eq!(
        me["csrfToken"],
        json!(browser.csrf),
        "a page that is loaded anew learns it"
    );
    let by_token = script.get("/session").json();
    assert_eq!(
        (&by_token["tokenId"], &by_token["csrfToken"]),
        (&me["tokenId"], &Value::Null)
    );

    // Another site has the browser send the cookie, and no more.
    let channel = json!({ "name": "Uno", "resolution": "240p" });
    for headers in [
        &[][..],
        &[("X-CSRF-Token", "")],
        &[("X-CSRF-Token", &browser.csrf[1..])],
        &[("Origin", "https://elsewhere.example")],
    ] {
        let refused = browser.ask("POST", "/channels", &channel, headers);
        assert_eq!(refused.status, 403, "{headers:?}: {}", refused.text());
        assert!(refused.text().contains("X-CSRF-Token"));
    }
    assert_eq!(browser.get("/channels").json()["items"], json!([]));
    let made = browser.change("POST", "/channels", &channel);
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // The scopes are those of the token.
    let refused = browser.change("POST", &format!("/channels/{id}/stop"), &Value::Null);
    assert_eq!(
        (refused.status, &refused.json()["scope"]),
        (403, &json!("operate"))
    );

    // The cookie's secret is no token, and the token's no cookie; a session makes no session.
    let secret = browser.cookie.split_once('=').unwrap().1;
    assert_eq!(
        Caller::with(&daemon, &json!(secret))
            .get("/channels")
            .status,
        401
    );
    let token = format!("playoutd_session={}", script.token);
    let answer = http::request(
        daemon.address(),
        "GET",
        "/api/v1/channels",
        &[("Cookie", &token)],
        b"",
    );
    assert_eq!(answer.unwrap().status, 401);
    let again = browser.change("POST", "/session", &Value::Null);
    assert_eq!(again.status, 409, "{}", again.text());
    assert_eq!(script.ask("DELETE", "/session", &Value::Null).status, 404);

    // Logged out, the cookie is nothing, and the browser is told so; an open stream ends.
    let mut stream = EventStream::open(
        daemon.address(),
        "/api/v1/events",
        &[("Cookie", &browser.cookie)],
    );
    let out = browser.change("DELETE", "/session", &Value::Null);
    assert_eq!(out.status, 204);
    assert!(
        out.headers["set-cookie"].contains("playoutd_session=; "),
        "{:?}",
        out.headers
    );
    let gone = browser.get("/channels");
    assert_eq!(gone.status, 401);
    assert!(
        gone.headers["set-cookie"].ends_with("Max-Age=0"),
        "{:?}",
        gone.headers
    );
    while stream.next().is_some() {}

    // A session ends with its token's secret.
    let (one, two) = (
        Browser::log_in(&daemon, &script),
        Browser::log_in(&daemon, &script),
    );
    let path = format!("/tokens/{}", me["tokenId"].as_str().unwrap());
    let rotated = daemon.post(&format!("{path}/rotate"), &Value::Null);
    assert_eq!(one.get("/session").status, 401);
    let script = Caller::with(&daemon, &rotated["token"]);
    let three = Browser::log_in(&daemon, &script);
    assert_eq!(three.get("/session").status, 200);
    assert_eq!(script.ask("DELETE", &path, &Value::Null).status, 204);
    for browser in [&two, &three] {
        assert_eq!(browser.get("/session").status, 401);
    }
}

#[test]
fn who_guesses_tokens_is_slowed_and_who_has_one_is_not() {
    let data = folder();
    let daemon = Daemon::start(
        data.path(),
        "[access]\nwrong_tokens = 3\nwrong_token_pause = 3600\n",
    );
    let (_, script) = Caller::of_client(&daemon, "Canal Uno", "pro", json!(["read"]));
    assert_eq!(script.get("/channels").status, 200);
    let mut seen = BTreeMap::new();
    for n in 0..6 {
        let guess = Caller::with(&daemon, &json!(format!("playoutd_{n:0>64}")));
        let first = guess.get("/channels");
        let again = guess.get("/channels");
        *seen.entry(first.status).or_insert(0) += 1;
        if first.status == 429 {
            let wait: u64 = first.headers["retry-after"].parse().unwrap();
            assert!((1..=3600).contains(&wait), "{wait}");
            assert_eq!(first.json()["retryAfter"], wait);
        } else {
            assert_eq!(again.status, 401, "the same one again is no guess");
        }
    }
    assert_eq!(seen, BTreeMap::from([(401, 3), (429, 3)]));
    assert_eq!(
        script.get("/channels").status,
        200,
        "a known token is let in"
    );
}

#[test]
fn a_token_asks_as_often_as_it_may() {
    let data = folder();
    let daemon = Daemon::start(
        data.path(),
        "[access]\nrequests_per_second = 1\nburst = 30\n",
    );
    let (_, busy) = Caller::of_client(&daemon, "Canal Uno", "pro", json!(["read"]));
    let (_, calm) = Caller::of_client(&daemon, "Canal Dos", "pro", json!(["read"]));
    let answer = busy.get("/channels");
    assert_eq!(answer.headers["ratelimit-policy"], "\"token\";q=30;w=30");
    assert_eq!(answer.headers["ratelimit"], "\"token\";r=29;t=1");
    let refused = (0..1000)
        .map(|_| busy.get("/channels"))
        .find(|answer| answer.status != 200);
    let refused = refused.expect("a refusal");
    assert_eq!(
        (refused.status, &refused.headers["retry-after"]),
        (429, &"1".to_owned())
    );
    assert!(refused.headers["ratelimit"].starts_with("\"token\";r=0;"));
    assert_eq!(calm.get("/channels").status, 200);
}
