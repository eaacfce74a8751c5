//! Transport streams as an encoder writes them.

use super::{START, UNIT, WRAP};
use playout_domain::units::FrameRate;
use proptest::prelude::*;

const PACKET: usize = 188;
const AUDIO_PID: u16 = 0x110;

/// SPS and PPS as every picture of every clip carries them, start codes included.
pub const PARAMETER_SETS: &[u8] = &[
    0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb,
];

/// One encoder's output.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Tells its pictures and sounds from another clip's.
    pub id: u32,
    pub rate: FrameRate,
    /// Frames of each GOP.
    pub gops: Vec<u64>,
    pub rungs: usize,
    /// The PTS of the first frame, 33 bits of it on the wire.
    pub start: u64,
    /// The PTS of the first access unit is so many ticks before the first frame.
    pub audio_lead: u64,
    /// The audio ends so many units after (before, if negative) the video.
    pub audio_tail: i64,
    /// Access units in a PES packet.
    pub units_per_pes: usize,
    /// The audio comes so many ticks later than its time stamps say.
    pub audio_lag: u64,
    /// Whether frames are decoded in another order than they are shown.
    pub b_frames: bool,
    /// Bytes of a frame, roughly.
    pub frame_bytes: usize,
}

/// Any clip of GOPs of any lengths.
pub fn clip(rate: FrameRate, rungs: usize) -> impl Strategy<Value = Clip> {
    let any = prop::collection::vec(1..=16_u64, 1..9);
    let long = prop::collection::vec(1..=rate.gop_frames(), 1..4);
    clip_of(rate, rungs, prop_oneof![4 => any, 1 => long])
}

/// A clip as media is prepared: full GOPs, and the last often a short one.
pub fn regular_clip(rate: FrameRate, rungs: usize) -> impl Strategy<Value = Clip> {
    let full = rate.gop_frames();
    let gops = (prop::collection::vec(Just(full), 0..3), 1..=full);
    let joined = gops.prop_map(|(mut gops, last)| {
        gops.push(last);
        gops
    });
    clip_of(rate, rungs, joined)
}

fn clip_of(
    rate: FrameRate,
    rungs: usize,
    gops: impl Strategy<Value = Vec<u64>>,
) -> impl Strategy<Value = Clip> {
    let audio = (0..UNIT + 200, 0..3_i64, 1..9_usize, 0..20_000_u64);
    (any::<u16>(), gops, audio, any::<bool>(), 20..160_usize).prop_map(
        move |(
            id,
            gops,
            (audio_lead, audio_tail, units_per_pes, audio_lag),
            b_frames,
            frame_bytes,
        )| {
            Clip {
                id: u32::from(id),
                rate,
                gops,
                rungs,
                start: START,
                audio_lead,
                audio_tail,
                units_per_pes,
                audio_lag,
                b_frames,
                frame_bytes,
            }
        },
    )
}

impl Clip {
    /// A plain clip: one rung, B-frames, audio that begins just before the video.
    pub fn plain(id: u32, rate: FrameRate, gops: &[u64]) -> Self {
        Self {
            id,
            rate,
            gops: gops.to_vec(),
            rungs: 1,
            start: START,
            audio_lead: 1_000,
            audio_tail: 1,
            units_per_pes: 6,
            audio_lag: 3_000,
            b_frames: true,
            frame_bytes: 300,
        }
    }

    /// Frames in all.
    pub fn frames(&self) -> u64 {
        self.gops.iter().sum()
    }

    /// Length of its video.
    pub fn length(&self) -> u64 {
        ticks(self.rate, self.frames())
    }

    /// Access units in all.
    pub fn units(&self) -> u64 {
        let covering = (self.length() + self.audio_lead).div_ceil(UNIT);
        covering.saturating_add_signed(self.audio_tail)
    }

    /// The picture of frame `frame` on rung `rung`: what an H.264 access unit holds.
    pub fn picture(&self, rung: usize, frame: u64, key: bool) -> Vec<u8> {
        let mut unit = vec![0, 0, 0, 1, 9, 0xf0];
        if key {
            unit.extend_from_slice(PARAMETER_SETS);
        }
        unit.extend_from_slice(&[0, 0, 1, if key { 0x65 } else { 0x41 }]);
        unit.extend_from_slice(self.frame_name(rung, frame).as_bytes());
        let filler = self.frame_bytes * if key { 3 } else { 1 } + (frame as usize * 37) % 190;
        unit.resize(unit.len() + filler, 0xaa);
        unit
    }

    /// How a picture is called.
    pub fn frame_name(&self, rung: usize, frame: u64) -> String {
        format!("<v{}/{rung}/{frame}>", self.id)
    }

