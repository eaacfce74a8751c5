//! What the audit tells, read from its beginning, against the rows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use playout_domain::MediaId;
use playout_domain::schedule::Schedule;

use crate::stored::{of, text};

/// Makes what was there what is there after an edit of which the audit tells what differs.
fn edit(seen: &mut Value, before: &Value, after: &Value) {
    match seen {
        Value::Object(members) => {
            for name in before.as_object().into_iter().flat_map(|gone| gone.keys()) {
                if after.get(name).is_none() {
                    members.remove(name);
                }
            }
            for (name, after) in after.as_object().into_iter().flatten() {
                let member = members.entry(name.clone()).or_insert(Value::Null);
                edit(member, &before[name], after);
            }
        }
        Value::Array(items) => {
            let from = before["from"].as_u64().unwrap() as usize;
            let gone = before["items"].as_array().unwrap().len();
            items.splice(
                from..from + gone,
                after["items"].as_array().unwrap().clone(),
            );
        }
        other => *other = after.clone(),
    }
}

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
                // Which item it begins with is told by nobody: each edit tells all that it replaces.
                let begun = Schedule::looping([MediaId::from(uuid::Uuid::nil())]);
                let seen = serde_json::json!({
                    "name": after["name"], "version": 1, "desired": "STOPPED",
                    "destinations": after["rtmpDestinations"], "schedule": begun, "edited": false,
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
                let seen = told.get_mut(&subject).unwrap();
                let before = &entry["detail"]["before"]["schedule"];
                edit(&mut seen["schedule"], before, &after["schedule"]);
                seen["edited"] = true.into();
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
        if seen["edited"] == true {
            let airs = of(rows, "airtime")
                .iter()
                .find(|airs| airs["channel_id"] == row["id"]);
            prop_assert_eq!(&airs.unwrap()["schedule"], &seen["schedule"]);
        }
    }
    Ok(())
}
