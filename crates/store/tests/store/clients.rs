//! Clients and plans: what the operator changes counts at once, nothing that a client has is touched, and what is
//! overridden ends by itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_domain::Desired;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::limits::{Amount, Demand, Limit, Raise};
use playout_domain::plans::{Plan, PlanName};
use playout_domain::{Resolution, feature::Features};
use playout_store::testing::{self, TestStore};
use playout_store::{
    Cause, ClientEdit, NewOverride, NewToken, Override, Principal, Scopes, StoreError,
    StoredClient, operator,
};
use serde_json::json;

use crate::given::{airtime, channel, stored};

fn name(text: &str) -> PlanName {
    text.parse().unwrap()
}

fn plan(text: &str, tier: u32, limits: serde_json::Value) -> Plan {
    Plan::parse(name(text), &json!({ "tier": tier, "limits": limits })).unwrap()
}

async fn client(store: &TestStore, plan: &str) -> (StoredClient, Principal) {
    let made = store
        .create_client(&Principal::daemon(), "Canal Uno", &name(plan))
        .await
        .unwrap();
    let who = Principal {
        client: made.id,
        scopes: Scopes::CLIENT,
        token: None,
        name: "script".to_owned(),
        attempt: None,
    };
    (made, who)
}

const CREATE: Raise = Raise::CreateChannel(Demand {
    resolution: Resolution::P240,
    rungs: 1,
    destinations: 0,
    features: Features::NONE,
});

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Conflict(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_database_begins_with_the_plans_of_the_trade() {
    let store = testing::fresh().await;
    let plans = store.plans().await.unwrap();
    let names: Vec<_> = plans.iter().map(|kept| kept.plan.name.as_str()).collect();
    assert_eq!(names, ["free", "basic", "pro", "enterprise", "unlimited"]);
    let refused = store
        .put_plan(&Principal::daemon(), &plan("unlimited", 0, json!({})), None)
        .await;
    assert!(conflict(refused).contains("operator's own"));
}

#[tokio::test]
async fn a_plan_is_made_changed_and_deleted_and_counts_at_once() {
    let (store, operator) = (testing::fresh().await, Principal::daemon());
    let (made, is_new) = store
        .put_plan(
            &operator,
            &plan("duo", 2, json!({ "maxChannels": 2 })),
            None,
        )
        .await
        .unwrap();
    assert!(is_new && made.version == 1);
    let (client, who) = client(&store, "duo").await;
    stored(&store, &who, "One").await;
    stored(&store, &who, "Two").await;
    let refused = store
        .insert_channel(&who, &channel(who.client, "Three"), &airtime())
        .await;
    let Err(StoreError::Limit(refusal)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refusal.plan, Some(name("duo")));
    assert_eq!(
        refusal.upgrade_to,
        Some(name("pro")),
        "the lowest above that allows it"
    );

    let wrong = store
        .put_plan(&operator, &plan("duo", 2, json!({})), Some(7))
        .await;
    assert_eq!(wrong, Err(StoreError::VersionMismatch { current: 1 }));
    let (changed, is_new) = store
        .put_plan(
            &operator,
            &plan("duo", 2, json!({ "maxChannels": 3 })),
            Some(1),
        )
        .await
        .unwrap();
    assert_eq!((changed.version, changed.clients, is_new), (2, 1, false));
    stored(&store, &who, "Three").await;

    // Less than there is: nothing is touched, and it is told.
    store
        .put_plan(
            &operator,
            &plan("duo", 2, json!({ "maxChannels": 1 })),
            None,
        )
        .await
        .unwrap();
    let limits = store.client_limits(&who, who.client).await.unwrap();
    assert_eq!((limits.usage.channels, limits.over_limit.len()), (3, 1));
    let over = &limits.over_limit[0];
    assert_eq!(
        (over.limit, over.current, over.allowed),
        (Limit::MaxChannels, Amount::Count(3), Amount::Count(1))
    );
    assert_eq!(store.all_channels().await.unwrap().channels.len(), 3);

    assert!(conflict(store.delete_plan(&operator, &name("duo"), None).await).contains("1 clients"));
    let edit = ClientEdit {
        plan: Some(name("pro")),
        ..ClientEdit::default()
    };
    let moved = store
        .update_client(&operator, client.id, &edit, Some(1))
        .await
        .unwrap();
    assert_eq!((moved.plan, moved.version), (name("pro"), 2));
    store
        .delete_plan(&operator, &name("duo"), Some(3))
        .await
        .unwrap();
    assert_eq!(store.plan(&name("duo")).await, Err(StoreError::NotFound));
}

#[tokio::test]
async fn an_override_counts_in_the_place_of_the_plan_until_it_ends() {
    let (store, operator) = (testing::fresh().await, Principal::daemon());
    let solo = plan("solo", 1, json!({ "maxChannels": 1 }));
    store.put_plan(&operator, &solo, None).await.unwrap();
    let (client, who) = client(&store, "solo").await;
    let allowed = async || store.check_limits(&who, client.id, CREATE).await.unwrap();
    assert_eq!(allowed().await, Ok(()));
    stored(&store, &who, "One").await;
    let refusal = allowed().await.unwrap_err();
    assert_eq!(
        (refusal.exceeded.limit, refusal.upgrade_to),
        (Limit::MaxChannels, Some(name("basic")))
    );

    let new = |value, expires_at| NewOverride {
        limit: Limit::MaxChannels,
        value,
        reason: "a festival".to_owned(),
        expires_at,
    };
    let soon = Timestamp::now() + SignedDuration::from_secs(1);
    let set = store
        .put_override(&operator, client.id, &new(json!(2), Some(soon)), None)
        .await
        .unwrap();
    assert_eq!(
        (set.reason.as_str(), set.set_by.as_str()),
        ("a festival", "daemon")
    );
    assert_eq!(allowed().await, Ok(()));
    assert_eq!(
        store
            .client_limits(&who, client.id)
            .await
            .unwrap()
            .overrides,
        [Override {
            // What the operator calls its tokens is nothing to clients.
            set_by: "operator".to_owned(),
            ..set
        }]
    );
    let ended = async {
        while allowed().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .expect("it ends by itself");
    assert_eq!(
        store
            .client_limits(&who, client.id)
            .await
            .unwrap()
            .overrides,
        []
    );

    store
        .put_override(&operator, client.id, &new(json!(null), None), None)
        .await
        .unwrap();
    assert_eq!(allowed().await, Ok(()));
    assert_eq!(
        store.known_limits(client.id).unwrap().limits.max_channels,
        None
    );
    store
        .delete_override(&operator, client.id, Limit::MaxChannels, None)
        .await
        .unwrap();
    assert!(allowed().await.is_err());
    let none = store
        .delete_override(&operator, client.id, Limit::MaxChannels, None)
        .await;
    assert_eq!(none, Err(StoreError::NotFound));
    let audit = store.audit(client.id, 0, 100).await.unwrap();
    let told: Vec<_> = audit.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(
        told,
        [
            "client.create",
            "channel.create",
            "override.set",
            "override.set",
            "override.delete"
        ]
    );
    assert_eq!(audit[2].detail["after"]["reason"], "a festival");
}

#[tokio::test]
async fn what_is_too_large_is_not_started_and_takes_no_place_of_what_fits() {
    let store = testing::fresh().await;
    let daemon = Principal::daemon();
    let limits = |resolution: &str| json!({ "maxLive": 1, "maxResolution": resolution });
    let put = |resolution| plan("own", 5, limits(resolution));
    let large = put("1080p");
    store.put_plan(&daemon, &large, None).await.unwrap();
    let (made, who) = client(&store, "own").await;
    let mut ids = Vec::new();
    for (name, resolution) in [
        ("Large", Resolution::P1080),
        ("Small", Resolution::P240),
        ("Later", Resolution::P1080),
    ] {
        let mut given = channel(who.client, name);
        given.config.resolution = resolution;
        given.config.ladder.truncate(1);
        given.config.ladder[0].resolution = resolution;
        store
            .insert_channel(&who, &given, &airtime())
            .await
            .unwrap();
        ids.push(given.id);
    }
    let session = store.session().await;
    let sql = "UPDATE channels SET desired = 'LIVE', last_start_time = now() WHERE id = ANY($1)";
    let on_air = [ids[0].uuid(), ids[1].uuid()];
    session.execute(sql, &[&&on_air[..]]).await.unwrap();
    let small = put("480p");
    store.put_plan(&daemon, &small, None).await.unwrap();
    let beyond = store.note_over_limits().await.unwrap();
    let found = beyond.iter().map(|one| (one.channel, one.exceeded.limit));
    assert_eq!(found.collect::<Vec<_>>(), [(ids[0], Limit::MaxResolution)]);
    // Off air, it stays off air.
    let sql = "UPDATE channels SET desired = 'STOPPED' WHERE id = ANY($1)";
    session.execute(sql, &[&&on_air[..]]).await.unwrap();
    assert_eq!(store.note_over_limits().await.unwrap(), []);
    let start = |id| {
        let life = LifeState {
            desired: Desired::Live,
            ..LifeState::default()
        };
        let cause = Cause::Ordered {
            who: who.clone(),
            operation: Operation::Start,
        };
        let store = &store;
        async move { store.save_life(id, &life, cause).await }
    };
    let refused = start(ids[2]).await;
    let Err(StoreError::Limit(refusal)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.exceeded.limit, Limit::MaxResolution);
    assert_eq!(start(ids[1]).await, Ok(()));
    // A plan would lift it, but for what is overridden on every plan.
    let higher = plan(
        "higher",
        6,
        json!({ "maxLive": 9, "maxResolution": "2160p" }),
    );
    store.put_plan(&daemon, &higher, None).await.unwrap();
    let raise = Raise::StartChannel(Demand {
        resolution: Resolution::P1080,
        rungs: 1,
        destinations: 0,
        features: Features::NONE,
    });
    let upgrade = async || {
        let checked = store.check_limits(&who, made.id, raise).await.unwrap();
        checked.unwrap_err().upgrade_to.map(|plan| plan.to_string())
    };
    assert_eq!(upgrade().await.as_deref(), Some("higher"));
    let new = NewOverride {
        limit: Limit::MaxLive,
        value: json!(1),
        reason: "late payment".to_owned(),
        expires_at: None,
    };
    let put = store.put_override(&daemon, made.id, &new, None);
    put.await.unwrap();
    assert_eq!(upgrade().await, None);
}

#[tokio::test]
async fn what_is_on_air_beyond_a_plan_is_known_with_since_when_and_the_audit_tells() {
    let store = testing::fresh().await;
    let daemon = Principal::daemon();
    let put = |live: u64, resolution: &str| {
        plan(
            "own",
            5,
            json!({ "maxLive": live, "maxResolution": resolution }),
        )
    };
    store
        .put_plan(&daemon, &put(3, "1080p"), None)
        .await
        .unwrap();
    let (made, who) = client(&store, "own").await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let given = channel(who.client, &format!("Channel {n}"));
        store
            .insert_channel(&who, &given, &airtime())
            .await
            .unwrap();
        let sql = "UPDATE channels SET desired = 'LIVE', last_start_time = now() - interval '1 hour' + $2 * interval '1 second' WHERE id = $1";
        let session = store.session().await;
        session
            .execute(sql, &[&given.id.uuid(), &f64::from(n)])
            .await
            .unwrap();
        ids.push(given.id);
    }
    assert_eq!(store.note_over_limits().await.unwrap(), []);

    store
        .put_plan(&daemon, &put(1, "1080p"), None)
        .await
        .unwrap();
    let beyond = store.note_over_limits().await.unwrap();
    let found: Vec<_> = beyond
        .iter()
        .map(|beyond| (beyond.channel, beyond.exceeded.limit))
        .collect();
    assert_eq!(
        found,
        [(ids[1], Limit::MaxLive), (ids[2], Limit::MaxLive)],
        "the first stays"
    );
    assert_eq!(beyond[0].name, "Channel 1");
    // Whatever is started anew meanwhile.
    let sql = "UPDATE channels SET last_start_time = now() WHERE id = ANY($1)";
    for restarted in [&ids[..1], &ids[..]] {
        let restarted: Vec<_> = restarted.iter().map(|id| id.uuid()).collect();
        let session = store.session().await;
        session.execute(sql, &[&restarted]).await.unwrap();
        drop(session);
        assert_eq!(
            store.note_over_limits().await.unwrap(),
            beyond,
            "since then"
        );
    }

    store
        .put_plan(&daemon, &put(3, "240p"), None)
        .await
        .unwrap();
    let beyond = store.note_over_limits().await.unwrap();
    let found: Vec<_> = beyond
        .iter()
        .map(|beyond| (beyond.channel, beyond.exceeded.limit))
        .collect();
    assert_eq!(
        found,
        ids.iter()
            .map(|id| (*id, Limit::MaxResolution))
            .collect::<Vec<_>>()
    );

    // What the operator allows for a while counts, and its end is told.
    let new = NewOverride {
        limit: Limit::MaxResolution,
        value: json!("1080p"),
        reason: "a fair".to_owned(),
        expires_at: Some(Timestamp::now() + SignedDuration::from_hours(1)),
    };
    store
        .put_override(&daemon, made.id, &new, None)
        .await
        .unwrap();
    assert_eq!(store.note_over_limits().await.unwrap(), []);
    let sql = "UPDATE limit_overrides SET expires_at = now()";
    store.session().await.execute(sql, &[]).await.unwrap();
    assert_eq!(store.note_over_limits().await.unwrap().len(), 3);
    let audit = store.audit(made.id, 0, 100).await.unwrap();
    let told = audit.iter().filter(|entry| entry.subject_kind == "client");
    let told: Vec<&str> = told.map(|entry| &*entry.operation).collect();
    let expected = [
        "client.create",
        "limit.over",
        "limit.over",
        "limit.within",
        "override.set",
        "limit.within",
        "override.expire",
        "limit.over",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_client_sees_itself_alone_and_is_deleted_when_it_has_nothing() {
    let (store, operator_) = (testing::fresh().await, Principal::daemon());
    let (client, who) = client(&store, "pro").await;
    let stranger = store.client("stranger", &Default::default()).await;
    assert_eq!(
        store.clients(&who, None, None, 10).await.unwrap(),
        std::slice::from_ref(&client)
    );
    assert_eq!(
        store
            .clients(&operator_, None, None, 10)
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        store.client_of(&stranger, client.id).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.client_limits(&stranger, client.id).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.check_limits(&stranger, client.id, CREATE).await,
        Err(StoreError::NotFound)
    );

    let taken = store
        .create_client(&operator_, "Canal Uno", &name("free"))
        .await;
    assert!(conflict(taken).contains("already"));
    let no_plan = store
        .create_client(&operator_, "Canal Dos", &name("gold"))
        .await;
    assert!(
        matches!(&no_plan, Err(StoreError::Invalid(wrong)) if wrong.0[0].pointer == "/plan"),
        "{no_plan:?}"
    );
    let renamed = ClientEdit {
        name: Some("operator".to_owned()),
        ..ClientEdit::default()
    };
    assert!(
        conflict(
            store
                .update_client(&operator_, client.id, &renamed, None)
                .await
        )
        .contains("already")
    );
    assert!(conflict(store.delete_client(&operator_, operator(), None).await).contains("operator"));

    let new = NewToken {
        client: client.id,
        scopes: Scopes::CLIENT,
        name: "script".to_owned(),
        expires_at: None,
    };
    let (_, secret) = store.create_token(&who, new).await.unwrap();
    let made = stored(&store, &who, "One").await;
    assert!(
        conflict(store.delete_client(&operator_, client.id, None).await).contains("1 channels")
    );
    store.delete_channel(&who, made.id, None).await.unwrap();
    let wrong = store.delete_client(&operator_, client.id, Some(9)).await;
    assert_eq!(wrong, Err(StoreError::VersionMismatch { current: 1 }));
    store
        .delete_client(&operator_, client.id, Some(1))
        .await
        .unwrap();
    assert_eq!(
        store.principal(&secret).await.unwrap(),
        None,
        "its tokens end with it"
    );
    assert_eq!(
        store.client_of(&operator_, client.id).await,
        Err(StoreError::NotFound)
    );
}
