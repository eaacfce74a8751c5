//! Between columns and the types of the domain: PostgreSQL has signed 64-bit integers, microseconds,
//! and text without NUL.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Row;

use crate::error::StoreError;

/// Now, as exactly as the database keeps it.
pub(crate) fn now() -> Timestamp {
    whole_micros(Timestamp::now())
}

/// A time after `before`, also where the clock was set back: what changes has another version.
pub(crate) fn now_after(before: Timestamp) -> Timestamp {
    let next = Timestamp::from_microsecond(before.as_microsecond().saturating_add(1));
    next.map_or_else(|_| now(), |next| now().max(next))
}

/// Whether a thing is of the version that is meant; nothing is meant: of any.
///
/// # Errors
/// [`StoreError::VersionMismatch`].
pub(crate) fn of_version(wanted: Option<u64>, current: u64) -> Result<(), StoreError> {
    match wanted {
        Some(wanted) if wanted != current => Err(StoreError::VersionMismatch { current }),
        _ => Ok(()),
    }
}

/// `at` without the nanoseconds that a `timestamptz` does not keep.
pub(crate) fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// A count as a `bigint`; beyond that it stays at the greatest.
pub(crate) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A length as microseconds.
pub(crate) fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// Text as PostgreSQL takes it: what strangers wrote may hold NUL.
pub(crate) fn text(given: &str) -> String {
    given.replace('\0', "\u{fffd}")
}

/// JSON as PostgreSQL takes it.
pub(crate) fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    fn clean(value: &mut Value) {
        match value {
            Value::String(given) if given.contains('\0') => *given = text(given),
            Value::Array(items) => items.iter_mut().for_each(clean),
            Value::Object(fields) => fields.values_mut().for_each(clean),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(value).map_err(StoreError::internal)?;
    clean(&mut value);
    Ok(value)
}

/// The `bigint` in `column` as a count.
pub(crate) fn count(row: &Row, column: &str) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number)
        .map_err(|_| StoreError::Internal(format!("{column} is {number}, below nothing")))
}

/// The microseconds in `column` as a length.
pub(crate) fn length(row: &Row, column: &str) -> Result<Duration, StoreError> {
    count(row, column).map(Duration::from_micros)
}

/// The text in `column`, read.
pub(crate) fn parsed<T: FromStr<Err: Display>>(row: &Row, column: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|wrong: T::Err| StoreError::Internal(format!("{column}: {wrong}")))
}

/// The JSON in `column`, read.
pub(crate) fn from_json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    let value: Value = row.try_get(column)?;
    serde_json::from_value(value)
        .map_err(|wrong| StoreError::Internal(format!("{column}: {wrong}")))
}
