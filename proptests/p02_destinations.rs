//! P2, its pure half: RTMP destinations are validated, changed one by one without touching the others, limited in
//! number, and their keys are shown nowhere. Requirements 1.4, 8.1, 8.2, 8.4, 8.5, 8.6. What the stores have of
//! them: `p02_stored_keys.rs`, `p02_destination_limit.rs`.
//!
//! The model is a plain list of what was written; it shares no code with what is tested.

use std::net::Ipv4Addr;

use playout_domain::config::{DestinationEdit, MAX_DESTINATIONS};
use playout_domain::destination::ServerUrl;
use playout_domain::{ChannelConfig, DestinationId, Policy};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use uuid::Uuid;

const PUBLIC: Policy = Policy::PUBLIC;

/// What the model knows of one destination.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    id: u128,
    url: String,
    key: Option<String>,
    platform: &'static str,
    enabled: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Add(String, Option<String>, &'static str, bool),
    Enable(Index, bool),
    Rekey(Index, String),
    Move(Index, String),
    Remove(Index),
    /// Names a destination that is not there.
    Nobody,
}

fn url() -> impl Strategy<Value = String> {
    let scheme = select(vec!["rtmp", "rtmps"]);
    let host = select(vec!["live.example.com", "a.rtmp.youtube.com", "8.8.4.4"]);
    (scheme, host, "[a-z]{1,8}(/[a-z0-9]{1,6})?")
        .prop_map(|(scheme, host, app)| format!("{scheme}://{host}/{app}"))
}

/// A key that no other text of a configuration holds.
fn key() -> impl Strategy<Value = String> {
    "[A-Z0-9]{4,20}".prop_map(|key| format!("~{key}~"))
}

fn step() -> impl Strategy<Value = Step> {
    let platform = select(vec!["youtube", "facebook", "twitch", "custom"]);
    prop_oneof![
        3 => (url(), prop::option::of(key()), platform, any::<bool>()).prop_map(|(url, key, platform, on)| {
            // Only a custom server takes a stream without a key.
            let key = if platform == "custom" { key } else { key.or(Some("~NEEDED~".into())) };
            Step::Add(url, key, platform, on)
        }),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(at, on)| Step::Enable(at, on)),
        1 => (any::<Index>(), key()).prop_map(|(at, key)| Step::Rekey(at, key)),
        1 => (any::<Index>(), url()).prop_map(|(at, url)| Step::Move(at, url)),
        1 => any::<Index>().prop_map(Step::Remove),
        1 => Just(Step::Nobody),
    ]
}

fn id(of: u128) -> DestinationId {
    DestinationId::from(Uuid::from_u128(of))
}

/// The configuration as the store would answer it: every destination has its id, and keys are kept.
fn stored(config: &mut ChannelConfig, next: u128) {
    for destination in &mut config.rtmp_destinations {
        destination.id.get_or_insert(id(next));
        if destination.stream_key.is_set() {
            destination.stream_key = playout_domain::destination::StreamKeySetting::Kept;
        }
    }
}

/// An edit, and what the model is afterwards.
fn edit(step: &Step, known: &[Known], next: u128) -> (DestinationEdit, Option<Vec<Known>>) {
    let mut after = known.to_vec();
    let at = |index: &Index| (!known.is_empty()).then(|| index.index(known.len()));
    match step {
        Step::Add(url, key, platform, enabled) => {
            let mut value = json!({ "serverUrl": url, "platform": platform, "enabled": enabled });
            if let Some(key) = key {
                value["streamKey"] = json!(key);
            }
            after.push(Known {
                id: next,
                url: url.clone(),
                key: key.clone(),
                platform,
                enabled: *enabled,
            });
            (DestinationEdit::Add(value), Some(after))
        }
        Step::Enable(index, on) => change(at(index), after, json!({ "enabled": on }), |known| {
            known.enabled = *on
        }),
        Step::Rekey(index, key) => change(at(index), after, json!({ "streamKey": key }), |known| {
            known.key = Some(key.clone())
        }),
        Step::Move(index, url) => change(at(index), after, json!({ "serverUrl": url }), |known| {
            known.url.clone_from(url)
        }),
        Step::Remove(index) => match at(index) {
            Some(at) => {
                let gone = after.remove(at);
                (DestinationEdit::Remove(id(gone.id)), Some(after))
            }
            None => (DestinationEdit::Remove(id(1)), None),
        },
        Step::Nobody => (DestinationEdit::Change(id(u128::MAX), json!({})), None),
    }
}

