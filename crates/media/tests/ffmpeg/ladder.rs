//! What the command lines make of a ladder: every rung the same pictures at the same times, however it is made; and as
//! a stream of its own without a fault, at every frame rate.

use playout_domain::ladder::{LowerRungs, Rung};
use playout_domain::media::{DEFAULT_AUDIO_BITRATE, Profile};
use playout_domain::units::{Frame, FrameRate, Ticks90k, Timeline};
use playout_domain::{BitsPerSecond, Resolution};
use playout_media::ffmpeg::{self, Means};
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, ITEM_START};
use playout_media::prepare::hex;
use playout_media::splice::{Layout, SourceId, Splicer};

use crate::clips::{clip, numbers};
use crate::run::{bytes, frames, gops, prepare, probed, put};
use crate::verdict::Judge;

const SIZES: [(Resolution, u64); 4] = [
    (Resolution::P720, 1_500_000),
    (Resolution::P480, 900_000),
    (Resolution::P360, 500_000),
    (Resolution::P240, 250_000),
];

/// A profile of the lowest so many rungs.
fn ladder(rungs: usize, frame_rate: FrameRate) -> Profile {
    let rung = |(resolution, bitrate)| Rung {
        resolution,
        bitrate: BitsPerSecond(bitrate),
    };
    let [(resolution, video_bitrate), lower @ ..] = &SIZES[SIZES.len() - rungs..] else {
        panic!("a ladder has a rung")
    };
    let lower: Vec<Rung> = lower.iter().copied().map(rung).collect();
    Profile {
        resolution: *resolution,
        frame_rate,
        video_bitrate: BitsPerSecond(*video_bitrate),
        audio_bitrate: DEFAULT_AUDIO_BITRATE,
        lower: LowerRungs::new(&lower).unwrap(),
        treatment: playout_domain::Treatment::PLAIN,
    }
}

/// The parameter sets of each rung.
fn sets(gops: &[Gop]) -> Vec<String> {
    let sets = |gop: &Gop| -> Vec<String> {
        let rungs = gop.rungs.iter();
        rungs.map(|rung| hex(&rung.parameter_sets)).collect()
    };
    let first = sets(&gops[0]);
    assert!(gops.iter().all(|gop| sets(gop) == first));
    first
}

/// The judgement of each rung as a stream of its own, and that stream.
fn rungs(gops: Vec<Gop>, rate: FrameRate) -> Vec<Vec<u8>> {
    let timeline = Timeline {
        epoch: jiff::Timestamp::UNIX_EPOCH,
        frame_rate: rate,
        // The clock wraps on the way.
        clock_origin: Ticks90k::new((1 << 33) - 200_000),
    };
    let count = gops[0].rungs.len();
    let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(count));
    let mut judges: Vec<Judge> = (0..count)
        .map(|_| Judge::new(rate.num(), rate.den()))
        .collect();
    let mut streams = vec![Vec::new(); count];
    let mut at = Frame::new(0);
    for gop in gops {
        let id = SourceId { content: 0, run: 0 };
        let spliced = splicer.splice(gop, at, id);
        for ((judge, stream), bytes) in judges.iter_mut().zip(&mut streams).zip(&spliced.streams) {
            judge.segment(&format!("GOP at {at}"), bytes, false);
            stream.extend_from_slice(bytes);
        }
        at += u64::from(spliced.frames);
    }
    for (rung, judge) in judges.iter().enumerate() {
        assert_eq!(judge.faults(), Vec::<String>::new(), "rung {rung}");
        assert_eq!(judge.frames(), at.get());
    }
    streams
}

/// The numbers of the pictures of each rung, which are the same.
fn same_pictures(streams: &[Vec<u8>]) -> Vec<u32> {
    let first = numbers(&streams[0]);
    for stream in &streams[1..] {
        assert_eq!(numbers(stream), first);
    }
    first
}

fn agrees(rungs_wanted: usize, rate: FrameRate, per_second: &str) {
    let dir = tempfile::tempdir().unwrap();
    let options = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "60",
        "-c:a",
        "aac",
    ];
    let path = clip(dir.path(), "a.mp4", per_second, "6.3", &options);
    let profile = ladder(rungs_wanted, rate);
    let prepared = prepare(&path, &profile);
    let all = gops(&prepared.bytes, ITEM_START);
    let known = sets(&all);
    assert_eq!(known.len(), rungs_wanted);
    assert_eq!(prepared.index.parameter_sets, known);
    let count = prepared.index.frames;
    let pictures = same_pictures(&rungs(all.clone(), rate));
    assert_eq!(pictures, (0..count as u32).collect::<Vec<_>>());

    // A copy begins with any GOP, on every rung.
    let file = dir.path().join("a.ts");
    std::fs::write(&file, &prepared.bytes).unwrap();
    for number in 0..prepared.index.gops.len() {
        let place = prepared.index.gop(number).unwrap();
        let from = GopIndex::time_of(place.frame, rate);
        let copied = gops(&bytes(&ffmpeg::copy(&file, rungs_wanted, from)), from);
        assert_eq!((copied[0].pts, sets(&copied)), (from, known.clone()));
        assert_eq!(frames(&copied), count - place.frame);
        let copied = same_pictures(&rungs(copied, rate));
        assert_eq!(copied, pictures[place.frame as usize..]);
    }

    // So does a live transcode with any frame, and the slate is of the same kind.
    let original = probed(&path);
    for start in [0, 17, count - 5] {
        let from = GopIndex::time_of(start, rate);
        let wanted = start..(start + 60).min(count);
        let live = bytes(&ffmpeg::live(
            &path,
            &original,
            &profile,
            Means::NONE,
            wanted.clone(),
        ));
        let live = gops(&live, from);
        assert_eq!((live[0].pts, sets(&live)), (from, known.clone()));
        let live = same_pictures(&rungs(live, rate));
        assert_eq!(live, pictures[start as usize..wanted.end as usize]);
    }
    let slate = put(&bytes(&ffmpeg::slate(&profile)), &profile);
    let slate = gops(&slate.bytes, ITEM_START);
    assert_eq!(sets(&slate), known);
    let lengths: Vec<u64> = slate.iter().map(|gop| u64::from(gop.frames)).collect();
    assert_eq!(lengths, ffmpeg::slate_gops(&profile));
    rungs(slate, rate);
}

#[test]
fn four_rungs_are_the_same_pictures_however_they_are_made() {
    agrees(4, FrameRate::F25, "25");
}

#[test]
fn so_they_are_where_a_frame_is_no_whole_number_of_ticks() {
    agrees(2, FrameRate::F23_976, "24000/1001");
}

#[test]
fn so_they_are_at_sixty_frames_a_second_of_ntsc() {
    agrees(3, FrameRate::F59_94, "60000/1001");
}
