//! What a channel shows: its schedule made into a plan, and the plan kept true to what is known of its items.

use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::as_run::{Order, Reason};
use playout_domain::config::ChannelConfig;
use playout_domain::ids::{ClientId, MediaId, SlotId};
use playout_domain::media::Profile;
use playout_domain::overlay::Overlay;
use playout_domain::plan::{Basis, MOST_WAITING, Origin, Plan, PlanEntry, PlannedItem};
use playout_domain::schedule::{Edit, Facts, Known, Refused, Schedule};
use playout_domain::units::{Frame, Ticks90k, Timeline};
use playout_domain::violation::Violations;
use playout_store::Principal;

use super::Room;
use crate::channels::PlannedView;
use crate::channels::handle::Snapshot;
use crate::error::OpError;
use crate::library::{Library, LibraryFact};
use crate::playout::{BURST_SEGMENTS, Programme};

/// Entries that are looked at for one that was asked for, at most: the channel waits meanwhile.
const MOST_LOOKED: usize = 50_000;

impl Room {
    /// Edits the schedule: checked whole, committed with its audit entry, then performed. What is on air stays.
    pub(super) async fn edit_schedule(
        &mut self,
        who: &Principal,
        edit: &Edit,
        if_match: Option<u64>,
    ) -> Result<Schedule, OpError> {
        let mut snapshot = self.snapshot();
        OpError::unless_of_version(if_match, snapshot.airtime.schedule.version)?;
        let library = &self.args.environment.studio.library;
        let profile = Profile::of(&snapshot.channel.config, library.font());
        let client = snapshot.channel.client_id;
        let known = |media| {
            has(library, client, media).then(|| Known {
                frames: library.frames(media, &profile),
            })
        };
        let mut ids = || SlotId::from(uuid::Uuid::now_v7());
        let rate = snapshot.airtime.timeline.frame_rate;
        let before = &snapshot.airtime.schedule;
        let schedule = match before.edited(edit, &mut ids, &known, rate) {
            Ok(schedule) => schedule,
            Err(Refused::Violations(violations)) => return Err(violations.into()),
            Err(Refused::NoSuchSlot) => return Err(OpError::NotFound("slot")),
        };
        snapshot.airtime.schedule = schedule.clone();
        // All get another chance, if the edit is taken.
        let faulty = std::mem::take(&mut self.faulty);
        self.plan_anew(&mut snapshot);
        let handle = std::sync::Arc::clone(&self.args.handle);
        let mut pen = handle.pen.lock().await;
        let saved = self
            .args
            .environment
            .store
            .save_airtime(Some(who), handle.id, &snapshot.airtime)
            .await;
        if let Err(error) = self.given_up(saved, &mut pen) {
            self.faulty = faulty;
            return Err(error);
        }
        pen.airtime = Some(snapshot.airtime.clone());
        if self.playout.is_some() {
            // What has gone on air meanwhile stays, too.
            snapshot = self.snapshot();
            snapshot.airtime.schedule = schedule.clone();
            self.plan_anew(&mut snapshot);
        }
        self.change_plan(snapshot.clone());
        drop(pen);
        self.tell_items();
        self.publish(
            "channel.updated",
            snapshot.channel.to_json(Timestamp::now(), ""),
        );
        Ok(schedule)
    }

    /// Plans by the schedule of `snapshot`: from the end of what is on air, or, off air, from now.
    fn plan_anew(&self, snapshot: &mut Snapshot) {
        match &self.playout {
            Some(playout) => {
                let basis = self.basis(snapshot);
                snapshot.airtime.plan.replace_from(playout.front(), basis);
            }
            None => snapshot.airtime.plan = self.plan_from_now(snapshot),
        }
    }

