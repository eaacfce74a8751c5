//! PES packet headers (ISO/IEC 13818-1 §2.4.3.6): presentation and decoding time stamps.

use playout_domain::units::Pts33;

/// What the header of a PES packet says that we need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PesHeader {
    /// Presentation time stamp.
    pub pts: Pts33,
    /// Decoding time stamp; equal to `pts` where the header has none.
    pub dts: Pts33,
    /// Bytes from the start of the packet to its payload.
    pub header_len: usize,
    /// Bytes of payload, where the packet says so (video packets may leave it open).
    pub payload_len: Option<usize>,
}

impl PesHeader {
    /// Reads a PES header; `None` where `bytes` do not begin with a complete one that has a time stamp.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 9 || bytes[..3] != [0, 0, 1] {
            return None;
        }
        let header_len = 9 + bytes[8] as usize;
        let pts = read_stamp(bytes.get(9..14)?)?;
        let dts = match bytes[7] >> 6 {
            0b10 => pts,
            0b11 => read_stamp(bytes.get(14..19)?)?,
            _ => return None,
        };
        let declared = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        let payload_len = match declared {
            0 => None,
            n => Some((n + 6).checked_sub(header_len)?),
        };
        Some(Self {
            pts,
            dts,
            header_len,
            payload_len,
        })
    }
}

/// Moves the time stamps of the PES header at the start of `payload` by `offset` ticks.
/// Does nothing where there is none.
pub fn patch_pes_times(payload: &mut [u8], offset: i64) {
    let Some(header) = PesHeader::parse(payload) else {
        return;
    };
    let has_dts = payload[7] >> 6 == 0b11;
    write_stamp(
        &mut payload[9..14],
        if has_dts { 0b0011 } else { 0b0010 },
        header.pts.offset(offset),
    );
    if has_dts {
        write_stamp(&mut payload[14..19], 0b0001, header.dts.offset(offset));
    }
}

/// Appends the header of an audio PES packet (stream id 0xC0) with `payload_len` bytes to come.
pub fn write_pes_header(out: &mut Vec<u8>, pts: Pts33, payload_len: usize) {
    // The length counts from behind its own field: 3 bytes of flags, 5 of time stamp, the payload.
    let length = u16::try_from(payload_len + 8).unwrap_or(0);
    out.extend_from_slice(&[0, 0, 1, 0xc0]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0x80, 0x80, 5]);
    let mut stamp = [0; 5];
    write_stamp(&mut stamp, 0b0010, pts);
    out.extend_from_slice(&stamp);
}

fn read_stamp(b: &[u8]) -> Option<Pts33> {
    let markers = b[0] & 1 == 1 && b[2] & 1 == 1 && b[4] & 1 == 1;
    markers.then(|| {
        Pts33::new(
            (u64::from(b[0] >> 1) & 0x07) << 30
                | u64::from(b[1]) << 22
                | u64::from(b[2] >> 1) << 15
                | u64::from(b[3]) << 7
                | u64::from(b[4] >> 1),
        )
    })
}

fn write_stamp(b: &mut [u8], prefix: u8, stamp: Pts33) {
    let t = stamp.get();
    b[0] = (prefix << 4) | ((t >> 29) as u8 & 0x0e) | 1;
    b[1] = (t >> 22) as u8;
    b[2] = ((t >> 14) as u8 & 0xfe) | 1;
    b[3] = (t >> 7) as u8;
    b[4] = ((t << 1) as u8 & 0xfe) | 1;
}