    /// How an access unit is called.
    pub fn unit_name(&self, unit: u64) -> String {
        format!("<a{}/{unit}>", self.id)
    }

    /// Access unit `unit`, ADTS header included.
    pub fn unit(&self, unit: u64) -> Vec<u8> {
        let mut body = self.unit_name(unit).into_bytes();
        body.resize(body.len() + 20 + (unit as usize * 53) % 300, 0x55);
        let length = body.len() + 7;
        let mut data = vec![
            0xff,
            0xf1,
            0x4c,
            0x80 | (length >> 11) as u8,
            (length >> 3) as u8,
            ((length & 7) as u8) << 5 | 0x1f,
            0xfc,
        ];
        data.extend(body);
        data
    }

    /// The whole stream.
    pub fn bytes(&self) -> Vec<u8> {
        // (when it is written, kind, PES packet)
        let mut events: Vec<(i64, Event)> = Vec::new();
        for rung in 0..self.rungs {
            let (mut decoded, mut first) = (0_u64, 0);
            for (number, frames) in self.gops.iter().enumerate() {
                for shown in decoding_order(*frames, self.b_frames) {
                    let key = shown == 0;
                    let pts = self.start as i64 + ticks(self.rate, first + shown) as i64;
                    let dts = match (self.b_frames, decoded) {
                        (true, 0) => self.start as i64 - ticks(self.rate, 1) as i64,
                        (true, n) => self.start as i64 + ticks(self.rate, n - 1) as i64,
                        (false, _) => pts,
                    };
                    let picture = self.picture(rung, first + shown, key);
                    let event = Event::Video {
                        rung,
                        key,
                        pts,
                        dts,
                        picture,
                        tables: key && number > 0 && rung == 0,
                    };
                    events.push((dts, event));
                    decoded += 1;
                }
                first += frames;
            }
        }
        let units: Vec<u64> = (0..self.units()).collect();
        for group in units.chunks(self.units_per_pes) {
            let pts = self.unit_pts(group[0]);
            let data: Vec<u8> = group.iter().flat_map(|unit| self.unit(*unit)).collect();
            let last = self.unit_pts(group[group.len() - 1]);
            events.push((last + self.audio_lag as i64, Event::Audio { pts, data }));
        }
        events.sort_by_key(|(at, _)| *at);
        let mut writer = Writer::default();
        writer.tables(self.rungs);
        for (_, event) in events {
            match event {
                Event::Video {
                    rung,
                    key,
                    pts,
                    dts,
                    picture,
                    tables,
                } => {
                    if tables {
                        writer.tables(self.rungs);
                    }
                    let pes = pes(0xe0, pts, Some(dts), &picture, false);
                    writer.pes(0x100 + rung as u16, &pes, Some((key, dts)));
                }
                Event::Audio { pts, data } => {
                    writer.pes(AUDIO_PID, &pes(0xc0, pts, None, &data, true), None)
                }
            }
        }
        writer.out
    }

    /// When access unit `unit` is heard, not wrapped.
    pub fn unit_pts(&self, unit: u64) -> i64 {
        self.start as i64 - self.audio_lead as i64 + (unit * UNIT) as i64
    }
}

enum Event {
    Video {
        rung: usize,
        key: bool,
        pts: i64,
        dts: i64,
        picture: Vec<u8>,
        tables: bool,
    },
    Audio {
        pts: i64,
        data: Vec<u8>,
    },
}

/// `frames` frames to the nearest tick.
fn ticks(rate: FrameRate, frames: u64) -> u64 {
    let num = u64::from(rate.num());
    (frames * 90_000 * u64::from(rate.den()) * 2 + num) / (2 * num)
}

/// Two B-frames between references, the GOP closed.
fn decoding_order(frames: u64, b_frames: bool) -> Vec<u64> {
    if !b_frames {
        return (0..frames).collect();
    }
    let mut order = vec![0];
    let mut next = 1;
    while next < frames {
        let reference = (next + 2).min(frames - 1);
        order.push(reference);
        order.extend(next..reference);
        next = reference + 1;
    }
    order
}

fn stamp(prefix: u8, at: i64) -> [u8; 5] {
    let t = at.rem_euclid(WRAP as i64) as u64;
    [
        prefix << 4 | ((t >> 30) as u8 & 7) << 1 | 1,
        (t >> 22) as u8,
        ((t >> 15) as u8) << 1 | 1,
        (t >> 7) as u8,
        (t as u8) << 1 | 1,
    ]
}

