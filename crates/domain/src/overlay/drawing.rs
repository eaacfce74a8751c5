//! Over which frames an overlay is drawn, and what follows when it cannot be.
//!
//! Decides only. Frames are the channel's; the clock and chance are arguments.
//!
//! Invariants:
//! - O1: a change touches no frame before the one that it was given as its earliest.
//! - O2: once drawing has failed at a frame, what follows is not drawn on for [`REST`] at least, so that there is time to
//!   read ahead what is prepared.

use super::Overlay;
use crate::backoff::{self, Budget, Chance, SLOW_RETRY};
use crate::units::{Frame, Timeline};
use jiff::Timestamp;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing is drawn after the first failure; longer after those that follow.
pub const REST: Duration = Duration::from_secs(10);

/// One overlay of a channel, told from the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

/// What is drawn over a channel. See the module's head.
#[derive(Debug, Clone)]
pub struct Drawing {
    timeline: Timeline,
    overlay: Option<Arc<Overlay>>,
    version: Version,
    /// Frames before this one are what they are.
    earliest: Frame,
    failures: Budget,
}

impl Drawing {
    /// Draws nothing.
    pub fn none(timeline: Timeline) -> Self {
        Self {
            timeline,
            overlay: None,
            version: Version(0),
            earliest: Frame::default(),
            failures: Budget::default(),
        }
    }

    /// Draws `overlay` from frame `earliest` on, if that is another than before; answers whether it is.
    pub fn change(&mut self, overlay: Option<&Arc<Overlay>>, earliest: Frame) -> bool {
        if self.overlay.as_ref() == overlay {
            return false;
        }
        self.overlay = overlay.cloned();
        self.version = Version(self.version.0 + 1);
        self.earliest = earliest;
        self.failures = Budget::default();
        true
    }

    /// The first frame that drawing may begin with.
    pub const fn earliest(&self) -> Frame {
        self.earliest
    }

    /// Leaves alone what lies before frame `earliest`: there is no time left to draw on it.
    pub fn not_before(&mut self, earliest: Frame) {
        self.earliest = self.earliest.max(earliest);
    }

    /// Which overlay it is.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether there is an overlay, and nothing of it is drawn on frame `at` or later.
    pub fn is_over(&self, at: Frame) -> bool {
        self.overlay.is_some() && self.frames().is_none_or(|frames| frames.end <= at)
    }

    /// What is to be drawn on the pictures of `gop`, where any of them has something drawn on it.
    pub fn over(&self, gop: &Range<Frame>) -> Option<Version> {
        let frames = self.frames()?;
        let covered = frames.start < gop.end && gop.start < frames.end;
        (covered && gop.start >= self.earliest).then_some(self.version)
    }

    /// Whether the pictures of `gop` may stay as they are, with `drawn` on them.
    pub fn stands(&self, gop: &Range<Frame>, drawn: Option<Version>) -> bool {
        gop.start < self.earliest || self.over(gop) == drawn
    }

    /// What is drawn, and on which frames.
    pub fn shown(&self) -> Option<(&Arc<Overlay>, Range<Frame>)> {
        self.overlay.as_ref().zip(self.frames())
    }

    /// The source that draws failed when frame `at` was due. Answers the number of failures in a row, and how long
    /// nothing is drawn.
    pub fn failed(&mut self, at: Frame, now: Timestamp, chance: Chance) -> (u32, Duration) {
        let attempt = self.failures.failed(now);
        let rest = match self.failures.is_spent(now) {
            true => SLOW_RETRY,
            false => backoff::delay_from(REST, attempt + 1, chance).max(REST),
        };
        self.earliest = at + self.timeline.frame_rate.frames_at(rest);
        (attempt, rest)
    }

