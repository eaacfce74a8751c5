//! P-plan: a schedule becomes entries without a hole and without an overlap; slots begin when the clocks of their
//! zone say; what should stay apart does; what is on air stays on air; the same inputs give the same plan.
//!
//! The oracle walks the clocks quarter by quarter of an hour, and only looks at entries: it knows nothing of how they are made.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use playout_domain::plan::{Basis, Origin, Plan, PlanEntry};
use playout_domain::schedule::{Edit, Facts, Known, Refused, Schedule};
use playout_domain::{Frame, FrameRate, MediaId, SlotId, Ticks90k, Timeline};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cases;

const GOP: u64 = 50;
const HOUR: u64 = 25 * 3_600;
/// Of the shortest items that should stay apart.
const LENGTH: u64 = 20 * GOP;

fn media(n: usize) -> MediaId {
    MediaId::from(Uuid::from_u128(n as u128 + 1))
}

/// Items by their lengths in frames; every third is of the same series.
#[derive(Debug, Clone)]
struct Library(Vec<u64>);

impl Library {
    fn frames(&self, id: MediaId) -> Option<u64> {
        (0..self.0.len())
            .find(|n| media(*n) == id)
            .map(|n| self.0[n])
    }

    fn edited(&self, schedule: &Schedule, edit: Edit) -> Result<Schedule, Refused> {
        let mut next = schedule.slots.len() as u128;
        let mut ids = || {
            next += 1;
            SlotId::from(Uuid::from_u128(next << 64))
        };
        let known = |id| {
            self.frames(id).map(|frames| Known {
                frames: Some(frames),
            })
        };
        schedule.edited(&edit, &mut ids, &known, FrameRate::F25)
    }

    fn basis(&self, schedule: &Schedule, timeline: Timeline) -> Basis {
        schedule.resolve(timeline, |id| Facts {
            frames: self.frames(id),
            series: (0..self.0.len())
                .find(|n| media(*n) == id)
                .map(|n| format!("series {}", n % 5)),
        })
    }
}

fn timeline(epoch: Timestamp) -> Timeline {
    Timeline {
        epoch,
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k(900_000),
    }
}

/// A recurring slot: zone, days of the week (Monday first), minute of the day, items, minutes.
#[derive(Debug, Clone)]
struct Recurring {
    zone: &'static str,
    days: Vec<usize>,
    minute: u16,
    items: Vec<usize>,
    minutes: Option<u8>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Recurring {
    fn json(&self) -> Value {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|n| json!({ "mediaId": media(*n) }))
            .collect();
        let mut slot = json!({
            "zone": self.zone, "items": items,
            "time": format!("{:02}:{:02}", self.minute / 60, self.minute % 60),
            "days": self.days.iter().map(|day| DAYS[*day]).collect::<Vec<_>>(),
        });
        if let Some(minutes) = self.minutes {
            slot["duration"] = (u32::from(minutes) * 60).into();
        }
        slot
    }

    /// When it begins on a date: the first time at which its clocks show it; where none does, the time by
    /// the clocks as they were that morning.
    fn on(&self, date: Date) -> Timestamp {
        let zone = TimeZone::get(self.zone).unwrap();
        let time = Time::new((self.minute / 60) as i8, (self.minute % 60) as i8, 0, 0).unwrap();
        let shown = date.to_datetime(time);
        let morning = date.to_datetime(Time::MIN);
        let offset = zone.to_offset(
            TimeZone::UTC.to_timestamp(morning).unwrap() - SignedDuration::from_hours(14),
        );
        let utc = TimeZone::UTC.to_timestamp(shown).unwrap();
        let begins = utc - SignedDuration::from_hours(16);
        // Every zone is some quarters of an hour off.
        let minutes = (0..32 * 4).map(|n| begins + SignedDuration::from_mins(15 * n));
        minutes
            .clone()
            .find(|at| zone.to_datetime(*at) == shown)
            .unwrap_or(utc - SignedDuration::from_secs(offset.seconds().into()))
    }

    fn begins(&self, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let date = |at: Timestamp| TimeZone::UTC.to_datetime(at).date();
        let first = date(from).saturating_sub(2.days());
        let dates = first
            .series(1.day())
            .take_while(|day| *day <= date(until).saturating_add(2.days()));
        let mine = dates.filter(|date| {
            self.days
                .contains(&(date.weekday().to_monday_zero_offset() as usize))
        });
        mine.map(|date| self.on(date))
            .filter(|at| (from..until).contains(at))
            .collect()
    }
}

