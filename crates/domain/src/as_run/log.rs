//! Makes rows of what went out, frame after frame. Small, and stored with every segment: whoever goes on with it goes on
//! where what was published ends.

use super::{Kind, Planned, Reason, Row};
use crate::ids::MediaId;
use crate::plan::{Origin, PlanEntry};
use crate::units::Frame;
use serde::{Deserialize, Serialize};

/// Orders that wait for what they asked for at most: a plan takes no more.
const MOST_ORDERS: usize = 200;

/// What stood at some frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// The entry of the plan.
    Planned,
    /// Something in its place, or where nothing was planned.
    Instead(Kind, Option<MediaId>),
    /// Nothing went out.
    Nothing,
}

/// Frames that went out, or that did not, one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The first one.
    pub at: Frame,
    /// How many.
    pub frames: u64,
    /// What stood there.
    pub shown: Shown,
    /// What the plan had there.
    pub planned: Option<PlanEntry>,
    /// Why, where it is not the plan's entry.
    pub reason: Reason,
    /// More about that.
    pub detail: Option<String>,
    /// Whether they were encoded while they were on air.
    pub encoded: bool,
    /// The last entry that had nothing more to show before its end, by its first frame, and why.
    pub gone: Option<(Frame, Reason)>,
}

/// What somebody has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// To play an item: from this frame on, or else next.
    Play {
        /// The item.
        media: MediaId,
        /// From where, where it is played at once.
        at: Option<Frame>,
        /// Who.
        by: String,
    },
    /// To end what is on air at this frame.
    Skip {
        /// Where.
        at: Frame,
        /// Who.
        by: String,
    },
    /// To leave out an entry before its first frame: somebody skips it, or nothing of it can be shown.
    Drop {
        /// The entry.
        planned: Planned,
        /// Why.
        reason: Reason,
        /// Who, where somebody did.
        by: Option<String>,
    },
}

/// A stretch of frames that show one thing for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stretch {
    start: Frame,
    frames: u64,
    encoded: u64,
    shown: Shown,
    /// What was planned there, and the frame of the item that was planned first.
    planned: Option<(Planned, u64)>,
    reason: Reason,
    detail: Option<String>,
    by: Option<String>,
}

/// The entry of the plan that is on air, or should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Following {
    /// As it stood when it began; the whole of it, where it was interrupted since.
    planned: Planned,
    /// Where the plan has it, or its rest, now.
    start: Frame,
    /// The frame of the item that is shown there.
    in_frame: u64,
    /// How much of its item is left out because a slot begins.
    cut: u64,
    /// Why it was shown, and who asked for it.
    reason: Reason,
    by: Option<String>,
}

impl Following {
    fn item_frame(&self, at: Frame) -> u64 {
        self.in_frame + at.since(self.start)
    }
}

/// What is left of an entry that was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rest {
    planned: Planned,
    /// The frame of the item with which it goes on.
    item_frame: u64,
    reason: Reason,
    by: Option<String>,
}

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Log {
    /// The first frame that was not told of yet; nothing at the beginning.
    next: Option<Frame>,
    /// What goes on.
    open: Option<Stretch>,
    following: Option<Following>,
    rests: Vec<Rest>,
    orders: Vec<Order>,
    /// Why the channel has left the air, where that is known.
    away: Option<Reason>,
}

impl Log {
    /// The first frame that was not told of yet.
    pub const fn next(&self) -> Option<Frame> {
        self.next
    }

    /// Why the channel has left the air, where that is known.
    pub const fn away(&self) -> Option<Reason> {
        self.away
    }

    /// Somebody has asked for something.
    pub fn order(&mut self, order: Order) {
        if self.orders.len() >= MOST_ORDERS {
            self.orders.remove(0);
        }
        self.orders.push(order);
    }

    /// The same log, stored earlier than `later` was: what was asked for and why the channel is away is known from that.
    pub fn heeding(mut self, later: &Self) -> Self {
        if later.next.is_some() || !later.orders.is_empty() {
            self.orders.clone_from(&later.orders);
        }
        self.away = later.away.or(self.away);
        self
    }

