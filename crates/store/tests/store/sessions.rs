//! Sessions: each stands for a token, ends with it, and when nobody uses it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_store::testing::{self, TestStore};
use playout_store::{Credential, NewToken, Principal, Scopes, SessionTimes, Store, StoreError};

const LONG: SessionTimes = SessionTimes {
    idle: Duration::from_secs(3600),
    longest: Duration::from_secs(7200),
};

/// Nothing here takes longer.
const BOUND: Duration = Duration::from_secs(20);

async fn token(store: &Store, expires_at: Option<Timestamp>) -> Principal {
    let who = Principal::daemon();
    let new = NewToken {
        client: who.client,
        scopes: Scopes::CLIENT,
        name: "wall".to_owned(),
        expires_at,
    };
    let (_, secret) = store.create_token(&who, new).await.unwrap();
    store.principal(&secret).await.unwrap().unwrap()
}

async fn session(store: &Store, who: &Principal, times: SessionTimes) -> Credential {
    Credential::of_session(&store.create_session(who, times).await.unwrap())
}

/// When a session ends unused, as the database has it.
async fn expiry(store: &TestStore) -> Timestamp {
    let session = store.session().await;
    let row = session.query_one("SELECT expires_at FROM sessions", &[]);
    row.await.unwrap().get(0)
}

#[tokio::test]
async fn a_session_is_who_its_token_is_here_and_elsewhere() {
    let store = testing::fresh().await;
    let who = token(&store, None).await;
    let credential = session(&store, &who, LONG).await;
    let other = Store::connect(store.config()).await.unwrap();
    for store in [&*store, &other] {
        let known = store.principal_of(&credential).await.unwrap();
        assert_eq!(known, Some(who.clone()));
    }
    other.end_session(&who, &credential).await.unwrap();
    assert_eq!(other.principal_of(&credential).await.unwrap(), None);
    ended(&store, &credential).await;
    let again = other.end_session(&who, &credential).await;
    assert!(matches!(again, Err(StoreError::NotFound)), "{again:?}");
    let audit = store.audit(who.client, 0, 100).await.unwrap();
    let operations: Vec<&str> = audit.iter().map(|entry| &*entry.operation).collect();
    assert_eq!(operations, ["token.create", "session.begin", "session.end"]);
}

/// Waits until a session is none any more.
async fn ended(store: &Store, credential: &Credential) {
    let ended = async {
        while store.principal_of(credential).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, ended).await.expect("it ends");
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it_and_later_where_somebody_does() {
    let store = testing::fresh().await;
    let who = token(&store, None).await;
    let short = SessionTimes {
        idle: Duration::from_millis(300),
        longest: Duration::from_secs(60),
    };
    let credential = session(&store, &who, short).await;
    ended(&store, &credential).await;
    store.session_used(&who, &credential, LONG);
    assert_eq!(
        store.principal_of(&credential).await.unwrap(),
        None,
        "nothing revives it"
    );

    let store = testing::fresh().await;
    let who = token(&store, None).await;
    let credential = session(&store, &who, LONG).await;
    let before = expiry(&store).await;
    let longer = SessionTimes {
        idle: 3 * LONG.idle,
        ..LONG
    };
    store.session_used(&who, &credential, longer);
    let extended = async { while expiry(&store).await == before {} };
    tokio::time::timeout(BOUND, extended)
        .await
        .expect("it is kept longer");
    let longest = SignedDuration::try_from(LONG.longest - LONG.idle).unwrap();
    let later = expiry(&store).await.duration_since(before);
    assert!(
        (later - longest).abs() < SignedDuration::from_secs(1),
        "no longer than it may: {later}"
    );
}

#[tokio::test]
async fn a_session_does_not_outlive_its_token_and_there_are_not_too_many() {
    let store = testing::fresh().await;
    let minute = Timestamp::now() + SignedDuration::from_mins(1);
    let who = token(&store, Some(minute)).await;
    let first = session(&store, &who, LONG).await;
    assert!(expiry(&store).await <= minute);
    for _ in 0..100 {
        session(&store, &who, LONG).await;
    }
    assert_eq!(store.principal_of(&first).await.unwrap(), None);
    let session = store.session().await;
    let count = session.query_one("SELECT count(*) FROM sessions", &[]);
    assert_eq!(count.await.unwrap().get::<_, i64>(0), 100);
    let id = who.token.unwrap();
    store
        .revoke_token(&Principal::daemon(), id, None)
        .await
        .unwrap();
    let none = store.create_session(&who, LONG).await;
    assert!(matches!(none, Err(StoreError::Conflict(_))), "{none:?}");
}
