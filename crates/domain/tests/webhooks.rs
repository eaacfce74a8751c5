//! What a webhook may be, and which events it tells.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use playout_domain::event::{self, FREQUENT, kind};
use playout_domain::ids::{ChannelId, ClientId, WebhookId};
use playout_domain::labels::Labels;
use playout_domain::webhook::{Happened, Standing, Webhook, WebhookConfig};
use serde_json::{Value, json};
use uuid::Uuid;

const URL: &str = "https://hooks.example.com/in";

fn id<T: From<Uuid>>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}

fn webhook(chosen: Value) -> Webhook {
    let mut whole = json!({ "url": URL, "events": ["*"] });
    for (name, value) in chosen.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let at = Timestamp::UNIX_EPOCH;
    Webhook {
        id: id::<WebhookId>(1),
        client: id(2),
        all_clients: false,
        config: WebhookConfig::parse(&whole, false).unwrap(),
        disabled_reason: None,
        standing: Standing::default(),
        old_secret_until: None,
        created_at: at,
        updated_at: at,
        version: 1,
    }
}

fn happened(kind: &str) -> Happened<'_> {
    Happened {
        kind,
        client: Some(id(2)),
        channel: Some(id(3)),
        labels: None,
    }
}

#[test]
fn everything_is_every_kind_but_what_comes_every_few_seconds_and_that_can_be_named() {
    let all = webhook(json!({}));
    let named = webhook(json!({ "events": ["*", "channel.heartbeat"] }));
    let one = webhook(json!({ "events": ["channel.status"] }));
    for kind in event::ALL {
        assert_eq!(
            all.wants(happened(kind)),
            !FREQUENT.contains(kind),
            "{kind}"
        );
        let frequent = FREQUENT.contains(kind) && *kind != kind::CHANNEL_HEARTBEAT;
        assert_eq!(named.wants(happened(kind)), !frequent, "{kind}");
        let alone = [kind::CHANNEL_STATUS, kind::RESET].contains(kind);
        assert_eq!(one.wants(happened(kind)), alone, "{kind}");
    }
    let off = webhook(json!({ "enabled": false }));
    assert!(!off.wants(happened(kind::CHANNEL_STATUS)));
}

#[test]
fn nobody_hears_of_another_client_but_the_operator() {
    let other = Happened {
        client: Some(id::<ClientId>(9)),
        ..happened(kind::CHANNEL_STATUS)
    };
    let nobodys = Happened {
        client: None,
        ..happened(kind::STORE_DEGRADED)
    };
    let mut hook = webhook(json!({}));
    assert!(!hook.wants(other) && !hook.wants(nobodys));
    hook.all_clients = true;
    assert!(hook.wants(other) && hook.wants(nobodys));
}

#[test]
fn a_webhook_is_narrowed_to_a_channel_or_to_what_a_selector_means() {
    let on = |channel: Option<u128>, labels: Option<&'static str>| {
        let labels = labels.map(|text| Labels::of(&serde_json::from_str(text).unwrap()));
        (channel.map(id::<ChannelId>), labels)
    };
    let wants = |hook: &Webhook, (channel, labels): &(Option<ChannelId>, Option<Labels>)| {
        hook.wants(Happened {
            channel: *channel,
            labels: labels.as_ref(),
            ..happened(kind::CHANNEL_STATUS)
        })
    };
    let one = webhook(json!({ "channelId": id::<ChannelId>(3) }));
    assert!(wants(&one, &on(Some(3), None)));
    assert!(!wants(&one, &on(Some(4), None)) && !wants(&one, &on(None, None)));
    let selected = webhook(json!({ "selector": "tier=gold,!test" }));
    assert!(wants(
        &selected,
        &on(Some(4), Some(r#"{"labels":{"tier":"gold"}}"#))
    ));
    for other in [
        on(Some(4), Some(r#"{"labels":{"tier":"gold","test":""}}"#)),
        on(Some(4), Some(r#"{"name":"x"}"#)),
        on(Some(4), None),
        on(None, None),
    ] {
        assert!(!wants(&selected, &other), "{other:?}");
    }
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_at_once() {
    let wrong = WebhookConfig::parse(
        &json!({
            "url": "http://127.0.0.1/", "events": ["channel.status", "channel.explodes", 7, "reset"], "enabled": "yes",
            "channelId": "x", "selector": "a b", "description": "a\nb", "secret": "s",
        }),
        false,
    );
    let mut places: Vec<String> = wrong
        .unwrap_err()
        .0
        .into_iter()
        .map(|v| v.pointer)
        .collect();
    places.sort();
    let expected = [
        "/channelId",
        "/description",
        "/enabled",
        "/events/1",
        "/events/2",
        "/events/3",
        "/secret",
        "/selector",
        "/url",
    ];
    assert_eq!(places, expected);
    for bad in [
        json!({}),
        json!({ "url": URL }),
        json!({ "url": URL, "events": [] }),
        json!({ "url": URL, "events": "*" }),
        json!({ "events": ["*"] }),
        json!({ "url": URL, "events": ["*"], "channelId": id::<ChannelId>(3), "selector": "a" }),
        json!({ "url": URL, "events": ["*"], "description": "x".repeat(201) }),
    ] {
        assert!(WebhookConfig::parse(&bad, false).is_err(), "{bad}");
    }
}

#[test]
fn a_patch_changes_what_it_names_and_null_takes_away() {
    let hook = webhook(json!({ "selector": "a=b", "description": "mine" })).config;
    let patched = hook.patched(&json!({ "enabled": false, "selector": null }), false);
    let patched = patched.unwrap();
    assert_eq!(
        patched.to_json(),
        json!({ "url": URL, "events": ["*"], "enabled": false, "description": "mine" })
    );
    let again = WebhookConfig::parse(&hook.to_json(), false).unwrap();
    assert_eq!(again, hook);
    for bad in [
        json!([]),
        json!({ "events": null }),
        json!({ "url": "ftp://x" }),
    ] {
        assert!(hook.patched(&bad, false).is_err(), "{bad}");
    }
}
