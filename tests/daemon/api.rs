//! The API and what viewers fetch, as scripts and players meet them.

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http::{self, Answer};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A refusal: its status, and that it is a whole problem document.
fn refused(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{member} of {problem}"
        );
    }
    problem
}

#[test]
fn channels_are_made_changed_and_deleted() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let config = json!({
        "name": "News",
        "resolution": "240p",
        "rtmpDestinations": [{ "serverUrl": "rtmp://live.example.com/app", "streamKey": "very-secret-key", "platform": "custom", "enabled": true }],
    });
    let channel = daemon.post("/channels", &config);
    for field in [
        "id",
        "clientId",
        "name",
        "status",
        "config",
        "createdAt",
        "updatedAt",
        "resolution",
        "bitrate",
        "fallbackVideo",
        "hlsEndpoint",
        "rtmpDestinations",
        "analyticsEnabled",
        "monetizationEnabled",
        "aiOptimizationEnabled",
        "multiPlatformEnabled",
        "interactionEnabled",
        "totalUptime",
        "restartCount",
        "lastStartTime",
        "lastStopTime",
    ] {
        assert!(
            channel.get(field).is_some(),
            "{field} is missing in {channel}"
        );
    }
    let id = channel["id"].as_str().unwrap();
    let path = format!("/channels/{id}");
    assert_eq!(channel["status"], "STOPPED");
    assert_eq!(channel["rtmpDestinations"][0]["streamKeySet"], true);
    let answer = daemon.ask("GET", &path, &[], b"");
    let tag = answer.headers["etag"].clone();
    // What is read can be sent back, and changes nothing.
    let again = daemon.ask(
        "PATCH",
        &path,
        &[JSON, ("If-Match", &tag)],
        channel["config"].to_string().as_bytes(),
    );
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.headers["etag"], tag);
    let changed = daemon.ask(
        "PATCH",
        &path,
        &[JSON, ("If-Match", &tag)],
        br#"{"name":"Late news"}"#,
    );
    assert_eq!(
        (changed.status, &changed.json()["name"]),
        (200, &json!("Late news"))
    );
    refused(
        &daemon.ask(
            "PATCH",
            &path,
            &[JSON, ("If-Match", &tag)],
            br#"{"name":"Lost update"}"#,
        ),
        412,
    );
    assert_eq!(daemon.get(&path)["name"], "Late news");
    assert_eq!(
        daemon.get("/channels")["items"].as_array().map(Vec::len),
        Some(1)
    );
    daemon.ask("DELETE", &path, &[], b"");
    refused(&daemon.ask("GET", &path, &[], b""), 404);
    assert!(!daemon.log().contains("very-secret-key"));
}

#[test]
fn every_violation_is_named() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let body = json!({ "name": "", "resolution": "8k", "frameRate": 12, "hlsEnabled": "yes", "colour": "red" });
    let answer = daemon.ask("POST", "/channels", &[JSON], body.to_string().as_bytes());
    let problem = refused(&answer, 422);
    let pointers: Vec<&str> = problem["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["pointer"].as_str().unwrap())
        .collect();
    for pointer in [
        "/name",
        "/resolution",
        "/frameRate",
        "/hlsEnabled",
        "/colour",
    ] {
        assert!(pointers.contains(&pointer), "{pointer} in {pointers:?}");
    }
    let malformed = refused(
        &daemon.ask("POST", "/channels", &[JSON], b"{\n \"name\": nul }"),
        400,
    );
    assert_eq!(malformed["line"], 2);
    refused(
        &daemon.ask(
            "POST",
            "/channels",
            &[("Content-Type", "text/plain")],
            b"{}",
        ),
        415,
    );
    refused(
        &daemon.ask("POST", "/channels", &[JSON], &vec![b' '; 2_000_000]),
        413,
    );
    let wrong_method = daemon.ask("PUT", "/channels", &[], b"");
    refused(&wrong_method, 405);
    assert!(wrong_method.headers["allow"].contains("POST"));
    refused(&daemon.ask("GET", "/nothing", &[], b""), 404);
    refused(&daemon.ask("GET", "/channels/no-id", &[], b""), 404);
    refused(&daemon.try_get("/api/v1/channels").unwrap(), 401);
    let bearer = [("Authorization", "Bearer wrong")];
    refused(
        &http::request(daemon.address(), "GET", "/api/v1/channels", &bearer, b"").unwrap(),
        401,
    );
    refused(
        &daemon.ask(
            "POST",
            "/media",
            &[JSON],
            br#"{"path":"/no/such/file.mp4"}"#,
        ),
        422,
    );
    assert_eq!(daemon.try_get("/healthz").unwrap().status, 200);
    assert_eq!(daemon.try_get("/readyz").unwrap().status, 200);
}

