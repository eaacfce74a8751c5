//! Who is told of which alert; what a route may be; how deliveries are tried, in which order, and given up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::delivery::{DELAYS, Delivery, DeliveryState, Outcome};
use playout_domain::alert::outbox::{
    LEFT_ALONE, LEFT_ALONE_AFTER, MAX_UNDER_WAY, MAX_WAITING, Outbox,
};
use playout_domain::alert::route::{AlertRoute, RouteConfig, RoutePolicy};
use playout_domain::alert::{Alert, AlertKind, Key, Notice, Severity, Subject};
use playout_domain::backoff::Chance;
use playout_domain::{AlertId, AlertRouteId, ClientId, DeliveryId};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const OPERATOR: u128 = 1;

fn client(n: u128) -> ClientId {
    ClientId::from(Uuid::from_u128(n))
}

fn alert(kind: AlertKind, of: u128, id: u128) -> Alert {
    Alert {
        id: AlertId::from(Uuid::from_u128(id)),
        key: Key::new(kind, Subject::Daemon),
        client: client(of),
        name: None,
        detail: "why".to_owned(),
        occurrences: 1,
        opened_at: Timestamp::UNIX_EPOCH,
        last_at: Timestamp::UNIX_EPOCH,
        reopened: 0,
        acknowledged: None,
        closed_at: None,
        told: true,
    }
}

