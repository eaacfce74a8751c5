//! Reads a body as JSON in which no object names a member twice: one of the two values would be lost in silence.

use std::cell::OnceCell;
use std::fmt;

use playout_domain::violation::{member, quoted};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a body is not taken.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not JSON.
    Malformed(serde_json::Error),
    /// A member comes twice: its pointer, and a sentence.
    Twice(String, String),
}

/// The value that `bytes` are.
///
/// # Errors
/// [`Unread`].
pub(super) fn read(bytes: &[u8]) -> Result<Value, Unread> {
    let twice = OnceCell::new();
    let whole = Place {
        within: None,
        twice: &twice,
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = whole
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value));
    match (read, twice.into_inner()) {
        (_, Some((pointer, message))) => Err(Unread::Twice(pointer, message)),
        (read, None) => read.map_err(Unread::Malformed),
    }
}

/// A place in the body. Where it is is only put into words for a refusal.
#[derive(Clone, Copy)]
struct Place<'p> {
    within: Option<(&'p Place<'p>, Step<'p>)>,
    /// The first member that comes twice; nothing more is read then.
    twice: &'p OnceCell<(String, String)>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Element(usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self.within {
            None => String::new(),
            Some((place, Step::Member(name))) => member(&place.pointer(), name),
            Some((place, Step::Element(at))) => member(&place.pointer(), at),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, given: bool) -> Result<Value, E> {
        Ok(given.into())
    }

    fn visit_i64<E>(self, given: i64) -> Result<Value, E> {
        Ok(given.into())
    }

    fn visit_u64<E>(self, given: u64) -> Result<Value, E> {
        Ok(given.into())
    }

    fn visit_f64<E>(self, given: f64) -> Result<Value, E> {
        Ok(Number::from_f64(given).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, given: &str) -> Result<Value, E> {
        Ok(given.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = from.next_element_seed(Place {
            within: Some((&self, Step::Element(list.len()))),
            ..self
        })? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let place = Place {
                within: Some((&self, Step::Member(&name))),
                ..self
            };
            if object.contains_key(&name) {
                let message = format!("{} comes twice; each member is allowed once", quoted(&name));
                // It is the first one: nothing is read after it.
                let _ = self.twice.set((place.pointer(), message));
                return Err(A::Error::custom("a member comes twice"));
            }
            let value = from.next_value_seed(place)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            r#"{"a": [1, -2, 3.5, 1e300, null, true, "é\n", {"b": {}, "c": []}], "d": 18446744073709551615}"#,
            "  7 ",
            "\"text\"",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text.as_bytes()).unwrap(), expected);
        }
        for text in [
            "",
            "{",
            "{} {}",
            "nul",
            "[1,]",
            "\"\\ud800\"",
            &"[".repeat(200),
        ] {
            let expected = serde_json::from_str::<Value>(text).unwrap_err();
            let Err(Unread::Malformed(error)) = read(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!(error.to_string(), expected.to_string());
        }
    }

    #[test]
    fn a_member_that_comes_twice_is_named_by_its_pointer() {
        for (text, expected) in [
            (r#"{"name": "a", "name": "b"}"#, "/name"),
            (r#"{"a": [{}, {"b/c": 1, "d": 2, "b/c": 1}]}"#, "/a/1/b~1c"),
            (r#"{"": 1, "": 2} and no JSON"#, "/"),
        ] {
            match read(text.as_bytes()) {
                Err(Unread::Twice(pointer, message)) => {
                    assert_eq!(pointer, expected);
                    assert!(message.contains("comes twice"), "{message}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
