//! Labels of a channel, and selectors that find channels by them.

use crate::violation::{Fields, member, quoted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Labels of a channel at most.
pub const MAX_LABELS: usize = 32;
/// Characters of a key or a value at most.
pub const LONGEST: usize = 63;
/// Terms of a selector at most.
const MAX_TERMS: usize = 16;

/// What a client calls a channel by: keys, each with a value, which may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The labels of a configuration as the database or an event has it; none where it is no such.
    pub fn of(config: &serde_json::Value) -> Self {
        let given = config["labels"].as_object().into_iter().flatten();
        let labels =
            given.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Self(labels.collect())
    }

    /// Reads the field `labels`.
    pub(crate) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let mut labels = BTreeMap::new();
        let Some(value) = fields.value("labels") else {
            return Self(labels);
        };
        let pointer = fields.pointer_to("labels");
        let Some(given) = value.as_object() else {
            fields.refuse("labels", "labels has to be an object of texts");
            return Self(labels);
        };
        if given.len() > MAX_LABELS {
            let many = format!("there are {} labels; {MAX_LABELS} are allowed", given.len());
            fields.refuse("labels", many);
        }
        for (key, value) in given {
            let read = value
                .as_str()
                .ok_or_else(|| "a label has to be text".to_owned());
            let read = read.and_then(|value| Ok((word(key, "a key")?, value_of(value)?)));
            match read {
                Ok((key, value)) => drop(labels.insert(key, value)),
                Err(wrong) => fields.violations().add(member(&pointer, key), wrong),
            }
        }
        Self(labels)
    }
}

/// Which channels are meant: those that fulfil every term.
///
/// Terms are parted by commas: `key=value`, `key!=value` (another value or none), `key` (there is one), `!key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    HasNot(String),
}

impl Selector {
    /// Whether a channel with these labels is meant.
    pub fn selects(&self, labels: &Labels) -> bool {
        let value = |key: &String| labels.0.get(key);
        self.0.iter().all(|term| match term {
            Term::Is(key, wanted) => value(key) == Some(wanted),
            Term::IsNot(key, other) => value(key) != Some(other),
            Term::Has(key) => value(key).is_some(),
            Term::HasNot(key) => value(key).is_none(),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms: Vec<&str> = text.split(',').collect();
        if terms.len() > MAX_TERMS {
            return Err(format!(
                "a selector has {MAX_TERMS} terms at most, not {}",
                terms.len()
            ));
        }
        let read = |term: &&str| {
            let term = term.trim();
            if let Some((key, value)) = term.split_once("!=") {
                return Ok(Term::IsNot(
                    word(key.trim(), "a key")?,
                    value_of(value.trim())?,
                ));
            }
            if let Some((key, value)) = term.split_once('=') {
                return Ok(Term::Is(
                    word(key.trim(), "a key")?,
                    value_of(value.trim())?,
                ));
            }
            match term.strip_prefix('!') {
                Some(key) => Ok(Term::HasNot(word(key.trim(), "a key")?)),
                None => Ok(Term::Has(word(term, "a key")?)),
            }
        };
        terms.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

fn value_of(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        text => word(text, "a value"),
    }
}

/// Letters and digits, and `-`, `_`, `.`, `/` between them: what needs no quotes in a query or a shell.
fn word(text: &str, what: &str) -> Result<String, String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let fits = (1..=LONGEST).contains(&text.len())
        && text.bytes().all(plain)
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
    match fits {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{what} has 1 to {LONGEST} letters, digits and any of - _ . /, and begins with a letter or a digit; {} does not",
            quoted(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::violation::Violations;
    use serde_json::{Value, json};

    fn read(labels: Value) -> Result<Labels, Violations> {
        let mut violations = Violations::default();
        let value = json!({ "labels": labels });
        let labels = Labels::read(&mut Fields::open(&value, "", &mut violations));
        violations.or(labels)
    }

    #[test]
    fn labels_read_as_they_are_written_and_everything_wrong_is_told() {
        let labels = json!({ "tier": "gold", "tv.example/region": "north-1", "hd": "" });
        assert_eq!(
            serde_json::to_value(read(labels.clone()).unwrap()).unwrap(),
            labels
        );
        let wrong = read(
            json!({ "": "x", "a b": "x", "ok": "a,b", "n": 1, "-x": "y", "long": "x".repeat(64) }),
        );
        assert_eq!(wrong.unwrap_err().0.len(), 6);
        let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("k{n}"), json!("v"))).collect();
        assert!(read(Value::Object(many)).is_err());
        assert!(read(json!([])).is_err());
    }

    #[test]
    fn a_selector_means_those_that_fulfil_every_term() {
        let labels = read(json!({ "tier": "gold", "region": "north", "hd": "" })).unwrap();
        let selects = |text: &str| text.parse::<Selector>().unwrap().selects(&labels);
        for meant in [
            "tier=gold",
            "tier=gold, region=north",
            "hd",
            "hd=",
            "!sd",
            "tier!=silver",
            "genre!=news",
            "!sd,hd",
        ] {
            assert!(selects(meant), "{meant}");
        }
        for other in [
            "tier=silver",
            "tier=gold,region=south",
            "sd",
            "!hd",
            "tier!=gold",
            "hd=1",
        ] {
            assert!(!selects(other), "{other}");
        }
        for wrong in ["", ",", "a=b,", "=b", "!", "a b", "a=b=c", &"a,".repeat(20)] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong:?}");
        }
    }
}
