//! What else a destination may say: where it can be watched, how the stream is encoded for it, and what its
//! platform fills in.
#![allow(clippy::unwrap_used)]

use playout_domain::config::DestinationEdit;
use playout_domain::destination::{Encode, PlaybackUrl};
use playout_domain::{
    BitsPerSecond, ChannelConfig, DestinationId, FrameRate, LowerRungs, Platform, Policy, Profile,
    Resolution,
};
use serde_json::{Value, json};
use uuid::Uuid;

const PUBLIC: Policy = Policy::PUBLIC;

fn channel() -> ChannelConfig {
    ChannelConfig::named("One")
}

/// A channel with one destination, as it is read back.
fn with(destination: Value) -> (ChannelConfig, Value) {
    let edited = channel().edited(&DestinationEdit::Add(destination), &PUBLIC);
    let mut config = edited.unwrap().unwrap();
    config.rtmp_destinations[0].id = Some(DestinationId::from(Uuid::from_u128(1)));
    let read = config.to_json_public()["rtmpDestinations"][0].clone();
    (config, read)
}

fn patched(config: &ChannelConfig, patch: Value) -> Value {
    let edit = DestinationEdit::Change(DestinationId::from(Uuid::from_u128(1)), patch);
    let config = config.edited(&edit, &PUBLIC).unwrap().unwrap();
    config.to_json_public()["rtmpDestinations"][0].clone()
}

fn refused(destination: Value) -> Vec<(String, String)> {
    let edited = channel().edited(&DestinationEdit::Add(destination), &PUBLIC);
    let violations = edited.unwrap_err().0.into_iter();
    violations.map(|v| (v.pointer, v.message)).collect()
}

#[test]
fn a_platform_fills_in_its_server_and_custom_has_none() {
    let key = json!({ "streamKey": "k", "platform": "youtube" });
    let (config, read) = with(key);
    assert_eq!(read["serverUrl"], "rtmps://a.rtmps.youtube.com:443/live2");
    // A server that was filled in goes with another platform; one that was chosen stays.
    let moved = patched(&config, json!({ "platform": "twitch" }));
    assert!(
        moved["serverUrl"]
            .as_str()
            .unwrap()
            .contains("live-video.net"),
        "{moved}"
    );
    let (chosen, _) = with(
        json!({ "streamKey": "k", "platform": "youtube", "serverUrl": "rtmp://a.example.com/x" }),
    );
    let moved = patched(&chosen, json!({ "platform": "twitch" }));
    assert_eq!(moved["serverUrl"], "rtmp://a.example.com/x");
    let back = patched(&chosen, json!({ "serverUrl": null }));
    assert_eq!(back["serverUrl"], read["serverUrl"]);
    let missing = refused(json!({ "streamKey": "k" }));
    assert_eq!(missing[0].0, "/serverUrl");
}

#[test]
fn a_retry_goes_from_one_server_of_the_platform_to_another_and_to_no_other() {
    for platform in Platform::ALL {
        let preset = platform.preset();
        let Some(server) = preset.server() else {
            assert_eq!(platform, Platform::Custom);
            continue;
        };
        let all = preset.alternatives(&server);
        assert_eq!(all.len(), preset.servers.len());
        assert!(
            all[0] == server && all.iter().all(|one| one.is_tls()),
            "{all:?}"
        );
    }
    let (config, _) = with(
        json!({ "streamKey": "k", "platform": "youtube", "serverUrl": "rtmps://own.example.com/live2" }),
    );
    let own = &config.rtmp_destinations[0].server_url;
    let youtube = Platform::Youtube.preset();
    assert_eq!(youtube.alternatives(own), std::slice::from_ref(own));
    let names: Vec<String> = youtube
        .alternatives(&youtube.server().unwrap())
        .iter()
        .map(|url| format!("{} {}", url.host(), url.app()))
        .collect();
    assert_eq!(
        names,
        [
            "a.rtmps.youtube.com live2",
            "b.rtmps.youtube.com live2?backup=1"
        ]
    );
}

