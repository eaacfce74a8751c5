//! What the audit tells, read from its beginning, against the rows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use crate::stored::{of, text};

/// What the audit says, read from its beginning, is what the rows say.
pub(super) fn agree(rows: &Value) -> Result<(), TestCaseError> {
    let mut entries: Vec<&Value> = of(rows, "audit").iter().collect();
    entries.sort_by_key(|entry| entry["seq"].as_u64());
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for entry in entries {
        let subject = text(&entry["subject_id"]);
        let after = &entry["detail"]["after"];
        match entry["operation"].as_str().unwrap() {
            "channel.create" => {
                let seen = serde_json::json!({
                    "name": after["name"], "version": 1, "desired": "STOPPED",
                    "destinations": after["rtmpDestinations"], "schedule": null,
                });
                told.insert(subject, seen);
            }
            "channel.update" => {
                let seen = told.get_mut(&subject).unwrap();
                seen["name"] = after["name"].clone();
                seen["version"] = (seen["version"].as_u64().unwrap() + 1).into();
                seen["destinations"] = after["rtmpDestinations"].clone();
            }
            "channel.airtime" => {
                told.get_mut(&subject).unwrap()["schedule"] = after["schedule"].clone()
            }
            "channel.start" | "channel.stop" | "channel.restart" => {
                told.get_mut(&subject).unwrap()["desired"] = after["desired"].clone();
            }
            "media.import" => drop(told.insert(subject, Value::Null)),
            "channel.delete" | "media.delete" => drop(told.remove(&subject)),
            "token.create" => {
                prop_assert!(
                    of(rows, "tokens")
                        .iter()
                        .any(|row| text(&row["id"]) == subject)
                );
            }
            other => prop_assert!(false, "{other}"),
        }
    }
    let there: BTreeSet<String> = ["channels", "media"]
        .iter()
        .flat_map(|table| of(rows, table).iter().map(|row| text(&row["id"])))
        .collect();
    prop_assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), there);
    for row in of(rows, "channels") {
        let seen = &told[&text(&row["id"])];
        prop_assert_eq!(&row["config"]["name"], &seen["name"]);
        prop_assert_eq!(&row["version"], &seen["version"]);
        prop_assert_eq!(&row["desired"], &seen["desired"]);
        let mut destinations: Vec<&Value> = of(rows, "rtmp_destinations")
            .iter()
            .filter(|destination| destination["channel_id"] == row["id"])
            .collect();
        destinations.sort_by_key(|destination| destination["position"].as_u64());
        let ids: Vec<&Value> = destinations
            .iter()
            .map(|destination| &destination["id"])
            .collect();
        let told: Vec<&Value> = seen["destinations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|told| &told["id"])
            .collect();
        prop_assert_eq!(ids, told);
        if !seen["schedule"].is_null() {
            let airs = of(rows, "airtime")
                .iter()
                .find(|airs| airs["channel_id"] == row["id"]);
            prop_assert_eq!(&airs.unwrap()["schedule"], &seen["schedule"]);
        }
    }
    Ok(())
}
