//! The audit: whole as it is written, and every way to tamper with it is seen.

use playout_domain::limits::PlanLimits;
use playout_store::{ChainState, Principal, testing};

use crate::given::stored;

#[tokio::test]
async fn a_chain_verifies_and_every_change_to_it_is_seen() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for n in 0..4 {
        stored(&store, &who, &format!("Channel \u{1F4FA} {n}")).await;
    }
    let intact = ChainState::Intact { entries: 4 };
    assert_eq!(store.verify_audit(who.client).await.unwrap(), intact);

    let session = store.session().await;
    session
        .batch_execute(
            "CREATE TABLE kept AS TABLE audit; CREATE TABLE kept_heads AS TABLE audit_heads",
        )
        .await
        .unwrap();
    let tampered = [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", 2),
        (
            "UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 3",
            3,
        ),
        (
            "UPDATE audit SET operation = 'channel.delete' WHERE seq = 1",
            1,
        ),
        ("UPDATE audit SET subject_kind = 'media' WHERE seq = 4", 4),
        (
            "UPDATE audit SET subject_id = gen_random_uuid() WHERE seq = 4",
            4,
        ),
        (
            "UPDATE audit SET token_id = gen_random_uuid() WHERE seq = 2",
            2,
        ),
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", 2),
        (
            "UPDATE audit SET detail = (detail::text || ' ')::json WHERE seq = 2",
            2,
        ),
        ("UPDATE audit SET hash = sha256('x') WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit", 1),
        ("DELETE FROM audit_heads", 5),
        (
            "UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
            5,
        ),
    ];
    for (sql, seq) in tampered {
        session.batch_execute(sql).await.unwrap();
        assert_eq!(
            store.verify_audit(who.client).await.unwrap(),
            ChainState::Broken { seq },
            "{sql}"
        );
        let restore = "TRUNCATE audit, audit_heads; INSERT INTO audit TABLE kept; INSERT INTO audit_heads TABLE kept_heads";
        session.batch_execute(restore).await.unwrap();
        assert_eq!(
            store.verify_audit(who.client).await.unwrap(),
            intact,
            "after {sql}"
        );
    }
}

#[tokio::test]
async fn an_entry_rewritten_with_a_fitting_hash_breaks_the_entry_after_it() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for n in 0..3 {
        stored(&store, &who, &format!("Channel {n}")).await;
    }
    let session = store.session().await;
    // Every part with its length before it, as the chain is documented.
    let rewrite = "
        CREATE FUNCTION part(bytea) RETURNS bytea LANGUAGE sql AS
            $$ SELECT int8send(octet_length(coalesce($1, ''))::bigint) || coalesce($1, '') $$;
        CREATE FUNCTION link(a audit) RETURNS bytea LANGUAGE sql AS $$ SELECT sha256(
            part((SELECT hash FROM audit WHERE seq = a.seq - 1)) || part(uuid_send(a.client_id)) || part(int8send(a.seq))
            || part(int8send((extract(epoch FROM a.at) * 1000000)::bigint)) || part(convert_to(a.actor, 'UTF8'))
            || part(uuid_send(a.token_id)) || part(convert_to(a.operation, 'UTF8'))
            || part(convert_to(a.subject_kind, 'UTF8')) || part(uuid_send(a.subject_id))
            || part(convert_to(a.detail::text, 'UTF8'))) $$;";
    session.batch_execute(rewrite).await.unwrap();
    let fits = "SELECT bool_and(hash = link(audit)) FROM audit WHERE seq > 1";
    let fits: bool = session.query_one(fits, &[]).await.unwrap().get(0);
    assert!(fits, "the chain is not as documented");
    let forged = "UPDATE audit SET actor = 'nobody' WHERE seq = 2; UPDATE audit SET hash = link(audit) WHERE seq = 2";
    session.batch_execute(forged).await.unwrap();
    assert_eq!(
        store.verify_audit(who.client).await.unwrap(),
        ChainState::Broken { seq: 3 }
    );
}

#[tokio::test]
async fn each_client_has_a_chain_of_its_own() {
    let store = testing::fresh().await;
    let (one, two) = (
        store.client("one", &PlanLimits::UNLIMITED).await,
        store.client("two", &PlanLimits::UNLIMITED).await,
    );
    stored(&store, &one, "A").await;
    stored(&store, &two, "B").await;
    stored(&store, &one, "C").await;
    assert_eq!(
        store.verify_audit(one.client).await.unwrap(),
        ChainState::Intact { entries: 2 }
    );
    assert_eq!(
        store.verify_audit(two.client).await.unwrap(),
        ChainState::Intact { entries: 1 }
    );
    let entries = store.audit(one.client, 0, 10).await.unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|entry| (entry.seq, entry.actor.as_str()))
            .collect::<Vec<_>>(),
        [(1, "one"), (2, "one")]
    );
}

#[tokio::test]
async fn writers_at_once_leave_one_chain_without_a_fork() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (store, who) = ((*store).clone(), who.clone());
        tasks.spawn(async move { stored(&store, &who, &format!("Channel {n}")).await });
    }
    assert_eq!(tasks.join_all().await.len(), 20);
    assert_eq!(
        store.verify_audit(who.client).await.unwrap(),
        ChainState::Intact { entries: 20 }
    );
}
