//! Damage beneath the database: a page of a table that the disk gave back changed.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use playout_store::embedded::{Durability, Embedded, EmbeddedConfig, Which};
use playout_store::{Principal, Store, StoreConfig};
use uuid::Uuid;

use crate::given::stored;

async fn open(folder: &std::path::Path, servers: &Embedded) -> Store {
    let config = StoreConfig::new(
        servers.database_url().unwrap(),
        "redis+unix:///nowhere",
        folder.join("master.key"),
    );
    Store::connect(&config).await.unwrap()
}

#[tokio::test]
async fn a_broken_page_costs_the_channels_on_it_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let servers = EmbeddedConfig {
        which: Which::OnlyPostgres,
        durability: Durability::Forgetful,
        ..EmbeddedConfig::new(folder.path())
    };
    let running = Embedded::start(&servers).await.unwrap();
    let store = open(folder.path(), &running).await;
    for n in 0..40 {
        stored(&store, &Principal::daemon(), &format!("Channel {n}")).await;
    }
    let (session, connection) =
        tokio_postgres::connect(running.database_url().unwrap(), tokio_postgres::NoTls)
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    // The way to a row leads over the pages of its earlier versions.
    session.batch_execute("VACUUM FULL channels").await.unwrap();
    // Its page, and the file it is in.
    let sql =
        "SELECT id, (ctid::text::point)[0]::bigint, pg_relation_filepath('channels') FROM channels";
    let rows = session.query(sql, &[]).await.unwrap();
    let first: BTreeSet<Uuid> = rows
        .iter()
        .filter(|row| row.get::<_, i64>(1) == 0)
        .map(|row| row.get(0))
        .collect();
    assert!(!first.is_empty() && first.len() < rows.len());
    let file = folder
        .path()
        .join("postgres")
        .join(rows[0].get::<_, &str>(2));
    drop((session, store));
    connection.await.unwrap().unwrap();
    running.stop().await;

    let table = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let mut byte = [0];
    table.read_exact_at(&mut byte, 5_000).unwrap();
    table.write_all_at(&[byte[0] ^ 1], 5_000).unwrap();

    let running = Embedded::start(&servers).await.unwrap();
    let loaded = open(folder.path(), &running)
        .await
        .all_channels()
        .await
        .unwrap();
    running.stop().await;
    let named: BTreeSet<Uuid> = loaded.quarantined.iter().map(|one| one.id.uuid()).collect();
    assert_eq!(named, first);
    assert_eq!(loaded.channels.len() + first.len(), rows.len());
    let reason = &loaded.quarantined[0].reason;
    assert!(reason.contains("invalid page in block 0"), "{reason}");
}
