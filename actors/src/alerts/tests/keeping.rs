//! What is known of alerts, told to listeners, kept in PostgreSQL, and answered.

use playout_domain::AlertKind;
use playout_domain::alert::recovery::RecoveryKind;
use playout_domain::alert::{AlertState, Service, Subject};
use playout_domain::limits::PlanLimits;
use playout_store::{AlertFilter, Quarantined};

use super::*;
use crate::channels::OnAirKind;
use crate::error::OpError;
use crate::hub::kind;

async fn alerts(house: &House, who: &Principal) -> Vec<playout_domain::Alert> {
    let every = AlertFilter::default();
    let mut found = house.handler.list(who, every, None, 100).await.unwrap();
    // Of a store that is away by the test's own doing.
    found.retain(|alert| alert.kind() != AlertKind::PostgresDown);
    found
}

#[tokio::test]
async fn three_failures_raise_one_alert_that_is_told_and_kept_and_closed_by_recovery() {
    let house = House::new().await;
    let channel = channel();
    let mut events = house.events(None);
    for attempt in 1..=4 {
        house.fail(&channel, attempt);
        let told = event(&mut events, kind::CHANNEL_RECOVERY).await;
        assert_eq!(told.channel, Some(channel.id));
        assert_eq!(told.data["type"], "restart");
        assert_eq!(told.data["attempt"], attempt);
        assert_eq!(told.data["failure"], "source");
        assert_eq!(told.data["error"], "FFmpeg ended with status 1");
        if attempt == 3 {
            let opened = event(&mut events, kind::ALERT_OPENED).await;
            assert_eq!(opened.data["kind"], "channel.source_failing");
            assert_eq!(opened.data["channelId"], channel.id.to_string());
            assert_eq!(opened.data["name"], "News");
            assert_eq!(opened.data["occurrences"], 3);
            // Whoever heard of it finds it.
            let found = alerts(&house, &admin()).await;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].to_json(), opened.data);
        }
    }
    let updated = event(&mut events, kind::ALERT_UPDATED).await;
    assert_eq!(updated.data["occurrences"], 4);
    house.handler.stream_healthy(channel.id);
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["state"], "closed");
    let found = alerts(&house, &admin()).await;
    assert_eq!((found.len(), found[0].state()), (1, AlertState::Closed));

    let history = house.handler.history(channel.id, None, 2).await.unwrap();
    let attempts: Vec<u32> = history.iter().map(|entry| entry.action.attempt).collect();
    assert_eq!(attempts, [4, 3]);
    let rest = house.handler.history(channel.id, Some(history[1].id), 9);
    assert_eq!(rest.await.unwrap().len(), 2);
    house.stop().await;
}

#[tokio::test]
async fn a_client_hears_and_sees_its_own_and_nothing_else() {
    let house = House::new().await;
    let ours = house.store.client("ours", &PlanLimits::UNLIMITED).await;
    let channel = channel_of(ours.client);
    let (mut ours_events, mut all) = (house.events(Some(ours.client)), house.events(None));
    let mut other = house.events(Some(stranger().client));
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    house
        .handler
        .handle_service_failure(Service::Disk, "0 bytes are free");
    assert_eq!(
        event(&mut ours_events, kind::ALERT_OPENED).await.data["kind"],
        "channel.error"
    );
    let told = [
        event(&mut all, kind::ALERT_OPENED).await,
        event(&mut all, kind::ALERT_OPENED).await,
    ];
    assert_eq!(told[1].data["kind"], "disk.full");
    assert_eq!(alerts(&house, &ours).await.len(), 1);
    assert_eq!(alerts(&house, &stranger()).await, []);
    let all = alerts(&house, &admin()).await;
    assert_eq!(all.len(), 2);
    let (disk, error) = (&all[0], &all[1]);
    let get = house.handler.get(&ours, disk.id).await;
    assert_eq!(get, Err(OpError::NotFound("alert")));
    let acknowledge = house.handler.acknowledge(&stranger(), error.id).await;
    assert_eq!(acknowledge, Err(OpError::NotFound("alert")));
    // What was published first would have come first.
    house.handler.recovered(error.key);
    let mut nothing = house.events(Some(stranger().client));
    let quiet = std::future::poll_fn(|context| {
        let other = std::pin::pin!(other.next()).poll(context).is_pending();
        let nothing = std::pin::pin!(nothing.next()).poll(context).is_pending();
        std::task::Poll::Ready(other && nothing)
    });
    assert!(quiet.await, "a stranger hears nothing");
    house.stop().await;
}

