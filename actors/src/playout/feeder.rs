//! Reads the plan's items, one after another, ahead of real time, and hands their GOPs to the air task.
//!
//! It is the only one who decides what stands at which frame. An item is read from its source GOP by
//! GOP, each GOP's position taken from its bytes. Where a source fails it is started again at the first
//! frame that is missing; meanwhile what was read ahead plays, and when that would run dry, filler, GOP
//! by GOP. A GOP that comes after its time is dropped. So nothing ever shifts: frame N is frame N.

mod overlay;
mod places;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::as_run::Reason;
use playout_domain::ids::MediaId;
use playout_domain::overlay::{Drawing, Version};
use playout_domain::plan::{Plan, PlanEntry};
use playout_domain::source::{self, Cause, SourceFailures, Then};
use playout_domain::units::{Frame, FrameRate, Ticks90k};
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, ITEM_START};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::places::Claimed;
use super::facts::Fact;
use super::filler::Filler;
use super::opening::{Equipment, Opening, Playing, Wanted};
use super::queue::{Fed, Shows};
use super::reporter::About;
use super::source::SourceError;
use super::{Programme, SourceKind};
use crate::chance;
use crate::channels::OnAirKind;

/// How long past its time a GOP is waited for before filler stands in. What was published before keeps
/// players busy for three segments; a source that comes back within this is not noticed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the very first GOP is waited for: nobody watches yet.
const FIRST_PATIENCE: Duration = Duration::from_secs(6);
/// How long a playout may take to catch up with the time, as long as its source delivers.
const CATCH_UP: Duration = Duration::from_secs(20);
/// A source that is so many GOPs behind what is on air is started again where that is.
const TOO_LATE: u64 = 4;
/// GOPs that are passed over at a time where an item cannot be read: ten seconds.
const PASSED_OVER: u64 = 5;

/// See the module's head.
pub(super) struct Feeder {
    equipment: Equipment,
    filler: Filler,
    programme: watch::Receiver<Arc<Programme>>,
    plan: Arc<Programme>,
    /// The first frame that is not in the queue yet.
    cursor: Frame,
    current: Option<Playing>,
    /// The source of the entry after the current one, started ahead.
    ahead: Option<Playing>,
    /// Numbers the sources.
    runs: u64,
    failures: SourceFailures,
    /// What is drawn over what it reads.
    drawing: Drawing,
    /// The overlay of which it was told that all is well.
    settled: Option<Version>,
    /// Items that nothing can be drawn on, for their originals are not there.
    bare: HashSet<MediaId>,
    /// The entry that was delivered last, by its first frame, and the frame up to which it was.
    reached: Option<(Frame, Frame)>,
    /// Up to where filler stands in for what cannot be played.
    passed_over: Option<Frame>,
    /// When the source may be started again.
    retry: Option<Instant>,
    /// The entry of which nothing more is to be had, and why. The whole of it, for another may begin at the same frame.
    spent: Option<(PlanEntry, Reason)>,
    /// The last entry that had nothing more before its end, for the as-run log.
    gone: Option<(Frame, Reason)>,
    /// Why the entry's source failed last; nothing once it delivers.
    trouble: Option<(Frame, Arc<str>)>,
    /// Until when the playout may still be catching up with the time; `None` once it has.
    catching_up: Option<Instant>,
    /// How long the next GOP is waited for while catching up.
    progress: Instant,
    /// The place on the node for what is transcoded.
    place: Option<Claimed>,
}

/// What happened while a GOP was awaited.
enum Awaited {
    Came(Result<Option<Gop>, SourceError>),
    /// What was read ahead would run dry.
    Dry,
    /// The time for another attempt.
    Retry,
    Replanned,
}

impl Feeder {
    pub(super) fn new(
        equipment: Equipment,
        mut filler: Filler,
        mut programme: watch::Receiver<Arc<Programme>>,
        cursor: Frame,
    ) -> Self {
        let plan = Arc::clone(&programme.borrow_and_update());
        filler.use_fallback(plan.fallback);
        // A start is fastest with what is prepared.
        let drawing = Drawing::none(equipment.timeline);
        let mut feeder = Self {
            equipment,
            filler,
            programme,
            cursor,
            current: None,
            ahead: None,
            runs: 0,
            failures: SourceFailures::new(plan.recovery),
            drawing,
            settled: None,
            bare: HashSet::new(),
            reached: None,
            plan,
            passed_over: None,
            retry: None,
            spent: None,
            gone: None,
            trouble: None,
            catching_up: Some(Instant::now() + CATCH_UP),
            progress: Instant::now() + FIRST_PATIENCE,
            place: None,
        };
        let in_time = feeder.in_time();
        feeder.redraw(in_time);
        feeder
    }

