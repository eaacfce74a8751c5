//! The splicer: puts GOPs of any source onto the channel's one unbroken clock.
//!
//! Where a frame lies on the output clock is a pure function of its number ([`Timeline::ticks`]),
//! and so is the grid of audio access units; a splice therefore cannot drift, however many there are.
//!
//! Rules (measured over hundreds of splices):
//! - the first frame of a new source follows the last frame of the old one by one frame;
//! - the first access unit of a new source is the one nearest to the old audio's end, chosen anew from
//!   the video at each splice, so sound and picture differ by half a unit (10.7 ms) at most, never more;
//! - a restart of the same source at the place where it stopped keeps its audio offset, so no unit is
//!   lost or heard twice;
//! - a unit that a source does not deliver is replaced by silence, and the next one is where it belongs.
//!
//! Invariant S1: the output clock only moves forward, one frame at a time, across the 33-bit wrap.
//! Invariant S2: continuity counters have no error within what one splicer wrote.

use std::collections::VecDeque;

use bytes::Bytes;
use playout_domain::units::{Frame, Ticks90k, Timeline};

use crate::audio::{AudioUnit, UNIT, silent_unit};
use crate::gop::Gop;
use crate::mux::{Counters, Mux, PlacedUnit};

/// Tells one source from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceId {
    /// What is played: the same for every run of one plan entry.
    pub content: u64,
    /// Which run of it: each process, or each opening of a file, has its own.
    pub run: u64,
}

/// One GOP of the output, on every rung.
#[derive(Debug, Clone)]
pub struct SplicedGop {
    /// The number of its first frame.
    pub start: Frame,
    /// How many frames it has.
    pub frames: u32,
    /// The bytes of each stream: whole packets, beginning with PAT, PMT and a key frame.
    pub streams: Vec<Bytes>,
    /// SPS and PPS of each rung.
    pub parameter_sets: Vec<Bytes>,
    /// Access units that the source did not deliver and silence stands for.
    pub silent_units: u32,
}

/// What the splicer remembers of the source it is taking GOPs from.
#[derive(Debug)]
struct Current {
    id: SourceId,
    /// The frame that would follow without a splice.
    next: Frame,
    /// Where the source's video ends, on its own clock.
    end: Ticks90k,
    /// The source's audio time that sounds at the next place of the output's grid.
    audio_next: Ticks90k,
    /// Units received and not yet used.
    pending: VecDeque<AudioUnit>,
}

/// How rungs become transport streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One stream for each of so many rungs, as viewers get them.
    StreamPerRung(usize),
    /// One stream with a program for each of so many rungs, as prepared files are.
    ProgramPerRung(usize),
}

/// See the module's head.
#[derive(Debug)]
pub struct Splicer {
    timeline: Timeline,
    layout: Layout,
    /// One for each output stream.
    muxes: Vec<Mux>,
    current: Option<Current>,
}

impl Splicer {
    /// A splicer on the channel's clock.
    pub fn new(timeline: Timeline, layout: Layout) -> Self {
        let muxes = match layout {
            Layout::StreamPerRung(rungs) => vec![Mux::new(1); rungs],
            Layout::ProgramPerRung(rungs) => vec![Mux::new(rungs)],
        };
        Self {
            timeline,
            layout,
            muxes,
            current: None,
        }
    }

    /// A splicer with a stream for each rung that goes on after an earlier one with these counters.
    pub fn resume(timeline: Timeline, counters: Vec<Counters>) -> Self {
        let layout = Layout::StreamPerRung(counters.len());
        Self {
            timeline,
            layout,
            muxes: counters.into_iter().map(Mux::resume).collect(),
            current: None,
        }
    }

    /// The continuity counters, one set for each stream, to be persisted.
    pub fn counters(&self) -> Vec<Counters> {
        self.muxes
            .iter()
            .map(|mux| mux.counters().clone())
            .collect()
    }