/// Zones with summer time, one that moves by half an hour, one that is 45 minutes off, one without.
fn zone() -> impl Strategy<Value = &'static str> {
    select(vec![
        "Europe/Vienna",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "UTC",
    ])
}

/// Days on which clocks are changed somewhere, leap days, and the turn of a year; any hour of them.
fn epoch() -> impl Strategy<Value = Timestamp> {
    let days = [
        "2027-03-27",
        "2027-10-30",
        "2027-03-13",
        "2027-11-06",
        "2027-04-03",
        "2027-10-02",
        "2028-02-28",
        "2027-12-30",
    ];
    (select(days.to_vec()), 0..1_440_i64, 0..1_000_i64).prop_map(|(day, minutes, millis)| {
        let begins: Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
        begins + SignedDuration::from_mins(minutes) + SignedDuration::from_millis(millis)
    })
}

fn recurring(most: usize) -> impl Strategy<Value = Recurring> {
    // Times at which clocks are changed come often.
    let minute = prop_oneof![0..1_440_u16, 60..200_u16];
    let days = vec(0..7_usize, 1..8);
    (
        zone(),
        days,
        minute,
        vec(0..most, 1..4),
        prop::option::of(1..90_u8),
    )
        .prop_map(|(zone, mut days, minute, items, minutes)| {
            days.sort_unstable();
            days.dedup();
            Recurring {
                zone,
                days,
                minute,
                items,
                minutes,
            }
        })
}

#[derive(Debug, Clone)]
struct Programme {
    library: Library,
    rotation: Value,
    slots: Vec<Recurring>,
    fillers: bool,
}

impl Programme {
    fn schedule(&self) -> Schedule {
        let rotation = Edit::Rotation(self.rotation.clone());
        let schedule = self.library.edited(&Schedule::default(), rotation).unwrap();
        let slots: Vec<_> = self.slots.iter().map(Recurring::json).collect();
        self.library
            .edited(&schedule, Edit::Slots(json!({ "items": slots })))
            .unwrap()
    }
}

fn order() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({ "order": "ordered" })),
        (0..1_000_u32).prop_map(|seed| json!({ "order": "shuffled", "seed": seed })),
        Just(json!({ "order": "weighted" })),
    ]
}

fn programme() -> impl Strategy<Value = Programme> {
    let library = vec(prop_oneof![10 * GOP..40 * GOP, HOUR / 6..HOUR / 2], 2..9);
    (
        library,
        order(),
        vec(any::<u8>(), 1..9),
        any::<bool>(),
        0..600_u32,
    )
        .prop_flat_map(|(lengths, order, weights, fillers, apart)| {
            let most = lengths.len();
            let items = weights.iter().map(|n| {
                let mut item = json!({ "mediaId": media(*n as usize % most) });
                if order["order"] == "weighted" {
                    item["weight"] = (n % 4 + 1).into();
                }
                item
            });
            let items: Value = items.collect();
            let mut rotation = order;
            rotation["items"] = items;
            rotation["separation"] = json!({ "item": apart, "series": apart / 2 });
            if fillers {
                rotation["fillers"] =
                    json!([{ "mediaId": media(0) }, { "mediaId": media(1), "out": 1.6 }]);
            }
            vec(recurring(most), 0..6).prop_map(move |slots| Programme {
                library: Library(lengths.clone()),
                rotation: rotation.clone(),
                slots,
                fillers,
            })
        })
}

