//! What the tests begin with.

use jiff::Timestamp;
use playout_domain::config::FeatureFlags;
use playout_domain::destination::{
    Encode, EncodeSettings, PlaybackUrl, ServerUrl, StreamKeySetting,
};
use playout_domain::lifecycle::LifeState;
use playout_domain::plan::PlannedItem;
use playout_domain::{
    BitsPerSecond, Channel, ChannelConfig, ChannelId, ClientId, DestinationConfig, Frame,
    FrameRate, MediaId, Plan, Platform, Resolution, Rung, Schedule, StreamKey, Ticks90k, Timeline,
};
pub(crate) use playout_store::testing::media;
use playout_store::{Airtime, Principal, Store};
use uuid::Uuid;

/// A channel with nothing left at its default, but the fallback: that has to be there.
pub(crate) fn channel(client: ClientId, name: &str) -> Channel {
    let mut config = ChannelConfig::named(name);
    config.resolution = Resolution::P480;
    config.frame_rate = FrameRate::F29_97;
    config.bitrate = config.resolution.default_bitrate(config.frame_rate);
    config.ladder[0].resolution = config.resolution;
    config.ladder[0].bitrate = config.bitrate;
    config.ladder.push(Rung {
        resolution: Resolution::P240,
        bitrate: BitsPerSecond(300_000),
    });
    config.analytics_enabled = false;
    config.features = FeatureFlags {
        monetization: true,
        interaction: true,
        ..FeatureFlags::default()
    };
    config.rtmp_destinations = vec![DestinationConfig {
        playback_url: Some(PlaybackUrl::parse("https://a.example.com/live.m3u8", false).unwrap()),
        encode: Encode::Transcode(EncodeSettings {
            video_bitrate: BitsPerSecond(600_000),
            resolution: Some(Resolution::P360),
            frame_rate: Some(FrameRate::F25),
            audio_bitrate: Some(BitsPerSecond(96_000)),
        }),
        allow_lower_quality: true,
        ..destination("rtmp://a.example.com/live", Some("live_sesame"))
    }];
    let at = Timestamp::now();
    Channel {
        id: ChannelId::from(Uuid::now_v7()),
        client_id: client,
        config,
        life: LifeState::default(),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn destination(url: &str, key: Option<&str>) -> DestinationConfig {
    let stream_key = key.map_or(StreamKeySetting::Absent, |key| {
        StreamKeySetting::Given(StreamKey::new(key).unwrap())
    });
    DestinationConfig {
        id: None,
        server_url: ServerUrl::parse(url, false).unwrap(),
        stream_key,
        platform: Platform::Youtube,
        enabled: true,
        playback_url: None,
        encode: Default::default(),
        allow_lower_quality: false,
    }
}

/// A rotation of two items, on the plan from a frame far out, and an epoch in nanoseconds.
pub(crate) fn airtime() -> Airtime {
    let items: Vec<PlannedItem> = [250, 71]
        .map(|frames| PlannedItem::whole(MediaId::from(Uuid::now_v7()), frames))
        .to_vec();
    Airtime {
        timeline: Timeline {
            epoch: "2026-11-24T08:00:00.123456789Z".parse().unwrap(),
            frame_rate: FrameRate::F29_97,
            clock_origin: Ticks90k(u64::MAX / 4),
        },
        schedule: Schedule::looping(items.iter().map(|item| item.media_id)),
        plan: Plan::looping(Frame(1 << 60), items),
    }
}

/// Stores a channel for `who`.
pub(crate) async fn stored(store: &Store, who: &Principal, name: &str) -> Channel {
    store
        .insert_channel(who, &channel(who.client, name), &airtime())
        .await
        .unwrap()
}

macro_rules! back_to_version_5 {
    () => {
        "
    ALTER TABLE rtmp_destinations DROP COLUMN playback_url, DROP COLUMN encode, DROP COLUMN allow_lower_quality;
    DROP INDEX media_client, media_size, media_status, media_title, media_duration;
    ALTER TABLE media DROP COLUMN damage, DROP COLUMN search, DROP COLUMN words, DROP COLUMN description, DROP COLUMN tags,
        DROP COLUMN genre, DROP COLUMN language, DROP COLUMN rating, DROP COLUMN series, DROP COLUMN season,
        DROP COLUMN episode, DROP COLUMN edited, DROP COLUMN version, DROP COLUMN sha256, DROP COLUMN missing_since;
    DROP TABLE subtitles, as_run, arrivals, watched_folders, logos, prepare_marks, paused_queues;
    ALTER TABLE airtime RENAME COLUMN schedule TO rotation;
    ALTER TABLE media DROP COLUMN loudness;
    ALTER TABLE renditions DROP COLUMN loudness, DROP COLUMN unneeded_since;
    DROP TABLE sessions, idempotency_keys, over_limits, over_limit_channels;
    DROP INDEX audit_times, audit_subjects;
    DROP INDEX tokens_prefix;
    ALTER TABLE tokens DROP COLUMN scopes, DROP COLUMN prefix, DROP COLUMN expires_at,
        ADD COLUMN scope text NOT NULL DEFAULT 'admin' CHECK (scope IN ('admin', 'client'));
    DROP TABLE webhook_deliveries, webhooks;
    DROP VIEW client_limits;
    DROP TABLE limit_overrides;
    DELETE FROM plans WHERE tier BETWEEN 1 AND 999;
    ALTER TABLE plans DROP CONSTRAINT plans_name_check, DROP COLUMN tier, DROP COLUMN version, DROP COLUMN updated_at;
    ALTER TABLE clients DROP COLUMN version, DROP COLUMN updated_at;
    DELETE FROM migrations WHERE version > 5;"
    };
}

/// Makes a database as it was before destinations had options, media could be found, and there were schedules.
pub(crate) const BACK_TO_VERSION_5: &str = back_to_version_5!();

/// Makes a database of today one of version 1: everything that later migrations have made is gone.
pub(crate) const BACK_TO_VERSION_1: &str = concat!(
    back_to_version_5!(),
    "
    ALTER TABLE channels DROP COLUMN digest, DROP COLUMN life_digest;
    ALTER TABLE airtime DROP COLUMN digest;
    DROP TABLE master_keys;
    DROP TABLE alerts, alert_routes, alert_deliveries, channel_history, pulse, orders, telemetry_losses, nodes;
    ALTER TABLE channels DROP COLUMN node, DROP COLUMN lease_until, DROP COLUMN epoch, DROP COLUMN taken_at;
    ALTER TABLE renditions DROP COLUMN node, ADD UNIQUE (media_id, profile_key);
    ALTER TABLE tokens DROP COLUMN node;
    DELETE FROM migrations WHERE version > 1;"
);
