//! The as-run log of channels: written again without harm, read window by window and page by page, deleted a little at a time.

use jiff::{SignedDuration, Timestamp};
use playout_domain::as_run::{Entry, Kind, Planned, Reason, Row};
use playout_domain::{AsRunId, ChannelId, Frame, FrameRate, MediaId, Origin, Ticks90k, Timeline};
use playout_store::testing;
use uuid::Uuid;

const EPOCH: &str = "2026-11-24T08:00:00Z";

fn at(seconds: i64) -> Timestamp {
    EPOCH.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// Frames of a second each.
fn entry(channel: ChannelId, start: u64, frames: u64, missing: bool) -> Entry {
    let timeline = Timeline {
        epoch: EPOCH.parse().unwrap(),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k(0),
    };
    let media_id = MediaId::from(Uuid::from_u128(5));
    let row = Row {
        missing,
        start: Frame(25 * start),
        frames: 25 * frames,
        kind: Kind::Played,
        media_id: Some(media_id),
        item_frame: Some(3),
        encoded: 7,
        planned: Some(Planned {
            start: Frame(25 * start),
            frames: 500,
            media_id,
            in_frame: 3,
            origin: Origin::Play,
        }),
        reason: Reason::PlayedNow,
        detail: Some("a \0 detail".into()),
        by: Some("Ann".into()),
        ended: Some(Reason::Interrupted),
    };
    Entry::new(channel, &timeline, row, |_| Some("a \0 title".into()))
}

#[tokio::test]
async fn what_is_written_again_replaces_what_was_there_and_is_read_as_it_was() {
    let store = testing::fresh().await;
    let channel = ChannelId::from(Uuid::now_v7());
    let open = entry(channel, 0, 10, false);
    store.save_as_run(&[]).await.unwrap();
    store
        .save_as_run(std::slice::from_ref(&open))
        .await
        .unwrap();
    let longer = entry(channel, 0, 15, false);
    let mut bare = entry(channel, 15, 5, true);
    bare.row.planned = None;
    bare.planned = None;
    bare.row.media_id = None;
    bare.title = None;
    bare.row.item_frame = None;
    bare.row.detail = None;
    bare.row.by = None;
    bare.row.ended = None;
    // One statement may hold a row twice: the last word counts.
    let batch = [open.clone(), longer.clone(), bare.clone()];
    for _ in 0..2 {
        store.save_as_run(&batch).await.unwrap();
    }
    let read = store.as_run(channel, at(0), at(60), None, 9).await.unwrap();
    let mut clean = longer;
    clean.title = Some("a \u{fffd} title".into());
    clean.row.detail = Some("a \u{fffd} detail".into());
    if let Some(planned) = &mut clean.planned {
        planned.title.clone_from(&clean.title);
    }
    assert_eq!(read, [clean, bare]);
    let other = ChannelId::from(Uuid::now_v7());
    let others = store.as_run(other, at(0), at(60), None, 9).await.unwrap();
    assert_eq!(others, []);
}

#[tokio::test]
async fn a_window_holds_what_lies_in_it_wholly_or_partly_page_by_page() {
    let store = testing::fresh().await;
    let channel = ChannelId::from(Uuid::now_v7());
    // A long one, then many short ones, and one that was planned while the long one was on air.
    let mut all = vec![
        entry(channel, 0, 1_000, false),
        entry(channel, 990, 40, true),
    ];
    all.extend((0..200).map(|n| entry(channel, 1_000 + 10 * n, 10, false)));
    all.sort_by_key(|entry| entry.id);
    store.save_as_run(&all).await.unwrap();
    for (from, until) in [
        (0, 1),
        (500, 600),
        (999, 1_000),
        (1_000, 1_001),
        (1_015, 1_045),
        (2_995, 4_000),
        (3_000, 4_000),
    ] {
        let (from, until) = (at(from), at(until));
        let expected: Vec<AsRunId> = all
            .iter()
            .filter(|entry| entry.from < until && entry.until > from)
            .map(|entry| entry.id)
            .collect();
        let mut paged = Vec::new();
        loop {
            let page = store
                .as_run(channel, from, until, paged.last().copied(), 2)
                .await
                .unwrap();
            paged.extend(page.iter().map(|entry| entry.id));
            if page.len() < 2 {
                break;
            }
        }
        assert_eq!(paged, expected, "{from} to {until}");
    }
    // Times between milliseconds.
    let within = at(1_010) + SignedDuration::from_micros(5);
    let read = store
        .as_run(
            channel,
            within,
            within + SignedDuration::from_micros(1),
            None,
            9,
        )
        .await
        .unwrap();
    assert_eq!(read.iter().filter(|entry| !entry.row.missing).count(), 1);
}

#[tokio::test]
async fn what_is_old_goes_a_little_at_a_time() {
    let store = testing::fresh().await;
    let channel = ChannelId::from(Uuid::now_v7());
    let all: Vec<Entry> = (0..10).map(|n| entry(channel, 10 * n, 10, false)).collect();
    store.save_as_run(&all).await.unwrap();
    let before = at(75);
    assert_eq!(store.prune_as_run(before, 5).await.unwrap(), 5);
    assert_eq!(store.prune_as_run(before, 5).await.unwrap(), 2);
    assert_eq!(store.prune_as_run(before, 5).await.unwrap(), 0);
    let left = store
        .as_run(channel, at(0), at(1_000), None, 99)
        .await
        .unwrap();
    assert_eq!(
        left,
        all[7..].iter().cloned().map(cleaned).collect::<Vec<_>>()
    );
}

fn cleaned(mut entry: Entry) -> Entry {
    let clean = |text: Option<String>| text.map(|text| text.replace('\0', "\u{fffd}"));
    let title = clean(entry.title);
    entry.title = title.clone();
    if let Some(planned) = &mut entry.planned {
        planned.title = title;
    }
    entry.row.detail = clean(entry.row.detail);
    entry
}