#[test]
fn what_a_platform_is_documented_not_to_take_is_told() {
    let profile = |resolution, frame_rate, bits| Profile {
        resolution,
        frame_rate,
        video_bitrate: BitsPerSecond(bits),
        audio_bitrate: BitsPerSecond(128_000),
        lower: LowerRungs::NONE,
        treatment: playout_domain::Treatment::PLAIN,
    };
    let plain = profile(Resolution::P720, FrameRate::F25, 2_500_000);
    let ntsc = profile(Resolution::P1080, FrameRate::F59_94, 6_000_000);
    let large = profile(Resolution::P1440, FrameRate::F60, 12_000_000);
    let limits = |platform: Platform, profile| {
        let warnings = platform.preset().warnings(profile);
        warnings
            .iter()
            .map(|warning| warning.limit)
            .collect::<Vec<_>>()
    };
    for platform in Platform::ALL {
        assert!(limits(platform, &plain).is_empty(), "{platform}");
        assert!(limits(platform, &ntsc).is_empty(), "{platform}");
    }
    assert_eq!(
        limits(Platform::Twitch, &large),
        ["maxVideoBitrate", "maxResolution"]
    );
    assert_eq!(
        limits(Platform::Facebook, &large),
        ["maxVideoBitrate", "maxResolution"]
    );
    assert!(
        limits(Platform::Youtube, &large).is_empty() && limits(Platform::Custom, &large).is_empty()
    );
    let told = Platform::Twitch.preset().warnings(&large);
    assert_eq!(
        told[0].message,
        "the stream has video of 12000000 bits/s; twitch takes 6000000 bits/s at most"
    );
}

#[test]
fn what_is_encoded_stays_within_the_channel() {
    // 720p, 25 frames a second, 2.5 Mb/s.
    let encode = |encode: Value| json!({ "serverUrl": "rtmp://a.example.com/x", "encode": encode });
    let (_, read) = with(encode(
        json!({ "videoBitrate": 800_000, "resolution": "360p", "fps": 25, "audioBitrate": 96_000 }),
    ));
    assert_eq!(
        read["encode"],
        json!({ "videoBitrate": 800_000, "resolution": "360p", "fps": 25, "audioBitrate": 96_000 })
    );
    let places = |wrong: Value| {
        let refused = refused(encode(wrong)).into_iter();
        refused.map(|(pointer, _)| pointer).collect::<Vec<_>>()
    };
    assert_eq!(
        places(
            json!({ "videoBitrate": 9_000_000, "resolution": "1080p", "fps": 50, "audioBitrate": 256_000, "x": 1 })
        ),
        [
            "/encode/resolution",
            "/encode/fps",
            "/encode/videoBitrate",
            "/encode/audioBitrate",
            "/encode/x"
        ]
    );
    assert_eq!(places(json!({})), ["/encode/videoBitrate"]);
    assert_eq!(
        places(json!({ "videoBitrate": 100_000 })),
        ["/encode/videoBitrate"]
    );
    assert_eq!(
        places(json!({ "videoBitrate": 1_000_000, "fps": 26 })),
        ["/encode/fps"]
    );
    for wrong in [json!("hevc"), json!(1), json!(["copy"])] {
        assert_eq!(places(wrong), ["/encode"]);
    }
    // A channel that is made smaller than what is encoded for a destination is refused with the place.
    let (config, _) = with(encode(
        json!({ "videoBitrate": 800_000, "resolution": "480p" }),
    ));
    let smaller = config.patched(&json!({ "resolution": "360p" }), &PUBLIC);
    let pointers: Vec<String> = smaller
        .unwrap_err()
        .0
        .into_iter()
        .map(|v| v.pointer)
        .collect();
    assert_eq!(pointers, ["/rtmpDestinations/0/encode/resolution"]);
}

#[test]
fn encode_is_merged_replaced_and_taken_back() {
    let (config, _) = with(json!({
        "serverUrl": "rtmp://a.example.com/x", "encode": { "videoBitrate": 800_000, "resolution": "480p" }
    }));
    let more = patched(&config, json!({ "encode": { "videoBitrate": 900_000 } }));
    assert_eq!(
        more["encode"],
        json!({ "videoBitrate": 900_000, "resolution": "480p" })
    );
    assert_eq!(
        patched(&config, json!({ "encode": "copy" }))["encode"],
        "copy"
    );
    assert_eq!(
        patched(&config, json!({ "encode": null }))["encode"],
        "copy"
    );
    let stored = config.rtmp_destinations[0].encode.to_json();
    assert_eq!(
        Encode::from_stored(&stored),
        Ok(config.rtmp_destinations[0].encode)
    );
    assert!(Encode::from_stored(&json!({ "resolution": "480p" })).is_err());
}

