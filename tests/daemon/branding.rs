//! A channel's logo, and a lower third that always stands: what is taken, and what of it is seen in the published pictures,
//! also when it changes on air.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, until};
use super::overlay::{FIRST, phase, places};
use super::viewer::{Viewer, filtered};

/// A picture of one colour, `size` pixels each way.
pub(super) fn png(dir: &Path, colour: &str, size: u32) -> Vec<u8> {
    let path = dir.join(format!("{colour}.png"));
    let source = format!("color={colour}:s={size}x{size},format=rgba");
    let made = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            &source,
        ])
        .args(["-frames:v", "1"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::read(path).unwrap()
}

/// Of each frame of 240p, whether a place in it is of one colour: red, green, that of the slate, or none of them.
fn colours(stream: &[u8], (x, y): (u32, u32)) -> String {
    let filter = format!(
        "crop=16:16:{x}:{y}:exact=1,scale=1:1:flags=area:in_color_matrix=bt709:in_range=tv,format=rgb24"
    );
    let named = |pixel: &[u8]| match pixel {
        [200..=255, 0..60, 0..60] => 'r',
        [0..60, 200..=255, 0..60] => 'g',
        [16..40, 26..50, 37..61] => 's',
        _ => '-',
    };
    filtered(stream, &filter)
        .chunks_exact(3)
        .map(named)
        .collect()
}

/// Within a logo that is 12 % wide and 4 % from the edges.
const TOP_RIGHT: (u32, u32) = (376, 28);
const BOTTOM_LEFT: (u32, u32) = (34, 196);

#[test]
fn a_logo_and_a_standing_text_are_seen_on_air_and_change_there_without_a_seam() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[playout]\nsource = \"direct\"\n");
    // Black and white all over.
    let media = daemon.import(&numbered("logo", FIRST, 250));
    let channel = daemon.channel(&[&media]);
    let at = format!("/channels/{channel}/logo");
    let put = |bytes: &[u8]| daemon.ask("PUT", &at, &[("Content-Type", "image/png")], bytes);
    assert_eq!(daemon.ask("GET", &at, &[], b"").status, 404);

    let red = png(data.path(), "red", 90);
    let answer = put(&red);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let logo = answer.json()["config"]["logo"].clone();
    assert_eq!(
        (
            &logo["position"],
            &logo["margin"],
            &logo["width"],
            &logo["opacity"]
        ),
        (&json!("top-right"), &json!(4.0), &json!(12.0), &json!(1.0))
    );
    let got = daemon.ask("GET", &at, &[], b"");
    assert_eq!(
        (got.body == red, got.headers["content-type"].as_str()),
        (true, "image/png")
    );

    // It is seen where the item is copied.
    let prepared = |profile: &str| {
        until("the item is prepared with its logo", 3 * BOUND, || {
            let item = daemon.get(&format!("/media/{media}"));
            let renditions = item["renditions"].as_array().unwrap().iter();
            let mut with = renditions.filter(|r| r["profile"].as_str().unwrap().contains(profile));
            with.any(|r| r["status"] == "ready")
        });
    };
    prepared(".tr.");
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(8.0);

    // Its place is changed on air, then its picture, then it goes.
    let change = json!({ "logo": { "position": "bottom-left" } });
    daemon.api("PATCH", &format!("/channels/{channel}"), &change);
    viewer.follow("the logo is elsewhere", 3 * BOUND, |viewer| {
        colours(&viewer.bytes, BOTTOM_LEFT).ends_with('r')
    });
    let green = png(data.path(), "lime", 60);
    assert_eq!(
        put(&green).json()["config"]["logo"]["position"],
        "bottom-left"
    );
    viewer.follow("another logo", 3 * BOUND, |viewer| {
        colours(&viewer.bytes, BOTTOM_LEFT).ends_with('g')
    });
    assert_eq!(daemon.ask("DELETE", &at, &[], b"").status, 204);
    viewer.follow("no logo", 3 * BOUND, |viewer| {
        colours(&viewer.bytes, BOTTOM_LEFT).ends_with('-')
    });
    assert_eq!(daemon.ask("DELETE", &at, &[], b"").status, 404);

    // A text that always stands is drawn while preparing, too: then nothing is encoded on air. What is copied directly
    // has no process.
    let at = format!("/channels/{channel}/overlay");
    let third = json!({ "lowerThird": { "title": "It's %{pts}", "subtitle": "[a];'b'" } });
    daemon.api("PUT", &at, &third);
    viewer.follow("the text is seen", 3 * BOUND, |viewer| {
        places(&viewer.bytes).ends_with('d')
    });
    prepared("text.");
    viewer.follow("nothing is encoded", BOUND, |_| {
        daemon.sources(&channel).is_empty()
    });
    let seen = viewer.seconds;
    viewer.follow("a whole turn of the item", BOUND, |viewer| {
        assert_eq!(daemon.sources(&channel), [0; 0], "nothing is encoded");
        viewer.seconds > seen + 10.0
    });
    let since = places(&viewer.bytes);
    assert!(
        since[since.len() - 250..].chars().all(|place| place == 'd'),
        "{since}"
    );
    assert_eq!(phase(&daemon, &channel), "drawn");
    assert_eq!(daemon.ask("DELETE", &at, &[], b"").status, 204);
    viewer.follow("no text", 3 * BOUND, |viewer| {
        places(&viewer.bytes).ends_with('-')
    });
    assert_eq!(phase(&daemon, &channel), serde_json::Value::Null);
    daemon.operate(&channel, "stop");

    viewer.judge();
    assert_eq!(viewer.discontinuities, 0, "no seam is seen");
    let (first, second) = (
        colours(&viewer.bytes, TOP_RIGHT),
        colours(&viewer.bytes, BOTTOM_LEFT),
    );
    // Each is there on every frame from where it comes to where it goes. (On a busy machine a transcode may come too
    // late, and the slate, which has no logo, stands in.)
    let once = |seen: &str| {
        let mut seen: Vec<char> = seen.chars().filter(|place| *place != 's').collect();
        seen.dedup();
        seen.into_iter().collect::<String>()
    };
    // (Its place is behind the logo that was at the bottom, which is not as wide.)
    let text: String = places(&viewer.bytes).replace('?', "s");
    assert_eq!(once(&text), "-d-", "{text}");
    assert_eq!(once(&first), "r-", "{first}");
    assert_eq!(once(&second), "-rg-", "{second}");
}

