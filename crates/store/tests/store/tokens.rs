//! Tokens: told once, kept as digests; the admin token's file and the database agree.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_domain::limits::PlanLimits;
use playout_store::testing::{self, Manner};
use playout_store::{NewToken, Principal, Scope, Scopes, Server, Store, StoreError, operator};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::given::BACK_TO_VERSION_5;

#[tokio::test]
async fn a_token_is_known_by_its_digest_alone() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let new = NewToken {
        client: who.client,
        scopes: Scopes::ADMIN,
        name: "script".to_owned(),
        expires_at: None,
    };
    let (made, secret) = store.create_token(&who, new).await.unwrap();
    assert!(
        secret.starts_with("playoutd_") && secret.len() == 9 + 64,
        "{}",
        *secret
    );
    let principal = store.principal(&secret).await.unwrap().unwrap();
    let expected = Principal {
        client: operator(),
        scopes: Scopes::ADMIN,
        token: Some(made.id),
        name: "script".to_owned(),
        attempt: None,
    };
    assert_eq!(principal, expected);
    assert_eq!(
        store.principal(&secret).await.unwrap(),
        Some(expected),
        "the second time"
    );

    let digest: Vec<u8> = store
        .session()
        .await
        .query_one("SELECT digest FROM tokens", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(digest, Sha256::digest(secret.as_bytes()).to_vec());
    for wrong in [
        "",
        "playoutd_",
        &secret[..secret.len() - 1],
        &format!("{}0", *secret),
    ] {
        assert_eq!(store.principal(wrong).await.unwrap(), None, "{wrong:?}");
    }
}

async fn token(store: &Store, name: &str) -> String {
    let who = Principal::daemon();
    let new = NewToken {
        client: who.client,
        scopes: Scopes::ADMIN,
        name: name.to_owned(),
        expires_at: None,
    };
    let (_, secret) = store.create_token(&who, new).await.unwrap();
    secret.to_string()
}

#[tokio::test]
async fn a_token_is_known_while_the_database_is_away_to_a_daemon_that_has_seen_it_or_can_ask_redis()
{
    let (store, proxies) = testing::behind_proxies().await;
    let (seen, unseen) = (token(&store, "seen").await, token(&store, "unseen").await);
    let other = Store::connect(store.config()).await.unwrap();
    assert!(other.principal(&seen).await.unwrap().is_some());
    proxies.postgres.set(Manner::Hang);
    // From memory, long after it was fresh; and from Redis what this daemon has never seen.
    let mut postgres = other.condition(Server::Postgres);
    postgres
        .wait_for(|postgres| !postgres.works())
        .await
        .unwrap();
    for secret in [&seen, &unseen] {
        let who = other.principal(secret).await.unwrap().unwrap();
        assert!(who.is_operator());
    }
    // What nobody knows may be good all the same.
    let unknown = other.principal("playoutd_0123").await;
    assert!(
        matches!(unknown, Err(StoreError::Unavailable(_))),
        "{unknown:?}"
    );
    proxies.redis.set(Manner::Refuse);
    assert!(other.principal(&seen).await.unwrap().is_some());
    assert!(other.principal("playoutd_0123").await.is_err());
}

#[tokio::test]
async fn a_database_that_thinks_for_long_keeps_nobody_waiting_who_is_known() {
    let (store, proxies) = testing::behind_proxies().await;
    let secret = token(&store, "seen").await;
    let other = Store::connect(store.config()).await.unwrap();
    // It hangs, and that is not known yet: Redis knows the token.
    proxies.postgres.set(Manner::Hang);
    tokio::select! {
        known = other.principal(&secret) => assert!(known.unwrap().is_some()),
        _ = other.all_media() => panic!("it waits as long as for the database"),
    }
    assert!(other.condition(Server::Postgres).borrow().works());
}

