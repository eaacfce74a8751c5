//! Who changed what, searched and taken away.

use serde_json::{Value, json};

use super::caller::Caller;
use super::daemon::{Daemon, folder};

fn items(who: &Caller, query: &str) -> Vec<Value> {
    let answer = who.get(&format!("/audit{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()["items"].as_array().expect("items").clone()
}

fn operations(who: &Caller, query: &str) -> Vec<String> {
    let items = items(who, query).into_iter();
    items
        .map(|entry| {
            entry["operation"]
                .as_str()
                .expect("an operation")
                .to_owned()
        })
        .collect()
}

#[test]
fn the_audit_is_narrowed_paged_and_taken_away_whole() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let scopes = json!(["read", "operate", "configure"]);
    let (client, who) = Caller::of_client(&daemon, "Canal Uno", "pro", scopes);
    let me = who.get("/session").json();
    let channels = ["One", "=1+1"].map(|name| {
        let made = who.ask(
            "POST",
            "/channels",
            &json!({ "name": name, "resolution": "240p" }),
        );
        made.json()["id"].as_str().expect("an id").to_owned()
    });
    let path = format!("/channels/{}", channels[1]);
    assert_eq!(
        who.ask("PATCH", &path, &json!({ "name": "Two" })).status,
        200
    );

    assert_eq!(
        operations(&who, ""),
        [
            "channel.update",
            "channel.create",
            "channel.create",
            "token.create",
            "client.create"
        ]
    );
    assert_eq!(
        operations(&who, "?operation=channel.update"),
        ["channel.update"]
    );
    assert_eq!(operations(&who, "?operation=channel").len(), 3);
    assert_eq!(operations(&who, "?operation=chan"), [""; 0]);
    let of = format!("?subject={}&order=oldest", channels[1]);
    assert_eq!(operations(&who, &of), ["channel.create", "channel.update"]);
    let by = format!("?tokenId={}", me["tokenId"].as_str().expect("a token"));
    assert_eq!(operations(&who, &by).len(), 3);
    assert_eq!(operations(&who, "?actor=script").len(), 3);
    let all = items(&who, "?order=oldest");
    let at = |n: usize| all[n]["at"].as_str().expect("a time").to_owned();
    let between = format!("?order=oldest&from={}&to={}", at(2), at(4));
    assert_eq!(items(&who, &between), all[2..4]);
    assert_eq!(all[4]["detail"]["before"]["name"], "=1+1");
    assert_eq!(all[4]["detail"]["after"]["name"], "Two");

    // Page by page it is the same, whatever is done meanwhile.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = who
            .get(&format!("/audit?order=oldest&limit=2{cursor}"))
            .json();
        paged.extend(page["items"].as_array().expect("items").clone());
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
        who.ask(
            "PATCH",
            &path,
            &json!({ "name": format!("Two {}", paged.len()) }),
        );
        assert!(paged.len() < 50, "it ends");
    }
    assert_eq!(paged[..5], all[..]);
    let lines = who.get("/audit?format=ndjson");
    let lines = lines.text();
    let whole: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(whole, paged);
    let csv = who.get("/audit?format=csv&operation=channel.create").text();
    assert_eq!(csv.matches("\r\n").count(), 3, "{csv}");
    assert!(csv.starts_with("clientId,seq,at,actor,"), "{csv}");

    // Another client sees nothing of it, with whatever cursor.
    let stranger = Caller::stranger(&daemon);
    for query in [
        format!("?client={client}"),
        of,
        format!("?limit=500{cursor}"),
    ] {
        let told = stranger.get(&format!("/audit{query}")).text();
        assert!(
            !told.contains(&client) && !told.contains("Two"),
            "{query}: {told}"
        );
    }
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    // The operator's tokens have names and ids for the operator alone.
    let masked = |mut entry: Value| {
        if entry["actor"] == "admin token file" {
            entry["actor"] = json!("operator");
            entry["tokenId"] = Value::Null;
        }
        entry
    };
    let whole = items(&operator, &format!("?client={client}&order=oldest"));
    assert_ne!(whole, paged);
    assert_eq!(whole.into_iter().map(masked).collect::<Vec<_>>(), paged);
    for (query, pointer) in [
        ("?from=soon", "/from"),
        ("?subject=7", "/subject"),
        ("?order=up", "/order"),
        ("?format=xml", "/format"),
        ("?format=csv&limit=3", "/format"),
    ] {
        let refused = who.get(&format!("/audit{query}"));
        assert_eq!(
            (refused.status, &refused.json()["violations"][0]["pointer"]),
            (422, &json!(pointer))
        );
    }
    assert_eq!(who.get("/audit?cursor=1.2").status, 400);
}
