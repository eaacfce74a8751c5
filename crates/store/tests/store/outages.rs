//! Servers that hang, refuse and come back: callers are told at once, and nothing old is used afterwards.

use std::time::Duration;

use playout_store::testing::{self, Manner};
use playout_store::{Condition, Principal, Server, Store, StoreError};

use crate::given::stored;

/// Waits until a server is found to be as `wanted`.
async fn until(store: &Store, server: Server, wanted: impl FnMut(&Condition) -> bool) {
    let mut condition = store.condition(server);
    let found = tokio::time::timeout(Duration::from_secs(30), condition.wait_for(wanted)).await;
    found.expect("it is found out").unwrap();
}

fn away(condition: &Condition) -> bool {
    matches!(condition, Condition::Away(_))
}

#[tokio::test]
async fn a_server_that_hangs_is_noticed_without_a_caller_and_not_asked_until_it_is_back() {
    for manner in [Manner::Hang, Manner::Refuse] {
        let (store, proxies) = testing::behind_proxies().await;
        let created = stored(&store, &Principal::daemon(), "One").await;
        proxies.postgres.set(manner);
        until(&store, Server::Postgres, away).await;
        let before = proxies.postgres.accepted();
        let refused = store.channel(created.id).await.unwrap_err();
        let StoreError::Unavailable(why) = &refused else {
            panic!("{refused}");
        };
        assert!(why.cause().starts_with("PostgreSQL is away: "), "{why}");
        assert!(why.retry_after() >= Duration::from_secs(1));
        assert_eq!(
            store.writable().unwrap_err().to_string(),
            refused.to_string()
        );
        // A probe may have come in between.
        assert!(proxies.postgres.accepted() <= before + 1, "it was asked");
        let session = store.session().await;
        let old = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                      AND application_name = 'playoutd' AND backend_start < $1";
        let now = "SELECT clock_timestamp()";
        let outage: jiff::Timestamp = session.query_one(now, &[]).await.unwrap().get(0);
        proxies.postgres.set(Manner::Pass);
        until(&store, Server::Postgres, Condition::works).await;
        let again = store.channel(created.id).await.unwrap().unwrap();
        assert_eq!(again.channel, created);
        let gone = async {
            let left = async || {
                session
                    .query_one(old, &[&outage])
                    .await
                    .unwrap()
                    .get::<_, i64>(0)
            };
            while left().await > 0 {}
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        gone.expect("connections from before the outage are closed");
    }
}

#[tokio::test]
async fn what_waits_for_a_server_when_it_hangs_is_given_up() {
    let (store, proxies) = testing::behind_proxies().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    holder
        .execute("SELECT FROM clients FOR UPDATE", &[])
        .await
        .unwrap();
    let waiting = store.delete_channel(&who, created.id, None);
    let hang = async {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                  AND wait_event_type = 'Lock')";
        let observer = store.session().await;
        while !observer
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            tokio::task::yield_now().await;
        }
        proxies.postgres.set(Manner::Hang);
    };
    let (given_up, ()) = tokio::join!(waiting, hang);
    assert!(
        matches!(&given_up, Err(StoreError::Unavailable(why)) if why.cause().contains("is not known")),
        "{given_up:?}"
    );
    holder.rollback().await.unwrap();
    proxies.postgres.set(Manner::Pass);
    until(&store, Server::Postgres, Condition::works).await;
    // Its transaction ended with its connection, before anything was committed.
    assert!(store.channel(created.id).await.unwrap().is_some());
}

#[tokio::test]
async fn redis_is_watched_in_the_same_way() {
    let (store, proxies) = testing::behind_proxies().await;
    let created = stored(&store, &Principal::daemon(), "One").await;
    for manner in [Manner::Hang, Manner::Refuse] {
        proxies.redis.set(manner);
        until(&store, Server::Redis, away).await;
        let refused = store.hot().heartbeat(created.id).await.unwrap_err();
        assert!(refused.to_string().contains("Redis is away"), "{refused}");
        assert!(store.writable().is_ok(), "PostgreSQL is another matter");
        proxies.redis.set(Manner::Pass);
        until(&store, Server::Redis, Condition::works).await;
        assert_eq!(store.hot().heartbeat(created.id).await, Ok(None));
    }
}

#[tokio::test]
async fn a_crowd_of_our_own_is_told_so_and_says_nothing_about_the_server() {
    let store = testing::fresh().await;
    let mut config = store.config().clone();
    (config.pool_size, config.statement_timeout) = (1, Duration::from_secs(60));
    let narrow = Store::connect(&config).await.unwrap();
    let who = Principal::daemon();
    let created = stored(&narrow, &who, "One").await;
    let mut session = store.session().await;
    let holder = session.transaction().await.unwrap();
    holder
        .execute("SELECT FROM clients FOR UPDATE", &[])
        .await
        .unwrap();
    let holding = tokio::spawn({
        let (narrow, who) = (narrow.clone(), who.clone());
        async move { narrow.delete_channel(&who, created.id, None).await }
    });
    for _ in 0..4 {
        let refused = loop {
            // The first may come before the one that holds.
            match narrow.channel(created.id).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(refused) => break refused,
            }
        };
        assert!(
            refused.to_string().contains("all 1 connections"),
            "{refused}"
        );
    }
    assert!(narrow.condition(Server::Postgres).borrow().works());
    holder.rollback().await.unwrap();
    holding.await.unwrap().unwrap();
    assert_eq!(narrow.channel(created.id).await, Ok(None));
}