#[tokio::test]
async fn a_token_that_the_database_does_not_know_any_more_is_forgotten_everywhere() {
    let (store, proxies) = testing::behind_proxies().await;
    let mut config = store.config().clone();
    config.standby = Some(store.folder().join("standby"));
    let daemon = Store::connect(&config).await.unwrap();
    let secret = token(&daemon, "ended").await;
    let digest: String = Sha256::digest(&secret)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let key = format!("token:{digest}");
    assert!(store.redis_value(&key).await.unwrap().contains("ended"));
    let session = store.session().await;
    session.batch_execute("DELETE FROM tokens").await.unwrap();
    // Another daemon asks, and is told; whoever asks Redis afterwards is told so, too.
    assert_eq!(store.principal(&secret).await, Ok(None));
    assert_eq!(store.redis_value(&key).await, None);
    let other = Store::connect(&config).await.unwrap();
    proxies.postgres.set(Manner::Refuse);
    let mut postgres = other.condition(Server::Postgres);
    postgres
        .wait_for(|postgres| !postgres.works())
        .await
        .unwrap();
    assert!(other.principal(&secret).await.is_err());
}

#[tokio::test]
async fn a_token_that_ends_while_redis_is_away_is_taken_from_it_when_it_is_back() {
    let (store, proxies) = testing::behind_proxies().await;
    let file = store.folder().join("admin.token");
    store.admin_token(&file).await.unwrap();
    let first = fs::read_to_string(&file).unwrap();
    let digest = Sha256::digest(first.trim());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("token:{digest}");
    assert!(store.redis_value(&key).await.is_some());
    let mut redis = store.condition(Server::Redis);
    proxies.redis.set(Manner::Refuse);
    redis.wait_for(|redis| !redis.works()).await.unwrap();
    fs::remove_file(&file).unwrap();
    store.admin_token(&file).await.unwrap();
    assert!(store.redis_value(&key).await.is_some());
    proxies.redis.set(Manner::Pass);
    let gone = async {
        while store.redis_value(&key).await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(std::time::Duration::from_secs(30), gone).await;
    gone.expect("Redis does not know it any more");
}

#[tokio::test]
async fn a_client_makes_tokens_for_itself_and_not_for_more() {
    let store = testing::fresh().await;
    let who = store.client("client", &PlanLimits::UNLIMITED).await;
    let new = |client, scopes| NewToken {
        client,
        scopes,
        name: "mine".to_owned(),
        expires_at: None,
    };
    let (_, secret) = store
        .create_token(&who, new(who.client, Scopes::CLIENT))
        .await
        .unwrap();
    let principal = store.principal(&secret).await.unwrap().unwrap();
    assert!(principal.sees(who.client) && !principal.sees(operator()));
    assert_eq!(
        store
            .create_token(&who, new(who.client, Scopes::ADMIN))
            .await
            .unwrap_err(),
        StoreError::Conflict("a token gives no more than it has itself".to_owned())
    );
    assert_eq!(
        store
            .create_token(&who, new(operator(), Scopes::CLIENT))
            .await
            .unwrap_err(),
        StoreError::NotFound
    );
}

#[tokio::test]
async fn a_token_that_is_revoked_rotated_or_expired_is_none_for_any_daemon() {
    let store = testing::fresh().await;
    let other = Store::connect(store.config()).await.unwrap();
    let who = store.client("client", &PlanLimits::UNLIMITED).await;
    let stranger = store.client("stranger", &PlanLimits::UNLIMITED).await;
    let new = |name: &str, expires_at| NewToken {
        client: who.client,
        scopes: Scopes::of([Scope::Operate]).unwrap(),
        name: name.to_owned(),
        expires_at,
    };
    let (revoked, secret) = store
        .create_token(&who, new("revoked", None))
        .await
        .unwrap();
    let (rotated, before) = store
        .create_token(&who, new("rotated", None))
        .await
        .unwrap();
    let soon = Timestamp::now() + SignedDuration::from_millis(700);
    let (expiring, ending) = store
        .create_token(&who, new("expiring", Some(soon)))
        .await
        .unwrap();
    assert_eq!(revoked.prefix.as_deref(), Some(&secret[..17]));
    let mine: Vec<_> = store.tokens(&who, None, None, 10).await.unwrap();
    assert_eq!(
        mine.iter().map(|token| token.id).collect::<Vec<_>>(),
        [revoked.id, rotated.id, expiring.id]
    );
    assert_eq!(
        store.tokens(&who, None, Some(revoked.id), 1).await.unwrap(),
        std::slice::from_ref(&rotated)
    );
    assert_eq!(store.tokens(&stranger, None, None, 10).await.unwrap(), []);
    for secret in [&secret, &before, &ending] {
        assert!(other.principal(secret).await.unwrap().is_some());
    }

    for refused in [
        store
            .revoke_token(&stranger, revoked.id, None)
            .await
            .unwrap_err(),
        store
            .rotate_token(&stranger, revoked.id, None)
            .await
            .unwrap_err(),
        store.token(&stranger, revoked.id).await.unwrap_err(),
    ] {
        assert_eq!(refused, StoreError::NotFound);
    }
    // One that may only look makes and ends none that may do more.
    let reader = Principal {
        scopes: Scopes::of([Scope::Read]).unwrap(),
        ..who.clone()
    };
    let refused = store.revoke_token(&reader, revoked.id, None).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );

    store.revoke_token(&who, revoked.id, None).await.unwrap();
    let (after, again) = store.rotate_token(&who, rotated.id, None).await.unwrap();
    assert_eq!(
        (after.id, &after.name, after.scopes),
        (rotated.id, &rotated.name, rotated.scopes)
    );
    assert_ne!(after.prefix, rotated.prefix);
    for gone in [&secret, &before] {
        assert_eq!(store.principal(gone).await.unwrap(), None);
    }
    assert!(store.principal(&again).await.unwrap().is_some());
    // The other daemon has seen them a moment ago, and asks again soon; and nobody says when one expires.
    let none = async {
        for gone in [&secret, &before, &ending] {
            while other.principal(gone).await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), none)
        .await
        .expect("they end");
    assert_eq!(store.principal(&ending).await.unwrap(), None);
    let told: Vec<String> = audited(&store, &who).await;
    assert_eq!(
        told,
        [
            "token.create",
            "token.create",
            "token.create",
            "token.delete",
            "token.rotate"
        ]
    );
}

