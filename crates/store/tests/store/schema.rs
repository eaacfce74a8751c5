//! schema.sql is the truth, migrations/ the path: both lead to the same database.

use playout_store::{Principal, Store, StoreError, operator, testing};

async fn dump(store: &testing::TestStore, database: &str) -> String {
    let url = store
        .config()
        .database_url
        .rsplit_once('/')
        .unwrap()
        .0
        .to_owned();
    let dump = tokio::process::Command::new("pg_dump")
        .args(["--schema-only", "--no-owner", &format!("{url}/{database}")])
        .output()
        .await
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let text = String::from_utf8(dump.stdout).unwrap();
    // Newer pg_dumps guard their output with a random word.
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn the_migrations_lead_to_the_schema() {
    let store = testing::fresh().await;
    let session = store.session().await;
    let migrated: String = session
        .query_one("SELECT current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let written = format!("{migrated}_schema");
    session
        .batch_execute(&format!("CREATE DATABASE {written} TEMPLATE template0"))
        .await
        .unwrap();
    let url = store.config().database_url.replace(&migrated, &written);
    let (schema, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    schema
        .batch_execute(include_str!("../../../../schema.sql"))
        .await
        .unwrap();
    drop(schema);
    connection.await.unwrap().unwrap();

    let (of_migrations, of_schema) = (dump(&store, &migrated).await, dump(&store, &written).await);
    session
        .batch_execute(&format!("DROP DATABASE {written}"))
        .await
        .unwrap();
    assert!(
        of_schema.contains("CREATE TABLE public.channels"),
        "{of_schema}"
    );
    assert_eq!(of_migrations, of_schema);
}

/// How many migrations there are.
async fn migrations(session: &tokio_postgres::Client) -> i64 {
    let counted = session.query_one("SELECT count(*) FROM migrations", &[]);
    counted.await.unwrap().get(0)
}

#[tokio::test]
async fn opening_again_changes_nothing_and_opening_at_once_works() {
    let store = testing::fresh().await;
    let session = store.session().await;
    let migrations = migrations(&session).await;
    session
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = store.config().clone();
        tasks.spawn(async move { Store::connect(&config).await.map(drop) });
    }
    for opened in tasks.join_all().await {
        opened.unwrap();
    }
    let counts = "SELECT (SELECT count(*) FROM migrations), (SELECT count(*) FROM clients), (SELECT count(*) FROM plans)";
    let row = session.query_one(counts, &[]).await.unwrap();
    assert_eq!(
        [row.get::<_, i64>(0), row.get(1), row.get(2)],
        [migrations, 1, 5]
    );
    let daemon = Principal::daemon();
    assert!(daemon.client == operator() && daemon.is_operator());
}

#[tokio::test]
async fn a_database_of_a_newer_or_another_build_is_refused_in_a_sentence() {
    let store = testing::fresh().await;
    let session = store.session().await;
    let future = migrations(&session).await + 1;
    session
        .batch_execute(&format!(
            "INSERT INTO migrations (version, name, digest) VALUES ({future}, 'future', '')"
        ))
        .await
        .unwrap();
    let refused = Store::connect(store.config()).await.unwrap_err();
    let said = format!("at version {future}");
    assert!(
        matches!(&refused, StoreError::Setup(why) if why.contains(&said)),
        "{refused}"
    );
    session
        .batch_execute(&format!(
            "DELETE FROM migrations WHERE version = {future}; UPDATE migrations SET digest = 'x'"
        ))
        .await
        .unwrap();
    let refused = Store::connect(store.config()).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Setup(why) if why.contains("belongs to another build")),
        "{refused}"
    );
}
