//! P-as-run: aired rows cover exactly what went out; of every planned entry that is over, what was aired and what is missing are
//! together as many frames as were planned. A real plan is changed by hand while what it shows fails at random, the channel leaves
//! the air, and whoever tells of it goes on from what was stored.
//!
//! The oracle writes down each frame by itself, and knows nothing of stretches.

use std::collections::{BTreeMap, BTreeSet};

use playout_domain::as_run::{Kind, Log, Order, Planned, Reason, Row, Seen, Shown};
use playout_domain::plan::{Plan, PlanEntry, PlannedItem};
use playout_domain::{Frame, MediaId};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use crate::cases;

const FALLBACK: u128 = 99;

fn media(n: u128) -> MediaId {
    MediaId::from(Uuid::from_u128(n))
}

#[derive(Debug, Clone)]
enum Step {
    /// So many frames of what is planned.
    Air {
        frames: u64,
        encoded: bool,
    },
    /// So many frames in which the fallback stands in.
    Fail(u64),
    /// The item has nothing more.
    EndEarly,
    Skip,
    /// Another item, so that no two plays are one.
    PlayNow(u64),
    PlayNext(u64),
    /// Off air for so long.
    Away(u64),
    /// The daemon is killed: what was stored last is read.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..40_u64, any::<bool>()).prop_map(|(frames, encoded)| Step::Air { frames, encoded }),
        2 => (1..20_u64).prop_map(Step::Fail),
        1 => Just(Step::EndEarly),
        1 => Just(Step::Skip),
        2 => (1..60_u64).prop_map(Step::PlayNow),
        2 => (1..60_u64).prop_map(Step::PlayNext),
        1 => (1..120_u64).prop_map(Step::Away),
        1 => Just(Step::Kill),
    ]
}

struct Stage {
    plan: Plan,
    log: Log,
    at: Frame,
    rows: Vec<Row>,
    /// Of each frame that went out: the item, and its frame where it is the plan's.
    aired: BTreeMap<u64, (Option<MediaId>, Option<u64>)>,
    gone: Option<(Frame, Reason)>,
    dropped: Vec<PlanEntry>,
    /// Items that were played by hand.
    played: u128,
}

impl Stage {
    /// The entry at the next frame, and for how many frames it goes on, `most` at most.
    fn due(&self, most: u64) -> (Option<PlanEntry>, u64) {
        let entry = self.plan.at(self.at);
        let room = match (entry, self.plan.after(self.at)) {
            (Some(entry), _) => entry.end.since(self.at),
            (None, Some(next)) => next.start.since(self.at),
            (None, None) => u64::MAX,
        };
        (entry, room.min(most))
    }

    fn see(&mut self, frames: u64, shown: Shown, reason: Reason, encoded: bool) {
        let (planned, _) = self.due(frames);
        let seen = Seen {
            at: self.at,
            frames,
            shown,
            planned,
            reason,
            detail: None,
            encoded,
            gone: self.gone,
        };
        for frame in self.at.0..self.at.0 + frames {
            let what = match (shown, planned) {
                (Shown::Planned, Some(entry)) => {
                    (Some(entry.media_id), Some(entry.item_frame(Frame(frame))))
                }
                (Shown::Instead(_, media), _) => (media, None),
                _ => continue,
            };
            self.aired.insert(frame, what);
        }
        self.rows.extend(self.log.see(&seen));
        self.at += frames;
    }

    fn another(&mut self) -> MediaId {
        self.played += 1;
        media(1_000 + self.played)
    }