fn change(
    at: Option<usize>,
    mut after: Vec<Known>,
    patch: Value,
    change: impl FnOnce(&mut Known),
) -> (DestinationEdit, Option<Vec<Known>>) {
    let Some(at) = at else {
        return (DestinationEdit::Change(id(1), patch), None);
    };
    change(&mut after[at]);
    (
        DestinationEdit::Change(id(after[at].id), patch),
        Some(after),
    )
}

proptest! {
    #![proptest_config(super::cases(256))]

    #[test]
    fn p2_each_destination_is_changed_by_itself(steps in prop::collection::vec(step(), 1..60)) {
        let mut config = ChannelConfig::named("P2");
        let mut known: Vec<Known> = Vec::new();
        for (next, step) in (1_000_u128..).zip(&steps) {
            let (edit, after) = edit(step, &known, next);
            let full = matches!(edit, DestinationEdit::Add(_)) && known.len() >= MAX_DESTINATIONS;
            match config.edited(&edit, &PUBLIC) {
                Ok(Some(mut edited)) => {
                    prop_assert!(!full, "more than are possible");
                    known = after.expect("the model knows of it");
                    stored(&mut edited, next);
                    config = edited;
                }
                Ok(None) => prop_assert!(after.is_none(), "{step:?} found nothing"),
                Err(violations) => prop_assert!(full, "{step:?}: {violations}"),
            }
            let read = config.to_json_public()["rtmpDestinations"].clone();
            let expected: Vec<Value> = known
                .iter()
                .map(|known| json!({
                    "id": id(known.id), "serverUrl": known.url, "streamKeySet": known.key.is_some(),
                    "platform": known.platform, "enabled": known.enabled,
                    "playbackUrl": null, "encode": "copy", "allowLowerQuality": false,
                }))
                .collect();
            prop_assert_eq!(read, Value::from(expected));
            let shown = format!("{config:?} {}", config.to_json_public());
            for key in known.iter().filter_map(|known| known.key.as_ref()) {
                prop_assert!(!shown.contains(key.as_str()), "{key} is shown");
            }
        }
    }

    /// Requirement 8.1, against the address blocks of RFC 6890 written down anew.
    #[test]
    fn p2_only_public_addresses_unless_the_operator_allows(address in any::<u32>(), near in select(vec![
        0x0a00_0000_u32, 0x7f00_0001, 0xac10_0000, 0xc0a8_0000, 0xa9fe_0000, 0x6440_0000, 0xe000_0001, 0x0000_0000,
    ]), blur in 0..4096_u32, use_near in any::<bool>()) {
        let address = Ipv4Addr::from(if use_near { near ^ blur } else { address });
        let private = private_blocks().iter().any(|(net, bits)| {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(address) & mask == *net
        });
        let text = format!("rtmp://{address}/live");
        prop_assert!(ServerUrl::parse(&text, true).is_ok(), "{address}");
        if private {
            prop_assert!(ServerUrl::parse(&text, false).is_err(), "{address} is not public");
        }
    }

    #[test]
    fn p2_what_is_no_destination_is_refused_with_its_place(url in "[ -~]{0,30}", key in "[ -~]{0,6}") {
        let value = json!({ "serverUrl": format!("http://{url}"), "streamKey": format!("{key} "), "other": 1 });
        let refused = ChannelConfig::named("P2").edited(&DestinationEdit::Add(value), &PUBLIC);
        let violations = refused.expect_err("it is none");
        let pointers: Vec<&str> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
        prop_assert_eq!(pointers, ["/serverUrl", "/streamKey", "/other"]);
        let said = violations.to_string();
        prop_assert!(key.len() < 3 || !said.contains(&key), "{said}");
    }
}

/// Networks that are not public (RFC 6890, RFC 6598, RFC 5771).
fn private_blocks() -> [(u32, u32); 9] {
    [
        (0x0000_0000, 8),
        (0x0a00_0000, 8),
        (0x6440_0000, 10),
        (0x7f00_0000, 8),
        (0xa9fe_0000, 16),
        (0xac10_0000, 12),
        (0xc0a8_0000, 16),
        (0xe000_0000, 4),
        (0xf000_0000, 4),
    ]
}
