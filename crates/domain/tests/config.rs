//! P1: what is valid is accepted and reads back; of what is not, everything wrong is listed; keys stay secret.

use playout_domain::config::{MAX_DESTINATIONS, MAX_NAME_LENGTH, merge_patch};
use playout_domain::destination::StreamKeySetting;
use playout_domain::{
    BitsPerSecond, ChannelConfig, DestinationId, FrameRate, Policy, Resolution, Violations,
};
use serde_json::{Value, json};
use uuid::Uuid;

const POLICY: Policy = Policy::PUBLIC;

fn parse(value: Value) -> Result<ChannelConfig, Violations> {
    ChannelConfig::parse(&value, &POLICY)
}

fn pointers(refused: Result<ChannelConfig, Violations>) -> Vec<String> {
    refused
        .expect_err("violations")
        .0
        .into_iter()
        .map(|violation| violation.pointer)
        .collect()
}

fn id(n: u128) -> DestinationId {
    DestinationId::from(Uuid::from_u128(n))
}

/// A channel with two stored destinations: one with a key, one without.
fn stored() -> ChannelConfig {
    let mut config = parse(json!({
        "name": "One",
        "rtmpDestinations": [
            { "serverUrl": "rtmp://live.example.com/app", "streamKey": "sesame", "platform": "twitch" },
            { "serverUrl": "rtmps://other.example.com:444/x/y", "enabled": false },
        ],
    }))
    .expect("a valid configuration");
    for (n, destination) in (1..).zip(&mut config.rtmp_destinations) {
        destination.id = Some(id(n));
    }
    config.rtmp_destinations[0].stream_key = StreamKeySetting::Kept;
    config
}

