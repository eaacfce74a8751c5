//! Another master key: everything is sealed anew while it is used, and whoever stops it half-way loses
//! nothing.

use std::fs;
use std::path::Path;

use playout_domain::destination::StreamKeySetting;
use playout_domain::limits::PlanLimits;
use playout_domain::{Channel, StreamKey};
use playout_store::testing::TestStore;
use playout_store::{
    KeyRotation, KeySource, NodeConfig, OldKey, Principal, Step, Store, StoreConfig, StoreError,
    testing,
};

use crate::given::{airtime, channel, destination};

async fn begin(store: &TestStore) -> Result<KeyRotation, StoreError> {
    let config = store.config();
    let (url, source) = (&config.database_url, config.master_key.clone());
    KeyRotation::begin(url, source, OldKey::AtHand).await
}

/// Steps until it is done; answers them.
async fn finish(mut rotation: KeyRotation) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = rotation.step().await.unwrap() {
        steps.push(step);
        assert!(steps.len() < 20, "{steps:?}");
    }
    steps
}

/// A channel whose one destination has the key `key`.
async fn keyed(store: &Store, name: &str, key: &str) -> Channel {
    let who = Principal::daemon();
    let mut given = channel(who.client, name);
    given.config.rtmp_destinations = vec![destination("rtmp://a.example.com/live", Some(key))];
    store
        .insert_channel(&who, &given, &airtime())
        .await
        .unwrap()
}

async fn opened(store: &Store, channel: &Channel) -> Result<String, StoreError> {
    let id = channel.config.rtmp_destinations[0].id.unwrap();
    let key = store.stream_key(id).await?;
    Ok(key.map(|key| key.reveal().to_owned()).unwrap_or_default())
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The ids of the keys that secrets are sealed with.
async fn sealed_with(store: &TestStore) -> Vec<String> {
    let sql =
        "SELECT DISTINCT encode(substring(stream_key FROM 2 FOR 8), 'hex') FROM rtmp_destinations
               WHERE stream_key IS NOT NULL ORDER BY 1";
    let rows = store.session().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn everything_is_sealed_with_the_new_key_and_the_old_one_is_gone() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut channels = Vec::new();
    for n in 0..60 {
        channels.push(keyed(&store, &format!("Channel {n}"), &format!("key_{n}")).await);
    }
    let path = store.config().master_key.path();
    let old = lines(path);
    let before = sealed_with(&store).await;
    let rotation = begin(&store).await.unwrap();
    assert!(!rotation.is_resumed());
    let steps = finish(rotation).await;
    let [
        Step::Made(new),
        Step::TakenOver { from, to },
        Step::Resealed {
            secrets: 50,
            left: 10,
            ..
        },
        Step::Resealed {
            secrets: 10,
            left: 0,
            ..
        },
        Step::Retired(retired),
        Step::Removed,
    ] = steps[..]
    else {
        panic!("{steps:?}");
    };
    assert_eq!((from, to), (Some(retired), new));
    assert_eq!([retired.to_string()], before[..]);
    assert_eq!([new.to_string()], sealed_with(&store).await[..]);
    let now = lines(path);
    assert!(now.len() == 1 && old.len() == 1 && now != old);

    // A daemon that ran all the time, and one that starts now.
    let again = Store::connect(store.config()).await.unwrap();
    store.forget_retired_keys().await.unwrap();
    for (n, channel) in channels.iter().enumerate() {
        for store in [&*store, &again] {
            assert_eq!(opened(store, channel).await.unwrap(), format!("key_{n}"));
        }
    }
    assert_eq!(store.all_channels().await.unwrap().quarantined, []);
    let audit = store.audit(who.client, 60, 10).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .map(|entry| (entry.operation.as_str(), entry.actor.as_str()))
        .collect();
    assert_eq!(
        told,
        [("key.rotate", "rotate-key"), ("key.retire", "rotate-key")]
    );
    assert_eq!(audit[0].detail["before"]["keyId"], retired.to_string());
    assert_eq!(audit[0].detail["after"]["keyId"], new.to_string());
    let told = format!("{audit:?}");
    assert!(!told.contains(&now[0]) && !told.contains(&old[0]));
}

#[tokio::test]
async fn stopped_between_any_two_steps_it_loses_nothing_and_is_resumed() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut channels = Vec::new();
    for n in 0..51 {
        channels.push(keyed(&store, &format!("Channel {n}"), &format!("key_{n}")).await);
    }
    let path = store.config().master_key.path();
    for stop in 1..=6 {
        let old = lines(path);
        let mut rotation = begin(&store).await.unwrap();
        for _ in 0..stop {
            assert!(rotation.step().await.unwrap().is_some(), "step {stop}");
        }
        drop(rotation);
        // A daemon that was there before, and one that starts at this moment.
        let again = StoreConfig {
            node: NodeConfig::new("another"),
            ..store.config().clone()
        };
        let again = Store::connect(&again).await.unwrap();
        for store in [&*store, &again] {
            for (n, channel) in channels.iter().enumerate() {
                let open = opened(store, channel).await;
                assert_eq!(open.unwrap(), format!("key_{n}"), "stopped after {stop}");
            }
        }
        // New secrets are sealed and opened as well.
        let mut config = channels[0].config.clone();
        let key = StreamKey::new("key_0").unwrap();
        config.rtmp_destinations[0].stream_key = StreamKeySetting::Given(key);
        let version = channels[0].version;
        channels[0] = store
            .update_channel(&who, channels[0].id, version, &config, None)
            .await
            .unwrap();
        assert_eq!(opened(&store, &channels[0]).await.unwrap(), "key_0");
        let new = keyed(&again, "New", "key_new").await;
        assert_eq!(opened(&again, &new).await.unwrap(), "key_new");
        again.delete_channel(&who, new.id, None).await.unwrap();
        let rotation = until_free(&store).await;
        assert_eq!(rotation.is_resumed(), stop < 6, "stopped after {stop}");
        if stop < 6 {
            finish(rotation).await;
        }
        let now = lines(path);
        assert!(now.len() == 1 && now != old, "stopped after {stop}");
        assert_eq!(sealed_with(&store).await.len(), 1);
        assert_eq!(store.all_channels().await.unwrap().quarantined, []);
    }
}

