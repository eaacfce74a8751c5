//! The audit: whole as it is written, and every way to tamper with it is seen.

use playout_domain::destination::StreamKeySetting;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::PlanLimits;
use playout_domain::schedule::Schedule;
use playout_domain::{ClientId, Desired, StreamKey};
use playout_store::{
    AuditFilter, AuditReport, Cause, ChainFault, ExportedHeads, FoundEntry, HeadsFile,
    NodeDecision, Principal, Store, testing,
};
use serde_json::{Value, json};

use crate::given::{airtime, stored};

/// Everything that is wrong with a client's chain.
async fn faults(store: &Store, client: ClientId, exported: &ExportedHeads) -> Vec<ChainFault> {
    let report = store.verify_audit(exported).await.unwrap();
    let its = report
        .faults
        .iter()
        .filter(|fault| fault.client == client)
        .filter_map(|fault| fault.what);
    its.collect()
}

#[tokio::test]
async fn a_chain_verifies_and_every_change_to_it_is_seen() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for n in 0..4 {
        stored(&store, &who, &format!("Channel \u{1F4FA} {n}")).await;
    }
    let nothing = ExportedHeads::default();
    let intact = AuditReport {
        chains: 1,
        entries: 4,
        faults: Vec::new(),
    };
    assert_eq!(store.verify_audit(&nothing).await.unwrap(), intact);

    let session = store.session().await;
    session
        .batch_execute(
            "CREATE TABLE kept AS TABLE audit; CREATE TABLE kept_heads AS TABLE audit_heads",
        )
        .await
        .unwrap();
    let changed = |seq| vec![ChainFault::Changed { seq }];
    let tampered = [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", changed(2)),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 3", changed(3)),
        ("UPDATE audit SET at = 'infinity' WHERE seq = 3", changed(3)),
        ("UPDATE audit SET operation = 'channel.delete' WHERE seq = 1", changed(1)),
        ("UPDATE audit SET subject_kind = 'media' WHERE seq = 4", changed(4)),
        ("UPDATE audit SET subject_id = gen_random_uuid() WHERE seq = 4", changed(4)),
        ("UPDATE audit SET token_id = gen_random_uuid() WHERE seq = 2", changed(2)),
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", changed(2)),
        ("UPDATE audit SET detail = (detail::text || ' ')::json WHERE seq = 2", changed(2)),
        ("UPDATE audit SET hash = sha256('x') WHERE seq = 3", changed(3)),
        (
            "UPDATE audit SET actor = 'nobody' WHERE seq IN (2, 4)",
            vec![ChainFault::Changed { seq: 2 }, ChainFault::Changed { seq: 4 }],
        ),
        ("DELETE FROM audit WHERE seq = 1", vec![ChainFault::Removed { from: 1, to: 1 }]),
        (
            "DELETE FROM audit WHERE seq IN (2, 3)",
            vec![ChainFault::Removed { from: 2, to: 3 }],
        ),
        ("DELETE FROM audit WHERE seq = 4", vec![ChainFault::CutOff { from: 4, to: 4 }]),
        ("DELETE FROM audit", vec![ChainFault::CutOff { from: 1, to: 4 }]),
        ("DELETE FROM audit_heads", vec![ChainFault::HeadGone { seq: 4 }]),
        ("UPDATE audit_heads SET hash = sha256('x')", vec![ChainFault::HeadChanged { seq: 4 }]),
        (
            "UPDATE audit_heads SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
            vec![ChainFault::Inserted { seq: 4 }],
        ),
        (
            "INSERT INTO audit SELECT client_id, 5, at, actor, token_id, operation, subject_kind, subject_id, detail, hash
             FROM audit WHERE seq = 4",
            vec![ChainFault::Inserted { seq: 5 }],
        ),
        (
            "INSERT INTO audit SELECT client_id, 0, at, actor, token_id, operation, subject_kind, subject_id, detail, hash
             FROM audit WHERE seq = 4",
            vec![ChainFault::Inserted { seq: 0 }],
        ),
        (
            "UPDATE audit SET seq = seq + 10 WHERE seq > 2; UPDATE audit SET seq = seq - 9 WHERE seq > 10;
             INSERT INTO audit SELECT client_id, 3, at, actor, token_id, operation, subject_kind, subject_id, detail, hash
             FROM audit WHERE seq = 4",
            vec![
                ChainFault::Changed { seq: 4 },
                ChainFault::Inserted { seq: 5 },
                ChainFault::HeadChanged { seq: 4 },
            ],
        ),
    ];
    for (sql, seen) in tampered {
        session.batch_execute(sql).await.unwrap();
        let found = faults(&store, who.client, &nothing).await;
        assert_eq!(found, seen, "{sql}");
        let restore = "TRUNCATE audit, audit_heads; INSERT INTO audit TABLE kept; INSERT INTO audit_heads TABLE kept_heads";
        session.batch_execute(restore).await.unwrap();
        let restored = store.verify_audit(&nothing).await.unwrap();
        assert_eq!(restored, intact, "after {sql}");
    }
}

