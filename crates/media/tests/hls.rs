//! H1: whatever happens to a channel, its playlist never goes back, a number always stands for the same
//! segment, no segment is longer than the target, and a discontinuity is where the stream breaks.

mod support;
#[path = "../../../tests/judge/mod.rs"]
mod verdict;

use bytes::Bytes;
use playout_domain::units::{Frame, FrameRate, Timeline};
use playout_media::hls::{
    MediaPlaylist, PlaylistState, Segment, SegmentInfo, Segmenter, Variant, codecs,
    master_playlist, segment_name, segment_number,
};
use playout_media::splice::SplicedGop;
use proptest::prelude::*;
use std::collections::HashMap;
use support::{PARAMETER_SETS, cases, rate, timeline};
use verdict::{PlaylistHistory, playlist};

/// What happens to a channel.
#[derive(Debug, Clone)]
enum Step {
    /// A GOP of this part of a full one comes, in 1/256, where the one before it ended.
    Gop(u8),
    /// The next GOP is so many frames further on.
    Jump(u16),
    /// The next GOPs have other parameter sets.
    Profile(u8),
    /// The segment under way is closed early.
    Close,
    /// The daemon is replaced by one that reads what was persisted.
    Resume,
    /// What was persisted is lost: a fresh window, above any number that may have been used.
    Lose(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Gop(255)),
        4 => any::<u8>().prop_map(Step::Gop),
        1 => (1..5_000_u16).prop_map(Step::Jump),
        1 => (0..3_u8).prop_map(Step::Profile),
        1 => Just(Step::Close),
        1 => Just(Step::Resume),
        1 => any::<u8>().prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..120)
}

fn gop(start: Frame, frames: u64, profile: u8, rungs: usize) -> SplicedGop {
    let bytes = |rung: usize| Bytes::from(format!("[{start}+{frames}/{rung}]"));
    SplicedGop {
        start,
        frames: frames as u32,
        streams: (0..rungs).map(bytes).collect(),
        parameter_sets: vec![Bytes::copy_from_slice(&[profile]); rungs],
        silent_units: 0,
    }
}

/// The channel, and what is expected of it.
struct Channel {
    timeline: Timeline,
    target: u32,
    window: usize,
    segmenter: Segmenter,
    playlist: MediaPlaylist,
    history: PlaylistHistory,
    /// Where the stream goes on, and as what.
    at: Frame,
    profile: u8,
    /// Where what was pushed last ended, and as what.
    aired: Option<(Frame, u8)>,
    /// Frames at which the stream broke.
    breaks: Vec<Frame>,
    segments: HashMap<u64, Segment>,
    highest: u64,
    /// The highest discontinuity number before the last fresh window.
    past: Option<u64>,
}

impl Channel {
    fn publish(&mut self, closed: impl IntoIterator<Item = Segment>) -> Result<(), TestCaseError> {
        for segment in closed {
            let info = segment.info.clone();
            prop_assert!(
                info.sequence > self.highest || self.segments.is_empty(),
                "{} came again",
                info.sequence
            );
            prop_assert!(info.frames > 0);
            prop_assert!(
                info.seconds(self.timeline.frame_rate).round() <= f64::from(self.target),
                "{:?}",
                info
            );
            prop_assert_eq!(
                info.discontinuity,
                self.breaks.contains(&info.start),
                "{:?}",
                info
            );
            let within = self
                .breaks
                .iter()
                .filter(|at| info.start < **at && **at < info.end());
            prop_assert_eq!(within.count(), 0, "a break within a segment");
            for (rung, stream) in segment.streams.iter().enumerate() {
                prop_assert_eq!(stream.len() as u64, info.bytes[rung]);
                let text = String::from_utf8_lossy(stream).into_owned();
                let (head, tail) = (format!("[{}+", info.start), format!("/{rung}]"));
                prop_assert!(
                    text.starts_with(&head) && text.ends_with(&tail),
                    "{} from {:?}",
                    text,
                    info
                );
                let frames = text.split('+').skip(1).map(|part| {
                    part.split('/')
                        .next()
                        .and_then(|n| n.parse().ok())
                        .unwrap_or(0_u64)
                });
                prop_assert_eq!(frames.sum::<u64>(), info.frames);
            }
            self.highest = info.sequence;
            self.segments.insert(info.sequence, segment);
            let gone = self.playlist.push(info);
            prop_assert!(self.playlist.state().segments.len() <= self.window);
            prop_assert!(
                gone.iter()
                    .all(|old| old.sequence < self.playlist.state().segments[0].sequence)
            );
            let text = self.playlist.render("720p").expect("there is a segment");
            self.history.saw(&text);
            self.compare(&text)?;
        }
        Ok(())
    }

