//! P6 (4.1–4.4, 4.6, 4.7), its output half: HLS and RTMP carry the same bytes of a rung, begin and end with the channel, and go
//! on without a gap or a repetition however often playouts, sources and connections begin anew. What viewers and
//! platforms see of it is judged in `tests/daemon/{recovery,rtmp}.rs`.

use std::sync::Arc;

use jiff::Timestamp;
use playout_actors::{Aired, Taps};
use playout_domain::backoff::Chance;
use playout_domain::lifecycle::{Event as LifeEvent, Lifecycle, Operation};
use playout_domain::output::{Effect, Event, FailureKind, OutputLife, OutputStatus};
use playout_domain::{ChannelStatus, Frame, Timeline};
use playout_media::gop::Gop;
use playout_media::hls::{Segment, Segmenter};
use playout_media::mux::Counters;
use playout_media::splice::{Layout, SourceId, Splicer};
use proptest::prelude::*;
use tokio::sync::mpsc::Receiver;

use crate::support::{Clip, cases, clip, demux, origin, pes_packets, rate, timeline};

const TARGET: u32 = 4;

/// What befalls the channel before a GOP is released.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The source dies; another goes on at the same GOP.
    Source,
    /// The playout dies; the next goes on behind what was published, and catches up.
    Playout,
    /// The platform hangs up.
    Connection,
    /// The retry of the output is due.
    Retry,
    /// The client takes the destination away, or wants it again.
    Switch,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        8 => Just(Trouble::None),
        1 => Just(Trouble::Source),
        2 => Just(Trouble::Playout),
        2 => Just(Trouble::Connection),
        3 => Just(Trouble::Retry),
        1 => Just(Trouble::Switch),
    ]
}

/// The HLS half of a channel, and what of it survives a playout.
struct Hls {
    splicer: Splicer,
    segmenter: Segmenter,
    published: Vec<Segment>,
    /// Where the newest segment ends: the GOP that follows, and the counters there.
    kept: (usize, Vec<Counters>),
    sequence: u64,
}

/// One connection: what came through its tap.
struct Connection {
    flow: Receiver<Arc<Aired>>,
    got: Vec<Arc<Aired>>,
}

impl Connection {
    fn take(&mut self) {
        self.got
            .extend(std::iter::from_fn(|| self.flow.try_recv().ok()));
    }
}