fn route(of: u128, chosen: &Value) -> AlertRoute {
    AlertRoute {
        id: AlertRouteId::from(Uuid::from_u128(7)),
        client: client(of),
        config: RouteConfig::parse(chosen, RoutePolicy::default()).expect("a route"),
        disabled_reason: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn webhook(more: Value) -> Value {
    let mut chosen = json!({ "type": "webhook", "url": "https://hooks.example.com/in" });
    for (name, value) in more.as_object().expect("an object") {
        chosen[name] = value.clone();
    }
    chosen
}

#[test]
fn the_client_and_the_operator_are_told_by_routes_of_their_own() {
    let every = webhook(json!({ "minimumSeverity": "info" }));
    let hears = |route: &AlertRoute, kind, of| route.wants(&alert(kind, of, 1), client(OPERATOR));
    let (theirs, others, ours) = (route(2, &every), route(3, &every), route(OPERATOR, &every));
    // A client's trouble is the client's; what he cannot mend is the operator's, too.
    for (kind, client_hears, operator_hears) in [
        (AlertKind::SourceFailing, true, false),
        (AlertKind::MediaNotPrepared, true, false),
        (AlertKind::ChannelError, true, true),
        (AlertKind::Quarantined, false, true),
    ] {
        assert_eq!(hears(&theirs, kind, 2), client_hears, "{kind}");
        assert_eq!(hears(&ours, kind, 2), operator_hears, "{kind}");
        assert!(!hears(&others, kind, 2), "{kind}");
    }
    // The daemon's own is the operator's alone.
    assert!(hears(&ours, AlertKind::DiskFull, OPERATOR));
    assert!(!hears(&theirs, AlertKind::DiskFull, OPERATOR));
    // On a channel of his own the operator is the client.
    assert!(hears(&ours, AlertKind::SourceFailing, OPERATOR));
}

#[test]
fn a_route_takes_what_is_bad_enough_and_of_its_kinds() {
    let chosen = |value| route(2, &webhook(value)).config;
    let default = chosen(json!({}));
    assert_eq!(default.minimum, Severity::Warning);
    assert!(default.takes(AlertKind::SourceFailing));
    assert!(!default.takes(AlertKind::MediaNotPrepared), "that is info");
    let critical = chosen(json!({ "minimumSeverity": "critical" }));
    assert!(!critical.takes(AlertKind::SourceFailing) && critical.takes(AlertKind::DeadAir));
    let dead_air = chosen(json!({ "kinds": ["channel.dead_air", "channel.dead_air"] }));
    assert_eq!(dead_air.kinds, [AlertKind::DeadAir]);
    assert!(dead_air.takes(AlertKind::DeadAir) && !dead_air.takes(AlertKind::ChannelError));
    assert!(!chosen(json!({ "enabled": false })).takes(AlertKind::DeadAir));
}

#[test]
fn every_violation_of_a_route_is_listed() {
    let refusals = |value: Value| -> Vec<String> {
        let refused = RouteConfig::parse(&value, RoutePolicy::default()).expect_err("no route");
        refused.0.into_iter().map(|v| v.pointer).collect()
    };
    assert_eq!(refusals(json!({})), ["/type"]);
    assert_eq!(refusals(json!({ "type": "pigeon" })), ["/type"]);
    assert_eq!(refusals(json!({ "type": "webhook" })), ["/url"]);
    let wrong = json!({
        "type": "email", "address": "nobody", "minimumSeverity": "awful",
        "kinds": ["channel.explodes", 7], "enabled": "yes", "secret": "mine",
    });
    let all = [
        "/address",
        "/minimumSeverity",
        "/kinds",
        "/kinds",
        "/enabled",
        "/secret",
    ];
    assert_eq!(refusals(wrong), all);
    let inside = json!({ "type": "webhook", "url": "http://127.0.0.1:9/" });
    assert_eq!(refusals(inside.clone()), ["/url"]);
    let allowed = RoutePolicy {
        allow_private: true,
    };
    assert!(RouteConfig::parse(&inside, allowed).is_ok());
}

#[test]
fn a_patch_changes_what_it_names_and_never_the_type() {
    let before = route(2, &webhook(json!({ "kinds": ["channel.error"] }))).config;
    let policy = RoutePolicy::default();
    let after = before.patched(&json!({ "enabled": false, "kinds": null }), policy);
    let after = after.expect("it fits");
    assert_eq!((after.enabled, after.kinds.len()), (false, 0));
    assert_eq!(after.target, before.target);
    assert!(
        before
            .patched(
                &json!({ "type": "email", "address": "ops@example.org", "url": null }),
                policy
            )
            .is_err()
    );
    assert!(before.patched(&json!([]), policy).is_err());
    assert_eq!(before.patched(&json!({}), policy).as_ref(), Ok(&before));
    assert_eq!(
        RouteConfig::parse(&before.to_json(), policy).as_ref(),
        Ok(&before)
    );
}

fn delivery(id: u128, route: u128, of: u128, now: Timestamp) -> Delivery {
    let alert = alert(AlertKind::ChannelError, 2, of);
    let route = (AlertRouteId::from(Uuid::from_u128(route)), client(2));
    Delivery::new(
        DeliveryId::from(Uuid::from_u128(id)),
        route,
        &alert,
        Notice::Opened,
        now,
    )
}

fn failed() -> Outcome {
    Outcome::Failed("HTTP 500".to_owned())
}

#[test]
fn a_delivery_is_tried_seven_times_in_eight_hours_and_then_it_is_dead() {
    let start = Timestamp::UNIX_EPOCH;
    let mut delivery = delivery(1, 1, 1, start);
    let mut waits = Vec::new();
    while delivery.state == DeliveryState::Pending {
        let now = delivery.next_at;
        delivery.attempted(&failed(), &DELAYS, now, Chance::EVEN);
        waits.push(delivery.next_at.duration_since(now).as_secs());
    }
    assert_eq!(waits, [5, 30, 120, 600, 3_600, 21_600, 0]);
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Dead, 7)
    );
    assert_eq!(delivery.error.as_deref(), Some("HTTP 500"));
    delivery.put_back(start);
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Pending, 0)
    );
    delivery.attempted(&Outcome::Delivered, &DELAYS, start, Chance::EVEN);
    assert_eq!(
        (delivery.state, delivery.error),
        (DeliveryState::Delivered, None)
    );
}

#[test]
fn a_receiver_that_wants_nothing_is_not_asked_again() {
    let start = Timestamp::UNIX_EPOCH;
    let gone = Outcome::Unwanted("HTTP 410".to_owned());
    let refused = Outcome::Refused("550 no such user".to_owned());
    for outcome in [gone, refused] {
        let mut delivery = delivery(1, 1, 1, start);
        delivery.attempted(&outcome, &DELAYS, start, Chance::EVEN);
        assert_eq!(delivery.state, DeliveryState::Dead);
    }
}

