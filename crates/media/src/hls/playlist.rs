//! The media playlist (RFC 8216 §4.3.3): a sliding window whose numbers never go back.

use std::collections::VecDeque;
use std::fmt::Write;

use playout_domain::Language;
use playout_domain::units::Timeline;
use serde::{Deserialize, Serialize};

use super::segment::SegmentInfo;
use super::subtitles::subtitle_name;

/// What is persisted of a playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaylistState {
    /// The discontinuity sequence number of the first segment in the window.
    pub discontinuity_sequence: u64,
    /// The segments in the window, oldest first.
    pub segments: VecDeque<SegmentInfo>,
}

impl PlaylistState {
    /// A fresh window after this one: the breaks in it have gone by, and the one before what comes counts.
    pub fn emptied(self) -> Self {
        let breaks = self.segments.iter().filter(|s| s.discontinuity).count() as u64;
        Self {
            discontinuity_sequence: self.discontinuity_sequence + breaks + 1,
            segments: VecDeque::new(),
        }
    }
}

/// The window of segments that viewers are offered.
///
/// Invariant H1: media and discontinuity sequence never decrease, and a sequence number always stands
/// for the same URI.
#[derive(Debug, Clone)]
pub struct MediaPlaylist {
    timeline: Timeline,
    /// Target duration in seconds.
    target: u32,
    /// Segments in a full window.
    window: usize,
    state: PlaylistState,
}

impl MediaPlaylist {
    /// A playlist that goes on from `state`.
    pub fn resume(timeline: Timeline, target: u32, window: usize, state: PlaylistState) -> Self {
        Self {
            timeline,
            target,
            window,
            state,
        }
    }

    /// What is to be persisted.
    pub fn state(&self) -> &PlaylistState {
        &self.state
    }

    /// Adds a segment; answers those that left the window.
    pub fn push(&mut self, segment: SegmentInfo) -> Vec<SegmentInfo> {
        self.state.segments.push_back(segment);
        let surplus = self.state.segments.len().saturating_sub(self.window);
        let left: Vec<SegmentInfo> = self.state.segments.drain(..surplus).collect();
        self.state.discontinuity_sequence += left.iter().filter(|s| s.discontinuity).count() as u64;
        left
    }

    /// The playlist of the rung named `rung`; `None` while there is nothing to play.
    pub fn render(&self, rung: &str) -> Option<String> {
        self.render_as(|sequence| segment_name(rung, sequence))
    }

    /// The playlist of the subtitles in `language`: segment by segment as those of the rungs.
    pub fn render_subtitles(&self, language: &Language) -> Option<String> {
        self.render_as(|sequence| subtitle_name(language, sequence))
    }

    /// Where the segments lie in time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn render_as(&self, name: impl Fn(u64) -> String) -> Option<String> {
        let first = self.state.segments.front()?;
        let mut text = String::with_capacity(160 + self.state.segments.len() * 110);
        let rate = self.timeline.frame_rate;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
            self.target, first.sequence, self.state.discontinuity_sequence,
        );
        for segment in &self.state.segments {
            if segment.discontinuity {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let _ = write!(
                text,
                "#EXT-X-PROGRAM-DATE-TIME:{:.3}\n#EXTINF:{:.6},\n{}\n",
                self.timeline.wall(segment.start),
                segment.seconds(rate),
                name(segment.sequence),
            );
        }
        Some(text)
    }
}

/// The URI of a segment, relative to its playlist.
pub fn segment_name(rung: &str, sequence: u64) -> String {
    format!("{rung}-{sequence}.ts")
}

/// The rung and the number that a segment's name stands for; `None` for any other name.
pub fn segment_number(name: &str) -> Option<(&str, u64)> {
    let (rung, number) = name.strip_suffix(".ts")?.rsplit_once('-')?;
    let sequence = number.parse().ok()?;
    (segment_name(rung, sequence) == name).then_some((rung, sequence))
}
