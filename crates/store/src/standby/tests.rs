//! What is due where, and when.
#![allow(clippy::unwrap_used)]

use super::*;

fn loaded() -> Standby {
    let standby = Standby::new();
    for kind in Kind::NEEDED {
        standby.load(kind, [("a".to_owned(), 1)]);
    }
    standby
}

#[test]
fn nothing_is_due_before_everything_is_loaded_and_everything_is_then() {
    let standby = Standby::new();
    standby.put(Kind::Media, "m", &7);
    standby.load(Kind::Channel, [("c".to_owned(), 1)]);
    assert_eq!(standby.due(Place::Disk), None);
    let standby = loaded();
    let (revision, due) = standby.due(Place::Disk).unwrap();
    let Due::All(records) = due else {
        panic!("it is a part")
    };
    assert_eq!(records.len(), Kind::NEEDED.len());
    standby.done(Place::Disk, revision);
    assert_eq!(standby.due(Place::Disk), None);
}

#[test]
fn what_changes_is_due_until_it_is_written_and_the_latest_of_it() {
    let standby = loaded();
    let (first, _) = standby.due(Place::Redis).unwrap();
    standby.done(Place::Redis, first);
    standby.put(Kind::Channel, "a", &2);
    standby.put(Kind::Channel, "a", &3);
    standby.remove(Kind::Media, "a");
    let (_, due) = standby.due(Place::Redis).unwrap();
    standby.not_done(Place::Redis, due);
    let (second, due) = standby.due(Place::Redis).unwrap();
    let Due::Some(mut due, counts) = due else {
        panic!("it is everything")
    };
    due.sort();
    let expected = [
        ((Kind::Channel, "a".to_owned()), Some("3".to_owned())),
        ((Kind::Media, "a".to_owned()), None),
    ];
    assert_eq!(due, expected);
    assert_eq!(counts.get("channels"), Some(&1));
    assert_eq!(counts.get("media"), None, "it was the only one");
    assert!(second > first);
    standby.done(Place::Redis, second);
    assert_eq!(standby.due(Place::Redis), None);
    standby.put(Kind::Channel, "a", &3);
    assert_eq!(standby.due(Place::Redis), None, "it is the same");
    standby.forgotten(Place::Redis);
    assert!(matches!(standby.due(Place::Redis), Some((_, Due::All(_)))));
}

#[test]
fn what_was_changed_while_the_database_was_read_is_later_than_what_was_read() {
    let standby = loaded();
    standby.put(Kind::StreamKey, "gone", &1);
    standby.begin_reading();
    standby.put(Kind::StreamKey, "a", &2);
    standby.put(Kind::StreamKey, "new", &3);
    standby.remove(Kind::StreamKey, "gone");
    let read = [("a", 1), ("gone", 1), ("other", 4)];
    standby.load(Kind::StreamKey, read.map(|(id, key)| (id.to_owned(), key)));
    standby.end_reading();
    let all = [("a", 2), ("new", 3), ("other", 4)];
    let all = all.map(|(id, key)| (id.to_owned(), key)).to_vec();
    assert_eq!(standby.all::<i32>(Kind::StreamKey), all);
    // What is read next counts.
    standby.load(Kind::StreamKey, [("a".to_owned(), 5)]);
    assert_eq!(standby.all::<i32>(Kind::StreamKey), [("a".to_owned(), 5)]);
}

#[test]
fn revisions_go_on_from_the_copy_that_was_found_even_where_the_clock_went_back() {
    let standby = Standby::new();
    let far = u64::MAX / 2;
    let left = Contents {
        revision: far,
        records: HashMap::new(),
    };
    standby.resume(left, true);
    standby.put(Kind::Channel, "a", &1);
    let (revision, _) = standby.due(Place::Disk).unwrap();
    assert!(revision > far);
}
