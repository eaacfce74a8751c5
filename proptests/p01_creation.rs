//! P1 (1.1–1.3, 1.5, 1.6), its pure half: any valid configuration is accepted and reads back with every
//! setting intact; of any invalid one, every violation is listed with its pointer; every channel has a
//! URL of its own; a stream key is in nothing that is read or stored.

use playout_domain::channel::hls_path;
use playout_domain::destination::StreamKeySetting;
use playout_domain::{Channel, ChannelConfig, ChannelId, ClientId, DestinationId, Policy};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const POLICY: Policy = Policy::PUBLIC;

/// A lower third, a clock or both, with every field; any text that has no control characters.
fn overlay() -> impl Strategy<Value = Value> {
    let line = || "[ -~¡-ſЀ-џ😀]{0,40}[!-~]";
    let third = (line(), prop::option::of(line())).prop_map(|(title, subtitle)| {
        json!({ "title": title.trim(), "subtitle": subtitle.map(|line| line.trim().to_owned()) })
    });
    let zone = prop::sample::select(vec!["UTC", "Europe/Vienna", "Pacific/Chatham"]);
    let corner = prop::sample::select(vec!["top-left", "top-right", "bottom-left", "bottom-right"]);
    let clock = (zone, corner, any::<bool>(), any::<bool>()).prop_map(
        |(zone, corner, seconds, twelve)| {
            json!({ "timeZone": zone, "position": corner, "seconds": seconds, "twelveHours": twelve })
        },
    );
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let from = prop::option::of(0_i64..2_000_000_000);
    let until = prop::option::of(2_000_000_001_i64..4_000_000_000);
    (third, clock, 0..3, from, until).prop_map(move |(third, clock, which, from, until)| {
        json!({
            "lowerThird": if which == 0 { Value::Null } else { third },
            "clock": if which == 1 { Value::Null } else { clock },
            "from": from.map(at),
            "until": until.map(at),
        })
    })
}

/// What is done to sound and pictures: loudness, languages, fit, logo.
#[allow(clippy::type_complexity)] // a tuple of what may be written
fn treatment() -> impl Strategy<
    Value = (
        Option<Value>,
        Option<Vec<&'static str>>,
        Option<&'static str>,
        Option<Value>,
        Option<Value>,
    ),
> {
    let tenths = |level: i32| f64::from(level) / 10.0;
    let target = (-360..=-90, -90..=0).prop_map(
        move |(target, peak)| json!({ "target": tenths(target), "truePeak": tenths(peak) }),
    );
    let loudness = prop_oneof![Just(json!("off")), target];
    let languages = prop::sample::subsequence(vec!["en", "de", "fr", "es", "mul"], 0..=4);
    let fit = prop::sample::select(vec!["letterbox", "crop"]);
    let corner = prop::sample::select(vec!["top-left", "top-right", "bottom-left", "bottom-right"]);
    let logo = (any::<[u8; 32]>(), corner, 0..=250, 10..=500, 5..=100).prop_map(
        move |(digest, corner, margin, width, opacity)| {
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let opacity = f64::from(opacity) / 100.0;
            json!({
                "sha256": digest, "position": corner, "margin": tenths(margin), "width": tenths(width), "opacity": opacity
            })
        },
    );
    (
        prop::option::of(loudness),
        prop::option::of(languages.prop_shuffle()),
        prop::option::of(fit),
        prop::option::of(logo),
        prop::option::of(overlay()),
    )
}

/// What a name may be made of.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 äöü€漢'\"/~<>&-]{0,60}[a-z漢]".prop_map(|name| name)
}

/// Name, lowest, default and highest bitrate of each resolution, up to 30 frames a second.
const RESOLUTIONS: [(&str, u64, u64, u64); 7] = [
    ("240p", 100_000, 400_000, 1_600_000),
    ("360p", 200_000, 800_000, 3_200_000),
    ("480p", 300_000, 1_200_000, 4_800_000),
    ("720p", 625_000, 2_500_000, 10_000_000),
    ("1080p", 1_250_000, 5_000_000, 20_000_000),
    ("1440p", 2_250_000, 9_000_000, 36_000_000),
    ("2160p", 4_000_000, 16_000_000, 64_000_000),
];
const RATES: [f64; 8] = [23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0];

