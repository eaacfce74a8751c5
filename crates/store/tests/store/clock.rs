//! The clocks of a daemon and of its database differ: what is made stands, what has ended has ended, and nothing is held or lost
//! for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_store::testing::{self, TestStore};
use playout_store::{
    Begun, Credential, ExportedHeads, NewToken, Principal, Scopes, SessionTimes, Store,
};

use crate::given::stored;

/// A daemon on the database of `store`, whose clock is so many minutes ahead, or behind.
async fn skewed(store: &TestStore, minutes: i32) -> Store {
    let session = store.session().await;
    let row = session.query_one("SELECT current_database()", &[]).await;
    let name: String = row.unwrap().get(0);
    let sql = format!(
        "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE
             AS 'SELECT pg_catalog.now() + interval ''{minutes} minutes''';
         ALTER DATABASE \"{name}\" SET search_path TO public, pg_catalog"
    );
    session.batch_execute(&sql).await.unwrap();
    Store::connect(store.config()).await.unwrap()
}

#[tokio::test]
async fn ten_minutes_of_difference_either_way_change_nothing() {
    for minutes in [-10, 10] {
        let kept = testing::fresh().await;
        let store = skewed(&kept, minutes).await;
        let who = Principal::daemon();
        let token = async |expires_at| {
            let new = NewToken {
                client: who.client,
                scopes: Scopes::CLIENT,
                name: "wall".to_owned(),
                expires_at,
            };
            let (_, secret) = store.create_token(&who, new).await.unwrap();
            Credential::of(&secret)
        };
        let now = Timestamp::now();
        let soon = now + SignedDuration::from_mins(30);
        let (forever, limited) = (token(None).await, token(Some(soon)).await);
        let known = store.principal_of(&forever).await.unwrap().unwrap();
        let times = SessionTimes {
            idle: Duration::from_secs(1800),
            longest: Duration::from_secs(7200),
        };
        let session = store.create_session(&known, times).await.unwrap();
        let session = Credential::of_session(&session);
        // Another daemon asks the database, and so does this one when it has forgotten.
        let other = Store::connect(kept.config()).await.unwrap();
        for store in [&store, &other] {
            for credential in [&forever, &limited, &session] {
                let found = store.principal_of(credential).await.unwrap();
                assert!(found.is_some(), "{minutes}");
            }
        }
        let sql = "UPDATE tokens SET expires_at = pg_catalog.now() - interval '11 minutes' WHERE expires_at IS NOT NULL";
        kept.session().await.execute(sql, &[]).await.unwrap();
        let third = Store::connect(kept.config()).await.unwrap();
        assert_eq!(third.principal_of(&limited).await, Ok(None), "{minutes}");
        // What is begun is held, and not taken from the one who holds it.
        let begun = store.idempotent_begin(&who, &forever, "a key", [1; 32]);
        assert!(matches!(begun.await.unwrap(), Begun::First(_)), "{minutes}");
        let again = other.idempotent_begin(&who, &forever, "a key", [1; 32]);
        assert_eq!(again.await.unwrap(), Begun::UnderWay, "{minutes}");
        let channel = stored(&kept, &who, "One").await;
        assert!(other.abandoned_channels().await.unwrap().is_empty());
        assert!(kept.lease(channel.id).is_some());
        let report = store.verify_audit(&ExportedHeads::default()).await;
        assert_eq!(report.unwrap().faults, Vec::new(), "{minutes}");
    }
}