/// Without a hole, without an overlap, each of a length.
fn is_whole(entries: &[PlanEntry], from: u64, until: u64) -> Result<(), TestCaseError> {
    prop_assert!(entries[0].start.get() <= from && entries.last().unwrap().end.get() >= until);
    for pair in entries.windows(2) {
        prop_assert_eq!(pair[0].end, pair[1].start);
        prop_assert!(pair[0].frames() > 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    /// A day and a half, so that both a change of clocks and what follows it is in it.
    #[test]
    fn p_plan_slots_begin_when_their_clocks_say_and_nothing_is_left_out(programme in programme(), epoch in epoch()) {
        let timeline = timeline(epoch);
        let plan = Plan::starting(Frame::new(0), programme.library.basis(&programme.schedule(), timeline));
        let last = 36 * HOUR;
        let entries = plan.entries(Frame::new(0)..Frame::new(last));
        is_whole(&entries, 0, last)?;
        let until = timeline.wall(Frame::new(last));
        let mut begins: Vec<(Timestamp, usize)> = Vec::new();
        for (n, slot) in programme.slots.iter().enumerate() {
            begins.extend(slot.begins(epoch, until).into_iter().map(|at| (at, n)));
        }
        begins.sort_unstable();
        for (k, (at, n)) in begins.iter().enumerate() {
            // Where another begins within a GOP one of both gives way.
            let near = |other: Option<&(Timestamp, usize)>| other.is_some_and(|(other, _)| other.duration_since(*at).abs() <= SignedDuration::from_secs(4));
            if near(begins.get(k + 1)) || (k > 0 && near(begins.get(k - 1))) {
                continue;
            }
            let frame = (at.duration_since(epoch).as_millis() as u64).div_ceil(40);
            if frame + GOP > last {
                continue;
            }
            let id = SlotId::from(Uuid::from_u128((*n as u128 + 1) << 64));
            let first = media(programme.slots[*n].items[0]);
            let here = |entry: &&PlanEntry| entry.origin == Origin::Slot(id) && entry.media_id == first && entry.start.get().abs_diff(frame) <= GOP / 2 + 1;
            prop_assert!(entries.iter().any(|entry| here(&entry)), "slot {} at {} (frame {})", n, at, frame);
        }
        // Nothing of a slot is shown before one begins.
        for (k, entry) in entries.iter().enumerate() {
            if let Origin::Slot(_) = entry.origin && (k == 0 || !matches!(entries[k - 1].origin, Origin::Slot(_))) {
                let begun = begins.iter().any(|(at, _)| timeline.wall(entry.start).duration_since(*at).abs() <= SignedDuration::from_millis(1_100));
                prop_assert!(begun, "a slot's item begins at {} for no reason", timeline.wall(entry.start));
            }
        }
        // Where fillers pad, no item of the rotation is cut that could have waited.
        if programme.fillers {
            for three in entries.windows(3) {
                let [before, cut, slot] = three else { unreachable!() };
                if let (Origin::Rotation(_), Origin::Slot(_)) = (cut.origin, slot.origin) {
                    let all = programme.library.frames(cut.media_id).unwrap();
                    let first = !matches!(before.origin, Origin::Rotation(_));
                    prop_assert!(first || cut.frames() == all, "cut after {} of {} frames", cut.frames(), all);
                }
            }
        }
    }

    #[test]
    fn p_plan_the_same_inputs_give_the_same_plan(programme in programme(), epoch in epoch(), settled in vec(0..6 * HOUR, 0..6)) {
        let timeline = timeline(epoch);
        let stored = serde_json::to_value(programme.schedule()).unwrap();
        let read: Schedule = serde_json::from_value(stored).unwrap();
        prop_assert_eq!(&read, &programme.schedule());
        let one = Plan::starting(Frame::new(0), programme.library.basis(&programme.schedule(), timeline));
        let mut other = Plan::starting(Frame::new(0), programme.library.basis(&read, timeline));
        let mut settled = settled;
        settled.sort_unstable();
        // Stored and read at any time, and taken as new at any time: nothing is another.
        for at in settled {
            let stored = serde_json::to_string(&other).unwrap();
            other = serde_json::from_str(&stored).unwrap();
            other.play_next(Frame::new(at), playout_domain::PlannedItem::whole(media(0), 0));
        }
        let (from, until) = (Frame::new(6 * HOUR), Frame::new(12 * HOUR));
        prop_assert_eq!(one.entries(from..until), other.entries(from..until));
        for frame in (6 * HOUR..12 * HOUR).step_by(40_001) {
            prop_assert_eq!(one.at(Frame::new(frame)), other.at(Frame::new(frame)));
        }
    }

    /// With as many items and series as are needed, whatever the order, the lengths and the weights, be they such that an item
    /// would have to come sooner. Slots and fillers come when they come, but the rotation keeps away from what they showed.
    #[test]
    fn p_plan_what_should_stay_apart_does(order in order(), lengths in vec(LENGTH..2 * LENGTH, 12..18), weights in vec(1..5_u32, 18), heavy in prop_oneof![Just(1_u32), 20..26_u32], equal in any::<bool>(), apart in 0..5_u64, series in 0..3_u64, slots in vec(any::<bool>(), 18), fillers in any::<bool>()) {
        let items = lengths.len();
        // Two beside, which pad.
        let lengths: Vec<u64> = lengths.into_iter().map(|length| if equal { LENGTH } else { length }).chain([LENGTH; 2]).collect();
        let library = Library(lengths);
        let mut weights = weights;
        // As often as it weighs then, it could not stay apart.
        weights[1] *= heavy;
        let (weighted, shuffled) = (order["order"] == "weighted", order["order"] == "shuffled");
        let element = |n: usize| json!({ "mediaId": media(n) });
        let mut units: Vec<_> = (0..items - 2).map(element).collect();
        units.push(json!({ "block": "both" }));
        // One comes twice in a round.
        units.push(element(0));
        if weighted {
            for (unit, weight) in units.iter_mut().zip(&weights) {
                unit["weight"] = (*weight).into();
            }
        }
        let (apart, series) = (apart * LENGTH, series * LENGTH);
        let mut rotation = order;
        rotation["items"] = units.into();
        rotation["separation"] = json!({ "item": apart / 25, "series": series / 25 });
        if fillers {
            rotation["fillers"] = json!([element(items), element(items + 1)]);
        }
        let both = json!({ "items": [{ "name": "both", "items": [element(items - 2), element(items - 1)] }] });
        let schedule = library.edited(&Schedule::default(), Edit::Blocks(both)).unwrap();
        let schedule = library.edited(&schedule, Edit::Rotation(rotation)).unwrap();
        let at = (1..).zip(&slots).filter(|(_, slot)| **slot).map(|(n, _)| n);
        let at = at.map(|n| json!({ "time": format!("{:02}:{:02}", n / 6, n % 6 * 10), "zone": "UTC", "items": [element(n % items)], "duration": 90 }));
        let slots = at.collect::<Vec<_>>();
        let cuts = slots.len();
        let schedule = library.edited(&schedule, Edit::Slots(json!({ "items": slots }))).unwrap();
        let epoch = "2027-01-01T00:00:00Z".parse().unwrap();
        let plan = Plan::starting(Frame::new(0), library.basis(&schedule, timeline(epoch)));
        let entries = plan.entries(Frame::new(0)..Frame::new(LENGTH * 300));
        is_whole(&entries, 0, LENGTH * 300)?;
        let number = |entry: &PlanEntry| entry.media_id.uuid().as_u128() as usize - 1;
        for (k, entry) in entries.iter().enumerate() {
            if entry.rotation_index().is_none() {
                continue;
            }
            for before in &entries[k.saturating_sub(20)..k] {
                let since = entry.start.since(before.end);
                prop_assert!(number(before) != number(entry) || since >= apart, "{} again after {}", number(entry), since);
                // A block is played as one, whatever series are in it.
                let as_one = before.rotation_index() == entry.rotation_index() && number(before) + 1 == number(entry);
                prop_assert!(as_one || number(before) % 5 != number(entry) % 5 || since >= series, "series of {} again after {}", number(entry), since);
            }
            if shuffled && k > 0 {
                prop_assert_ne!(entries[k - 1].media_id, entry.media_id);
            }
        }
        // What was put off is not left out; what a slot cuts is, and with it the rest of its block.
        let all = if weighted { weights.iter().take(items).sum::<u32>() as usize } else { items + 1 };
        for n in 0..items {
            let times = entries.iter().filter(|entry| number(entry) == n).count();
            let fair = entries.iter().filter(|entry| entry.rotation_index().is_some()).count() / all;
            prop_assert!(times + cuts + 3 >= fair, "{} came {} times of {}", n, times, fair);
            let twice = n == 0 || weighted || cuts > 0;
            prop_assert!(twice || times <= fair + 3, "{} came {} times of {}", n, times, fair);
        }
    }

    #[test]
    fn p_plan_an_edit_keeps_what_is_on_air(before in programme(), after in programme(), epoch in epoch(), airing in 0..10 * HOUR) {
        let timeline = timeline(epoch);
        let mut plan = Plan::starting(Frame::new(0), before.library.basis(&before.schedule(), timeline));
        let old = plan.entries(Frame::new(airing.saturating_sub(5_000))..Frame::new(airing + 1));
        plan.replace_from(Frame::new(airing), after.library.basis(&after.schedule(), timeline));
        let new = plan.entries(Frame::new(airing.saturating_sub(5_000))..Frame::new(airing + HOUR * 6));
        is_whole(&new, airing, airing + HOUR * 6)?;
        let (last, gone) = old.split_last().unwrap();
        prop_assert_eq!(&new[..gone.len()], gone);
        let now = new[gone.len()..].iter().find(|entry| entry.end.get() > airing).unwrap();
        if now.start > last.start {
            // It is over just here, for a slot.
            prop_assert_eq!(now.start.get(), airing);
        } else {
            prop_assert_eq!((now.start, now.media_id, now.in_frame), (last.start, last.media_id, last.in_frame));
        }
        let end = if now.start > last.start { now.start } else { now.end };
        if end < last.end {
            // Only a slot ends it earlier.
            let until = timeline.wall(last.end + HOUR);
            let slots = after.slots.iter().flat_map(|slot| slot.begins(timeline.wall(Frame::new(airing)) - SignedDuration::from_secs(2), until));
            let near = slots.map(|at| timeline.wall(end).duration_since(at).abs()).min();
            prop_assert!(near.is_some_and(|near| near <= SignedDuration::from_secs(2)), "ends at {} instead of {}", end, last.end);
        }
    }

    /// Blocks are played as one, in any order of the rotation, nested as they may be.
    #[test]
    fn p_plan_blocks_are_played_as_one(inner in vec(0..6_usize, 1..4), outer in vec(0..6_usize, 0..4), order in order()) {
        let library = Library(vec![3 * GOP; 8]);
        let element = |n: &usize| json!({ "mediaId": media(*n) });
        let nested: Vec<_> = outer.iter().map(element).chain([json!({ "block": "inner" })]).collect();
        let blocks = json!({ "items": [
            { "name": "outer", "items": nested },
            { "name": "inner", "items": inner.iter().map(element).collect::<Vec<_>>() },
        ] });
        let mut rotation = order;
        rotation["items"] = json!([element(&6), { "block": "outer" }, element(&7)]);
        let schedule = library.edited(&Schedule::default(), Edit::Blocks(blocks)).unwrap();
        let schedule = library.edited(&schedule, Edit::Rotation(rotation)).unwrap();
        let epoch = "2027-01-01T00:00:00Z".parse().unwrap();
        let plan = Plan::starting(Frame::new(0), library.basis(&schedule, timeline(epoch)));
        let entries = plan.entries(Frame::new(0)..Frame::new(3 * GOP * 100));
        let block: Vec<_> = outer.iter().chain(&inner).map(|n| media(*n)).collect();
        let (mut k, mut played) = (0, 0);
        while k + block.len() < entries.len() {
            if entries[k].origin == Origin::Rotation(1) {
                let here: Vec<_> = entries[k..k + block.len()].iter().map(|entry| entry.media_id).collect();
                prop_assert_eq!(&here, &block);
                k += block.len();
                played += 1;
            } else {
                k += 1;
            }
        }
        prop_assert!(played > 3);
    }

    /// In every round of a weighted rotation each item comes as often as it weighs.
    #[test]
    fn p_plan_weights_count(weights in vec(1..8_u64, 1..7)) {
        let library = Library(vec![GOP; weights.len()]);
        let items: Vec<_> = weights.iter().enumerate().map(|(n, weight)| json!({ "mediaId": media(n), "weight": weight })).collect();
        let rotation = json!({ "items": items, "order": "weighted" });
        let schedule = library.edited(&Schedule::default(), Edit::Rotation(rotation)).unwrap();
        let epoch = "2027-01-01T00:00:00Z".parse().unwrap();
        let plan = Plan::starting(Frame::new(0), library.basis(&schedule, timeline(epoch)));
        let round = weights.iter().sum::<u64>() * GOP;
        for number in 0..5 {
            let entries = plan.entries(Frame::new(number * round)..Frame::new((number + 1) * round));
            for (n, weight) in weights.iter().enumerate() {
                let times = entries.iter().filter(|entry| entry.media_id == media(n)).count();
                prop_assert_eq!(times as u64, *weight);
            }
        }
    }
}
