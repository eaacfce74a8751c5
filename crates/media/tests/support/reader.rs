//! Reads a transport stream back: PES packets, and in them the names of pictures and sounds.

use std::collections::BTreeMap;

/// How an access unit of silence is called here: it carries no name.
pub const SILENCE: &str = "silence";

/// One PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub pid: u16,
    pub pts: u64,
    pub dts: u64,
    pub data: Vec<u8>,
}

/// A picture or an access unit by name, and when it is shown or heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    pub pts: u64,
    pub name: String,
}

/// The PES packets of the streams with PIDs 0x100 to 0x1ff, in the order in which they begin.
pub fn pes_packets(bytes: &[u8]) -> Vec<Packet> {
    let mut open: BTreeMap<u16, usize> = BTreeMap::new();
    let mut raw: Vec<(u16, Vec<u8>)> = Vec::new();
    for packet in bytes.chunks(188) {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        if !(0x100..0x200).contains(&pid) || packet[3] & 0x10 == 0 {
            continue;
        }
        let at = if packet[3] & 0x20 == 0 {
            4
        } else {
            5 + usize::from(packet[4])
        };
        if packet[1] & 0x40 != 0 {
            open.insert(pid, raw.len());
            raw.push((pid, Vec::new()));
        }
        raw[open[&pid]].1.extend_from_slice(&packet[at..]);
    }
    raw.into_iter().map(|(pid, pes)| read(pid, &pes)).collect()
}

fn read(pid: u16, pes: &[u8]) -> Packet {
    assert_eq!(pes[..3], [0, 0, 1], "a PES packet begins with its prefix");
    let stamp = |b: &[u8]| {
        let n = |i: usize| u64::from(b[i]);
        (n(0) >> 1 & 7) << 30 | n(1) << 22 | (n(2) >> 1) << 15 | n(3) << 7 | n(4) >> 1
    };
    let pts = stamp(&pes[9..14]);
    let dts = if pes[7] & 0x40 != 0 {
        stamp(&pes[14..19])
    } else {
        pts
    };
    Packet {
        pid,
        pts,
        dts,
        data: pes[9 + usize::from(pes[8])..].to_vec(),
    }
}

/// The pictures of `pid` in the order in which they are decoded, or its access units in order.
pub fn stamped(bytes: &[u8], pid: u16) -> Vec<Stamped> {
    let mut found = Vec::new();
    for packet in pes_packets(bytes).into_iter().filter(|p| p.pid == pid) {
        if packet.data.first() != Some(&0xff) {
            found.push(Stamped {
                pts: packet.pts,
                name: name(&packet.data),
            });
            continue;
        }
        let (mut rest, mut pts) = (&packet.data[..], packet.pts);
        while !rest.is_empty() {
            let length = usize::from(rest[3] & 3) << 11
                | usize::from(rest[4]) << 3
                | usize::from(rest[5] >> 5);
            let (unit, tail) = rest.split_at(length);
            found.push(Stamped {
                pts,
                name: name(unit),
            });
            pts = (pts + 1_920) % (1 << 33);
            rest = tail;
        }
    }
    found
}

fn name(data: &[u8]) -> String {
    let begin = data
        .iter()
        .position(|b| *b == b'<')
        .filter(|at| matches!(data.get(at + 1), Some(b'a' | b'v')));
    let text = begin.and_then(|at| data[at..].split_inclusive(|b| *b == b'>').next());
    text.map_or_else(
        || SILENCE.to_owned(),
        |text| String::from_utf8_lossy(text).into_owned(),
    )
}