/// A destination as it is written, and as it reads.
fn destination() -> impl Strategy<Value = (Value, Value)> {
    let url = prop::option::weighted(
        0.8,
        select(vec![
            "rtmp://a.rtmp.youtube.com/live2",
            "rtmps://live.example.com:443/rtmp/",
            "rtmp://8.8.4.4:1936/app/instance",
            "rtmp://[2606:4700::1]/x?y=z",
        ]),
    );
    let key = prop::option::of("[!-~]{1,40}");
    let platform = prop::option::of(select(vec!["youtube", "facebook", "twitch", "custom"]));
    let playback = prop::option::of(prop::option::of(select(vec![
        "https://tv.example.com/live/master.m3u8?token=x",
        "http://8.8.4.4:8080/x.m3u8",
        "rtmps://play.example.com/live/stream",
    ])));
    // Within any channel's bounds.
    let encode = select(vec![
        None,
        Some(json!("copy")),
        Some(json!({ "videoBitrate": 100_000, "resolution": "240p" })),
        Some(
            json!({ "videoBitrate": 100_000, "resolution": "240p", "fps": 23.976, "audioBitrate": 64_000 }),
        ),
    ]);
    let flags = (
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
    );
    (url, key, platform, playback, encode, flags).prop_map(
        |(url, key, platform, playback, encode, (enabled, lower))| {
            let known = platform.unwrap_or("custom");
            // A platform other than `custom` takes no stream without a key, and `custom` none without a server.
            let key = key.or_else(|| (known != "custom").then(|| "k-e-y".to_owned()));
            let url = url.or((known == "custom").then_some("rtmp://live.example.com/app"));
            let mut written = Map::new();
            let mut set = |name: &str, value: Option<Value>| {
                written.extend(value.map(|value| (name.to_owned(), value)));
            };
            set("serverUrl", url.map(Value::from));
            set("streamKey", key.clone().map(Value::from));
            set("platform", platform.map(Value::from));
            set("enabled", enabled.map(Value::from));
            set(
                "playbackUrl",
                playback.map(|url| url.map_or(Value::Null, Value::from)),
            );
            set("encode", encode.clone());
            set("allowLowerQuality", lower.map(Value::from));
            let read = json!({
                "id": null,
                "serverUrl": url.unwrap_or(match known {
                    "youtube" => "rtmps://a.rtmps.youtube.com:443/live2",
                    "facebook" => "rtmps://live-api-s.facebook.com:443/rtmp/",
                    _ => "rtmps://ingest.global-contribute.live-video.net:443/app",
                }),
                "streamKeySet": key.is_some(),
                "platform": known,
                "enabled": enabled.unwrap_or(true),
                "playbackUrl": playback.flatten(),
                "encode": encode.unwrap_or("copy".into()),
                "allowLowerQuality": lower.unwrap_or(false),
            });
            (written.into(), read)
        },
    )
}

/// A whole number where there is one, as rates are written.
fn number(rate: f64) -> Value {
    if rate.fract() == 0.0 {
        json!(rate as u64)
    } else {
        json!(rate)
    }
}

