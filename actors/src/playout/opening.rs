//! What a source of an entry is made of: the prepared file, copied; where only a part of a GOP is wanted, or something
//! is drawn over it, the original, transcoded while it plays; the same where nothing is prepared.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::media::Profile;
use playout_domain::overlay::{Drawing, Version};
use playout_domain::plan::PlanEntry;
use playout_domain::resources::Allowances;
use playout_domain::units::{Frame, Ticks90k, Timeline};
use playout_media::ffmpeg::{self, Drawn, Invocation, Means};
use playout_media::index::GopIndex;
use playout_media::splice::SourceId;

use super::clock::Clock;
use super::facts::Facts;
use super::gate::StartGate;
use super::queue::Queue;
use super::source::{DirectSource, FIRST_MEDIA, FfmpegSource, Source, SourceError, Start};
use super::view::View;
use super::{Programme, SourceKind};
use crate::admission::Transcodes;
use crate::library::{Library, Original};
use crate::process::{ChannelGroup, Launcher, Stdout};

/// What the feeder works with.
pub(super) struct Equipment {
    pub(super) label: String,
    pub(super) profile: Profile,
    pub(super) timeline: Timeline,
    pub(super) source: SourceKind,
    pub(super) library: Library,
    pub(super) launcher: Launcher,
    pub(super) allowances: Allowances,
    /// The control group of its processes.
    pub(super) group: Option<Arc<ChannelGroup>>,
    pub(super) gate: StartGate,
    pub(super) clock: Clock,
    pub(super) queue: Arc<Queue>,
    pub(super) view: View,
    pub(super) facts: Facts,
    /// The font of what is drawn.
    pub(super) font: Arc<Path>,
    /// What claims places on the node for what it transcodes.
    pub(super) transcodes: Transcodes,
}

/// A source that plays one entry of the plan.
pub(super) struct Playing {
    pub(super) entry: PlanEntry,
    pub(super) source: Source,
    pub(super) id: SourceId,
    /// The frame of the item with which the next GOP begins.
    pub(super) next: u64,
    /// What lies where in the prepared file; without one it is transcoded while it plays.
    pub(super) index: Option<Arc<GopIndex>>,
    /// The frame of the item at which another source goes on, for this one delivers the edge of an entry alone, or what
    /// something is drawn over.
    pub(super) until: Option<u64>,
    /// What is drawn over its pictures.
    pub(super) drawn: Option<Version>,
    /// Whether the text of the profile is missing on them, for it could not be drawn.
    pub(super) bare: bool,
}

impl Playing {
    /// That it ended too early.
    pub(super) fn broke_off(&self, at: u64) -> SourceError {
        let of = self.index.as_ref().map_or(at, |index| index.frames);
        SourceError::BrokeOff { at, of }
    }

    /// Whether the GOP that begins with frame `first` of the item has more than `frames` frames in its file.
    pub(super) fn is_torn(&self, first: u64, frames: u64) -> bool {
        let index = self.index.as_ref();
        let place = index.and_then(|index| index.gop_from(first));
        place.is_some_and(|place| place.frame == first && place.frames > frames)
    }
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The entry that it plays.
    pub(super) entry: PlanEntry,
    /// The channel's frame that it begins with.
    pub(super) at: Frame,
    /// What is drawn over its pictures.
    pub(super) drawn: Option<Version>,
    /// Whether another source delivered up to there: then it goes on at that frame, and not at the next key frame.
    pub(super) goes_on: bool,
}

/// What the process of a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Copy,
    Transcode,
}

/// Opens one source.
pub(super) struct Opening<'a> {
    pub(super) equipment: &'a Equipment,
    pub(super) programme: &'a Programme,
    pub(super) drawing: &'a Drawing,
    /// Its number.
    pub(super) run: u64,
}

