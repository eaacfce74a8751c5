//! A group of pictures: the unit in which media is cut, spliced, paced and packaged.

use bytes::Bytes;
use playout_domain::units::Ticks90k;

use crate::audio::AudioUnit;

/// One closed group of pictures on every rung, and the audio that sounds beside it.
///
/// Times are on the clock of the source: the first frame of a prepared item is at
/// [`crate::index::ITEM_START`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gop {
    /// When the key frame is shown.
    pub pts: Ticks90k,
    /// How many frames it has.
    pub frames: u32,
    /// The video of each rung, the channel's own first.
    pub rungs: Vec<RungVideo>,
    /// Access units in order, each handed over exactly once; the last ones may belong to the
    /// next GOP, the splicer keeps them.
    pub audio: Vec<AudioUnit>,
}

/// The video packets of one rung of a GOP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungVideo {
    /// Whole transport stream packets, as the source wrote them.
    pub packets: Vec<u8>,
    /// Where each frame begins in `packets`, in decoding order.
    pub frames: Vec<FrameStart>,
    /// SPS and PPS with their start codes; equal on everything prepared for one profile.
    pub parameter_sets: Bytes,
}

/// The beginning of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameStart {
    /// Offset of its first packet, in bytes.
    pub offset: usize,
    /// When it is shown.
    pub pts: Ticks90k,
    /// When it is decoded.
    pub dts: Ticks90k,
}

impl RungVideo {
    /// The packets of the frame at `index` in decoding order.
    pub fn frame(&self, index: usize) -> &[u8] {
        let end = self
            .frames
            .get(index + 1)
            .map_or(self.packets.len(), |next| next.offset);
        &self.packets[self.frames[index].offset..end]
    }
}

/// The SPS and PPS units at the head of an H.264 access unit in Annex B form
/// (ITU-T H.264 §7.4.1.2.3: they stand before the first slice), start codes included.
pub fn parameter_sets(access_unit: &[u8]) -> Bytes {
    const SPS: u8 = 7;
    const PPS: u8 = 8;
    let mut found = Vec::new();
    let mut rest = nal_after_start_code(access_unit);
    while let Some(nal) = rest {
        let next = nal_after_start_code(nal);
        let end = next.map_or(nal.len(), |n| nal.len() - n.len() - 3);
        match nal.first().map(|header| header & 0x1f) {
            Some(SPS | PPS) => {
                let unit = &nal[..end];
                // A four-byte start code leaves one zero at the end of the unit before it.
                let unit = unit.strip_suffix(&[0]).unwrap_or(unit);
                found.extend_from_slice(&[0, 0, 0, 1]);
                found.extend_from_slice(unit);
            }
            Some(1..=5) => break,
            _ => {}
        }
        rest = next;
    }
    Bytes::from(found)
}

fn nal_after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    bytes
        .windows(3)
        .position(|w| w == [0, 0, 1])
        .map(|at| &bytes[at + 3..])
}