/// A valid configuration as it is written, and as it must read: each setting given or left out.
fn valid() -> impl Strategy<Value = (Value, Value)> {
    let picture = (
        prop::option::of(0..RESOLUTIONS.len()),
        prop::option::of(0..RATES.len()),
        prop::option::of(any::<Index>()),
        // Rungs below the highest.
        prop::option::of(0..4_usize),
    );
    let flags = prop::collection::vec(prop::option::of(any::<bool>()), 6);
    let money = prop::option::of((
        prop::option::of(any::<bool>()),
        prop::option::of("[A-Z]{3}"),
    ));
    let features = prop::option::of(
        prop::sample::subsequence(vec!["chat", "polls", "social", "gamification"], 0..=4)
            .prop_shuffle(),
    );
    let on = prop::collection::vec(prop::option::of(any::<bool>()), 4);
    let fallback = prop::option::of(prop::option::of(any::<u128>()));
    let destinations = prop::option::of(prop::collection::vec(destination(), 0..4));
    // Eighths of a second are exact in binary and in milliseconds.
    let recovery = prop::option::of((1..=100_u32, 1..=240_u32, 1..=60_u32));
    // Quarters of a core are exact in binary and in percent.
    let resources = prop::option::of((
        prop::option::of(1_u64 << 26..=1 << 40),
        prop::option::of(1..=4_000_u32),
    ));
    let tags =
        prop::sample::subsequence(vec!["en", "pt-BR", "zh-Hant", "gsw"], 0..=4).prop_shuffle();
    let subtitles = prop::option::of((
        tags,
        any::<bool>(),
        prop::option::of(any::<prop::sample::Index>()),
    ));
    let labels = prop::option::of(prop::collection::btree_map(
        "[a-zA-Z0-9][a-z0-9._/-]{0,20}",
        "([a-zA-Z0-9][a-z0-9._/-]{0,20})?",
        0..4,
    ));
    (name(), picture, flags, money, (features, on), fallback, (destinations, recovery, resources, treatment(), (subtitles, labels))).prop_map(
        |(name, (resolution, rate, bitrate, ladder), flags, money, (features, on), fallback, (destinations, recovery, resources, treatment, (subtitles, labels)))| {
            let mut written = Map::new();
            let mut read = Map::new();
            let mut set = |key: &str, given: Option<Value>, default: Value| {
                read.insert(key.to_owned(), given.clone().unwrap_or(default));
                written.extend(given.map(|value| (key.to_owned(), value)));
            };
            set("name", Some(name.into()), Value::Null);
            let (label, least, default, most) = RESOLUTIONS[resolution.unwrap_or(3)];
            set("resolution", resolution.map(|_| label.into()), "720p".into());
            let fps = RATES[rate.unwrap_or(2)];
            set("frameRate", rate.map(|_| number(fps)), 25.into());
            let default = if fps > 30.0 { default * 3 / 2 } else { default };
            let chosen = bitrate.map(|n| least + n.index((most - least + 1) as usize) as u64);
            set("bitrate", chosen.map(Value::from), default.into());
            let own = json!([{ "resolution": label, "bitrate": chosen.unwrap_or(default) }]);
            let smaller = RESOLUTIONS[..resolution.unwrap_or(3)].iter().rev();
            let rungs = ladder.map(|lower| {
                let mut rungs = own.clone();
                let lower = smaller.take(lower).map(|(label, least, ..)| json!({ "resolution": label, "bitrate": least }));
                rungs.as_array_mut().expect("a list").extend(lower);
                rungs
            });
            set("ladder", rungs, own);
            let fallback = fallback.map(|id| id.map_or(Value::Null, |id| Uuid::from_u128(id).to_string().into()));
            set("fallbackVideo", fallback, Value::Null);
            for (n, (key, default)) in [
                ("hlsEnabled", true),
                ("analyticsEnabled", true),
                ("monetizationEnabled", false),
                ("aiOptimizationEnabled", false),
                ("multiPlatformEnabled", false),
                ("interactionEnabled", false),
            ]
            .into_iter()
            .enumerate()
            {
                set(key, flags[n].map(Value::from), default.into());
            }
            let settings = |restarts: u32, delay: f64, interval: u32| {
                json!({ "maxRestarts": restarts, "restartDelay": delay, "healthCheckInterval": f64::from(interval) })
            };
            let chosen = recovery.map(|(restarts, delay, interval)| settings(restarts, f64::from(delay) / 8.0, interval));
            set("recoverySettings", chosen, settings(10, 0.5, 5));
            let chosen = resources.map(|(memory, quarters)| json!({ "memory": memory, "cpu": quarters.map(|n| f64::from(n) / 4.0) }));
            set("resourceSettings", chosen, json!({ "memory": null, "cpu": null }));
            let (loudness, languages, fit, logo, overlay) = treatment;
            set("loudness", loudness, json!({ "target": -23.0, "truePeak": -1.0 }));
            set("audioLanguages", languages.map(Value::from), json!([]));
            set("fit", fit.map(Value::from), "letterbox".into());
            set("logo", logo, Value::Null);
            set("overlay", overlay, Value::Null);
            let chosen = subtitles.map(|(tags, named, default)| {
                let default = default.filter(|_| !tags.is_empty()).map(|n| n.index(tags.len()));
                let name = |tag: &str| if named { format!("Called {tag}") } else { tag.to_owned() };
                let tags = tags.iter().enumerate();
                tags.map(|(n, tag)| json!({ "language": tag, "name": name(tag), "default": default == Some(n) })).collect()
            });
            set("subtitles", chosen, json!([]));
            set("labels", labels.map(|labels| json!(labels)), json!({}));
            let (enabled, currency) = money.clone().unwrap_or_default();
            let reads = json!({ "enabled": enabled.unwrap_or(false), "currency": currency.clone().unwrap_or("USD".into()) });
            read.insert("monetizationSettings".into(), reads);
            if money.is_some() {
                let mut given = Map::new();
                given.extend(enabled.map(|on| ("enabled".into(), on.into())));
                given.extend(currency.map(|code| ("currency".into(), code.into())));
                written.insert("monetizationSettings".into(), given.into());
            }
            let listed = features.clone().unwrap_or_default();
            let reads = listed.iter().zip(&on).map(|(name, on)| json!({ "feature": name, "enabled": on.unwrap_or(true) }));
            read.insert("interactionFeatures".into(), reads.collect());
            if features.is_some() {
                let given = listed.iter().zip(&on).map(|(name, on)| match on {
                    Some(on) => json!({ "feature": name, "enabled": on }),
                    None => json!({ "feature": name }),
                });
                written.insert("interactionFeatures".into(), given.collect());
            }
            let pairs = destinations.clone().unwrap_or_default();
            read.insert("rtmpDestinations".into(), pairs.iter().map(|(_, read)| read.clone()).collect());
            if destinations.is_some() {
                written.insert("rtmpDestinations".into(), pairs.into_iter().map(|(written, _)| written).collect());
            }
            (written.into(), read.into())
        },
    )
}