    /// Puts an item on air at once, or after what is on air; then the plan goes on where it was. Answers the
    /// item's entry.
    pub(super) async fn play(
        &mut self,
        who: &Principal,
        media: MediaId,
        at_once: bool,
    ) -> Result<PlannedView, OpError> {
        let library = &self.args.environment.studio.library;
        let mut snapshot = self.snapshot();
        if !has(library, snapshot.channel.client_id, media) {
            let message = format!("there is no media {media}");
            return Err(Violations::one("/mediaId", message).into());
        }
        let status = snapshot.channel.life.status;
        if self.playout.is_none() {
            return Err(OpError::Conflict {
                state: status.to_string(),
                message: "something can be played while the channel is on air; start it first"
                    .into(),
            });
        }
        let item = self.item(&snapshot, media);
        if item.frames == 0 || self.faulty.contains(&media) {
            return Err(OpError::Conflict {
                state: status.to_string(),
                message: format!("the media item {media} cannot be played; its status says why"),
            });
        }
        let handle = std::sync::Arc::clone(&self.args.handle);
        let mut pen = handle.pen.lock().await;
        let refuse = |message| OpError::Conflict {
            state: status.to_string(),
            message,
        };
        let Some(from) = self.insert(&mut snapshot, item.clone(), at_once) else {
            return Err(refuse(format!(
                "{MOST_WAITING} items that were asked for wait to be played already"
            )));
        };
        if asked_for(&snapshot.airtime.plan, from, media).is_none() {
            return Err(refuse(
                "slots leave it no time within 31 days and the next 50000 entries; play it now, or change the slots".into(),
            ));
        }
        let saved = self
            .args
            .environment
            .store
            .save_played(who, handle.id, &snapshot.airtime, media, at_once)
            .await;
        self.given_up(saved, &mut pen)?;
        pen.airtime = Some(snapshot.airtime);
        // From what is on air by now.
        let mut snapshot = self.snapshot();
        let from = self.insert(&mut snapshot, item, at_once);
        if let Some(from) = from {
            self.book().order(Order::Play {
                media,
                at: at_once.then_some(from),
                by: who.name.clone(),
            });
        }
        let plan = &snapshot.airtime.plan;
        let entry = from.and_then(|from| asked_for(plan, from, media));
        self.change_plan(snapshot.clone());
        drop(pen);
        let title = self.args.environment.studio.library.title(media);
        let entry = entry.ok_or(OpError::Internal)?;
        Ok(PlannedView::of(&entry, &snapshot.airtime.timeline, title))
    }

    /// Puts `item` into the plan of `snapshot`; answers the frame from which the plan is another, and nothing when too
    /// much waits.
    fn insert(&self, snapshot: &mut Snapshot, item: PlannedItem, at_once: bool) -> Option<Frame> {
        let front = match &self.playout {
            Some(playout) => playout.front(),
            None => self.args.handle.due(Timestamp::now()),
        };
        let plan = &mut snapshot.airtime.plan;
        let taken = match at_once {
            true => plan.play_now(front, item),
            false => plan.play_next(front, item),
        };
        taken.then_some(front)
    }

    pub(super) async fn library(&mut self, fact: LibraryFact) {
        let (media, profile) = match &fact {
            LibraryFact::Prepared { media, profile } => (*media, Some(profile)),
            LibraryFact::Changed { media } | LibraryFact::Removed { media } => (*media, None),
        };
        let snapshot = self.args.handle.snapshot();
        let font = self.args.environment.studio.library.font();
        let mine = snapshot.airtime.schedule.names(media);
        let fits = profile.is_none_or(|profile| **profile == self.args.handle.profile(font));
        if mine && fits {
            self.faulty.remove(&media);
            self.replan().await;
        }
    }

    /// Plans anew from the end of what is on air: lengths or faults have changed.
    pub(super) async fn replan(&mut self) {
        let mut snapshot = self.snapshot();
        let basis = self.basis(&snapshot);
        let changed = match &self.playout {
            Some(playout) => snapshot.airtime.plan.replace_from(playout.front(), basis),
            None => {
                let due = self.args.handle.due(Timestamp::now());
                snapshot.airtime.plan.replace_from(due, basis)
            }
        };
        if changed {
            self.change_plan(snapshot);
        }
    }

    /// Ends the entry of `media` at `at`, and goes on with the next one by the lengths known now.
    pub(super) fn end_entry(&mut self, media: MediaId, at: Frame) {
        let mut snapshot = self.snapshot();
        let basis = self.basis(&snapshot);
        let plan = &mut snapshot.airtime.plan;
        let entry = plan.at(at).filter(|entry| entry.media_id == media);
        if entry.is_some() && plan.skip(at) {
            plan.replace_from(at.before(1), basis);
            self.tell_skipped(entry, at, Reason::EndedEarly);
            self.change_plan(snapshot);
        }
    }