    /// The playlist says of each segment what it is.
    fn compare(&self, text: &str) -> Result<(), TestCaseError> {
        let read = playlist(text);
        prop_assert_eq!(read.target, u64::from(self.target));
        // Nothing of a fresh window continues what the window before it had.
        let first = read.discontinuity_sequence + u64::from(read.segments[0].discontinuity);
        prop_assert!(
            self.past.is_none_or(|past| first > past),
            "{first} after {:?}",
            self.past
        );
        for (sequence, listed) in (read.media_sequence..).zip(&read.segments) {
            let info = &self.segments[&sequence].info;
            prop_assert_eq!(&listed.uri, &segment_name("720p", sequence));
            prop_assert_eq!(listed.discontinuity, info.discontinuity);
            prop_assert!((listed.duration - info.seconds(self.timeline.frame_rate)).abs() < 1e-6);
            let wall = self.timeline.wall(info.start);
            let dated = listed.program_date_time.expect("a date");
            prop_assert!(
                wall.duration_since(dated).as_secs_f64().abs() <= 0.001,
                "{dated} for {wall}"
            );
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Gop(part) => {
                let full = self.timeline.frame_rate.gop_frames();
                let frames = (full * (u64::from(part) + 1) / 256).max(1);
                if self
                    .aired
                    .is_some_and(|aired| aired != (self.at, self.profile))
                {
                    self.breaks.push(self.at);
                }
                let closed = self.segmenter.push(gop(self.at, frames, self.profile, 2));
                self.at += frames;
                self.aired = Some((self.at, self.profile));
                self.publish(closed)?;
            }
            Step::Jump(frames) => self.at += u64::from(frames),
            Step::Profile(profile) => self.profile = profile,
            Step::Close => {
                let closed = self.segmenter.close();
                self.publish(closed)?;
            }
            Step::Resume => {
                let closed = self.segmenter.close();
                self.publish(closed)?;
                let stored = serde_json::to_string(self.playlist.state()).expect("JSON");
                let state: PlaylistState = serde_json::from_str(&stored).expect("what was stored");
                self.playlist =
                    MediaPlaylist::resume(self.timeline, self.target, self.window, state);
                if let Some((end, profile)) = self.aired {
                    let sets = vec![Bytes::copy_from_slice(&[profile]); 2];
                    self.segmenter = Segmenter::new(&self.timeline, self.target, self.highest + 1)
                        .following(end, sets);
                }
            }
            Step::Lose(above) => {
                let state = self.playlist.state();
                let breaks = state.segments.iter().filter(|s| s.discontinuity).count() as u64;
                if !state.segments.is_empty() {
                    self.past = Some(state.discontinuity_sequence + breaks);
                }
                let emptied = state.clone().emptied();
                self.playlist =
                    MediaPlaylist::resume(self.timeline, self.target, self.window, emptied);
                let next = self.highest + 1 + u64::from(above);
                self.segmenter = Segmenter::new(&self.timeline, self.target, next);
                // Whoever knows nothing of the stream before cannot say that it breaks.
                if above % 2 == 0 {
                    self.aired = None;
                } else {
                    let end = self.at;
                    self.aired = Some((end, self.profile));
                    self.segmenter = Segmenter::new(&self.timeline, self.target, next)
                        .following(end, Vec::new());
                }
                self.at += 100_000;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn h1_a_playlist_never_goes_back(rate in rate(), target in 2..9_u32, window in 1..12_usize, at in 0..10_000_000_u64, first in 0..1_000_u64, steps in steps()) {
        let timeline = timeline(rate, 0);
        let mut channel = Channel {
            timeline,
            target,
            window,
            segmenter: Segmenter::new(&timeline, target, first),
            playlist: MediaPlaylist::resume(timeline, target, window, PlaylistState::default()),
            history: PlaylistHistory::default(),
            at: Frame::new(at),
            profile: 0,
            aired: None,
            breaks: Vec::new(),
            segments: HashMap::new(),
            highest: first,
            past: None,
        };
        // So that there is a stream to break.
        channel.step(&Step::Gop(255))?;
        for step in &steps {
            channel.step(step)?;
        }
        channel.step(&Step::Close)?;
        prop_assert_eq!(channel.history.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_segment_is_closed_as_soon_as_no_full_gop_fits(rate in rate(), target in 2..12_u32) {
        let mut segmenter = Segmenter::new(&timeline(rate, 0), target, 0);
        let full = rate.gop_frames();
        for n in 0..20 {
            let closed = segmenter.push(gop(Frame::new(n * full), full, 0, 1));
            let due = (n + 1) % u64::from(target / 2) == 0;
            prop_assert_eq!(closed.len(), usize::from(due), "after GOP {}", n);
        }
    }

    #[test]
    fn a_segments_name_leads_back_to_its_number(rung in "[a-z0-9-]{1,12}", sequence in any::<u64>()) {
        let name = segment_name(&rung, sequence);
        prop_assert_eq!(segment_number(&name), Some((rung.as_str(), sequence)));
    }
}

#[test]
fn what_is_no_segments_name_is_told() {
    for name in [
        "",
        "720p.ts",
        "720p-.ts",
        "720p-1",
        "720p-1.m3u8",
        "720p-01.ts",
        "720p-+1.ts",
        "720p--1",
        "720p-1.ts/",
        "720p-18446744073709551616.ts",
    ] {
        assert_eq!(segment_number(name), None, "{name}");
    }
}

#[test]
fn an_empty_playlist_is_none() {
    let empty = MediaPlaylist::resume(timeline(FrameRate::F25, 0), 4, 10, PlaylistState::default());
    assert_eq!(empty.render("720p"), None);
}

#[test]
fn a_segment_fits_a_target_duration_that_its_length_rounds_to() {
    let info = SegmentInfo {
        sequence: 1,
        discontinuity: false,
        start: Frame::new(0),
        frames: 120,
        bytes: Vec::new(),
    };
    assert!(info.fits(FrameRate::F29_97, 4));
    assert!(!info.fits(FrameRate::F29_97, 3));
}

#[test]
fn a_playlist_reads_as_it_should() {
    let timeline = timeline(FrameRate::F29_97, 0);
    let mut segmenter = Segmenter::new(&timeline, 4, 7);
    let mut playlist = MediaPlaylist::resume(timeline, 4, 10, PlaylistState::default());
    for n in 0..3 {
        // After the first segment the stream goes on somewhere else.
        let start = Frame::new(n * 60 + if n == 2 { 600 } else { 0 });
        segmenter
            .push(gop(start, 60, 0, 1))
            .into_iter()
            .for_each(|segment| drop(playlist.push(segment.info)));
    }
    segmenter
        .close()
        .into_iter()
        .for_each(|segment| drop(playlist.push(segment.info)));
    assert_eq!(
        playlist.render("720p").expect("a playlist"),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00.000Z\n#EXTINF:4.004000,\n720p-7.ts\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:24.024Z\n#EXTINF:2.002000,\n720p-8.ts\n"
    );
}

#[test]
fn a_master_playlist_offers_every_rung() {
    let sets = codecs(PARAMETER_SETS).expect("an SPS");
    assert_eq!(sets, "avc1.64001f,mp4a.40.2");
    assert_eq!(codecs(&PARAMETER_SETS[..6]), None);
    assert_eq!(codecs(b""), None);
    let rung = |name: &str, height| Variant {
        name: name.to_owned(),
        width: height * 16 / 9,
        height,
        peak_bandwidth: 3_000_000,
        average_bandwidth: 2_600_000,
        codecs: sets.clone(),
        frame_rate: FrameRate::F29_97,
    };
    assert_eq!(
        master_playlist(&[rung("720p", 720), rung("360p", 360)], &[]),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2600000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970\n\
         720p.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2600000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970\n\
         360p.m3u8\n"
    );
}
