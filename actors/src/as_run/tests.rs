//! Books against crashes at every place: what was published is told once, whatever was noted beside.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use playout_domain::as_run::{Kind, Order, Seen, Shown};
use playout_domain::plan::PlannedItem;
use playout_domain::{FrameRate, MediaId, Ticks90k, Timeline};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use playout_domain::as_run::Reason;
use playout_domain::plan::Plan;
use playout_domain::units::Frame;

const START: u64 = 1_000;
const SEGMENT: u64 = 100;

fn timeline() -> Timeline {
    Timeline {
        epoch: "2026-11-24T08:00:00Z".parse().unwrap(),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k::new(0),
    }
}

fn plan() -> Plan {
    let item = |n, frames| PlannedItem::whole(MediaId::from(Uuid::from_u128(n)), frames);
    Plan::looping(Frame(START), vec![item(1, 130), item(2, 70)])
}

fn open(dir: &Path) -> Book {
    let channel = ChannelId::from(Uuid::from_u128(9));
    Book::new(
        channel,
        dir.join("channel").join(journal::NAME),
        Arc::new(|_| Some("Title".into())),
    )
}

fn begin(book: &Book, published: Option<u64>, start: u64) -> Session {
    book.begin(&Beginning {
        timeline: timeline(),
        plan: &plan(),
        published: published.map(Frame),
        start: Frame(start),
        noted: 2 * SEGMENT,
        taken_at: None,
    })
}

/// The frames of one segment, as they went out.
fn seen(start: u64, shown: Shown) -> Vec<Seen> {
    let plan = plan();
    let mut all = Vec::new();
    let mut at = Frame(start);
    while at < Frame(start + SEGMENT) {
        let planned = plan.at(at).unwrap();
        let end = planned.end.min(Frame(start + SEGMENT));
        all.push(Seen {
            at,
            frames: end.since(at),
            shown,
            planned: Some(planned),
            reason: Reason::SourceFailed,
            detail: None,
            encoded: false,
            gone: None,
        });
        at = end;
    }
    all
}

fn all_rows(book: &Book) -> Vec<Entry> {
    let (mut rows, open) = book.rows();
    rows.extend(open);
    rows
}

/// The frames that were aired, each once.
fn aired(book: &Book) -> BTreeSet<u64> {
    let mut frames = BTreeSet::new();
    for entry in all_rows(book).iter().filter(|entry| !entry.row.missing) {
        for frame in entry.row.start.get()..entry.row.end().get() {
            assert!(frames.insert(frame), "twice: {entry:?}");
        }
    }
    frames
}

/// What happens to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Published,
    /// The daemon is killed when it is noted, and not in the record of what was published.
    Noted,
    /// The daemon is killed when it is in the record.
    Recorded,
    /// The file is torn in the middle of its line; it is not in the record.
    Torn(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Published),
        1 => Just(Fate::Noted),
        1 => Just(Fate::Recorded),
        1 => (2..200_usize).prop_map(Fate::Torn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_published_is_told_once_wherever_the_daemon_dies(
        fates in proptest::collection::vec((fate(), any::<bool>()), 1..25),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut book = open(dir.path());
        let mut session = begin(&book, None, START);
        let mut published = START;
        for (fate, fails) in fates {
            let shown = match fails {
                true => Shown::Instead(Kind::Slate, None),
                false => Shown::Planned,
            };
            book.note(session, &seen(published, shown));
            if matches!(fate, Fate::Published | Fate::Recorded) {
                published += SEGMENT;
            }
            if fate == Fate::Published {
                book.published(session);
                continue;
            }
            drop(book);
            if let Fate::Torn(bytes) = fate {
                let path = dir.path().join("channel").join(journal::NAME);
                let whole = fs::read(&path).unwrap();
                let line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
                fs::write(&path, &whole[..(line + bytes).min(whole.len() - 1)]).unwrap();
            }
            book = open(dir.path());
            // Whoever ships what is left may be first.
            if fails {
                book.take_in();
            }
            session = begin(&book, Some(published).filter(|published| *published > START), published);
        }
        let expected: BTreeSet<u64> = (START..published).collect();
        prop_assert_eq!(aired(&book), expected);
        let missing: u64 = all_rows(&book).iter().filter(|entry| entry.row.missing).map(|entry| entry.row.frames).sum();
        let slate: u64 = all_rows(&book).iter().filter(|entry| entry.row.kind == Kind::Slate).map(|entry| entry.row.frames).sum();
        prop_assert_eq!(missing, slate, "nothing else is missing");
    }
}