    /// The frames that are on air while it is drawn.
    fn frames(&self) -> Option<Range<Frame>> {
        let overlay = self.overlay.as_deref()?;
        let first = |at| self.timeline.first_frame_from(at);
        let start = overlay.from.map_or(Frame::default(), first);
        let end = overlay.until.map_or(Frame::new(u64::MAX), first);
        (start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::units::{FrameRate, Ticks90k};
    use serde_json::{Value, json};

    fn timeline() -> Timeline {
        Timeline {
            epoch: Timestamp::from_second(1_000_000).unwrap(),
            frame_rate: FrameRate::default(),
            clock_origin: Ticks90k::new(0),
        }
    }

    fn overlay(value: &Value) -> Arc<Overlay> {
        Arc::new(Overlay::parse(value).unwrap())
    }

    fn gop(start: u64) -> Range<Frame> {
        Frame::new(start)..Frame::new(start + 50)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn every_gop_with_a_frame_between_from_and_until_is_drawn_on() {
        let mut drawing = Drawing::none(timeline());
        assert_eq!(drawing.over(&gop(0)), None);
        let text = overlay(&json!({ "clock": {}, "from": at(10), "until": at(20) }));
        drawing.change(Some(&text), Frame::default());
        let (shown, frames) = drawing.shown().unwrap();
        assert_eq!(**shown, *text);
        assert_eq!(frames, Frame::new(250)..Frame::new(500));
        let drawn = |start| drawing.over(&gop(start)).is_some();
        assert!(!drawn(200) && drawn(201) && drawn(250) && drawn(499) && !drawn(500));
    }

    #[test]
    fn a_moment_within_a_frame_counts_for_the_frame_after_it() {
        let mut drawing = Drawing::none(timeline());
        let from = "1970-01-12T13:46:50.001Z";
        let until = "1970-01-12T13:46:50.040Z";
        let text = overlay(&json!({ "clock": {}, "from": from, "until": until }));
        drawing.change(Some(&text), Frame::default());
        assert!(drawing.shown().is_none(), "no frame begins in between");
        let text = overlay(&json!({ "clock": {}, "from": from, "until": at(20) }));
        drawing.change(Some(&text), Frame::default());
        assert_eq!(drawing.shown().unwrap().1.start, Frame::new(251));
    }

    #[test]
    fn a_change_leaves_alone_what_is_on_its_way() {
        let mut drawing = Drawing::none(timeline());
        let (one, two) = (
            overlay(&json!({ "clock": {} })),
            overlay(&json!({ "lowerThird": { "title": "x" } })),
        );
        drawing.change(Some(&one), Frame::new(100));
        assert!(drawing.stands(&gop(50), None) && !drawing.stands(&gop(100), None));
        let first = drawing.over(&gop(100)).unwrap();
        drawing.change(Some(&one), Frame::new(300));
        assert_eq!(drawing.over(&gop(100)), Some(first), "it is the same");
        drawing.change(Some(&two), Frame::new(300));
        assert!(drawing.stands(&gop(250), Some(first)));
        assert!(!drawing.stands(&gop(300), Some(first)));
        assert_eq!(drawing.over(&gop(250)), None);
        drawing.change(None, Frame::new(400));
        assert!(drawing.stands(&gop(400), None) && !drawing.stands(&gop(400), Some(first)));
    }

    #[test]
    fn where_there_is_no_time_what_is_there_stays() {
        let mut drawing = Drawing::none(timeline());
        drawing.change(Some(&overlay(&json!({ "clock": {} }))), Frame::new(100));
        let drawn = drawing.over(&gop(100));
        drawing.not_before(Frame::new(50));
        assert_eq!(drawing.earliest(), Frame::new(100), "it is never earlier");
        drawing.not_before(Frame::new(150));
        assert_eq!(drawing.over(&gop(149)), None);
        assert!(drawing.stands(&gop(149), drawn) && drawing.stands(&gop(149), None));
        assert_eq!(drawing.over(&gop(150)), drawn, "and it is the same one");
        assert!(!drawing.stands(&gop(150), None));
    }

    #[test]
    fn it_is_over_with_its_last_frame() {
        let mut drawing = Drawing::none(timeline());
        assert!(!drawing.is_over(Frame::new(0)), "there is none");
        drawing.change(Some(&overlay(&json!({ "clock": {} }))), Frame::default());
        assert!(!drawing.is_over(Frame::new(u64::MAX - 1)));
        let text = overlay(&json!({ "clock": {}, "from": at(10), "until": at(20) }));
        drawing.change(Some(&text), Frame::default());
        assert!(!drawing.is_over(Frame::new(0)) && !drawing.is_over(Frame::new(499)));
        assert!(drawing.is_over(Frame::new(500)));
        let between = json!({
            "clock": {}, "from": "1970-01-12T13:46:50.001Z", "until": "1970-01-12T13:46:50.040Z"
        });
        drawing.change(Some(&overlay(&between)), Frame::default());
        assert!(drawing.is_over(Frame::new(0)), "no frame begins in between");
    }

    #[test]
    fn it_lasts_from_before_all_time_until_after_it() {
        let mut drawing = Drawing::none(timeline());
        let ever = json!({ "clock": {}, "from": Timestamp::MIN, "until": Timestamp::MAX });
        drawing.change(Some(&overlay(&ever)), Frame::default());
        assert!(drawing.over(&gop(0)).is_some() && drawing.over(&gop(1 << 50)).is_none());
        assert!(!drawing.is_over(Frame::new(1 << 32)));
    }

    #[test]
    fn what_fails_is_tried_again_later_and_later() {
        let mut drawing = Drawing::none(timeline());
        drawing.change(Some(&overlay(&json!({ "clock": {} }))), Frame::default());
        let mut rests = Vec::new();
        let mut frame = 100;
        for attempt in 1..=10 {
            let now = at(i64::from(attempt) * 20);
            let (counted, rest) = drawing.failed(Frame::new(frame), now, Chance::EVEN);
            assert_eq!(counted, attempt);
            let until = frame + 25 * rest.as_secs();
            assert!(drawing.stands(&gop(until - 1), None));
            assert!(drawing.over(&gop(until)).is_some());
            frame = until;
            rests.push(rest.as_secs());
        }
        assert_eq!(rests, [10, 20, 30, 30, 30, 30, 30, 30, 30, 60]);
        let least = drawing.failed(Frame::new(0), at(100_000), Chance::new(0.0));
        assert_eq!(least, (1, REST));
        // Another one begins anew.
        drawing.change(None, Frame::default());
        drawing.change(Some(&overlay(&json!({ "clock": {} }))), Frame::default());
        assert!(drawing.over(&gop(0)).is_some());
    }
}
