//! Ladders are aligned by bytes: whatever is put on air, wherever sources begin anew, each segment has the same frames
//! at the same times on every rung, and begins with tables and a key frame there; and what a rung says it needs is what
//! it needs.

mod support;

use bytes::Bytes;
use playout_domain::ladder::{LowerRungs, Rung};
use playout_domain::media::{DEFAULT_AUDIO_BITRATE, Profile};
use playout_domain::units::{Frame, FrameRate};
use playout_domain::{BitsPerSecond, Resolution};
use playout_media::hls::{Segment, SegmentInfo, Segmenter, variants};
use playout_media::prepare::Preparer;
use playout_media::splice::{Layout, SourceId, Splicer};
use proptest::prelude::*;
use support::{Clip, cases, clip, demux, origin, pes_packets, rate, stamped, timeline};

fn profile(frame_rate: FrameRate, rungs: usize) -> Profile {
    let rung = |(resolution, kilobits): (Resolution, u64)| Rung {
        resolution,
        bitrate: BitsPerSecond(kilobits * 1_000),
    };
    let lower = [
        (Resolution::P480, 1_200),
        (Resolution::P360, 800),
        (Resolution::P240, 400),
    ];
    Profile {
        resolution: Resolution::P720,
        frame_rate,
        video_bitrate: BitsPerSecond(2_500_000),
        audio_bitrate: DEFAULT_AUDIO_BITRATE,
        lower: LowerRungs::new(&lower.map(rung)[..rungs - 1]).expect("a ladder"),
        treatment: playout_domain::Treatment::PLAIN,
    }
}

/// What went on air, rung by rung, and how.
#[derive(Debug, Clone)]
struct Programme {
    clips: Vec<Clip>,
    origin: u64,
    at: u64,
    /// Which of them come from a prepared file; the others as the encoder writes them.
    prepared: Vec<bool>,
    /// Before which GOPs the playout begins anew.
    anew: Vec<bool>,
}

fn programme() -> impl Strategy<Value = Programme> {
    let clips = (rate(), 1..5_usize)
        .prop_flat_map(|(rate, rungs)| prop::collection::vec(clip(rate, rungs), 1..4));
    let flags = |share: f64| prop::collection::vec(prop::bool::weighted(share), 40);
    (clips, origin(), 0..10_000_000_u64, flags(0.5), flags(0.1)).prop_map(
        |(clips, origin, at, prepared, anew)| {
            let named = |(id, clip): (u32, Clip)| Clip { id, ..clip };
            Programme {
                clips: (0..).zip(clips).map(named).collect(),
                origin,
                at,
                prepared,
                anew,
            }
        },
    )
}

/// The prepared file of a clip.
fn prepare(clip: &Clip) -> Vec<u8> {
    let mut preparer = Preparer::new(&profile(clip.rate, clip.rungs));
    let mut file = preparer.push(&clip.bytes()).expect("a sound clip").concat();
    let (last, _) = preparer.finish().expect("a sound clip");
    file.extend(last.concat());
    file
}

fn segments(programme: &Programme) -> Vec<Segment> {
    let Clip { rate, rungs, .. } = programme.clips[0];
    let timeline = timeline(rate, programme.origin);
    let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(rungs));
    let mut segmenter = Segmenter::new(&timeline, 4, 7);
    let mut segments = Vec::new();
    let (mut at, mut n) = (Frame::new(programme.at), 0);
    for (content, clip) in (0..).zip(&programme.clips) {
        let bytes = match programme.prepared[content as usize] {
            true => prepare(clip),
            false => clip.bytes(),
        };
        for gop in demux(&bytes, clip.start, &[30_000]).expect("a sound clip") {
            if programme.anew[n % programme.anew.len()] {
                segments.extend(segmenter.close());
                splicer = Splicer::resume(timeline, splicer.counters());
            }
            n += 1;
            let spliced = splicer.splice(gop, at, SourceId { content, run: 0 });
            at += u64::from(spliced.frames);
            segments.extend(segmenter.push(spliced));
        }
    }
    segments.extend(segmenter.close());
    segments
}

