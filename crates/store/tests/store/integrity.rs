//! Damage: whatever is changed in a stored channel is seen when it is loaded, named, and nobody else's.

use std::time::Duration;

use playout_domain::Channel;
use playout_domain::destination::StreamKeySetting;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_store::{Cause, Loaded, Principal, Store, StoreError, testing};

use crate::given::{BACK_TO_VERSION_1, BACK_TO_VERSION_5, airtime, channel, destination, stored};

/// Every column of a channel's rows, changed: what is done to the second of three channels.
const DAMAGES: &[&str] = &[
    "UPDATE channels SET config = jsonb_set(config, '{name}', '\"Other\"') WHERE id = $1",
    "UPDATE channels SET config = config - 'ladder' WHERE id = $1",
    "UPDATE channels SET config = '[]' WHERE id = $1",
    "UPDATE channels SET version = version + 1 WHERE id = $1",
    "UPDATE channels SET client_id = '00000000-0000-7000-8000-00000000beef' WHERE id = $1",
    "UPDATE channels SET created_at = created_at + interval '1 microsecond' WHERE id = $1",
    "UPDATE channels SET updated_at = 'infinity' WHERE id = $1",
    "UPDATE channels SET desired = 'LIVE' WHERE id = $1",
    "UPDATE channels SET status = 'ERROR' WHERE id = $1",
    "UPDATE channels SET generation = 1 WHERE id = $1",
    "UPDATE channels SET uptime_us = -1 WHERE id = $1",
    "UPDATE channels SET live_since = '1000-01-01 BC' WHERE id = $1",
    "UPDATE channels SET restart_count = 1 WHERE id = $1",
    "UPDATE channels SET restarts_since_start = 1 WHERE id = $1",
    "UPDATE channels SET last_start_time = now() WHERE id = $1",
    "UPDATE channels SET last_stop_time = now() WHERE id = $1",
    "UPDATE channels SET digest = set_byte(digest, 31, get_byte(digest, 31) # 1) WHERE id = $1",
    "UPDATE channels SET life_digest = digest WHERE id = $1",
    "UPDATE rtmp_destinations SET server_url = 'rtmp://evil.example.com/live' WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET platform = 'nowhere' WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET enabled = NOT enabled WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET position = 1 WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET stream_key = set_byte(stream_key, 40, get_byte(stream_key, 40) # 1) WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET stream_key = NULL WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET id = gen_random_uuid() WHERE channel_id = $1",
    "DELETE FROM rtmp_destinations WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET playback_url = NULL WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET encode = jsonb_set(encode, '{videoBitrate}', '600001') WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET encode = NULL WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET allow_lower_quality = false WHERE channel_id = $1",
    "UPDATE rtmp_destinations SET playback_url = NULL, encode = NULL, allow_lower_quality = false WHERE channel_id = $1",
    "INSERT INTO rtmp_destinations SELECT gen_random_uuid(), channel_id, 1, server_url, platform, enabled, NULL, NULL, NULL, false
     FROM rtmp_destinations WHERE channel_id = $1",
    "UPDATE airtime SET timeline = jsonb_set(timeline, '{clockOrigin}', '1') WHERE channel_id = $1",
    "UPDATE airtime SET plan = jsonb_set(plan, '{tail,basis,units,0,items,0,frames}', '251') WHERE channel_id = $1",
    "UPDATE airtime SET schedule = '{\"items\": []}' WHERE channel_id = $1",
    "UPDATE airtime SET updated_at = updated_at - interval '1 day' WHERE channel_id = $1",
    "UPDATE airtime SET digest = sha256('') WHERE channel_id = $1",
    "UPDATE airtime a SET timeline = o.timeline, plan = o.plan, schedule = o.schedule, updated_at = o.updated_at, digest = o.digest
     FROM airtime o WHERE a.channel_id = $1 AND o.channel_id < $1",
    "DELETE FROM airtime WHERE channel_id = $1",
];