    /// The channel is off air for this reason from now on, if it is.
    pub const fn away_for(&mut self, reason: Reason) {
        self.away = Some(reason);
    }

    /// The channel leaves the air: what is open ends.
    pub fn leave(&mut self, reason: Reason) -> Vec<Row> {
        let mut rows = Vec::new();
        self.close(Some(reason), &mut rows);
        self.away = Some(reason);
        rows
    }

    /// Frames went out that nobody told of: what is open ends where it was told of last, and nothing is known up to
    /// the next frame.
    pub fn break_off(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.close(None, &mut rows);
        *self = Self {
            orders: std::mem::take(&mut self.orders),
            ..Self::default()
        };
        rows
    }

    /// Tells of more frames, those that follow the last ones. Answers what is complete.
    pub fn see(&mut self, seen: &Seen) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.next.is_some_and(|next| next > seen.at) || seen.frames == 0 {
            return rows;
        }
        self.away = None;
        let gone = self.leave_out(seen.at, &mut rows).or(seen.gone);
        let planned = seen.planned.as_ref();
        let left = self.follow(seen.at, planned, gone, &mut rows);
        let stays = left.is_none()
            && self
                .open
                .as_ref()
                .is_some_and(|open| self.goes_on(open, seen));
        if !stays {
            let ended = left.unwrap_or_else(|| self.ended_by(seen));
            self.close(ended, &mut rows);
            self.open(seen);
        }
        if let Some(open) = &mut self.open {
            open.frames += seen.frames;
            open.encoded += if seen.encoded { seen.frames } else { 0 };
        }
        self.next = Some(seen.at + seen.frames);
        // What was to begin by now has begun, or never will.
        self.orders.retain(|order| match order {
            Order::Skip { at, .. } => *at > seen.at,
            Order::Play { .. } | Order::Drop { .. } => true,
        });
        rows
    }

    /// What is open, as it would be if it ended now.
    pub fn open_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(open) = &self.open {
            complete(open.clone(), None, &mut rows);
        }
        rows
    }

    /// Tells of entries that should have begun by `at` and were left out. One may be the rest of what was interrupted, or of what is
    /// on air: that is answered, for it ends there.
    fn leave_out(&mut self, at: Frame, rows: &mut Vec<Row>) -> Option<(Frame, Reason)> {
        let mut left_out = Vec::new();
        let mut ended = None;
        for order in std::mem::take(&mut self.orders) {
            match order {
                Order::Drop {
                    planned,
                    reason,
                    by,
                } if planned.start <= at => {
                    let on_air = self.following.as_ref().filter(|following| {
                        following.planned.media_id == planned.media_id
                            && planned.in_frame > following.planned.in_frame
                            && following.item_frame(planned.start) == planned.in_frame
                    });
                    if let Some(following) = on_air {
                        ended = Some((following.start, reason));
                        continue;
                    }
                    let rest = self.rests.iter().position(|rest| {
                        rest.planned.media_id == planned.media_id
                            && rest.item_frame == planned.in_frame
                    });
                    let whole = rest.map_or(planned, |n| self.rests.remove(n).planned);
                    let (item, frames) = (planned.in_frame, planned.frames);
                    rows.push(missing(&whole, item, frames, reason, by));
                    left_out.extend(rest.is_none().then_some(planned));
                }
                order => self.orders.push(order),
            }
        }
        for planned in left_out {
            // Whoever asked for it has been answered.
            self.why(&planned);
        }
        ended
    }

    fn goes_on(&self, open: &Stretch, seen: &Seen) -> bool {
        let same = open.shown == seen.shown && self.next == Some(seen.at);
        same && (seen.shown == Shown::Planned || open.reason == seen.reason)
    }

    /// What ends the open stretch where its entry goes on.
    fn ended_by(&self, seen: &Seen) -> Option<Reason> {
        let was_planned = self
            .open
            .as_ref()
            .is_some_and(|open| open.shown == Shown::Planned);
        (was_planned && seen.shown != Shown::Planned).then_some(seen.reason)
    }

    fn open(&mut self, seen: &Seen) {
        let following = self.following.as_ref();
        let (reason, by) = match (seen.shown, following) {
            (Shown::Planned, Some(following)) => (following.reason, following.by.clone()),
            _ => (seen.reason, None),
        };
        self.open = Some(Stretch {
            start: seen.at,
            frames: 0,
            encoded: 0,
            shown: seen.shown,
            planned: following.map(|entry| (entry.planned, entry.item_frame(seen.at))),
            reason,
            detail: seen.detail.clone(),
            by,
        });
    }

    fn close(&mut self, ended: Option<Reason>, rows: &mut Vec<Row>) {
        if let Some(open) = self.open.take() {
            complete(open, ended, rows);
        }
    }

    /// Follows the plan. Answers what has ended the entry before, where it is over: the outer nothing where it goes on.
    fn follow(
        &mut self,
        at: Frame,
        entry: Option<&PlanEntry>,
        gone: Option<(Frame, Reason)>,
        rows: &mut Vec<Row>,
    ) -> Option<Option<Reason>> {
        match (&mut self.following, entry) {
            (Some(following), Some(entry))
                if following.start == entry.start
                    && following.planned.media_id == entry.media_id =>
            {
                let longer =
                    (entry.in_frame + entry.frames()).saturating_sub(following.planned.item_end());
                following.planned.frames += longer;
                following.cut = entry.cut;
                return None;
            }
            (None, None) => return None,
            _ => {}
        }
        let ended = self
            .following
            .take()
            .and_then(|before| self.leave_entry(before, at, entry, gone, rows));
        let goes_on = entry.and_then(|entry| {
            self.rests.iter().position(|rest| {
                rest.planned.media_id == entry.media_id && rest.item_frame == entry.in_frame
            })
        });
        self.following = match (entry, goes_on) {
            (None, _) => {
                self.forget_rests(rows);
                None
            }
            (Some(entry), Some(rest)) => {
                let rest = self.rests.remove(rest);
                Some(Following {
                    planned: rest.planned,
                    start: entry.start,
                    in_frame: entry.in_frame,
                    cut: entry.cut,
                    reason: rest.reason,
                    by: rest.by,
                })
            }
            (Some(entry), None) => {
                if entry.origin != Origin::Play {
                    self.forget_rests(rows);
                }
                let (reason, by) = self.why(&Planned::of(entry));
                Some(Following {
                    planned: Planned::of(entry),
                    start: entry.start,
                    in_frame: entry.in_frame,
                    cut: entry.cut,
                    reason,
                    by,
                })
            }
        };
        Some(ended)
    }

    /// An entry is over at `at`, and `next` follows. Answers what has ended it before the end of its item.
    fn leave_entry(
        &mut self,
        before: Following,
        at: Frame,
        next: Option<&PlanEntry>,
        gone: Option<(Frame, Reason)>,
        rows: &mut Vec<Row>,
    ) -> Option<Reason> {
        let item = before.item_frame(at);
        let left = before.planned.item_end().saturating_sub(item);
        if left == 0 {
            return (before.cut > 0).then_some(Reason::CutForSlot);
        }
        let skipped = self.orders.iter().find_map(|order| match order {
            Order::Skip { at: there, by } if *there == at => Some(by.clone()),
            _ => None,
        });
        let by_itself = gone.filter(|(start, _)| *start == before.start);
        let (reason, by) = match (by_itself, skipped, next.map(|next| next.origin)) {
            (Some((_, reason)), ..) => (reason, None),
            (None, Some(by), _) => (Reason::Skipped, Some(by)),
            (None, None, Some(Origin::Play)) => {
                self.rests.push(Rest {
                    planned: before.planned,
                    item_frame: item,
                    reason: before.reason,
                    by: before.by,
                });
                return Some(Reason::Interrupted);
            }
            (None, None, Some(Origin::Slot(_) | Origin::Template)) => (Reason::CutForSlot, None),
            _ => (Reason::PlanChanged, None),
        };
        rows.push(missing(&before.planned, item, left, reason, by));
        Some(reason)
    }

    /// What was interrupted does not come back.
    fn forget_rests(&mut self, rows: &mut Vec<Row>) {
        for rest in self.rests.drain(..) {
            let left = rest.planned.item_end().saturating_sub(rest.item_frame);
            let reason = Reason::Interrupted;
            rows.push(missing(&rest.planned, rest.item_frame, left, reason, None));
        }
    }

    /// Why an entry that begins is shown, and who asked for it. An order that has come to pass is forgotten.
    fn why(&mut self, entry: &Planned) -> (Reason, Option<String>) {
        match entry.origin {
            Origin::Rotation(_) | Origin::Slot(_) | Origin::Template => (Reason::Scheduled, None),
            Origin::Filler => (Reason::Filler, None),
            Origin::Play => {
                let now = |exactly: bool| {
                    self.orders.iter().rposition(|order| {
                        matches!(order, Order::Play { media, at: Some(at), .. }
                            if *media == entry.media_id && (*at == entry.start || !exactly))
                    })
                };
                let next = || {
                    self.orders.iter().position(|order| {
                        matches!(order, Order::Play { media, at: None, .. } if *media == entry.media_id)
                    })
                };
                // One that was interrupted before its first frame begins later than it was asked for.
                let asked = now(true).or_else(next).or_else(|| now(false));
                match asked.map(|n| self.orders.remove(n)) {
                    Some(Order::Play {
                        at: Some(_), by, ..
                    }) => (Reason::PlayedNow, Some(by)),
                    Some(Order::Play { at: None, by, .. }) => (Reason::PlayedNext, Some(by)),
                    _ => (Reason::Played, None),
                }
            }
        }
    }
}