    /// An entry is left out before it begins.
    fn drop(&mut self, entry: &PlanEntry, reason: Reason) {
        self.dropped.push(*entry);
        self.log.order(Order::Drop {
            planned: Planned::of(entry),
            reason,
            by: None,
        });
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Air {
                mut frames,
                encoded,
            } => {
                while frames > 0 {
                    let (entry, room) = self.due(frames);
                    let spent = entry.is_some_and(|entry| {
                        self.gone.is_some_and(|(start, _)| start == entry.start)
                    });
                    match entry {
                        Some(_) if !spent => {
                            self.see(room, Shown::Planned, Reason::Scheduled, encoded)
                        }
                        Some(_) => self.see(
                            room,
                            Shown::Instead(Kind::Slate, None),
                            Reason::EndedEarly,
                            false,
                        ),
                        None => self.see(
                            room,
                            Shown::Instead(Kind::Slate, None),
                            Reason::NothingPlanned,
                            false,
                        ),
                    }
                    frames -= room;
                }
            }
            Step::Fail(mut frames) => {
                while frames > 0 {
                    let (entry, room) = self.due(frames);
                    let reason = match entry {
                        Some(_) => Reason::SourceFailed,
                        None => Reason::NothingPlanned,
                    };
                    self.see(
                        room,
                        Shown::Instead(Kind::Fallback, Some(media(FALLBACK))),
                        reason,
                        false,
                    );
                    frames -= room;
                }
            }
            Step::EndEarly => {
                if let Some(entry) = self.plan.at(self.at) {
                    if entry.start < self.at {
                        self.gone = Some((entry.start, Reason::EndedEarly));
                    } else {
                        self.drop(&entry, Reason::SourceFailed);
                    }
                    self.plan.skip(self.at);
                }
            }
            Step::Skip => {
                let entry = self.plan.at(self.at).filter(|entry| entry.start == self.at);
                if let Some(entry) = entry {
                    self.drop(&entry, Reason::Skipped);
                    self.plan.skip(self.at);
                } else if self.plan.skip(self.at) {
                    self.log.order(Order::Skip {
                        at: self.at,
                        by: "Ann".into(),
                    });
                }
            }
            Step::PlayNow(frames) => {
                let media = self.another();
                if self
                    .plan
                    .play_now(self.at, PlannedItem::whole(media, frames))
                {
                    self.log.order(Order::Play {
                        media,
                        at: Some(self.at),
                        by: "Bob".into(),
                    });
                }
            }
            Step::PlayNext(frames) => {
                let media = self.another();
                if self
                    .plan
                    .play_next(self.at, PlannedItem::whole(media, frames))
                {
                    self.log.order(Order::Play {
                        media,
                        at: None,
                        by: "Cy".into(),
                    });
                }
            }
            Step::Away(mut frames) => {
                self.rows.extend(self.log.leave(Reason::OffAir));
                while frames > 0 {
                    let (_, room) = self.due(frames);
                    self.see(room, Shown::Nothing, Reason::OffAir, false);
                    frames -= room;
                }
            }
            Step::Kill => {
                let stored = serde_json::to_string(&self.log).unwrap();
                self.log = serde_json::from_str(&stored).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn p_as_run_tells_of_every_frame_once_and_of_everything_planned(
        lengths in vec(1..50_u64, 1..4),
        steps in vec(step(), 1..40),
    ) {
        let items = (1..).zip(&lengths).map(|(n, frames)| PlannedItem::whole(media(n), *frames));
        let mut stage = Stage {
            plan: Plan::looping(Frame(100), items.collect()),
            log: Log::default(),
            at: Frame(100),
            rows: Vec::new(),
            aired: BTreeMap::new(),
            gone: None,
            dropped: Vec::new(),
            played: 0,
        };
        for step in &steps {
            stage.take(step);
        }
        // Until everything that was interrupted is over, and one more item has begun.
        while stage.plan.at(stage.at).is_none_or(|entry| entry.rotation_index().is_none()) {
            stage.take(&Step::Air { frames: 1, encoded: false });
        }
        let last = lengths.iter().sum::<u64>() + 60;
        stage.take(&Step::Air { frames: 2 * last, encoded: false });
        let over = stage.rows.clone();
        stage.rows.extend(stage.log.open_rows());

        // Each frame once, and as what it was.
        let mut told = BTreeMap::new();
        for row in stage.rows.iter().filter(|row| !row.missing) {
            prop_assert!(row.frames > 0 && row.encoded <= row.frames);
            for n in 0..row.frames {
                let what = (row.media_id, row.item_frame.map(|item| item + n));
                prop_assert!(told.insert(row.start.0 + n, what).is_none(), "twice: {row:?}");
            }
        }
        prop_assert_eq!(&told, &stage.aired);

        // What was left out is told as a whole.
        let mut over = over;
        for entry in &stage.dropped {
            let its = |row: &Row| {
                row.missing
                    && row.media_id == Some(entry.media_id)
                    && row.item_frame == Some(entry.in_frame)
                    && row.frames == entry.frames()
            };
            let whole = |row: &Row| its(row) && row.planned == Some(Planned::of(entry));
            match over.iter().position(whole) {
                Some(row) => drop(over.remove(row)),
                // A rest is a part of what was planned; the sum below has the whole.
                None => prop_assert!(over.iter().any(its), "not a word of {entry:?}"),
            }
        }
        // Planned is aired and missing, for each entry that is over.
        let open: BTreeSet<Frame> = stage.log.open_rows().iter().filter_map(|row| Some(row.planned?.start)).collect();
        let mut sums: BTreeMap<(Frame, MediaId, u64), u64> = BTreeMap::new();
        for row in &over {
            if let Some(planned) = row.planned
                && (row.missing || Some(planned.media_id) == row.media_id)
            {
                *sums.entry((planned.start, planned.media_id, planned.in_frame)).or_default() += row.frames;
            }
        }
        // The whole of an entry as it was planned at last.
        let whole: BTreeMap<_, _> = over.iter().filter_map(|row| row.planned).map(|planned| {
            ((planned.start, planned.media_id, planned.in_frame), planned.frames)
        }).collect();
        for (key, frames) in whole {
            if !open.contains(&key.0) {
                prop_assert_eq!(sums.get(&key).copied().unwrap_or(0), frames, "{:?} in {:#?}", key, over);
            }
        }
        // Who asked is known.
        for row in stage.rows.iter().filter(|row| !row.missing && row.kind == Kind::Played) {
            let by = match row.reason {
                Reason::PlayedNow => "Bob",
                Reason::PlayedNext => "Cy",
                other => return Err(TestCaseError::fail(format!("{other:?}: {row:?}"))),
            };
            prop_assert_eq!(row.by.as_deref(), Some(by));
        }
    }
}