#[test]
fn players_get_what_http_promises() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 150));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    refused(
        &daemon.ask(
            "DELETE",
            &format!("/channels/{}", uuid::Uuid::nil()),
            &[],
            b"",
        ),
        404,
    );
    daemon.on_air(&channel);
    let base = format!("/hls/{channel}");
    let get = |path: &str, headers: &[(&str, &str)]| {
        http::request(daemon.address(), "GET", path, headers, b"").unwrap()
    };
    let master = get(&format!("{base}/index.m3u8"), &[]);
    assert_eq!(master.status, 200);
    assert!(
        master.text().contains("CODECS=\"avc1.") && master.text().contains("240p.m3u8"),
        "{}",
        master.text()
    );
    let playlist = get(
        &format!("{base}/240p.m3u8"),
        &[("Origin", "https://elsewhere.example")],
    );
    assert_eq!(
        playlist.headers["content-type"],
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(playlist.headers["cache-control"], "public, max-age=2");
    assert_eq!(playlist.headers["access-control-allow-origin"], "*");
    let tag = playlist.headers["etag"].clone();
    let unchanged = get(&format!("{base}/240p.m3u8"), &[("If-None-Match", &tag)]);
    assert!(unchanged.status == 304 || unchanged.headers["etag"] != tag);
    let name = crate::judge::playlist(&playlist.text()).segments[0]
        .uri
        .clone();
    let path = format!("{base}/{name}");
    let segment = get(&path, &[]);
    assert_eq!(segment.headers["content-type"], "video/mp2t");
    assert!(segment.headers["cache-control"].contains("immutable"));
    let head = http::request(daemon.address(), "HEAD", &path, &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.headers["content-length"],
        segment.body.len().to_string()
    );
    let part = get(&path, &[("Range", "bytes=188-375")]);
    assert_eq!(
        (part.status, &part.body[..]),
        (206, &segment.body[188..376])
    );
    assert_eq!(get(&path, &[("Range", "bytes=999999999-")]).status, 416);
    refused(&get(&format!("{base}/240p-1.ts"), &[]), 404);
    refused(
        &get(&format!("/hls/{}/index.m3u8", uuid::Uuid::nil()), &[]),
        404,
    );
    // A channel on air is stopped before it is deleted, and what it plays is not deleted under it.
    let conflict = refused(
        &daemon.ask("DELETE", &format!("/channels/{channel}"), &[], b""),
        409,
    );
    assert_eq!(conflict["state"], "LIVE");
    refused(
        &daemon.ask("DELETE", &format!("/media/{media}"), &[], b""),
        409,
    );
}

#[test]
fn events_tell_what_happens_and_can_be_resumed() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 150));
    let channel = daemon.channel(&[&media]);
    let mut events = daemon.events(&format!("?channel={channel}"));
    daemon.on_air(&channel);
    let mut seen = Vec::new();
    let mut first = None;
    let mut wanted = vec![
        "channel.status",
        "channel.onair",
        "channel.segment",
        "channel.heartbeat",
    ];
    while !wanted.is_empty() {
        let event = events.next().expect("events go on");
        wanted.retain(|kind| *kind != event.kind);
        first = first.or(event.id.clone());
        seen.push((event.id, event.kind));
    }
    let bearer = format!("Bearer {}", daemon.token());
    let path = format!("/api/v1/events?channel={channel}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Last-Event-ID", first.as_deref().expect("an id")),
    ];
    let mut resumed = http::EventStream::open(daemon.address(), &path, &headers);
    for (id, kind) in &seen[1..] {
        let event = resumed.next().expect("what was missed");
        assert_eq!((&event.id, &event.kind), (id, kind));
    }
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Last-Event-ID", "another-1"),
    ];
    let mut reset = http::EventStream::open(daemon.address(), &path, &headers);
    assert_eq!(reset.next().expect("an event").kind, "reset");
    // The public page's stream shows this channel only, and no key or token.
    let mut public =
        http::EventStream::open(daemon.address(), &format!("/watch/{channel}/events"), &[]);
    assert!(
        public
            .next()
            .expect("an event")
            .kind
            .starts_with("channel.")
    );
}

#[test]
fn heartbeats_and_processes_have_figures() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 375));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    let mut events = daemon.events(&format!("?channel={channel}"));
    daemon.on_air(&channel);
    let beat = std::iter::from_fn(|| events.next())
        .find(|event| event.kind == "channel.heartbeat")
        .expect("a beat");
    for field in [
        "uptime",
        "lastSegment",
        "segments",
        "bitrate",
        "restarts",
        "processes",
    ] {
        assert!(!beat.data[field].is_null(), "{field} of {}", beat.data);
    }
    assert!(
        beat.data["processes"][0]["memory"].as_u64() > Some(1_000_000),
        "{}",
        beat.data
    );
    until("there is a process", BOUND, || {
        !daemon.sources(&channel).is_empty()
    });
    let health = daemon.get(&format!("/channels/{channel}/health"));
    assert_eq!(health["status"], "LIVE");
    assert!(health["currentBitrate"].as_u64() > Some(10_000), "{health}");
    assert!(health["lastSegmentTime"].is_string());
    let plan = daemon.get(&format!("/channels/{channel}/plan"));
    let entries = plan["items"].as_array().expect("entries");
    assert_eq!(entries[0]["mediaId"], json!(media));
    let outputs = daemon.get(&format!("/channels/{channel}/outputs/metrics"));
    assert_eq!(outputs["hls"]["lateSegments"], 0);
}