fn pes(stream: u8, pts: i64, dts: Option<i64>, payload: &[u8], sized: bool) -> Vec<u8> {
    let dts = dts.filter(|dts| *dts != pts);
    let mut header = vec![
        0,
        0,
        1,
        stream,
        0,
        0,
        0x84,
        if dts.is_some() { 0xc0 } else { 0x80 },
    ];
    header.push(if dts.is_some() { 10 } else { 5 });
    header.extend_from_slice(&stamp(if dts.is_some() { 3 } else { 2 }, pts));
    header.extend(dts.iter().flat_map(|dts| stamp(1, *dts)));
    header.extend_from_slice(payload);
    if sized {
        let length = u16::try_from(header.len() - 6).expect("a short packet");
        header[4..6].copy_from_slice(&length.to_be_bytes());
    }
    header
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    counters: std::collections::HashMap<u16, u8>,
}

impl Writer {
    fn tables(&mut self, rungs: usize) {
        let pids = |n: usize| (n as u16 + 1, 0x1000 + n as u16);
        let pat = (0..rungs).map(pids).flat_map(|(number, pid)| {
            [number.to_be_bytes(), (pid | 0xe000).to_be_bytes()].concat()
        });
        self.table(0, 0, 1, &pat.collect::<Vec<u8>>());
        for rung in 0..rungs {
            let (number, pid) = pids(rung);
            let video = (0x100 + rung as u16) | 0xe000;
            let mut body = video.to_be_bytes().to_vec();
            body.extend([0xf0, 0, 0x1b]);
            body.extend(video.to_be_bytes());
            body.extend([0xf0, 0, 0x0f]);
            body.extend((AUDIO_PID | 0xe000).to_be_bytes());
            // A language descriptor, as FFmpeg writes one.
            body.extend([0xf0, 6, 0x0a, 4, b'u', b'n', b'd', 0]);
            self.table(pid, 2, number, &body);
        }
    }

    fn table(&mut self, pid: u16, id: u8, extension: u16, body: &[u8]) {
        let mut section = vec![id];
        section.extend((0xb000 | (body.len() as u16 + 9)).to_be_bytes());
        section.extend(extension.to_be_bytes());
        section.extend([0xc1, 0, 0]);
        section.extend(body);
        let crc = crc(&section);
        section.extend(crc.to_be_bytes());
        let counter = self.count(pid);
        let start = self.out.len();
        self.out
            .extend([0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10 | counter, 0]);
        self.out.extend(section);
        self.out.resize(start + PACKET, 0xff);
    }

    fn count(&mut self, pid: u16) -> u8 {
        let counter = self.counters.entry(pid).or_insert(15);
        *counter = (*counter + 1) % 16;
        *counter
    }

    /// Writes a PES packet; a video frame has a PCR with it.
    fn pes(&mut self, pid: u16, pes: &[u8], video: Option<(bool, i64)>) {
        let mut rest = pes;
        let mut first = true;
        while !rest.is_empty() {
            let mut field = Vec::new();
            if let Some((key, dts)) = video.filter(|_| first) {
                let pcr = dts.rem_euclid(WRAP as i64) as u64;
                field.push(0x10 | if key { 0x40 } else { 0 });
                field.extend([
                    (pcr >> 25) as u8,
                    (pcr >> 17) as u8,
                    (pcr >> 9) as u8,
                    (pcr >> 1) as u8,
                ]);
                field.extend([(pcr as u8) << 7 | 0x7e, 0]);
            }
            let mut room = PACKET - 4 - if field.is_empty() { 0 } else { field.len() + 1 };
            let mut stuffed = !field.is_empty();
            if rest.len() < room {
                let missing = room - rest.len();
                if !stuffed {
                    stuffed = true;
                    if missing > 1 {
                        field.push(0);
                        field.resize(missing - 1, 0xff);
                    }
                } else {
                    field.resize(field.len() + missing, 0xff);
                }
                room = rest.len();
            }
            let (now, tail) = rest.split_at(room);
            let counter = self.count(pid);
            let start = if first { 0x40 } else { 0 };
            self.out.extend([0x47, start | (pid >> 8) as u8, pid as u8]);
            self.out.push(if stuffed { 0x30 } else { 0x10 } | counter);
            if stuffed {
                self.out.push(field.len() as u8);
                self.out.extend(field);
            }
            self.out.extend(now);
            (rest, first) = (tail, false);
        }
        assert_eq!(self.out.len() % PACKET, 0, "whole packets");
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            };
        }
        crc
    })
}

/// What may happen to a stream on its way: a byte changed, a stretch lost, repeated or made up.
pub fn damage() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u16, u8)>> {
    prop::collection::vec(
        (
            0..4_u8,
            any::<prop::sample::Index>(),
            1..2_000_u16,
            any::<u8>(),
        ),
        1..6,
    )
}
