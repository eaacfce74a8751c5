//! What is asked for with an Idempotency-Key is done once, whatever dies between the change and its answer.

use playout_store::testing::{self, TestStore};
use playout_store::{Attempt, Begun, Credential, KeptAnswer, Principal, StoreError, StoredClient};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn credential() -> Credential {
    Credential::of("playoutd_of-a-script")
}

async fn begin(store: &TestStore, key: &str, fingerprint: u8) -> Begun {
    let (who, credential) = (Principal::daemon(), credential());
    let begun = store.idempotent_begin(&who, &credential, key, [fingerprint; 32]);
    begun.await.unwrap()
}

async fn first(store: &TestStore) -> Attempt {
    first_of(store, KEY).await
}

async fn first_of(store: &TestStore, key: &str) -> Attempt {
    match begin(store, key, 1).await {
        Begun::First(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

/// Makes a client for a request that has the key.
async fn made(store: &TestStore, attempt: &Attempt) -> Result<StoredClient, StoreError> {
    let who = Principal {
        attempt: Some(attempt.clone()),
        ..Principal::daemon()
    };
    let plan = "free".parse().unwrap();
    store.create_client(&who, "Canal Uno", &plan).await
}

/// Whoever had keys has said nothing for a while.
async fn time_passes(store: &TestStore) {
    let sql = "UPDATE idempotency_keys SET held_until = now() - interval '1 second'";
    store.session().await.execute(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn the_answer_is_given_again_to_the_token_that_had_it() {
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    assert_eq!(begin(&store, KEY, 1).await, Begun::UnderWay);
    assert_eq!(begin(&store, KEY, 2).await, Begun::Different);
    let client = made(&store, &attempt).await.unwrap();
    let answer = KeptAnswer {
        status: 201,
        headers: vec![("location".to_owned(), "/there".to_owned())],
        body: "{\"token\":\"a secret\"}".to_owned(),
    };
    store
        .idempotent_end(&attempt, &credential(), Some(&answer))
        .await
        .unwrap();
    assert_eq!(begin(&store, KEY, 1).await, Begun::Answered(answer));
    assert_eq!(begin(&store, KEY, 2).await, Begun::Different);

    // What is kept tells nothing to who reads the database, nor to another token.
    let session = store.session().await;
    let row = session.query_one("SELECT answer FROM idempotency_keys", &[]);
    let kept: Vec<u8> = row.await.unwrap().get(0);
    assert!(!String::from_utf8_lossy(&kept).contains("secret"));
    let other = Credential::of("playoutd_of-another");
    let who = Principal::daemon();
    let begun = store.idempotent_begin(&who, &other, KEY, [1; 32]);
    let subject = Some(("client".to_owned(), client.id.uuid()));
    assert_eq!(begun.await.unwrap(), Begun::Done { subject });
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_not_made_again() {
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    let client = made(&store, &attempt).await.unwrap();
    assert_eq!(begin(&store, KEY, 1).await, Begun::UnderWay);
    time_passes(&store).await;
    let subject = Some(("client".to_owned(), client.id.uuid()));
    assert_eq!(begin(&store, KEY, 1).await, Begun::Done { subject });
    store.idempotent_give_up(&attempt).await.unwrap();
    assert!(matches!(begin(&store, KEY, 1).await, Begun::Done { .. }));
}

#[tokio::test]
async fn a_request_that_was_taken_for_dead_changes_nothing_any_more() {
    let store = testing::fresh().await;
    let late = first(&store).await;
    time_passes(&store).await;
    let attempt = first(&store).await;
    let refused = made(&store, &late).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    made(&store, &attempt).await.unwrap();
    let clients = store
        .clients(&Principal::daemon(), None, None, 10)
        .await
        .unwrap();
    assert_eq!(clients.len(), 2, "the operator and one more");
    // One that goes on is not taken for dead.
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    time_passes(&store).await;
    store.idempotent_goes_on(&attempt).await.unwrap();
    assert_eq!(begin(&store, KEY, 1).await, Begun::UnderWay);
}

#[tokio::test]
async fn a_key_is_free_again_where_nothing_came_of_it() {
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    store.idempotent_give_up(&attempt).await.unwrap();
    assert!(matches!(begin(&store, KEY, 2).await, Begun::First(_)));
    assert!(matches!(begin(&store, "another", 3).await, Begun::First(_)));
}

#[tokio::test]
async fn what_was_answered_at_length_was_done_and_is_not_told_again() {
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    let client = made(&store, &attempt).await.unwrap();
    let credential = credential();
    let ended = store.idempotent_end(&attempt, &credential, None);
    ended.await.unwrap();
    let subject = Some(("client".to_owned(), client.id.uuid()));
    assert_eq!(begin(&store, KEY, 1).await, Begun::Done { subject });
    // Neither is what has changed nothing by itself.
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    store
        .idempotent_end(&attempt, &credential, None)
        .await
        .unwrap();
    time_passes(&store).await;
    assert_eq!(begin(&store, KEY, 1).await, Begun::Done { subject: None });
}

#[tokio::test]
async fn what_was_begun_to_be_done_is_not_done_again_whatever_came_of_it() {
    let store = testing::fresh().await;
    let attempt = first(&store).await;
    store.idempotent_commence(&attempt).await.unwrap();
    assert_eq!(begin(&store, KEY, 1).await, Begun::UnderWay);
    // Its daemon is dead, or it was refused at last.
    time_passes(&store).await;
    let done = Begun::Done { subject: None };
    assert_eq!(begin(&store, KEY, 1).await, done);
    store.idempotent_give_up(&attempt).await.unwrap();
    assert_eq!(begin(&store, KEY, 1).await, done);
    // Who has lost the key does nothing.
    let attempt = first_of(&store, "another").await;
    time_passes(&store).await;
    first_of(&store, "another").await;
    let lost = store.idempotent_commence(&attempt).await;
    assert!(matches!(lost, Err(StoreError::Conflict(_))), "{lost:?}");
}

#[tokio::test]
async fn a_client_has_ten_thousand_keys_and_no_more() {
    let store = testing::fresh().await;
    first(&store).await;
    let sql =
        "INSERT INTO idempotency_keys (client_id, key, fingerprint, attempt, begun_at, held_until)
        SELECT client_id, 'k' || n, fingerprint, gen_random_uuid(), begun_at, held_until
        FROM idempotency_keys, generate_series(1, 9999) AS n";
    store.session().await.execute(sql, &[]).await.unwrap();
    assert_eq!(begin(&store, "one more", 1).await, Begun::TooMany);
    assert_eq!(begin(&store, KEY, 1).await, Begun::UnderWay);
    let free = "free".parse().unwrap();
    let (daemon, credential) = (Principal::daemon(), credential());
    let client = store.create_client(&daemon, "Canal Uno", &free);
    let who = Principal {
        client: client.await.unwrap().id,
        ..daemon.clone()
    };
    let begun = store.idempotent_begin(&who, &credential, "one more", [1; 32]);
    assert!(matches!(begun.await.unwrap(), Begun::First(_)));
    // One that may be taken over is, whatever their number.
    time_passes(&store).await;
    assert!(matches!(begin(&store, KEY, 1).await, Begun::First(_)));
}
