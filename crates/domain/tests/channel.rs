//! A channel answers every field that the API promises, and its HLS URL is its own for ever.

use jiff::Timestamp;
use playout_domain::channel::hls_path;
use playout_domain::lifecycle::LifeState;
use playout_domain::{Channel, ChannelConfig, ChannelId, ChannelStatus, ClientId, Policy};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

#[test]
fn every_field_is_answered_and_no_key() {
    let created: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
    let config = json!({
        "name": "One",
        "rtmpDestinations": [{ "serverUrl": "rtmp://live.example.com/app", "streamKey": "open-sesame" }],
    });
    let channel = Channel {
        id: ChannelId::from(Uuid::from_u128(7)),
        client_id: ClientId::from(Uuid::from_u128(8)),
        config: ChannelConfig::parse(&config, &Policy::default()).expect("a valid configuration"),
        life: LifeState {
            status: ChannelStatus::Live,
            live_since: Some(created + Duration::from_secs(10)),
            uptime: Duration::from_secs(5),
            ..LifeState::default()
        },
        version: 3,
        created_at: created,
        updated_at: created,
    };
    let json = channel.to_json(
        created + Duration::from_millis(12_500),
        "https://tv.example.com/",
    );
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
        assert!(json.get(field).is_some(), "{field} is missing in {json}");
    }
    assert_eq!(json["status"], "LIVE");
    assert_eq!(json["totalUptime"], 7.5);
    assert_eq!(
        json["hlsEndpoint"],
        format!("https://tv.example.com/hls/{}/index.m3u8", channel.id)
    );
    assert_eq!(
        channel.to_json(created, "")["hlsEndpoint"],
        hls_path(channel.id)
    );
    assert_eq!(json["rtmpDestinations"][0]["streamKeySet"], true);
    assert!(!json.to_string().contains("sesame"));
    assert_ne!(
        hls_path(channel.id),
        hls_path(ChannelId::from(Uuid::from_u128(9)))
    );
}
