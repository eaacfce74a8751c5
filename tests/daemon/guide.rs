//! What viewers and their players are told: the guide as JSON and XMLTV, the playlist of channels, now and next.
//! XMLTV is read back by Python's parser and held against the DTD.

use std::io::Write;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http::Answer;

const NAME: &str = "Kan\u{e4}l \"A\", <B> & \u{1F3AC}";
/// U+FFFE has no place in XML.
const TITLE: &str = "\"Tom\" & 'Jerry', <live>\n]]> \u{1F3AC}\u{FFFE}!";
const TOLD: &str = "\"Tom\" & 'Jerry', <live>\n]]> \u{1F3AC}!";

fn get(daemon: &Daemon, path: &str) -> Answer {
    daemon.ask("GET", path, &[], b"")
}

/// What Python finds in XMLTV that is valid.
fn read(xmltv: &Answer) -> Value {
    assert_eq!(xmltv.status, 200, "{}", xmltv.text());
    assert_eq!(
        xmltv.headers["content-type"],
        "application/xml; charset=utf-8"
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/xmltv.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut stdin = python.stdin.take().expect("a pipe");
    let writing = stdin.write_all(&xmltv.body);
    drop(stdin);
    let read = python.wait_with_output().expect("python3 ends");
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}\n{}", xmltv.text());
    writing.expect("python3 reads all of it");
    serde_json::from_slice(&read.stdout).expect("JSON")
}

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time");
    text.parse().expect("a time")
}

/// The entries of a plan as a guide tells them: those that go on at once where they were are one.
fn merged(plan: &Value) -> Vec<(Value, Value, Value)> {
    let mut all: Vec<(Value, Value, Value)> = Vec::new();
    let mut goes_on_at = -1.0;
    for entry in plan["items"].as_array().expect("items") {
        let begins = entry["in"].as_f64().expect("seconds");
        let duration = entry["duration"].as_f64().expect("seconds");
        match all.last_mut() {
            Some((media, _, end))
                if *media == entry["mediaId"]
                    && *end == entry["start"]
                    && f64::abs(begins - goes_on_at) < 0.001 =>
            {
                *end = entry["end"].clone();
            }
            _ => {
                let [media, start, end] = ["mediaId", "start", "end"].map(|name| &entry[name]);
                all.push((media.clone(), start.clone(), end.clone()));
            }
        }
        goes_on_at = begins + duration;
    }
    all
}