/// RFC 7396, Appendix A, every vector.
#[test]
fn merge_patch_keeps_the_rfcs_vectors() {
    for (target, patch, result) in [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (
            json!({"a":"b","b":"c"}),
            json!({"a":null}),
            json!({"b":"c"}),
        ),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (
            json!({"a":{"b":"c"}}),
            json!({"a":{"b":"d","c":null}}),
            json!({"a":{"b":"d"}}),
        ),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a":"b"}), json!(["c"]), json!(["c"])),
        (json!({"a":"foo"}), json!(null), json!(null)),
        (json!({"a":"foo"}), json!("bar"), json!("bar")),
        (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
        (
            json!({}),
            json!({"a":{"bb":{"ccc":null}}}),
            json!({"a":{"bb":{}}}),
        ),
    ] {
        assert_eq!(
            merge_patch(&target, &patch),
            result,
            "{target} with {patch}"
        );
    }
}

#[test]
fn a_name_alone_makes_a_channel_of_defaults() {
    let config = parse(json!({ "name": "One" })).expect("a valid configuration");
    assert_eq!(config, ChannelConfig::named("One"));
    assert_eq!(
        (config.resolution, config.frame_rate, config.bitrate.get()),
        (Resolution::P720, FrameRate::F25, 2_500_000)
    );
    assert!(config.hls_enabled && config.analytics_enabled);
}

#[test]
fn every_violation_is_listed_with_its_pointer() {
    let refused = parse(json!({
        "name": " ",
        "resolution": "4k",
        "frameRate": 26,
        "bitrate": -1,
        "ladder": [{ "resolution": "720p" }],
        "fallbackVideo": "x",
        "hlsEnabled": 1,
        "rtmpDestinations": [
            { "serverUrl": "http://a/b", "streamKey": "a b", "platform": "vimeo", "enabled": "no", "more": 1 },
            7,
            { "serverUrl": "rtmp://127.0.0.1/app", "platform": "youtube", "id": id(9) },
        ],
        "monetizationSettings": { "enabled": 0, "currency": "usd", "x": 1 },
        "analyticsEnabled": null,
        "interactionFeatures": [{ "feature": "chat" }, { "feature": "chat" }, { "feature": "dance" }],
        "interactionEnabled": "yes",
        "unknown/field": 1,
    }));
    let mut found = pointers(refused);
    found.sort();
    let mut expected = [
        "/name",
        "/resolution",
        "/frameRate",
        "/bitrate",
        "/ladder/0/bitrate",
        "/fallbackVideo",
        "/hlsEnabled",
        "/rtmpDestinations/0/serverUrl",
        "/rtmpDestinations/0/streamKey",
        "/rtmpDestinations/0/platform",
        "/rtmpDestinations/0/enabled",
        "/rtmpDestinations/0/more",
        "/rtmpDestinations/1",
        "/rtmpDestinations/2/serverUrl",
        "/rtmpDestinations/2/streamKey",
        "/rtmpDestinations/2/id",
        "/monetizationSettings/enabled",
        "/monetizationSettings/currency",
        "/monetizationSettings/x",
        "/analyticsEnabled",
        "/interactionFeatures/1/feature",
        "/interactionFeatures/2/feature",
        "/interactionEnabled",
        "/unknown~1field",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn bounds_are_inclusive_and_what_is_beyond_is_refused() {
    let name = |length: usize| parse(json!({ "name": "é".repeat(length) })).is_ok();
    assert!(name(1) && name(MAX_NAME_LENGTH) && !name(0) && !name(MAX_NAME_LENGTH + 1));
    assert!(
        parse(json!({ "name": "a\nb" })).is_err() && parse(json!({ "name": "a \"b\" ~ü" })).is_ok()
    );
    for resolution in Resolution::ALL {
        let with = |bitrate: u64| {
            parse(json!({ "name": "x", "resolution": resolution, "bitrate": bitrate })).is_ok()
        };
        let (least, most) = resolution.bitrates().into_inner();
        assert!(
            with(least.get())
                && with(most.get())
                && !with(least.get() - 1)
                && !with(most.get() + 1),
            "{resolution}"
        );
    }
    let many = |count| {
        let one = json!({ "serverUrl": "rtmp://live.example.com/app" });
        parse(json!({ "name": "x", "rtmpDestinations": vec![one; count] })).is_ok()
    };
    assert!(many(MAX_DESTINATIONS) && !many(MAX_DESTINATIONS + 1));
}

#[test]
fn what_is_no_object_is_one_violation() {
    for value in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(pointers(parse(value)), [""]);
    }
    assert_eq!(pointers(parse(json!({}))), ["/name"]);
    assert_eq!(pointers(stored().patched(&json!([]), &POLICY)), [""]);
}

#[test]
fn a_known_destination_without_a_key_keeps_its_key() {
    let before = stored();
    let same = before.patched(
        &json!({ "rtmpDestinations": before.to_json_public()["rtmpDestinations"] }),
        &POLICY,
    );
    assert_eq!(same.expect("what is read can be sent back"), before);
    let moved = json!({ "rtmpDestinations": [{ "id": id(1), "serverUrl": "rtmp://new.example.com/app", "platform": "twitch" }] });
    let moved = before.patched(&moved, &POLICY).expect("a valid change");
    assert_eq!(moved.rtmp_destinations.len(), 1);
    assert_eq!(
        moved.rtmp_destinations[0].stream_key,
        StreamKeySetting::Kept
    );
    let given = json!({ "rtmpDestinations": [{ "id": id(1), "serverUrl": "rtmp://live.example.com/app", "streamKey": "new" }] });
    let given = before.patched(&given, &POLICY).expect("a valid change");
    assert_eq!(
        given.rtmp_destinations[0]
            .stream_key
            .given()
            .map(|key| key.reveal()),
        Some("new")
    );
    let gone = json!({ "rtmpDestinations": [{ "id": id(1), "serverUrl": "rtmp://live.example.com/app", "streamKey": null }] });
    let gone = before.patched(&gone, &POLICY).expect("a valid change");
    assert_eq!(
        gone.rtmp_destinations[0].stream_key,
        StreamKeySetting::Absent
    );
    // Without an id it is another destination, and it has no key.
    let new = json!({ "rtmpDestinations": [{ "serverUrl": "rtmp://live.example.com/app", "platform": "twitch" }] });
    assert_eq!(
        pointers(before.patched(&new, &POLICY)),
        ["/rtmpDestinations/0/streamKey"]
    );
    let twice = json!({ "rtmpDestinations": [{ "id": id(2), "serverUrl": "rtmp://a.example.com/b" }, { "id": id(2), "serverUrl": "rtmp://a.example.com/b" }] });
    assert_eq!(
        pointers(before.patched(&twice, &POLICY)),
        ["/rtmpDestinations/1/id"]
    );
    let unknown =
        json!({ "rtmpDestinations": [{ "id": id(3), "serverUrl": "rtmp://a.example.com/b" }] });
    assert_eq!(
        pointers(before.patched(&unknown, &POLICY)),
        ["/rtmpDestinations/0/id"]
    );
}

#[test]
fn a_ladder_falls_rung_by_rung_and_every_violation_is_told() {
    let rung =
        |resolution: &str, bitrate: u64| json!({ "resolution": resolution, "bitrate": bitrate });
    let ladder = |rungs: &[Value]| parse(json!({ "name": "x", "ladder": rungs }));
    let four = [
        rung("720p", 2_500_000),
        rung("480p", 1_200_000),
        rung("360p", 800_000),
        rung("240p", 400_000),
    ];
    for rungs in 1..=4 {
        let config = ladder(&four[..rungs]).expect("a ladder");
        assert_eq!(config.ladder.len(), rungs);
        assert_eq!(config.to_json_public()["ladder"], json!(four[..rungs]));
        assert_eq!(
            playout_domain::Profile::of(&config, Default::default())
                .rungs()
                .count(),
            rungs
        );
        // What has nothing to do with it leaves it alone.
        let renamed = config.patched(&json!({ "name": "y" }), &POLICY);
        assert_eq!(renamed.expect("a valid change").ladder, config.ladder);
    }
    let config = ladder(&four).expect("a ladder");
    let single = config.patched(&json!({ "ladder": null }), &POLICY);
    assert_eq!(single.expect("a valid change").ladder.len(), 1);
    // The first rung is the channel's own, so they change together.
    let larger = json!({ "resolution": "1080p", "bitrate": 5_000_000 });
    assert_eq!(
        pointers(config.patched(&larger, &POLICY)),
        ["/ladder/0/resolution", "/ladder/0/bitrate"]
    );
    let mut taller = vec![rung("1080p", 5_000_000)];
    taller.extend_from_slice(&four[..3]);
    let both = json!({ "resolution": "1080p", "bitrate": 5_000_000, "ladder": taller });
    assert!(config.patched(&both, &POLICY).is_ok());
    let refused = |rungs: &[Value]| pointers(ladder(rungs));
    assert_eq!(refused(&[]), ["/ladder"]);
    let mut five = four.to_vec();
    five.push(rung("240p", 200_000));
    assert_eq!(refused(&five), ["/ladder"]);
    for (second, wrong) in [
        (rung("720p", 1_200_000), vec!["/ladder/1/resolution"]),
        (rung("1080p", 2_000_000), vec!["/ladder/1/resolution"]),
        (rung("480p", 2_500_000), vec!["/ladder/1/bitrate"]),
        (rung("480p", 20), vec!["/ladder/1/bitrate"]),
        // More than is allowed at the size.
        (rung("240p", 2_400_000), vec!["/ladder/1/bitrate"]),
        (
            rung("1080p", 3_000_000),
            vec!["/ladder/1/resolution", "/ladder/1/bitrate"],
        ),
        (json!({ "resolution": "480p" }), vec!["/ladder/1/bitrate"]),
        (
            json!({ "resolution": "4k", "bitrate": "much", "fps": 25 }),
            vec!["/ladder/1/resolution", "/ladder/1/bitrate", "/ladder/1/fps"],
        ),
        (json!("480p"), vec!["/ladder/1"]),
    ] {
        let rungs = [four[0].clone(), second];
        assert_eq!(refused(&rungs), wrong, "{}", rungs[1]);
    }
    assert_eq!(
        refused(&[rung("480p", 1_200_000), rung("480p", 1_200_000)]),
        ["/ladder/0/resolution", "/ladder/0/bitrate"]
    );
}

#[test]
fn a_default_bitrate_follows_and_a_chosen_one_stays() {
    let patched = |config: &ChannelConfig, patch: Value| config.patched(&patch, &POLICY);
    let config = parse(json!({ "name": "x" })).expect("a valid configuration");
    let larger = patched(&config, json!({ "resolution": "1080p" })).expect("a valid change");
    assert_eq!(
        larger.bitrate,
        Resolution::P1080.default_bitrate(FrameRate::F25)
    );
    assert_eq!(larger.ladder[0].bitrate, larger.bitrate);
    let faster = patched(&config, json!({ "frameRate": 50 })).expect("a valid change");
    assert_eq!(faster.bitrate, BitsPerSecond(3_750_000));
    let chosen = patched(&config, json!({ "bitrate": 4_000_000 })).expect("a valid change");
    assert_eq!(
        patched(&chosen, json!({ "resolution": "1080p" }))
            .expect("a valid change")
            .bitrate
            .get(),
        4_000_000
    );
    assert_eq!(
        patched(&chosen, json!({ "bitrate": null }))
            .expect("a valid change")
            .bitrate
            .get(),
        2_500_000
    );
    assert_eq!(
        pointers(patched(&chosen, json!({ "resolution": "240p" }))),
        ["/bitrate"]
    );
    assert_eq!(
        pointers(patched(&chosen, json!({ "name": null }))),
        ["/name"]
    );
    assert_eq!(patched(&chosen, json!({})).expect("no change"), chosen);
}

#[test]
fn a_key_is_in_nothing_that_is_answered_stored_or_said() {
    let config = parse(json!({
        "name": "x",
        "rtmpDestinations": [{ "serverUrl": "rtmp://live.example.com/app", "streamKey": "open-sesame" }],
    }))
    .expect("a valid configuration");
    for text in [
        format!("{config:?}"),
        config.to_json_public().to_string(),
        config.to_json_stored().to_string(),
    ] {
        assert!(!text.contains("sesame"), "{text}");
    }
    assert_eq!(
        config.to_json_public()["rtmpDestinations"][0]["streamKeySet"],
        json!(true)
    );
    // Nor is a key that is refused, nor one that stands where it does not belong.
    for wrong in [
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKey": "open sesame" }),
        json!({ "serverUrl": "rtmp://u:open-sesame@live.example.com/app" }),
        json!({ "serverUrl": "http://live.example.com/open-sesame" }),
        json!({ "serverUrl": "rtmp://10.0.0.1/app/open-sesame" }),
        json!({ "serverUrl": ["rtmp://live.example.com/open-sesame"] }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKey": ["open-sesame"] }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKey": 7_325_637 }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKey": -7_325_637.5 }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKeySet": 7_325_637 }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKeySet": { "open": "sesame" } }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "streamKeySet": "open-sesame" }),
        json!({ "serverUrl": "rtmp://live.example.com/app", "enabled": "open-sesame" }),
        json!("rtmp://live.example.com/app/open-sesame"),
    ] {
        let refused =
            parse(json!({ "name": "x", "rtmpDestinations": [wrong] })).expect_err("a violation");
        let said = format!("{refused} {refused:?} {}", json!(refused));
        for key in ["sesame", "7325637"] {
            assert!(!said.contains(key), "{said}");
        }
    }
}

#[test]
fn a_name_can_be_seen_and_read_in_its_order() {
    for name in [
        "\u{200b}",
        " \u{200d}\u{feff}",
        "\u{3164}",
        "a\u{202e}b",
        "\u{2066}a",
    ] {
        assert_eq!(
            pointers(parse(json!({ "name": name }))),
            ["/name"],
            "{name:?}"
        );
        // What is stored already keeps no channel from being loaded.
        let stored = ChannelConfig::from_stored(&json!({ "name": name }), Vec::new());
        assert!(stored.is_ok(), "{name:?}");
    }
    for name in [
        "a\u{200d}b",
        "شبكة",
        "👨\u{200d}👩\u{200d}👧",
        "\u{200f}עברית",
    ] {
        assert!(parse(json!({ "name": name })).is_ok(), "{name:?}");
    }
}

#[test]
fn what_was_once_allowed_may_stay() {
    let open = Policy::ANYWHERE;
    let at_home =
        json!({ "name": "x", "rtmpDestinations": [{ "serverUrl": "rtmp://192.168.1.2/app" }] });
    assert_eq!(
        pointers(ChannelConfig::parse(&at_home, &POLICY)),
        ["/rtmpDestinations/0/serverUrl"]
    );
    let mut config = ChannelConfig::parse(&at_home, &open).expect("the operator allows it");
    config.rtmp_destinations[0].id = Some(id(1));
    let sent_back = json!({ "rtmpDestinations": config.to_json_public()["rtmpDestinations"] });
    assert_eq!(config.patched(&sent_back, &POLICY), Ok(config.clone()));
    let other =
        json!({ "rtmpDestinations": [{ "id": id(1), "serverUrl": "rtmp://192.168.1.3/app" }] });
    assert_eq!(
        pointers(config.patched(&other, &POLICY)),
        ["/rtmpDestinations/0/serverUrl"]
    );
}

#[test]
fn what_is_stored_reads_back_without_the_policy() {
    let config = stored();
    let back =
        ChannelConfig::from_stored(&config.to_json_stored(), config.rtmp_destinations.clone());
    assert_eq!(back, Ok(config.clone()));
    let mut damaged = config.to_json_stored();
    damaged["resolution"] = json!(7);
    assert_eq!(
        pointers(ChannelConfig::from_stored(&damaged, Vec::new())),
        ["/resolution"]
    );
}

#[test]
fn resource_settings_are_read_bounded_and_answered() {
    let policy = Policy::default();
    let config = |resources| json!({ "name": "A", "resourceSettings": resources });
    let read = |resources| ChannelConfig::parse(&config(resources), &policy);
    let given = json!({ "memory": 1_u64 << 30, "cpu": 1.25 });
    let chosen = read(given.clone()).unwrap();
    assert_eq!(chosen.resources.cpu, Some(125));
    assert_eq!(chosen.to_json_public()["resourceSettings"], given);
    let none = json!({ "memory": null, "cpu": null });
    assert_eq!(
        read(none.clone()).unwrap().to_json_public()["resourceSettings"],
        none
    );
    let less = chosen.patched(&json!({ "resourceSettings": { "memory": null } }), &policy);
    assert_eq!(less.unwrap().resources.memory, None);
    let wrong = json!({ "memory": 1_000, "cpu": "2", "other": 1 });
    let violations = read(wrong).unwrap_err();
    let pointers: Vec<&str> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/resourceSettings/memory",
            "/resourceSettings/cpu",
            "/resourceSettings/other"
        ]
    );
}