/// The lock of a rotation that was dropped goes a moment after it.
async fn until_free(store: &TestStore) -> KeyRotation {
    for _ in 0..1_000 {
        match begin(store).await {
            Err(StoreError::Setup(why)) if why.contains("another rotate-key") => {
                tokio::task::yield_now().await;
            }
            rotation => return rotation.unwrap(),
        }
    }
    panic!("the lock is never free");
}

#[tokio::test]
async fn channels_are_changed_while_it_goes_on() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut channels = Vec::new();
    for n in 0..12 {
        channels.push(keyed(&store, &format!("Channel {n}"), "first").await);
    }
    let rotating = async {
        for _ in 0..4 {
            finish(until_free(&store).await).await;
        }
    };
    let changing = async {
        for round in 0..20 {
            for channel in &mut channels {
                let key = format!("key_{round}");
                let mut config = channel.config.clone();
                config.rtmp_destinations[0].stream_key =
                    StreamKeySetting::Given(StreamKey::new(&*key).unwrap());
                *channel = store
                    .update_channel(&who, channel.id, channel.version, &config, None)
                    .await
                    .unwrap();
                assert_eq!(opened(&store, channel).await.unwrap(), key);
            }
        }
    };
    tokio::join!(rotating, changing);
    assert_eq!(store.all_channels().await.unwrap().quarantined, []);
    assert_eq!(sealed_with(&store).await.len(), 1);
    for channel in &channels {
        assert_eq!(opened(&store, channel).await.unwrap(), "key_19");
    }
}

/// A key that is being sealed with is not retired beneath it.
#[tokio::test]
async fn a_rotation_waits_for_who_is_sealing_with_the_old_key() {
    let store = testing::fresh().await;
    let who = store.client("one", &PlanLimits::UNLIMITED).await;
    let mut given = channel(who.client, "One");
    given.config.rtmp_destinations = vec![destination("rtmp://a.example.com/live", None)];
    let given = store
        .insert_channel(&who, &given, &airtime())
        .await
        .unwrap();

    // Whoever changes the channel waits for this, its key sealed and nothing committed.
    let session = store.session().await;
    let hold = "BEGIN; SELECT FROM audit_heads FOR UPDATE";
    session.batch_execute(hold).await.unwrap();
    let changing = {
        let (store, who, mut config) = ((*store).clone(), who.clone(), given.config.clone());
        let key = StreamKey::new("sesame").unwrap();
        config.rtmp_destinations[0].stream_key = StreamKeySetting::Given(key);
        tokio::spawn(async move {
            let changed = store.update_channel(&who, given.id, 1, &config, None).await;
            changed.unwrap()
        })
    };
    let watch = store.session().await;
    // Until so many wait for a lock, or that is settled otherwise.
    let waiting = async |many: i64, settled: &dyn Fn() -> bool| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let begun = std::time::Instant::now();
        while watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < many && !settled() {
            assert!(begun.elapsed().as_secs() < 30, "{many} never wait");
            tokio::task::yield_now().await;
        }
    };
    waiting(1, &|| false).await;
    let rotation = begin(&store).await.unwrap();
    let rotating = tokio::spawn(finish(rotation));
    waiting(2, &|| rotating.is_finished()).await;
    session.batch_execute("COMMIT").await.unwrap();
    let changed = changing.await.unwrap();
    rotating.await.unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(opened(&again, &changed).await.unwrap(), "sesame");
}