#[tokio::test]
async fn what_was_exported_tells_of_a_chain_that_was_cut_or_written_anew() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for n in 0..3 {
        stored(&store, &who, &format!("Channel {n}")).await;
    }
    let path = store.folder().join("audit-heads.jsonl");
    let mut file = HeadsFile::open(&path).unwrap();
    let at = "2026-11-24T08:00:00Z".parse().unwrap();
    file.add(&store.audit_heads().await.unwrap(), at).unwrap();
    let exported = ExportedHeads::read(&path).unwrap();
    assert_eq!(
        (exported.len(), faults(&store, who.client, &exported).await),
        (1, vec![])
    );

    // Cut, and the head turned back to fit: the database alone is whole.
    let session = store.session().await;
    let cut = "DELETE FROM audit WHERE seq > 1;
               UPDATE audit_heads SET seq = 1, hash = (SELECT hash FROM audit WHERE seq = 1)";
    session.batch_execute(cut).await.unwrap();
    let nothing = ExportedHeads::default();
    assert_eq!(faults(&store, who.client, &nothing).await, []);
    let seen = [ChainFault::CutOffSince { from: 2, to: 3, at }];
    assert_eq!(faults(&store, who.client, &exported).await, seen);

    // And grown over again.
    for n in 0..3 {
        stored(&store, &who, &format!("Other {n}")).await;
    }
    assert_eq!(faults(&store, who.client, &nothing).await, []);
    let seen = [ChainFault::Rewritten { seq: 3, at }];
    assert_eq!(faults(&store, who.client, &exported).await, seen);

    // Nothing is left, not even the head.
    session
        .batch_execute("TRUNCATE audit, audit_heads")
        .await
        .unwrap();
    let seen = [ChainFault::CutOffSince { from: 1, to: 3, at }];
    assert_eq!(faults(&store, who.client, &exported).await, seen);
}

#[tokio::test]
async fn changes_go_on_where_the_audit_was_tampered_with_and_do_not_cover_it_up() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    for n in 0..3 {
        stored(&store, &who, &format!("Channel {n}")).await;
    }
    let session = store.session().await;
    session
        .batch_execute(
            "CREATE TABLE kept AS TABLE audit; CREATE TABLE kept_heads AS TABLE audit_heads",
        )
        .await
        .unwrap();
    let tampered = [
        (
            "DELETE FROM audit_heads",
            vec![ChainFault::Changed { seq: 4 }],
        ),
        (
            "DELETE FROM audit WHERE seq = 3",
            vec![ChainFault::Removed { from: 3, to: 3 }],
        ),
        (
            "UPDATE audit_heads SET seq = 1, hash = (SELECT hash FROM audit WHERE seq = 1)",
            vec![ChainFault::Changed { seq: 4 }],
        ),
        (
            "UPDATE audit_heads SET hash = sha256('x')",
            vec![ChainFault::Changed { seq: 4 }],
        ),
    ];
    for (n, (sql, seen)) in tampered.into_iter().enumerate() {
        session.batch_execute(sql).await.unwrap();
        stored(&store, &who, &format!("Later {n}")).await;
        let found = faults(&store, who.client, &ExportedHeads::default()).await;
        assert_eq!(found, seen, "{sql}");
        let restore = "TRUNCATE audit, audit_heads; INSERT INTO audit TABLE kept; INSERT INTO audit_heads TABLE kept_heads";
        session.batch_execute(restore).await.unwrap();
    }
}