impl Opening<'_> {
    /// Opens what is wanted.
    pub(super) async fn open(&self, wanted: &Wanted) -> Result<Playing, SourceError> {
        let Wanted {
            entry, at, drawn, ..
        } = *wanted;
        let item = entry.item_frame(at);
        let Equipment {
            library, profile, ..
        } = self.equipment;
        let prepared = library.prepared(entry.media_id, profile);
        let part = match (&prepared, drawn) {
            (Some(prepared), None) => self.edge(wanted, &prepared.index, item),
            (_, Some(_)) => {
                let index = prepared.as_ref().map(|prepared| &*prepared.index);
                Some(self.covered(&entry, index, at))
            }
            (None, None) => None,
        };
        let until = part.as_ref().map(|part| part.end);
        let mut bare = false;
        let (source, next, index) = match prepared.filter(|_| part.is_none()) {
            Some(prepared) => {
                let place = prepared.index.gop_from(item).ok_or(SourceError::Over)?;
                let index = Arc::clone(&prepared.index);
                let source = match self.equipment.source {
                    SourceKind::Direct => {
                        Source::Direct(Box::new(DirectSource::open(prepared, place.number).await?))
                    }
                    SourceKind::Ffmpeg => {
                        let from = GopIndex::time_of(place.frame, profile.frame_rate);
                        let copy = ffmpeg::copy(&prepared.path, profile.rungs().count(), from);
                        let patience = self.programme.recovery.health_check_interval;
                        let what = Runs::Copy;
                        self.process(what, copy, &prepared.path, from, at, patience)
                    }
                };
                (source, place.frame, Some(index))
            }
            None => {
                let original = library
                    .original(entry.media_id)
                    .ok_or(SourceError::Missing)?;
                library.want(entry.media_id, profile);
                let end = until.unwrap_or(entry.in_frame + entry.frames());
                let captioned = library.font_file(profile).await;
                bare = captioned.is_none() && profile.treatment.caption.is_some();
                let source = self.live(wanted, &original, item..end, captioned).await;
                (source, item, None)
            }
        };
        Ok(Playing {
            entry,
            source,
            id: SourceId {
                content: entry.start.get(),
                run: self.run,
            },
            next,
            index,
            until,
            drawn,
            bare,
        })
    }

    /// Transcodes these frames of the item while they play, with the text of the profile where its font is at hand.
    async fn live(
        &self,
        wanted: &Wanted,
        original: &Original,
        frames: Range<u64>,
        captioned: Option<&Path>,
    ) -> Source {
        let Equipment {
            library,
            profile,
            timeline,
            font,
            ..
        } = self.equipment;
        // Without it the item plays all the same.
        let logo = library.logo_file(profile).await;
        let entry = &wanted.entry;
        let shown = self.drawing.shown().filter(|_| wanted.drawn.is_some());
        let overlay = shown.as_ref().map(|(overlay, on)| Drawn {
            overlay,
            font,
            frames: entry.item_frame(on.start.max(entry.start))
                ..entry.item_frame(on.end.min(entry.end)),
            zero: timeline.wall(entry.start) - profile.frame_rate.duration(entry.in_frame),
        });
        let means = Means {
            logo: logo.as_deref(),
            gain: original.gain(&profile.treatment),
            font: captioned,
            overlay: overlay.as_ref(),
        };
        let from = GopIndex::time_of(frames.start, profile.frame_rate);
        let (path, probed) = (&original.path, &original.probed);
        let live = ffmpeg::live(path, probed, profile, means, frames);
        let patience = self.programme.recovery.health_check_interval;
        let what = Runs::Transcode;
        self.process(what, live, path, from, wanted.at, patience.max(FIRST_MEDIA))
    }

    /// The frames of an item from that at `at` on that are transcoded because something is drawn over them: whole GOPs, as
    /// long as it is drawn. Where one begins within a GOP of the prepared file, up to the next key frame of that: so
    /// that it can be gone on with there.
    fn covered(&self, entry: &PlanEntry, index: Option<&GopIndex>, at: Frame) -> Range<u64> {
        let item = entry.item_frame(at);
        let end = entry.in_frame + entry.frames();
        let place = |frame: u64| index.and_then(|index| index.gop_from(frame));
        if let Some(place) =
            place(item).filter(|place| place.frame != item && place.frame >= item + 2)
        {
            return item..place.frame.min(end);
        }
        let shown = self.drawing.shown().map_or(at, |(_, frames)| frames.end);
        if shown >= entry.end {
            return item..end;
        }
        let gop = self.equipment.profile.frame_rate.gop_frames();
        let gops = shown.since(at).div_ceil(gop).max(1);
        let until = item + gops * gop;
        // A picture that is left alone could not be encoded by itself.
        item..if until + 1 < end { until } else { end }
    }

    /// The frames of an item from `item` on that have to be encoded, because the entry begins or ends within a GOP of the
    /// prepared file: the first ones up to the next key frame, or the last ones. Nothing where the file can be copied, where a picture
    /// would be alone, and where the original is not there: filler stands in for those.
    pub(super) fn edge(&self, wanted: &Wanted, index: &GopIndex, item: u64) -> Option<Range<u64>> {
        let entry = &wanted.entry;
        let end = entry.in_frame + entry.frames();
        let until = match index.gop_from(item) {
            Some(place) if place.frame == item => {
                (place.frames > end.saturating_sub(item)).then_some(end)?
            }
            // Elsewhere than at its beginning an entry is gone on with at the next key frame.
            _ if item != entry.in_frame && !wanted.goes_on => return None,
            Some(place) => place.frame.min(end),
            None => index.frames.min(end),
        };
        let there = self.equipment.library.original(entry.media_id).is_some();
        (there && until >= item + 2).then_some(item..until)
    }

    /// A process whose first GOP, `from` on the item's clock, is on air at frame `at`, and whose first media comes
    /// within `first`.
    fn process(
        &self,
        what: Runs,
        invocation: Invocation,
        input: &Path,
        from: Ticks90k,
        at: Frame,
        first: Duration,
    ) -> Source {
        let Equipment {
            launcher,
            gate,
            view,
            label,
            clock,
            ..
        } = self.equipment;
        let allowances = &self.equipment.allowances;
        let (name, allowance) = match what {
            Runs::Copy => ("source", allowances.source),
            Runs::Transcode => ("live source", allowances.live),
        };
        let spec = launcher.spec(invocation, format!("{name} {} of {label}", self.run));
        let start = Start {
            spec: spec
                .stdout(Stdout::PIPED)
                .allowance(allowance.within(self.programme.resources))
                .group(self.equipment.group.clone()),
            from,
            due: clock.instant(at),
            first,
            patience: self.programme.recovery.health_check_interval,
            run: self.run,
            transcodes: what == Runs::Transcode,
            input: input.to_string_lossy().into_owned(),
        };
        Source::Ffmpeg(Box::new(FfmpegSource::start(
            launcher,
            gate,
            &view.processes,
            start,
        )))
    }
}