#[tokio::test]
async fn a_damaged_channel_is_left_alone_and_keeps_the_old_key() {
    let store = testing::fresh().await;
    let (whole, damaged) = (
        keyed(&store, "One", "one").await,
        keyed(&store, "Two", "two").await,
    );
    let session = store.session().await;
    let damage = "UPDATE rtmp_destinations SET enabled = false WHERE channel_id = $1";
    session
        .execute(damage, &[&damaged.id.uuid()])
        .await
        .unwrap();
    let mut rotation = begin(&store).await.unwrap();
    let refused = loop {
        match rotation.step().await {
            Ok(step) => assert!(step.is_some(), "it ended"),
            Err(refused) => break refused.to_string(),
        }
    };
    drop(rotation);
    assert!(
        refused.contains(&damaged.id.to_string()) && refused.contains("quarantined"),
        "{refused}"
    );
    let path = store.config().master_key.path();
    assert_eq!(lines(path).len(), 2);
    for (channel, key) in [(&whole, "one"), (&damaged, "two")] {
        assert_eq!(opened(&store, channel).await.unwrap(), key);
    }
    // Mended, it follows.
    let mend = "UPDATE rtmp_destinations SET enabled = true WHERE channel_id = $1";
    session.execute(mend, &[&damaged.id.uuid()]).await.unwrap();
    assert_eq!(store.all_channels().await.unwrap().quarantined, []);
    let rotation = until_free(&store).await;
    assert!(rotation.is_resumed());
    finish(rotation).await;
    assert_eq!(lines(path).len(), 1);
    assert_eq!(opened(&store, &damaged).await.unwrap(), "two");
}

#[tokio::test]
async fn a_key_that_is_lost_costs_what_it_has_sealed_and_nothing_else() {
    let store = testing::fresh().await;
    let lost = keyed(&store, "One", "one").await;
    let (url, source) = (
        store.config().database_url.clone(),
        store.config().master_key.clone(),
    );
    let give_up = async || KeyRotation::begin(&url, source.clone(), OldKey::Lost).await;
    let refused = give_up().await.unwrap_err().to_string();
    assert!(refused.contains("is not lost"), "{refused}");
    fs::remove_file(source.path()).unwrap();
    assert!(Store::connect(store.config()).await.is_err());
    let refused = begin(&store).await.unwrap_err().to_string();
    assert!(refused.contains("is not there"), "{refused}");
    let steps = finish(give_up().await.unwrap()).await;
    assert!(
        steps
            .iter()
            .any(|step| matches!(step, Step::Resealed { given_up: 1, .. })),
        "{steps:?}"
    );
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(opened(&again, &lost).await.unwrap(), "");
    let loaded = again.all_channels().await.unwrap();
    assert_eq!(loaded.quarantined, []);
    let destination = &loaded.channels[0].channel.config.rtmp_destinations[0];
    assert_eq!(destination.stream_key, StreamKeySetting::Absent);
    let audit = again.audit(lost.client_id, 0, 10).await.unwrap();
    let told = audit
        .iter()
        .find(|entry| entry.operation == "channel.keys-lost");
    assert_eq!(told.unwrap().subject, lost.id.uuid());
    assert!(keyed(&again, "Two", "two").await.version == 1);
}

#[tokio::test]
async fn a_credential_is_never_written_and_says_what_to_do() {
    let store = testing::fresh().await;
    let given = keyed(&store, "One", "one").await;
    let path = store.config().master_key.path();
    let credential = KeySource::Credential(path.to_owned());
    let url = &store.config().database_url;
    let text = fs::read_to_string(path).unwrap();
    let refused = KeyRotation::begin(url, credential.clone(), OldKey::AtHand).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("cannot be written") && refused.contains("restart"),
        "{refused}"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), text);

    let both = format!("{}\n{text}", "5".repeat(64));
    fs::write(path, &both).unwrap();
    let rotation = KeyRotation::begin(url, credential, OldKey::AtHand)
        .await
        .unwrap();
    let steps = finish(rotation).await;
    assert!(matches!(steps.last(), Some(Step::Retired(_))), "{steps:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), both);
    // The operator takes the old line away.
    fs::write(path, "5".repeat(64)).unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(opened(&again, &given).await.unwrap(), "one");
}

#[tokio::test]
async fn one_rotation_at_a_time() {
    let store = testing::fresh().await;
    let _first = begin(&store).await.unwrap();
    let refused = begin(&store).await.unwrap_err().to_string();
    assert!(refused.contains("another rotate-key"), "{refused}");
}
