//! What a playout promises where it keeps, takes up and offers what it has made: no process, no
//! socket, no wait for the clock.
#![allow(clippy::unwrap_used)]

mod drawing;
mod edges;
mod failing;
mod gate;
mod hls_output;
mod queue;
mod resume;
mod spool;
mod subtitles;
#[path = "../../../../crates/media/tests/support/mod.rs"]
mod support;
mod taps;

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::config::SubtitleSetting;
use playout_domain::units::{Frame, FrameRate, Ticks90k, Timeline};
use playout_media::hls::{MediaPlaylist, PlaylistState, Segment, SegmentInfo};
use playout_media::mux::Counters;
use playout_media::splice::{Layout, Splicer};

use super::spool::Record;

/// Frames of a full segment: four seconds.
const SEGMENT: u64 = 100;
const WINDOW: usize = 4;
const RUNG: &str = "240p";

fn timeline() -> Timeline {
    Timeline {
        epoch: Timestamp::from_second(2_000_000_000).unwrap(),
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k::new(0),
    }
}

fn counters() -> Vec<Counters> {
    Splicer::new(timeline(), Layout::StreamPerRung(1)).counters()
}

/// The segment of that number, as every playout would make it: its bytes tell its number.
fn segment(sequence: u64) -> Segment {
    let bytes = Bytes::from(format!("segment {sequence}"));
    let info = SegmentInfo {
        sequence,
        discontinuity: false,
        start: Frame::new(sequence * SEGMENT),
        frames: SEGMENT,
        bytes: vec![bytes.len() as u64],
    };
    Segment {
        info,
        streams: vec![bytes],
        subtitles: Vec::new(),
    }
}

/// The languages of a channel, as its configuration has them.
fn languages(tags: &[&str]) -> Vec<SubtitleSetting> {
    let tags = tags.iter().map(|tag| SubtitleSetting {
        language: tag.parse().unwrap(),
        name: (*tag).to_owned(),
        default: false,
    });
    tags.collect()
}

/// The segment with what is said in it: that tells its number, too.
fn spoken(sequence: u64, tag: &str) -> Segment {
    let text = Bytes::from(format!("{tag} {sequence}"));
    Segment {
        subtitles: vec![(tag.parse().unwrap(), text)],
        ..segment(sequence)
    }
}

/// The record behind the segments up to `last`, of which `past` have left the window.
fn record(first: u64, past: u64, last: u64) -> Record {
    let info = |sequence| segment(sequence).info;
    Record {
        version: Record::VERSION,
        profile: "profile".into(),
        timeline: timeline(),
        next_sequence: last + 1,
        next: Frame::new((last + 1) * SEGMENT),
        counters: counters(),
        parameter_sets: vec!["0102ff".into()],
        rungs: vec![RUNG.into()],
        playlist: PlaylistState {
            discontinuity_sequence: 7,
            segments: (first + past..=last).map(info).collect(),
        },
        past: (first..first + past).map(info).collect(),
        airing: None,
    }
}

fn playlist(state: PlaylistState) -> MediaPlaylist {
    MediaPlaylist::resume(timeline(), 4, WINDOW, state)
}
