//! What a channel needs prepared, and by when: told to the library at each change of the plan, and as the plan moves on.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use playout_domain::channel::Desired;
use playout_domain::ids::MediaId;
use playout_domain::media::Profile;
use playout_domain::prepare::Need;
use playout_domain::units::Frame;

use super::Room;

/// How far ahead it is told when something is due.
const AHEAD: SignedDuration = SignedDuration::from_hours(48);

/// Entries that are looked at for that, at most: items may be short, and the channel waits meanwhile.
const MOST_LOOKED: usize = 20_000;

/// GOPs behind what is on air that are needed still: a source that is replaced, and a daemon that comes back, go on from
/// what was published last. A minute.
const BEHIND: u64 = 30;

impl Room {
    /// Tells the library everything that the channel shows or names, and when what is not prepared is due.
    pub(super) fn tell_needs(&mut self) {
        let snapshot = self.args.handle.snapshot();
        let library = &self.args.environment.studio.library;
        let profile = Profile::of(&snapshot.channel.config, library.font());
        let now = Timestamp::now();
        let (timeline, plan) = (&snapshot.airtime.timeline, &snapshot.airtime.plan);
        let due_now = timeline.frame_at(now);
        // Off air no time says when something is shown.
        let is_live = snapshot.channel.life.desired == Desired::Live;
        let fallback = snapshot.channel.config.fallback_video;
        let behind = BEHIND * timeline.frame_rate.gop_frames();
        let kept = plan.kept(self.shown(due_now).before(behind));
        let kept: Vec<_> = kept.collect();
        let mut missing: HashSet<MediaId> = snapshot.airtime.schedule.media().into_iter().collect();
        missing.extend(fallback);
        missing.extend(kept.iter().map(|(media, _)| *media));
        let mut needs = BTreeMap::new();
        missing.retain(|media| {
            let is_missing = library.prepared(*media, &profile).is_none();
            if !is_missing {
                needs.insert(*media, NOT_DUE);
            }
            is_missing
        });
        // What is to be told anew once that has begun, or ended.
        let ends = kept.iter().filter_map(|(_, end)| *end);
        let mut until = ends.min().map(|end| Frame::new(end.get() + behind));
        let mut place = 0;
        let mut need = |media, due| {
            let due = is_live.then_some(due).flatten();
            needs.insert(media, Need { due, place });
            place += 1;
        };
        // Whatever fails, it may be needed at once.
        if let Some(media) = fallback.filter(|media| missing.remove(media)) {
            need(media, Some(now));
        }
        // What was never on air begins with its first item.
        let begins = match snapshot.channel.life.last_start_time {
            None => plan
                .after(Frame::new(0))
                .map_or(due_now, |first| first.start),
            Some(_) => due_now,
        };
        let ahead = timeline.wall(begins).saturating_add(AHEAD);
        let entries = plan.entries_from(begins, timeline.frame_at(ahead.unwrap_or(now)));
        let mut entries = entries.at_most(MOST_LOOKED);
        let (mut looked, mut halfway) = (0, begins);
        while !missing.is_empty()
            && let Some(entry) = entries.next()
        {
            looked += 1;
            if looked <= MOST_LOOKED / 2 {
                halfway = entry.start;
            }
            // What has begun is transcoded already.
            if (entry.start >= due_now || !is_live) && missing.remove(&entry.media_id) {
                need(entry.media_id, Some(timeline.wall(entry.start)));
                until = [until, Some(entry.start)].into_iter().flatten().min();
            }
        }
        if entries.is_cut_short() {
            // What lies beyond is told before it is due.
            until = [until, Some(halfway)].into_iter().flatten().min();
        }
        let mut rest: Vec<MediaId> = missing.into_iter().collect();
        rest.sort_unstable();
        for media in rest {
            need(media, None);
        }
        library.need(self.args.handle.id, &profile, &needs);
        self.needs_until = until.filter(|_| is_live);
    }

    /// Tells it anew where time has made it another.
    pub(super) fn renew_needs(&mut self) {
        let shown = self.shown(self.args.handle.due(Timestamp::now()));
        if self.needs_until.is_some_and(|until| until <= shown) {
            self.tell_needs();
        }
    }

    /// The frame that viewers have come to, at least: what is published may lie behind what is due.
    fn shown(&self, due: Frame) -> Frame {
        self.playout
            .as_ref()
            .map_or(due, |playout| playout.front().min(due))
    }
}

/// Of what is prepared.
const NOT_DUE: Need = Need {
    due: None,
    place: 0,
};
