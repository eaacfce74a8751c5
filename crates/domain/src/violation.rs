//! What is wrong with a request: every violation, each with its place and a sentence.
//!
//! [`Fields`] reads one JSON object and collects instead of stopping at the first mistake. A
//! sentence names what was given and what is allowed, so that it can be understood alone.
//!
//! Invariant: what is told is small, however much is wrong: the first [`MOST`] are kept, the others are counted.

use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// So many violations are kept of one request.
pub const MOST: usize = 100;
/// Characters of a name that nobody knows, as a pointer shows it.
const SHOWN: usize = 100;

/// One thing wrong, at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where: a JSON pointer (RFC 6901) into the request; empty for the whole of it.
    pub pointer: String,
    /// What: a sentence naming what was given and what is allowed.
    pub message: String,
}

/// Everything wrong with a request, in the order of its fields: the first [`MOST`], and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Violations(pub Vec<Violation>, #[serde(skip)] usize);

impl Violations {
    /// One violation alone.
    pub fn one(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(pointer, message);
        violations
    }

    /// Notes one more.
    pub fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        match self.0.len() < MOST {
            true => self.0.push(Violation {
                pointer: pointer.into(),
                message: message.into(),
            }),
            false => self.1 += 1,
        }
    }

    /// Notes those of another reading as well.
    pub fn append(&mut self, others: Self) {
        self.1 += others.1;
        for one in others.0 {
            self.add(one.pointer, one.message);
        }
    }

    /// How many there are, with those that are only counted.
    pub fn count(&self) -> usize {
        self.0.len() + self.1
    }

    /// The same with only the first `most` of them; the others are counted.
    pub fn shortened(mut self, most: usize) -> Self {
        self.1 += self.0.len().saturating_sub(most);
        self.0.truncate(most);
        self
    }

    /// `value` when nothing was noted.
    ///
    /// # Errors
    /// The violations themselves, when there is one.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, violation) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { "; " };
            match violation.pointer.as_str() {
                "" => write!(f, "{gap}{}", violation.message)?,
                pointer => write!(f, "{gap}{pointer}: {}", violation.message)?,
            }
        }
        match self.1 {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Violations {}

/// The pointer to the member `name` of what `pointer` points to.
pub fn member(pointer: &str, name: impl fmt::Display) -> String {
    let name = name.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{name}")
}

/// Reads the fields of one JSON object and notes everything wrong with them.
pub struct Fields<'a, 'v> {
    /// The object read; nothing when the value was no object, which has been noted.
    map: Option<&'a Map<String, Value>>,
    /// Where the object is in the request.
    pointer: String,
    /// The fields asked for so far: the ones that exist.
    asked: Vec<&'static str>,
    /// Where violations go.
    violations: &'v mut Violations,
}

impl<'a, 'v> Fields<'a, 'v> {
    /// Opens `value`, which should be an object.
    pub fn open(
        value: &'a Value,
        pointer: impl Into<String>,
        violations: &'v mut Violations,
    ) -> Self {
        let pointer = pointer.into();
        let map = value.as_object();
        if map.is_none() {
            violations.add(
                &*pointer,
                format!("an object is needed here, not {}", describe(value)),
            );
        }
        Self {
            map,
            pointer,
            asked: Vec::new(),
            violations,
        }
    }

    /// The pointer to a field.
    pub fn pointer_to(&self, name: &str) -> String {
        member(&self.pointer, name)
    }

    /// Notes that `name` is wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        let pointer = self.pointer_to(name);
        self.violations.add(pointer, message);
    }

    /// Where violations go, for objects within this one.
    pub fn violations(&mut self) -> &mut Violations {
        self.violations
    }

    /// The field `name` as it is, when it is there.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.map?.get(name)
    }

    /// The field `name` as it is; its absence is noted.
    pub fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.value(name);
        if value.is_none() && self.map.is_some() {
            self.refuse(name, format!("{name} is missing; it is required"));
        }
        value
    }

    /// A field that is true or false, `default` when absent.
    pub fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        match self.value(name) {
            None => default,
            Some(Value::Bool(given)) => *given,
            Some(other) => {
                self.refuse(
                    name,
                    format!("{name} is {}; true or false is needed", describe(other)),
                );
                default
            }
        }
    }

    /// A field that is text.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.value(name)?;
        self.as_text(name, value)
    }

    /// A field that is text and must be there.
    pub fn required_text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.required(name)?;
        self.as_text(name, value)
    }

    /// A field that is a whole number, not negative.
    pub fn whole_number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.value(name)?;
        let number = value.as_u64();
        if number.is_none() {
            self.refuse(
                name,
                format!("{name} is {}; a whole number is needed", describe(value)),
            );
        }
        number
    }

    /// A field that is a list of at most `most` values.
    pub fn list(&mut self, name: &'static str, most: usize) -> Option<&'a [Value]> {
        let value = self.value(name)?;
        let Some(list) = value.as_array() else {
            self.refuse(
                name,
                format!("{name} is {}; a list is needed", describe(value)),
            );
            return None;
        };
        if list.len() > most {
            let given = list.len();
            self.refuse(
                name,
                format!("{name} has {given} entries; at most {most} are allowed"),
            );
            return None;
        }
        Some(list)
    }

    /// A field of text that `parse` reads; its refusal becomes the violation.
    pub fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(text)
            .map_err(|refusal| self.refuse(name, refusal.to_string()))
            .ok()
    }

    /// As [`Fields::parsed`]; null says what absence does.
    pub fn parsed_or_null<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.value(name) {
            Some(Value::Null) => None,
            _ => self.parsed(name, parse),
        }
    }

    /// As [`Fields::parsed`], for a field that must be there.
    pub fn required_parsed<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.required_text(name)?;
        parse(text)
            .map_err(|refusal| self.refuse(name, refusal.to_string()))
            .ok()
    }

    /// Ends the reading: every field that was never asked for is unknown.
    pub fn finish(self) {
        let unknown = self.unknown();
        self.violations.append(unknown);
    }

    /// The fields that were never asked for.
    pub fn unknown(&self) -> Violations {
        let (mut unknown, known) = (Violations::default(), self.asked.join(", "));
        let names = self.map.into_iter().flat_map(Map::keys);
        for name in names.filter(|name| !self.asked.contains(&name.as_str())) {
            // Of those that are only counted nothing is written.
            let (pointer, message) = match unknown.0.len() < MOST {
                true => (
                    member(&self.pointer, shown(name)),
                    format!("{} is not a field here; there are {known}", quoted(name)),
                ),
                false => Default::default(),
            };
            unknown.add(pointer, message);
        }
        unknown
    }

    fn as_text(&mut self, name: &'static str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.refuse(
                name,
                format!("{name} is {}; a text is needed", describe(value)),
            );
        }
        text
    }
}