#[tokio::test]
async fn a_token_gives_no_more_than_it_has_and_none_is_the_operators_that_is_a_clients() {
    let store = testing::fresh().await;
    let who = store.client("client", &PlanLimits::UNLIMITED).await;
    let new = |name: &str, scopes, expires_at| NewToken {
        client: who.client,
        scopes,
        name: name.to_owned(),
        expires_at,
    };
    let refused = store
        .create_token(&Principal::daemon(), new("admin", Scopes::ADMIN, None))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let tonight = Timestamp::now() + SignedDuration::from_hours(5);
    let later = tonight + SignedDuration::from_secs(1);
    let (forever, _) = store
        .create_token(&who, new("forever", Scopes::CLIENT, None))
        .await
        .unwrap();
    let (made, secret) = store
        .create_token(&who, new("guest", Scopes::CLIENT, Some(tonight)))
        .await
        .unwrap();
    let guest = store.principal(&secret).await.unwrap().unwrap();
    let (child, _) = store
        .create_token(&guest, new("child", Scopes::CLIENT, None))
        .await
        .unwrap();
    assert_eq!(child.expires_at, made.expires_at);
    for refused in [
        store
            .create_token(&guest, new("late", Scopes::CLIENT, Some(later)))
            .await
            .map(drop),
        store.rotate_token(&guest, forever.id, None).await.map(drop),
        store.revoke_token(&guest, forever.id, None).await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::Conflict(_))),
            "{refused:?}"
        );
    }
    // What was let in a moment ago makes nothing any more once its token is revoked.
    store.revoke_token(&who, made.id, None).await.unwrap();
    let refused = store
        .create_token(&guest, new("too late", Scopes::CLIENT, None))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
}

async fn audited(store: &testing::TestStore, who: &Principal) -> Vec<String> {
    let entries = store.audit(who.client, 0, 100).await.unwrap();
    entries.into_iter().map(|entry| entry.operation).collect()
}

#[tokio::test]
async fn the_token_of_a_daemons_file_ends_with_its_file_alone() {
    let store = testing::fresh().await;
    let file = store.folder().join("admin.token");
    store.admin_token(&file).await.unwrap();
    let operator = Principal::daemon();
    let [token] = &store.tokens(&operator, None, None, 10).await.unwrap()[..] else {
        panic!("one token")
    };
    for refused in [
        store
            .revoke_token(&operator, token.id, None)
            .await
            .unwrap_err(),
        store
            .rotate_token(&operator, token.id, None)
            .await
            .unwrap_err(),
    ] {
        assert!(refused.to_string().contains("remove the file"), "{refused}");
    }
}

