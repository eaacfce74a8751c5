//! What differs of two large things, so that a small edit is a small entry of the audit.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What was before and what is after; nothing where both are the same. Of objects these are the members that differ, of lists the
/// stretch that does, as `{"from": 12, "items": […]}`: in the place of the items of the one, from there on, are those of the other.
pub(crate) fn differences(before: &Value, after: &Value) -> Option<(Value, Value)> {
    if before == after {
        return None;
    }
    Some(match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let (mut was, mut is) = (Map::new(), Map::new());
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let both = (before.get(name), after.get(name));
                let (one, other) = match both {
                    (Some(one), Some(other)) => match differences(one, other) {
                        Some((one, other)) => (Some(one), Some(other)),
                        None => continue,
                    },
                    (one, other) => (one.cloned(), other.cloned()),
                };
                was.extend(one.map(|one| (name.clone(), one)));
                is.extend(other.map(|other| (name.clone(), other)));
            }
            (was.into(), is.into())
        }
        (Value::Array(before), Value::Array(after)) => {
            let same = |(one, other): &(&Value, &Value)| one == other;
            let from = before.iter().zip(after).take_while(same).count();
            let rest = before.len().min(after.len()) - from;
            let ends = before.iter().rev().zip(after.iter().rev());
            let tail = ends.take(rest).take_while(same).count();
            let stretch = |list: &[Value]| {
                let items = list.get(from..list.len() - tail).unwrap_or_default();
                json!({ "from": from, "items": items })
            };
            (stretch(before), stretch(after))
        }
        (before, after) => (before.clone(), after.clone()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_small_edit_is_small_and_says_where_it_is() {
        let slots: Vec<Value> = (0..1000).map(|n| json!({ "id": n })).collect();
        let before = json!({ "slots": slots, "rotation": { "order": "shuffle", "items": [1, 2] } });
        let mut after = before.clone();
        after["slots"][7]["id"] = json!("x");
        let (was, is) = differences(&before, &after).unwrap();
        assert_eq!(
            was,
            json!({ "slots": { "from": 7, "items": [{ "id": 7 }] } })
        );
        assert_eq!(
            is,
            json!({ "slots": { "from": 7, "items": [{ "id": "x" }] } })
        );
        assert_eq!(differences(&before, &before), None);
    }

    #[test]
    fn what_was_and_what_is_make_the_one_of_the_other() {
        let lists = [
            json!([]),
            json!([1]),
            json!([1, 1]),
            json!([1, 2, 1]),
            json!([2, 1]),
            json!([1, 1, 1]),
        ];
        for before in &lists {
            for after in &lists {
                let Some((was, is)) = differences(before, after) else {
                    assert_eq!(before, after);
                    continue;
                };
                let mut made = before.as_array().unwrap().clone();
                let from = was["from"].as_u64().unwrap() as usize;
                let gone = was["items"].as_array().unwrap().len();
                made.splice(from..from + gone, is["items"].as_array().unwrap().clone());
                assert_eq!(&Value::Array(made), after, "{before}");
            }
        }
        let (was, is) =
            differences(&json!({ "a": 1, "b": 2 }), &json!({ "b": 2, "c": null })).unwrap();
        assert_eq!((was, is), (json!({ "a": 1 }), json!({ "c": null })));
    }
}
