//! The order of a rotation against one that is found as slowly as can be, by looking back over everything that was shown.

use super::*;
use crate::plan::basis::Unit;
use crate::plan::{Origin, Plan};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

/// What was shown: medium, series, end.
type Shown = (MediaId, Option<String>, u64);

/// When what is in `unit` and should be away at `at` ended, the last of it.
fn back_too_soon(basis: &Basis, shown: &[Shown], unit: usize, at: u64) -> Option<u64> {
    let mut latest = None;
    for item in &basis.units[unit].items {
        let ended = |same: &dyn Fn(&&Shown) -> bool| shown.iter().rfind(same).map(|one| one.2);
        let medium = ended(&|one| one.0 == item.media_id);
        let series = ended(&|one| item.series.is_some() && one.1 == item.series);
        for (ended, apart) in [(medium, apart(basis)), (series, basis.series_apart)] {
            latest = latest.max(ended.filter(|ended| at - ended < apart));
        }
    }
    latest
}

/// The first units that are begun.
fn slowly(basis: &Basis, count: usize) -> Vec<usize> {
    let plays = |unit: &u32| basis.units[*unit as usize].frames() > 0;
    let (mut put_off, mut number, mut at) = (Vec::<u32>::new(), 0, 0);
    // The round that one is in and the one after it, without what was begun or put off.
    let mut rest: Vec<u32> = round(basis, 0);
    let (mut shown, mut begun) = (Vec::<Shown>::new(), Vec::new());
    while begun.len() < count {
        let next = round(basis, number + 1);
        let coming: Vec<u32> = rest.iter().chain(&next).copied().collect();
        let all: Vec<u32> = put_off.iter().chain(&coming).copied().collect();
        let places = (0..all.len()).filter(|n| plays(&all[*n])).take(LOOKS);
        let soon = |n: &usize| back_too_soon(basis, &shown, all[*n] as usize, at);
        let mut best: Option<(u64, usize)> = None;
        let mut free = None;
        for n in places {
            match soon(&n) {
                None => {
                    free = Some(n);
                    break;
                }
                Some(last) if best.is_none_or(|(best, _)| last < best) => best = Some((last, n)),
                Some(_) => {}
            }
        }
        let Some(n) = free.or(best.map(|(_, n)| n)) else {
            break;
        };
        let unit = all[n] as usize;
        if let Some(step) = n.checked_sub(put_off.len()) {
            for unit in coming[..step].iter().filter(|unit| plays(unit)) {
                if !put_off.contains(unit) {
                    put_off.push(*unit);
                }
            }
            let gone = step + 1;
            if gone >= rest.len() {
                number += 1;
                rest = next[gone - rest.len()..].to_vec();
                if rest.is_empty() {
                    number += 1;
                    rest = round(basis, number);
                }
            } else {
                rest.drain(..gone);
            }
        } else {
            put_off.remove(n);
        }
        for item in basis.units[unit]
            .items
            .iter()
            .filter(|item| item.frames > 0)
        {
            at += item.frames;
            shown.push((item.media_id, item.series.clone(), at));
        }
        begun.push(unit);
    }
    begun
}

fn item() -> impl Strategy<Value = PlannedItem> {
    // Some cannot be played.
    let frames = prop_oneof![1 => Just(0), 6 => 1..60_u64];
    (0..12_u128, frames).prop_map(|(n, frames)| PlannedItem {
        series: n.checked_rem(4).filter(|n| *n > 0).map(|n| n.to_string()),
        ..PlannedItem::whole(MediaId::from(Uuid::from_u128(n + 1)), frames)
    })
}

fn basis() -> impl Strategy<Value = Basis> {
    let unit = (vec(item(), 1..4), 1..5_u32).prop_map(|(items, weight)| Unit { items, weight });
    let sequence = prop_oneof![
        Just(Sequence::Ordered),
        Just(Sequence::Weighted),
        any::<u64>().prop_map(Sequence::Shuffled),
    ];
    (vec(unit, 1..14), sequence, 0..300_u64, 0..200_u64).prop_map(
        |(units, sequence, apart, series_apart)| Basis {
            units,
            sequence,
            apart,
            series_apart,
            ..Basis::default()
        },
    )
}

fn begun(basis: &Basis, count: usize) -> Vec<usize> {
    let plan = Plan::starting(Frame::new(0), basis.clone());
    let mut last = None;
    let mut begun = Vec::new();
    for entry in plan.entries_from(Frame::new(0), Frame::new(u64::MAX)) {
        let Origin::Rotation(unit) = entry.origin else {
            unreachable!("there is nothing else")
        };
        // A unit of several items is begun once.
        let items = &basis.units[unit].items;
        let playable = items.iter().filter(|item| item.frames > 0).count();
        let (before, left) = last.unwrap_or((unit, 0));
        last = match left {
            0 => {
                if begun.len() == count {
                    break;
                }
                begun.push(unit);
                Some((unit, playable - 1))
            }
            left => {
                assert_eq!(before, unit, "a unit is played as one");
                Some((unit, left - 1))
            }
        };
    }
    begun
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_next_is_what_looking_back_over_everything_finds(basis in basis()) {
        prop_assert_eq!(begun(&basis, 120), slowly(&basis, 120));
    }
}

#[test]
fn of_so_many_that_may_not_be_next_the_one_that_was_away_longest_is() {
    let item = |n| PlannedItem::whole(MediaId::from(Uuid::from_u128(n)), 10);
    let basis = |apart| Basis {
        apart,
        ..Basis::looping((1..=250).map(item).collect())
    };
    // A round is 2 500 frames: what should stay away longer cannot.
    for apart in [2_400, 2_600, 100_000] {
        assert_eq!(begun(&basis(apart), 1_000), slowly(&basis(apart), 1_000));
    }
}
