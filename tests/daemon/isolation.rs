//! Every operation of the API, as those meet it who may not: other clients, and who has no token that is good for it. Each is
//! asked about a thing that there is, with a body that its owner's would be taken with, so that nothing but the owner is in
//! the way.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::branding::png;
use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http::{self, Answer};
use base64::prelude::{BASE64_STANDARD, Engine};

/// One white pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The media type and the bytes that an operation takes.
fn taken(operation: &str, media: &str) -> (&'static str, Vec<u8>) {
    let items = json!([{ "mediaId": media }]);
    let body = match operation {
        "putLogo" => return ("image/png", BASE64_STANDARD.decode(PNG).unwrap()),
        "putSubtitles" => {
            let srt = b"1\n00:00:01,000 --> 00:00:02,000\nGood evening.\n";
            return ("application/x-subrip", srt.to_vec());
        }
        "writeUpload" => return ("application/offset+octet-stream", b"z".to_vec()),
        "addDestination" => json!({ "serverUrl": "rtmp://live.example.com/app" }),
        "updateDestination" | "updateAlertRoute" | "updateWebhook" => json!({ "enabled": false }),
        "replaceRotation" => json!({ "items": items }),
        "replaceBlocks" | "replaceTemplates" | "replaceSlots" => json!({ "items": [] }),
        "addSlots" | "updateSlot" => json!({ "at": "2030-01-31T20:15:00Z", "items": items }),
        "playItem" => json!({ "mediaId": media, "when": "now" }),
        "putOverlay" => json!({ "lowerThird": { "title": "Dr. Ada Lovelace" } }),
        "replayWebhook" => json!({ "from": "2026-11-22T20:00:00Z", "to": "2026-11-22T21:00:00Z" }),
        "updateMedia" => json!({ "title": "Another" }),
        "updateChannel" => json!({ "name": "Another" }),
        "checkClientLimits" => json!({ "operation": "startChannel" }),
        _ => json!({}),
    };
    ("application/json", body.to_string().into_bytes())
}

/// A request with what the operation takes.
fn sent(
    daemon: &Daemon,
    who: &Caller<'_>,
    method: &str,
    path: &str,
    taken: &(&str, Vec<u8>),
) -> Answer {
    let (bearer, path) = (format!("Bearer {}", who.token), format!("/api/v1{path}"));
    let headers = [
        ("Authorization", &*bearer),
        ("Content-Type", taken.0),
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Offset", "1"),
    ];
    let is_read = matches!(method, "GET" | "DELETE");
    let body: &[u8] = if is_read { b"" } else { &taken.1 };
    let headers = if is_read { &headers[..1] } else { &headers };
    let headers: Vec<_> = match path.contains("/media/uploads") {
        true => [headers, &[("Tus-Resumable", "1.0.0")]].concat(),
        false => headers.to_vec(),
    };
    http::request(daemon.address(), method, &path, &headers, body).expect("an answer")
}

