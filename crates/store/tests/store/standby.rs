//! A daemon that starts while PostgreSQL is away: from Redis, from the disk where Redis is away, too, and from
//! whichever is the later one.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::PlanLimits;
use playout_domain::{Channel, ChannelId, ChannelStatus, Desired, Profile, RenditionId};
use playout_store::testing::{self, Manner, Proxies, TestStore, until};
use playout_store::{
    Airtime, Cause, ExportedHeads, KeySource, NewToken, Order, Principal, Rendition, Scopes,
    Server, Store, StoreConfig, StoreError,
};
use uuid::Uuid;

use crate::given::{airtime, channel, media};

/// A store behind proxies, with a copy on disk.
async fn with_copies() -> (TestStore, Proxies, StoreConfig) {
    let (store, proxies) = testing::behind_proxies().await;
    let mut config = store.config().clone();
    config.standby = Some(store.folder().join("standby"));
    (store, proxies, config)
}

/// What a daemon loads at its start; from then on its copies are complete.
async fn loaded(store: &Store) -> Vec<playout_store::ToAir> {
    store.all_media().await.unwrap();
    store.all_renditions().await.unwrap();
    let (to_air, damaged) = store.channels_to_air().await.unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
    to_air
}

/// The revision on disk.
fn on_disk(config: &StoreConfig) -> u64 {
    let file = config.standby.as_deref().map(|dir| dir.join("revision"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

async fn in_redis(store: &TestStore) -> u64 {
    let revision = store.redis_value("copy:revision").await;
    revision.and_then(|text| text.parse().ok()).unwrap_or(0)
}

struct Given {
    channel: Channel,
    airs: Airtime,
    item: playout_domain::MediaItem,
    rendition: Rendition,
    secret: String,
}

/// One of each, in the database and in both copies.
async fn given(store: &TestStore, daemon: &Store, config: &StoreConfig) -> Given {
    let who = Principal::daemon();
    loaded(daemon).await;
    let airs = airtime();
    let one = channel(who.client, "One");
    let made = daemon.insert_channel(&who, &one, &airs).await.unwrap();
    daemon.keep_channel(&made, &airs, true);
    let item = media(who.client, "/films/one.mov");
    daemon.insert_media(&who, &item).await.unwrap();
    let rendition = Rendition {
        id: RenditionId::from(Uuid::now_v7()),
        media_id: item.id,
        profile: Profile::of(&made.config, Default::default()),
        frames: 250,
        bytes: 1_000,
        created_at: item.created_at,
        heard: None,
        unneeded_since: None,
    };
    daemon.save_rendition(&rendition).await.unwrap();
    let new = NewToken {
        client: who.client,
        scopes: Scopes::CLIENT,
        name: "script".to_owned(),
        expires_at: None,
    };
    let (_, secret) = daemon.create_token(&who, new).await.unwrap();
    until("both copies are there", async || {
        let disk = on_disk(config);
        disk > 0
            && disk == in_redis(store).await
            && Path::new(&format!(
                "{}/renditions/{}.{}.json",
                config.standby.as_ref().unwrap().display(),
                item.id,
                rendition.profile.key()
            ))
            .exists()
    })
    .await;
    Given {
        channel: made,
        airs,
        item,
        rendition,
        secret: secret.to_string(),
    }
}

async fn assert_the_same(daemon: &Store, given: &Given) {
    let to_air = loaded(daemon).await;
    assert_eq!(to_air.len(), 1);
    let stored = &to_air[0].stored;
    assert_eq!(stored.channel, given.channel);
    assert_eq!(stored.airtime, given.airs);
    assert_eq!(
        daemon.all_media().await.unwrap(),
        std::slice::from_ref(&given.item)
    );
    assert_eq!(
        daemon.all_renditions().await.unwrap(),
        std::slice::from_ref(&given.rendition)
    );
    let destination = given.channel.config.rtmp_destinations[0].id.unwrap();
    let key = daemon.stream_key(destination).await.unwrap().unwrap();
    assert_eq!(key.reveal(), "live_sesame");
    let who = daemon.principal(&given.secret).await.unwrap().unwrap();
    assert_eq!((who.scopes, who.name.as_str()), (Scopes::CLIENT, "script"));
    assert_eq!(
        daemon
            .known_limits(given.channel.client_id)
            .map(|known| known.limits),
        Some(PlanLimits::UNLIMITED)
    );
}

#[tokio::test]
async fn it_airs_from_redis_or_from_the_disk_what_it_would_from_the_database() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    drop(daemon);
    proxies.postgres.set(Manner::Refuse);
    let daemon = Store::connect(&config).await.unwrap();
    assert!(!daemon.is_taken_up() && daemon.writable().is_err());
    assert_the_same(&daemon, &given).await;
    drop(daemon);

    proxies.redis.set(Manner::Refuse);
    let daemon = Store::connect(&config).await.unwrap();
    assert_the_same(&daemon, &given).await;

    // It goes on looking, and what it has is used when it was compared.
    proxies.postgres.set(Manner::Pass);
    daemon.until_reached().await;
    assert!(daemon.recordable().is_err());
    let stored = daemon.all_channels().await.unwrap();
    assert_eq!(stored.channels[0].channel, given.channel);
    daemon.take_up();
    daemon.until_recordable().await;
    daemon
        .save_airtime(None, given.channel.id, &given.airs)
        .await
        .unwrap();
}

/// Another daemon migrates, say, or has stopped in the middle of it.
#[tokio::test]
async fn it_airs_from_the_copy_where_the_database_keeps_it_waiting() {
    let (store, _proxies, mut config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    drop(daemon);
    let holder = store.session().await;
    let lock = i64::from_be_bytes(*b"playoutd");
    let held = "SELECT pg_advisory_lock($1)";
    holder.execute(held, &[&lock]).await.unwrap();
    config.statement_timeout = Duration::from_millis(300);
    let opening = tokio::time::timeout(Duration::from_secs(30), Store::connect(&config));
    let daemon = opening.await.expect("it does not wait for ever").unwrap();
    assert!(!daemon.is_taken_up());
    assert_the_same(&daemon, &given).await;
    drop(holder);
    daemon.until_reached().await;
}

#[tokio::test]
async fn another_master_key_airs_and_is_found_before_anything_is_written() {
    let (store, proxies, mut config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    drop(daemon);
    proxies.postgres.set(Manner::Refuse);
    let other = store.folder().join("other.key");
    write_private(&other);
    config.master_key = KeySource::File(other.clone());
    let daemon = Store::connect(&config).await.unwrap();
    assert_eq!(loaded(&daemon).await[0].stored.channel, given.channel);
    let key = std::fs::read(&other).unwrap();
    proxies.postgres.set(Manner::Pass);
    let mut condition = daemon.condition(Server::Postgres);
    let wrong = "is not the one that the database is sealed with";
    until("it is said why", async || {
        let condition = condition.borrow_and_update();
        condition.why().is_some_and(|why| why.contains(wrong))
    })
    .await;
    let who = Principal::daemon();
    let refused = daemon
        .insert_channel(&who, &channel(who.client, "Two"), &given.airs)
        .await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(daemon.writable().is_err() && !daemon.is_taken_up());
    let known = "SELECT count(*) FROM master_keys";
    let known = store.session().await.query_one(known, &[]).await.unwrap();
    assert_eq!(known.get::<_, i64>(0), 1);
    assert_eq!(std::fs::read(&other).unwrap(), key);

    // The right one is put in its place: it is found without a restart.
    std::fs::copy(store.folder().join("master.key"), &other).unwrap();
    daemon.until_reached().await;
    let destination = given.channel.config.rtmp_destinations[0].id.unwrap();
    let key = daemon.stream_key(destination).await.unwrap().unwrap();
    assert_eq!(key.reveal(), "live_sesame");
}

/// A key that nothing is sealed with.
fn write_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, "5a".repeat(32)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn no_secret_is_in_the_copies() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let mut texts = Vec::new();
    for kind in std::fs::read_dir(config.standby.unwrap())
        .unwrap()
        .flatten()
    {
        for file in std::fs::read_dir(kind.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            texts.push(std::fs::read_to_string(file.path()).unwrap());
        }
    }
    assert!(texts.len() >= 6, "{texts:?}");
    for kind in ["channels", "stream-keys", "limits", "media", "renditions"] {
        texts.push(store.redis_value(&format!("copy:{kind}")).await.unwrap());
    }
    for text in texts {
        assert!(
            !text.contains("sesame") && !text.contains(&given.secret),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_later_copy_counts_whatever_either_missed() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let who = Principal::daemon();
    // Redis misses that the channel was deleted and another made.
    proxies.redis.set(Manner::Refuse);
    let mut redis = daemon.condition(Server::Redis);
    redis.wait_for(|redis| !redis.works()).await.unwrap();
    daemon
        .delete_channel(&who, given.channel.id, None)
        .await
        .unwrap();
    let (two, airs) = (channel(who.client, "Two"), airtime());
    let two = daemon.insert_channel(&who, &two, &airs).await.unwrap();
    daemon.keep_channel(&two, &airs, true);
    let file = format!("channels/{}.json", two.id);
    let file = config.standby.as_ref().unwrap().join(file);
    until("it is on disk", async || file.exists()).await;
    let written = on_disk(&config);
    drop(daemon);
    proxies.redis.set(Manner::Pass);
    proxies.postgres.set(Manner::Refuse);
    assert!(in_redis(&store).await < written);
    let daemon = Store::connect(&config).await.unwrap();
    let to_air = loaded(&daemon).await;
    assert_eq!(to_air.len(), 1);
    assert_eq!(to_air[0].stored.channel.id, two.id);
    // And Redis is brought up to date.
    until("Redis has it, too", async || {
        let channels = store.redis_value("copy:channels").await;
        channels.is_some_and(|all| {
            all.contains(&two.id.to_string()) && !all.contains(&given.channel.id.to_string())
        })
    })
    .await;
}

/// What the copy in Redis consists of.
const PARTS: [&str; 7] = [
    "copy:channels",
    "copy:media",
    "copy:renditions",
    "copy:stream-keys",
    "copy:limits",
    "copy:counts",
    "copy:revision",
];

#[tokio::test]
async fn a_redis_that_lost_the_copy_unnoticed_gets_all_of_it_with_the_next_change() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    for part in PARTS {
        store.forget_redis(part).await;
    }
    let new = NewToken {
        client: given.channel.client_id,
        scopes: Scopes::CLIENT,
        name: "another script".to_owned(),
        expires_at: None,
    };
    daemon
        .create_token(&Principal::daemon(), new)
        .await
        .unwrap();
    until("it is at the revision of the disk", async || {
        let disk = on_disk(&config);
        disk > 0 && disk == in_redis(&store).await
    })
    .await;
    for part in PARTS {
        let there = store.redis_value(part).await.unwrap_or_default();
        assert!(there.len() > 2, "{part}: {there:?}");
    }
}

#[tokio::test]
async fn a_copy_in_redis_that_lost_a_part_is_none() {
    for lost in ["copy:channels", "copy:counts"] {
        let (store, proxies, config) = with_copies().await;
        let daemon = Store::connect(&config).await.unwrap();
        let given = given(&store, &daemon, &config).await;
        drop(daemon);
        store.forget_redis(lost).await;
        assert!(in_redis(&store).await >= on_disk(&config));
        proxies.postgres.set(Manner::Refuse);
        let daemon = Store::connect(&config).await.unwrap();
        assert_the_same(&daemon, &given).await;
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_gets_the_copy_though_nothing_changes() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    given(&store, &daemon, &config).await;
    let mut redis = daemon.condition(Server::Redis);
    proxies.redis.set(Manner::Refuse);
    redis.wait_for(|redis| !redis.works()).await.unwrap();
    for part in PARTS {
        store.forget_redis(part).await;
    }
    proxies.redis.set(Manner::Pass);
    until("it has everything again", async || {
        in_redis(&store).await > 0
    })
    .await;
    let channels = store.redis_value("copy:channels").await;
    assert_ne!(channels, Some("{}".to_owned()));
}

#[tokio::test]
async fn a_database_that_lost_everything_is_not_begun_anew_under_channels_that_are_known() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    drop(daemon);
    let session = store.session().await;
    session
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .unwrap();
    let daemon = Store::connect(&config).await.unwrap();
    assert_the_same(&daemon, &given).await;
    let refused = daemon.writable().unwrap_err().to_string();
    assert!(
        refused.contains("the database is empty, and 1 channels"),
        "{refused}"
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = session.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn without_any_copy_it_does_not_open() {
    let (_store, proxies, config) = with_copies().await;
    proxies.postgres.set(Manner::Refuse);
    let refused = Store::connect(&config).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
}

#[tokio::test]
async fn a_copy_that_was_never_complete_is_none() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let who = Principal::daemon();
    let (one, airs) = (channel(who.client, "One"), airtime());
    let one = daemon.insert_channel(&who, &one, &airs).await.unwrap();
    daemon.keep_channel(&one, &airs, true);
    drop(daemon);
    proxies.postgres.set(Manner::Refuse);
    assert!(Store::connect(&config).await.is_err());
    assert_eq!((on_disk(&config), in_redis(&store).await), (0, 0));
}

#[tokio::test]
async fn what_a_channel_did_while_the_database_was_away_is_not_forgotten_by_a_restart() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let (mut airs, mut played) = (given.airs.clone(), given.channel.clone());
    airs.plan = airtime().plan;
    played.life.restart_count = 7;
    daemon.keep_channel(&played, &airs, false);
    let before = on_disk(&config);
    until("it is on disk", async || on_disk(&config) > before).await;
    drop(daemon);
    let daemon = Store::connect(&config).await.unwrap();
    let to_air = loaded(&daemon).await;
    assert!(!to_air[0].recorded);
    assert_eq!(to_air[0].stored.channel, played);
    assert_eq!(to_air[0].stored.airtime, airs);
    // Of another version nothing is taken.
    let mut config_of_it = given.channel.config.clone();
    config_of_it.name = "Another".to_owned();
    let who = Principal::daemon();
    let changed = daemon
        .update_channel(&who, given.channel.id, 1, &config_of_it, None)
        .await
        .unwrap();
    drop(daemon);
    let daemon = Store::connect(&config).await.unwrap();
    let to_air = loaded(&daemon).await;
    assert!(to_air[0].recorded);
    assert_eq!(to_air[0].stored.channel, changed);
    assert_eq!(to_air[0].stored.airtime, given.airs);
}

fn order(channel: &Channel, operation: Operation, at: Timestamp) -> Order {
    let mut life = LifeState {
        generation: channel.life.generation,
        ..channel.life.clone()
    };
    match operation {
        Operation::Stop => {
            life.desired = Desired::Stopped;
            life.status = ChannelStatus::Stopped;
            life.last_stop_time = Some(at);
        }
        _ => {
            life.desired = Desired::Live;
            life.status = ChannelStatus::Starting;
            life.last_start_time = Some(at);
        }
    }
    Order {
        id: Uuid::now_v7(),
        at,
        channel: channel.id,
        client: channel.client_id,
        who: Principal::daemon(),
        operation,
        life,
    }
}

async fn audited(store: &Store, id: ChannelId) -> Vec<String> {
    let entries = store
        .audit(Principal::daemon().client, 0, 100)
        .await
        .unwrap();
    let of_it = entries.iter().filter(|entry| entry.subject == id.uuid());
    of_it.map(|entry| entry.operation.clone()).collect()
}

#[tokio::test]
async fn orders_are_in_the_database_afterwards_in_their_order_and_once() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let id = given.channel.id;
    proxies.postgres.set(Manner::Hang);
    let mut postgres = daemon.condition(Server::Postgres);
    postgres
        .wait_for(|postgres| !postgres.works())
        .await
        .unwrap();
    let mut last = None;
    for operation in [Operation::Start, Operation::Stop, Operation::Start] {
        let order = order(&given.channel, operation, Timestamp::now());
        let refused = daemon.order(&order).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        daemon.journal(&order).await.unwrap();
        last = Some(order);
    }
    let last = last.unwrap();
    assert_eq!(daemon.journaled(), 3);
    proxies.postgres.set(Manner::Pass);
    daemon.until_recordable().await;
    let stored = daemon.channel(id).await.unwrap().unwrap().channel;
    assert_eq!(stored.life.desired, Desired::Live);
    let started = stored.life.last_start_time.unwrap().as_microsecond();
    assert_eq!(started, last.at.as_microsecond());
    let expected = [
        "channel.create",
        "channel.start",
        "channel.stop",
        "channel.start",
    ];
    assert_eq!(audited(&store, id).await, expected);
    let entries = store
        .audit(Principal::daemon().client, 0, 100)
        .await
        .unwrap();
    let detail = &entries.last().unwrap().detail;
    assert_eq!(detail["after"]["order"], last.id.to_string());
    assert_eq!(detail["after"]["orderedAt"], last.at.to_string());
    let whole = store.verify_audit(&ExportedHeads::default()).await.unwrap();
    assert!(whole.faults.is_empty(), "{whole:?}");
    // Given again, by whatever way, it changes nothing.
    daemon.order(&last).await.unwrap();
    daemon.journal(&last).await.unwrap();
    daemon.until_recordable().await;
    assert_eq!(audited(&store, id).await, expected);
    assert_eq!(store.redis_value("journal").await, None, "it is emptied");
    let orders = config.standby.unwrap().join("orders");
    assert_eq!(std::fs::read_dir(orders).unwrap().count(), 0);
}

#[tokio::test]
async fn orders_outlive_the_daemon_wherever_they_were_written() {
    for lost in ["the disk", "Redis"] {
        let (store, proxies, config) = with_copies().await;
        let daemon = Store::connect(&config).await.unwrap();
        let given = given(&store, &daemon, &config).await;
        let id = given.channel.id;
        proxies.postgres.set(Manner::Refuse);
        let start = order(&given.channel, Operation::Start, Timestamp::now());
        daemon.journal(&start).await.unwrap();
        let orders = config.standby.as_ref().unwrap().join("orders");
        assert!(orders.join(format!("{}.json", start.id)).exists());
        // Nothing is written there any more.
        assert!(daemon.copies_written(Duration::from_secs(30)).await);
        drop(daemon);
        match lost {
            "Redis" => store.forget_redis("journal").await,
            _ => std::fs::remove_dir_all(orders).unwrap(),
        }
        // Without the database it is part of what is kept…
        let daemon = Store::connect(&config).await.unwrap();
        let to_air = loaded(&daemon).await;
        assert_eq!(to_air[0].stored.channel.life, start.life, "without {lost}");
        drop(daemon);
        // … and with it, it is brought there first.
        proxies.postgres.set(Manner::Pass);
        let daemon = Store::connect(&config).await.unwrap();
        assert_eq!(daemon.journaled(), 0);
        let stored = daemon.channel(id).await.unwrap().unwrap().channel;
        assert_eq!(stored.life.desired, Desired::Live, "without {lost}");
        assert_eq!(
            audited(&store, id).await,
            ["channel.create", "channel.start"]
        );
    }
}

/// It was acknowledged; that the database cannot be told of it at once must not put the channel back on air.
#[tokio::test]
async fn an_order_that_waits_still_counts_at_a_start_with_the_database() {
    let (store, _proxies, mut config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    let lock = "SELECT FROM clients FOR UPDATE";
    holder.execute(lock, &[]).await.unwrap();
    let start = order(&given.channel, Operation::Start, Timestamp::now());
    daemon.journal(&start).await.unwrap();
    drop(daemon);
    config.statement_timeout = Duration::from_millis(300);
    let daemon = Store::connect(&config).await.unwrap();
    assert!(daemon.is_taken_up());
    assert_eq!(daemon.journaled(), 1);
    let to_air = loaded(&daemon).await;
    assert_eq!(to_air[0].stored.channel.life, start.life);
    assert!(!to_air[0].recorded);
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_database_that_goes_away_during_the_start_does_not_end_it() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    daemon.renew_leases().await.unwrap();
    drop(daemon);
    let daemon = Store::connect(&config).await.unwrap();
    assert!(daemon.is_taken_up());
    proxies.postgres.set(Manner::Refuse);
    let mut postgres = daemon.condition(Server::Postgres);
    postgres
        .wait_for(|postgres| !postgres.works())
        .await
        .unwrap();
    assert_the_same(&daemon, &given).await;
    assert!(!daemon.is_taken_up(), "what it has is compared later");
    let id = given.channel.id;
    let lease = daemon.lease(id).unwrap();
    proxies.postgres.set(Manner::Pass);
    daemon.until_reached().await;
    daemon.begin_leases().await.unwrap();
    assert_eq!(daemon.take_lost(), []);
    assert!(lease.holds(), "what airs goes on");
    daemon.take_up();
    daemon.until_recordable().await;
    let life = &given.channel.life;
    daemon.save_life(id, life, Cause::Automatic).await.unwrap();
}

/// What a client chose is never chosen by the daemon: what the database has of it counts.
#[tokio::test]
async fn a_rotation_that_the_copy_does_not_know_is_not_undone_by_what_was_not_recorded() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let (before, mut chosen) = (on_disk(&config), given.airs.clone());
    let mut played = given.channel.clone();
    played.life.restart_count = 7;
    daemon.keep_channel(&played, &given.airs, false);
    until("it is on disk", async || on_disk(&config) > before).await;
    chosen.schedule = Default::default();
    let id = given.channel.id;
    let who = Principal::daemon();
    daemon.save_airtime(Some(&who), id, &chosen).await.unwrap();
    drop(daemon);
    let daemon = Store::connect(&config).await.unwrap();
    let to_air = loaded(&daemon).await;
    assert_eq!(to_air[0].stored.channel, played);
    assert_eq!(to_air[0].stored.airtime, chosen);
}

/// An order takes the lock of its client before anything else; in another order two of them could block each
/// other.
#[tokio::test]
async fn an_order_that_waits_for_its_client_holds_nothing() {
    let store = testing::fresh().await;
    let channel = crate::given::stored(&store, &Principal::daemon(), "One").await;
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    let lock = "SELECT FROM clients FOR UPDATE";
    holder.execute(lock, &[]).await.unwrap();
    let start = order(&channel, Operation::Start, Timestamp::now());
    let ordered = tokio::spawn({
        let (store, start) = (Store::clone(&store), start.clone());
        async move { store.order(&start).await }
    });
    let other = store.session().await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                AND wait_event_type = 'Lock')";
    until("it waits", async || {
        other.query_one(waits, &[]).await.unwrap().get(0)
    })
    .await;
    other
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '200ms'")
        .await
        .unwrap();
    let note = "INSERT INTO orders (id, at) VALUES ($1, now())";
    other.execute(note, &[&start.id]).await.unwrap();
    other.batch_execute("ROLLBACK").await.unwrap();
    holder.rollback().await.unwrap();
    // It may have been told meanwhile that PostgreSQL thinks for long.
    drop(ordered.await.unwrap());
}

#[tokio::test]
async fn what_became_of_an_order_that_was_given_up_is_found_out_and_it_does_not_come_later() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let channel = crate::given::stored(&store, &who, "One").await;
    let (id, client) = (channel.id, channel.client_id);
    let done = order(&channel, Operation::Start, Timestamp::now());
    store.order(&done).await.unwrap();
    let never = order(&channel, Operation::Stop, Timestamp::now());
    let given_up = [done.id, never.id];
    let settled = store.settled_channel(client, id, &given_up).await;
    let settled = settled.unwrap().unwrap().channel;
    assert_eq!(settled.life.desired, Desired::Live);
    store.order(&never).await.unwrap();
    let stored = store.channel(id).await.unwrap().unwrap().channel;
    assert_eq!(stored.life, settled.life);
    store.delete_channel(&who, id, None).await.unwrap();
    assert_eq!(store.settled_channel(client, id, &[]).await, Ok(None));
}

#[tokio::test]
async fn a_later_order_is_not_undone_by_an_earlier_one_that_comes_late() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let early = order(&given.channel, Operation::Start, Timestamp::now());
    let late = order(&given.channel, Operation::Stop, Timestamp::now());
    daemon.order(&late).await.unwrap();
    daemon.journal(&early).await.unwrap();
    daemon.until_recordable().await;
    let stored = daemon.channel(given.channel.id).await.unwrap().unwrap();
    assert_eq!(stored.channel.life.desired, Desired::Stopped);
    let audited = audited(&store, given.channel.id).await;
    assert_eq!(audited, ["channel.create", "channel.stop", "channel.start"]);
}