#[tokio::test]
async fn before_and_after_of_every_change_are_told_and_never_a_key() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let created = stored(&store, &who, "One").await;
    let mut config = created.config.clone();
    config.name = "Two".to_owned();
    let key = StreamKey::new("other_sesame").unwrap();
    config.rtmp_destinations[0].stream_key = StreamKeySetting::Given(key);
    let updated = store
        .update_channel(&who, created.id, 1, &config, None)
        .await
        .unwrap();
    let (first, second) = (airtime(), airtime());
    for airs in [&first, &second] {
        store.put_in_library(airs).await;
        store
            .save_airtime(Some(&who), created.id, airs)
            .await
            .unwrap();
    }
    let live = LifeState {
        desired: Desired::Live,
        ..LifeState::default()
    };
    let cause = Cause::Ordered {
        who: who.clone(),
        operation: Operation::Start,
    };
    store.save_life(created.id, &live, cause).await.unwrap();
    store.delete_channel(&who, created.id, None).await.unwrap();

    let entries = store.audit(who.client, 0, 10).await.unwrap();
    let told = |n: usize| (&entries[n].detail["before"], &entries[n].detail["after"]);
    let (before, after) = told(1);
    assert_eq!(*before, created.config.to_json_public());
    assert_eq!(
        (&before["name"], &after["name"]),
        (&json!("One"), &json!("Two"))
    );
    // That the key was given is told, the key is not.
    let destination = &after["rtmpDestinations"][0];
    assert_eq!(
        (&destination["streamKeySet"], &destination["streamKeyGiven"]),
        (&json!(true), &json!(true))
    );
    let (before, after) = told(3);
    // Of a schedule what differs is told: here the whole rotation.
    let differs = |schedule: &Schedule| {
        let items = &json!(schedule)["rotation"]["items"];
        json!({ "rotation": { "items": { "from": 0, "items": items } } })
    };
    assert_eq!(before["schedule"], differs(&first.schedule));
    assert_eq!(after["schedule"], differs(&second.schedule));
    assert_eq!(
        told(4),
        (
            &json!({ "desired": "STOPPED", "status": "STOPPED" }),
            &json!({ "desired": "LIVE", "status": "STOPPED" })
        )
    );
    let (before, after) = told(5);
    assert_eq!(
        (&before["name"], &before["version"], after),
        (&json!("Two"), &json!(updated.version), &Value::Null)
    );
    let told = format!("{entries:?}");
    assert!(!told.contains("sesame"), "{told}");
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
    let found = faults(&store, who.client, &ExportedHeads::default()).await;
    assert_eq!(found, [ChainFault::Changed { seq: 3 }]);
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
    let report = store.verify_audit(&ExportedHeads::default()).await.unwrap();
    assert_eq!((report.chains, report.entries), (2, 3));
    assert_eq!(report.faults, []);
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
    let report = store.verify_audit(&ExportedHeads::default()).await.unwrap();
    assert_eq!((report.entries, report.faults), (20, Vec::new()));
}

#[tokio::test]
async fn an_edit_of_a_long_schedule_is_a_short_entry_and_a_page_is_never_large() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let channel = stored(&store, &who, "One").await;
    for n in 0..5 {
        let decision = NodeDecision {
            client: who.client,
            channel: channel.id,
            operation: "channel.error",
            detail: json!({ "n": n, "text": "x".repeat(3 << 20) }),
        };
        store.audit_decision(&decision).await.unwrap();
    }
    let filter = AuditFilter {
        operation: Some("channel.error".to_owned()),
        ..AuditFilter::default()
    };
    let (mut after, mut pages, mut seen) = (None, 0, Vec::new());
    loop {
        let (found, more) = store.search_audit(&who, &filter, after, 100).await.unwrap();
        seen.extend(
            found
                .iter()
                .map(|found| found.entry.detail["after"]["n"].clone()),
        );
        pages += 1;
        after = found.last().map(FoundEntry::cursor);
        if !more {
            break;
        }
    }
    assert_eq!(
        (pages, seen),
        (5, (0..5).map(|n| json!(n)).collect::<Vec<_>>())
    );
    // A null character is in no text of the database.
    let forged = AuditFilter {
        operation: Some("\0".to_owned()),
        actor: Some("a\0b".to_owned()),
        ..AuditFilter::default()
    };
    let nothing = store.search_audit(&who, &forged, None, 1).await;
    assert_eq!(nothing, Ok((Vec::new(), false)));
}
