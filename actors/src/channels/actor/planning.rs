//! What a channel shows: its rotation made into a plan, and the plan kept true to what is known of its items.

use std::collections::HashSet;

use jiff::Timestamp;
use playout_domain::config::ChannelConfig;
use playout_domain::ids::MediaId;
use playout_domain::media::Profile;
use playout_domain::plan::{Plan, PlannedItem, Rotation};
use playout_domain::units::{Frame, Ticks90k, Timeline};
use playout_domain::violation::Violations;
use playout_store::Principal;
use serde_json::Value;

use super::Room;
use crate::channels::handle::Snapshot;
use crate::error::OpError;
use crate::library::LibraryFact;
use crate::playout::{BURST_SEGMENTS, Programme};

impl Room {
    pub(super) async fn set_rotation(
        &mut self,
        who: &Principal,
        rotation: &Value,
    ) -> Result<Rotation, OpError> {
        let rotation = Rotation::parse(rotation)?;
        let library = &self.args.environment.studio.library;
        let mut violations = Violations::default();
        for (n, item) in rotation.items.iter().enumerate() {
            if !library
                .owner(item.media_id)
                .is_some_and(|owner| who.sees(owner))
            {
                violations.add(
                    format!("/items/{n}/mediaId"),
                    format!("there is no media {}", item.media_id),
                );
            }
        }
        violations.or(())?;
        let mut snapshot = self.snapshot();
        snapshot.airtime.rotation = rotation.clone();
        self.faulty.clear();
        match &self.playout {
            Some(playout) => {
                let items = self.planned(&snapshot);
                snapshot.airtime.plan.replace_from(playout.front(), items);
            }
            None => snapshot.airtime.plan = self.plan_from_now(&snapshot),
        }
        let handle = std::sync::Arc::clone(&self.args.handle);
        let mut pen = handle.pen.lock().await;
        let saved = self
            .args
            .environment
            .store
            .save_airtime(Some(who), handle.id, &snapshot.airtime)
            .await;
        self.given_up(saved, &mut pen)?;
        pen.airtime = Some(snapshot.airtime.clone());
        handle.replace(snapshot.clone());
        drop(pen);
        self.want_all();
        if let Some(playout) = &self.playout {
            playout.show(programme(&snapshot));
        }
        self.tell_items();
        self.publish(
            "channel.updated",
            snapshot.channel.to_json(Timestamp::now(), ""),
        );
        Ok(rotation)
    }

    pub(super) async fn library(&mut self, fact: LibraryFact) {
        let (media, profile) = match &fact {
            LibraryFact::Prepared { media, profile } => (*media, Some(profile)),
            LibraryFact::Changed { media } | LibraryFact::Removed { media } => (*media, None),
        };
        let snapshot = self.args.handle.snapshot();
        let mine = snapshot
            .airtime
            .rotation
            .items
            .iter()
            .any(|item| item.media_id == media);
        let fits = profile.is_none_or(|profile| *profile == self.args.handle.profile());
        if mine && fits {
            self.faulty.remove(&media);
            self.replan().await;
        }
    }

    /// Plans anew from the end of what is on air: lengths or faults have changed.
    pub(super) async fn replan(&mut self) {
        let mut snapshot = self.snapshot();
        let items = self.planned(&snapshot);
        let changed = match &self.playout {
            Some(playout) => snapshot.airtime.plan.replace_from(playout.front(), items),
            None => {
                let due = self.args.handle.due(Timestamp::now());
                snapshot.airtime.plan.replace_from(due, items)
            }
        };
        if changed {
            self.change_plan(snapshot);
        }
    }

    /// Ends the entry of `media` at `at`, and goes on with the next one by the lengths known now.
    pub(super) fn end_entry(&mut self, media: MediaId, at: Frame) {
        let mut snapshot = self.snapshot();
        let items = self.planned(&snapshot);
        let plan = &mut snapshot.airtime.plan;
        if plan.at(at).is_some_and(|entry| entry.media_id == media) && plan.skip(at) {
            plan.replace_from(at.before(1), items);
            self.change_plan(snapshot);
        }
    }

    /// Takes `snapshot`'s plan into use; the recorder writes it down.
    pub(super) fn change_plan(&mut self, snapshot: Snapshot) {
        // At once: what goes on air meanwhile would be missing from the new plan.
        if let Some(playout) = &self.playout {
            playout.show(programme(&snapshot));
        }
        self.args.handle.replace(snapshot);
    }

    /// The rotation with the lengths known now; what is faulty or not playable is passed over.
    pub(super) fn planned(&self, snapshot: &Snapshot) -> Vec<PlannedItem> {
        let profile = Profile::of(&snapshot.channel.config);
        let library = &self.args.environment.studio.library;
        let frames = |media| match self.faulty.contains(&media) {
            true => None,
            false => library.frames(media, &profile),
        };
        snapshot.airtime.rotation.planned(frames)
    }

    /// A plan that begins with the first segments that a start now would publish.
    pub(super) fn plan_from_now(&self, snapshot: &Snapshot) -> Plan {
        let settings = &self.args.environment.studio.settings;
        let timeline = &snapshot.airtime.timeline;
        let segment = u64::from(settings.target_duration) * timeline.frame_rate.gop_frames() / 2;
        let starts = timeline
            .frame_at(Timestamp::now())
            .before(BURST_SEGMENTS * segment);
        Plan::starting(starts, self.planned(snapshot))
    }

    /// Asks for everything that the channel shows to be prepared.
    pub(super) fn want_all(&self) {
        let snapshot = self.args.handle.snapshot();
        let profile = Profile::of(&snapshot.channel.config);
        let library = &self.args.environment.studio.library;
        let rotation = snapshot
            .airtime
            .rotation
            .items
            .iter()
            .map(|item| item.media_id);
        let wanted: HashSet<MediaId> = rotation
            .chain(snapshot.channel.config.fallback_video)
            .collect();
        for media in wanted {
            library.want(media, &profile);
        }
    }
}

pub(super) fn programme(snapshot: &Snapshot) -> Programme {
    Programme {
        plan: snapshot.airtime.plan.clone(),
        fallback: snapshot.channel.config.fallback_video,
        recovery: snapshot.channel.config.recovery,
        resources: snapshot.channel.config.resources,
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