    /// Takes `snapshot`'s plan into use; the recorder writes it down, and the library hears what is needed for it.
    pub(super) fn change_plan(&mut self, snapshot: Snapshot) {
        // At once: what goes on air meanwhile would be missing from the new plan.
        if let Some(playout) = &self.playout {
            playout.show(programme(&snapshot));
        }
        self.args.handle.replace(snapshot);
        self.tell_needs();
        self.tell_points();
    }

    /// The schedule with the lengths known now; what is faulty or not playable is passed over.
    pub(super) fn basis(&self, snapshot: &Snapshot) -> Basis {
        let airtime = &snapshot.airtime;
        let facts = |media| match self.faulty.contains(&media) {
            true => Facts::default(),
            false => self.facts(snapshot, media),
        };
        airtime.schedule.resolve(airtime.timeline, facts)
    }

    /// What a plan has to know of an item.
    fn facts(&self, snapshot: &Snapshot, media: MediaId) -> Facts {
        let library = &self.args.environment.studio.library;
        let profile = Profile::of(&snapshot.channel.config, library.font());
        Facts {
            frames: library.frames(media, &profile),
            series: library.series(media),
        }
    }

    fn item(&self, snapshot: &Snapshot, media: MediaId) -> PlannedItem {
        let Facts { frames, series } = self.facts(snapshot, media);
        PlannedItem {
            series,
            ..PlannedItem::whole(media, frames.unwrap_or(0))
        }
    }

    /// Settles what was on air long ago, where that has become much.
    pub(super) fn settle_plan(&mut self) {
        let Some(playout) = &self.playout else { return };
        let front = playout.front();
        let snapshot = self.args.handle.snapshot();
        // Looked at without a copy of the whole.
        if snapshot.airtime.plan.is_long(front) {
            let mut snapshot = Snapshot::clone(&snapshot);
            snapshot.airtime.plan.forget(front);
            self.change_plan(snapshot);
        }
    }

    /// A plan that begins with the first segments that a start now would publish.
    pub(super) fn plan_from_now(&self, snapshot: &Snapshot) -> Plan {
        let settings = &self.args.environment.studio.settings;
        let timeline = &snapshot.airtime.timeline;
        let segment = u64::from(settings.target_duration) * timeline.frame_rate.gop_frames() / 2;
        let starts = timeline
            .frame_at(Timestamp::now())
            .before(BURST_SEGMENTS * segment);
        Plan::starting(starts, self.basis(snapshot))
    }
}

/// Whether a client's channels may play an item. An administrator sees more, but a channel plays what its own client has.
pub(super) fn has(library: &Library, client: ClientId, media: MediaId) -> bool {
    library.owner(media) == Some(client)
}

/// The entry of `plan` that shows `media` because somebody asked for it, the first one from `from` on.
fn asked_for(plan: &Plan, from: Frame, media: MediaId) -> Option<PlanEntry> {
    let entries = plan.entries_from(from, plan.horizon(from));
    let mut entries = entries.at_most(MOST_LOOKED);
    entries.find(|entry| entry.origin == Origin::Play && entry.media_id == media)
}

pub(super) fn programme(snapshot: &Snapshot) -> Programme {
    let overlay = snapshot.channel.config.overlay.as_deref();
    // What stands is in the profile.
    let passing = overlay.and_then(Overlay::passing);
    Programme {
        plan: snapshot.airtime.plan.clone(),
        fallback: snapshot.channel.config.fallback_video,
        recovery: snapshot.channel.config.recovery,
        resources: snapshot.channel.config.resources,
        overlay: passing.map(Arc::new),
    }
}

/// The clock of a channel that begins now: its first frames lie far enough back for the burst.
pub(in crate::channels) fn new_timeline(
    settings: &crate::playout::PlayoutSettings,
    config: &ChannelConfig,
    now: Timestamp,
) -> Timeline {
    let back = 4 * i64::from(settings.target_duration) * BURST_SEGMENTS as i64;
    let epoch = Timestamp::from_second(now.as_second() - back).unwrap_or(now);
    Timeline {
        epoch,
        frame_rate: config.frame_rate,
        clock_origin: Ticks90k::new(u64::from(settings.clock_origin) * 90_000),
    }
}