#[test]
fn the_guide_and_the_playlist_tell_what_is_planned() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let [one, two] = [(0, 250), (700, 100)]
        .map(|(first, frames)| daemon.import(&numbered("guide", first, frames)));
    let channel = daemon.channel(&[&one, &two]);
    // The last two are one stretch in two pieces.
    let items = json!([
        { "mediaId": one }, { "mediaId": two },
        { "mediaId": one, "in": 2, "out": 5 }, { "mediaId": one, "in": 5 },
    ]);
    let path = |rest: &str| format!("/channels/{channel}{rest}");
    daemon.api("PUT", &path("/rotation"), &json!({ "items": items }));
    daemon.api("PATCH", &path(""), &json!({ "name": NAME }));
    let about = json!({ "title": TITLE, "description": "All of it.", "genre": "Comedy", "language": "en",
        "rating": "TV-G", "series": "Cats & mice", "season": 2, "episode": 5, "tags": ["cat"] });
    daemon.api("PATCH", &format!("/media/{one}"), &about);
    let other = daemon.channel(&[&two]);
    daemon.api(
        "PATCH",
        &format!("/channels/{other}"),
        &json!({ "name": "another" }),
    );
    daemon.prepared(&one);
    daemon.prepared(&two);
    daemon.on_air(&channel);

    // JSON is the plan, merged.
    let from = Timestamp::now() + SignedDuration::from_secs(30);
    let window = format!("?from={from}&to={}", from + SignedDuration::from_secs(300));
    let guide = daemon.get(&path(&format!("/epg.json{window}")));
    let programmes = guide["items"][0]["items"].as_array().expect("programmes");
    let far = format!(
        "?from={}&to={}",
        from - SignedDuration::from_secs(20),
        from + SignedDuration::from_secs(320)
    );
    let planned = merged(&daemon.get(&path(&format!("/plan{far}"))));
    let planned: Vec<_> = planned
        .into_iter()
        .filter(|(_, start, end)| {
            time(end) > from && time(start) < from + SignedDuration::from_secs(300)
        })
        .collect();
    let told: Vec<_> = programmes
        .iter()
        .map(|p| (p["mediaId"].clone(), p["start"].clone(), p["end"].clone()))
        .collect();
    assert!(told.len() > 20, "{guide}");
    assert_eq!(told, planned);
    assert_eq!(guide["items"][0]["name"], NAME);
    let of_one = programmes.iter().find(|p| p["mediaId"] == json!(one));
    let of_one = of_one.expect("the item is shown");
    for (name, value) in about.as_object().expect("an object") {
        assert_eq!(of_one[name], *value, "{name} of {of_one}");
    }

    // XMLTV says the same.
    let xmltv = get(&daemon, &path(&format!("/epg.xml{window}")));
    let found = read(&xmltv);
    assert_eq!(found["channels"], json!([{ "id": channel, "name": NAME }]));
    let listed = found["programmes"].as_array().expect("programmes");
    assert_eq!(listed.len(), told.len());
    for (programme, (media, start, end)) in listed.iter().zip(&told) {
        let written = |at: &Value| time(at).strftime("%Y%m%d%H%M%S +0000").to_string();
        let expected = match *media == json!(one) {
            true => json!({ "channel": channel, "start": written(start), "stop": written(end),
                "title": "Cats & mice", "sub-title": TOLD, "desc": "All of it.", "category": "Comedy", "language": "en",
                "rating": "TV-G", "xmltv_ns": "1.4.", "onscreen": "S02E05", "keywords": ["cat"] }),
            false => {
                let title = daemon.get(&format!("/media/{two}"))["title"].clone();
                json!({ "channel": channel, "start": written(start), "stop": written(end),
                    "title": title, "keywords": [] })
            }
        };
        assert_eq!(*programme, expected);
    }

    // All channels, by their names; who has this guide already is not sent it again.
    let all = get(&daemon, &format!("/epg.xml{window}"));
    let found = read(&all);
    assert_eq!(
        found["channels"],
        json!([{ "id": other, "name": "another" }, { "id": channel, "name": NAME }])
    );
    let all_in_json = daemon.get(&format!("/epg.json{window}"));
    assert_eq!(all_in_json["items"][1], guide["items"][0]);
    let programmes_of_all = found["programmes"].as_array().map(Vec::len);
    let counted: usize = [0, 1]
        .iter()
        .filter_map(|n| all_in_json["items"][n]["items"].as_array())
        .map(Vec::len)
        .sum();
    assert_eq!(programmes_of_all, Some(counted));
    let tag = all.headers["etag"].as_str();
    let again = daemon.ask(
        "GET",
        &format!("/epg.xml{window}"),
        &[("If-None-Match", tag)],
        b"",
    );
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = daemon.ask("HEAD", &format!("/epg.xml{window}"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));

    // The playlist of both.
    let playlist = get(&daemon, "/channels.m3u");
    assert_eq!(playlist.headers["content-type"], "audio/x-mpegurl");
    let text = playlist.text();
    let address = |id: &str| daemon.get(&format!("/channels/{id}"))["hlsEndpoint"].clone();
    let addresses = [&other, &channel].map(|id| address(id));
    let [first, second] = addresses.each_ref().map(|a| a.as_str().expect("a URL"));
    let base = second.split("/hls/").next().expect("a URL");
    assert!(base.starts_with("http://"), "{base}");
    let plain = NAME.replace('"', "'");
    let expected = [
        format!("#EXTM3U url-tvg=\"{base}/api/v1/epg.xml\""),
        format!("#EXTINF:-1 tvg-id=\"{other}\" tvg-name=\"another\" group-title=\"TV\",another"),
        first.to_owned(),
        format!("#EXTINF:-1 tvg-id=\"{channel}\" tvg-name=\"{plain}\" group-title=\"TV\",{plain}"),
        second.to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    // A channel that is not served as HLS is not among them.
    daemon.api(
        "PATCH",
        &format!("/channels/{other}"),
        &json!({ "hlsEnabled": false }),
    );
    let text = get(&daemon, "/channels.m3u").text();
    assert!(!text.contains(&other) && text.contains(&channel), "{text}");

    // Another client has neither.
    let stranger = Caller::stranger(&daemon);
    let strange = |path: &str| stranger.get(path);
    for path in [path("/epg.xml"), path("/epg.json")] {
        assert_eq!(strange(&path).status, 404, "{path}");
    }
    let nothing = json!({ "channels": [], "programmes": [] });
    assert_eq!(read(&strange("/epg.xml")), nothing);
    assert_eq!(strange("/epg.json").json()["items"], json!([]));
    assert_eq!(strange("/channels.m3u").text().lines().count(), 1);

    // What is asked for wrongly is refused.
    let to = Timestamp::now() + SignedDuration::from_hours(24 * 32);
    for (path, status) in [
        (path("/epg.xml?to=soon"), 400),
        (path("/epg.json?until=2030-01-01T00:00:00Z"), 400),
        (format!("/epg.xml?to={to}"), 400),
        ("/channels.m3u?from=now".to_owned(), 400),
        (
            "/channels/0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11/epg.xml".to_owned(),
            404,
        ),
        (path("/epg.txt"), 404),
    ] {
        assert_eq!(get(&daemon, &path).status, status, "{path}");
    }
    for path in ["/api/v1/epg.xml", "/api/v1/channels.m3u"] {
        assert_eq!(daemon.try_get(path).map(|a| a.status), Some(401), "{path}");
    }
    assert_eq!(daemon.ask("POST", "/epg.xml", &[], b"").status, 405);
}

