//! Secrets: sealed in the database, bound to their place and to the master key.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use playout_store::{Principal, Store, StoreError, testing};

use crate::given::{BACK_TO_VERSION_1, airtime, channel, destination, stored};

#[tokio::test]
async fn no_stream_key_and_no_token_is_readable_in_the_whole_database() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let mut config = created.config.clone();
    config.rtmp_destinations.push(destination(
        "rtmp://b.example.com/app",
        Some("second_sesame"),
    ));
    store
        .update_channel(&who, created.id, 1, &config, None)
        .await
        .unwrap();
    store
        .admin_token(&store.folder().join("admin.token"))
        .await
        .unwrap();
    let token = fs::read_to_string(store.folder().join("admin.token")).unwrap();

    let dump = std::process::Command::new("pg_dump")
        .arg("--inserts")
        .arg(&store.config().database_url)
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(
        dump.contains("b.example.com"),
        "the dump holds no destinations"
    );
    for secret in ["live_sesame", "second_sesame", token.trim()] {
        let in_hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.contains(secret) && !dump.contains(&in_hex));
    }
}

#[tokio::test]
async fn a_sealed_key_moved_to_another_row_is_refused() {
    let store = testing::fresh().await;
    let mut given = channel(Principal::daemon().client, "One");
    given
        .config
        .rtmp_destinations
        .push(destination("rtmp://b.example.com/app", Some("second")));
    let created = store
        .insert_channel(&Principal::daemon(), &given, &airtime())
        .await
        .unwrap();
    let [one, two] = [0, 1].map(|n| created.config.rtmp_destinations[n].id.unwrap());
    assert_eq!(
        store.stream_key(two).await.unwrap().unwrap().reveal(),
        "second"
    );
    let session = store.session().await;
    let moved = "UPDATE rtmp_destinations SET stream_key = (SELECT stream_key FROM rtmp_destinations WHERE id = $1) WHERE id = $2";
    session
        .execute(moved, &[&one.uuid(), &two.uuid()])
        .await
        .unwrap();
    assert_eq!(
        store.stream_key(one).await.unwrap().unwrap().reveal(),
        "live_sesame"
    );
    let refused = store.stream_key(two).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Internal(why) if why.contains("belongs to another place")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_lost_master_key_is_not_replaced_and_another_one_opens_nothing() {
    let store = testing::fresh().await;
    let key = store.config().master_key.path().to_owned();
    let created = stored(&store, &Principal::daemon(), "One").await;
    let destination = created.config.rtmp_destinations[0].id.unwrap();
    let kept = fs::read_to_string(&key).unwrap();

    fs::remove_file(&key).unwrap();
    let refused = Store::connect(store.config())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("is missing") && refused.contains("restore it from a backup"),
        "{refused}"
    );
    assert!(!key.exists());

    fs::write(&key, "0".repeat(64)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Store::connect(store.config())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("mode 0644"), "{refused}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = Store::connect(store.config())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("is not the one that the database is sealed with"),
        "{refused}"
    );

    fs::write(&key, kept).unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(
        again
            .stream_key(destination)
            .await
            .unwrap()
            .unwrap()
            .reveal(),
        "live_sesame"
    );
}

fn dump(store: &testing::TestStore) -> String {
    let dump = std::process::Command::new("pg_dump")
        .arg("--inserts")
        .arg(&store.config().database_url)
        .output()
        .unwrap();
    assert!(dump.status.success());
    let text = String::from_utf8(dump.stdout).unwrap();
    let restricting =
        |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines()
        .filter(restricting)
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn a_wrong_key_is_found_before_anything_is_written() {
    let store = testing::fresh().await;
    stored(&store, &Principal::daemon(), "One").await;
    let session = store.session().await;
    let path = store.config().master_key.path();
    let right = fs::read_to_string(path).unwrap();
    let wrong = "0".repeat(64);
    // Another key; a check value that was changed; and a database that knows its key by its secrets alone,
    // the last one from before keys were noted.
    let cases = [
        ("SELECT", &wrong),
        (
            "UPDATE master_keys SET check_value = sha256(check_value)",
            &right,
        ),
        ("DELETE FROM master_keys", &wrong),
        (BACK_TO_VERSION_1, &wrong),
    ];
    for (sql, key) in cases {
        session.batch_execute(sql).await.unwrap();
        fs::write(path, key).unwrap();
        let before = dump(&store);
        let refused = Store::connect(store.config()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Setup(_)), "{refused}");
        assert_eq!(dump(&store), before, "after {sql}");
        assert_eq!(fs::read_to_string(path).unwrap(), *key);
    }
    fs::write(path, right).unwrap();
    let again = Store::connect(store.config()).await.unwrap();
    assert_eq!(again.all_channels().await.unwrap().quarantined, []);
}
