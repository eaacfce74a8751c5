//! Releases what the feeder has read when it is due, splices it onto the channel's clock, and publishes.
//!
//! A GOP goes out when its last frame has passed, so the first three segments, which begin before now,
//! go out at once. A segment is on disk before it is in the playlist; where the disk fails, the channel
//! stays on air from memory and says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::media::Profile;
use playout_domain::units::Timeline;
use playout_media::hls::{MediaPlaylist, Segment, SegmentInfo, Segmenter, variants};
use playout_media::mux::Counters;
use playout_media::prepare::hex;
use playout_media::splice::{SplicedGop, Splicer};
use playout_store::Lease;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::blocking::blocking;
use super::clock::Clock;
use super::facts::{Fact, Facts};
use super::hls_output::HlsOutput;
use super::queue::{Fed, Queue, Shows};
use super::reporter::Reporter;
use super::spool::{Record, Spool, SpoolError};
use super::subtitles::Subtitles;
use super::taps::{Aired, Taps};
use super::view::View;
use super::without_lease;
use crate::channels::{OnAir, OnAirKind};

/// Scheduled media for so long without a failure is health.
const HEALTHY: Duration = playout_domain::backoff::HEALTHY_AFTER;
/// A segment this much later than its last frame is late.
const LATE: Duration = Duration::from_secs(1);
/// Segments that the first playlist holds at least.
const FIRST_SEGMENTS: usize = 3;

/// The HLS side of a playout.
pub(super) struct Hls {
    pub(super) output: Arc<HlsOutput>,
    pub(super) segmenter: Segmenter,
    pub(super) playlist: MediaPlaylist,
    pub(super) past: Vec<SegmentInfo>,
    /// Locked by whoever writes; a playout that was aborted may still be writing its last segment.
    pub(super) spool: Arc<Mutex<Option<Spool>>>,
    /// The target duration in seconds.
    pub(super) target: u32,
    /// Complete, but not published yet: the first playlist waits for three.
    pub(super) held: Vec<Segment>,
    /// Whether a playlist is out.
    pub(super) published: bool,
}

/// See the module's head.
pub(super) struct Air {
    pub(super) label: String,
    pub(super) profile: Profile,
    pub(super) timeline: Timeline,
    pub(super) clock: Clock,
    /// When the playout began: what was due before it is the burst, not late.
    pub(super) begun: Instant,
    pub(super) queue: Arc<Queue>,
    pub(super) splicer: Splicer,
    pub(super) subtitles: Subtitles,
    /// `None` where the channel is not served as HLS.
    pub(super) hls: Option<Hls>,
    pub(super) taps: Arc<Taps>,
    pub(super) view: View,
    pub(super) reporter: Reporter,
    /// Asked before anything is published.
    pub(super) lease: Lease,
    pub(super) facts: Facts,
    /// Whether anything went out yet.
    pub(super) out: bool,
    /// What viewers see.
    pub(super) shows: Option<Shows>,
    /// SPS and PPS of the last GOP that went out.
    pub(super) sets: Vec<Bytes>,
    /// How long all has been well.
    pub(super) healthy: Option<Healthy>,
}

/// A time in which scheduled media goes out without a failure.
pub(super) struct Healthy {
    since: Instant,
    /// Failures before it. One more ends it, however soon the source is back: what was read ahead
    /// hides it from viewers.
    failures: u64,
    told: bool,
}

