//! The judge of segments: one single-program transport stream, handed over piece by piece.

use std::collections::HashMap;

const PACKET: usize = 188;
const WRAP: u64 = 1 << 33;
/// 1024 samples of 48 kHz.
const UNIT: u64 = 1_920;
const NULL_PID: u16 = 0x1fff;
/// A PCR is due this often, in units of 27 MHz (0.1 s).
const PCR_INTERVAL: u64 = 2_700_000;

/// The 33-bit clock: `a` minus `b`, the shorter way round.
fn ahead(a: u64, b: u64) -> i64 {
    let forward = (a + WRAP - b) % WRAP;
    if forward < WRAP / 2 {
        forward as i64
    } else {
        forward as i64 - WRAP as i64
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Program {
    map: u16,
    video: u16,
    audio: u16,
    pcr: u16,
}

/// What is known of the clocks since the last discontinuity.
#[derive(Default)]
struct Clocks {
    /// PTS of the first frame, and how many frames there are since.
    origin: Option<u64>,
    frames: u64,
    last_dts: Option<u64>,
    next_audio: Option<u64>,
    /// In units of 27 MHz.
    last_pcr: Option<u64>,
    parameter_sets: Option<Vec<Vec<u8>>>,
}

/// A PES packet under way.
#[derive(Default)]
struct Pes {
    bytes: Vec<u8>,
    key: bool,
    pcr: Option<u64>,
    /// Whether PAT and PMT came after the last video packet before this one.
    tables_before: bool,
    /// The PCR before this packet, for audio.
    arrived: Option<u64>,
}

/// Takes a stream's segments in order and collects everything that is wrong with them.
pub struct Judge {
    rate: (u64, u64),
    faults: Vec<String>,
    at: String,
    continuity: HashMap<u16, u8>,
    program: Option<Program>,
    clocks: Clocks,
    total_frames: u64,
    audio_units: u64,
    first_pts: Option<u64>,
    last_pts: Option<u64>,
    /// PTS of the frames of the GOP under way, in decoding order.
    gop: Vec<u64>,
    /// The PTS of the first audio since the last PAT, and of the key frame since then.
    heard: Option<u64>,
    shown: Option<u64>,
    seen_pat: bool,
    seen_pmt: bool,
    video: Option<Pes>,
    audio: Option<Pes>,
    first_video_in_segment: bool,
    started: bool,
}

impl Judge {
    /// A judge of a stream of `num`/`den` frames a second.
    pub fn new(num: u32, den: u32) -> Self {
        Self {
            rate: (u64::from(num), u64::from(den)),
            faults: Vec::new(),
            at: String::new(),
            continuity: HashMap::new(),
            program: None,
            clocks: Clocks::default(),
            total_frames: 0,
            audio_units: 0,
            first_pts: None,
            last_pts: None,
            gop: Vec::new(),
            heard: None,
            shown: None,
            seen_pat: false,
            seen_pmt: false,
            video: None,
            audio: None,
            first_video_in_segment: true,
            started: false,
        }
    }

    /// Everything wrong so far, each fault with its segment.
    pub fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }

    /// Frames so far, across discontinuities.
    pub fn frames(&self) -> u64 {
        self.total_frames
    }

    /// Audio access units so far, across discontinuities.
    pub fn audio_units(&self) -> u64 {
        self.audio_units
    }

    /// PTS of the very first frame, 33 bits.
    pub fn first_pts(&self) -> Option<u64> {
        self.first_pts
    }

    /// The latest PTS of any frame of the last GOP, 33 bits.
    pub fn last_pts(&self) -> Option<u64> {
        self.last_pts
    }

    /// Judges the next segment; `discontinuity` is what the playlist says of it.
    pub fn segment(&mut self, name: &str, bytes: &[u8], discontinuity: bool) {
        self.at = name.to_owned();
        if discontinuity {
            self.clocks = Clocks::default();
            self.continuity.clear();
            self.program = None;
        }
        if bytes.is_empty() {
            self.fault("is empty");
        }
        if !bytes.len().is_multiple_of(PACKET) {
            let length = bytes.len();
            self.fault(format!("has {length} bytes, which are no whole packets"));
        }
        self.first_video_in_segment = true;
        self.started = false;
        (self.seen_pat, self.seen_pmt) = (false, false);
        for (n, packet) in bytes.chunks_exact(PACKET).enumerate() {
            if packet[0] != 0x47 {
                self.fault(format!("packet {n} does not begin with the sync byte"));
                continue;
            }
            self.packet(packet);
        }
        self.end_video();
        self.end_audio();
        self.end_gop();
        if self.first_video_in_segment && !bytes.is_empty() {
            self.fault("has no picture");
        }
    }

    fn fault(&mut self, what: impl AsRef<str>) {
        let fault = format!("{}: {}", self.at, what.as_ref());
        // A broken stream has thousands; the first ones tell the story.
        if self.faults.len() < 200 {
            self.faults.push(fault);
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        let pid = (u16::from(packet[1] & 0x1f) << 8) | u16::from(packet[2]);
        if pid == NULL_PID {
            return;
        }
        if packet[1] & 0x80 != 0 || packet[3] & 0xc0 != 0 {
            self.fault(format!(
                "PID {pid:#x}: a packet is marked damaged or scrambled"
            ));
        }
        let starts = packet[1] & 0x40 != 0;
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        if !has_field && !has_payload {
            self.fault(format!(
                "PID {pid:#x}: a packet has neither payload nor adaptation field"
            ));
            return;
        }
        self.count(pid, packet[3] & 0x0f, has_payload);
        let mut at = 4;
        let (mut key, mut pcr) = (false, None);
        if has_field {
            let length = usize::from(packet[4]);
            let most = if has_payload { 182 } else { 183 };
            if length > most {
                self.fault(format!(
                    "PID {pid:#x}: an adaptation field of {length} bytes does not fit"
                ));
                return;
            }
            at = 5 + length;
            if length > 0 {
                let flags = packet[5];
                key = flags & 0x40 != 0;
                if flags & 0x80 != 0 {
                    self.fault(format!("PID {pid:#x}: discontinuity_indicator is set"));
                }
                if flags & 0x10 != 0 {
                    if length < 7 {
                        self.fault(format!("PID {pid:#x}: a PCR is announced and missing"));
                    } else {
                        let f = &packet[6..12];
                        let base = f[..4].iter().fold(0, |sum, b| sum << 8 | u64::from(*b)) << 1
                            | u64::from(f[4] >> 7);
                        let extension = u64::from(f[4] & 1) << 8 | u64::from(f[5]);
                        if extension >= 300 {
                            self.fault(format!("PID {pid:#x}: a PCR extension of {extension}"));
                        }
                        pcr = Some(base * 300 + extension);
                    }
                }
            }
        }
        let payload = if has_payload { &packet[at..] } else { &[] };
        let first = !std::mem::replace(&mut self.started, true);
        if first && pid != 0 {
            self.fault("does not begin with a PAT");
        }
        match self.program {
            _ if pid == 0 => self.pat(payload, starts),
            Some(program) if pid == program.map => self.pmt(payload, starts, pid),
            Some(program) if pid == program.video => self.video_packet(payload, starts, key, pcr),
            Some(program) if pid == program.audio => {
                if pcr.is_some() {
                    self.fault("the audio carries a PCR, and it is not the PCR's PID");
                }
                self.audio_packet(payload, starts);
            }
            _ => self.fault(format!("PID {pid:#x} belongs to no announced stream")),
        }
    }

    /// ISO/IEC 13818-1 §2.4.3.3; a packet sent twice is allowed there and a fault here.
    fn count(&mut self, pid: u16, counter: u8, has_payload: bool) {
        if let Some(last) = self.continuity.insert(pid, counter) {
            let due = if has_payload { (last + 1) % 16 } else { last };
            if counter != due {
                self.fault(format!(
                    "PID {pid:#x}: continuity counter {counter} where {due} is due"
                ));
            }
        }
    }

    fn section<'a>(
        &mut self,
        payload: &'a [u8],
        starts: bool,
        table: u8,
        name: &str,
    ) -> Option<&'a [u8]> {
        if !starts {
            self.fault(format!("{name} does not fit into one packet"));
            return None;
        }
        let start = 1 + usize::from(*payload.first()?);
        let body = payload
            .get(start..)
            .filter(|s| s.len() >= 3 && s[0] == table);
        let length = body.map(|s| 3 + (usize::from(s[1] & 0x0f) << 8 | usize::from(s[2])));
        let Some(section) = body
            .zip(length)
            .and_then(|(s, n)| s.get(..n))
            .filter(|s| s.len() >= 12)
        else {
            self.fault(format!("{name} cannot be read"));
            return None;
        };
        if checksum(section) != 0 {
            self.fault(format!("{name} has a wrong checksum"));
            return None;
        }
        Some(&section[8..section.len() - 4])
    }

    fn pat(&mut self, payload: &[u8], starts: bool) {
        let Some(body) = self.section(payload, starts, 0, "the PAT") else {
            return;
        };
        let programs: Vec<&[u8]> = body.chunks_exact(4).filter(|e| e[..2] != [0, 0]).collect();
        if programs.len() != 1 {
            let count = programs.len();
            self.fault(format!("the PAT names {count} programs instead of one"));
            return;
        }
        let map = u16::from(programs[0][2] & 0x1f) << 8 | u16::from(programs[0][3]);
        match self.program {
            None => {
                self.program = Some(Program {
                    map,
                    video: 0xffff,
                    audio: 0xffff,
                    pcr: 0xffff,
                })
            }
            Some(program) if program.map != map => self.fault("the PMT's PID has changed"),
            Some(_) => {}
        }
        self.seen_pat = true;
        (self.heard, self.shown) = (None, None);
    }

    fn pmt(&mut self, payload: &[u8], starts: bool, pid: u16) {
        let Some(body) = self.section(payload, starts, 2, "the PMT") else {
            return;
        };
        let pcr = u16::from(body[0] & 0x1f) << 8 | u16::from(body[1]);
        let mut at = 4 + (usize::from(body[2] & 0x0f) << 8 | usize::from(body[3]));
        let (mut video, mut audio) = (Vec::new(), Vec::new());
        while let Some(entry) = body.get(at..at + 5) {
            let stream = u16::from(entry[1] & 0x1f) << 8 | u16::from(entry[2]);
            match entry[0] {
                0x1b => video.push(stream),
                0x0f => audio.push(stream),
                other => self.fault(format!("the PMT names a stream of type {other:#x}")),
            }
            at += 5 + (usize::from(entry[3] & 0x0f) << 8 | usize::from(entry[4]));
        }
        let ([video], [audio]) = (&video[..], &audio[..]) else {
            self.fault("the PMT does not name just one H.264 and one AAC stream");
            return;
        };
        if pcr != *video {
            self.fault("the PMT says that the PCR is not with the video");
        }
        let now = Program {
            map: pid,
            video: *video,
            audio: *audio,
            pcr,
        };
        if self
            .program
            .is_some_and(|known| known.video != 0xffff && known != now)
        {
            self.fault("the PMT has changed");
        }
        self.program = Some(now);
        self.seen_pmt = true;
    }

    fn video_packet(&mut self, payload: &[u8], starts: bool, key: bool, pcr: Option<u64>) {
        if let Some(pcr) = pcr {
            if let Some(last) = self.clocks.last_pcr {
                let step = (pcr + WRAP * 300 - last) % (WRAP * 300);
                if step == 0 || step > WRAP * 150 {
                    self.fault("the PCR does not go forward");
                } else if step > PCR_INTERVAL {
                    self.fault(format!("no PCR for {} ms", step / 27_000));
                }
            }
            self.clocks.last_pcr = Some(pcr);
        }
        if starts {
            self.end_video();
            let tables_before = self.seen_pat && self.seen_pmt;
            self.video = Some(Pes {
                bytes: payload.to_vec(),
                key,
                pcr,
                tables_before,
                ..Pes::default()
            });
            if key {
                self.shown = first_stamp(payload);
                self.compare();
            }
        } else if let Some(pes) = &mut self.video {
            pes.bytes.extend_from_slice(payload);
            pes.pcr = pes.pcr.or(pcr);
        } else if !payload.is_empty() {
            self.fault("video goes on before it has begun");
        }
        (self.seen_pat, self.seen_pmt) = (false, false);
    }

    fn audio_packet(&mut self, payload: &[u8], starts: bool) {
        if starts {
            self.end_audio();
            let arrived = self.clocks.last_pcr;
            self.audio = Some(Pes {
                bytes: payload.to_vec(),
                arrived,
                ..Pes::default()
            });
            if self.heard.is_none() {
                self.heard = first_stamp(payload);
                self.compare();
            }
        } else if let Some(pes) = &mut self.audio {
            pes.bytes.extend_from_slice(payload);
        } else if !payload.is_empty() {
            self.fault("audio goes on before it has begun");
        }
    }

    /// The first sound of a GOP belongs to its key frame, whichever of them comes first.
    fn compare(&mut self) {
        if let (Some(heard), Some(shown)) = (self.heard, self.shown)
            && ahead(heard, shown).unsigned_abs() > UNIT / 2 + 1
        {
            let apart = ahead(heard, shown);
            self.fault(format!(
                "audio at {heard}: {apart} ticks from the key frame it sounds with"
            ));
        }
    }

    /// PTS, DTS and payload of a PES packet (§2.4.3.6).
    fn open(&mut self, bytes: &[u8], what: &str) -> Option<(u64, u64, Vec<u8>)> {
        let wrong = |judge: &mut Self, why: &str| {
            judge.fault(format!("{what}: {why}"));
            None
        };
        if bytes.len() < 14 || bytes[..3] != [0, 0, 1] {
            return wrong(self, "a PES packet has no header");
        }
        let end = 9 + usize::from(bytes[8]);
        let flags = bytes[7] >> 6;
        if !matches!(flags, 2 | 3)
            || bytes.len() < end
            || bytes[8] < if flags == 3 { 10 } else { 5 }
        {
            return wrong(self, "a PES packet has no time stamp");
        }
        let Some(pts) = stamp(&bytes[9..14], flags) else {
            return wrong(self, "a damaged PTS");
        };
        let dts = if flags == 3 {
            stamp(&bytes[14..19], 1)
        } else {
            Some(pts)
        };
        let Some(dts) = dts else {
            return wrong(self, "a damaged DTS");
        };
        let declared = usize::from(bytes[4]) << 8 | usize::from(bytes[5]);
        if declared != 0 && declared + 6 != bytes.len() {
            let has = bytes.len();
            self.fault(format!(
                "{what}: a PES packet of {has} bytes says it has {}",
                declared + 6
            ));
        }
        Some((pts, dts, bytes[end..].to_vec()))
    }

    fn end_video(&mut self) {
        let Some(pes) = self.video.take() else { return };
        let Some((pts, dts, data)) = self.open(&pes.bytes, "video") else {
            return;
        };
        let units = nal_units(&data);
        let kinds: Vec<u8> = units.iter().map(|unit| unit[0] & 0x1f).collect();
        let is_idr = kinds.contains(&5);
        if kinds.first() != Some(&9) || kinds.iter().filter(|kind| **kind == 9).count() != 1 {
            self.fault(format!(
                "frame at {pts}: not one access unit behind its delimiter"
            ));
        }
        if !kinds.iter().any(|kind| matches!(kind, 1 | 5)) {
            self.fault(format!("frame at {pts}: no slice"));
        }
        if is_idr != pes.key {
            self.fault(format!(
                "frame at {pts}: IDR {is_idr}, random_access_indicator {}",
                pes.key
            ));
        }
        if std::mem::replace(&mut self.first_video_in_segment, false) && !is_idr {
            self.fault("does not begin with a key frame");
        }
        if is_idr {
            self.key_frame(pts, &pes, &units);
        }
        let ticks = self.ticks(1);
        if let Some(last) = self.clocks.last_dts {
            let step = ahead(dts, last);
            if (step - ticks as i64).abs() > self.tolerance() || step <= 0 {
                self.fault(format!(
                    "frame at {pts}: DTS step of {step} ticks, a frame has {ticks}"
                ));
            }
        }
        self.clocks.last_dts = Some(dts);
        if ahead(pts, dts) < 0 {
            self.fault(format!("frame at {pts}: decoded after it is shown"));
        }
        match pes.pcr {
            Some(pcr) if ahead(dts, pcr / 300) < 0 => {
                self.fault(format!("frame at {pts}: the PCR is past its DTS"))
            }
            Some(pcr) if ahead(dts, pcr / 300) > 90_000 => {
                self.fault(format!(
                    "frame at {pts}: it comes more than a second before its DTS"
                ));
            }
            Some(_) => {}
            None if pes.key => self.fault(format!("frame at {pts}: a key frame without PCR")),
            None => {}
        }
        self.gop.push(pts);
        self.total_frames += 1;
        self.first_pts = self.first_pts.or(Some(pts));
    }

    fn key_frame(&mut self, pts: u64, pes: &Pes, units: &[&[u8]]) {
        self.end_gop();
        if !pes.tables_before {
            self.fault(format!("key frame at {pts}: no PAT and PMT before it"));
        }
        let sets: Vec<Vec<u8>> = units
            .iter()
            .filter(|u| matches!(u[0] & 0x1f, 7 | 8))
            .map(|u| u.to_vec())
            .collect();
        if !sets.iter().any(|s| s[0] & 0x1f == 7) || !sets.iter().any(|s| s[0] & 0x1f == 8) {
            self.fault(format!("key frame at {pts}: no SPS and PPS"));
        } else if self
            .clocks
            .parameter_sets
            .as_ref()
            .is_some_and(|known| *known != sets)
        {
            self.fault(format!(
                "key frame at {pts}: the parameter sets have changed"
            ));
        }
        self.clocks.parameter_sets = Some(sets);
    }

    /// Every frame of a GOP must be shown just once, in its place, and none before its key frame.
    fn end_gop(&mut self) {
        let mut shown = std::mem::take(&mut self.gop);
        let Some(&key) = shown.first() else { return };
        shown.sort_by_key(|pts| ahead(*pts, key));
        if shown[0] != key {
            self.fault(format!(
                "GOP at {key}: a frame is shown before its key frame"
            ));
        }
        for pts in &shown {
            let origin = *self.clocks.origin.get_or_insert(key);
            let due = (origin + self.ticks(self.clocks.frames)) % WRAP;
            let late = ahead(*pts, due);
            if late.abs() > self.tolerance() {
                self.fault(format!(
                    "frame shown at {pts}: {late} ticks after its place on the clock"
                ));
                // What follows is judged against where the stream went on.
                self.clocks.origin = Some(*pts);
                self.clocks.frames = 0;
            }
            self.clocks.frames += 1;
        }
        self.last_pts = shown.last().copied();
    }

    fn end_audio(&mut self) {
        let Some(pes) = self.audio.take() else { return };
        let Some((pts, _, data)) = self.open(&pes.bytes, "audio") else {
            return;
        };
        if let Some(due) = self.clocks.next_audio
            && due != pts
        {
            self.fault(format!(
                "audio at {pts}: {} ticks after where it is due",
                ahead(pts, due)
            ));
        }
        if let Some(pcr) = pes.arrived
            && ahead(pts, pcr / 300) < 0
        {
            self.fault(format!("audio at {pts}: it comes after it is to be heard"));
        }
        let mut next = pts;
        let mut rest = &data[..];
        while !rest.is_empty() {
            let Some(length) = adts_length(rest) else {
                self.fault(format!(
                    "audio at {next}: no whole ADTS unit of 48 kHz stereo"
                ));
                break;
            };
            rest = &rest[length..];
            next = (next + UNIT) % WRAP;
            self.audio_units += 1;
        }
        self.clocks.next_audio = Some(next);
    }

    fn ticks(&self, frames: u64) -> u64 {
        let (num, den) = self.rate;
        let scaled = u128::from(frames) * 90_000 * u128::from(den);
        ((scaled + u128::from(num) / 2) / u128::from(num)) as u64
    }

    /// Where a frame is no whole number of ticks, source and output may each round.
    fn tolerance(&self) -> i64 {
        let (num, den) = self.rate;
        if 90_000 * den % num == 0 { 0 } else { 2 }
    }
}

