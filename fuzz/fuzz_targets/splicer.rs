//! Whatever a source delivers, in whatever pieces: the demuxer refuses it or makes GOPs of it, and what the splicer makes of those
//! is whole packets whose continuity counters follow one another.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use playout_domain::units::{Frame, FrameRate, Timeline};
use playout_media::demux::Demuxer;
use playout_media::index::ITEM_START;
use playout_media::splice::{Layout, SourceId, Splicer};
use playout_media::ts::PacketView;

const SOURCE: SourceId = SourceId { content: 0, run: 0 };

fuzz_target!(|input: &[u8]| {
    let Some((step, stream)) = input.split_first() else {
        return;
    };
    let Ok(rate) = FrameRate::from_ratio(25, 1) else {
        return;
    };
    let timeline = Timeline {
        epoch: jiff::Timestamp::UNIX_EPOCH,
        frame_rate: rate,
        clock_origin: ITEM_START,
    };
    let mut demuxer = Demuxer::starting_at(ITEM_START);
    let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(1));
    let (mut at, mut counters) = (Frame::new(0), HashMap::new());
    let mut refused = false;
    for piece in stream.chunks(usize::from(*step) * 7 + 1) {
        refused = demuxer.push(piece).is_err();
        take(&mut demuxer, &mut splicer, &mut at, &mut counters);
        if refused {
            break;
        }
    }
    if !refused && demuxer.finish(true).is_ok() {
        take(&mut demuxer, &mut splicer, &mut at, &mut counters);
    }
});

fn take(
    demuxer: &mut Demuxer,
    splicer: &mut Splicer,
    at: &mut Frame,
    counters: &mut HashMap<u16, u8>,
) {
    while let Some(gop) = demuxer.next_gop() {
        let frames = u64::from(gop.frames);
        let spliced = splicer.splice(gop, *at, SOURCE);
        for stream in &spliced.streams {
            assert_eq!(stream.len() % 188, 0, "whole packets");
            for packet in stream.chunks(188) {
                let packet = PacketView::new(packet).expect("a packet");
                if packet.has_payload() {
                    let counter = packet.continuity();
                    if let Some(before) = counters.insert(packet.pid(), counter) {
                        assert_eq!(counter, (before + 1) % 16, "PID {}", packet.pid());
                    }
                }
            }
        }
        *at = *at + frames;
    }
}