/// One way of being wrong: what is put where, and where the violation must be told.
type Wrong = (&'static str, &'static str, fn() -> Value);

const WRONGS: [Wrong; 33] = [
    ("/name", "/name", || json!("")),
    ("/name", "/name", || json!("x".repeat(101))),
    ("/name", "/name", || json!("bell\u{7}")),
    ("/name", "/name", || json!(["a"])),
    ("/resolution", "/resolution", || json!("4k")),
    ("/resolution", "/resolution", || json!(720)),
    ("/frameRate", "/frameRate", || json!(26)),
    ("/frameRate", "/frameRate", || json!("25")),
    ("/fallbackVideo", "/fallbackVideo", || json!("movie.mp4")),
    ("/fallbackVideo", "/fallbackVideo", || json!(1)),
    ("/loudness", "/loudness", || json!("loud")),
    ("/loudness", "/loudness/target", || json!({ "target": -8 })),
    ("/audioLanguages", "/audioLanguages/0", || json!(["de-AT"])),
    ("/fit", "/fit", || json!("stretch")),
    ("/logo", "/logo/sha256", || json!({})),
    ("/hlsEnabled", "/hlsEnabled", || json!("true")),
    ("/analyticsEnabled", "/analyticsEnabled", || json!(null)),
    ("/monetizationEnabled", "/monetizationEnabled", || json!(0)),
    ("/aiOptimizationEnabled", "/aiOptimizationEnabled", || {
        json!([])
    }),
    ("/multiPlatformEnabled", "/multiPlatformEnabled", || {
        json!({})
    }),
    ("/interactionEnabled", "/interactionEnabled", || json!("no")),
    ("/monetizationSettings", "/monetizationSettings", || {
        json!(true)
    }),
    (
        "/monetizationSettings",
        "/monetizationSettings/currency",
        || json!({ "currency": "Dollar" }),
    ),
    (
        "/interactionFeatures",
        "/interactionFeatures/0/feature",
        || json!([{ "feature": "dance" }]),
    ),
    (
        "/interactionFeatures",
        "/interactionFeatures/1",
        || json!([{ "feature": "chat" }, "polls"]),
    ),
    ("/rtmpDestinations", "/rtmpDestinations", || json!({})),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/serverUrl",
        || json!([{ "serverUrl": "https://x.example.com/a" }]),
    ),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/streamKey",
        || json!([{ "serverUrl": "rtmp://x.example.com/a", "platform": "twitch" }]),
    ),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/serverUrl",
        || json!([{ "platform": "custom" }]),
    ),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/playbackUrl",
        || json!([{ "serverUrl": "rtmp://x.example.com/a", "playbackUrl": "http://127.0.0.1/x.m3u8" }]),
    ),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/encode/videoBitrate",
        || json!([{ "serverUrl": "rtmp://x.example.com/a", "encode": { "videoBitrate": "much" } }]),
    ),
    (
        "/rtmpDestinations",
        "/rtmpDestinations/0/encode",
        || json!([{ "serverUrl": "rtmp://x.example.com/a", "encode": "hevc" }]),
    ),
    ("/statusPage", "/statusPage", || json!(1)),
];

fn parse(value: &Value) -> Result<ChannelConfig, playout_domain::Violations> {
    ChannelConfig::parse(value, &POLICY)
}