#[tokio::test]
async fn a_damaged_channel_is_named_and_the_others_are_loaded() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut given = Vec::new();
    for name in ["One", "Two", "Three"] {
        given.push(stored(&store, &who, name).await);
    }
    let session = store.session().await;
    let prepare = "
        INSERT INTO clients (id, name, plan_id) SELECT '00000000-0000-7000-8000-00000000beef', 'stranger', plan_id FROM clients;
        CREATE TABLE kept_channels AS TABLE channels;
        CREATE TABLE kept_destinations AS TABLE rtmp_destinations;
        CREATE TABLE kept_airtime AS TABLE airtime;";
    session.batch_execute(prepare).await.unwrap();
    let whole = store.all_channels().await.unwrap();
    assert_eq!(whole.quarantined, []);
    for damage in DAMAGES {
        session
            .execute(*damage, &[&given[1].id.uuid()])
            .await
            .unwrap();
        let Loaded {
            channels,
            quarantined,
        } = store.all_channels().await.unwrap();
        assert_eq!(
            channels,
            [whole.channels[0].clone(), whole.channels[2].clone()],
            "{damage}"
        );
        let [damaged] = &quarantined[..] else {
            panic!("{damage}: {quarantined:?}");
        };
        assert_eq!(damaged.id, given[1].id, "{damage}");
        assert!(damaged.client.is_some() && !damaged.reason.is_empty());
        let refused = store.channel(given[1].id).await.unwrap_err();
        assert_eq!(refused, StoreError::Quarantined(damaged.reason.clone()));
        let restore = "
            DELETE FROM channels;
            INSERT INTO channels TABLE kept_channels;
            INSERT INTO rtmp_destinations TABLE kept_destinations;
            INSERT INTO airtime TABLE kept_airtime;";
        session.batch_execute(restore).await.unwrap();
        assert_eq!(store.all_channels().await.unwrap(), whole, "after {damage}");
    }
}

#[tokio::test]
async fn the_name_of_a_damaged_channel_is_told_where_it_can_be_read() {
    let store = testing::fresh().await;
    let given = stored(&store, &Principal::daemon(), "News").await;
    let session = store.session().await;
    let damage = "UPDATE channels SET version = 7";
    session.batch_execute(damage).await.unwrap();
    let named = store.all_channels().await.unwrap().quarantined;
    assert_eq!(
        (named[0].id, named[0].name.as_deref()),
        (given.id, Some("News"))
    );
    assert_eq!(
        named[0].reason,
        "the settings and destinations do not match their digest"
    );
    let damage = "UPDATE channels SET config = '7'";
    session.batch_execute(damage).await.unwrap();
    assert_eq!(
        store.all_channels().await.unwrap().quarantined[0].name,
        None
    );
}

#[tokio::test]
async fn nothing_is_built_on_a_damaged_channel_but_it_can_be_deleted() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let given = stored(&store, &who, "One").await;
    let session = store.session().await;
    let damage = "UPDATE channels SET config = jsonb_set(config, '{bitrate}', '1')";
    session.batch_execute(damage).await.unwrap();
    let refused = store
        .update_channel(&who, given.id, 1, &given.config, None)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Quarantined(_)), "{refused}");
    // What a running channel reports does not make it whole.
    let life = LifeState {
        restart_count: 3,
        ..LifeState::default()
    };
    store
        .save_life(given.id, &life, Cause::Automatic)
        .await
        .unwrap();
    store
        .save_airtime(None, given.id, &airtime())
        .await
        .unwrap();
    assert_eq!(store.all_channels().await.unwrap().quarantined.len(), 1);
    store.delete_channel(&who, given.id, None).await.unwrap();
    assert_eq!(store.all_channels().await.unwrap(), Loaded::default());
}