#[tokio::test]
async fn an_alert_is_acknowledged_once_by_somebody_and_stays_so_until_it_is_over() {
    let house = House::new().await;
    let channel = channel();
    let mut events = house.events(None);
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    let id = opened.data["id"].as_str().unwrap().parse().unwrap();
    // At once, whether it is written by now or not.
    let known = house.handler.acknowledge(&admin(), id).await.unwrap();
    assert_eq!(known.state(), AlertState::Acknowledged);
    let updated = event(&mut events, kind::ALERT_UPDATED).await;
    assert_eq!(updated.data["acknowledgedBy"], "daemon");
    assert_eq!(updated.data, known.to_json());
    assert_eq!(house.handler.acknowledge(&admin(), id).await, Ok(known));
    house.handler.channel_live(channel.id);
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["acknowledgedBy"], "daemon");
    let late = house.handler.acknowledge(&admin(), id).await;
    assert!(matches!(late, Err(OpError::Conflict { .. })), "{late:?}");
    let audit = house.store.audit(operator(), 0, 9).await.unwrap();
    let operations: Vec<&str> = audit.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["alert.open", "alert.acknowledge", "alert.close"]
    );
    house.stop().await;
}

#[tokio::test]
async fn while_postgresql_is_away_alerts_go_on_and_are_recorded_when_it_is_back() {
    let house = House::new().await;
    let (one, two) = (channel(), channel());
    let mut events = house.events(None);
    house.handler.escalate_to_support(&one, "it is in ERROR");
    event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(alerts(&house, &admin()).await.len(), 1);
    house.store.go_away().await;
    house.handler.channel_live(one.id);
    event(&mut events, kind::ALERT_CLOSED).await;
    house.handler.escalate_to_support(&two, "it is in ERROR");
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    house.fail(&two, 1);
    // From memory: what is open, and what is not written yet.
    let known = alerts(&house, &admin()).await;
    let states: Vec<AlertState> = known.iter().map(playout_domain::Alert::state).collect();
    assert_eq!(states, [AlertState::Open, AlertState::Closed]);
    assert_eq!(known[0].to_json(), opened.data);
    let open = AlertFilter {
        state: Some(AlertState::Open),
        ..AlertFilter::default()
    };
    let narrowed = house.handler.list(&admin(), open, None, 9).await.unwrap();
    assert!(narrowed.contains(&known[0]) && !narrowed.contains(&known[1]));
    assert_eq!(
        house.handler.get(&admin(), known[0].id).await,
        Ok(known[0].clone())
    );
    assert_eq!(alerts(&house, &stranger()).await, []);
    let refused = house.handler.acknowledge(&admin(), known[0].id).await;
    assert!(
        matches!(refused, Err(OpError::Unavailable { .. })),
        "{refused:?}"
    );
    assert_eq!(alerts(&house, &admin()).await, known, "nothing has changed");
    house.store.come_back().await;
    found("what waited is written", || async {
        let open = house.store.open_alerts(None).await.ok()?;
        open.contains(&known[0]).then_some(())
    })
    .await;
    found("it is answered from there", || async {
        (alerts(&house, &admin()).await == known).then_some(())
    })
    .await;
    let history = house.handler.history(two.id, None, 9).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(house.handler.lost(), 0);
    house.stop().await;
}

#[tokio::test]
async fn what_was_open_goes_on_after_a_restart_and_what_nobody_wants_is_over() {
    let mut house = House::new().await;
    let (wanted, gone) = (channel(), channel());
    for channel in [&wanted, &gone] {
        house.handler.escalate_to_support(channel, "it is in ERROR");
    }
    let damaged = channel();
    let mended = channel();
    for channel in [&damaged, &mended] {
        house.handler.quarantined(&Quarantined {
            id: channel.id,
            client: Some(ClientId::from(Uuid::from_u128(9))),
            name: None,
            reason: "its digest does not fit".to_owned(),
        });
    }
    // Without a word: what was just raised is written by the end.
    house.restart().await;
    let handler = &house.handler;
    handler.forget_unless(
        |channel| channel == wanted.id,
        |channel| channel == damaged.id,
    );
    let open: Vec<_> = alerts(&house, &admin()).await;
    let states: Vec<_> = open
        .iter()
        .rev()
        .map(|a| (a.key.subject, a.state()))
        .collect();
    assert_eq!(
        states,
        [
            (Subject::Channel(wanted.id), AlertState::Open),
            (Subject::Channel(gone.id), AlertState::Closed),
            (Subject::Channel(damaged.id), AlertState::Open),
            (Subject::Channel(mended.id), AlertState::Closed),
        ]
    );
    assert_eq!(open[1].detail, "its digest does not fit");
    assert_eq!(open[1].client, operator());
    house.handler.escalate_to_support(&wanted, "again");
    house.handler.channel_live(wanted.id);
    let same = house.handler.get(&admin(), open[3].id).await.unwrap();
    assert_eq!((same.occurrences, same.state()), (2, AlertState::Closed));
    house.stop().await;
}

