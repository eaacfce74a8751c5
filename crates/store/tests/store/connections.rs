//! Connections: callers that go away leave none half-way, and a server that is down is said to be.

use std::time::Duration;

use playout_store::{Condition, Principal, Server, Store, StoreConfig, StoreError, testing};

use crate::given::{airtime, channel, stored};

#[tokio::test]
async fn callers_that_go_away_at_any_point_cost_no_connection() {
    let store = testing::fresh().await;
    let mut config = store.config().clone();
    config.pool_size = 1;
    let narrow = Store::connect(&config).await.unwrap();
    let who = Principal::daemon();
    stored(&narrow, &who, "First").await;
    for n in 0..60_u64 {
        let given = channel(who.client, &format!("Channel {n}"));
        let airs = airtime();
        let asked = narrow.insert_channel(&who, &given, &airs);
        // Every point from before the first query to after the last is met.
        let patience = Duration::from_micros(n * 100);
        drop(tokio::time::timeout(patience, asked).await);
        assert!(narrow.channel(given.id).await.is_ok(), "after {patience:?}");
    }
    // What was begun came to its end: channels and audit agree.
    let channels = narrow.all_channels().await.unwrap().channels.len();
    let entries = narrow.audit(who.client, 0, 1_000).await.unwrap().len();
    assert_eq!(channels, entries);
}

#[tokio::test]
async fn what_was_begun_is_done_even_if_its_caller_goes_away() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    holder
        .execute("SELECT FROM clients FOR UPDATE", &[])
        .await
        .unwrap();
    let observer = store.session().await;
    let given = channel(who.client, "One");
    let airs = airtime();
    {
        let begun = async {
            let sql =
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                      AND wait_event_type = 'Lock')";
            while !observer
                .query_one(sql, &[])
                .await
                .unwrap()
                .get::<_, bool>(0)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = store.insert_channel(&who, &given, &airs) => panic!("it did not wait: {done:?}"),
            begun = tokio::time::timeout(Duration::from_secs(30), begun) => begun.unwrap(),
        }
    }
    holder.rollback().await.unwrap();
    // Behind it in the same lock.
    stored(&store, &who, "Two").await;
    assert!(store.channel(given.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_and_the_next_one_works() {
    let store = testing::fresh().await;
    let mut config = store.config().clone();
    (config.pool_size, config.statement_timeout) = (1, Duration::from_millis(200));
    let impatient = Store::connect(&config).await.unwrap();
    let who = Principal::daemon();
    let created = stored(&impatient, &who, "One").await;
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    holder
        .execute("SELECT FROM clients FOR UPDATE", &[])
        .await
        .unwrap();
    let refused = impatient
        .delete_channel(&who, created.id, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.cause().contains("statement timeout")),
        "{refused}"
    );
    assert_eq!(
        impatient
            .channel(created.id)
            .await
            .unwrap()
            .unwrap()
            .channel,
        created
    );
    holder.rollback().await.unwrap();
    impatient
        .delete_channel(&who, created.id, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended: i64 = store
        .session()
        .await
        .query_one(ended, &[])
        .await
        .unwrap()
        .get(0);
    assert!(ended > 0);
    assert_eq!(
        store.channel(created.id).await.unwrap().unwrap().channel,
        created
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_a_wrong_url_a_matter_of_setup() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().display().to_string().replace('/', "%2F");
    let key = folder.path().join("master.key");
    let config = StoreConfig::new(
        format!("postgresql://me:hunter2@{host}/db"),
        "redis://127.0.0.1:1",
        &key,
    );
    let refused = Store::connect(&config).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(!refused.to_string().contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    let store = testing::fresh().await;
    let there = &store.config().database_url;
    let wrong = [
        "postgresql://[".to_owned(),
        format!("{there}_not"),
        format!("{there}?sslmode=require"),
        "x".to_owned(),
    ];
    for url in wrong {
        let refused = Store::connect(&StoreConfig::new(&url, "redis://127.0.0.1:1", &key))
            .await
            .unwrap_err();
        assert!(matches!(refused, StoreError::Setup(_)), "{url}: {refused}");
    }
    assert!(!key.exists());
}

#[tokio::test]
async fn a_full_disk_is_told_from_a_server_that_is_away() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    // As PostgreSQL refuses where a file cannot grow.
    store
        .session()
        .await
        .batch_execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
             END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON channels FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        .await
        .unwrap();
    let refused = store
        .insert_channel(&who, &channel(who.client, "One"), &airtime())
        .await;
    let for_want_of_room =
        matches!(&refused, Err(StoreError::Unavailable(away)) if away.is_for_want_of_room());
    assert!(for_want_of_room, "{refused:?}");
    let condition = store.condition(Server::Postgres).borrow().clone();
    assert!(matches!(condition, Condition::Full(_)), "{condition:?}");
}