fn keys(written: &Value) -> Vec<String> {
    let list = written["rtmpDestinations"].as_array().into_iter().flatten();
    list.filter_map(|destination| destination["streamKey"].as_str().map(str::to_owned))
        .collect()
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn p1_any_valid_configuration_is_accepted_and_reads_back((written, read) in valid()) {
        let config = parse(&written).map_err(|refused| TestCaseError::fail(format!("{refused} in {written}")))?;
        prop_assert_eq!(config.to_json_public(), read);
        // As it is stored and loaded again, nothing has changed; the keys go another way.
        let stored = config.to_json_stored();
        let mut sealed = config.rtmp_destinations.clone();
        for (n, destination) in (1..).zip(&mut sealed) {
            destination.id = Some(DestinationId::from(Uuid::from_u128(n)));
            if destination.stream_key.is_set() {
                destination.stream_key = StreamKeySetting::Kept;
            }
        }
        let loaded = ChannelConfig::from_stored(&stored, sealed).expect("what was stored");
        prop_assert_eq!(loaded.to_json_stored(), stored.clone());
        // And what is read can be sent back, and nothing changes.
        prop_assert_eq!(loaded.patched(&loaded.to_json_public(), &POLICY), Ok(loaded.clone()));
        let all: Vec<String> = config.rtmp_destinations.iter().filter_map(|d| d.stream_key.given()).map(|key| key.reveal().to_owned()).collect();
        prop_assert_eq!(&all, &keys(&written), "every key that was given is there to be sealed");
        let said = [format!("{config:?}"), config.to_json_public().to_string(), stored.to_string()];
        for key in all.iter().filter(|key| key.len() > 12) {
            prop_assert!(said.iter().all(|text| !text.contains(key.as_str())), "{} is told", key);
        }
    }

    #[test]
    fn p1_every_violation_is_listed_and_nothing_else((mut written, _) in valid(), wrongs in prop::collection::vec(select(WRONGS.to_vec()), 1..8)) {
        let mut expected = BTreeMap::new();
        for (place, pointer, wrong) in wrongs {
            // What depends on a wrong setting is left out: it cannot be judged.
            if matches!(place, "/resolution" | "/frameRate") {
                written.as_object_mut().unwrap().retain(|key, _| key != "bitrate" && key != "ladder");
            }
            written[place.trim_start_matches('/')] = wrong();
            expected.insert(place, pointer.to_owned());
        }
        let refused = parse(&written).expect_err("a refusal");
        let told: Vec<String> = refused.0.iter().map(|violation| violation.pointer.clone()).collect();
        let once: BTreeSet<String> = told.iter().cloned().collect();
        prop_assert_eq!(once.len(), told.len(), "one place, one sentence: {}", refused);
        prop_assert_eq!(once, expected.into_values().collect::<BTreeSet<_>>(), "{}", refused);
        for violation in &refused.0 {
            prop_assert!(violation.message.len() > 12 && !violation.message.ends_with('.'), "{:?}", violation.message);
        }
    }

    #[test]
    fn p1_any_json_is_answered_without_a_panic(value in json_value()) {
        if let Ok(config) = parse(&value) {
            prop_assert!(!config.name.trim().is_empty());
        }
        let before = ChannelConfig::named("x");
        if let Ok(after) = before.patched(&value, &POLICY) {
            prop_assert!(value.is_object() && !after.name.is_empty());
        }
    }

    #[test]
    fn p1_every_channel_has_a_url_of_its_own((written, _) in valid(), a in any::<u128>(), b in any::<u128>()) {
        prop_assume!(a != b);
        let id = ChannelId::from(Uuid::from_u128(a));
        let channel = Channel {
            id,
            client_id: ClientId::from(Uuid::from_u128(1)),
            config: parse(&written).expect("a valid configuration"),
            life: Default::default(),
            version: 1,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let answered = channel.to_json(jiff::Timestamp::UNIX_EPOCH, "");
        prop_assert_eq!(&answered["hlsEndpoint"], &json!(hls_path(id)));
        prop_assert_ne!(hls_path(id), hls_path(ChannelId::from(Uuid::from_u128(b))));
        prop_assert_eq!(&answered["status"], "STOPPED");
        prop_assert_eq!(&answered["config"], &channel.config.to_json_public());
    }
}

/// Any JSON, with the names of real fields in it.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let names = select(vec![
            "name",
            "resolution",
            "bitrate",
            "ladder",
            "rtmpDestinations",
            "serverUrl",
            "streamKey",
            "id",
            "feature",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6).prop_map(|fields| Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )),
        ]
    })
}
