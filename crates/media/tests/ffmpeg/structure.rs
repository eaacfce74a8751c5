//! What the command lines make: closed GOPs of two seconds, the same parameter sets everywhere, sound as
//! long as pictures, and copies that begin where they are told to.

use playout_domain::Resolution;
use playout_domain::units::{FrameRate, Ticks90k};
use playout_media::audio::{AudioUnit, UNIT};
use playout_media::ffmpeg::{self, Means, Progress};
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, ITEM_START};
use playout_media::prepare::hex;

use crate::clips::{clip, numbers};
use crate::run::{bytes, frames, gops, prepare, probed, profile, put, run, small};

fn sound(gops: &[Gop]) -> Vec<&AudioUnit> {
    gops.iter().flat_map(|gop| &gop.audio).collect()
}

fn assert_contiguous(units: &[&AudioUnit]) {
    for pair in units.windows(2) {
        assert_eq!(pair[1].pts, pair[0].pts + UNIT);
    }
}

#[test]
fn a_prepared_item_has_every_frame_in_closed_gops_and_sound_as_long() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(
        dir.path(),
        "a.mp4",
        "25",
        "7.24",
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "300",
            "-c:a",
            "aac",
        ],
    );
    let prepared = prepare(&path, &small());
    let starts: Vec<u64> = prepared.index.gops.iter().map(|gop| gop.frame).collect();
    assert_eq!(
        (prepared.index.frames, starts),
        (181, vec![0, 50, 100, 150])
    );
    assert_eq!(numbers(&prepared.bytes), (0..181).collect::<Vec<_>>());

    // Each GOP read alone decodes alone.
    let second = prepared.index.gop(1).unwrap();
    let alone = &prepared.bytes[second.offset as usize..(second.offset + second.len) as usize];
    assert_eq!(numbers(alone), (50..100).collect::<Vec<_>>());

    let gops = gops(&prepared.bytes, ITEM_START);
    let units = sound(&gops);
    assert_contiguous(&units);
    let (video_end, audio_end) = (
        GopIndex::time_of(181, FrameRate::F25),
        units.last().unwrap().pts + UNIT,
    );
    assert_eq!(units[0].pts, ITEM_START);
    assert!(
        audio_end.get().abs_diff(video_end.get()) <= UNIT.get() / 2,
        "{audio_end:?} {video_end:?}"
    );
}

#[test]
fn progress_is_told_while_preparing() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(
        dir.path(),
        "a.mp4",
        "25",
        "3",
        &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
    );
    let ran = run(&ffmpeg::prepare(
        &path,
        &probed(&path),
        &small(),
        Means::NONE,
    ));
    let mut progress = Progress::default();
    let last = ran
        .stderr
        .lines()
        .filter_map(|line| progress.line(line))
        .last()
        .unwrap();
    assert_eq!((last.frame, last.ended), (75, true));
    assert!(last.speed.unwrap() > 0.0);
}

#[test]
fn everything_of_one_profile_has_the_same_parameter_sets() {
    let dir = tempfile::tempdir().unwrap();
    // BT.601, odd pixels, full range: whatever it was, it is the profile's afterwards.
    let odd = [
        "-vf",
        "setsar=16/11",
        "-colorspace",
        "smpte170m",
        "-color_range",
        "pc",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "aac",
    ];
    let path = clip(dir.path(), "a.mkv", "25", "0.6", &odd);
    let probed = probed(&path);
    for profile in [
        small(),
        profile(Resolution::P240, FrameRate::F59_94),
        profile(Resolution::P1080, FrameRate::F50),
    ] {
        let prepared = put(
            &bytes(&ffmpeg::prepare(&path, &probed, &profile, Means::NONE)),
            &profile,
        );
        let [sets] = &prepared.index.parameter_sets[..] else {
            panic!("one rung")
        };
        assert!(
            sets.starts_with("0000000167") && sets.contains("0000000168"),
            "SPS and PPS: {sets}"
        );
        let slate = put(&bytes(&ffmpeg::slate(&profile)), &profile);
        assert_eq!(
            &slate.index.parameter_sets,
            &prepared.index.parameter_sets,
            "slate, {}",
            profile.key()
        );
        let live = gops(
            &bytes(&ffmpeg::live(&path, &probed, &profile, Means::NONE, 2..12)),
            ITEM_START,
        );
        assert_eq!(
            &hex(&live[0].rungs[0].parameter_sets),
            sets,
            "live, {}",
            profile.key()
        );
    }
}

#[test]
fn a_copy_begins_with_any_gop_and_goes_on_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(
        dir.path(),
        "a.mp4",
        "25",
        "12.2",
        &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
    );
    let prepared = prepare(&clip, &small());
    let path = dir.path().join("prepared.ts");
    std::fs::write(&path, &prepared.bytes).unwrap();
    for place in (0..prepared.index.gops.len()).map(|number| prepared.index.gop(number).unwrap()) {
        let from = GopIndex::time_of(place.frame, FrameRate::F25);
        let copied = gops(&bytes(&ffmpeg::copy(&path, 1, from)), from);
        let direct = gops(&prepared.bytes, from);
        assert_eq!(copied[0].pts, from);
        assert_eq!(frames(&copied), prepared.index.frames - place.frame);
        let times = |gops: &[Gop]| -> Vec<(Ticks90k, Ticks90k)> {
            gops.iter()
                .flat_map(|gop| &gop.rungs[0].frames)
                .map(|frame| (frame.pts, frame.dts))
                .collect()
        };
        assert_eq!(times(&copied), times(&direct), "from {place:?}");
        assert_eq!(sound(&copied), sound(&direct), "from {place:?}");
        if place.number == 3 {
            let stream: Vec<u8> = bytes(&ffmpeg::copy(&path, 1, from));
            assert_eq!(
                numbers(&stream).last(),
                Some(&(prepared.index.frames as u32 - 1))
            );
        }
    }
}

#[test]
fn the_slate_has_the_gops_it_promises() {
    for profile in [small(), profile(Resolution::P240, FrameRate::F29_97)] {
        let slate = put(&bytes(&ffmpeg::slate(&profile)), &profile);
        let lengths: Vec<u64> = (0..slate.index.gops.len())
            .map(|number| slate.index.gop(number).unwrap().frames)
            .collect();
        assert_eq!(lengths, ffmpeg::slate_gops(&profile));
        assert_contiguous(&sound(&gops(&slate.bytes, ITEM_START)));
    }
}
