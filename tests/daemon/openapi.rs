//! The OpenAPI document and the page that is written from it. That answers keep to it every test says that asks for one
//! (`contract.rs`); here is what answers alone do not tell.

use serde_json::{Value, json};

use super::daemon::{Daemon, folder};
use super::http;

/// A path of the document with some value in each place.
fn filled(template: &str) -> String {
    let unknown = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    let segments = template.split('/').map(|segment| match segment {
        "{language}" => "en",
        "{limit}" => "maxLive",
        "{order}" => "pause",
        "{plan}" => "free",
        "{profileKey}" => "p",
        value if value.starts_with('{') => unknown,
        word => word,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The parameters that a refusal of another one names.
fn named(detail: &str) -> Vec<&str> {
    let list = detail.split("known: ").nth(1).unwrap_or_default();
    let mut names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_operation_takes_the_parameters_that_the_document_says_and_no_other() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let document = http::request(daemon.address(), "GET", "/api/v1/openapi.json", &[], b"");
    let document = document.expect("it is public").json();
    let mut asked = 0;
    for (template, path) in document["paths"].as_object().expect("paths") {
        let operations = path.as_object().expect("operations").iter();
        let operations = operations.filter(|(method, _)| *method != "parameters");
        // What lies outside the API is not asked by its parameters.
        for (method, operation) in operations.filter(|(_, one)| one["servers"].is_null()) {
            let what = format!("{} {template}", method.to_uppercase());
            let content = operation["requestBody"]["content"].as_object();
            let media_type = content.and_then(|all| all.keys().next());
            let headers: Vec<(&str, &str)> = media_type
                .map(|given| ("Content-Type", given.as_str()))
                .into_iter()
                .collect();
            let body: &[u8] = if content.is_some() { b"{}" } else { b"" };
            let at = format!("{}?nonsense=1", filled(template));
            let answer = daemon.ask(&method.to_uppercase(), &at, &headers, body);
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            let problem = answer.json();
            let detail = problem["detail"].as_str().expect("a detail");
            let parameters = operation["parameters"].as_array();
            let of_query = parameters
                .into_iter()
                .flatten()
                .filter(|one| one["in"] == "query");
            let mut documented: Vec<&str> =
                of_query.filter_map(|one| one["name"].as_str()).collect();
            documented.sort_unstable();
            assert_eq!(named(detail), documented, "{what}: {detail}");
            asked += 1;
        }
    }
    assert!(asked > 90, "{asked} operations");
}

#[test]
fn the_page_is_public_and_may_do_nothing_but_be_read() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let page = daemon.try_get("/docs").expect("a page");
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = &page.headers["content-security-policy"];
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let text = page.text();
    for part in [
        "createChannel",
        "/channels/{channelId}/slots",
        "HeldElsewhereProblem",
        "Scope:",
    ] {
        assert!(text.contains(part), "{part} is not on the page");
    }
    for alien in ["<script", "<img", "<link", " style=", "src="] {
        assert!(!text.contains(alien), "{alien} is on the page");
    }
    let headers = [("If-None-Match", page.headers["etag"].as_str())];
    let again = http::request(daemon.address(), "GET", "/docs", &headers, b"").expect("an answer");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let refused = http::request(daemon.address(), "POST", "/docs", &[], b"").expect("an answer");
    assert_eq!(
        (refused.status, refused.headers["allow"].as_str()),
        (405, "GET, HEAD, OPTIONS")
    );
}

#[test]
fn a_plan_that_is_not_there_is_told_as_what_is_wrong_and_the_list_of_plans_goes_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: Value| {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        daemon.ask(method, path, &headers, body.to_string().as_bytes())
    };
    let refused = send(
        "POST",
        "/clients",
        &[],
        json!({ "name": "Uno", "plan": "none" }),
    );
    let pointer = |answer: &http::Answer| answer.json()["violations"][0]["pointer"].clone();
    assert_eq!((refused.status, pointer(&refused)), (422, json!("/plan")));
    let client = daemon.post("/clients", &json!({ "name": "Uno", "plan": "free" }));
    let path = format!("/clients/{}", client["id"].as_str().expect("an id"));
    let refused = send("PATCH", &path, &[], json!({ "plan": "none" }));
    assert_eq!((refused.status, pointer(&refused)), (422, json!("/plan")));

    // `*` is for what is there, and makes nothing.
    let any = [("If-Match", "*")];
    let limits = json!({ "tier": 2, "limits": {} });
    assert_eq!(send("PUT", "/plans/solo", &any, limits.clone()).status, 412);
    assert_eq!(send("GET", "/plans/solo", &[], Value::Null).status, 404);
    assert_eq!(send("PUT", "/plans/solo", &[], limits.clone()).status, 201);
    assert_eq!(send("PUT", "/plans/solo", &any, limits).status, 200);

    let name = |plan: &Value| {
        (
            plan["tier"].as_u64(),
            plan["name"].as_str().map(str::to_owned),
        )
    };
    let whole = daemon.get("/plans");
    let whole: Vec<_> = whole["items"]
        .as_array()
        .expect("plans")
        .iter()
        .map(name)
        .collect();
    assert!(whole.is_sorted() && whole.len() == 6, "{whole:?}");
    let (mut paged, mut query) = (Vec::new(), String::new());
    loop {
        let page = daemon.get(&format!("/plans?limit=2{query}"));
        paged.extend(page["items"].as_array().expect("plans").iter().map(name));
        match page["nextCursor"].as_str() {
            Some(next) => query = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
    assert_eq!(
        send("GET", "/plans?cursor=free", &[], Value::Null).status,
        400
    );
}
