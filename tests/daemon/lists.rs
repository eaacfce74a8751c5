//! Lists that are narrowed and ordered, page by page.

use serde_json::{Value, json};

use super::caller::Caller;
use super::daemon::{Daemon, folder};

/// What one member of every item of a list is, page by page of two.
fn walked(who: &Caller<'_>, list: &str, member: &str) -> Vec<String> {
    let glue = if list.contains('?') { '&' } else { '?' };
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = who.get(&format!("{list}{glue}limit=2{cursor}"));
        assert_eq!(page.status, 200, "{list}: {}", page.text());
        let page = page.json();
        let items = page["items"].as_array().unwrap();
        all.extend(
            items
                .iter()
                .map(|item| item[member].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn channels_come_by_age_or_name_and_those_of_a_status_alone() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let scopes = json!(["read", "operate", "configure"]);
    let (_, who) = Caller::of_client(&daemon, "Canal Uno", "enterprise", scopes);
    let stranger = Caller::stranger(&daemon);
    let made = |who: &Caller<'_>, name: &str| {
        let new = json!({ "name": name, "resolution": "240p", "labels": { "of": name.replace('é', "e") } });
        let made = who.ask("POST", "/channels", &new);
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    made(&stranger, "aaa");
    let ids: Vec<String> = ["delta", "Alpha", "écho", "bravo", "alpha"]
        .map(|name| made(&who, name))
        .into();
    let names = |list: &str| walked(&who, list, "name");
    assert_eq!(
        names("/channels"),
        ["delta", "Alpha", "écho", "bravo", "alpha"]
    );
    assert_eq!(names("/channels?sort=created"), names("/channels"));
    assert_eq!(
        names("/channels?sort=-created"),
        ["alpha", "bravo", "écho", "Alpha", "delta"]
    );
    let by_name = ["Alpha", "alpha", "bravo", "delta", "écho"];
    assert_eq!(names("/channels?sort=name"), by_name);
    let mut from_the_end = by_name;
    from_the_end.reverse();
    assert_eq!(names("/channels?sort=-name"), from_the_end);

    // What is made or deleted meanwhile moves no other.
    let first = who.get("/channels?sort=name&limit=3").json();
    let cursor = first["nextCursor"].as_str().unwrap();
    made(&who, "Aardvark");
    made(&who, "charlie");
    let gone = who.ask("DELETE", &format!("/channels/{}", ids[3]), &Value::Null);
    assert_eq!(gone.status, 204);
    let rest = who
        .get(&format!("/channels?sort=name&cursor={cursor}"))
        .json();
    let rest: Vec<&str> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(rest, ["charlie", "delta", "écho"]);
    for wrong in [
        format!("sort=created&cursor={cursor}"),
        format!("sort=name&cursor={}", ids[0]),
        format!("sort=name&cursor={}.zz", ids[0]),
        "sort=status".to_owned(),
        "status=live".to_owned(),
    ] {
        let refused = who.get(&format!("/channels?{wrong}"));
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
    }

    let started = who.ask("POST", &format!("/channels/{}/start", ids[0]), &Value::Null);
    assert_eq!(started.status, 200, "{}", started.text());
    assert!(!names("/channels?status=STOPPED").contains(&"delta".to_owned()));
    assert_eq!(names("/channels?status=STOPPED").len(), 5);
    daemon.on_air(&ids[0]);
    assert_eq!(names("/channels?status=LIVE"), ["delta"]);
    assert_eq!(names("/channels?status=LIVE&selector=of=alpha"), [""; 0]);
    assert_eq!(
        names("/channels?status=STOPPED&selector=!nothing&sort=-name").len(),
        5
    );
}

#[test]
fn tokens_of_a_client_and_clients_of_a_plan() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let (uno, of_uno) = Caller::of_client(&daemon, "Uno", "free", json!(["read", "configure"]));
    let (dos, of_dos) = Caller::of_client(&daemon, "Dos", "pro", json!(["read", "configure"]));
    for name in ["wall", "nightly"] {
        let made = of_uno.ask(
            "POST",
            "/tokens",
            &json!({ "name": name, "scopes": ["read"] }),
        );
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let theirs = ["script", "wall", "nightly"];
    assert_eq!(
        walked(&operator, &format!("/tokens?client={uno}"), "name"),
        theirs
    );
    assert_eq!(
        walked(&of_uno, &format!("/tokens?client={uno}"), "name"),
        theirs
    );
    assert_eq!(
        walked(&operator, &format!("/tokens?client={dos}"), "name"),
        ["script"]
    );
    assert_eq!(
        walked(&of_dos, &format!("/tokens?client={uno}"), "name"),
        [""; 0]
    );
    assert_eq!(walked(&operator, "/tokens", "name").len(), 5);
    assert_eq!(walked(&operator, "/clients?plan=free", "name"), ["Uno"]);
    assert_eq!(walked(&operator, "/clients?plan=pro", "name"), ["Dos"]);
    assert_eq!(walked(&of_dos, "/clients?plan=free", "name"), [""; 0]);
    for wrong in [
        "/tokens?client=x",
        "/clients?plan=No%20plan",
        "/clients?name=Uno",
    ] {
        assert_eq!(operator.get(wrong).status, 400, "{wrong}");
    }

    // What a change of a channel would come to.
    let (_, who) = Caller::of_client(&daemon, "Tres", "free", json!(["read", "configure"]));
    let client = who.get("/clients").json()["items"][0]["id"].clone();
    let channel = who
        .ask(
            "POST",
            "/channels",
            &json!({ "name": "One", "resolution": "240p" }),
        )
        .json();
    let check = |body: Value| {
        let path = format!("/clients/{}/limits/check", client.as_str().unwrap());
        let answer = who.ask("POST", &path, &body);
        (answer.status, answer.json())
    };
    let id = &channel["id"];
    let (status, larger) =
        check(json!({ "operation": "updateChannel", "channelId": id, "resolution": "2160p" }));
    assert_eq!(
        (status, &larger["refusal"]["limit"]),
        (200, &json!("maxResolution")),
        "{larger}"
    );
    assert_eq!(larger["refusal"]["current"], "240p");
    let (_, same) = check(json!({ "operation": "updateChannel", "channelId": id }));
    assert_eq!(same, json!({ "allowed": true, "refusal": null }));
    let most = daemon.get("/plans/free")["limits"]["maxDestinations"]
        .as_u64()
        .unwrap();
    let (_, pushed) = check(json!({ "operation": "addDestination", "channelId": id }));
    assert_eq!(pushed["allowed"], most > 0);
    let (_, many) =
        check(json!({ "operation": "updateChannel", "channelId": id, "destinations": most + 1 }));
    assert_eq!(many["refusal"]["limit"], "maxDestinations", "{many}");
    let others = operator.get("/channels").json()["items"]
        .as_array()
        .map(Vec::len);
    assert_eq!(others, Some(1));
    let foreign = json!({ "operation": "addDestination", "channelId": id });
    let refused = of_uno.ask("POST", &format!("/clients/{uno}/limits/check"), &foreign);
    assert_eq!(
        (refused.status, &refused.json()["violations"][0]["pointer"]),
        (422, &json!("/channelId"))
    );
}