/// The digests follow every change: one that a writer forgot would quarantine its channel.
#[tokio::test]
async fn every_writer_keeps_the_digests_right() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let given = stored(&store, &who, "One").await;
    let is_whole = async |after: &str| {
        let loaded = store.all_channels().await.unwrap();
        assert_eq!(loaded.quarantined, [], "after {after}");
    };
    is_whole("insert").await;
    let mut config = given.config.clone();
    config.name = "Zwei \u{1F4FA}".to_owned();
    config
        .rtmp_destinations
        .push(destination("rtmp://b.example.com/app", Some("second")));
    config.rtmp_destinations.rotate_left(1);
    let updated = store
        .update_channel(&who, given.id, 1, &config, Some(&airtime()))
        .await
        .unwrap();
    is_whole("update").await;
    let mut config = updated.config.clone();
    config.rtmp_destinations.truncate(1);
    config.rtmp_destinations[0].stream_key = StreamKeySetting::Absent;
    store
        .update_channel(&who, given.id, 2, &config, None)
        .await
        .unwrap();
    is_whole("a destination removed").await;
    let airs = airtime();
    store.put_in_library(&airs).await;
    store
        .save_airtime(Some(&who), given.id, &airs)
        .await
        .unwrap();
    is_whole("airtime").await;
    let life = LifeState {
        uptime: Duration::from_nanos(1_234_567_891),
        live_since: Some("2026-11-24T08:00:00.123456789Z".parse().unwrap()),
        ..LifeState::default()
    };
    for cause in [
        Cause::Automatic,
        Cause::Ordered {
            who: who.clone(),
            operation: Operation::Stop,
        },
    ] {
        store.save_life(given.id, &life, cause).await.unwrap();
        is_whole("life").await;
    }
}

#[tokio::test]
async fn reading_while_others_write_never_sees_half_a_change() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let given = stored(&store, &who, "One").await;
    let writing = {
        let (store, who) = ((*store).clone(), who.clone());
        tokio::spawn(async move {
            let mut config = given.config.clone();
            for version in 1..60 {
                // A destination comes, a destination goes: two tables each time.
                if config.rtmp_destinations.pop().is_none() {
                    let new = destination("rtmp://b.example.com/app", Some("key"));
                    config.rtmp_destinations.push(new);
                }
                let updated = store
                    .update_channel(&who, given.id, version, &config, None)
                    .await
                    .unwrap();
                config = updated.config;
            }
        })
    };
    while !writing.is_finished() {
        assert_eq!(store.all_channels().await.unwrap().quarantined, []);
        assert!(store.channel(given.id).await.is_ok());
    }
    writing.await.unwrap();
}

/// A channel whose destination has no options, as all had once.
async fn plain(store: &Store) -> Channel {
    let who = Principal::daemon();
    let mut given = channel(who.client, "One");
    given.config.rtmp_destinations = vec![destination("rtmp://a.example.com/live", Some("key"))];
    store
        .insert_channel(&who, &given, &airtime())
        .await
        .unwrap()
}

/// What destinations may say besides came later: digests of before stay right, and so does damage.
#[tokio::test]
async fn digests_from_before_the_options_of_destinations_stay_right() {
    let store = testing::fresh().await;
    let (given, damaged) = (plain(&store).await, plain(&store).await);
    let session = store.session().await;
    session.batch_execute(BACK_TO_VERSION_5).await.unwrap();
    let damage = "UPDATE rtmp_destinations SET enabled = false WHERE channel_id = $1";
    session
        .execute(damage, &[&damaged.id.uuid()])
        .await
        .unwrap();
    let loaded = Store::connect(store.config())
        .await
        .unwrap()
        .all_channels()
        .await
        .unwrap();
    let whole: Vec<_> = loaded
        .channels
        .iter()
        .map(|stored| stored.channel.clone())
        .collect();
    assert_eq!(whole, [given]);
    assert_eq!(loaded.quarantined.len(), 1);
    assert_eq!(loaded.quarantined[0].id, damaged.id);
}

/// A database of version 1, with a channel in it.
#[tokio::test]
async fn a_database_from_before_digests_gets_them_once() {
    let store = testing::fresh().await;
    let given = plain(&store).await;
    let session = store.session().await;
    session.batch_execute(BACK_TO_VERSION_1).await.unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    let loaded = again.all_channels().await.unwrap();
    assert_eq!(loaded.quarantined, []);
    assert_eq!(loaded.channels[0].channel, given);

    // Damaged from now on, and it stays so: digests are made once.
    let damage = "UPDATE channels SET version = 7";
    session.batch_execute(damage).await.unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(again.all_channels().await.unwrap().quarantined.len(), 1);
}
