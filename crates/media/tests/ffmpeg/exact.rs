//! Frame k of an item is the same picture, whoever makes it and wherever it begins.

use std::path::Path;

use playout_domain::Resolution;
use playout_domain::media::Profile;
use playout_domain::units::FrameRate;
use playout_media::audio::UNIT;
use playout_media::demux::Demuxer;
use playout_media::ffmpeg::{self, Means};
use playout_media::index::{GopIndex, ITEM_START};

use crate::clips::{clip, numbered, numbers, samples};
use crate::run::{bytes, frames, gops, make, prepare, probed, profile, small};

const AAC: [&str; 2] = ["-c:a", "aac"];

/// `live` from each of `starts` gives the frames that `prepare` gives, at their times, with sound
/// from the first to the last. Answers the numbers of the prepared pictures.
fn agree(path: &Path, profile: &Profile, starts: &[u64]) -> Vec<u32> {
    let rate = profile.frame_rate;
    let prepared = prepare(path, profile);
    let all = numbers(&prepared.bytes);
    assert_eq!(all.len() as u64, prepared.index.frames);
    let probed = probed(path);
    for &start in starts {
        let wanted = start..(start + 12).min(prepared.index.frames);
        let stream = bytes(&ffmpeg::live(
            path,
            &probed,
            profile,
            Means::NONE,
            wanted.clone(),
        ));
        let pictures = &all[wanted.start as usize..wanted.end as usize];
        assert_eq!(
            numbers(&stream),
            pictures,
            "{} live from frame {start}",
            path.display()
        );
        let from = GopIndex::time_of(start, rate);
        let gops = gops(&stream, from);
        assert_eq!(
            (gops[0].pts, frames(&gops)),
            (from, wanted.end - wanted.start)
        );
        let sound: Vec<_> = gops.iter().flat_map(|gop| &gop.audio).collect();
        assert!(
            sound[0].pts <= from,
            "sound begins at {:?}, pictures at {from:?}",
            sound[0].pts
        );
        assert!(
            sound
                .windows(2)
                .all(|pair| pair[1].pts == pair[0].pts + UNIT)
        );
        let end = sound[sound.len() - 1].pts + UNIT;
        assert!(
            end >= GopIndex::time_of(wanted.end, rate),
            "sound ends at {end:?}"
        );
    }
    all
}

#[test]
fn live_begins_at_any_frame() {
    let dir = tempfile::tempdir().unwrap();
    let options = [
        &[
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "60",
        ][..],
        &AAC,
    ]
    .concat();
    let path = clip(dir.path(), "a.mp4", "25", "5", &options);
    let all = agree(&path, &small(), &[0, 1, 49, 50, 51, 113]);
    assert_eq!(all, (0..125).collect::<Vec<_>>());
}

/// Frame k is the last picture that is due at k / rate, give or take half a frame for rounding.
#[test]
fn live_frames_are_the_prepared_ones_when_the_rate_changes() {
    let dir = tempfile::tempdir().unwrap();
    let options = [
        &["-c:v", "libx264", "-preset", "veryfast", "-g", "45"][..],
        &AAC,
    ]
    .concat();
    let path = clip(dir.path(), "a.mkv", "30000/1001", "5", &options);
    let all = agree(&path, &small(), &[0, 7, 50, 99]);
    for (frame, number) in all.iter().enumerate() {
        let due = frame as f64 / 25.0 - f64::from(*number) * 1001.0 / 30_000.0;
        assert!(
            (-0.021..0.055).contains(&due),
            "picture {number} in frame {frame}"
        );
    }
    agree(
        &path,
        &profile(Resolution::P240, FrameRate::F23_976),
        &[1, 50, 99],
    );
    agree(
        &path,
        &profile(Resolution::P240, FrameRate::F59_94),
        &[3, 101],
    );
}

#[test]
fn live_frames_are_the_prepared_ones_at_uneven_distances() {
    let dir = tempfile::tempdir().unwrap();
    // Every third and every seventh picture, then none for two seconds and more.
    let uneven = [
        "-vf",
        "select='if(lt(n,70),not(mod(n,3))+not(mod(n,7)),not(mod(n,60)))'",
        "-fps_mode",
        "vfr",
    ];
    let options = [
        &uneven[..],
        &["-c:v", "libx264", "-preset", "veryfast", "-g", "20"],
        &AAC,
    ]
    .concat();
    let path = clip(dir.path(), "a.mp4", "25", "8", &options);
    let all = agree(&path, &small(), &[0, 1, 20, 69, 110, 121, 160]);
    let due = |frame: u32| {
        (0..=frame).rev().find(|n| {
            if *n < 70 {
                n % 3 == 0 || n % 7 == 0
            } else {
                n % 60 == 0
            }
        })
    };
    let expected: Vec<u32> = (0..all.len() as u32).filter_map(due).collect();
    assert_eq!(all, expected);
}