#[test]
fn now_and_next_are_told_by_status_and_events() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let [one, two] = [(0, 250), (700, 100)]
        .map(|(first, frames)| daemon.import(&numbered("next", first, frames)));
    let channel = daemon.channel(&[&one, &two]);
    daemon.prepared(&one);
    daemon.prepared(&two);
    let status = || daemon.get(&format!("/channels/{channel}/status"));
    let off = status();
    assert!(off["now"].is_null() && off["next"].is_null(), "{off}");
    let mut events = daemon.events(&format!("?channel={channel}"));
    daemon.on_air(&channel);
    let seen = status();
    let (now, next) = (&seen["now"], &seen["next"]);
    assert_eq!(now["end"], next["start"], "{seen}");
    let at = Timestamp::now();
    assert!(
        time(&now["start"]) <= at && time(&next["end"]) > at,
        "{seen}"
    );
    let title = |media: &Value| {
        let id = media.as_str().expect("an id");
        daemon.get(&format!("/media/{id}"))["title"].clone()
    };
    for told in [now, next] {
        assert_eq!(told["title"], title(&told["mediaId"]), "{seen}");
    }
    assert_ne!(now["mediaId"], next["mediaId"]);
    let mut told = None;
    until("something goes on air", BOUND, || {
        told = events.next().filter(|event| event.kind == "channel.onair");
        told.as_ref()
            .is_some_and(|event| event.data["kind"] == "scheduled")
    });
    let told = told.expect("an event").data;
    assert_eq!(told["next"]["start"], told["until"], "{told}");
    assert_ne!(told["next"]["mediaId"], told["mediaId"]);
    assert_eq!(told["next"]["title"], title(&told["next"]["mediaId"]));
    daemon.operate(&channel, "stop");
    let off = status();
    assert!(off["now"].is_null() && off["next"].is_null(), "{off}");
}