impl Air {
    /// Releases GOPs for ever.
    pub(super) async fn run(mut self) -> &'static str {
        loop {
            let fed = self.queue.pop().await;
            sleep_until(self.clock.instant(fed.end())).await;
            if !self.lease.holds() {
                return without_lease(&self.label, &self.lease).await;
            }
            self.release(fed).await;
        }
    }

    async fn release(&mut self, fed: Fed) {
        self.note_what_shows(&fed);
        self.subtitles.aired(&fed);
        self.reporter.goes_out(&fed);
        let begins_item = fed.shows.entry.is_some_and(|(start, _)| start == fed.at);
        let before = self.splicer.counters();
        let spliced = self.splicer.splice(fed.gop, fed.at, fed.source);
        let dead = match fed.shows.kind {
            OnAirKind::Slate => u64::from(spliced.frames),
            _ => 0,
        };
        let drawn = fed.drawn.is_some();
        let is_treated = !fed.bare && fed.shows.kind != OnAirKind::Slate;
        let stands = is_treated && self.profile.treatment.caption.is_some();
        self.view.update(|view| {
            view.overlay.drawn = drawn;
            view.overlay.stands = stands;
            view.silent_units += u64::from(spliced.silent_units);
            view.dead_frames += dead;
        });
        let sets_before = std::mem::replace(&mut self.sets, spliced.parameter_sets.clone());
        let (start, end) = (spliced.start, spliced.start + u64::from(spliced.frames));
        let aired = Aired {
            at: start,
            frames: spliced.frames,
            streams: spliced.streams.clone(),
            begins_item,
        };
        self.taps.send(aired, self.clock.instant(end) > self.begun);
        let closed = self.segment(spliced);
        for segment in closed {
            // Recorded is what holds where the segment ends: before this GOP, or behind it.
            let (counters, sets) = if segment.info.end() == end {
                (self.splicer.counters(), self.sets.clone())
            } else {
                (before.clone(), sets_before.clone())
            };
            debug_assert!(
                segment.info.end() == end
                    || segment.info.end() == start
                    || segment.info.end() < start
            );
            self.publish(segment, counters, &sets).await;
        }
        if self.hls.is_none() {
            self.reporter.note_unpublished().await;
            self.first_out();
        }
    }

    fn segment(&mut self, spliced: SplicedGop) -> Vec<Segment> {
        match &mut self.hls {
            Some(hls) => hls.segmenter.push(spliced),
            None => Vec::new(),
        }
    }

    async fn publish(&mut self, mut segment: Segment, counters: Vec<Counters>, sets: &[Bytes]) {
        let Some(hls) = &mut self.hls else { return };
        let info = segment.info.clone();
        segment.subtitles = self.subtitles.of(&info).await;
        // Before the record: what that has as published is never missing in the log.
        self.reporter.note(info.end()).await;
        let left = hls.playlist.push(info.clone());
        hls.past.extend(left);
        let kept = hls
            .output
            .keep()
            .saturating_sub(hls.playlist.state().segments.len());
        let surplus = hls.past.len().saturating_sub(kept);
        hls.past.drain(..surplus);
        let known = hls.past.iter().chain(&hls.playlist.state().segments);
        let variants = variants(&self.profile, sets, hls.target, known);
        let record = Record {
            version: Record::VERSION,
            profile: self.profile.spliced().key(),
            timeline: self.timeline,
            next_sequence: info.sequence + 1,
            next: info.end(),
            counters,
            parameter_sets: sets.iter().map(|sets| hex(sets)).collect(),
            rungs: variants
                .iter()
                .map(|variant| variant.name.clone())
                .collect(),
            playlist: hls.playlist.state().clone(),
            past: hls.past.clone(),
            airing: self.subtitles.going_on(info.end()),
        };
        if let Err(error) = commit(&hls.spool, record, segment.clone()).await {
            tracing::error!(channel = self.label, %error, "a segment cannot be kept on disk; a restart will lose it");
        }
        self.reporter.published();
        hls.held.push(segment);
        // The disk may have taken its time.
        if !self.lease.holds() {
            return;
        }
        let enough = FIRST_SEGMENTS.min(hls.output.window());
        if hls.published || hls.held.len() >= enough {
            let held = std::mem::take(&mut hls.held);
            let languages = self.subtitles.languages();
            hls.output
                .publish(&variants, languages, &hls.playlist, &held);
            hls.published = true;
            for segment in &held {
                self.published(&segment.info);
            }
            self.first_out();
        }
    }

    fn published(&self, info: &SegmentInfo) {
        let bytes = info.bytes.iter().sum();
        let due = self.clock.instant(info.end()).max(self.begun);
        let late = Instant::now() > due + LATE && self.clock.instant(info.end()) > self.begun;
        self.view.update(|view| {
            view.health.published(bytes, info.frames, Timestamp::now());
            view.late_segments += u64::from(late);
            view.discontinuities += u64::from(info.discontinuity);
        });
        self.facts.tell(Fact::SegmentPublished {
            sequence: info.sequence,
            starts: self.timeline.wall(info.start),
            duration: info.seconds(self.timeline.frame_rate),
            bytes,
        });
    }

    fn first_out(&mut self) {
        if !std::mem::replace(&mut self.out, true) {
            self.facts.tell(Fact::FirstOut);
        }
    }

    fn note_what_shows(&mut self, fed: &Fed) {
        if self.shows != Some(fed.shows) {
            self.shows = Some(fed.shows);
            let since = fed.shows.entry.map_or(fed.at, |(start, _)| start);
            let on_air = OnAir {
                kind: fed.shows.kind,
                media_id: fed.shows.media,
                since: self.timeline.wall(since),
                until: fed.shows.until,
            };
            self.view.update(|view| view.on_air = Some(on_air));
            self.facts.tell(Fact::OnAirChanged(on_air));
        }
        let (errors, failures) = self
            .view
            .look(|view| (view.health.errors(), view.health.failures()));
        let well = fed.shows.kind == OnAirKind::Scheduled && errors == 0;
        match &mut self.healthy {
            _ if !well => self.healthy = None,
            Some(healthy) if healthy.failures == failures => {
                if healthy.since.elapsed() >= HEALTHY && !std::mem::replace(&mut healthy.told, true)
                {
                    self.facts.tell(Fact::Healthy);
                }
            }
            healthy => {
                *healthy = Some(Healthy {
                    since: Instant::now(),
                    failures,
                    told: false,
                })
            }
        }
    }
}

async fn commit(
    spool: &Arc<Mutex<Option<Spool>>>,
    record: Record,
    segment: Segment,
) -> Result<(), SpoolError> {
    let spool = Arc::clone(spool).lock_owned().await;
    let write = move || match &*spool {
        Some(spool) => spool.commit(&record, &[segment]),
        None => Ok(()),
    };
    blocking(write).await
}
