//! Alerts reach webhooks and mailboxes, whatever their receivers do, and no secret goes anywhere else.

use playout_domain::AlertRouteId;
use playout_domain::alert::delivery::{Delivery, DeliveryState};
use playout_domain::limits::PlanLimits;
use playout_partners::smtp::{SmtpConfig, SmtpTls};
use playout_partners::testing::{Behaviour, Fault, MailServer, Receiver};
use playout_store::DeliveryFilter;
use serde_json::{Value, json};

use super::*;
use crate::alerts::NewRoute;
use crate::error::OpError;
use crate::hub::kind;

fn ok() -> Behaviour {
    Behaviour::status("204 No Content")
}

fn broken() -> Behaviour {
    Behaviour::status("500 Internal Server Error")
}

async fn hook(house: &House, who: &Principal, receiver: &Receiver, more: Value) -> NewRoute {
    let mut chosen = json!({ "type": "webhook", "url": format!("http://{}/in", receiver.address) });
    for (name, value) in more.as_object().unwrap() {
        chosen[name] = value.clone();
    }
    house.handler.create_route(who, &chosen).await.unwrap()
}

async fn deliveries(house: &House, state: DeliveryState) -> Vec<Delivery> {
    let filter = DeliveryFilter {
        state: Some(state),
        ..DeliveryFilter::default()
    };
    let found = house.handler.deliveries(&admin(), filter, None, 100).await;
    found.unwrap()
}

/// The only delivery in this state, once it is there.
async fn delivery(house: &House, state: DeliveryState) -> Delivery {
    let what = format!("a delivery is {state}");
    found(&what, || async { deliveries(house, state).await.pop() }).await
}

#[tokio::test]
async fn an_alert_and_its_end_reach_a_webhook_signed_and_in_order() {
    let house = House::new().await;
    let mut receiver = Receiver::start(ok()).await;
    let made = hook(&house, &admin(), &receiver, json!({})).await;
    let secret = made.secret.unwrap();
    let channel = channel();
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    house.handler.channel_live(channel.id);
    let opened = receiver.next().await;
    assert!(opened.is_signed_with(&secret));
    assert_eq!(opened.json()["type"], "alert.opened");
    assert_eq!(opened.json()["data"]["kind"], "channel.error");
    assert_eq!(opened.json()["data"]["state"], "open");
    let closed = receiver.next().await;
    assert!(closed.is_signed_with(&secret));
    assert_eq!(closed.json()["type"], "alert.closed");
    assert_eq!(closed.json()["data"]["id"], opened.json()["data"]["id"]);
    found("both are delivered", || async {
        let done = deliveries(&house, DeliveryState::Delivered).await;
        (done.len() == 2).then_some(())
    })
    .await;
    house.stop().await;
}

#[tokio::test]
async fn a_receiver_that_fails_is_asked_again_under_the_same_id_until_it_takes_it() {
    let house = House::new().await;
    let mut receiver = Receiver::start(broken()).await;
    hook(&house, &admin(), &receiver, json!({})).await;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    let first = receiver.next().await;
    receiver.behave(ok());
    let again = receiver.next().await;
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert_eq!(first.body, again.body);
    let done = delivery(&house, DeliveryState::Delivered).await;
    assert_eq!(first.headers["webhook-id"], done.id.to_string());
    assert!(done.attempts >= 2 && done.error.is_none(), "{done:?}");
    house.stop().await;
}