fn aired_a_while() -> (TempDir, Book, Session) {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let session = begin(&book, None, START);
    for n in 0..4 {
        book.note(session, &seen(START + n * SEGMENT, Shown::Planned));
        book.published(session);
    }
    (dir, book, session)
}

#[test]
fn a_time_away_is_told_entry_by_entry_and_as_what_it_was() {
    let (dir, book, session) = aired_a_while();
    book.leave(Reason::OffAir);
    // What its playout still says is stale.
    book.note(session, &seen(START + 4 * SEGMENT, Shown::Planned));
    book.published(session);
    assert_eq!(aired(&book).len(), 4 * SEGMENT as usize);
    drop(book);
    let book = open(dir.path());
    let end = START + 4 * SEGMENT;
    begin(&book, Some(end), end + 250);
    let rows = all_rows(&book);
    let away: Vec<_> = rows.iter().filter(|entry| entry.row.missing).collect();
    let told: Vec<_> = away
        .iter()
        .map(|entry| (entry.row.start.get(), entry.row.frames, entry.row.reason))
        .collect();
    assert_eq!(
        told,
        [
            (end, 130, Reason::OffAir),
            (end + 130, 70, Reason::OffAir),
            (end + 200, 50, Reason::OffAir)
        ]
    );
    assert!(
        away.iter()
            .all(|entry| entry.title.as_deref() == Some("Title"))
    );
    // Killed, and back later: that is another reason.
    drop(book);
    let book = open(dir.path());
    begin(&book, Some(end), end + 300);
    let newest = all_rows(&book).pop().unwrap();
    assert_eq!(
        (newest.row.reason, newest.row.end()),
        (Reason::DaemonAway, Frame(end + 300))
    );
}

#[test]
fn what_another_daemon_aired_meanwhile_is_not_told_as_missing() {
    let (_dir, book, _) = aired_a_while();
    let end = START + 4 * SEGMENT;
    book.begin(&Beginning {
        timeline: timeline(),
        plan: &plan(),
        published: Some(Frame(end)),
        start: Frame(end + 500),
        noted: 2 * SEGMENT,
        taken_at: Some(timeline().wall(Frame(end + 200))),
    });
    assert!(all_rows(&book).iter().all(|entry| !entry.row.missing));
    assert_eq!(aired(&book).len(), 4 * SEGMENT as usize);
}

#[test]
fn a_clock_of_another_rate_begins_another_log() {
    let (_dir, book, _) = aired_a_while();
    let timeline = Timeline {
        frame_rate: FrameRate::F50,
        ..timeline()
    };
    book.begin(&Beginning {
        timeline,
        plan: &Plan::default(),
        published: None,
        start: Frame(0),
        noted: 2 * SEGMENT,
        taken_at: None,
    });
    assert_eq!(aired(&book).len(), 4 * SEGMENT as usize);
    assert!(all_rows(&book).iter().all(|entry| !entry.row.missing));
}

#[test]
fn what_waits_is_bounded_and_what_is_sent_goes() {
    let dir = tempfile::tempdir().unwrap();
    const KEPT: usize = 30;
    let book = open(dir.path()).keeping(KEPT);
    let session = begin(&book, None, START);
    // A row of each segment.
    for n in 0..2 * KEPT as u64 {
        book.note(session, &seen(START + n * SEGMENT, Shown::Planned));
    }
    book.published(session);
    assert_eq!(book.unsent(usize::MAX).len(), KEPT);
    let lost = book.lost();
    assert!(lost > 0);
    let first = book.unsent(10);
    let ids: Vec<AsRunId> = first.iter().map(|entry| entry.id).collect();
    book.sent(&ids);
    assert!(
        book.unsent(usize::MAX)
            .iter()
            .all(|entry| !ids.contains(&entry.id))
    );
    assert_eq!(book.lost(), lost);
    assert!(!book.is_done());
    book.close();
    book.order(Order::Skip {
        at: Frame(0),
        by: "Ann".into(),
    });
    assert!(!book.is_done(), "what waits is written first");
    let ids: Vec<AsRunId> = book
        .unsent(usize::MAX)
        .iter()
        .map(|entry| entry.id)
        .collect();
    book.sent(&ids);
    assert!(book.is_done());
}
