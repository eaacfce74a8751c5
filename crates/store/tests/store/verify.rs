//! Everything looked at at once, without a write.

use std::fs;

use playout_store::{ExportedHeads, Fault, Principal, Verification, testing, verify};

use crate::given::stored;

async fn look(store: &testing::TestStore) -> Verification {
    let config = store.config();
    let exported = ExportedHeads::default();
    verify(&config.database_url, &config.master_key, &exported)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_whole_database_has_no_fault_and_is_not_written_to() {
    let store = testing::fresh().await;
    for name in ["One", "Two"] {
        stored(&store, &Principal::daemon(), name).await;
    }
    let session = store.session().await;
    let written =
        "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_xact_user_tables";
    let before: i64 = session.query_one(written, &[]).await.unwrap().get(0);
    let found = look(&store).await;
    let after: i64 = session.query_one(written, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    let expected = Verification {
        channels: 2,
        chains: 1,
        entries: 2,
        secrets: 2,
        ..Verification::default()
    };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn each_fault_is_named() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let (one, two) = (
        stored(&store, &who, "One").await,
        stored(&store, &who, "Two").await,
    );
    let session = store.session().await;
    let tamper =
        "UPDATE channels SET config = jsonb_set(config, '{name}', '\"Eins\"') WHERE id = $1";
    session.execute(tamper, &[&one.id.uuid()]).await.unwrap();
    session
        .batch_execute("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
        .await
        .unwrap();
    // Two secrets, each in the other's place.
    let swap = "UPDATE rtmp_destinations d SET stream_key = o.stream_key FROM rtmp_destinations o WHERE o.id <> d.id";
    session.batch_execute(swap).await.unwrap();
    let found = look(&store).await;
    let lines: Vec<String> = found.faults.iter().map(Fault::to_string).collect();
    let expected = [
        format!(
            "channel {} (Eins): the settings and destinations do not match their digest",
            one.id
        ),
        format!(
            "channel {} (Two): the settings and destinations do not match their digest",
            two.id
        ),
        format!("channel {}: the stream key of destination", one.id),
        format!("channel {}: the stream key of destination", two.id),
        format!(
            "audit of client {} (operator): entry 2 was changed",
            who.client
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    let json = found.faults[4].to_json();
    assert_eq!(
        (&json["kind"], &json["fault"], &json["seq"]),
        (&"audit".into(), &"changed".into(), &2.into())
    );
}

#[tokio::test]
async fn a_wrong_key_is_one_fault_and_not_one_for_each_secret() {
    let store = testing::fresh().await;
    for name in ["One", "Two"] {
        stored(&store, &Principal::daemon(), name).await;
    }
    fs::write(store.config().master_key.path(), "0".repeat(64)).unwrap();
    let found = look(&store).await;
    assert!(matches!(&found.faults[..], [Fault::Key(_)]), "{found:?}");
    fs::remove_file(store.config().master_key.path()).unwrap();
    let found = look(&store).await;
    assert!(matches!(&found.faults[..], [Fault::Key(_)]), "{found:?}");
}