#[test]
fn what_is_no_logo_is_refused_with_its_reason() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let channel = daemon.post("/channels", &json!({ "name": "Plain" }));
    let channel = channel["id"].as_str().unwrap();
    let at = format!("/channels/{channel}/logo");
    let put = |kind: &str, bytes: &[u8]| {
        let answer = daemon.ask("PUT", &at, &[("Content-Type", kind)], bytes);
        (answer.status, answer.text())
    };
    let red = png(data.path(), "red", 32);
    let refused = |bytes: &[u8], why: &str| {
        let (status, text) = put("image/png", bytes);
        assert!(status == 422 && text.contains(why), "{status} {text}");
    };
    assert_eq!(put("image/jpeg", &red).0, 415);
    refused(b"", "The file is no PNG.");
    refused(b"\xff\xd8\xff\xe0 a photograph", "The file is no PNG.");
    refused(&red[..red.len() - 5], "The PNG is cut short.");
    let mut flipped = red.clone();
    let begins = red.windows(4).position(|part| part == b"IDAT").unwrap();
    flipped[begins + 6] ^= 1;
    refused(&flipped, "checksum");
    refused(&png(data.path(), "blue", 4100), "4100×4100 pixels");
    assert_eq!(put("image/png", &vec![0; 3 << 20]).0, 413);

    // A place without a picture, and a picture that nobody has sent.
    let patch = |change: &serde_json::Value| {
        let headers = [("Content-Type", "application/json")];
        let body = change.to_string();
        let path = format!("/channels/{channel}");
        let answer = daemon.ask("PATCH", &path, &headers, body.as_bytes());
        (answer.status, answer.text())
    };
    let (status, text) = patch(&json!({ "logo": { "position": "top-left" } }));
    assert!(status == 422 && text.contains("/logo/sha256"), "{text}");
    let unknown = json!({ "logo": { "sha256": "ab".repeat(32) } });
    let (status, text) = patch(&unknown);
    assert!(
        status == 422 && text.contains("there is no such picture"),
        "{text}"
    );
    assert_eq!(put("image/png", &red).0, 200);
    let (status, text) = patch(&json!({ "logo": { "margin": 30, "width": 0, "opacity": 2 } }));
    let all = ["/logo/margin", "/logo/width", "/logo/opacity"];
    assert!(
        status == 422 && all.iter().all(|at| text.contains(at)),
        "{text}"
    );
    assert_eq!(
        daemon.get(&format!("/channels/{channel}"))["config"]["logo"]["width"],
        12.0
    );
}