    /// Writes `gop` so that its first frame is frame `at` of the channel. A GOP with fewer rungs than
    /// the channel gives every missing rung its first.
    pub fn splice(&mut self, gop: Gop, at: Frame, source: SourceId) -> SplicedGop {
        let end = at + u64::from(gop.frames);
        let placed = self.timeline.ticks(at);
        let first_unit = self.timeline.audio_unit(at);
        let count = (self.timeline.audio_unit(end) - first_unit) as usize;
        let gop_ticks = self.timeline.ticks(end).saturating_sub(placed);

        let grid_start = self.timeline.audio_ticks(first_unit);
        let mut current = self.enter(&gop, at, source, placed, grid_start);
        current.pending.extend(gop.audio);
        let (units, silent_units) = take_units(&mut current, count);
        let audio: Vec<PlacedUnit<'_>> = (first_unit..)
            .zip(&units)
            .map(|(unit, data)| PlacedUnit {
                pts: self.timeline.audio_ticks(unit),
                data,
            })
            .collect();

        let rung = |index| gop.rungs.get(index).unwrap_or(&gop.rungs[0]);
        let mut streams = Vec::with_capacity(self.muxes.len());
        for (index, mux) in self.muxes.iter_mut().enumerate() {
            let videos = match self.layout {
                Layout::StreamPerRung(_) => vec![rung(index)],
                Layout::ProgramPerRung(rungs) => (0..rungs).map(rung).collect(),
            };
            let mut out = Vec::new();
            mux.write(&mut out, &videos, gop.pts, placed, &audio);
            streams.push(Bytes::from(out));
        }
        current.next = end;
        current.end = gop.pts + gop_ticks;
        self.current = Some(current);
        let parameter_sets = gop
            .rungs
            .iter()
            .map(|rung| rung.parameter_sets.clone())
            .collect();
        SplicedGop {
            start: at,
            frames: gop.frames,
            streams,
            parameter_sets,
            silent_units,
        }
    }

    /// The state to go on with: the one there is where the GOP follows it, a new one at a splice.
    fn enter(
        &mut self,
        gop: &Gop,
        at: Frame,
        id: SourceId,
        placed: Ticks90k,
        grid_start: Ticks90k,
    ) -> Current {
        if let Some(mut last) = self.current.take()
            && last.id.content == id.content
            && last.next == at
            && distance(gop.pts, last.end) <= 1
        {
            if last.id != id {
                last.pending.clear();
                last.id = id;
            }
            return last;
        }
        // The source's audio time that would sound at `grid_start` if sound and picture kept their
        // exact distance; the unit nearest to it is the first.
        let ideal = (gop.pts + grid_start).saturating_sub(placed);
        let audio_next = gop
            .audio
            .first()
            .map_or(ideal, |unit| nearest_unit(unit.pts, ideal));
        Current {
            id,
            next: at,
            end: gop.pts,
            audio_next,
            pending: VecDeque::new(),
        }
    }
}

/// Of the units that stand side by side with one at `unit`, the beginning of the nearest to `ideal`,
/// whether it has been received or not.
fn nearest_unit(unit: Ticks90k, ideal: Ticks90k) -> Ticks90k {
    let step = UNIT.get() as i64;
    let ahead = ideal.get() as i64 - unit.get() as i64;
    let steps = (ahead + step / 2 - 1).div_euclid(step);
    Ticks90k::new(unit.get().saturating_add_signed(steps * step))
}

fn distance(a: Ticks90k, b: Ticks90k) -> u64 {
    a.get().abs_diff(b.get())
}

/// Takes the next `count` units in order; answers them and how many of them are silence.
fn take_units(current: &mut Current, count: usize) -> (Vec<Bytes>, u32) {
    const HALF: u64 = UNIT.get() / 2;
    let mut silent = 0;
    let mut units = Vec::with_capacity(count);
    for _ in 0..count {
        let wanted = current.audio_next;
        while current
            .pending
            .front()
            .is_some_and(|unit| unit.pts + Ticks90k::new(HALF) <= wanted)
        {
            current.pending.pop_front();
        }
        let unit = match current.pending.front() {
            Some(unit) if distance(unit.pts, wanted) <= HALF => current.pending.pop_front(),
            _ => None,
        };
        silent += u32::from(unit.is_none());
        units.push(unit.map_or_else(silent_unit, |unit| unit.data));
        current.audio_next = wanted + UNIT;
    }
    (units, silent)
}
