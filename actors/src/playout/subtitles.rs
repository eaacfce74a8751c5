//! What viewers can read along: remembers what went out, and writes the subtitles of each segment that is closed.
//!
//! A segment says what was said in the items that were aired in it. Where something stood in for them, nothing.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use playout_domain::Language;
use playout_domain::config::SubtitleSetting;
use playout_domain::ids::MediaId;
use playout_domain::units::{Frame, Timeline};
use playout_media::hls::{Airing, SegmentInfo, Stretch, subtitle_segment};
use playout_media::subtitle::Track;
use tokio::time::timeout;

use super::feeder::frame_of;
use super::queue::Fed;
use crate::channels::OnAirKind;
use crate::library::Library;

/// A disk that takes longer costs words, and no pictures.
const PATIENCE: Duration = Duration::from_secs(1);

/// The subtitles of a channel's segments.
pub(super) struct Subtitles {
    library: Library,
    timeline: Timeline,
    /// What the channel offers; nothing: nothing is remembered.
    languages: Vec<SubtitleSetting>,
    log: Log,
    /// What was read for the segment before, by item and digest: the next one has most of it, too.
    read: Vec<(MediaId, String, Arc<Track>)>,
}

impl Subtitles {
    /// Of a channel that goes on behind `last`.
    pub(super) fn new(
        library: Library,
        timeline: Timeline,
        languages: Vec<SubtitleSetting>,
        last: Option<(Airing, Frame)>,
    ) -> Self {
        Self {
            library,
            timeline,
            languages,
            log: Log::behind(last),
            read: Vec::new(),
        }
    }

    /// What the channel offers.
    pub(super) fn languages(&self) -> &[SubtitleSetting] {
        &self.languages
    }

    /// Remembers what goes out.
    pub(super) fn aired(&mut self, fed: &Fed) {
        if self.languages.is_empty() {
            return;
        }
        self.log.aired(self.airing(fed), fed.at..fed.end());
    }

    /// How what is scheduled airs, should it begin just now; nothing where something stands in.
    fn airing(&self, fed: &Fed) -> Option<Airing> {
        let (start, end) = fed.shows.entry?;
        let media = fed.shows.media?;
        let item = frame_of(&fed.gop, self.timeline.frame_rate);
        let in_frame = item.checked_sub(fed.at.since(start))?;
        (fed.shows.kind == OnAirKind::Scheduled).then_some(Airing {
            media,
            start,
            in_frame,
            end,
            since: fed.at,
        })
    }

    /// How the item airs in the middle of which a segment, whose subtitles are written, ends at `end`.
    pub(super) fn going_on(&self, end: Frame) -> Option<Airing> {
        self.log.going_on(end)
    }

    /// The subtitles of a closed segment, in every language of the channel.
    pub(super) async fn of(&mut self, info: &SegmentInfo) -> Vec<(Language, Bytes)> {
        let aired = self.log.take(info);
        let mut written = Vec::new();
        let mut read = Vec::new();
        let named = self.languages.iter().any(|setting| setting.default);
        for (n, setting) in self.languages.iter().enumerate() {
            let is_default = setting.default || (n == 0 && !named);
            let mut tracks = Vec::new();
            for (airing, frames) in &aired {
                let subtitle =
                    self.library
                        .subtitle_for(airing.media, &setting.language, is_default);
                let Some(subtitle) = subtitle else { continue };
                let is_it = |(media, digest, _): &&(MediaId, String, Arc<Track>)| {
                    *media == airing.media && *digest == subtitle.sha256
                };
                let known = read.iter().chain(&self.read).find(is_it).cloned();
                let track = match known {
                    Some((.., track)) => track,
                    None => {
                        let reading = timeout(PATIENCE, self.library.cues(&subtitle));
                        let Ok(Some(track)) = reading.await else {
                            tracing::warn!(media = %airing.media, language = %subtitle.language, "subtitles cannot be read; a segment goes out without them");
                            continue;
                        };
                        Arc::new(track)
                    }
                };
                read.push((airing.media, subtitle.sha256, Arc::clone(&track)));
                tracks.push((track, *airing, frames.clone()));
            }
            let stretches = tracks.iter().map(|(track, airing, frames)| Stretch {
                cues: &track.cues,
                airing: *airing,
                frames: frames.clone(),
                is_over: frames.end < info.end(),
            });
            let stretches: Vec<_> = stretches.collect();
            let text = subtitle_segment(&self.timeline, info, &stretches);
            written.push((setting.language.clone(), Bytes::from(text)));
        }
        self.read = read;
        written
    }
}

/// What went out and is in no closed segment yet.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// An item, or what stood in for one.
    aired: VecDeque<(Option<Airing>, Range<Frame>)>,
    /// The item that went out last, and the frame that follows it.
    last: Option<(Airing, Frame)>,
}

impl Log {
    /// Goes on behind an item that went out up to a frame.
    pub(super) fn behind(last: Option<(Airing, Frame)>) -> Self {
        Self {
            aired: VecDeque::new(),
            last,
        }
    }

    /// Notes what goes out. What goes on began where it began before.
    pub(super) fn aired(&mut self, airing: Option<Airing>, frames: Range<Frame>) {
        let airing = airing.map(|airing| match self.last {
            Some((last, end)) if end == frames.start && last.goes_on_as(&airing) => Airing {
                since: last.since,
                ..airing
            },
            _ => airing,
        });
        self.last = airing.map(|airing| (airing, frames.end));
        match self.aired.back_mut() {
            Some((known, before)) if before.end == frames.start && is_one(known, &airing) => {
                // Where its entry ends may be another by now.
                *known = airing;
                before.end = frames.end;
            }
            _ => self.aired.push_back((airing, frames)),
        }
    }

    /// How the item airs in the middle of which a segment that was taken out ends at `end`.
    pub(super) fn going_on(&self, end: Frame) -> Option<Airing> {
        match self.aired.front() {
            Some((airing, frames)) if frames.start == end => {
                airing.filter(|airing| airing.since < end)
            }
            _ => self
                .last
                .filter(|(_, at)| *at == end)
                .map(|(airing, _)| airing),
        }
    }

    /// Takes out what was aired up to the end of a segment, and answers what lies within it.
    pub(super) fn take(&mut self, info: &SegmentInfo) -> Vec<(Airing, Range<Frame>)> {
        let end = info.end();
        let mut within = Vec::new();
        while let Some((airing, frames)) = self.aired.front_mut() {
            if frames.start >= end {
                break;
            }
            let part = frames.start.max(info.start)..frames.end.min(end);
            if let Some(airing) = airing.filter(|_| part.start < part.end) {
                within.push((airing, part));
            }
            if frames.end > end {
                frames.start = end;
                break;
            }
            self.aired.pop_front();
        }
        within
    }
}

/// Whether `next` is the same item going on, or the same nothing.
fn is_one(known: &Option<Airing>, next: &Option<Airing>) -> bool {
    match (known, next) {
        (Some(known), Some(next)) => known.goes_on_as(next),
        (known, next) => known.is_none() && next.is_none(),
    }
}
