//! Values of settings that know their own bounds, and so refuse at the place where they stand.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A whole number of seconds from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Seconds<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// A built-in value; out of its bounds it does not compile where it is a constant.
    pub(super) const fn of(seconds: u64) -> Self {
        assert!(seconds >= MIN && seconds <= MAX);
        Self(seconds)
    }

    /// As a length of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        bounded::<D, MIN, MAX>(from, " seconds").map(Self)
    }
}

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// A built-in value.
    pub(super) const fn of(count: u64) -> Self {
        assert!(count >= MIN && count <= MAX);
        Self(count)
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        bounded::<D, MIN, MAX>(from, "").map(Self)
    }
}

fn bounded<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    from: D,
    unit: &'static str,
) -> Result<u64, D::Error> {
    from.deserialize_i64(Whole::<MIN, MAX>(unit))
}

/// Reads a whole number from `MIN` to `MAX` of a unit.
struct Whole<const MIN: u64, const MAX: u64>(&'static str);

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {MIN} to {MAX}{}", self.0)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        let within = u64::try_from(value)
            .ok()
            .filter(|value| (MIN..=MAX).contains(value));
        within.ok_or_else(|| {
            E::custom(format!(
                "{value} is out of bounds; allowed: {MIN} to {MAX}{}",
                self.0
            ))
        })
    }
}

/// A setting that may hold a password: read, used, never printed.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Text)
    }
}

/// Reads text. Of anything else nothing is repeated: it may be the password, without its quotes.
struct Text;

impl Visitor<'_> for Text {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret(value.to_owned()))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom("a number was given; text in quotes is needed"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom("a number was given; text in quotes is needed"))
    }
}

impl Secret {
    /// The text, for the one who connects with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}
