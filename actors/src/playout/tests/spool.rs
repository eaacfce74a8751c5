//! What was published is found again, and what is damaged is not taken for it.

use std::path::Path;

use playout_media::hls::{Airing, segment_name};

use super::super::spool::{Record, Spool};
use super::*;

/// A folder with the segments 10…15 in it, two of them out of the window.
fn written() -> (tempfile::TempDir, Spool, Record) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path().join("spool")).unwrap();
    let segments: Vec<Segment> = (10..=15).map(segment).collect();
    let record = record(10, 2, 15);
    spool.commit(&record, &segments).unwrap();
    (folder, spool, record)
}

fn file(folder: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    folder.path().join("spool").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn numbers(segments: &[Segment]) -> Vec<u64> {
    let numbers = segments.iter().map(|segment| {
        let sequence = segment.info.sequence;
        assert_eq!(segment.streams, [format!("segment {sequence}")]);
        sequence
    });
    numbers.collect()
}

#[test]
fn what_was_written_is_read() {
    let (_folder, spool, record) = written();
    let (read, segments) = spool.load(&[]).unwrap().unwrap();
    assert_eq!(read, record);
    assert_eq!(numbers(&segments), [10, 11, 12, 13, 14, 15]);
}

#[test]
fn a_new_folder_holds_nothing_and_a_damaged_record_is_told_apart_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path().join("spool")).unwrap();
    assert!(spool.load(&[]).unwrap().is_none());
    let mut other = record(10, 0, 12);
    other.version += 1;
    for damaged in [
        String::new(),
        "{".to_owned(),
        serde_json::to_string(&other).unwrap(),
    ] {
        std::fs::write(file(&folder, "record.json"), &damaged).unwrap();
        assert!(spool.load(&[]).is_err(), "{damaged}");
    }
}

#[test]
fn a_segment_that_is_missing_or_cut_short_takes_all_before_it_along() {
    for (lost, left, window, breaks) in [(11, 12, 12, 7), (13, 14, 14, 8), (15, 16, 16, 8)] {
        for truncate in [false, true] {
            let (folder, spool, mut record) = written();
            record.playlist.segments[0].discontinuity = true;
            spool.commit(&record, &[]).unwrap();
            let path = file(&folder, &segment_name(RUNG, lost));
            match truncate {
                true => std::fs::write(path, b"segm").unwrap(),
                false => std::fs::remove_file(path).unwrap(),
            }
            let (read, segments) = spool.load(&[]).unwrap().unwrap();
            assert_eq!(numbers(&segments), (left..=15).collect::<Vec<_>>());
            let listed: Vec<u64> = read.playlist.segments.iter().map(|s| s.sequence).collect();
            assert_eq!(listed, (window..=15).collect::<Vec<_>>());
            assert_eq!(read.playlist.discontinuity_sequence, breaks, "{lost}");
            assert_eq!(
                (read.next_sequence, read.next),
                (record.next_sequence, record.next)
            );
            assert!(read.past.iter().all(|info| info.sequence >= left));
        }
    }
}

#[test]
fn what_the_record_names_no_more_is_removed_and_nothing_else() {
    let (folder, spool, _) = written();
    // What a crash in the middle of a write leaves.
    std::fs::write(file(&folder, "240p-9.ts.part"), b"half").unwrap();
    std::fs::write(file(&folder, "notes.txt"), b"").unwrap();
    spool.commit(&record(12, 1, 16), &[segment(16)]).unwrap();
    let mut expected: Vec<String> = (12..=16).map(|n| segment_name(RUNG, n)).collect();
    expected.extend(["notes.txt".to_owned(), "record.json".to_owned()]);
    assert_eq!(names(&folder.path().join("spool")), expected);
}

#[test]
fn a_disk_that_refuses_leaves_the_record_before() {
    let (folder, spool, before) = written();
    // A folder in the way: the segment cannot be written.
    std::fs::create_dir(file(&folder, "240p-16.ts.part")).unwrap();
    assert!(spool.commit(&record(11, 2, 16), &[segment(16)]).is_err());
    assert_eq!(spool.load(&[]).unwrap().unwrap().0, before);
}

#[test]
fn what_is_said_in_a_segment_comes_and_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path().join("spool")).unwrap();
    let segments: Vec<Segment> = (10..=15).map(|n| spoken(n, "zh-Hant")).collect();
    let airing = Airing {
        media: "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11".parse().unwrap(),
        start: Frame::new(7),
        in_frame: 3,
        end: Frame::new(900),
        since: Frame::new(8),
    };
    let airing = Some(airing);
    let written = Record {
        airing,
        ..record(10, 2, 15)
    };
    spool.commit(&written, &segments).unwrap();
    std::fs::remove_file(file(&folder, "subtitles-zh-Hant-12.vtt")).unwrap();
    let (read, segments) = spool.load(&languages(&["de", "zh-Hant"])).unwrap().unwrap();
    assert_eq!(read, written);
    // A text that is lost costs no picture.
    assert_eq!(numbers(&segments), [10, 11, 12, 13, 14, 15]);
    for segment in segments {
        let n = segment.info.sequence;
        let expected = if n == 12 {
            Vec::new()
        } else {
            spoken(n, "zh-Hant").subtitles
        };
        assert_eq!(segment.subtitles, expected);
    }
    spool
        .commit(&record(13, 1, 16), &[spoken(16, "zh-Hant")])
        .unwrap();
    let left = names(&folder.path().join("spool"));
    let texts: Vec<_> = left.iter().filter(|name| name.ends_with(".vtt")).collect();
    let expected = (13..=16).map(|n| format!("subtitles-zh-Hant-{n}.vtt"));
    assert_eq!(
        texts,
        expected.collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    // A channel without subtitles writes what it always wrote.
    let json = std::fs::read_to_string(file(&folder, "record.json")).unwrap();
    assert!(!json.contains("airing"), "{json}");
}
