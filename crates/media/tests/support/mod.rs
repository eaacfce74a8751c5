//! Made-up media, and a reader of transport streams that shares no code with the crate it tests.
//!
//! A [`Clip`] is written as FFmpeg writes one: tables, H.264 with B-frames, AAC in PES packets of several
//! units that come later than their time stamps say. Every picture and every access unit carries its
//! clip and its number, so that what comes out can be told from what went in.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test binary uses a part"
)]

mod clip;
mod reader;

pub use clip::{Clip, PARAMETER_SETS, clip, damage, regular_clip};
pub use reader::{Packet, SILENCE, Stamped, pes_packets, stamped};

use playout_domain::units::{FrameRate, Ticks90k, Timeline};
use playout_media::demux::{DemuxError, Demuxer};
use playout_media::gop::Gop;
use proptest::prelude::*;

/// Where every clip's clock begins, as encoders are told.
pub const START: u64 = 900_000;
/// Where the 33-bit clock is back at zero.
pub const WRAP: u64 = 1 << 33;
/// Length of an access unit.
pub const UNIT: u64 = 1_920;

/// So many cases; a failure is told with its input and written nowhere.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Any frame rate that a channel can have.
pub fn rate() -> impl Strategy<Value = FrameRate> {
    prop::sample::select(FrameRate::ALL.to_vec())
}

/// A place on the output clock: anywhere, or so near before the wrap that a few seconds pass it.
pub fn origin() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4 * WRAP,
        (1..3_u64, 0..2_000_000_u64).prop_map(|(n, before)| n * WRAP - before)
    ]
}

/// A channel's clock.
pub fn timeline(frame_rate: FrameRate, origin: u64) -> Timeline {
    let epoch = "2025-01-01T00:00:00Z".parse().expect("a time");
    Timeline {
        epoch,
        frame_rate,
        clock_origin: Ticks90k::new(origin),
    }
}

/// Every GOP of a stream, pushed in pieces of `sizes` bytes, taken round and round.
pub fn demux(bytes: &[u8], from: u64, sizes: &[usize]) -> Result<Vec<Gop>, DemuxError> {
    let mut demuxer = Demuxer::starting_at(Ticks90k::new(from));
    let mut gops = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*size).clamp(1, rest.len()));
        demuxer.push(piece)?;
        gops.extend(std::iter::from_fn(|| demuxer.next_gop()));
        rest = tail;
    }
    demuxer.finish(true)?;
    gops.extend(std::iter::from_fn(|| demuxer.next_gop()));
    Ok(gops)
}
