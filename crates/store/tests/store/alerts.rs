//! Alerts as they are kept: written again without harm, audited once, and seen only by whom they concern.

use jiff::Timestamp;
use playout_domain::alert::{AlertState, Key, Severity, Subject};
use playout_domain::limits::PlanLimits;
use playout_domain::{Alert, AlertId, AlertKind, ChannelId, ClientId};
use playout_store::{AlertFilter, Principal, Store, StoreError, operator, testing};
use uuid::Uuid;

pub(crate) fn alert(client: ClientId, kind: AlertKind) -> Alert {
    let at: Timestamp = "2026-11-24T08:00:00.5Z".parse().unwrap();
    let subject = match kind {
        AlertKind::DiskFull => Subject::Daemon,
        _ => Subject::Channel(ChannelId::from(Uuid::now_v7())),
    };
    Alert {
        id: AlertId::from(Uuid::now_v7()),
        key: Key::new(kind, subject),
        client,
        name: Some("News".to_owned()),
        detail: "FFmpeg ended with status 1".to_owned(),
        occurrences: 3,
        opened_at: at,
        last_at: at,
        reopened: 0,
        acknowledged: None,
        closed_at: None,
        told: true,
    }
}

async fn operations(store: &Store, client: ClientId) -> Vec<(String, String)> {
    let entries = store.audit(client, 0, 100).await.unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.operation, entry.actor))
        .collect()
}

fn closed(alert: &Alert) -> Alert {
    Alert {
        closed_at: Some(alert.last_at),
        told: false,
        ..alert.clone()
    }
}

#[tokio::test]
async fn an_alert_is_kept_as_it_is_and_every_change_of_its_state_is_audited_once() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let open = alert(who.client, AlertKind::ChannelError);
    for _ in 0..2 {
        store.save_alert(&open).await.unwrap();
    }
    assert_eq!(store.alert(&who, open.id).await.unwrap(), open);
    let mut more = open.clone();
    more.occurrences = 9;
    more.detail = "again".to_owned();
    store.save_alert(&more).await.unwrap();
    let over = closed(&more);
    for _ in 0..2 {
        store.save_alert(&over).await.unwrap();
    }
    assert_eq!(store.alert(&who, open.id).await.unwrap(), over);
    assert_eq!(store.open_alerts(None).await.unwrap(), []);
    let back = Alert {
        closed_at: None,
        reopened: 1,
        ..over
    };
    store.save_alert(&back).await.unwrap();
    assert_eq!(store.open_alerts(None).await.unwrap(), [back]);
    // Opened and closed while the database was away.
    let unseen = closed(&alert(who.client, AlertKind::DeadAir));
    store.save_alert(&unseen).await.unwrap();
    let daemon = |operation: &str| (operation.to_owned(), "daemon".to_owned());
    let expected = ["open", "close", "reopen", "open", "close"];
    let expected = expected.map(|step| daemon(&format!("alert.{step}")));
    assert_eq!(operations(&store, who.client).await, expected);
    let nothing = playout_store::ExportedHeads::default();
    let audit = store.verify_audit(&nothing).await.unwrap();
    assert_eq!((audit.faults.len(), audit.entries), (0, 5));
}

#[tokio::test]
async fn a_change_that_cannot_be_audited_does_not_happen() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let open = alert(who.client, AlertKind::ChannelError);
    store.save_alert(&open).await.unwrap();
    let session = store.session().await;
    session
        .batch_execute("ALTER TABLE audit ADD CONSTRAINT no_more CHECK (seq < 2)")
        .await
        .unwrap();
    assert!(store.save_alert(&closed(&open)).await.is_err());
    assert!(store.acknowledge_alert(&who, open.id).await.is_err());
    let other = alert(who.client, AlertKind::ChannelError);
    assert!(store.save_alert(&other).await.is_err());
    assert_eq!(store.open_alerts(None).await.unwrap(), [open]);
}