#[tokio::test]
async fn an_order_of_a_channel_or_client_that_is_gone_keeps_no_other_from_the_database() {
    let (store, _proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let mut of_nobody = order(&given.channel, Operation::Start, Timestamp::now());
    of_nobody.client = playout_domain::ClientId::from(Uuid::now_v7());
    let mut of_nothing = order(&given.channel, Operation::Start, Timestamp::now());
    of_nothing.channel = ChannelId::from(Uuid::now_v7());
    let good = order(&given.channel, Operation::Start, Timestamp::now());
    for order in [&of_nobody, &of_nothing, &good] {
        daemon.journal(order).await.unwrap();
    }
    daemon.until_recordable().await;
    let stored = daemon.channel(given.channel.id).await.unwrap().unwrap();
    assert_eq!(stored.channel.life.desired, Desired::Live);
    assert_eq!(audited(&store, of_nothing.channel).await, ["channel.start"]);
}

#[tokio::test]
async fn an_order_that_redis_does_not_take_is_refused_and_does_not_come_later() {
    let (store, proxies, config) = with_copies().await;
    let daemon = Store::connect(&config).await.unwrap();
    let given = given(&store, &daemon, &config).await;
    let start = order(&given.channel, Operation::Start, Timestamp::now());
    // It arrives, but nobody hears that it did.
    proxies.redis.set(Manner::Hang);
    let refused = daemon.journal(&start).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert_eq!(daemon.journaled(), 0);
    proxies.redis.set(Manner::Pass);
    let mut redis = daemon.condition(Server::Redis);
    redis
        .wait_for(playout_store::Condition::works)
        .await
        .unwrap();
    until("it is withdrawn", async || {
        store.redis_value("journal").await.is_none()
    })
    .await;
    assert_eq!(audited(&store, given.channel.id).await, ["channel.create"]);
}
