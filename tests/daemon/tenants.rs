//! Clients, their tokens and their plans, as an operator and the scripts of clients meet them.

use serde_json::{Value, json};

use super::caller::Caller;
use super::daemon::{Daemon, folder};

#[test]
fn a_client_does_what_its_tokens_scopes_allow_and_a_revoked_one_nothing() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (id, all) = Caller::of_client(
        &daemon,
        "Canal Uno",
        "pro",
        json!(["read", "operate", "configure"]),
    );
    let channel = all.ask(
        "POST",
        "/channels",
        &json!({ "name": "Uno", "resolution": "240p" }),
    );
    assert_eq!(channel.status, 201, "{}", channel.text());
    let path = format!("/channels/{}", channel.json()["id"].as_str().unwrap());

    // Less than it has itself: more is refused, with what is wrong.
    let wrong = all.ask(
        "POST",
        "/tokens",
        &json!({ "name": "x", "scopes": ["admin"] }),
    );
    assert_eq!(
        (wrong.status, &wrong.json()["violations"][0]["pointer"]),
        (422, &json!("/scopes/0"))
    );
    let other = daemon.post("/clients", &json!({ "name": "Canal Dos", "plan": "free" }));
    let wrong = all.ask(
        "POST",
        "/tokens",
        &json!({ "name": "x", "clientId": other["id"] }),
    );
    assert_eq!(
        (wrong.status, &wrong.json()["violations"][0]["pointer"]),
        (422, &json!("/clientId"))
    );
    let token = |scopes: Value| {
        let made = all.ask(
            "POST",
            "/tokens",
            &json!({ "name": "script", "scopes": scopes }),
        );
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        (
            format!("/tokens/{}", made["id"].as_str().unwrap()),
            Caller::with(&daemon, &made["token"]),
        )
    };
    let (reader_path, reader) = token(json!(["read"]));
    let (starter_path, starter) = token(json!(["operate"]));
    let (_, editor) = token(json!(["configure"]));
    for (who, method, below, body, status, scope) in [
        (&reader, "GET", "", Value::Null, 200, ""),
        (&reader, "POST", "/stop", Value::Null, 403, "operate"),
        (
            &reader,
            "PATCH",
            "",
            json!({ "name": "x" }),
            403,
            "configure",
        ),
        (&starter, "GET", "/status", Value::Null, 200, ""),
        (&starter, "POST", "/stop", Value::Null, 200, ""),
        (&starter, "DELETE", "", Value::Null, 403, "configure"),
        (&editor, "PATCH", "", json!({ "name": "Una" }), 200, ""),
        (&editor, "POST", "/stop", Value::Null, 403, "operate"),
    ] {
        let answer = who.ask(method, &format!("{path}{below}"), &body);
        assert_eq!(answer.status, status, "{method} {below}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.json()["scope"], scope);
        }
    }
    for (method, below) in [
        ("POST", "/media/queue/pause"),
        ("POST", "/clients"),
        ("PUT", "/plans/free"),
        ("DELETE", "/plans/free"),
    ] {
        let refused = all.ask(method, below, &json!({}));
        assert_eq!(
            (refused.status, &refused.json()["scope"]),
            (403, &json!("admin")),
            "{method} {below}"
        );
    }

    // Listed without their secrets, to their client alone.
    let listed = all.get("/tokens");
    let text = listed.text();
    assert_eq!(
        listed.json()["items"].as_array().unwrap().len(),
        4,
        "{text}"
    );
    for caller in [&all, &reader, &starter, &editor] {
        assert!(!text.contains(&caller.token), "a secret is told");
        assert!(text.contains(&caller.token[..17]), "how it begins is not");
    }
    assert!(!text.contains("admin"), "{text}");
    assert_eq!(reader.get("/tokens").status, 403);

    // What is revoked ends, and with it the streams that were opened with it.
    let mut stream = reader.events();
    assert_eq!(all.ask("DELETE", &reader_path, &Value::Null).status, 204);
    assert_eq!(reader.get(&path).status, 401);
    while stream.next().is_some() {}
    let rotated = all.ask("POST", &format!("{reader_path}/rotate"), &Value::Null);
    assert_eq!(rotated.status, 404);
    let rotated = all.ask("POST", &format!("{starter_path}/rotate"), &Value::Null);
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert_eq!(starter.get(&path).status, 401);
    let again = Caller::with(&daemon, &rotated.json()["token"]);
    assert_eq!(
        again
            .ask("POST", &format!("{path}/stop"), &Value::Null)
            .status,
        200
    );

    // The operator's own stays while its file is there; a client goes when it has nothing.
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let admin = operator.get("/tokens").json();
    let file = admin["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["name"] == "admin token file")
        .unwrap();
    let refused = operator.ask(
        "DELETE",
        &format!("/tokens/{}", file["id"].as_str().unwrap()),
        &Value::Null,
    );
    assert_eq!(refused.status, 409, "{}", refused.text());
    let client_path = format!("/clients/{id}");
    assert_eq!(
        operator.ask("DELETE", &client_path, &Value::Null).status,
        409
    );
    assert_eq!(all.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(
        operator.ask("DELETE", &client_path, &Value::Null).status,
        204
    );
    assert_eq!(all.get("/channels").status, 401);
    let log = daemon.log();
    for caller in [&all, &editor, &again] {
        assert!(!log.contains(&caller.token), "a secret is in the log");
    }
}

#[test]
fn many_channels_are_worked_on_at_once_with_a_result_for_each() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (_, one) = Caller::of_client(
        &daemon,
        "Canal Uno",
        "pro",
        json!(["read", "operate", "configure"]),
    );
    let (_, other) = Caller::of_client(
        &daemon,
        "Canal Dos",
        "pro",
        json!(["read", "operate", "configure"]),
    );
    let create = |who: &Caller, name: &str, labels: Value| {
        let made = who.ask(
            "POST",
            "/channels",
            &json!({ "name": name, "resolution": "240p", "labels": labels }),
        );
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let gold: Vec<String> = (0..10)
        .map(|n| create(&one, &format!("Gold {n}"), json!({ "tier": "gold" })))
        .collect();
    let spare = create(&one, "Spare", json!({}));
    let theirs = create(&other, "Theirs", json!({ "tier": "gold" }));
    let bulk = |body: Value| {
        let answer = one.ask("POST", "/channels/bulk", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let ids = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items
            .map(|item| item["channelId"].as_str().unwrap().to_owned())
            .collect()
    };

    let listed = one.get("/channels?selector=tier=gold&limit=4").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    let rest = one
        .get(&format!(
            "/channels?selector=tier=gold&cursor={}",
            listed["nextCursor"].as_str().unwrap()
        ))
        .json();
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["nextCursor"]),
        (6, &Value::Null)
    );
    assert_eq!(one.get("/channels?selector=a%20b").status, 400);

    // All that are meant, the client's own alone; each with what became of it.
    let changed = bulk(
        json!({ "operation": "update", "selector": "tier=gold", "patch": { "labels": { "region": "north" } } }),
    );
    assert_eq!(
        (&changed["succeeded"], ids(&changed)),
        (&json!(10), gold.clone())
    );
    let meant = one.get("/channels?selector=region=north,tier").json();
    assert_eq!(meant["items"].as_array().unwrap().len(), 10);
    let asked = [&gold[0], &theirs, &spare];
    let stopped = bulk(json!({ "operation": "stop", "channelIds": asked }));
    assert_eq!(
        (&stopped["succeeded"], &stopped["failed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        ids(&stopped),
        asked.map(String::clone),
        "in the order in which they were given"
    );
    assert_eq!(stopped["items"][1]["problem"]["status"], 404);
    assert_eq!(stopped["items"][0]["status"], "STOPPED");
    // The plan allows ten on air: as many of eleven as that are started, and one is told why not.
    let mut all = gold.clone();
    all.push(spare.clone());
    let started = bulk(json!({ "operation": "start", "channelIds": all }));
    assert_eq!(
        (&started["succeeded"], &started["failed"]),
        (&json!(10), &json!(1)),
        "{started}"
    );
    let refused = started["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| !item["problem"].is_null())
        .unwrap();
    assert_eq!(
        (&refused["problem"]["limit"], &refused["problem"]["status"]),
        (&json!("maxLive"), &json!(402))
    );

    let reader = one
        .ask(
            "POST",
            "/tokens",
            &json!({ "name": "reader", "scopes": ["read"] }),
        )
        .json();
    let reader = Caller::with(&daemon, &reader["token"]);
    let refused = reader.ask(
        "POST",
        "/channels/bulk",
        &json!({ "operation": "stop", "channelIds": [spare] }),
    );
    assert_eq!(
        (refused.status, &refused.json()["scope"]),
        (403, &json!("operate"))
    );
    let too_many: Vec<String> = (0..101)
        .map(|n| format!("0195d1a4-7c1e-7a52-b6a4-{n:012}"))
        .collect();
    let refused = one.ask(
        "POST",
        "/channels/bulk",
        &json!({ "operation": "stop", "channelIds": too_many }),
    );
    assert_eq!(
        (refused.status, &refused.json()["limit"]),
        (402, &json!("maxBulk")),
        "{}",
        refused.text()
    );
    let wrong = one.ask("POST", "/channels/bulk", &json!({ "operation": "fly" }));
    assert_eq!(wrong.status, 422);

    // Which of the eleven it was that was refused is a matter of who came first.
    let items = started["items"].as_array().unwrap();
    let live = items.iter().find(|item| item["problem"].is_null()).unwrap();
    let refused = bulk(json!({ "operation": "delete", "channelIds": [live["channelId"]] }));
    assert_eq!(
        refused["items"][0]["problem"]["status"], 409,
        "what is on air is not deleted"
    );
    bulk(json!({ "operation": "stop", "selector": "region=north" }));
    let deleted = bulk(json!({ "operation": "delete", "selector": "region=north" }));
    assert_eq!(deleted["succeeded"], 10, "{deleted}");
    assert_eq!(
        one.get("/channels").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        other.get("/channels").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_plan_refuses_with_what_would_lift_it_and_an_override_lifts_it_for_a_while() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let (id, one) = Caller::of_client(
        &daemon,
        "Canal Uno",
        "free",
        json!(["configure", "operate"]),
    );
    let (_, other) = Caller::of_client(&daemon, "Canal Dos", "free", json!(["configure"]));
    let create = |resolution: &str| {
        one.ask(
            "POST",
            "/channels",
            &json!({ "name": "Uno", "resolution": resolution }),
        )
    };
    let limits = format!("/clients/{id}/limits");
    let allowed = |operation: Value| {
        let answer = one.ask("POST", &format!("{limits}/check"), &operation);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };

    let refused = create("1080p");
    assert_eq!(refused.status, 402, "{}", refused.text());
    let problem = refused.json();
    assert_eq!(
        [
            &problem["limit"],
            &problem["allowed"],
            &problem["requested"],
            &problem["plan"],
            &problem["upgradeTo"]
        ],
        [
            &json!("maxResolution"),
            &json!("480p"),
            &json!("1080p"),
            &json!("free"),
            &json!("pro")
        ]
    );
    let dear = json!({ "operation": "createChannel", "resolution": "1080p" });
    assert_eq!(allowed(dear.clone())["refusal"]["upgradeTo"], "pro");
    assert_eq!(create("480p").status, 201);
    let refused = create("480p").json();
    assert_eq!(
        (&refused["limit"], &refused["upgradeTo"]),
        (&json!("maxChannels"), &json!("basic"))
    );
    let told = allowed(json!({ "operation": "addViewers", "viewers": 51 }));
    assert_eq!(
        (&told["allowed"], &told["refusal"]["limit"]),
        (&json!(false), &json!("maxViewers"))
    );
    assert_eq!(
        allowed(json!({ "operation": "addViewers", "viewers": 50 })),
        json!({ "allowed": true, "refusal": null })
    );
    let wrong = one.ask(
        "POST",
        &format!("{limits}/check"),
        &json!({ "operation": "fly" }),
    );
    assert_eq!(wrong.status, 422);
    // Engines of a dearer plan are not switched on.
    let channel = one.get("/channels").json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = one.ask(
        "PATCH",
        &format!("/channels/{channel}"),
        &json!({ "aiOptimizationEnabled": true }),
    );
    assert_eq!(
        (refused.status, &refused.json()["limit"]),
        (402, &json!("features")),
        "{}",
        refused.text()
    );

    // The operator lifts a limit, with a reason; nobody else does, nor sees it.
    let path = format!("/clients/{id}/overrides/maxChannels");
    let lift = json!({ "value": 2, "reason": "festival", "expiresAt": "2090-01-01T00:00:00Z" });
    assert_eq!(one.ask("PUT", &path, &lift).status, 403);
    let no_reason = operator.ask("PUT", &path, &json!({ "value": 2 }));
    assert_eq!(
        (
            no_reason.status,
            &no_reason.json()["violations"][0]["pointer"]
        ),
        (422, &json!("/reason"))
    );
    let lifted = operator.ask("PUT", &path, &lift);
    assert_eq!(lifted.status, 200, "{}", lifted.text());
    assert_eq!(create("480p").status, 201);
    assert_eq!(create("480p").status, 402);
    let seen = one.get(&limits).json();
    assert_eq!(
        (
            &seen["limits"]["maxChannels"],
            &seen["overrides"][0]["reason"]
        ),
        (&json!(2), &json!("festival"))
    );
    assert_eq!(other.get(&limits).status, 404);
    assert_eq!(
        other.ask("POST", &format!("{limits}/check"), &dear).status,
        404
    );
    assert_eq!(operator.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(operator.ask("DELETE", &path, &Value::Null).status, 404);
    let seen = one.get(&limits).json();
    assert_eq!(
        (
            &seen["overLimit"][0]["limit"],
            &seen["overLimit"][0]["current"]
        ),
        (&json!("maxChannels"), &json!(2))
    );
    assert_eq!(
        one.get("/channels").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "nothing is taken away"
    );

    // Plans are data.
    let plan = operator.ask(
        "PUT",
        "/plans/duo",
        &json!({ "tier": 2, "limits": { "maxChannels": 3 } }),
    );
    assert_eq!(plan.status, 201, "{}", plan.text());
    let stale = operator.ask_with(
        "PUT",
        "/plans/duo",
        &json!({ "tier": 2, "limits": {} }),
        &[("If-Match", "\"9\"")],
    );
    assert_eq!(stale.status, 412, "{}", stale.text());
    let moved = operator.ask(
        "PATCH",
        &format!("/clients/{id}"),
        &json!({ "plan": "duo" }),
    );
    assert_eq!(
        (moved.status, &moved.json()["plan"]),
        (200, &json!("duo")),
        "{}",
        moved.text()
    );
    assert_eq!(create("1080p").status, 201);
    assert_eq!(
        operator.ask("DELETE", "/plans/duo", &Value::Null).status,
        409
    );
    assert_eq!(
        operator
            .ask("PUT", "/plans/unlimited", &json!({ "limits": {} }))
            .status,
        409
    );
    assert_eq!(operator.ask("PUT", "/plans/Duo", &json!({})).status, 404);
    let wrong = operator.ask("PUT", "/plans/trio", &json!({ "limits": { "maxFun": 1 } }));
    assert_eq!(
        (wrong.status, &wrong.json()["violations"][0]["pointer"]),
        (422, &json!("/limits/maxFun"))
    );
}
