//! When a slot begins: once, every day or on some days of the week, by the clocks of a time zone.
//!
//! The time zone database comes with the program, so that every daemon knows the same zones.
//! A time that the clocks pass over in spring begins as much later as they were put forward; of a time that
//! comes twice in autumn the first one counts (RFC 5545 §3.3.5 says the same).

use crate::violation::{Fields, quoted};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: "UTC".into(),
            rules: TimeZone::UTC,
        }
    }
}

/// A name that is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no time zone; name one of the IANA database, as in Europe/Vienna or UTC")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let rules = ZONES.get(name).map_err(|_| UnknownZone(quoted(name)))?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Zone {
    /// When its clocks show `time` on `date`, as the module's head says; nothing at the ends of time.
    pub fn at(&self, date: Date, time: Time) -> Option<Timestamp> {
        self.local(date.to_datetime(time))
    }

    fn local(&self, at: DateTime) -> Option<Timestamp> {
        self.rules.to_ambiguous_timestamp(at).compatible().ok()
    }

    /// How many seconds its clocks are ahead of UTC at `at`.
    pub fn ahead(&self, at: Timestamp) -> i64 {
        self.rules.to_offset(at).seconds().into()
    }

    /// When its clocks are put forward or back after `at`, if they ever are.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let change = self.rules.following(at).next();
        change.map(|change| change.timestamp())
    }

    /// The date that its clocks show at `at`.
    pub fn date(&self, at: Timestamp) -> Date {
        self.rules.to_datetime(at).date()
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Some days of the week, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weekdays(u8);

impl Weekdays {
    /// The days' names, Monday first.
    /// The days from Monday on.
    pub const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    /// All seven.
    pub const ALL: Self = Self(0x7f);

    /// Whether `day` is one of them.
    pub fn has(self, day: Weekday) -> bool {
        self.0 >> day.to_monday_zero_offset() & 1 == 1
    }

    /// Reads the list `days`; absent: nothing.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let list = fields.list("days", 7)?;
        if list.is_empty() {
            fields.refuse("days", "days is empty; name a day, or leave it out");
        }
        let mut days = Self::default();
        for (n, day) in list.iter().enumerate() {
            let named = |name: &&str| day.as_str() == Some(name);
            match Self::NAMES.iter().position(named) {
                Some(bit) => days.0 |= 1 << bit,
                None => {
                    let at = format!("{}/{n}", fields.pointer_to("days"));
                    let all = Self::NAMES.join(", ");
                    let message = format!("this is no day of the week; the days are {all}");
                    fields.violations().add(at, message);
                }
            }
        }
        Some(days)
    }

    pub(super) fn to_json(self) -> Value {
        let names = Self::NAMES.iter().enumerate();
        let mine = names.filter(|(bit, _)| self.0 >> bit & 1 == 1);
        mine.map(|(_, name)| json!(name)).collect()
    }
}

/// When a slot begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// One time only.
    Once(Timestamp),
    /// Every day.
    Daily(Time, Zone),
    /// On some days of the week.
    Weekly(Weekdays, Time, Zone),
}

impl When {
    /// Reads `at` (with an offset, or with `zone`), or `time`, `zone` and perhaps `days`.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let zone = fields.parsed("zone", str::parse::<Zone>);
        let zone_given = fields.value("zone").is_some();
        let days = Weekdays::read(fields);
        let time = time(fields);
        if let Some(at) = fields.text("at") {
            for other in ["time", "days"] {
                if fields.value(other).is_some() {
                    fields.refuse(
                        other,
                        format!("a slot that begins once, at its `at`, has no {other}"),
                    );
                }
            }
            let local = || at.parse::<DateTime>().ok();
            let begins = at
                .parse::<Timestamp>()
                .ok()
                .or_else(|| zone.as_ref()?.local(local()?));
            // An unknown zone has been noted.
            if begins.is_none() && (zone.is_some() || !zone_given) {
                let given = quoted(at);
                fields.refuse(
                    "at",
                    format!("at is {given}; a time is needed as in 2030-01-31T20:15:00Z (RFC 3339), or without Z and with a zone beside it"),
                );
            }
            return begins.map(Self::Once);
        }
        if fields.value("at").is_some() {
            return None;
        }
        if fields.value("time").is_none() {
            fields.refuse(
                "time",
                "a slot needs a time: `at` for once, `time` and `zone` for every day or some `days`",
            );
            return None;
        }
        if !zone_given {
            fields.refuse("zone", "zone is missing; it is required beside a time");
        }
        let (time, zone) = (time?, zone?);
        Some(match days {
            None | Some(Weekdays::ALL) => Self::Daily(time, zone),
            Some(days) => Self::Weekly(days, time, zone),
        })
    }

    /// The fields as they are read.
    pub(super) fn write(&self, into: &mut Map<String, Value>) {
        let (time, zone) = match self {
            Self::Once(at) => {
                into.insert("at".into(), json!(at));
                return;
            }
            Self::Daily(time, zone) => (time, zone),
            Self::Weekly(days, time, zone) => {
                into.insert("days".into(), days.to_json());
                (time, zone)
            }
        };
        into.insert("time".into(), json!(time));
        into.insert("zone".into(), json!(zone.to_string()));
    }
}

/// Reads a time of the day.
pub(super) fn time(fields: &mut Fields<'_, '_>) -> Option<Time> {
    let text = fields.text("time")?;
    // The parser would take the time out of a date with one, too.
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.');
    let looks = text.contains(':') && text.chars().all(plain);
    let read = text.parse::<Time>().ok().filter(|_| looks);
    if read.is_none() {
        let given = quoted(text);
        fields.refuse(
            "time",
            format!("time is {given}; a time of the day is needed as in 20:15 or 20:15:30"),
        );
    }
    read
}
