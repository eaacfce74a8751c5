//! What waits to be written is written, waits, or is counted as lost.

use std::collections::BTreeMap;

use playout_domain::alert::{Key, Subject};
use playout_domain::{Alert, AlertId, AlertKind, HistoryId};
use playout_store::HistoryEntry;
use proptest::prelude::*;

use super::*;
use crate::alerts::journal::Journal;

fn alert(id: u128, occurrences: u64, closed: bool) -> Alert {
    let at = Timestamp::UNIX_EPOCH;
    Alert {
        id: AlertId::from(Uuid::from_u128(id)),
        key: Key::new(AlertKind::DiskFull, Subject::Daemon),
        client: operator(),
        name: None,
        detail: String::new(),
        occurrences,
        opened_at: at,
        last_at: at,
        reopened: 0,
        acknowledged: None,
        closed_at: closed.then_some(at),
        told: true,
    }
}

fn entry(id: u128) -> HistoryEntry {
    HistoryEntry {
        id: HistoryId::from(Uuid::from_u128(id)),
        channel: ChannelId::from(Uuid::nil()),
        at: Timestamp::UNIX_EPOCH,
        failure: "source".to_owned(),
        media_id: None,
        destination_id: None,
        error: String::new(),
        action: StreamFailure::Preparing.action(),
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// An alert changes.
    Alert(u128, bool),
    /// What is first is read, so many more changes happen, and then it is written.
    Write(Vec<(u128, bool)>),
    Entry(u8),
    WriteEntries(usize, u8),
}

fn act() -> impl Strategy<Value = Act> {
    let change = (0..12_u128, any::<bool>());
    prop_oneof![
        3 => change.clone().prop_map(|(id, closed)| Act::Alert(id, closed)),
        2 => prop::collection::vec(change, 0..4).prop_map(Act::Write),
        2 => (1..6_u8).prop_map(Act::Entry),
        2 => (1..6_usize, 0..6_u8).prop_map(|(most, meanwhile)| Act::WriteEntries(most, meanwhile)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// E2: of each alert the latest state is written at last, unless it gave way and was counted.
    #[test]
    fn the_latest_state_of_each_is_written_waits_or_is_counted(
        acts in prop::collection::vec(act(), 1..80),
        kept in 1..10_usize,
    ) {
        let mut journal = Journal::of(kept);
        let (mut latest, mut database) = (BTreeMap::new(), BTreeMap::new());
        let (mut ticks, mut entries, mut stored) = (0_u64, 0_u128, Vec::new());
        let mut change = |journal: &mut Journal, latest: &mut BTreeMap<AlertId, Alert>, id, closed| {
            ticks += 1;
            let alert = alert(id, ticks, closed);
            latest.insert(alert.id, alert.clone());
            journal.alert(alert);
        };
        for act in acts {
            match act {
                Act::Alert(id, closed) => change(&mut journal, &mut latest, id, closed),
                Act::Write(meanwhile) => {
                    let first = journal.first_alert();
                    for (id, closed) in meanwhile {
                        change(&mut journal, &mut latest, id, closed);
                    }
                    if let Some(first) = first {
                        database.insert(first.id, first.clone());
                        journal.alert_done(&first);
                    }
                }
                Act::Entry(count) => for _ in 0..count {
                    entries += 1;
                    journal.entry(entry(entries));
                },
                Act::WriteEntries(most, meanwhile) => {
                    let batch = journal.first_entries(most);
                    for _ in 0..meanwhile {
                        entries += 1;
                        journal.entry(entry(entries));
                    }
                    stored.extend(batch.iter().map(|entry| entry.id));
                    journal.entries_done(&batch);
                }
            }
            prop_assert!(journal.alerts().count() <= kept);
            prop_assert!(journal.first_entries(usize::MAX).len() <= kept);
        }
        let waiting: BTreeMap<AlertId, Alert> = journal.alerts().map(|a| (a.id, a.clone())).collect();
        let known = |alert: &Alert| {
            waiting.get(&alert.id).or(database.get(&alert.id)) == Some(alert)
        };
        let missing = latest.values().filter(|alert| !known(alert)).count() as u64;
        let unique: std::collections::BTreeSet<_> = stored.iter().collect();
        let unwritten = entries as u64 - unique.len() as u64 - journal.first_entries(usize::MAX).len() as u64;
        prop_assert_eq!(unique.len(), stored.len(), "no entry is written twice");
        // What gave way while it was being written is counted though it was not lost.
        prop_assert!(missing + unwritten <= journal.lost());
        prop_assert_eq!(journal.is_empty(), waiting.is_empty() && journal.first_entries(1).is_empty());
    }
}

#[test]
fn an_alert_that_is_over_gives_way_before_one_that_is_open() {
    let mut journal = Journal::of(2);
    for (id, closed) in [(1, false), (2, true), (3, false)] {
        journal.alert(alert(id, 1, closed));
    }
    let ids: Vec<u128> = journal.alerts().map(|a| a.id.uuid().as_u128()).collect();
    assert_eq!((ids, journal.lost()), (vec![1, 3], 1));
    journal.alert(alert(4, 1, false));
    let ids: Vec<u128> = journal.alerts().map(|a| a.id.uuid().as_u128()).collect();
    assert_eq!((ids, journal.lost()), (vec![3, 4], 2));
}
