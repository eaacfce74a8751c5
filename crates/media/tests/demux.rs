//! D1: whatever the bytes are and however they come, the demuxer answers with GOPs or an error.

mod support;

use playout_domain::units::{Frame, FrameRate, Ticks90k};
use playout_media::demux::{DemuxError, Demuxer};
use playout_media::gop::Gop;
use playout_media::splice::{Layout, SourceId, Splicer};
use proptest::prelude::*;
use support::{Clip, START, WRAP, cases, clip, damage, demux, rate, timeline};

fn any_clip() -> impl Strategy<Value = Clip> {
    (rate(), 1..3_usize).prop_flat_map(|(rate, rungs)| clip(rate, rungs))
}

/// The stream without the packets of `pid`.
fn without(bytes: &[u8], pid: u16) -> Vec<u8> {
    let packets = bytes
        .chunks(188)
        .filter(|p| u16::from_be_bytes([p[1] & 0x1f, p[2]]) != pid);
    packets.flatten().copied().collect()
}

/// How reading `bytes` fails.
fn error(bytes: &[u8]) -> Option<DemuxError> {
    demux(bytes, START, &[10_000]).err()
}

/// How the pictures of a GOP of `clip` are called.
fn names(clip: &Clip, gop: &Gop, rung: usize) -> Vec<String> {
    let name = |frame| {
        let text = String::from_utf8_lossy(gop.rungs[rung].frame(frame)).into_owned();
        let begin = text.find(&format!("<v{}/", clip.id)).expect("a name");
        text[begin..]
            .split_inclusive('>')
            .next()
            .expect("a name")
            .to_owned()
    };
    (0..gop.rungs[rung].frames.len()).map(name).collect()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn d1_pieces_of_any_size_give_the_same_gops(clip in any_clip(), sizes in prop::collection::vec(1..2_000_usize, 1..20)) {
        let bytes = clip.bytes();
        let whole = demux(&bytes, START, &[bytes.len()]).expect("a sound clip");
        prop_assert_eq!(whole.iter().map(|gop| u64::from(gop.frames)).collect::<Vec<_>>(), clip.gops.clone());
        prop_assert_eq!(demux(&bytes, START, &sizes), Ok(whole));
    }

    #[test]
    fn d1_every_frame_and_unit_is_handed_over_once(clip in any_clip()) {
        let gops = demux(&clip.bytes(), START, &[1_000]).expect("a sound clip");
        for rung in 0..clip.rungs {
            let mut all: Vec<String> = gops.iter().flat_map(|gop| names(&clip, gop, rung)).collect();
            all.sort();
            let mut expected: Vec<String> = (0..clip.frames()).map(|n| clip.frame_name(rung, n)).collect();
            expected.sort();
            prop_assert_eq!(all, expected);
        }
        let mut first = 0;
        for (gop, frames) in gops.iter().zip(&clip.gops) {
            prop_assert_eq!(gop.pts, Ticks90k::new(START) + clip.rate.ticks(first));
            first += frames;
        }
        let heard: Vec<i64> = gops.iter().flat_map(|gop| &gop.audio).map(|unit| unit.pts.get() as i64).collect();
        let expected = (0..clip.units()).map(|unit| clip.unit_pts(unit)).filter(|pts| pts + 1_920 > START as i64);
        prop_assert_eq!(heard, expected.collect::<Vec<_>>());
    }

    #[test]
    fn d1_a_start_anywhere_gives_the_gops_from_there(clip in any_clip(), n in any::<prop::sample::Index>(), early in 0..1_000_u64) {
        let bytes = clip.bytes();
        let whole = demux(&bytes, START, &[65_536]).expect("a sound clip");
        let n = n.index(whole.len());
        let from = whole[n].pts.get() - early.min(if n == 0 { 0 } else { 1_000 });
        let rest = demux(&bytes, from, &[65_536]).expect("a sound clip");
        prop_assert_eq!(rest.len(), whole.len() - n);
        for (a, b) in rest.iter().zip(&whole[n..]) {
            prop_assert_eq!((a.pts, &a.rungs), (b.pts, &b.rungs));
        }
    }

    #[test]
    fn d1_a_cut_stream_gives_a_beginning_of_its_gops(clip in any_clip(), cut in any::<prop::sample::Index>()) {
        let bytes = clip.bytes();
        let whole = demux(&bytes, START, &[65_536]).expect("a sound clip");
        let mut demuxer = Demuxer::starting_at(Ticks90k::new(START));
        prop_assert_eq!(demuxer.push(&bytes[..cut.index(bytes.len())]), Ok(()));
        prop_assert_eq!(demuxer.finish(false), Ok(()));
        let gops: Vec<Gop> = std::iter::from_fn(|| demuxer.next_gop()).collect();
        prop_assert!(gops.len() <= whole.len());
        prop_assert_eq!(&gops[..], &whole[..gops.len()]);
    }

    #[test]
    fn d1_damage_gives_fewer_gops_or_an_error_and_what_comes_can_be_spliced(clip in any_clip(), damage in damage(), sizes in prop::collection::vec(1..2_000_usize, 1..5)) {
        let mut bytes = clip.bytes();
        for (kind, at, length, byte) in damage {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (at + usize::from(length)).min(bytes.len());
            match kind {
                0 if at < bytes.len() => bytes[at] ^= byte,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => bytes[at..end].fill(byte),
            }
        }
        let whole_gops = clip.gops.len();
        if let Ok(gops) = demux(&bytes, START, &sizes) {
            prop_assert!(gops.len() <= whole_gops + 2, "{} GOPs out of {}", gops.len(), whole_gops);
            let mut splicer = Splicer::new(timeline(clip.rate, 0), Layout::StreamPerRung(clip.rungs));
            let mut at = Frame::new(0);
            for gop in gops {
                let out = splicer.splice(gop, at, SourceId { content: 0, run: 0 });
                prop_assert!(out.streams.iter().all(|stream| stream.len() % 188 == 0));
                at += u64::from(out.frames);
            }
        }
    }

    #[test]
    fn d1_garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..4_000), sync in any::<bool>(), head in any::<bool>()) {
        if sync {
            bytes.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        }
        if head {
            let clip = Clip::plain(0, FrameRate::F25, &[2]).bytes();
            bytes.splice(..0, clip[..376].iter().copied());
            // Packets of the streams that the tables announce, in order, many with a beginning of PES;
            // the rest is made up.
            let mut counters = [0_u8; 2];
            for packet in bytes[376..].chunks_exact_mut(188) {
                let audio = packet[2] & 1;
                packet[1] = packet[1] & 0x40 | 1;
                packet[2] = audio << 4;
                packet[3] = packet[3] & 0x20 | 0x10 | counters[usize::from(audio)];
                counters[usize::from(audio)] = (counters[usize::from(audio)] + 1) & 15;
                let at = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
                if let Some(start) = packet.get_mut(at..at + 14) {
                    start[..3].copy_from_slice(&[0, 0, 1]);
                    start[7] |= 0x80;
                    start[9] |= 1;
                    start[11] |= 1;
                    start[13] |= 1;
                }
            }
        }
        drop(demux(&bytes, START, &[777]));
    }

    #[test]
    fn d1_the_source_clock_may_wrap(clip in any_clip(), before in 0..400_000_u64) {
        let still = demux(&clip.bytes(), START, &[65_536]).expect("a sound clip");
        let wrapping = Clip { start: WRAP - before, ..clip };
        let moved = demux(&wrapping.bytes(), wrapping.start, &[65_536]).expect("a sound clip");
        prop_assert_eq!(still.len(), moved.len());
        for (a, b) in still.iter().zip(&moved) {
            prop_assert_eq!(a.pts.get() - START, b.pts.get() - wrapping.start);
            prop_assert_eq!(a.audio.iter().map(|unit| unit.pts.get() + wrapping.start - START).collect::<Vec<_>>(),
                b.audio.iter().map(|unit| unit.pts.get()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_gop_waits_for_the_sound_beside_it() {
    let clip = Clip {
        audio_lag: 0,
        units_per_pes: 1,
        ..Clip::plain(0, FrameRate::F25, &[50, 50])
    };
    let bytes = clip.bytes();
    let mut demuxer = Demuxer::starting_at(Ticks90k::new(START));
    for packet in bytes.chunks(188) {
        demuxer.push(packet).expect("a sound clip");
        if let Some(gop) = demuxer.next_gop() {
            let end = Ticks90k::new(START) + FrameRate::F25.ticks(50);
            let last = gop.audio.last().expect("sound").pts;
            assert!(
                last <= end && (last + playout_media::audio::UNIT) > end,
                "{last:?} reaches {end:?}"
            );
            return;
        }
    }
    panic!("no GOP before the end");
}

#[test]
fn a_stream_that_has_stopped_is_an_error_and_not_a_growing_memory() {
    let long = |rungs| Clip {
        frame_bytes: 20,
        rungs,
        ..Clip::plain(0, FrameRate::F25, &[25; 100])
    };
    let video_only = without(&long(1).bytes(), 0x110);
    assert_eq!(error(&video_only), Some(DemuxError::AudioStopped));
    let audio_only = without(&long(1).bytes(), 0x100);
    assert_eq!(error(&audio_only), Some(DemuxError::VideoStopped));
    let one_rung = without(&long(2).bytes(), 0x101);
    assert_eq!(error(&one_rung), Some(DemuxError::AudioStopped));
}

#[test]
fn a_gop_without_end_is_an_error() {
    let clip = Clip {
        frame_bytes: 60_000,
        b_frames: false,
        ..Clip::plain(0, FrameRate::F25, &[600])
    };
    assert_eq!(error(&clip.bytes()), Some(DemuxError::NoKeyFrame));
}

#[test]
fn packets_without_media_are_an_error_in_the_end() {
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    let null = packet.repeat(10_000);
    let mut demuxer = Demuxer::starting_at(Ticks90k::default());
    let pushed = (0..1_000).find_map(|_| demuxer.push(&null).err());
    assert_eq!(pushed, Some(DemuxError::NoMedia));
}

#[test]
fn a_frame_that_is_missing_in_a_gop_is_an_error() {
    let clip = Clip::plain(0, FrameRate::F25, &[50, 50]);
    let bytes = clip.bytes();
    let is_start = |p: &[u8]| p[1] == 0x41 && p[2] == 0;
    let starts: Vec<usize> = bytes
        .chunks(188)
        .enumerate()
        .filter(|(_, p)| is_start(p))
        .map(|(n, _)| n)
        .collect();
    let mut out = Vec::new();
    let mut counter = 0;
    for (n, packet) in bytes.chunks(188).enumerate() {
        let video = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == 0x100;
        if video && (starts[20]..starts[21]).contains(&n) {
            continue;
        }
        let mut packet = packet.to_vec();
        if video {
            packet[3] = packet[3] & 0xf0 | counter;
            counter = (counter + 1) & 15;
        }
        out.extend(packet);
    }
    assert_eq!(error(&out), Some(DemuxError::Uneven));
}

#[test]
fn each_kind_of_damage_is_named() {
    let bytes = Clip::plain(0, FrameRate::F25, &[50, 50]).bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        demux(&bytes, START, &[5_000]).expect_err("an error")
    };
    assert_eq!(
        with(&|b| b[188 * 40] = 0),
        DemuxError::LostSync { at: 188 * 40 }
    );
    let inside = (40..)
        .find(|n| bytes[188 * n + 1..188 * n + 3] == [1, 0])
        .expect("a packet within a frame");
    let gap = DemuxError::ContinuityGap {
        pid: 0x100,
        at: 188 * (inside as u64),
    };
    let next = bytes[188 * (inside + 1)..188 * (inside + 1) + 3] != [0x47, 1, 0x10];
    assert!(next, "video follows");
    assert_eq!(
        with(&|b| drop(b.drain(188 * inside..188 * (inside + 1)))),
        gap
    );
    assert_eq!(
        with(&|b| b[188 * 40 + 1] |= 0x80),
        DemuxError::Damaged { at: 188 * 40 }
    );
    let no_audio = DemuxError::MissingStream {
        program: 1,
        what: "AAC audio",
    };
    assert_eq!(
        with(&|b| {
            // Another stream type, and the checksum that goes with it.
            let section = 188 + 5..188 + 5 + 32;
            b[188 + 5 + 17] = 0x06;
            let end = section.end;
            let crc = crc(&b[section.start..end - 4]);
            b[end - 4..end].copy_from_slice(&crc.to_be_bytes());
        }),
        no_audio
    );
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            }
        })
    })
}

#[test]
fn a_packet_sent_twice_counts_once() {
    let bytes = Clip::plain(0, FrameRate::F25, &[50, 50]).bytes();
    let mut twice = bytes.clone();
    let again = twice[188 * 40..188 * 41].to_vec();
    twice.splice(188 * 40..188 * 40, again);
    assert_eq!(
        demux(&twice, START, &[5_000]),
        demux(&bytes, START, &[5_000])
    );
}
