//! Program specific information (ISO/IEC 13818-1 §2.4.4): the tables that say which PID is what.

use super::packet::{PACKET, PacketView, SYNC};

/// What an elementary stream carries, as far as the channel profile knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// H.264 video, stream type 0x1B.
    Video,
    /// AAC in ADTS, stream type 0x0F.
    Audio,
    /// Anything else; it is not carried on.
    Other,
}

impl StreamKind {
    const H264: u8 = 0x1b;
    const ADTS_AAC: u8 = 0x0f;

    fn from_type(stream_type: u8) -> Self {
        match stream_type {
            Self::H264 => Self::Video,
            Self::ADTS_AAC => Self::Audio,
            _ => Self::Other,
        }
    }
}

/// One elementary stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Where its packets are.
    pub pid: u16,
    /// What it carries.
    pub kind: StreamKind,
}

/// The section that begins in `packet`, checksum verified and removed; `None` where it is damaged or
/// does not fit into one packet (ours and FFmpeg's always do).
fn section<'a>(packet: PacketView<'a>, table_id: u8) -> Option<&'a [u8]> {
    let payload = packet.payload();
    let start = 1 + usize::from(*payload.first()?);
    let section = payload.get(start..)?;
    if section.len() < 12 || section[0] != table_id {
        return None;
    }
    let length = 3 + usize::from(u16::from_be_bytes([section[1] & 0x0f, section[2]]));
    let whole = section.get(..length)?;
    (length >= 12 && crc32(whole) == 0).then(|| &whole[8..length - 4])
}

/// The programs of a program association table: (program number, PID of its map), in table order.
pub fn parse_pat(packet: PacketView<'_>) -> Option<Vec<(u16, u16)>> {
    let programs = section(packet, 0x00)?.chunks_exact(4).filter_map(|entry| {
        let number = u16::from_be_bytes([entry[0], entry[1]]);
        (number != 0).then(|| (number, u16::from_be_bytes([entry[2] & 0x1f, entry[3]])))
    });
    Some(programs.collect())
}

/// The streams of a program map table, in table order.
pub fn parse_pmt(packet: PacketView<'_>) -> Option<Vec<Stream>> {
    let body = section(packet, 0x02)?;
    let info = usize::from(u16::from_be_bytes([body.get(2)? & 0x0f, *body.get(3)?]));
    let mut rest = body.get(4 + info..)?;
    let mut streams = Vec::new();
    while let [kind, pid_high, pid_low, info_high, info_low, tail @ ..] = rest {
        let pid = u16::from_be_bytes([pid_high & 0x1f, *pid_low]);
        streams.push(Stream {
            pid,
            kind: StreamKind::from_type(*kind),
        });
        rest = tail.get(usize::from(u16::from_be_bytes([info_high & 0x0f, *info_low]))..)?;
    }
    Some(streams)
}

/// Appends a packet with the program association table for `programs` (program number, map PID).
pub fn write_pat(out: &mut Vec<u8>, programs: &[(u16, u16)], continuity: u8) {
    let mut body = Vec::with_capacity(4 * programs.len());
    for (number, pid) in programs {
        body.extend_from_slice(&number.to_be_bytes());
        body.extend_from_slice(&(pid | 0xe000).to_be_bytes());
    }
    write_section(out, 0, 0x00, 1, &body, continuity);
}

/// Appends a packet with the map of program `number`: its video (which carries the PCR) and its audio.
pub fn write_pmt(out: &mut Vec<u8>, pid: u16, number: u16, video: u16, audio: u16, continuity: u8) {
    let mut body = Vec::with_capacity(14);
    body.extend_from_slice(&(video | 0xe000).to_be_bytes());
    body.extend_from_slice(&0xf000_u16.to_be_bytes());
    for (kind, stream) in [(StreamKind::H264, video), (StreamKind::ADTS_AAC, audio)] {
        body.push(kind);
        body.extend_from_slice(&(stream | 0xe000).to_be_bytes());
        body.extend_from_slice(&0xf000_u16.to_be_bytes());
    }
    write_section(out, pid, 0x02, number, &body, continuity);
}

fn write_section(
    out: &mut Vec<u8>,
    pid: u16,
    table_id: u8,
    extension: u16,
    body: &[u8],
    continuity: u8,
) {
    let start = out.len();
    let [pid_high, pid_low] = pid.to_be_bytes();
    out.extend_from_slice(&[
        SYNC,
        0x40 | pid_high,
        pid_low,
        0x10 | (continuity & 0x0f),
        0,
    ]);
    let section_start = out.len();
    let length = (5 + body.len() + 4) as u16;
    out.push(table_id);
    out.extend_from_slice(&(0xb000 | length).to_be_bytes());
    out.extend_from_slice(&extension.to_be_bytes());
    // Version 0, current, section 0 of 0.
    out.extend_from_slice(&[0xc1, 0, 0]);
    out.extend_from_slice(body);
    let crc = crc32(&out[section_start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.resize(start + PACKET, 0xff);
}

/// CRC-32/MPEG-2 (ISO/IEC 13818-1 Annex A); zero over a section with its checksum.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            if crc & 0x8000_0000 != 0 {
                (crc << 1) ^ 0x04c1_1db7
            } else {
                crc << 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_read_back_as_written() {
        let mut out = Vec::new();
        write_pat(&mut out, &[(1, 0x1000), (2, 0x1001)], 5);
        write_pmt(&mut out, 0x1001, 2, 0x101, 0x110, 9);
        let pat = PacketView::new(&out[..PACKET]).expect("a packet");
        assert_eq!(parse_pat(pat), Some(vec![(1, 0x1000), (2, 0x1001)]));
        let pmt = PacketView::new(&out[PACKET..]).expect("a packet");
        assert_eq!((pmt.pid(), pmt.continuity()), (0x1001, 9));
        let streams = [(0x101, StreamKind::Video), (0x110, StreamKind::Audio)];
        assert_eq!(
            parse_pmt(pmt),
            Some(streams.map(|(pid, kind)| Stream { pid, kind }).to_vec())
        );
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let mut out = Vec::new();
        write_pat(&mut out, &[(1, 0x1000)], 0);
        out[14] ^= 1;
        assert_eq!(parse_pat(PacketView::new(&out).expect("a packet")), None);
    }
}