/// A path of the document with its values filled in.
fn filled(template: &str, values: &HashMap<&str, String>) -> String {
    let segments = template.split('/').map(|segment| {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) => values
                .get(name)
                .unwrap_or_else(|| panic!("{name} of {template}"))
                .clone(),
            None => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_closed_to_other_clients_to_revoked_tokens_to_small_scopes_and_to_nobody() {
    let (data, films) = (folder(), folder());
    // The owner has a folder of its own, which the configuration names by the owner's id.
    let (owner_id, token) = {
        let daemon = Daemon::start(data.path(), "");
        let all = json!(["read", "operate", "configure"]);
        let (id, owner) = Caller::of_client(&daemon, "Zebra Broadcasting", "enterprise", all);
        let token = json!(owner.token);
        daemon.signal("TERM");
        assert!(daemon.ended().success());
        (id, token)
    };
    let settings = format!(
        "[media]\nclient_roots = [{{ client = \"{owner_id}\", roots = [{:?}] }}]\n",
        films.path()
    );
    let daemon = Daemon::start(data.path(), &settings);
    let owner = Caller::with(&daemon, &token);
    let operator = Caller::with(&daemon, &json!(daemon.token()));
    let document = daemon.get("/openapi.json");
    let (_, other) = Caller::of_client(
        &daemon,
        "Canal Dos",
        "enterprise",
        json!(["read", "operate", "configure"]),
    );
    let small = |scopes: Value| {
        let made = owner
            .ask(
                "POST",
                "/tokens",
                &json!({ "name": "zebra wall", "scopes": scopes }),
            )
            .json();
        (
            made["id"].as_str().unwrap().to_owned(),
            Caller::with(&daemon, &made["token"]),
        )
    };
    let (token_id, reader) = small(json!(["read"]));
    let (revoked_id, revoked) = small(json!(["read", "operate", "configure"]));
    assert_eq!(
        owner
            .ask("DELETE", &format!("/tokens/{revoked_id}"), &Value::Null)
            .status,
        204
    );

    // What the owner has.
    let made = |path: &str, body: Value| {
        let answer = owner.ask("POST", path, &body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let channel = made(
        "/channels",
        json!({ "name": "Zebra One", "resolution": "240p", "labels": { "zebra": "yes" },
        "rtmpDestinations": [{ "serverUrl": "rtmp://zebra.example.com/app", "streamKey": "zebra-key", "platform": "custom" }] }),
    );
    let channel_id = text(&channel["id"]);
    let route = made(
        "/alert-routes",
        json!({ "type": "webhook", "url": "https://zebra.example.com/hook" }),
    );
    let upload = owner.begin_upload("zebra.mp4", 1000, b"z");
    let media = owner.upload("zebra.mp4", &clip(3, 50));
    let webhook = made(
        "/webhooks",
        json!({ "url": "https://zebra.example.com/events", "events": ["*"], "description": "zebra" }),
    );
    let slot = made(
        &format!("/channels/{channel_id}/slots"),
        json!({ "at": "2030-01-31T20:15:00Z", "items": [{ "mediaId": media }] }),
    );
    let import = made(
        "/media",
        json!({ "url": "https://zebra.example.com/film.mp4" }),
    );
    let put = |path: &str, kind: &str, body: &[u8]| {
        let bearer = format!("Bearer {}", owner.token);
        let headers = [("Authorization", &*bearer), ("Content-Type", kind)];
        let path = format!("/api/v1{path}");
        let answer = http::request(daemon.address(), "PUT", &path, &headers, body).unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    let rotation = json!({ "items": [{ "mediaId": media }] });
    let at = format!("/channels/{channel_id}");
    let json = "application/json";
    put(
        &format!("{at}/rotation"),
        json,
        rotation.to_string().as_bytes(),
    );
    let overlay = json!({ "lowerThird": { "title": "zebra" } });
    put(
        &format!("{at}/overlay"),
        json,
        overlay.to_string().as_bytes(),
    );
    put(
        &format!("{at}/logo"),
        "image/png",
        &png(data.path(), "red", 64),
    );
    let cue = b"WEBVTT\n\n00:00.000 --> 00:01.000\nzebra\n";
    put(&format!("/media/{media}/subtitles/en"), "text/vtt", cue);
    let mut profile = Value::Null;
    until("its rendition is known", BOUND, || {
        let item = owner.get(&format!("/media/{media}")).json();
        profile = item["renditions"][0]["profile"].clone();
        profile.is_string()
    });
    let watched = films.path().join("in");
    std::fs::create_dir(&watched).unwrap();
    let folder = made("/media/watched", json!({ "path": watched }));
    std::fs::rename(&watched, films.path().join("away")).unwrap();
    let one_of = |list: &str| {
        let mut one = Value::Null;
        until(list, BOUND, || {
            one = owner.get(list).json()["items"][0]["id"].clone();
            one.is_string()
        });
        text(&one)
    };
    let (alert, delivery) = (one_of("/alerts"), one_of("/alert-deliveries"));
    let told = one_of(&format!("/webhooks/{}/deliveries", text(&webhook["id"])));
    let unknown = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11".to_owned();
    let mut theirs: HashMap<&str, String> = HashMap::new();
    let mut nobodys: HashMap<&str, String> = HashMap::new();
    for (name, id) in [
        ("channelId", channel_id.clone()),
        ("destinationId", text(&channel["rtmpDestinations"][0]["id"])),
        ("slotId", text(&slot["id"])),
        ("alertRouteId", text(&route["id"])),
        ("uploadId", upload),
        ("tokenId", token_id),
        ("clientId", owner_id.clone()),
        ("alertId", alert),
        ("deliveryId", delivery),
        ("importId", text(&import["id"])),
        ("watchedFolderId", text(&folder["id"])),
        ("webhookId", text(&webhook["id"])),
        ("webhookDeliveryId", told),
        ("mediaId", media.clone()),
        ("profileKey", text(&profile)),
    ] {
        nobodys.insert(name, unknown.clone());
        theirs.insert(name, id);
    }
    for (name, value) in [
        ("language", "en"),
        ("order", "pause"),
        ("limit", "maxLive"),
        ("plan", "free"),
    ] {
        theirs.insert(name, value.to_owned());
        nobodys.insert(name, value.to_owned());
    }
    let theirs_only: Vec<&String> = theirs
        .values()
        .filter(|value| value.len() == 36 && **value != unknown)
        .collect();
    let mut stream = other.events();

    let mut asked = 0;
    for (template, path) in document["paths"].as_object().unwrap() {
        for (method, operation) in path
            .as_object()
            .unwrap()
            .iter()
            .filter(|(method, _)| *method != "parameters")
            // What nobody needs a token for is nobody's.
            .filter(|(_, operation)| operation["security"].is_null())
        {
            let method = method.to_uppercase();
            let scope = operation["x-scope"].as_str().unwrap();
            let (at, elsewhere) = (filled(template, &theirs), filled(template, &nobodys));
            let what = format!("{method} {template}");
            let body = taken(operation["operationId"].as_str().unwrap(), &media);
            let ask = |who: &Caller<'_>, path: &str| sent(&daemon, who, &method, path, &body);
            let nobody = Caller::with(&daemon, &json!("playoutd_none"));
            for refused in [&nobody, &revoked] {
                assert_eq!(ask(refused, &at).status, 401, "{what}");
            }
            let without =
                http::request(daemon.address(), &method, &format!("/api/v1{at}"), &[], b"")
                    .unwrap();
            assert_eq!(without.status, 401, "{what}");
            if scope != "read" {
                let refused = ask(&reader, &at);
                assert_eq!(
                    (refused.status, &refused.json()["scope"]),
                    (403, &json!(scope)),
                    "{what}"
                );
            }
            // An event stream does not end; what comes by it is looked at below.
            if template == "/events" {
                continue;
            }
            let answer = ask(&other, &at);
            if scope == "admin" {
                assert_eq!(answer.status, 403, "{what}");
            } else if at != elsewhere {
                let same = ask(&other, &elsewhere);
                assert_eq!(answer.status, 404, "{what}: {}", answer.text());
                assert_eq!(
                    answer.text().replace(char::is_numeric, ""),
                    same.text().replace(char::is_numeric, ""),
                    "{what}"
                );
            } else {
                assert!(answer.status < 500, "{what}: {}", answer.text());
            }
            let told = format!("{:?} {}", answer.headers, answer.text());
            let told = told.to_lowercase();
            assert!(!told.contains("zebra"), "{what}: {told}");
            for id in &theirs_only {
                assert!(!told.contains(*id), "{what} tells {id}: {told}");
            }
            asked += 1;
        }
    }
    assert!(asked > 80, "{asked} operations");
    // Nothing of the owner's was touched, and nobody else heard of it.
    let now = owner.get(&format!("/channels/{channel_id}")).json();
    assert_eq!(
        (&now["name"], &now["config"]["labels"]),
        (&json!("Zebra One"), &json!({ "zebra": "yes" }))
    );
    assert_eq!(
        owner.get(&format!("/media/{}", theirs["mediaId"])).status,
        200
    );
    made(&format!("/channels/{channel_id}/stop"), Value::Null);
    let seen = other.ask("POST", "/channels", &json!({ "name": "The last" }));
    assert_eq!(seen.status, 201, "{}", seen.text());
    loop {
        let event = stream.next().expect("the stream goes on");
        let told = event.data.to_string().to_lowercase();
        assert!(
            !told.contains("zebra") && !told.contains(&channel_id),
            "{told}"
        );
        if event.kind == "channel.created" && event.data["name"] == "The last" {
            break;
        }
    }
    assert_eq!(operator.get(&format!("/clients/{owner_id}")).status, 200);
    for name in theirs.keys().filter(|name| theirs[*name].len() == 36) {
        assert_ne!(theirs[name], unknown, "{name} is of nothing");
    }
    // The log names things by their ids; what they are called, and their secrets, are nowhere in it.
    let log = daemon.log().to_lowercase();
    for name in [
        "zebra broadcasting",
        "zebra one",
        "zebra wall",
        "zebra-key",
        "canal dos",
    ] {
        assert!(!log.contains(name), "{name} is in the log");
    }
}
