//! Requests that are sent twice.

use std::thread;

use serde_json::{Value, json};

use super::caller::Caller;
use super::daemon::{Daemon, folder};
use super::http::Answer;

const ALL: [&str; 3] = ["read", "operate", "configure"];

fn ask(who: &Caller, path: &str, body: &Value, key: &str) -> Answer {
    who.ask_with("POST", path, body, &[("Idempotency-Key", key)])
}

#[test]
fn a_request_that_is_sent_again_is_done_once_and_answered_as_it_was() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (client, who) = Caller::of_client(&daemon, "Canal Uno", "free", json!(ALL));
    let uno = json!({ "name": "Uno", "resolution": "240p" });
    let first = ask(&who, "/channels", &uno, "k1");
    assert_eq!(first.status, 201, "{}", first.text());
    let again = ask(&who, "/channels", &uno, "\"k1\"");
    assert_eq!((again.status, again.json()), (201, first.json()));
    for header in ["location", "etag", "content-type"] {
        assert_eq!(
            again.headers.get(header),
            first.headers.get(header),
            "{header}"
        );
    }
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let other = ask(&who, "/channels", &json!({ "name": "Dos" }), "k1");
    assert_eq!(other.status, 422, "{}", other.text());
    assert!(other.text().contains("idempotency-key-reused"));

    // A secret is told again to the token that it was told to, and to no other.
    let new = json!({ "name": "script", "scopes": ["read", "configure"] });
    let token = ask(&who, "/tokens", &new, "k2").json();
    assert_eq!(ask(&who, "/tokens", &new, "k2").json(), token);
    let script = Caller::with(&daemon, &token["token"]);
    let lost = ask(&script, "/tokens", &new, "k2");
    assert_eq!((lost.status, &lost.json()["state"]), (409, &json!("done")));
    assert_eq!(
        lost.json()["made"],
        json!({ "type": "token", "id": token["id"] })
    );
    // Another client's key is another key.
    let stranger = Caller::stranger(&daemon);
    assert_eq!(ask(&stranger, "/tokens", &new, "k2").status, 201);

    // A refusal is not kept: what was refused can be done when there is room.
    let dos = json!({ "name": "Dos", "resolution": "240p" });
    assert_eq!(ask(&who, "/channels", &dos, "k3").status, 402);
    daemon.api(
        "PATCH",
        &format!("/clients/{client}"),
        &json!({ "plan": "pro" }),
    );
    assert_eq!(ask(&who, "/channels", &dos, "k3").status, 201);
    for wrong in ["", "two words", &"x".repeat(256)] {
        let refused = ask(&who, "/channels", &dos, wrong);
        assert_eq!(refused.status, 400, "{wrong:?}: {}", refused.text());
    }

    // Many at once.
    let body = json!({ "name": "Tres", "resolution": "240p" });
    let answers: Vec<Answer> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ask(&who, "/channels", &body, "k4")))
            .collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect()
    });
    let made = answers.iter().filter(|answer| answer.status == 201);
    let ids: Vec<Value> = made.map(|answer| answer.json()["id"].clone()).collect();
    assert!(
        !ids.is_empty() && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(
            (answer.status, &answer.json()["state"]),
            (409, &json!("inProgress"))
        );
    }
    let listed = who.get("/channels").json();
    let names = listed["items"].as_array().unwrap().iter();
    let names: Vec<&str> = names
        .filter_map(|channel| channel["name"].as_str())
        .collect();
    assert_eq!(names, ["Uno", "Dos", "Tres"]);

    let bulk = json!({ "operation": "delete", "channelIds": [ids[0]] });
    let deleted = ask(&who, "/channels/bulk", &bulk, "k5");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(
        ask(&who, "/channels/bulk", &bulk, "k5").json(),
        deleted.json()
    );
    // An answer that is too long to be kept: it was done all the same.
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let unknown = (0..400).map(|n| format!("0195d1a4-7c1e-7a52-b6a4-{n:012}"));
    let ids: Vec<String> = unknown.collect();
    let bulk = json!({ "operation": "restart", "channelIds": ids });
    let done = ask(&operator, "/channels/bulk", &bulk, "k6");
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.body.len() > 64 << 10, "{}", done.body.len());
    let again = ask(&operator, "/channels/bulk", &bulk, "k6");
    assert_eq!(
        (again.status, &again.json()["state"]),
        (409, &json!("done"))
    );
}
