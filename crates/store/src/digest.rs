//! Digests of what is stored: SHA-256 over a canonical form, which is a matter of values alone. It does
//! not depend on how a server writes JSON or in which order it keeps the members of an object.

use jiff::Timestamp;
use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A digest in the making. Every part of variable length has its length before it, so that no two
/// rows give the same bytes.
pub(crate) struct Digest(Sha256);

impl Digest {
    /// Of a thing called `what`: two kinds of things never share a digest.
    pub(crate) fn of(what: &str) -> Self {
        let mut digest = Self(Sha256::new());
        digest.bytes(what.as_bytes());
        digest
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn id(&mut self, id: Uuid) -> &mut Self {
        self.0.update(id.as_bytes());
        self
    }

    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        self.0.update(number.to_be_bytes());
        self
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.update([u8::from(flag)]);
        self
    }

    /// A time as the database keeps it: in microseconds.
    pub(crate) fn time(&mut self, at: Timestamp) -> &mut Self {
        self.number(at.as_microsecond())
    }

    pub(crate) fn optional<T>(
        &mut self,
        value: Option<T>,
        part: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        self.flag(value.is_some());
        match value {
            Some(value) => part(self, value),
            None => self,
        }
    }

    /// JSON by its meaning: members in the order of their names, numbers by their value.
    pub(crate) fn json(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.bytes(b"null"),
            Value::Bool(flag) => self.bytes(b"bool").flag(*flag),
            Value::Number(number) => self.bytes(b"number").bytes(&canonical(number)),
            Value::String(text) => self.bytes(b"text").text(text),
            Value::Array(items) => {
                self.bytes(b"array").number(items.len() as i64);
                items.iter().fold(self, |digest, item| digest.json(item))
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_unstable_by_key(|(name, _)| *name);
                self.bytes(b"object").number(members.len() as i64);
                members
                    .into_iter()
                    .fold(self, |digest, (name, value)| digest.text(name).json(value))
            }
        }
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// A whole number as its digits however it was written (`25`, `25.0`, `2.5e1`), any other as its bits.
fn canonical(number: &Number) -> Vec<u8> {
    const WHOLE: f64 = 18_446_744_073_709_551_616.0; // 2^64
    if let Some(whole) = number.as_i128() {
        return whole.to_string().into_bytes();
    }
    match number.as_f64() {
        Some(real) if real.fract() == 0.0 && real.abs() < WHOLE => {
            (real as i128).to_string().into_bytes()
        }
        Some(real) => [b"bits", &real.to_bits().to_be_bytes()[..]].concat(),
        None => number.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> [u8; 32] {
        Digest::of("test").json(value).finish()
    }

    #[test]
    fn json_is_digested_by_its_meaning() {
        let read = |text| serde_json::from_str::<Value>(text).unwrap();
        for (one, same) in [
            (r#"{"a": 1, "bb": 2}"#, r#"{"bb":2,"a":1}"#),
            ("25", "25.0"),
            ("1e19", "10000000000000000000"),
            ("1e21", "1000000000000000000000"),
            ("-0.0", "0"),
            ("29.97", "2.997e1"),
            ("1e-7", "0.0000001"),
        ] {
            assert_eq!(of(&read(one)), of(&read(same)), "{one}");
        }
    }

    #[test]
    fn no_two_values_share_a_digest() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            json!(-1),
            json!(u64::MAX),
            json!(1.5),
            json!("1"),
            json!(""),
            json!("null"),
            json!([]),
            json!([[]]),
            json!([1, [2]]),
            json!([[1], 2]),
            json!([[1, 2]]),
            json!([1, 2]),
            json!(["ab"]),
            json!(["a", "b"]),
            json!({}),
            json!({ "a": null }),
            json!({ "a": { "b": 1 } }),
            json!({ "a": {}, "b": 1 }),
            json!({ "a": { "b": 1, "c": 2 } }),
            json!({ "a": { "b": 1 }, "c": 2 }),
        ];
        let digests: std::collections::HashSet<_> = values.iter().map(of).collect();
        assert_eq!(digests.len(), values.len());
        let other = Digest::of("other").json(&json!(1)).finish();
        assert_ne!(other, of(&json!(1)));
    }
}