#[test]
fn of_one_route_so_many_wait_and_the_oldest_gives_way() {
    let start = Timestamp::UNIX_EPOCH;
    let mut outbox = Outbox::default();
    for n in 0..MAX_WAITING as u128 {
        assert_eq!(outbox.push(delivery(n, 1, n, start), start), None);
    }
    let under_way = outbox.take_due(start, 9);
    assert_eq!(under_way.len(), 1);
    let gave_way = outbox
        .push(delivery(9_999, 1, 9_999, start), start)
        .expect("one");
    assert_eq!(
        gave_way.id,
        DeliveryId::from(Uuid::from_u128(1)),
        "0 is under way"
    );
    assert_eq!(gave_way.state, DeliveryState::Dead);
    assert_eq!(outbox.len(), MAX_WAITING);
}

#[test]
fn one_clients_receivers_that_hang_hold_up_no_other_client() {
    let start = Timestamp::UNIX_EPOCH;
    let mut outbox = Outbox::default();
    for n in 0..20 {
        outbox.push(delivery(n, n, n, start), start);
    }
    let mut other = delivery(100, 100, 100, start);
    other.client = client(3);
    outbox.push(other, start);
    let due = outbox.take_due(start, 16);
    assert_eq!(due.len(), MAX_UNDER_WAY + 1);
    assert_eq!(due.last().map(|delivery| delivery.client), Some(client(3)));
    assert_eq!(outbox.next_due(), None, "the rest wait for one to end");
    outbox.attempted(&due[0], &Outcome::Delivered, &DELAYS, start, Chance::EVEN);
    assert_eq!(outbox.next_due(), Some(start));
    assert_eq!(outbox.take_due(start, 16).len(), 1);
}

#[test]
fn a_receiver_that_fails_is_asked_by_one_delivery_at_a_time_and_trusted_once_it_takes_one() {
    let start = Timestamp::UNIX_EPOCH;
    let route = AlertRouteId::from(Uuid::from_u128(1));
    let failing = || {
        let mut outbox = Outbox::default();
        for n in 0..5 {
            outbox.push(delivery(n, 1, n, start), start);
        }
        for _ in 0..LEFT_ALONE_AFTER {
            let due = outbox.take_due(start, 1);
            outbox.attempted(&due[0], &failed(), &DELAYS, start, Chance::EVEN);
        }
        outbox
    };
    let mut outbox = failing();
    assert_eq!(outbox.take_due(start, 9), [], "two are due, and wait");
    let again = start + DELAYS[0];
    assert_eq!(outbox.next_due(), Some(again));
    let due = outbox.take_due(again, 9);
    assert_eq!(due.len(), 1);
    // However late that one itself is tried again, the others find out sooner.
    let late = [Duration::from_secs(50_000); 2];
    outbox.attempted(&due[0], &failed(), &late, again, Chance::EVEN);
    assert_eq!(outbox.next_due(), Some(again + LEFT_ALONE));
    let due = outbox.take_due(again + LEFT_ALONE, 9);
    outbox.attempted(&due[0], &Outcome::Delivered, &DELAYS, again, Chance::EVEN);
    assert_eq!(outbox.take_due(again, 9).len(), 1, "it takes what there is");

    let mut outbox = failing();
    outbox.push(delivery(9, 2, 9, start), start);
    assert_eq!(
        outbox.take_due(start, 9).len(),
        1,
        "another route's waits for nothing"
    );
    outbox.trust(route);
    assert_eq!(outbox.take_due(start, 9).len(), 1, "somebody says it works");
}