#[tokio::test]
async fn the_slate_is_an_alert_when_it_stays_and_none_when_it_passes() {
    let house = House::with(AlertsConfig {
        dead_air: Duration::from_millis(200),
        ..fast()
    })
    .await;
    let (stays, passes) = (channel(), channel());
    let mut events = house.events(None);
    house.handler.on_air(&stays, OnAirKind::Slate);
    house.handler.on_air(&passes, OnAirKind::Slate);
    house.handler.on_air(&passes, OnAirKind::Scheduled);
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(opened.data["kind"], "channel.dead_air");
    assert_eq!(opened.channel, Some(stays.id));
    house.handler.on_air(&stays, OnAirKind::Fallback);
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.channel, Some(stays.id));
    assert_eq!(alerts(&house, &admin()).await.len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_fallback_that_stays_is_an_alert_until_something_of_the_plan_is_shown() {
    let house = House::with(AlertsConfig {
        nothing_playable: Duration::from_millis(200),
        ..fast()
    })
    .await;
    let channel = channel();
    let mut events = house.events(None);
    house.handler.on_air(&channel, OnAirKind::Fallback);
    let opened = event(&mut events, kind::ALERT_OPENED).await;
    assert_eq!(opened.data["kind"], "channel.nothing_playable");
    house.handler.on_air(&channel, OnAirKind::Slate);
    house.handler.on_air(&channel, OnAirKind::Scheduled);
    let closed = event(&mut events, kind::ALERT_CLOSED).await;
    assert_eq!(closed.data["id"], opened.data["id"]);
    house.stop().await;
}

#[tokio::test]
async fn a_broken_item_is_over_when_it_is_shown_or_not_played_any_more() {
    let house = House::new().await;
    let channel = channel();
    let media = |n| MediaId::from(Uuid::from_u128(n));
    for n in 1..=3 {
        let action = house.handler.handle_stream_failure(StreamError {
            channel: &channel,
            failure: StreamFailure::Item {
                others: true,
                again: Duration::from_secs(600),
            },
            media: Some(media(n)),
            destination: None,
            error: "it failed twice at one place",
        });
        assert_eq!(action.kind, RecoveryKind::Fallback);
    }
    house.handler.item_played(channel.id, media(1));
    house
        .handler
        .items_kept(channel.id, |item| item == media(3));
    let open: Vec<_> = alerts(&house, &admin())
        .await
        .into_iter()
        .filter(|alert| alert.state() == AlertState::Open)
        .map(|alert| alert.key.subject)
        .collect();
    assert_eq!(open, [Subject::Item(channel.id, media(3))]);
    house.handler.channel_gone(channel.id);
    assert_eq!(house.open().await, []);
    house.stop().await;
}

#[tokio::test]
async fn a_handler_that_starts_without_the_database_goes_on_with_what_was_open_when_it_is_back() {
    let mut house = House::new().await;
    let (one, two) = (channel(), channel());
    let mut events = house.events(None);
    for of in [&one, &two] {
        house.handler.escalate_to_support(of, "before");
        event(&mut events, kind::ALERT_OPENED).await;
    }
    let before = alerts(&house, &admin()).await;
    assert_eq!(before.len(), 2);
    house.running.stop().await;
    house.store.go_away().await;
    house.hub = std::sync::Arc::new(crate::hub::Hub::default());
    let mut events = house.events(None);
    (house.handler, house.running) = run(fast(), &house.store, &house.hub).await;
    assert!(alerts(&house, &admin()).await.is_empty());
    // Of one the trouble comes again, and is a new alert.
    house.handler.escalate_to_support(&two, "meanwhile");
    let anew = event(&mut events, kind::ALERT_OPENED).await;
    house.store.come_back().await;
    let all = found("all are known", async || {
        let open = alerts(&house, &admin()).await;
        (open.len() == 3).then_some(open)
    })
    .await;
    let state = |id: &str| {
        let found = all.iter().find(|alert| alert.id.to_string() == id);
        found.unwrap().state()
    };
    assert_eq!(state(anew.data["id"].as_str().unwrap()), AlertState::Open);
    for alert in &before {
        let replaced = alert.key.subject == Subject::Channel(two.id);
        let expected = match replaced {
            true => AlertState::Closed,
            false => AlertState::Open,
        };
        assert_eq!(state(&alert.id.to_string()), expected);
    }
    house.handler.channel_live(one.id);
    event(&mut events, kind::ALERT_CLOSED).await;
    house.stop().await;
}