#[test]
fn less_is_half_of_it_in_a_picture_that_it_is_enough_for() {
    let of = |resolution, bits| Profile {
        resolution,
        frame_rate: FrameRate::F25,
        video_bitrate: BitsPerSecond(bits),
        audio_bitrate: BitsPerSecond(128_000),
        lower: LowerRungs::NONE,
        treatment: playout_domain::Treatment::PLAIN,
    };
    for (resolution, bits, lower, less) in [
        (Resolution::P720, 2_500_000, Resolution::P720, 1_250_000),
        (Resolution::P720, 700_000, Resolution::P480, 350_000),
        (Resolution::P2160, 4_000_000, Resolution::P1080, 2_000_000),
        (Resolution::P240, 150_000, Resolution::P240, 100_000),
    ] {
        let lowered = Encode::Copy.lowered(&of(resolution, bits));
        assert_eq!(lowered.rung, 0);
        let lowered = lowered.encode.expect("there is no lower rung");
        assert_eq!(
            (
                lowered.resolution,
                lowered.video_bitrate.0,
                lowered.audio_bitrate.0
            ),
            (lower, less, 96_000),
            "{resolution} {bits}"
        );
    }
}

/// A channel of three rungs with one destination, which gets `encode`.
fn laddered(encode: Value) -> Result<ChannelConfig, Vec<String>> {
    let config = json!({
        "name": "x",
        "ladder": [
            { "resolution": "720p", "bitrate": 2_500_000 },
            { "resolution": "480p", "bitrate": 1_200_000 },
            { "resolution": "240p", "bitrate": 400_000 },
        ],
        "rtmpDestinations": [{ "serverUrl": "rtmp://a.example.com/x", "encode": encode }],
    });
    let pointers = |refused: playout_domain::Violations| {
        let violations = refused.0.into_iter();
        violations.map(|violation| violation.pointer).collect()
    };
    ChannelConfig::parse(&config, &PUBLIC).map_err(pointers)
}

#[test]
fn a_destination_takes_a_rung_of_the_ladder() {
    let mut config = laddered(json!({ "rung": "480p" })).unwrap();
    let encode = config.rtmp_destinations[0].encode;
    assert_eq!(encode, Encode::Rung(Resolution::P480));
    assert_eq!(encode.to_json(), json!({ "rung": "480p" }));
    assert_eq!(Encode::from_stored(&encode.to_json()), Ok(encode));
    let profile = Profile::of(&config, Default::default());
    let feed = encode.feed(&profile);
    assert_eq!((feed.rung, feed.encode), (1, None));
    assert_eq!(feed.profile(&profile).video_bitrate.0, 1_200_000);
    // The highest is taken where none is named.
    assert_eq!(Encode::Copy.feed(&profile).rung, 0);
    assert_eq!(
        Encode::Copy.feed(&profile).profile(&profile).resolution,
        Resolution::P720
    );
    // A weak connection gets the next lower one; below the lowest half of its bitrate.
    let lower = encode.lowered(&profile);
    assert_eq!((lower.rung, lower.encode), (2, None));
    let lowest = Encode::Rung(Resolution::P240).lowered(&profile);
    assert_eq!(lowest.rung, 2);
    assert_eq!(lowest.encode.unwrap().video_bitrate.0, 200_000);
    // What is encoded for one destination is made of the highest.
    let transcode = laddered(json!({ "videoBitrate": 800_000, "resolution": "360p" })).unwrap();
    let transcode = transcode.rtmp_destinations[0].encode;
    let lower = transcode.lowered(&profile);
    assert_eq!(
        (lower.rung, lower.encode.unwrap().video_bitrate.0),
        (0, 400_000)
    );
    let places = |encode: Value| laddered(encode).unwrap_err();
    assert_eq!(
        places(json!({ "rung": "360p" })),
        ["/rtmpDestinations/0/encode/rung"]
    );
    assert_eq!(
        places(json!({ "rung": "4k" })),
        ["/rtmpDestinations/0/encode/rung"]
    );
    assert_eq!(
        places(json!({ "rung": 1 })),
        ["/rtmpDestinations/0/encode/rung"]
    );
    assert_eq!(
        places(json!({ "rung": "480p", "videoBitrate": 400_000, "x": 1 })),
        [
            "/rtmpDestinations/0/encode/videoBitrate",
            "/rtmpDestinations/0/encode/x"
        ]
    );
    // One takes the place of the other.
    config.rtmp_destinations[0].id = Some(DestinationId::from(Uuid::from_u128(1)));
    let changed = patched(&config, json!({ "encode": { "videoBitrate": 800_000 } }));
    assert_eq!(changed["encode"], json!({ "videoBitrate": 800_000 }));
    let other = patched(&config, json!({ "encode": { "rung": "240p" } }));
    assert_eq!(other["encode"], json!({ "rung": "240p" }));
    // A ladder without the rung is refused with the place.
    let gone = config.patched(&json!({ "ladder": null }), &PUBLIC);
    let pointers = gone.unwrap_err().0.into_iter().map(|v| v.pointer);
    assert_eq!(
        pointers.collect::<Vec<_>>(),
        ["/rtmpDestinations/0/encode/rung"]
    );
}