#[tokio::test]
async fn somebody_who_knows_stays_known_whatever_memory_writes_later() {
    let store = testing::fresh().await;
    let who = store.client("tv", &PlanLimits::UNLIMITED).await;
    let open = alert(who.client, AlertKind::SourceFailing);
    store.save_alert(&open).await.unwrap();
    let known = store.acknowledge_alert(&who, open.id).await.unwrap();
    assert_eq!(known.state(), AlertState::Acknowledged);
    assert_eq!(known.acknowledged.as_ref().unwrap().by, "tv");
    let again = store
        .acknowledge_alert(&Principal::daemon(), open.id)
        .await
        .unwrap();
    assert_eq!(again, known, "who came first stays");
    store.save_alert(&open).await.unwrap();
    assert_eq!(store.alert(&who, open.id).await.unwrap(), known);
    store.save_alert(&closed(&open)).await.unwrap();
    let over = store.alert(&who, open.id).await.unwrap();
    assert_eq!(
        (over.state(), &over.acknowledged),
        (AlertState::Closed, &known.acknowledged)
    );
    let refused = store.acknowledge_alert(&who, open.id).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    let last = operations(&store, who.client).await;
    assert_eq!(last[1], ("alert.acknowledge".to_owned(), "tv".to_owned()));
    assert_eq!(last.len(), 3);
}

#[tokio::test]
async fn a_list_is_newest_first_page_by_page_and_narrowed_by_what_is_asked() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let kinds = [
        AlertKind::SourceFailing,
        AlertKind::ChannelError,
        AlertKind::DeadAir,
        AlertKind::DiskFull,
    ];
    let mut all: Vec<Alert> = kinds.map(|kind| alert(who.client, kind)).to_vec();
    all[1] = closed(&all[1]);
    for alert in &all {
        store.save_alert(alert).await.unwrap();
    }
    store.acknowledge_alert(&who, all[2].id).await.unwrap();
    let all = {
        let mut stored = Vec::new();
        for alert in all.iter().rev() {
            stored.push(store.alert(&who, alert.id).await.unwrap());
        }
        stored
    };
    let every = AlertFilter::default();
    let first = store.alerts(&who, every, None, 2).await.unwrap();
    assert_eq!(first, all[..2]);
    let rest = store.alerts(&who, every, Some(first[1].id), 9).await;
    assert_eq!(rest.unwrap(), all[2..]);
    let mut filters = vec![every];
    filters.extend(AlertState::ALL.map(|state| AlertFilter {
        state: Some(state),
        ..every
    }));
    filters.extend(Severity::ALL.map(|severity| AlertFilter {
        severity: Some(severity),
        ..every
    }));
    filters.push(AlertFilter {
        channel: all[1].key.subject.channel(),
        ..every
    });
    for filter in filters {
        let expected: Vec<Alert> = all.iter().filter(|a| filter.takes(a)).cloned().collect();
        let found = store.alerts(&who, filter, None, 9).await.unwrap();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn an_alert_of_another_client_does_not_exist() {
    let store = testing::fresh().await;
    let (ours, theirs) = (
        store.client("ours", &PlanLimits::UNLIMITED).await,
        store.client("theirs", &PlanLimits::UNLIMITED).await,
    );
    let open = alert(ours.client, AlertKind::SourceFailing);
    store.save_alert(&open).await.unwrap();
    let daemons = alert(operator(), AlertKind::DiskFull);
    store.save_alert(&daemons).await.unwrap();
    let every = AlertFilter::default();
    assert_eq!(store.alerts(&theirs, every, None, 9).await.unwrap(), []);
    assert_eq!(
        store.alert(&theirs, open.id).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.acknowledge_alert(&theirs, open.id).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(
        store.alerts(&ours, every, None, 9).await.unwrap(),
        std::slice::from_ref(&open)
    );
    let seen = store.alerts(&Principal::daemon(), every, None, 9).await;
    assert_eq!(seen.unwrap(), [daemons, open]);
}

#[tokio::test]
async fn of_one_trouble_there_is_one_open_alert() {
    let store = testing::fresh().await;
    let open = alert(operator(), AlertKind::ChannelError);
    store.save_alert(&open).await.unwrap();
    let twin = Alert {
        id: AlertId::from(Uuid::now_v7()),
        ..open.clone()
    };
    assert!(store.save_alert(&twin).await.is_err());
    store.save_alert(&closed(&open)).await.unwrap();
    store.save_alert(&twin).await.unwrap();
}

#[tokio::test]
async fn what_is_over_for_long_is_deleted_and_what_is_open_stays() {
    let store = testing::fresh().await;
    let open = alert(operator(), AlertKind::ChannelError);
    let over = closed(&alert(operator(), AlertKind::ChannelError));
    for alert in [&open, &over] {
        store.save_alert(alert).await.unwrap();
    }
    assert_eq!(store.prune_alerts(over.opened_at).await.unwrap(), 0);
    assert_eq!(store.prune_alerts(Timestamp::now()).await.unwrap(), 1);
    let left = store
        .alerts(&Principal::daemon(), AlertFilter::default(), None, 9)
        .await;
    assert_eq!(left.unwrap(), [open]);
}