    /// Feeds for ever. Ends only when nobody can change the programme any more.
    pub(super) async fn run(mut self) -> &'static str {
        loop {
            tokio::select! {
                biased;
                changed = self.programme.changed() => match changed {
                    Ok(()) => self.replan(),
                    Err(_) => return "nobody is in charge of the channel any more",
                },
                () = self.equipment.queue.room() => self.feed().await,
            }
        }
    }

    /// Takes one step: a GOP of the item that is due, or of what stands in for it.
    async fn feed(&mut self) {
        if self.drawing.is_over(self.cursor) {
            self.settle(Fact::OverlayOver);
        }
        self.mind_place();
        let Some(entry) = self.due() else {
            let room = self.until_next_entry();
            self.leave();
            let why = self.spent.map_or(Reason::NothingPlanned, |(_, why)| why);
            let planned = self.plan.plan.at(self.cursor);
            let why = planned.map_or(Reason::NothingPlanned, |_| why);
            return self.stand_in(room, why).await;
        };
        self.show_buffer();
        if let Some(behind) = self.passed_over.filter(|behind| *behind > self.cursor) {
            let room = behind.since(self.cursor);
            return self.stand_in(room, Reason::SourceFailed).await;
        }
        self.passed_over = None;
        let wanted = entry.item_frame(self.cursor);
        if self
            .current
            .as_ref()
            .is_some_and(|playing| playing.until.is_some_and(|until| until <= wanted))
        {
            // Its time is over, whether it came in time or filler stood in: the rest has another source.
            self.current = None;
        }
        self.redrawn(&entry);
        if self
            .current
            .as_ref()
            .is_none_or(|playing| playing.entry != entry)
        {
            self.leave();
            if entry.end.since(self.cursor) < 2 && !self.is_prepared(&entry) {
                // An encoder gives a single picture no decoding order that another could follow.
                self.spend(entry, Reason::Edge);
                return;
            }
            self.open(entry).await;
            if self.current.is_none() && self.waits(&entry) {
                let gop = self.equipment.profile.frame_rate.gop_frames();
                let room = gop.min(entry.end.since(self.cursor));
                return self.stand_in(room, Reason::NoPlace).await;
            }
            if self.current.is_none() && self.retry.is_none() {
                // It could not be started, and may be tried again at once.
                return;
            }
        }
        if let Some(playing) = &self.current {
            // Between the frame that is due and the next key frame of the item something has to stand.
            let gap = playing.next.saturating_sub(entry.item_frame(self.cursor));
            if gap > 0 {
                let room = gap.min(entry.end.since(self.cursor));
                let why = match self.trouble_of(&entry) {
                    Some(_) => Reason::SourceFailed,
                    None => Reason::Edge,
                };
                return self.stand_in(room, why).await;
            }
        }
        match self.await_gop(&entry).await {
            Awaited::Came(Ok(Some(gop))) => self.take(entry, gop).await,
            Awaited::Came(Ok(None)) => self.ended(&entry),
            Awaited::Came(Err(error)) => self.fail(&entry, &error),
            Awaited::Dry if self.draws() => self.fail_drawing(&SourceError::Late),
            Awaited::Dry => {
                self.equipment.view.update(|view| view.health.stood_in());
                let gop = self.equipment.profile.frame_rate.gop_frames();
                let edge = self.current.as_ref().and_then(|playing| playing.until);
                let end = edge.map_or(entry.end, |until| self.behind_edge(&entry, until));
                let room = gop.min(end.since(self.cursor));
                self.stand_in(room, Reason::SourceFailed).await;
            }
            Awaited::Retry => self.retry = None,
            Awaited::Replanned => self.replan(),
        }
    }

    /// The source has nothing more, and says that all is well.
    fn ended(&mut self, entry: &PlanEntry) {
        if let Some(playing) = &self.current
            && let Some(of) = playing.until
        {
            let at = playing.next;
            let drawn = self.draws();
            if at < of && drawn && source::is_over(entry, at, self.frames(entry)) {
                // As where nothing is drawn: an item is as long as it turns out to be.
                return self.over(entry);
            }
            if at < of {
                return self.fail(entry, &SourceError::BrokeOff { at, of });
            }
            self.current = None;
            if drawn {
                return;
            }
            // It was too late for some of it: filler stands in for the rest, too.
            self.passed_over = Some(self.behind_edge(entry, of));
            return;
        }
        let broke_off = self.current.as_ref().and_then(|playing| {
            let frames = playing.index.as_ref().map(|index| index.frames);
            (!source::is_over(entry, playing.next, frames)).then(|| playing.broke_off(playing.next))
        });
        match broke_off {
            Some(error) => self.fail(entry, &error),
            None => self.over(entry),
        }
    }

    /// The item has nothing more, which may be earlier than the plan says.
    fn over(&mut self, entry: &PlanEntry) {
        self.current = None;
        self.spend(*entry, Reason::EndedEarly);
        let gop = self.equipment.profile.frame_rate.gop_frames();
        if entry.end.since(self.cursor) > gop {
            self.equipment.facts.tell(Fact::EndedEarly {
                media: entry.media_id,
                at: self.cursor,
            });
        }
    }

    /// The current source's entry is over. One that has not delivered it to its end by then is too slow.
    fn leave(&mut self) {
        let Some(playing) = self.current.take() else {
            return;
        };
        let end = playing.entry.in_frame + playing.entry.frames();
        let live = playing.index.is_none() && playing.until.is_none();
        if live && playing.next < end && self.cursor >= playing.entry.end {
            let behind = end - playing.next;
            self.fail(&playing.entry, &SourceError::TooSlow { behind });
            // The next entry has a source of its own.
            self.retry = None;
        }
    }

    /// The entry that is due at the cursor, unless nothing more is to be had of it.
    fn due(&self) -> Option<PlanEntry> {
        let entry = self.plan.plan.at(self.cursor)?;
        let spent = self.spent.is_some_and(|(spent, _)| spent == entry);
        (!spent).then_some(entry)
    }

    fn is_prepared(&self, entry: &PlanEntry) -> bool {
        self.frames(entry).is_some()
    }

    /// How many frames the prepared file of `entry` has.
    fn frames(&self, entry: &PlanEntry) -> Option<u64> {
        let Equipment {
            library, profile, ..
        } = &self.equipment;
        let prepared = library.prepared(entry.media_id, profile)?;
        Some(prepared.index.frames)
    }

    fn until_next_entry(&self) -> u64 {
        let plan = &self.plan.plan;
        let next = match plan.at(self.cursor) {
            Some(spent) => Some(spent.end),
            None => plan.after(self.cursor).map(|entry| entry.start),
        };
        next.map_or(u64::MAX, |next| next.since(self.cursor))
    }

    /// Nothing more is to be had of `entry`.
    fn spend(&mut self, entry: PlanEntry, why: Reason) {
        self.spent = Some((entry, why));
        if self.cursor < entry.end {
            self.gone = Some((entry.start, why));
        }
    }

    /// Why the source of `entry` failed last, if it has not delivered since.
    fn trouble_of(&self, entry: &PlanEntry) -> Option<Arc<str>> {
        let trouble = self.trouble.as_ref();
        let its = trouble.filter(|(start, _)| *start == entry.start);
        its.map(|(_, error)| Arc::clone(error))
    }

    async fn stand_in(&mut self, room: u64, reason: Reason) {
        let planned = self.plan.plan.at(self.cursor);
        let failed = planned.filter(|_| reason == Reason::SourceFailed);
        let about = About {
            planned,
            reason,
            detail: failed.and_then(|entry| self.trouble_of(&entry)),
            encoded: false,
            gone: self.gone,
        };
        let fed = self.filler.piece(self.cursor, room, about).await;
        self.cursor = fed.end();
        self.equipment.queue.push(fed);
    }

    /// Makes the source of `entry` at the cursor the current one.
    async fn open(&mut self, entry: PlanEntry) {
        if self.retry.is_some() {
            return;
        }
        let at = self.cursor;
        let ahead = self.ahead.take();
        if let Some(ahead) = ahead
            && ahead.entry == entry
            && ahead.next == entry.item_frame(at)
            && self.is_as_drawn(&entry, at, ahead.drawn)
        {
            self.current = Some(ahead);
            return;
        }
        let wanted = self.wanted(entry, at);
        let started = match self.has_place(&wanted) {
            true => self.start(&wanted).await,
            false => Err(SourceError::NoPlace),
        };
        match started {
            Ok(playing) => self.current = Some(playing),
            Err(SourceError::Missing) if wanted.drawn.is_some() => {
                self.bare.insert(entry.media_id);
            }
            Err(error) if wanted.drawn.is_some() => self.fail_drawing(&error),
            Err(SourceError::Over) => self.over(&entry),
            Err(SourceError::NoPlace) => {}
            Err(error) => self.fail(&entry, &error),
        }
    }

    /// Opens a source.
    async fn start(&mut self, wanted: &Wanted) -> Result<Playing, SourceError> {
        self.runs += 1;
        self.opening().open(wanted).await
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            equipment: &self.equipment,
            programme: &self.plan,
            drawing: &self.drawing,
            run: self.runs,
        }
    }

    async fn await_gop(&mut self, entry: &PlanEntry) -> Awaited {
        let dry = self.dry();
        let retry = self.retry.unwrap_or(dry);
        let coming = async {
            match &mut self.current {
                Some(playing) => playing.source.next().await,
                None => std::future::pending().await,
            }
        };
        debug_assert!(entry.end > self.cursor);
        tokio::select! {
            biased;
            changed = self.programme.changed() => {
                // Without anybody in charge the next turn of `run` ends.
                let _ = changed;
                Awaited::Replanned
            }
            came = coming => Awaited::Came(came),
            () = sleep_until(retry), if self.retry.is_some() => Awaited::Retry,
            () = sleep_until(dry) => Awaited::Dry,
        }
    }

    /// When the next GOP has to be there at the latest. While filler is on air already, nobody waits; while
    /// the output catches up with the time, a source that delivers is given time to.
    fn dry(&self) -> Instant {
        if self.draws() {
            // What is prepared has the length of a GOP to take its place.
            return self.equipment.clock.instant(self.cursor);
        }
        let gop = self.equipment.profile.frame_rate.gop_frames();
        let due = self.equipment.clock.instant(self.cursor + gop);
        if self.equipment.view.look(|view| view.health.is_recovering()) {
            return due;
        }
        match self.catching_up {
            Some(until) => (due + PATIENCE).max(self.progress.min(until)),
            None => due + PATIENCE,
        }
    }

    /// Hands on a GOP of the item, if it is the one that is due.
    async fn take(&mut self, entry: PlanEntry, gop: Gop) {
        let rate = self.equipment.profile.frame_rate;
        let came = frame_of(&gop, rate);
        let frames = u64::from(gop.frames);
        let wanted = entry.item_frame(self.cursor);
        let Some(playing) = &mut self.current else {
            return;
        };
        playing.next = came + frames;
        if came < wanted {
            // Filler stood in for it: its time is over. An encoder that is far behind would take long to
            // catch up; a new one begins where it is needed.
            let behind = wanted - came;
            if behind > TOO_LATE * rate.gop_frames() {
                self.fail(&entry, &SourceError::TooSlow { behind });
            }
            return;
        }
        if came > wanted {
            return self.fail(&entry, &SourceError::Misplaced { wanted, got: came });
        }
        if playing.is_torn(came, frames) || last_frame(&gop, rate) >= came + frames {
            let error = playing.broke_off(came);
            return self.fail(&entry, &error);
        }
        if frames > entry.end.since(self.cursor) {
            // The plan ends the item within this GOP, which cannot be cut: it is encoded up to there, or left out.
            let index = playing.index.clone();
            let edge = index.and_then(|index| self.edge(entry, &index));
            if edge.is_none() {
                self.spend(entry, Reason::Edge);
            }
            self.current = None;
            return;
        }
        let shows = Shows {
            kind: OnAirKind::Scheduled,
            media: Some(entry.media_id),
            entry: Some((entry.start, entry.end)),
            until: Some(self.equipment.timeline.wall(entry.end)),
        };
        let (id, drawn, bare) = (playing.id, playing.drawn, playing.bare);
        let over = playing.until.is_some_and(|until| playing.next >= until);
        let about = About {
            planned: Some(entry),
            reason: Reason::Scheduled,
            detail: None,
            encoded: playing.index.is_none(),
            gone: self.gone,
        };
        self.equipment.queue.push(Fed {
            at: self.cursor,
            gop,
            source: id,
            shows,
            drawn,
            bare,
            about,
        });
        self.cursor += frames;
        self.reached = Some((entry.start, self.cursor));
        if over {
            self.current = None;
        }
        let now = Instant::now();
        self.progress = now + PATIENCE;
        if self.equipment.clock.instant(self.cursor) > now {
            self.catching_up = None;
        }
        self.recovered(&entry);
        if drawn.is_some() {
            self.settle(Fact::OverlayDrawn);
        }
        self.look_ahead(&entry).await;
    }

    /// What has to be encoded of `entry` at the cursor, which lies in the prepared file of `index`.
    fn edge(&self, entry: PlanEntry, index: &GopIndex) -> Option<Range<u64>> {
        let wanted = self.wanted(entry, self.cursor);
        let item = entry.item_frame(self.cursor);
        self.opening().edge(&wanted, index, item)
    }

    fn recovered(&mut self, entry: &PlanEntry) {
        self.failures.delivered(entry);
        self.trouble = None;
        let mut was = false;
        self.equipment
            .view
            .update(|view| was = view.health.delivered());
        if was {
            let media = entry.media_id;
            self.equipment.facts.tell(Fact::Recovered { media });
        }
    }

    /// Starts the next entry's source when the current one is nearly read.
    async fn look_ahead(&mut self, entry: &PlanEntry) {
        let near = entry.end.since(self.cursor) <= self.equipment.queue.capacity();
        if !near || self.ahead.is_some() {
            return;
        }
        let Some(next) = self.plan.plan.at(entry.end) else {
            return;
        };
        let wanted = self.wanted(next, next.start);
        if self.equipment.source == SourceKind::Direct && wanted.drawn.is_none() {
            return;
        }
        if !self.has_place(&wanted) {
            return;
        }
        // Should it fail, its own turn comes with the retries that belong to it.
        if let Ok(playing) = self.start(&wanted).await {
            self.ahead = Some(playing);
        }
    }

    /// Where the edge of `entry` that ends with the item's frame `until` is over.
    fn behind_edge(&self, entry: &PlanEntry, until: u64) -> Frame {
        let rest = until.saturating_sub(entry.item_frame(self.cursor));
        (self.cursor + rest).min(entry.end)
    }

    /// The source of an edge failed: filler stands in for that edge. The prepared file is as good as before.
    fn fail_edge(&mut self, entry: &PlanEntry, until: u64, error: &SourceError) {
        self.trouble = Some((entry.start, error.to_string().into()));
        self.passed_over = Some(self.behind_edge(entry, until));
        self.equipment.view.update(|view| {
            view.health.failed(1);
            view.health.stood_in();
        });
        self.equipment.facts.tell(Fact::SourceFailed {
            media: entry.media_id,
            error: error.to_string(),
            attempt: 1,
            delay: Duration::ZERO,
        });
    }

    /// A source failed.
    fn fail(&mut self, entry: &PlanEntry, error: &SourceError) {
        if self.draws() {
            return self.fail_drawing(error);
        }
        let edge = self.current.take().and_then(|playing| playing.until);
        if let Some(until) = edge {
            return self.fail_edge(entry, until, error);
        }
        self.trouble = Some((entry.start, error.to_string().into()));
        let cause = match error {
            SourceError::TooSlow { .. } => Cause::TooSlow,
            SourceError::Missing => Cause::Missing,
            _ => Cause::Failed,
        };
        let stretch = PASSED_OVER * self.equipment.profile.frame_rate.gop_frames();
        let (at, now) = (self.cursor, Timestamp::now());
        let verdict = self
            .failures
            .failed(entry, at, cause, stretch, now, chance::draw());
        let (attempt, delay) = (verdict.attempt, verdict.delay);
        self.retry = (!delay.is_zero()).then(|| Instant::now() + delay);
        self.equipment.view.update(|view| {
            view.health.failed(attempt);
        });
        let media = entry.media_id;
        self.equipment.facts.tell(Fact::SourceFailed {
            media,
            error: error.to_string(),
            attempt,
            delay,
        });
        match verdict.then {
            Then::Restart => {}
            Then::PassOver(behind) => {
                self.equipment.view.update(|view| view.health.stood_in());
                self.passed_over = Some(behind);
            }
            Then::GiveUp => {
                self.spend(*entry, Reason::SourceFailed);
                self.equipment.facts.tell(Fact::ItemBroken { media, at });
            }
        }
    }

    /// The programme has changed: takes back what it does not say any more.
    fn replan(&mut self) {
        self.plan = Arc::clone(&self.programme.borrow_and_update());
        self.filler.use_fallback(self.plan.fallback);
        self.failures.recover_by(self.plan.recovery);
        if let Some(group) = &self.equipment.group {
            let allowance = self.equipment.allowances.channel;
            group.limit(allowance.within(self.plan.resources));
        }
        self.passed_over = None;
        let in_time = self.in_time();
        self.redraw(in_time);
        let plan = &self.plan.plan;
        let as_drawn = |fed: &Fed| match plan.at(fed.at) {
            Some(entry) if fed.shows.kind == OnAirKind::Scheduled => {
                self.is_as_drawn(&entry, fed.at, fed.drawn)
            }
            _ => true,
        };
        if let Some(from) = self
            .equipment
            .queue
            .cut(|fed| stays(plan, fed) && as_drawn(fed))
        {
            self.cursor = from;
            self.current = None;
            self.reached = plan.at(from).map(|entry| (entry.start, from));
            self.drawing.not_before(in_time);
        }
        let cursor = self.cursor;
        let keeps = |playing: &Playing, at: Frame| plan.at(at) == Some(playing.entry);
        if self
            .current
            .as_ref()
            .is_some_and(|playing| !keeps(playing, cursor))
        {
            self.current = None;
        }
        if self.ahead.as_ref().is_some_and(|playing| {
            let start = playing.entry.start;
            !keeps(playing, start) || !self.is_as_drawn(&playing.entry, start, playing.drawn)
        }) {
            self.ahead = None;
        }
        self.retry = None;
    }

    fn show_buffer(&self) {
        let frames = self.equipment.queue.frames();
        let buffered = self.equipment.profile.frame_rate.ticks(frames);
        self.equipment.view.update(|view| view.buffered = buffered);
    }
}