#[test]
fn recovery_settings_are_read_bounded_and_answered() {
    let policy = Policy::default();
    let config =
        json!({ "name": "A", "recoverySettings": { "maxRestarts": 3, "restartDelay": 1.25 } });
    let config = ChannelConfig::parse(&config, &policy).unwrap();
    assert_eq!(
        config.to_json_public()["recoverySettings"],
        json!({ "maxRestarts": 3, "restartDelay": 1.25, "healthCheckInterval": 5.0 })
    );
    let wrong = json!({
        "name": "A",
        "recoverySettings": { "maxRestarts": 0, "restartDelay": 31, "healthCheckInterval": "5", "other": 1 },
    });
    let violations = ChannelConfig::parse(&wrong, &policy).unwrap_err();
    let pointers: Vec<&str> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/recoverySettings/maxRestarts",
            "/recoverySettings/restartDelay",
            "/recoverySettings/healthCheckInterval",
            "/recoverySettings/other"
        ]
    );
}

#[test]
fn languages_to_read_along_in_are_read_checked_and_answered() {
    let policy = Policy::default();
    let read = |subtitles: Value| {
        ChannelConfig::parse(&json!({ "name": "A", "subtitles": subtitles }), &policy)
    };
    let given = json!([{ "language": "ENG-us" }, { "language": "fr", "name": "Français", "default": true }]);
    let answered = json!([
        { "language": "en-US", "name": "en-US", "default": false },
        { "language": "fr", "name": "Français", "default": true },
    ]);
    let chosen = read(given).unwrap();
    assert_eq!(chosen.to_json_public()["subtitles"], answered);
    let stored = ChannelConfig::from_stored(&chosen.to_json_stored(), Vec::new());
    assert_eq!(stored, Ok(chosen));
    assert_eq!(
        read(json!([])).unwrap().to_json_stored()["subtitles"],
        json!([])
    );
    // What was stored before there were any.
    let mut old = read(json!([])).unwrap().to_json_stored();
    old.as_object_mut().unwrap().remove("subtitles");
    assert!(
        ChannelConfig::from_stored(&old, Vec::new())
            .unwrap()
            .subtitles
            .is_empty()
    );
    let wrong = json!([
        { "language": "xx" }, { "name": "B" }, { "language": "en", "name": "say \"A\"" }, { "language": "de", "name": " " },
        { "language": "it", "name": "C", "default": true }, { "language": "ITA", "name": "C", "default": true, "other": 1 },
    ]);
    assert_eq!(
        pointers(read(wrong)),
        [
            "/subtitles/0/language",
            "/subtitles/1/language",
            "/subtitles/2/name",
            "/subtitles/3/name",
            "/subtitles/5/language",
            "/subtitles/5/name",
            "/subtitles/5/default",
            "/subtitles/5/other",
        ]
    );
    let many: Vec<Value> = (0..17)
        .map(|n| json!({ "language": format!("en-x-a{n}") }))
        .collect();
    assert_eq!(pointers(read(json!(many))), ["/subtitles"]);
}