/// The rows of a stretch that is over.
fn complete(stretch: Stretch, ended: Option<Reason>, rows: &mut Vec<Row>) {
    let Stretch { shown, planned, .. } = stretch;
    let kind = match (shown, planned) {
        (Shown::Instead(kind, _), _) => kind,
        (_, Some((planned, _))) => Kind::of(planned.origin),
        (_, None) => Kind::Nothing,
    };
    let (aired, media_id) = match shown {
        Shown::Planned => (true, planned.map(|(planned, _)| planned.media_id)),
        Shown::Instead(_, media) => (true, media),
        Shown::Nothing => (false, None),
    };
    if aired || planned.is_none() {
        rows.push(Row {
            missing: !aired,
            start: stretch.start,
            frames: stretch.frames,
            kind,
            media_id,
            item_frame: match shown {
                Shown::Planned => planned.map(|(_, item)| item),
                _ => None,
            },
            encoded: stretch.encoded,
            planned: planned.map(|(planned, _)| planned),
            reason: stretch.reason,
            detail: stretch.detail.clone(),
            by: stretch.by,
            ended: ended.filter(|_| shown == Shown::Planned),
        });
    }
    if let (Shown::Instead(..) | Shown::Nothing, Some((planned, item))) = (shown, planned) {
        rows.push(Row {
            detail: stretch.detail,
            ..missing(&planned, item, stretch.frames, stretch.reason, None)
        });
    }
}

/// A part of an entry that did not go out.
fn missing(planned: &Planned, item: u64, frames: u64, reason: Reason, by: Option<String>) -> Row {
    Row {
        missing: true,
        start: planned.place_of(item),
        frames,
        kind: Kind::of(planned.origin),
        media_id: Some(planned.media_id),
        item_frame: Some(item),
        encoded: 0,
        planned: Some(*planned),
        reason,
        detail: None,
        by,
        ended: None,
    }
}