#[tokio::test]
async fn tokens_from_before_they_had_scopes_are_what_they_were() {
    let store = testing::fresh().await;
    let who = store.client("client", &PlanLimits::UNLIMITED).await;
    let session = store.session().await;
    session.batch_execute(BACK_TO_VERSION_5).await.unwrap();
    for (id, client, scope) in [(1, operator(), "admin"), (2, who.client, "client")] {
        let secret = format!("playoutd_{id}");
        session
            .execute(
                "INSERT INTO tokens (id, client_id, scope, name, digest, created_at) VALUES ($1, $2, $3, $3, $4, now())",
                &[&Uuid::from_u128(id), &client.uuid(), &scope, &Sha256::digest(&secret).as_slice()],
            )
            .await
            .unwrap();
    }
    let store = Store::connect(store.config()).await.unwrap();
    let known = store.principal("playoutd_1").await.unwrap().unwrap();
    assert_eq!(known.scopes, Scopes::ADMIN);
    let known = store.principal("playoutd_2").await.unwrap().unwrap();
    assert_eq!((known.scopes, known.client), (Scopes::CLIENT, who.client));
    assert_eq!(
        store.tokens(&known, None, None, 10).await.unwrap()[0].prefix,
        None
    );
}

#[tokio::test]
async fn the_admin_token_is_written_once_private_and_renewed_when_its_file_goes() {
    let store = testing::fresh().await;
    let file = store.folder().join("admin.token");
    store.admin_token(&file).await.unwrap();
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let admin = store.principal(first.trim()).await.unwrap().unwrap();
    assert!(admin.is_operator());

    let again = Store::connect(store.config()).await.unwrap();
    again.admin_token(&file).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    assert!(again.principal(first.trim()).await.unwrap().is_some());

    fs::remove_file(&file).unwrap();
    store.admin_token(&file).await.unwrap();
    let second = fs::read_to_string(&file).unwrap();
    assert_ne!(first, second);
    assert!(store.principal(second.trim()).await.unwrap().is_some());
    assert_eq!(
        store.principal(first.trim()).await.unwrap(),
        None,
        "the removed token is still good"
    );
    let digest = Sha256::digest(first.trim());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = store.redis_value(&format!("token:{digest}")).await;
    assert_eq!(kept, None, "Redis knows the removed token");

    // A database that was set up anew takes the token that the file holds.
    store
        .session()
        .await
        .batch_execute("DELETE FROM tokens")
        .await
        .unwrap();
    store.admin_token(&file).await.unwrap();
    assert!(store.principal(second.trim()).await.unwrap().is_some());
    assert_eq!(fs::read_to_string(&file).unwrap(), second);
}

#[tokio::test]
async fn an_admin_token_file_that_others_may_read_or_that_holds_none_is_refused() {
    let store = testing::fresh().await;
    let file = store.folder().join("admin.token");
    store.admin_token(&file).await.unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let refused = store.admin_token(&file).await.unwrap_err().to_string();
    assert!(refused.contains("mode 0604"), "{refused}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "hunter2").unwrap();
    let refused = store.admin_token(&file).await.unwrap_err().to_string();
    assert!(refused.contains("holds no token"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hunter2");
}

#[tokio::test]
async fn a_client_has_a_thousand_tokens_and_no_more() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let new = |name: &str| NewToken {
        client: who.client,
        scopes: Scopes::ADMIN,
        name: name.to_owned(),
        expires_at: None,
    };
    store.create_token(&who, new("first")).await.unwrap();
    let sql = "INSERT INTO tokens (id, client_id, name, digest, created_at, scopes, prefix)
        SELECT gen_random_uuid(), client_id, name, decode(lpad(to_hex(n), 64, '0'), 'hex'), created_at, scopes, prefix
        FROM tokens, generate_series(1, 999) AS n";
    let session = store.session().await;
    session.execute(sql, &[]).await.unwrap();
    let refused = store.create_token(&who, new("one more")).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    // One that has expired is none.
    let sql = "UPDATE tokens SET expires_at = now() - interval '1 second' WHERE digest = decode(lpad('1', 64, '0'), 'hex')";
    session.execute(sql, &[]).await.unwrap();
    store.create_token(&who, new("one more")).await.unwrap();
}
