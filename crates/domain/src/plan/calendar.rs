//! Which slot begins when: the occurrences of slots and of templates' slots in wall time.
//!
//! Where several begin at one time the one that is most particular does: once, before days of the week, before
//! every day, before a template; among equals the first one. On a date at most one template counts: the first
//! that names the date, else the first that names its day of the week.

use super::basis::{Basis, PlannedDay, PlannedSlot};
use crate::schedule::{Weekdays, Zone};
use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// When a slot begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// One time.
    Once(Timestamp),
    /// Every day.
    Daily(Time, Zone),
    /// On some days of the week.
    Weekly(Weekdays, Time, Zone),
    /// On the days of a template.
    OfDays,
}

impl Rule {
    const fn rank(&self) -> u8 {
        match self {
            Self::Once(_) => 0,
            Self::Weekly(..) => 1,
            Self::Daily(..) => 2,
            Self::OfDays => 3,
        }
    }
}

/// One beginning of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) at: Timestamp,
    /// The slot of the basis.
    pub(super) slot: usize,
}

/// How far ahead is looked at once, in days; what recurs does so within the longest, unless dates keep it from that.
const LOOKS: [i64; 2] = [2, 9];
/// How far after a date is looked: what it keeps from its day of the week comes a week later.
const AFTER_A_DATE: i64 = 10;
/// Looks at most. So many follow one another only where dates without slots rule for more than a year.
const MOST_LOOKS: usize = 64;

/// The first occurrences at or after `from`, in order; as many as a look shows, and none when nothing follows.
pub(super) fn upcoming(basis: &Basis, from: Timestamp) -> Vec<Occurrence> {
    if basis.timeline.is_none() || basis.slots.is_empty() {
        return Vec::new();
    }
    let after = |at: Timestamp, days: i64| {
        let length = SignedDuration::from_hours(24 * days);
        at.saturating_add(length).unwrap_or(Timestamp::MAX)
    };
    let mut looked = from;
    for days in LOOKS {
        looked = after(from, days);
        let found = between(basis, from, looked);
        if !found.is_empty() {
            return found;
        }
    }
    let mut looks = 0;
    for at in later(basis, from) {
        // What lies before has been looked at, and there is nothing.
        let (begins, until) = (at.max(looked), after(at, AFTER_A_DATE));
        if until <= begins {
            continue;
        }
        let found = between(basis, begins, until);
        looked = until;
        looks += 1;
        if !found.is_empty() || looks == MOST_LOOKS {
            return found;
        }
    }
    Vec::new()
}

/// The times after `from` at or after which something may begin for the first time, in order: what comes once does so then, and
/// a date has its slots or keeps those of a day of the week for a week.
fn later(basis: &Basis, from: Timestamp) -> BTreeSet<Timestamp> {
    let once = basis.slots.iter().filter_map(|slot| match slot.rule {
        Rule::Once(at) => Some(at),
        _ => None,
    });
    let slots = basis.days.iter().any(|day| !day.slots.is_empty());
    let days = basis.days.iter().filter(|_| slots);
    let dated = days.flat_map(|day| {
        let begins = |date: &Date| day.zone.at(*date, Time::MIN);
        day.dates.iter().filter_map(begins)
    });
    once.chain(dated).filter(|at| *at >= from).collect()
}

/// Every occurrence from `from` to before `until`, in order, one at a time.
fn between(basis: &Basis, from: Timestamp, until: Timestamp) -> Vec<Occurrence> {
    let mut found: Vec<(Timestamp, u8, usize)> = Vec::new();
    let mut add = |at: Option<Timestamp>, slot: usize| {
        if let Some(at) = at.filter(|at| (from..until).contains(at)) {
            found.push((at, basis.slots[slot].rule.rank(), slot));
        }
    };
    for (n, PlannedSlot { rule, .. }) in basis.slots.iter().enumerate() {
        match rule {
            Rule::Once(at) => add(Some(*at), n),
            Rule::Daily(time, zone) => {
                for date in dates(zone, from, until) {
                    add(zone.at(date, *time), n);
                }
            }
            Rule::Weekly(days, time, zone) => {
                for date in dates(zone, from, until).filter(|date| days.has(date.weekday())) {
                    add(zone.at(date, *time), n);
                }
            }
            Rule::OfDays => {}
        }
    }
    for (n, day) in basis.days.iter().enumerate() {
        for date in
            dates(&day.zone, from, until).filter(|date| day_of(&basis.days, *date) == Some(n))
        {
            for (time, slot) in &day.slots {
                add(day.zone.at(date, *time), *slot as usize);
            }
        }
    }
    found.sort_unstable();
    found.dedup_by_key(|(at, _, _)| *at);
    let each = found.into_iter();
    each.map(|(at, _, slot)| Occurrence { at, slot }).collect()
}

/// The template that counts on a date.
fn day_of(days: &[PlannedDay], date: Date) -> Option<usize> {
    let named = days.iter().position(|day| day.dates.contains(&date));
    named.or_else(|| days.iter().position(|day| day.days.has(date.weekday())))
}

/// The dates that may have a time between `from` and `until`: clocks that are put forward carry a time of one
/// date into the next.
fn dates(zone: &Zone, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Date> + use<> {
    let first = zone.date(from).saturating_sub(1.day());
    let last = zone.date(until).saturating_add(1.day());
    first.series(1.day()).take_while(move |date| *date <= last)
}