/// The PTS of a PES packet that begins in `payload`.
fn first_stamp(payload: &[u8]) -> Option<u64> {
    stamp(payload.get(9..14)?, payload[7] >> 6)
}

fn stamp(bytes: &[u8], prefix: u8) -> Option<u64> {
    let good = bytes[0] >> 4 == prefix && bytes[0] & bytes[2] & bytes[4] & 1 == 1;
    let part = |high: u8, low: u8| u64::from(high) << 7 | u64::from(low >> 1);
    good.then(|| {
        u64::from(bytes[0] >> 1 & 7) << 30
            | part(bytes[1], bytes[2]) << 15
            | part(bytes[3], bytes[4])
    })
}

/// The length of the AAC unit at the head of `bytes` (ISO/IEC 13818-7 §6.2.1).
fn adts_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..7)?;
    let good = head[0] == 0xff && head[1] & 0xf6 == 0xf0 && head[2] >> 2 & 15 == 3;
    let channels = (head[2] & 1) << 2 | head[3] >> 6;
    let length =
        usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
    (good && channels == 2 && length > 7 && length <= bytes.len()).then_some(length)
}

/// The NAL units of an Annex B access unit, without start codes and trailing zeros.
fn nal_units(data: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= data.len() {
        match data[at + 2] {
            1 if data[at] == 0 && data[at + 1] == 0 => {
                starts.push(at + 3);
                at += 3;
            }
            0 | 1 => at += 1,
            _ => at += 3,
        }
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 3)
        .chain([data.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let unit = &data[*start..end];
        &unit[..unit
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1)]
    });
    units.filter(|unit| !unit.is_empty()).collect()
}

/// CRC-32/MPEG-2; zero over a section with its checksum.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| u32::from(byte >> n & 1)))
    {
        let feedback = (crc >> 31) ^ bit;
        crc = (crc << 1) ^ (feedback * 0x04c1_1db7);
    }
    crc
}