/// GOPs that follow each other on the channel, with their places and where they come from.
fn programme(clips: &[Clip], first: u64) -> Vec<(Frame, Gop, u64)> {
    let mut at = Frame::new(first);
    let mut programme = Vec::new();
    for (content, clip) in (0..).zip(clips) {
        for gop in demux(&clip.bytes(), clip.start, &[65_536]).expect("a sound clip") {
            let frames = u64::from(gop.frames);
            programme.push((at, gop, content));
            at += frames;
        }
    }
    programme
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn p6_both_outputs_carry_the_same_without_a_gap(
        (clips, origin, first, rung) in (rate(), 1..5_usize).prop_flat_map(|(rate, rungs)| {
            let clips = prop::collection::vec(clip(rate, rungs), 1..5);
            (clips, origin(), 0..10_000_000_u64, 0..rungs)
        }),
        troubles in prop::collection::vec(trouble(), 40),
    ) {
        let timeline: Timeline = timeline(clips[0].rate, origin);
        let programme = programme(&clips, first);
        let now = Timestamp::UNIX_EPOCH;
        let mut life = Lifecycle::default();
        life.on(LifeEvent::Operate(Operation::Start), now).expect("is allowed");
        let mut output = OutputLife::default();
        let taps = Taps::default();
        let mut open: Option<Connection> = None;
        let mut over: Vec<Connection> = Vec::new();
        let mut switched_on = true;
        let splicer = Splicer::new(timeline, Layout::StreamPerRung(clips[0].rungs));
        let mut hls = Hls {
            kept: (0, splicer.counters()),
            splicer,
            segmenter: Segmenter::new(&timeline, TARGET, 7),
            published: Vec::new(),
            sequence: 7,
        };
        let mut run = 0;
        // What went out in time; what is released again by a later playout was due before that began.
        let mut newest = 0;
        let mut n = 0;
        let mut troubles = troubles.into_iter().chain(std::iter::repeat(Trouble::None));
        let perform = |effects: Vec<Effect>, open: &mut Option<Connection>, over: &mut Vec<Connection>| {
            for effect in effects {
                match effect {
                    Effect::Connect { .. } => *open = Some(Connection { flow: taps.open(), got: Vec::new() }),
                    Effect::Disconnect => over.extend(open.take()),
                    Effect::RetryAfter { .. } | Effect::Suspended { .. } | Effect::Resumed => {}
                }
            }
        };
        while n < programme.len() {
            let on_air = life.state().status != ChannelStatus::Stopped;
            perform(output.on(Event::Wanted(on_air && switched_on), now, Chance::EVEN), &mut open, &mut over);
            let fresh = n >= newest;
            match troubles.next().filter(|_| fresh).unwrap_or(Trouble::None) {
                Trouble::None => {}
                Trouble::Source => run += 1,
                Trouble::Playout => {
                    run += 1;
                    n = hls.kept.0;
                    hls.splicer = Splicer::resume(timeline, hls.kept.1.clone());
                    let segmenter = Segmenter::new(&timeline, TARGET, hls.sequence);
                    hls.segmenter = segmenter.following(programme[n].0, Vec::new());
                    continue;
                }
                Trouble::Connection => {
                    let connection = output.connection();
                    perform(output.on(Event::Delivering(connection), now, Chance::EVEN), &mut open, &mut over);
                    perform(output.on(Event::Failed(connection, FailureKind::Network), now, Chance::EVEN), &mut open, &mut over);
                }
                Trouble::Retry => {
                    let connection = output.connection();
                    perform(output.on(Event::RetryDue(connection), now, Chance::EVEN), &mut open, &mut over);
                }
                Trouble::Switch => switched_on = !switched_on,
            }
            let (at, gop, content) = programme[n].clone();
            let before = hls.splicer.counters();
            let spliced = hls.splicer.splice(gop, at, SourceId { content, run });
            let (start, end) = (spliced.start, spliced.start + u64::from(spliced.frames));
            taps.send(
                Aired { at: start, frames: spliced.frames, streams: spliced.streams.clone(), begins_item: false },
                fresh,
            );
            n += 1;
            newest = newest.max(n);
            for segment in hls.segmenter.push(spliced) {
                let behind = segment.info.end() == end;
                hls.kept = if behind { (n, hls.splicer.counters()) } else { (n - 1, before.clone()) };
                hls.sequence = segment.info.sequence + 1;
                hls.published.push(segment);
            }
            if let Some(open) = &mut open {
                open.take();
            }
        }
        hls.published.extend(hls.segmenter.close());

        // HLS: every frame once, in numbered segments without a break.
        let mut due = Frame::new(first);
        for (sequence, segment) in (7..).zip(&hls.published) {
            prop_assert_eq!(segment.info.sequence, sequence);
            prop_assert_eq!(segment.info.start, due);
            prop_assert!(!segment.info.discontinuity);
            due = segment.info.end();
        }
        let last = programme.last().expect("a programme");
        prop_assert_eq!(due, last.0 + u64::from(last.1.frames));
        let viewers: Vec<u8> = hls.published.iter().flat_map(|segment| segment.streams[rung].to_vec()).collect();
        let seen = times(&viewers);

        // RTMP: of its rung each connection got a run of the very same, from where it began to where it ended.
        over.extend(open);
        for connection in &over {
            let Some(begin) = connection.got.first().map(|aired| aired.at) else { continue };
            let mut due = begin;
            for aired in &connection.got {
                prop_assert_eq!(aired.at, due, "a gap or a repetition on the way to the platform");
                due += u64::from(aired.frames);
            }
            let stream: Vec<u8> = connection.got.iter().flat_map(|aired| aired.streams[rung].to_vec()).collect();
            prop_assert_eq!(stream[1] & 0x40, 0x40);
            prop_assert_eq!(u16::from(stream[1] & 0x1f) << 8 | u16::from(stream[2]), 0, "a PAT comes first");
            let pushed = times(&stream);
            let from = begin.since(Frame::new(first)) as usize;
            prop_assert_eq!(&pushed[..], &seen[from..from + pushed.len()], "the same pictures at the same times");
            if !connection.got.is_empty() && run == 0 {
                prop_assert!(viewers.windows(stream.len()).any(|part| part == stream), "the same bytes");
            }
        }
        // They end together.
        life.on(LifeEvent::Operate(Operation::Stop), now).expect("is allowed");
        let on_air = life.state().status != ChannelStatus::Stopped;
        output.on(Event::Wanted(on_air && switched_on), now, Chance::EVEN);
        prop_assert_eq!(output.status(), OutputStatus::Off);
        prop_assert!(!on_air);
    }
}

/// The pictures of a stream with when they are shown, in the order in which they come.
fn times(stream: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let packets = pes_packets(stream).into_iter();
    let pictures = packets.filter(|packet| packet.pid == 0x100);
    pictures.map(|packet| (packet.pts, packet.data)).collect()
}