#[tokio::test]
async fn what_is_never_taken_is_a_dead_letter_that_somebody_can_send_again() {
    let house = House::new().await;
    let mut receiver = Receiver::start(broken()).await;
    hook(&house, &admin(), &receiver, json!({})).await;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    let dead = delivery(&house, DeliveryState::Dead).await;
    assert_eq!(dead.attempts, 4, "one, and one after each delay");
    assert!(dead.error.as_ref().unwrap().contains("500"), "{dead:?}");
    for _ in 0..4 {
        receiver.next().await;
    }
    assert!(receiver.is_idle());
    let stranger = house.handler.retry_delivery(&stranger(), dead.id).await;
    assert_eq!(stranger, Err(OpError::NotFound("alert delivery")));
    receiver.behave(ok());
    let put_back = house.handler.retry_delivery(&admin(), dead.id).await;
    assert_eq!(put_back.unwrap().attempts, 0);
    let again = receiver.next().await;
    assert_eq!(again.headers["webhook-id"], dead.id.to_string());
    let done = delivery(&house, DeliveryState::Delivered).await;
    assert_eq!(done.id, dead.id);
    let late = house.handler.retry_delivery(&admin(), dead.id).await;
    assert!(matches!(late, Err(OpError::Conflict { .. })), "{late:?}");
    house.stop().await;
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_an_alert_that_the_other_routes_tell() {
    let house = House::new().await;
    let mut works = Receiver::start(ok()).await;
    let mut fails = Receiver::start(broken()).await;
    let only = json!({ "kinds": ["alerts.route_failing"] });
    hook(&house, &admin(), &works, only).await;
    let failing = hook(&house, &admin(), &fails, json!({})).await.route;
    let channel = channel();
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    let opened = works.next().await.json();
    assert_eq!(opened["type"], "alert.opened");
    assert_eq!(opened["data"]["kind"], "alerts.route_failing");
    assert_eq!(opened["data"]["routeId"], failing.id.to_string());
    let detail = opened["data"]["detail"].as_str().unwrap();
    assert!(detail.contains("500"), "{detail}");
    let dead = delivery(&house, DeliveryState::Dead).await;
    assert_eq!(dead.route, failing.id);
    while !fails.is_idle() {
        let asked = fails.next().await.json();
        assert_eq!(
            asked["data"]["kind"], "channel.error",
            "it does not hear of itself"
        );
    }
    fails.behave(ok());
    house
        .handler
        .retry_delivery(&admin(), dead.id)
        .await
        .unwrap();
    let closed = works.next().await.json();
    assert_eq!(closed["type"], "alert.closed");
    assert_eq!(closed["data"]["id"], opened["data"]["id"]);

    // Deleted, it fails nobody.
    fails.behave(broken());
    house.handler.channel_live(channel.id);
    delivery(&house, DeliveryState::Dead).await;
    house
        .handler
        .delete_route(&admin(), failing.id, None)
        .await
        .unwrap();
    assert_eq!(house.open().await, []);
    house.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more_until_its_route_is_switched_on() {
    let house = House::new().await;
    let mut receiver = Receiver::start(Behaviour::status("410 Gone")).await;
    let route = hook(&house, &admin(), &receiver, json!({})).await.route;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    receiver.next().await;
    let off = found("the route is off", || async {
        let route = house.handler.route(&admin(), route.id).unwrap();
        (!route.config.enabled).then_some(route)
    })
    .await;
    assert!(off.disabled_reason.unwrap().contains("410"));
    delivery(&house, DeliveryState::Dead).await;
    house.handler.escalate_to_support(&channel(), "another");
    found("that is recorded", || async {
        let stored = house.store.all_alert_routes().await.unwrap();
        (!stored[0].route.config.enabled).then_some(())
    })
    .await;
    assert!(receiver.is_idle());
    receiver.behave(ok());
    let on = json!({ "enabled": true });
    let on = house
        .handler
        .update_route(&admin(), route.id, &on, None)
        .await;
    assert_eq!(on.unwrap().disabled_reason, None);
    house.handler.escalate_to_support(&channel(), "a third");
    receiver.next().await;
    house.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let house = House::new().await;
    let mut hanging = Receiver::start(Behaviour::Hangs).await;
    let mut well = Receiver::start(ok()).await;
    hook(&house, &admin(), &hanging, json!({})).await;
    hook(&house, &admin(), &well, json!({})).await;
    for n in 0..3 {
        house
            .handler
            .escalate_to_support(&channel(), &format!("{n}"));
    }
    for _ in 0..3 {
        well.next().await;
    }
    hanging.next().await;
    assert!(hanging.is_idle(), "one at a time");
    house.stop().await;
}

#[tokio::test]
async fn what_was_under_way_when_the_daemon_ended_is_delivered_by_the_next() {
    let mut house = House::new().await;
    let mut receiver = Receiver::start(Behaviour::Hangs).await;
    let made = hook(&house, &admin(), &receiver, json!({})).await;
    let secret = made.secret.unwrap();
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    let first = receiver.next().await;
    receiver.behave(ok());
    house.restart().await;
    let again = receiver.next().await;
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert!(again.is_signed_with(&secret), "the secret was opened anew");
    delivery(&house, DeliveryState::Delivered).await;
    // A child that is started again within the daemon does the same.
    receiver.behave(Behaviour::Hangs);
    house.handler.escalate_to_support(&channel(), "another");
    receiver.next().await;
    receiver.behave(ok());
    house.running.stop().await;
    let children = vec![house.handler.child()];
    house.running = Supervisor::spawn("again", ROOT_POLICY, children)
        .await
        .unwrap();
    receiver.next().await;
    house.stop().await;
}

#[tokio::test]
async fn while_postgresql_is_away_alerts_are_delivered_all_the_same() {
    let house = House::new().await;
    let mut receiver = Receiver::start(ok()).await;
    hook(&house, &admin(), &receiver, json!({})).await;
    house.store.go_away().await;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    assert_eq!(receiver.next().await.json()["type"], "alert.opened");
    house.store.come_back().await;
    let done = found("it is recorded", || async {
        let pending = house.store.pending_deliveries(None).await.ok()?;
        let filter = DeliveryFilter::default();
        let who = admin();
        let all = house.store.alert_deliveries(&who, filter, None, 9);
        let all = all.await.ok()?;
        (pending.is_empty() && all.len() == 1).then_some(all)
    })
    .await;
    assert_eq!(done[0].state, DeliveryState::Delivered);
    house.stop().await;
}

#[tokio::test]
async fn each_client_has_routes_of_its_own_and_the_operator_is_told_what_concerns_him() {
    let house = House::new().await;
    let one = house.store.client("one", &PlanLimits::UNLIMITED).await;
    let two = house.store.client("two", &PlanLimits::UNLIMITED).await;
    let (mut ones, mut twos, mut ours) = (
        Receiver::start(ok()).await,
        Receiver::start(ok()).await,
        Receiver::start(ok()).await,
    );
    let route = hook(&house, &one, &ones, json!({})).await.route;
    let critical = json!({ "minimumSeverity": "critical" });
    hook(&house, &two, &twos, critical).await;
    hook(&house, &admin(), &ours, json!({})).await;
    let channel = channel_of(one.client);
    for attempt in 1..=3 {
        house.fail(&channel, attempt);
    }
    assert_eq!(
        ones.next().await.json()["data"]["kind"],
        "channel.source_failing"
    );
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    assert_eq!(ones.next().await.json()["data"]["kind"], "channel.error");
    assert_eq!(ours.next().await.json()["data"]["kind"], "channel.error");
    let channel = channel_of(two.client);
    for attempt in 1..=3 {
        house.fail(&channel, attempt);
    }
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    assert_eq!(twos.next().await.json()["data"]["kind"], "channel.error");
    assert_eq!(ours.next().await.json()["data"]["name"], "News");
    assert!(ones.is_idle() && twos.is_idle() && ours.is_idle());

    let not_found = OpError::NotFound("alert route");
    assert_eq!(house.handler.routes(&two, None, 9).len(), 1);
    assert_eq!(house.handler.routes(&admin(), None, 9).len(), 3);
    assert_eq!(house.handler.routes(&admin(), Some(route.id), 9).len(), 2);
    assert_eq!(house.handler.route(&two, route.id), Err(not_found.clone()));
    let off = json!({ "enabled": false });
    let update = house.handler.update_route(&two, route.id, &off, None).await;
    assert_eq!(update, Err(not_found.clone()));
    let delete = house.handler.delete_route(&two, route.id, None).await;
    assert_eq!(delete, Err(not_found.clone()));
    let test = house.handler.test_route(&two, route.id).await;
    assert_eq!(test, Err(not_found));
    house.stop().await;
}

#[tokio::test]
async fn a_route_that_is_switched_off_or_deleted_is_told_nothing_more() {
    let house = House::with(AlertsConfig {
        delays: vec![Duration::from_secs(3600)],
        ..fast()
    })
    .await;
    let mut receiver = Receiver::start(broken()).await;
    let route = hook(&house, &admin(), &receiver, json!({})).await.route;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    receiver.next().await;
    let off = json!({ "enabled": false });
    let off = house
        .handler
        .update_route(&admin(), route.id, &off, None)
        .await;
    assert!(!off.unwrap().config.enabled);
    let dead = delivery(&house, DeliveryState::Dead).await;
    assert_eq!(dead.error.as_deref(), Some("the route was switched off"));
    house
        .handler
        .delete_route(&admin(), route.id, None)
        .await
        .unwrap();
    house.handler.escalate_to_support(&channel(), "another");
    found("the deliveries are gone", || async {
        deliveries(&house, DeliveryState::Dead)
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    assert!(receiver.is_idle());
    assert!(house.store.all_alert_routes().await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test]
async fn a_test_of_a_route_says_what_came_of_it() {
    let house = House::new().await;
    let mut receiver = Receiver::start(ok()).await;
    let made = hook(&house, &admin(), &receiver, json!({ "enabled": false })).await;
    let id = made.route.id;
    let tested = house.handler.test_route(&admin(), id).await.unwrap();
    assert!(tested.delivered && tested.error.is_none());
    let sent = receiver.next().await;
    assert!(sent.is_signed_with(&made.secret.unwrap()));
    assert_eq!(sent.json()["type"], "alert.test");
    receiver.behave(broken());
    let tested = house.handler.test_route(&admin(), id).await.unwrap();
    assert!(!tested.delivered && tested.error.unwrap().contains("500"));
    receiver.next().await;
    assert!(receiver.is_idle(), "it is not tried again");
    let unknown = AlertRouteId::from(Uuid::now_v7());
    let unknown = house.handler.test_route(&admin(), unknown).await;
    assert_eq!(unknown, Err(OpError::NotFound("alert route")));
    house.stop().await;
}

#[tokio::test]
async fn a_private_address_is_refused_when_it_is_written_and_when_it_is_used() {
    let mut house = House::new().await;
    let mut receiver = Receiver::start(ok()).await;
    let made = hook(&house, &admin(), &receiver, json!({})).await;
    // The operator has changed his mind.
    house.running.stop().await;
    let strict = AlertsConfig {
        policy: RoutePolicy::default(),
        ..fast()
    };
    (house.handler, house.running) = run(strict, &house.store, &house.hub).await;
    let tested = house.handler.test_route(&admin(), made.route.id).await;
    let error = tested.unwrap().error.unwrap();
    assert!(error.contains("not public"), "{error}");
    assert!(receiver.is_idle());
    let chosen = json!({ "type": "webhook", "url": format!("https://{}/", receiver.address) });
    let refused = house.handler.create_route(&admin(), &chosen).await;
    assert!(matches!(refused, Err(OpError::Invalid(_))), "{refused:?}");
    house.stop().await;
}

fn mailer(server: &MailServer) -> Mailer {
    Mailer::new(SmtpConfig {
        host: "localhost".to_owned(),
        port: server.address.port(),
        tls: SmtpTls::None,
        credentials: None,
        from: "playoutd <tv@example.org>".to_owned(),
        authority: None,
    })
    .unwrap()
}

#[tokio::test]
async fn an_alert_and_its_end_reach_a_mailbox() {
    let mut server = MailServer::start(Fault::default(), None).await;
    let house = House::with_mail(mailer(&server)).await;
    let chosen = json!({ "type": "email", "address": "ops@example.com" });
    let made = house.handler.create_route(&admin(), &chosen).await.unwrap();
    assert!(made.secret.is_none());
    let channel = channel();
    house
        .handler
        .escalate_to_support(&channel, "it is in ERROR");
    let mail = server.next().await;
    assert!(mail.to.contains("ops@example.com"), "{mail:?}");
    assert!(mail.text.contains("[CRITICAL] News: "), "{mail:?}");
    assert!(mail.text.contains(&channel.id.to_string()), "{mail:?}");
    house.handler.channel_live(channel.id);
    assert!(server.next().await.text.contains("[over] News: "));
    house.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_dead_at_once_and_one_that_is_not_is_tried_again() {
    for (command, answer, attempts) in [
        ("RCPT", "550 no such user", 1),
        ("RCPT", "451 later", 4),
        ("MAIL", "530 log in first", 4),
    ] {
        let fault = Fault { command, answer };
        let server = MailServer::start(fault, None).await;
        let house = House::with_mail(mailer(&server)).await;
        let chosen = json!({ "type": "email", "address": "ops@example.com" });
        let route = house.handler.create_route(&admin(), &chosen).await.unwrap();
        house
            .handler
            .escalate_to_support(&channel(), "it is in ERROR");
        let dead = delivery(&house, DeliveryState::Dead).await;
        assert_eq!(dead.attempts, attempts, "{dead:?}");
        assert!(dead.error.unwrap().contains(&answer[4..]));
        let route = house.handler.route(&admin(), route.route.id).unwrap();
        assert!(route.config.enabled, "one refusal does not switch it off");
        house.stop().await;
    }
}

#[tokio::test]
async fn without_a_mail_server_there_are_no_routes_by_mail() {
    let house = House::new().await;
    let chosen = json!({ "type": "email", "address": "ops@example.com" });
    let refused = house.handler.create_route(&admin(), &chosen).await;
    assert!(
        matches!(&refused, Err(OpError::Conflict { message, .. }) if message.contains("alerts.smtp")),
        "{refused:?}"
    );
    house.stop().await;
}

#[tokio::test]
async fn a_secret_is_in_no_event_and_printed_nowhere() {
    let house = House::new().await;
    let mut receiver = Receiver::start(ok()).await;
    let mut events = house.events(None);
    let made = hook(&house, &admin(), &receiver, json!({})).await;
    house
        .handler
        .escalate_to_support(&channel(), "it is in ERROR");
    receiver.next().await;
    let secret = made.secret.as_ref().unwrap();
    let told = event(&mut events, kind::ALERT_OPENED).await;
    assert!(!told.json.contains(secret.as_str()));
    let routes = house.handler.routes(&admin(), None, 9);
    assert!(!routes[0].to_json().to_string().contains("whsec_"));
    assert!(!format!("{:?}", house.store.all_alert_routes().await).contains("whsec_"));
    house.stop().await;
}