/// The PIDs of the first packets of a stream, up to the first of the video, and whether that begins with a key frame.
fn head(stream: &[u8]) -> (Vec<u16>, bool) {
    let pid = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
    let packets: Vec<&[u8]> = stream.chunks(188).collect();
    let video = packets.iter().position(|packet| pid(packet) == 0x100);
    let video = video.expect("a picture");
    let key = packets[video][3] & 0x20 != 0 && packets[video][5] & 0x40 != 0;
    let tables = packets[..video].iter().map(|packet| pid(packet));
    (tables.filter(|pid| *pid != 0x110).collect(), key)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn rungs_have_the_same_frames_at_the_same_times_in_every_segment(programme in programme()) {
        let rungs = programme.clips[0].rungs;
        let mut names: Vec<Vec<String>> = vec![Vec::new(); rungs];
        let mut counters = vec![None; rungs];
        for segment in segments(&programme) {
            prop_assert_eq!(segment.streams.len(), rungs);
            let sizes: Vec<u64> = segment.streams.iter().map(|stream| stream.len() as u64).collect();
            prop_assert_eq!(&segment.info.bytes, &sizes);
            let times = |stream: &Bytes, pid: u16| -> Vec<(u64, u64)> {
                let packets = pes_packets(stream).into_iter().filter(|packet| packet.pid == pid);
                packets.map(|packet| (packet.pts, packet.dts)).collect()
            };
            let pictures = times(&segment.streams[0], 0x100);
            prop_assert_eq!(pictures.len() as u64, segment.info.frames);
            let heard = stamped(&segment.streams[0], 0x110);
            for (rung, stream) in segment.streams.iter().enumerate() {
                prop_assert_eq!(times(stream, 0x100), pictures.clone(), "rung {}", rung);
                prop_assert_eq!(stamped(stream, 0x110), heard.clone(), "the same sound");
                prop_assert_eq!(head(stream), (vec![0, 0x1000], true), "a PAT, a PMT and a key frame come first");
                names[rung].extend(stamped(stream, 0x100).into_iter().map(|picture| picture.name));
                // Each rung counts its own packets.
                for packet in stream.chunks(188).filter(|packet| packet[2] == 0 && packet[1] & 0x1f == 1 && packet[3] & 0x10 != 0) {
                    let counter = packet[3] & 15;
                    if let Some(last) = counters[rung].replace(counter) {
                        prop_assert_eq!(counter, (last + 1) & 15);
                    }
                }
            }
        }
        for (rung, names) in names.iter_mut().enumerate() {
            let mut expected: Vec<String> = programme.clips.iter().flat_map(|clip| (0..clip.frames()).map(move |n| clip.frame_name(rung, n))).collect();
            names.sort();
            expected.sort();
            prop_assert_eq!(names, &mut expected, "each rung shows its own pictures, all of them once");
        }
    }
}

fn info(frames: u64, bytes: &[u64]) -> SegmentInfo {
    SegmentInfo {
        sequence: 1,
        discontinuity: false,
        start: Frame::new(0),
        frames,
        bytes: bytes.to_vec(),
    }
}

#[test]
fn a_rung_asks_for_what_its_vbv_lets_through_and_says_what_it_had() {
    let profile = profile(FrameRate::F25, 2);
    let fresh = variants(&profile, &[], 4, []);
    let names: Vec<_> = fresh.iter().map(|variant| &*variant.name).collect();
    assert_eq!(names, ["720p", "480p"]);
    // 2.5 Mb/s, half as much again for two seconds of VBV in four, sound, headers and stuffing.
    let bounds = [(3_878_000, 4_050_000), (1_928_000, 2_060_000)];
    for (variant, (least, most)) in fresh.iter().zip(bounds) {
        let peak = variant.peak_bandwidth;
        assert!((least..most).contains(&peak), "{peak}");
        assert!(variant.average_bandwidth < peak);
    }
    assert!((2_628_000..2_750_000).contains(&fresh[0].average_bandwidth));
    // In two seconds the VBV lets through twice as much.
    let short = variants(&profile, &[], 2, []);
    assert!(short[0].peak_bandwidth > 5_128_000);
    // Segments of 4, 4 and 0.4 s; the last is too short to say anything of the peak.
    let had = [
        info(100, &[1_000_000, 400_000]),
        info(100, &[1_200_000, 1_500_000]),
        info(10, &[900_000, 20_000]),
    ];
    let now = variants(&profile, &[], 4, &had);
    assert_eq!(now[0].peak_bandwidth, fresh[0].peak_bandwidth);
    let average = |bytes: u64| (bytes as f64 * 8.0 / 8.4).round() as u64;
    assert_eq!(now[0].average_bandwidth, average(3_100_000));
    // What was more than the VBV should let through is told.
    assert_eq!(
        (now[1].peak_bandwidth, now[1].average_bandwidth),
        (3_000_000, average(1_920_000))
    );
}
