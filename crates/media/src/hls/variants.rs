//! What a channel's rungs ask of a viewer's connection: the variants of its master playlist.
//!
//! A rung's peak is what its VBV allows within one segment, or what a segment really had, should that be
//! more; its average is that of the segments there are, and what the profile says where there are none.

use bytes::Bytes;
use playout_domain::ladder::Rung;
use playout_domain::media::Profile;

use super::master::{Variant, codecs};
use super::segment::SegmentInfo;
use crate::ffmpeg::VBV_SECONDS;
use crate::ts::PACKET;

/// The codecs where there are no parameter sets to tell them.
const UNTOLD: &str = "avc1.640028,mp4a.40.2";
/// What ADTS headers and PES headers add to sound, in bits/s: 7 bytes to each of 47 units, half a packet to each of
/// at most ten PES packets.
const SOUND_HEADERS: u64 = 47 * 7 * 8 + 10 * PACKET as u64 * 4;

/// The variants of a channel of `profile` whose rungs have these parameter sets, in segments of `target` seconds.
/// `segments` are those that there are.
pub fn variants<'a>(
    profile: &Profile,
    parameter_sets: &[Bytes],
    target: u32,
    segments: impl IntoIterator<Item = &'a SegmentInfo>,
) -> Vec<Variant> {
    let mut seen = vec![Seen::default(); profile.rungs().count()];
    for segment in segments {
        for (seen, bytes) in seen.iter_mut().zip(&segment.bytes) {
            seen.add(*bytes, segment.seconds(profile.frame_rate), target);
        }
    }
    let variant = |(n, (rung, seen)): (usize, (Rung, Seen))| {
        let told = parameter_sets.get(n).and_then(|sets| codecs(sets));
        let peak = packaged(profile, vbv_peak(rung.bitrate.get(), target), 2);
        let average = seen
            .average()
            .unwrap_or_else(|| packaged(profile, rung.bitrate.get(), 1));
        let peak = peak.max(seen.peak);
        Variant {
            name: rung.resolution.to_string(),
            width: rung.resolution.width(),
            height: rung.resolution.height(),
            peak_bandwidth: peak,
            average_bandwidth: average.min(peak),
            codecs: told.unwrap_or_else(|| UNTOLD.to_owned()),
            frame_rate: profile.frame_rate,
        }
    };
    let rungs = profile.rungs().zip(seen);
    rungs.enumerate().map(variant).collect()
}

/// The most that a VBV lets through in `target` seconds, in bits/s: the bitrate, and once what the VBV holds.
fn vbv_peak(bitrate: u64, target: u32) -> u64 {
    bitrate + bitrate * VBV_SECONDS / u64::from(target.max(1))
}

/// Video of so many bits/s with its sound as a transport stream: headers, and `halves` half packets of stuffing a frame.
fn packaged(profile: &Profile, video: u64, halves: u64) -> u64 {
    let rate = profile.frame_rate;
    let frames = u64::from(rate.num()).div_ceil(u64::from(rate.den()));
    let payload = video + profile.audio_bitrate.get() + SOUND_HEADERS;
    payload * PACKET as u64 / (PACKET as u64 - 4) + frames * halves * PACKET as u64 * 4
}

/// What the segments of a rung had.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    bytes: u64,
    seconds: f64,
    /// The highest bit rate of a segment, in bits/s.
    peak: u64,
}

impl Seen {
    fn add(&mut self, bytes: u64, seconds: f64, target: u32) {
        self.bytes += bytes;
        self.seconds += seconds;
        // Shorter ones count together with their neighbours (RFC 8216 §4.1: from half a target duration on).
        if seconds >= f64::from(target) / 2.0 {
            self.peak = self.peak.max((bytes as f64 * 8.0 / seconds).ceil() as u64);
        }
    }

    fn average(&self) -> Option<u64> {
        (self.bytes > 0 && self.seconds > 0.0)
            .then(|| (self.bytes as f64 * 8.0 / self.seconds).round() as u64)
    }
}