#[derive(Debug, Clone)]
enum Act {
    /// A delivery of one of three alerts by one of three routes.
    Push(u128, u128),
    Take(usize),
    /// What is under way on a route ends.
    End(usize, u8),
    Wait(u64),
    GiveUp(u128),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3_u128, 0..3_u128).prop_map(|(route, alert)| Act::Push(route, alert)),
        4 => (1..4_usize).prop_map(Act::Take),
        4 => (0..3_usize, any::<u8>()).prop_map(|(nth, how)| Act::End(nth, how)),
        3 => (0..8_000_u64).prop_map(Act::Wait),
        1 => (0..3_u128).prop_map(Act::GiveUp),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// O1 to O3.
    #[test]
    fn deliveries_keep_their_order_their_time_and_their_turn(
        acts in prop::collection::vec(act(), 1..120),
        draw in any::<f64>(),
    ) {
        let (mut outbox, mut now, mut ids) = (Outbox::default(), Timestamp::UNIX_EPOCH, 0_u128);
        let mut unfinished: BTreeMap<DeliveryId, Delivery> = BTreeMap::new();
        let mut under_way: Vec<Delivery> = Vec::new();
        for act in acts {
            match act {
                Act::Push(route, alert) => {
                    ids += 1;
                    let new = delivery(ids, route, alert, now);
                    unfinished.insert(new.id, new.clone());
                    prop_assert_eq!(outbox.push(new, now), None);
                }
                Act::Take(room) => {
                    let due = outbox.take_due(now, room);
                    prop_assert!(due.len() <= room);
                    for delivery in due {
                        prop_assert!(delivery.next_at <= now, "O3: not before its time");
                        let older = unfinished.values().find(|other| {
                            other.route == delivery.route && other.alert == delivery.alert && other.id < delivery.id
                        });
                        prop_assert!(older.is_none(), "O2: {:?} waits", older.map(|d| d.id));
                        under_way.push(delivery);
                    }
                    let routes: BTreeSet<_> = under_way.iter().map(|d| d.route).collect();
                    prop_assert_eq!(routes.len(), under_way.len(), "O1");
                }
                Act::End(nth, how) if nth < under_way.len() => {
                    let delivery = under_way.swap_remove(nth);
                    let outcome = match how % 4 {
                        0 => Outcome::Delivered,
                        1 => Outcome::Unwanted("HTTP 410".to_owned()),
                        _ => failed(),
                    };
                    let known = outbox.attempted(&delivery, &outcome, &DELAYS, now, Chance::new(draw));
                    prop_assert_eq!(known.is_some(), unfinished.contains_key(&delivery.id));
                    if let Some(known) = known {
                        if known.state == DeliveryState::Pending {
                            let delay = known.next_at.duration_since(now).as_secs_f64();
                            let base = DELAYS[known.attempts as usize - 1].as_secs_f64();
                            prop_assert!(delay >= base * 0.799 && delay <= base * 1.201);
                            unfinished.insert(known.id, known);
                        } else {
                            unfinished.remove(&known.id);
                        }
                    }
                }
                Act::End(..) => {}
                Act::Wait(seconds) => now += Duration::from_secs(seconds),
                Act::GiveUp(route) => {
                    let route = AlertRouteId::from(Uuid::from_u128(route));
                    let given_up = outbox.give_up(route, "deleted", now);
                    for delivery in &given_up {
                        prop_assert_eq!(delivery.state, DeliveryState::Dead);
                        prop_assert!(unfinished.remove(&delivery.id).is_some());
                    }
                    prop_assert!(unfinished.values().all(|d| d.route != route));
                }
                Act::Restart => {
                    outbox.begin_anew();
                    under_way.clear();
                }
            }
            prop_assert_eq!(outbox.len(), unfinished.len(), "O3: none is lost");
            let busy: BTreeSet<_> = under_way.iter().map(|d| d.route).collect();
            let idle: Vec<&Delivery> = unfinished.values().filter(|d| !busy.contains(&d.route)).collect();
            prop_assert_eq!(outbox.next_due().is_some(), !idle.is_empty());
        }
        // Whoever goes on trying comes to an end.
        while let Some(due) = outbox.next_due().or(under_way.first().map(|_| now)) {
            now = now.max(due);
            under_way.extend(outbox.take_due(now, 8));
            for delivery in std::mem::take(&mut under_way) {
                outbox.attempted(&delivery, &failed(), &DELAYS, now, Chance::EVEN);
            }
        }
        prop_assert!(outbox.is_empty());
    }
}
