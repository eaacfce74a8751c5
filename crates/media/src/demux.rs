//! Takes a source's transport stream apart into GOPs.
//!
//! A GOP is complete when the next key frame has begun on every rung and the audio reaches it, or when
//! the stream has ended well. What is not complete is never handed over: after a crash the source is
//! started again at the first frame that is missing, and nothing is lost or repeated.
//!
//! Invariant D1: whatever the bytes are, the demuxer answers with GOPs or an error, and its memory is
//! bounded by `MAX_GOP_BYTES` a GOP and `MAX_WAITING_GOPS` a rung.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use playout_domain::units::{Pts33, Ticks90k};

use crate::audio::{AdtsError, AudioUnit, UNIT, split_adts};
use crate::gop::{FrameStart, Gop, RungVideo, parameter_sets};
use crate::ts::{PACKET, PacketView, PesHeader, StreamKind, parse_pat, parse_pmt};

/// More than this in one GOP of one rung is not a profile's GOP (2 s at 100 Mb/s).
const MAX_GOP_BYTES: usize = 25_000_000;
/// More than this without a GOP is no media, whatever it is: packets of no stream, or what lies before the start.
const MAX_BYTES_WITHOUT_GOP: u64 = 4 * MAX_GOP_BYTES as u64;
/// More complete GOPs than this waiting for audio or another rung mean that it has stopped (60 s).
const MAX_WAITING_GOPS: usize = 30;
/// No audio packet is longer: its length has 16 bits.
const MAX_AUDIO_PES: usize = 65_536;
/// More complete audio than this waiting for video means that the video has stopped (60 s).
const MAX_WAITING_UNITS: usize = 60 * 48_000 / 1024;

/// Later than anything in a stream.
const FOREVER: Ticks90k = Ticks90k::new(u64::MAX);

/// Why a source's bytes cannot be used. Every one of them ends that source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemuxError {
    /// A packet does not begin with the sync byte.
    #[error("not a transport stream at byte {at}")]
    LostSync {
        /// Bytes since the beginning.
        at: u64,
    },
    /// Packets of a stream are missing.
    #[error("packets of PID {pid:#x} are missing at byte {at}")]
    ContinuityGap {
        /// The stream.
        pid: u16,
        /// Bytes since the beginning.
        at: u64,
    },
    /// A packet is marked as damaged or scrambled.
    #[error("a damaged packet at byte {at}")]
    Damaged {
        /// Bytes since the beginning.
        at: u64,
    },
    /// A program has no H.264 video or no AAC audio.
    #[error("program {program} has no {what}")]
    MissingStream {
        /// Its number.
        program: u16,
        /// "H.264 video" or "AAC audio".
        what: &'static str,
    },
    /// A video frame has no usable PES header.
    #[error("a video frame without time stamps at byte {at}")]
    BadFrame {
        /// Bytes since the beginning.
        at: u64,
    },
    /// Audio that cannot be cut into access units.
    #[error("{0}")]
    BadAudio(#[from] AdtsError),
    /// The rungs' key frames are not at the same time.
    #[error("the rungs have their key frames at different times")]
    Misaligned,
    /// No key frame for longer than any profile allows.
    #[error("no key frame within {MAX_GOP_BYTES} bytes")]
    NoKeyFrame,
    /// Bytes come, and no media.
    #[error("no media within {MAX_BYTES_WITHOUT_GOP} bytes")]
    NoMedia,
    /// A GOP's frames do not follow one another by one frame each.
    #[error("the frames of a group of pictures are not evenly spaced")]
    Uneven,
    /// Audio goes on without video.
    #[error("the video has stopped while the audio goes on")]
    VideoStopped,
    /// Video goes on without audio, or without another rung.
    #[error("the audio or a rung has stopped while the video goes on")]
    AudioStopped,
}

/// A stream's 33-bit time stamps made monotonic across the wrap.
#[derive(Debug)]
struct Unwrapper {
    last: Ticks90k,
}

impl Unwrapper {
    /// The first time stamp is taken as the one nearest to `start`.
    fn starting_near(start: Ticks90k) -> Self {
        Self { last: start }
    }

    fn unwrap(&mut self, stamp: Pts33) -> Ticks90k {
        self.last = stamp.unwrapped_near(self.last);
        self.last
    }
}

#[derive(Debug)]
struct Rung {
    clock: Unwrapper,
    building: Option<RungVideo>,
    complete: VecDeque<RungVideo>,
}

#[derive(Debug, Default)]
struct AudioPes {
    pts: Option<Pts33>,
    expected: Option<usize>,
    payload: Vec<u8>,
}

/// What a PID was announced to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Map { program: u16 },
    Video { rung: usize },
    Audio,
}

/// Reads transport stream bytes in pieces of any size and yields GOPs.
#[derive(Debug)]
pub struct Demuxer {
    /// What lies before this on the source's clock is dropped.
    from: Ticks90k,
    /// The beginning of a packet whose rest has not come yet.
    partial: Vec<u8>,
    /// Bytes of whole packets read, for error messages.
    read: u64,
    /// The same when the last GOP was complete.
    read_at_gop: u64,
    roles: HashMap<u16, Role>,
    continuity: HashMap<u16, u8>,
    programs: Vec<u16>,
    rungs: Vec<Rung>,
    audio_clock: Unwrapper,
    audio_pes: AudioPes,
    audio: VecDeque<AudioUnit>,
    /// Where the audio received so far ends.
    audio_end: Option<Ticks90k>,
    ready: VecDeque<Gop>,
}