/// A value in words, short, never the content of a text (it may be a secret).
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(given) => given.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A name that nobody knows, cut where it is longer than any that is known.
fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// A text of the request in quotes, escaped and cut short, fit for a sentence.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_violation_is_noted_with_its_pointer() {
        let value = json!({ "on": "yes", "a/b~c": 1, "count": -1, "list": [1, 2, 3] });
        let mut violations = Violations::default();
        let mut fields = Fields::open(&value, "/settings", &mut violations);
        assert!(fields.boolean("on", true));
        assert_eq!(fields.whole_number("count"), None);
        assert_eq!(fields.required_text("name"), None);
        assert_eq!(fields.list("list", 2), None);
        fields.finish();
        let pointers: Vec<_> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/settings/on",
                "/settings/count",
                "/settings/name",
                "/settings/list",
                "/settings/a~1b~0c"
            ]
        );
    }

    #[test]
    fn the_first_hundred_are_told_and_the_others_counted() {
        let long = "x".repeat(1 << 16);
        let mut members: Map<String, Value> =
            (0..5_000).map(|n| (format!("y{n}"), json!(1))).collect();
        members.insert(long.clone(), json!(1));
        let mut violations = Violations::one("/a", "is wrong");
        let value = Value::Object(members);
        let mut fields = Fields::open(&value, "", &mut violations);
        fields.boolean("on", true);
        fields.finish();
        assert_eq!((violations.0.len(), violations.count()), (MOST, 5_002));
        assert!(violations.to_string().ends_with("; and 4902 more"));
        let whole: usize = violations
            .0
            .iter()
            .map(|one| one.pointer.len() + one.message.len())
            .sum();
        assert!(whole < 20_000, "{whole}");
        let unknown = |name: &str| {
            let (value, mut noted) = (json!({ name: 1 }), Violations::default());
            Fields::open(&value, "/a", &mut noted).finish();
            noted.0[0].pointer.clone()
        };
        assert_eq!(unknown(&long), format!("/a/{}…", "x".repeat(100)));
        assert_eq!(unknown("y"), "/a/y");
        let few = violations.shortened(10);
        assert_eq!((few.0.len(), few.count()), (10, 5_002));
    }

    #[test]
    fn what_is_no_object_is_one_violation_and_no_more() {
        let mut violations = Violations::default();
        let value = json!("text");
        let mut fields = Fields::open(&value, "", &mut violations);
        assert_eq!(fields.required_text("name"), None);
        fields.finish();
        assert_eq!(
            violations,
            Violations::one("", "an object is needed here, not a text")
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(quoted(&"é".repeat(100)), format!("{:?}…", "é".repeat(60)));
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }
}