#[test]
fn a_playback_url_is_a_manifest_or_a_stream() {
    for (text, hls) in [
        ("https://tv.example.com/live/index.m3u8?token=t", true),
        ("http://8.8.4.4:8080", true),
        ("rtmp://play.example.com/live/stream", false),
        ("rtmps://play.example.com:444/live/stream?x=y", false),
    ] {
        let url = PlaybackUrl::parse(text, false).unwrap();
        assert_eq!(
            (url.as_str(), matches!(url, PlaybackUrl::Hls(_))),
            (text, hls)
        );
        let shown = format!("{url:?}");
        assert!(
            !shown.contains("token") && !shown.contains("stream"),
            "{shown}"
        );
    }
    for (wrong, why) in [
        ("", "has to begin with"),
        ("tv.example.com/x.m3u8", "has to begin with"),
        ("file:///etc/passwd", "has to begin with"),
        ("ftp://example.com/x.m3u8", "has to begin with"),
        ("https://", "host"),
        ("https://me:pw@example.com/x", "credentials"),
        ("rtmp://me:pw@example.com/live/x", "credentials"),
        ("https://example.com:0/", "port"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com\\@127.0.0.1/", "percent-encode"),
        ("http://127.0.0.1/x.m3u8", "not a public address"),
        ("http://[::ffff:10.0.0.1]/x.m3u8", "not a public address"),
        ("http://169.254.169.254/latest", "not a public address"),
        ("http://127.1/", "host"),
        ("https://localhost/x.m3u8", "not a public address"),
        ("rtmp://10.0.0.1/live/x", "not a public address"),
        ("rtmp://play.example.com/live", "names no stream"),
        ("rtmp://play.example.com/live/", "names no stream"),
        ("rtmp://play.example.com", "names no stream"),
    ] {
        let refused = PlaybackUrl::parse(wrong, false).unwrap_err().to_string();
        assert!(
            refused.starts_with("playbackUrl ") && refused.contains(why),
            "{wrong}: {refused}"
        );
    }
    assert!(PlaybackUrl::parse("http://127.0.0.1:8080/x.m3u8", true).is_ok());
    let read = refused(json!({ "serverUrl": "rtmp://a.example.com/x", "playbackUrl": 7 }));
    assert_eq!(read[0].0, "/playbackUrl");
    // What was allowed once stays so.
    let anywhere = Policy::ANYWHERE;
    let private =
        json!({ "serverUrl": "rtmp://a.example.com/x", "playbackUrl": "http://10.0.0.1/x.m3u8" });
    let mut config = channel()
        .edited(&DestinationEdit::Add(private), &anywhere)
        .unwrap()
        .unwrap();
    config.rtmp_destinations[0].id = Some(DestinationId::from(Uuid::from_u128(1)));
    assert_eq!(
        patched(&config, json!({ "enabled": false }))["playbackUrl"],
        "http://10.0.0.1/x.m3u8"
    );
}