impl Demuxer {
    /// A demuxer whose first GOP is the first with its key frame at or after `from` on the source's
    /// clock. The clock of video frames is compared with half a tick's tolerance for rounding.
    pub fn starting_at(from: Ticks90k) -> Self {
        Self {
            from,
            partial: Vec::new(),
            read: 0,
            read_at_gop: 0,
            roles: HashMap::new(),
            continuity: HashMap::new(),
            programs: Vec::new(),
            rungs: Vec::new(),
            audio_clock: Unwrapper::starting_near(from),
            audio_pes: AudioPes::default(),
            audio: VecDeque::new(),
            audio_end: None,
            ready: VecDeque::new(),
        }
    }

    /// The next complete GOP, if there is one.
    pub fn next_gop(&mut self) -> Option<Gop> {
        self.ready.pop_front()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), DemuxError> {
        if !self.partial.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(PACKET - self.partial.len()));
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < PACKET {
                return Ok(());
            }
            let packet = std::mem::take(&mut self.partial);
            self.packet(&packet)?;
        }
        let mut packets = bytes.chunks_exact(PACKET);
        for packet in packets.by_ref() {
            self.packet(packet)?;
        }
        self.partial.extend_from_slice(packets.remainder());
        self.gather()
    }

    /// Ends the stream. `clean`: the source said that this was all, so the last GOP is complete.
    pub fn finish(&mut self, clean: bool) -> Result<(), DemuxError> {
        if clean {
            self.close_audio_pes()?;
            for rung in &mut self.rungs {
                rung.complete.extend(rung.building.take());
            }
            self.audio_end = Some(FOREVER);
            self.gather()?;
        }
        Ok(())
    }

    fn packet(&mut self, bytes: &[u8]) -> Result<(), DemuxError> {
        let at = self.read;
        self.read += PACKET as u64;
        let packet = PacketView::new(bytes).ok_or(DemuxError::LostSync { at })?;
        let pid = packet.pid();
        if pid == 0 {
            if packet.starts_unit() && self.programs.is_empty() {
                self.learn_programs(packet);
            }
            return Ok(());
        }
        let Some(&role) = self.roles.get(&pid) else {
            return Ok(());
        };
        if packet.is_damaged() {
            return Err(DemuxError::Damaged { at });
        }
        if packet.has_payload() {
            let counter = packet.continuity();
            match self.continuity.insert(pid, counter) {
                Some(last) if counter == last => return Ok(()), // a packet may be sent twice
                Some(last) if counter != (last + 1) & 0x0f => {
                    return Err(DemuxError::ContinuityGap { pid, at });
                }
                _ => {}
            }
        }
        match role {
            Role::Map { program } => self.learn_streams(packet, program),
            Role::Video { rung } => self.video(packet, bytes, rung, at),
            Role::Audio => self.audio(packet),
        }
    }

    fn learn_programs(&mut self, packet: PacketView<'_>) {
        for (program, pid) in parse_pat(packet).unwrap_or_default() {
            self.programs.push(program);
            let clock = Unwrapper::starting_near(self.from);
            self.rungs.push(Rung {
                clock,
                building: None,
                complete: VecDeque::new(),
            });
            self.roles.insert(pid, Role::Map { program });
        }
    }

    fn learn_streams(&mut self, packet: PacketView<'_>, program: u16) -> Result<(), DemuxError> {
        let Some(rung) = self.programs.iter().position(|&p| p == program) else {
            return Ok(());
        };
        if self
            .roles
            .values()
            .any(|role| *role == Role::Video { rung })
        {
            return Ok(());
        }
        let Some(streams) = parse_pmt(packet) else {
            return Ok(());
        };
        let pid_of = |kind, what| {
            let stream = streams.iter().find(|s| s.kind == kind);
            stream
                .map(|s| s.pid)
                .ok_or(DemuxError::MissingStream { program, what })
        };
        self.roles.insert(
            pid_of(StreamKind::Video, "H.264 video")?,
            Role::Video { rung },
        );
        self.roles
            .insert(pid_of(StreamKind::Audio, "AAC audio")?, Role::Audio);
        Ok(())
    }

    fn video(
        &mut self,
        packet: PacketView<'_>,
        bytes: &[u8],
        rung: usize,
        at: u64,
    ) -> Result<(), DemuxError> {
        let rung = &mut self.rungs[rung];
        if packet.starts_unit() {
            let header = PesHeader::parse(packet.payload()).ok_or(DemuxError::BadFrame { at })?;
            let dts = rung.clock.unwrap(header.dts);
            let pts = header.pts.unwrapped_near(dts);
            if packet.is_random_access() {
                rung.complete.extend(rung.building.take());
                if pts.get() + 1 >= self.from.get() {
                    let empty = RungVideo {
                        packets: Vec::new(),
                        frames: Vec::new(),
                        parameter_sets: Bytes::new(),
                    };
                    rung.building = Some(empty);
                }
            }
            if let Some(gop) = &mut rung.building {
                gop.frames.push(FrameStart {
                    offset: gop.packets.len(),
                    pts,
                    dts,
                });
            }
        }
        if let Some(gop) = &mut rung.building {
            gop.packets.extend_from_slice(bytes);
            if gop.packets.len() > MAX_GOP_BYTES {
                return Err(DemuxError::NoKeyFrame);
            }
        }
        Ok(())
    }

    fn audio(&mut self, packet: PacketView<'_>) -> Result<(), DemuxError> {
        let payload = packet.payload();
        if packet.starts_unit() {
            self.close_audio_pes()?;
            let header = PesHeader::parse(payload).ok_or(AdtsError::NoSync)?;
            self.audio_pes.pts = Some(header.pts);
            self.audio_pes.expected = header.payload_len;
            self.audio_pes
                .payload
                .extend_from_slice(payload.get(header.header_len..).unwrap_or(&[]));
        } else if self.audio_pes.pts.is_some() {
            self.audio_pes.payload.extend_from_slice(payload);
        }
        match self.audio_pes.expected {
            _ if self.audio_pes.payload.len() > MAX_AUDIO_PES => Err(AdtsError::Truncated.into()),
            Some(expected) if self.audio_pes.payload.len() >= expected => self.close_audio_pes(),
            _ => Ok(()),
        }
    }

    fn close_audio_pes(&mut self) -> Result<(), DemuxError> {
        let pes = std::mem::take(&mut self.audio_pes);
        let Some(pts) = pes.pts else { return Ok(()) };
        let pts = self.audio_clock.unwrap(pts);
        for unit in split_adts(&Bytes::from(pes.payload), pts)? {
            let end = unit.pts + UNIT;
            self.audio_end = Some(end);
            // Nothing that ends before the wanted frame is ever heard.
            if end > self.from {
                self.audio.push_back(unit);
            }
        }
        if self.audio.len() > MAX_WAITING_UNITS {
            return Err(DemuxError::VideoStopped);
        }
        Ok(())
    }

    /// Moves what is complete on every rung into `ready`.
    fn gather(&mut self) -> Result<(), DemuxError> {
        while !self.rungs.is_empty() && self.rungs.iter().all(|r| !r.complete.is_empty()) {
            let next_key = self.rungs[0]
                .complete
                .get(1)
                .or(self.rungs[0].building.as_ref());
            let end = next_key.map_or(FOREVER, |next| next.frames[0].pts);
            if self
                .audio_end
                .is_none_or(|audio_end| audio_end <= end && audio_end != FOREVER)
            {
                break;
            }
            let rungs: Vec<RungVideo> = self
                .rungs
                .iter_mut()
                .filter_map(|r| r.complete.pop_front())
                .map(with_parameter_sets)
                .collect();
            let pts = rungs[0].frames[0].pts;
            let frames = rungs[0].frames.len();
            if rungs
                .iter()
                .any(|r| r.frames[0].pts != pts || r.frames.len() != frames)
            {
                return Err(DemuxError::Misaligned);
            }
            if !rungs.iter().all(|rung| is_even(&rung.frames)) {
                return Err(DemuxError::Uneven);
            }
            let units = self.audio.iter().take_while(|unit| unit.pts <= end).count();
            let audio = self.audio.drain(..units).collect();
            self.read_at_gop = self.read;
            self.ready.push_back(Gop {
                pts,
                frames: frames as u32,
                rungs,
                audio,
            });
        }
        if self
            .rungs
            .iter()
            .any(|rung| rung.complete.len() > MAX_WAITING_GOPS)
        {
            return Err(DemuxError::AudioStopped);
        }
        if self.read - self.read_at_gop > MAX_BYTES_WITHOUT_GOP {
            return Err(DemuxError::NoMedia);
        }
        Ok(())
    }
}

/// Whether the key frame is the first that is shown, each further frame is shown equally long after
/// the one before it (to the tick, for rounding), and each is decoded later than the one before it.
fn is_even(frames: &[FrameStart]) -> bool {
    let mut shown: Vec<u64> = frames.iter().map(|frame| frame.pts.get()).collect();
    shown.sort_unstable();
    let steps = || shown.windows(2).map(|pair| pair[1] - pair[0]);
    let (least, most) = (steps().min().unwrap_or(1), steps().max().unwrap_or(1));
    shown[0] == frames[0].pts.get()
        && least > 0
        && most - least <= 1
        && frames.windows(2).all(|pair| pair[0].dts < pair[1].dts)
        && frames.iter().all(|frame| frame.dts <= frame.pts)
}

fn with_parameter_sets(mut video: RungVideo) -> RungVideo {
    let mut head = Vec::new();
    for packet in video
        .frame(0)
        .chunks_exact(PACKET)
        .filter_map(PacketView::new)
        .take(4)
    {
        head.extend_from_slice(packet.payload());
    }
    video.parameter_sets = parameter_sets(&head);
    video
}
