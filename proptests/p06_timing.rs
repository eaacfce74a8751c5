//! P6 (4.6), its timing half: the output clock only moves forward, one frame and one access unit at a
//! time, whatever is spliced and however often sources and the daemon begin anew, across the 33-bit wrap.

use crate::support::{Clip, UNIT, WRAP, cases, clip, demux, origin, pes_packets, rate, timeline};
use playout_domain::units::Frame;
use playout_media::splice::{Layout, SourceId, Splicer};
use proptest::prelude::*;
use proptest::sample::Index;

/// What goes wrong while a clip plays.
#[derive(Debug, Clone)]
enum Trouble {
    /// Its source dies at a GOP and another goes on from there.
    Source(Index),
    /// The daemon dies at a GOP and another goes on from the persisted counters.
    Daemon(Index),
    /// Its sound is missing from a GOP on.
    Silence(Index),
    /// The item is skipped at a GOP.
    Skip(Index),
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    prop::option::of(prop_oneof![
        any::<Index>().prop_map(Trouble::Source),
        any::<Index>().prop_map(Trouble::Daemon),
        any::<Index>().prop_map(Trouble::Silence),
        any::<Index>().prop_map(Trouble::Skip),
    ])
}

/// `a` minus `b` on the 33-bit clock.
fn ahead(a: u64, b: u64) -> i64 {
    let forward = (a + WRAP - b) % WRAP;
    if forward < WRAP / 2 {
        forward as i64
    } else {
        forward as i64 - WRAP as i64
    }
}

/// The program clock references of a stream, in units of 27 MHz.
fn pcrs(bytes: &[u8]) -> Vec<u64> {
    let with = |p: &&[u8]| p[3] & 0x20 != 0 && p[4] >= 7 && p[5] & 0x10 != 0;
    let read = |p: &[u8]| {
        let field = p[6..12]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (field >> 15) * 300 + (field & 0x1ff)
    };
    bytes.chunks(188).filter(with).map(read).collect()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn p6_output_clock_only_moves_forward(
        (rate, b_frames) in (rate(), any::<bool>()),
        origin in origin(),
        first in 0..10_000_000_u64,
        clips in rate().prop_flat_map(|rate| prop::collection::vec((clip(rate, 1), trouble(), 0..WRAP), 1..5)),
    ) {
        let timeline = timeline(rate, origin);
        let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(1));
        let mut at = Frame::new(first);
        let mut out = Vec::new();
        for (content, (clip, trouble, start)) in (0..).zip(clips) {
            // Each source has a clock of its own, and all are encoded alike.
            let clip = Clip { rate, b_frames, start, ..clip };
            let bytes = clip.bytes();
            let mut gops = demux(&bytes, start, &[65_536]).expect("a sound clip");
            let mut run = 0;
            let mut n = 0;
            while n < gops.len() {
                match &trouble {
                    Some(Trouble::Source(when)) if run == 0 && when.index(gops.len()) == n => {
                        run += 1;
                        let again = demux(&bytes, gops[n].pts.get(), &[10_000]).expect("a sound clip");
                        prop_assert_eq!(again.len(), gops.len() - n);
                        gops.splice(n.., again);
                    }
                    Some(Trouble::Daemon(when)) if run == 0 && when.index(gops.len()) == n => {
                        run += 1;
                        splicer = Splicer::resume(timeline, splicer.counters());
                    }
                    Some(Trouble::Silence(when)) if when.index(gops.len()) <= n => gops[n].audio.clear(),
                    Some(Trouble::Skip(when)) if n > 0 && when.index(gops.len()) <= n => break,
                    _ => {}
                }
                let spliced = splicer.splice(gops[n].clone(), at, SourceId { content, run });
                prop_assert_eq!(spliced.start, at);
                out.extend_from_slice(&spliced.streams[0]);
                at += u64::from(spliced.frames);
                n += 1;
            }
        }
        let packets = pes_packets(&out);
        let (video, audio): (Vec<_>, Vec<_>) = packets.iter().partition(|packet| packet.pid == 0x100);
        prop_assert_eq!(video.len() as u64, at.since(Frame::new(first)));
        // Every decoding time after the one before it, by one frame to the tick of rounding.
        let frame = 90_000.0 * f64::from(rate.den()) / f64::from(rate.num());
        for pair in video.windows(2) {
            let step = ahead(pair[1].dts, pair[0].dts);
            prop_assert!(step > 0 && (step as f64 - frame).abs() <= 2.0, "a step of {} ticks after DTS {}", step, pair[0].dts);
        }
        // In the order in which they are shown, frame n of the channel at its place, to the tick.
        let begin = timeline.pts(Frame::new(first)).get();
        let mut shown: Vec<i64> = video.iter().map(|packet| ahead(packet.pts, begin)).collect();
        shown.sort_unstable();
        for (n, shown) in shown.iter().enumerate() {
            let exact = n as f64 * frame;
            prop_assert!((*shown as f64 - exact).abs() <= 2.0, "frame {} is shown at {} instead of {}", n, shown, exact);
        }
        prop_assert!(video.iter().all(|packet| ahead(packet.pts, packet.dts) >= 0));
        // The sound goes on where it stopped, unit for unit.
        let mut due = None;
        for packet in &audio {
            prop_assert!(due.is_none_or(|due| due == packet.pts), "sound at {} where {:?} is due", packet.pts, due);
            let mut rest = &packet.data[..];
            let mut pts = packet.pts;
            while !rest.is_empty() {
                let length = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
                rest = &rest[length..];
                pts = (pts + UNIT) % WRAP;
            }
            due = Some(pts);
        }
        // The reference clock goes forward, too, and never passes 100 ms.
        for pair in pcrs(&out).windows(2) {
            let step = (pair[1] + WRAP * 300 - pair[0]) % (WRAP * 300);
            prop_assert!(step > 0 && step <= 2_700_000, "a PCR step of {}", step);
        }
    }
}