/// Whether `plan` still shows what was read ahead.
fn stays(plan: &Plan, fed: &Fed) -> bool {
    match (plan.at(fed.at), fed.shows.entry) {
        (Some(entry), Some((start, end))) => {
            entry.start == start && entry.end == end && Some(entry.media_id) == fed.shows.media
        }
        (None, None) => plan
            .after(fed.at)
            .is_none_or(|entry| entry.start >= fed.end()),
        _ => false,
    }
}

/// The frame of the item with which a GOP begins, read off its time stamp.
pub(super) fn frame_of(gop: &Gop, rate: FrameRate) -> u64 {
    number_of(gop.pts, rate)
}

/// The last frame of the item that a GOP has. Pictures are not decoded in the order in which they are shown: of an encoder
/// that broke off within a GOP one may be missing before the last.
fn last_frame(gop: &Gop, rate: FrameRate) -> u64 {
    let frames = gop.rungs.iter().flat_map(|rung| &rung.frames);
    let numbers = frames.map(|frame| number_of(frame.pts, rate));
    numbers.max().unwrap_or_default()
}

/// The frame of the item that a time stamp means.
fn number_of(pts: Ticks90k, rate: FrameRate) -> u64 {
    let ticks = pts.saturating_sub(ITEM_START);
    // Half a frame is added, so that rounding in the stamps does not matter.
    let half = rate.ticks(1).get() / 2;
    let (num, den) = (u128::from(rate.num()), u128::from(rate.den()));
    (u128::from(ticks.get() + half) * num / (90_000 * den)) as u64
}
