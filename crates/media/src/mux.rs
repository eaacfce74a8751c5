//! Writes GOPs as a transport stream: tables first, then video packets patched in place and audio
//! packed anew, in decoding order. The continuity counters are its only state.

use playout_domain::units::Ticks90k;

use crate::gop::RungVideo;
use crate::ts::{
    PACKET, PacketView, SYNC, patch_continuity, patch_pcr, patch_pes_times, patch_pid, write_pat,
    write_pes_header, write_pmt,
};

const MAP_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x110;
/// Payload of one audio PES packet, at most: fewer headers, and still under 0.2 s at 128 kb/s.
const AUDIO_PES_BYTES: usize = 2930;

/// The continuity counters of one output stream, per PID. What is persisted of a mux.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    tables: u8,
    audio: u8,
    video: Vec<u8>,
}

/// The writer of one transport stream with one program for each rung, all sharing the audio.
#[derive(Debug, Clone)]
pub struct Mux {
    counters: Counters,
}

/// One access unit and the time it gets on the output's clock.
#[derive(Debug, Clone)]
pub struct PlacedUnit<'a> {
    /// Output time, unwrapped.
    pub pts: Ticks90k,
    /// The unit, or silence in its place.
    pub data: &'a [u8],
}

impl Mux {
    /// A stream with `programs` programs, every counter at its beginning.
    pub fn new(programs: usize) -> Self {
        Self {
            counters: Counters {
                tables: 0,
                audio: 0,
                video: vec![0; programs],
            },
        }
    }

    /// A stream that goes on where one with these counters stopped.
    pub fn resume(counters: Counters) -> Self {
        Self { counters }
    }

    /// The counters as they are after what has been written.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Appends one GOP: `rungs` in program order, moved so that source time `from` becomes output
    /// time `to`, with the audio already placed on the output's clock.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        rungs: &[&RungVideo],
        from: Ticks90k,
        to: Ticks90k,
        audio: &[PlacedUnit<'_>],
    ) {
        let video_bytes: usize = rungs.iter().map(|r| r.packets.len()).sum();
        let audio_bytes: usize = audio.iter().map(|u| u.data.len()).sum();
        out.reserve(video_bytes + audio_bytes * 11 / 10 + 16 * PACKET);
        self.write_tables(out, rungs.len());

        // In decoding order over all rungs; the sort is stable, so equal times stay in rung order.
        let mut frames: Vec<(Ticks90k, usize, usize)> = rungs
            .iter()
            .enumerate()
            .flat_map(|(r, rung)| {
                rung.frames
                    .iter()
                    .enumerate()
                    .map(move |(f, start)| (start.dts, r, f))
            })
            .collect();
        frames.sort_by_key(|&(dts, ..)| dts);

        let offset = to.get() as i64 - from.get() as i64;
        let mut audio = audio;
        for (dts, rung, frame) in frames {
            // `dts` may lie before `from` by the reordering delay, so it is compared as `dts + to`.
            let due = dts + to;
            while let Some(first) = audio.first()
                && first.pts + from <= due
            {
                audio = self.write_audio(out, audio);
            }
            self.write_frame(out, rungs[rung].frame(frame), rung, offset);
        }
        while !audio.is_empty() {
            audio = self.write_audio(out, audio);
        }
    }

    fn write_tables(&mut self, out: &mut Vec<u8>, programs: usize) {
        let maps: Vec<(u16, u16)> = (0..programs as u16).map(|p| (p + 1, MAP_PID + p)).collect();
        let counter = self.counters.tables;
        write_pat(out, &maps, counter);
        for (rung, (number, pid)) in (0..).zip(maps) {
            write_pmt(out, pid, number, VIDEO_PID + rung, AUDIO_PID, counter);
        }
        self.counters.tables = (counter + 1) & 0x0f;
    }

    fn write_frame(&mut self, out: &mut Vec<u8>, packets: &[u8], rung: usize, offset: i64) {
        let start = out.len();
        out.extend_from_slice(packets);
        let counter = &mut self.counters.video[rung];
        for packet in out[start..].chunks_exact_mut(PACKET) {
            let Some(view) = PacketView::new(packet) else {
                continue;
            };
            let (starts, payload_at) = (view.starts_unit(), view.payload_offset());
            let (has_pcr, has_payload) = (view.has_pcr(), view.has_payload());
            patch_pid(packet, VIDEO_PID + rung as u16);
            if has_pcr {
                patch_pcr(packet, offset);
            }
            if starts {
                patch_pes_times(&mut packet[payload_at..], offset);
            }
            // A packet without payload repeats the counter of the one before it (§2.4.3.3).
            if has_payload {
                patch_continuity(packet, *counter);
                *counter = (*counter + 1) & 0x0f;
            } else {
                patch_continuity(packet, counter.wrapping_sub(1) & 0x0f);
            }
        }
    }

    /// Writes one PES packet with as many units as fit, and answers the rest.
    fn write_audio<'a, 'b>(
        &mut self,
        out: &mut Vec<u8>,
        units: &'a [PlacedUnit<'b>],
    ) -> &'a [PlacedUnit<'b>] {
        let mut bytes = 0;
        let fit = units.iter().take_while(|unit| {
            bytes += unit.data.len();
            bytes <= AUDIO_PES_BYTES
        });
        let (now, rest) = units.split_at(fit.count().max(1));
        let payload_len = now.iter().map(|u| u.data.len()).sum();
        let mut pes = Vec::with_capacity(payload_len + 14);
        write_pes_header(&mut pes, now[0].pts.wrapped(), payload_len);
        for unit in now {
            pes.extend_from_slice(unit.data);
        }
        let mut first = true;
        let mut left = pes.as_slice();
        while !left.is_empty() {
            let (chunk, tail) = left.split_at(left.len().min(PACKET - 4));
            self.write_payload_packet(out, chunk, first);
            (left, first) = (tail, false);
        }
        rest
    }

    /// One audio packet; a short payload is preceded by stuffing in an adaptation field (§2.4.3.5).
    fn write_payload_packet(&mut self, out: &mut Vec<u8>, payload: &[u8], first: bool) {
        let [pid_high, pid_low] = AUDIO_PID.to_be_bytes();
        let stuffing = PACKET - 4 - payload.len();
        let control = if stuffing > 0 { 0x30 } else { 0x10 };
        out.extend_from_slice(&[
            SYNC,
            pid_high | if first { 0x40 } else { 0 },
            pid_low,
            control | self.counters.audio,
        ]);
        if stuffing > 0 {
            out.push((stuffing - 1) as u8);
            if stuffing > 1 {
                out.push(0);
                out.resize(out.len() + stuffing - 2, 0xff);
            }
        }
        out.extend_from_slice(payload);
        self.counters.audio = (self.counters.audio + 1) & 0x0f;
    }
}