/// Without an index, with eight seconds from key frame to key frame, across the wrap of its clock, cut
/// off at its beginning: as recordings from the air are.
#[test]
fn live_frames_are_the_prepared_ones_in_a_recorded_transport_stream() {
    let dir = tempfile::tempdir().unwrap();
    let gops = [
        "-c:v",
        "libx264",
        "-preset",
        "superfast",
        "-g",
        "200",
        "-keyint_min",
        "200",
        "-bf",
        "3",
        "-sc_threshold",
        "0",
    ];
    let options = [
        &gops[..],
        &AAC,
        &["-muxdelay", "0", "-output_ts_offset", "95438"],
    ]
    .concat();
    let whole = clip(dir.path(), "a.ts", "25", "17", &options);
    let all = agree(&whole, &small(), &[0, 199, 390, 410]);
    assert_eq!(all, (0..425).collect::<Vec<_>>());
    let recorded = std::fs::read(whole).unwrap();
    let path = dir.path().join("cut.ts");
    std::fs::write(&path, &recorded[188 * 300..]).unwrap();
    let all = agree(&path, &small(), &[0, 5]);
    assert_eq!(
        (all[0], all[all.len() - 1]),
        (200, 424),
        "the first picture that there is stands until it is due"
    );
}

#[test]
fn live_holds_the_last_picture_where_the_file_ends_too_early() {
    let dir = tempfile::tempdir().unwrap();
    let options = [&["-c:v", "libx264", "-preset", "ultrafast"][..], &AAC].concat();
    let path = clip(dir.path(), "a.mp4", "25", "2", &options);
    let stream = bytes(&ffmpeg::live(
        &path,
        &probed(&path),
        &small(),
        Means::NONE,
        40..60,
    ));
    let expected: Vec<u32> = (40..50).chain([49; 10]).collect();
    assert_eq!(numbers(&stream), expected);
}

#[test]
fn sound_that_begins_late_or_ends_early_is_silent_there() {
    let dir = tempfile::tempdir().unwrap();
    let video = numbered("25");
    let h264 = ["-c:v", "libx264", "-preset", "ultrafast"];
    let late = dir.path().join("late.mp4");
    let tone = ["-itsoffset", "1.5", "-f", "lavfi", "-i", "sine"];
    make(
        ["-f", "lavfi", "-i", &video]
            .iter()
            .chain(&tone)
            .chain(&["-t", "3"])
            .chain(&h264)
            .chain(&AAC),
        &late,
    );
    agree(&late, &small(), &[0, 10, 50]);
    let encoded = bytes(&ffmpeg::prepare(
        &late,
        &probed(&late),
        &small(),
        Means::NONE,
    ));
    assert_eq!(
        gops(&encoded, ITEM_START)[0].audio[0].pts,
        ITEM_START,
        "silence comes before late sound"
    );
    let begins = onset(&encoded);
    assert!((begins - 1.5).abs() < 0.05, "{begins}");

    // Neither who prepares nor who airs it waits for sound that does not come: pictures go on.
    let tone = ["-f", "lavfi", "-i", "sine=d=0.6"];
    for name in ["early.mkv", "early.flv"] {
        let path = dir.path().join(name);
        make(
            ["-f", "lavfi", "-t", "10", "-i", &video]
                .iter()
                .chain(&tone)
                .chain(&h264)
                .chain(&AAC),
            &path,
        );
        agree(&path, &small(), &[0, 10, 100]);
        let stream = bytes(&ffmpeg::prepare(
            &path,
            &probed(&path),
            &small(),
            Means::NONE,
        ));
        let mut demuxer = Demuxer::starting_at(ITEM_START);
        demuxer.push(&stream[..stream.len() / 3]).unwrap();
        let complete = std::iter::from_fn(|| demuxer.next_gop()).count();
        assert!(
            complete >= 1,
            "{name}: no GOP is complete after a third of the stream"
        );
    }
}

/// Sound keeps its place beside the picture: a click at 3 s is heard at 3 s, live and prepared.
#[test]
fn sound_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mkv");
    let click = "aevalsrc='if(between(t,3,3.1),0.9*sin(2*PI*1000*t),0)':s=44100";
    let inputs = [
        "-itsoffset",
        "0.7",
        "-f",
        "lavfi",
        "-i",
        "color=black:s=64x36:r=25",
        "-itsoffset",
        "0.7",
        "-f",
        "lavfi",
        "-i",
        click,
    ];
    make(
        inputs
            .iter()
            .chain(&["-t", "6", "-c:v", "libx264", "-preset", "ultrafast"])
            .chain(&AAC),
        &path,
    );
    let prepared = prepare(&path, &small());
    let begins = onset(&prepared.bytes);
    assert!((begins - 3.0).abs() < 0.025, "prepared: {begins}");
    let stream = bytes(&ffmpeg::live(
        &path,
        &probed(&path),
        &small(),
        Means::NONE,
        60..100,
    ));
    let first = gops(&stream, GopIndex::time_of(60, FrameRate::F25)).remove(0);
    let raw = onset(&stream);
    // The stream's sound begins up to two access units before frame 60, at a unit of the item's grid.
    let lead = (60 * 3600 / 1920 - 2) as f64 * 0.021_333;
    assert!(
        (lead + raw - 3.0).abs() < 0.025,
        "live: {raw} after {lead}; first unit {:?}",
        first.audio[0].pts
    );
}

/// When the first loud sample comes, in seconds from the stream's first sample.
fn onset(stream: &[u8]) -> f64 {
    let samples = samples(stream);
    let loud = samples
        .iter()
        .position(|sample| sample.unsigned_abs() > 2_000)
        .unwrap();
    loud as f64 / 48_000.0
}
