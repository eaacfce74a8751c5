//! A row of the as-run log as it is kept and told: in wall time, with the titles of that time.

use super::{Kind, Row};
use crate::ids::{AsRunId, ChannelId, MediaId, SlotId};
use crate::plan::Origin;
use crate::units::{Frame, Timeline};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The entry of the plan that a row belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedEntry {
    /// When it was planned to begin.
    pub start: Timestamp,
    /// When it was planned to end.
    pub end: Timestamp,
    /// For how many frames it was planned.
    pub frames: u64,
    /// What it shows.
    pub media_id: MediaId,
    /// What that was called.
    pub title: Option<String>,
    /// Why the plan has it.
    pub origin: Origin,
}

impl PlannedEntry {
    /// Why the plan has it, as the plan is answered: `rotation`, `slot`, `template`, `filler` or `play`.
    pub const fn source(&self) -> &'static str {
        match self.origin {
            Origin::Rotation(_) => "rotation",
            Origin::Slot(_) => "slot",
            Origin::Template => "template",
            Origin::Filler => "filler",
            Origin::Play => "play",
        }
    }

    /// The slot that has it.
    pub const fn slot(&self) -> Option<SlotId> {
        match self.origin {
            Origin::Slot(id) => Some(id),
            _ => None,
        }
    }
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Follows from channel, time and row, so that one told twice is one. In order of `from`.
    pub id: AsRunId,
    /// On which channel.
    pub channel_id: ChannelId,
    /// From when: on air, or, of what is missing, as planned.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What the item of the row was called.
    pub title: Option<String>,
    /// The entry of the plan.
    pub planned: Option<PlannedEntry>,
    /// The row, in frames.
    pub row: Row,
}

impl Entry {
    /// `row` of `channel`, whose frames lie on `timeline`.
    pub fn new(
        channel: ChannelId,
        timeline: &Timeline,
        row: Row,
        title: impl Fn(MediaId) -> Option<String>,
    ) -> Self {
        let from = timeline.wall(row.start);
        let planned = row.planned.map(|planned| PlannedEntry {
            start: timeline.wall(planned.start),
            end: timeline.wall(planned.start + planned.frames),
            frames: planned.frames,
            media_id: planned.media_id,
            title: title(planned.media_id),
            origin: planned.origin,
        });
        Self {
            id: id_of(channel, timeline, from, &row),
            channel_id: channel,
            from,
            until: timeline.wall(row.end()),
            title: row.media_id.and_then(title),
            planned,
            row,
        }
    }

    /// Seconds from `from` to `until`.
    pub fn seconds(&self) -> f64 {
        seconds(self.from, self.until)
    }

    /// By how many seconds it began later than planned, and by how many it was longer; nothing where it is not the planned item that
    /// was aired.
    pub fn deviation(&self) -> Option<(f64, f64)> {
        let planned = self.planned.as_ref().filter(|_| self.is_as_planned())?;
        let length = self.seconds() - seconds(planned.start, planned.end);
        Some((seconds(planned.start, self.from), rounded(length)))
    }

    /// Whether it is the planned item that was aired.
    fn is_as_planned(&self) -> bool {
        let own = matches!(self.row.kind, Kind::Scheduled | Kind::Filler | Kind::Played);
        own && !self.row.missing
    }

    /// How its frames were made: copied from the prepared file, encoded while they were on air, or both.
    pub fn made(&self) -> Option<&'static str> {
        let own = !self.row.missing && self.row.kind != Kind::Nothing;
        own.then_some(match self.row.encoded {
            0 => "copy",
            all if all == self.row.frames => "live",
            _ => "both",
        })
    }

    /// Why, as a sentence.
    pub fn message(&self) -> String {
        let Row {
            reason, detail, by, ..
        } = &self.row;
        let mut message = reason.sentence().to_owned();
        if let Some(by) = by {
            message = message.replacen("somebody", by, 1);
        }
        if let Some(detail) = detail {
            message = format!("{message}: {detail}");
        }
        message
    }

    /// The first id that an entry from `at` on may have.
    pub fn first_id(at: Timestamp) -> AsRunId {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        AsRunId::from(Uuid::from_u128(
            (u128::from(millis) << 80) | (7 << 76) | (2 << 62),
        ))
    }
}

fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    rounded(until.duration_since(from).as_secs_f64())
}

/// To the microsecond, as times are kept.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// A UUID of version 7 (RFC 9562 §5.7) whose random part is none: 48 bits of time, whether it is missing, and 62 bits of a digest over
/// everything that tells the row from another. Frames are further apart than a millisecond, so a channel's ids are in order of time.
fn id_of(channel: ChannelId, timeline: &Timeline, from: Timestamp, row: &Row) -> AsRunId {
    let millis = u64::try_from(from.as_millisecond()).unwrap_or_default();
    let planned = row
        .planned
        .map_or(Frame::default(), |planned| planned.start);
    let epoch = timeline.epoch.as_nanosecond();
    let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
    // FNV-1a: a fixed function, so that every build makes the same.
    for byte in [
        &channel.uuid().as_u128().to_be_bytes()[..],
        &epoch.to_be_bytes(),
        &row.start.get().to_be_bytes(),
        &planned.get().to_be_bytes(),
        &row.media_id
            .map_or(0, |media| media.uuid().as_u128())
            .to_be_bytes(),
        &row.item_frame.unwrap_or(u64::MAX).to_be_bytes(),
        &[u8::from(row.missing), u8::from(row.planned.is_some())],
    ]
    .concat()
    {
        digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let id = (u128::from(millis) << 80)
        | (7 << 76)
        | (u128::from(row.missing) << 64)
        | (2 << 62)
        | u128::from(digest >> 2);
    AsRunId::from(Uuid::from_u128(id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::as_run::{Planned, Reason};
    use crate::units::{FrameRate, Ticks90k};

    fn timeline() -> Timeline {
        Timeline {
            epoch: "2030-01-31T20:00:00.4Z".parse().unwrap(),
            frame_rate: FrameRate::F60,
            clock_origin: Ticks90k(0),
        }
    }

    fn entry(start: u64, frames: u64, missing: bool) -> Entry {
        let media_id = MediaId::from(Uuid::from_u128(1));
        let row = Row {
            missing,
            start: Frame(start),
            frames,
            kind: Kind::Played,
            media_id: Some(media_id),
            item_frame: Some(0),
            encoded: 0,
            planned: Some(Planned {
                start: Frame(0),
                frames: 120,
                media_id,
                in_frame: 0,
                origin: Origin::Play,
            }),
            reason: Reason::PlayedNow,
            detail: None,
            by: Some("Ann".into()),
            ended: None,
        };
        let channel = ChannelId::from(Uuid::from_u128(7));
        Entry::new(channel, &timeline(), row, |_| Some("News".into()))
    }

    #[test]
    fn an_id_follows_from_the_row_and_is_in_order_of_time() {
        assert_eq!(entry(1, 5, false).id, entry(1, 9, false).id);
        assert_ne!(entry(1, 5, false).id, entry(1, 5, true).id);
        assert_eq!(entry(1, 5, false).id.uuid().get_version_num(), 7);
        let ids: Vec<AsRunId> = (0..600).map(|n| entry(n, 1, false).id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        for (n, id) in (0..).zip(&ids) {
            let from = entry(n, 1, false).from;
            assert!(Entry::first_id(from) <= *id);
            assert!(
                ids.get(n as usize + 1)
                    .is_none_or(|next| *next > Entry::first_id(from))
            );
        }
    }

    #[test]
    fn deviations_are_in_seconds_and_only_of_what_was_planned_and_aired() {
        assert_eq!(entry(30, 60, false).deviation(), Some((0.5, -1.0)));
        assert_eq!(entry(30, 60, true).deviation(), None);
        assert_eq!(entry(30, 60, false).message(), "Ann played it at once");
        assert_eq!(entry(30, 60, false).made(), Some("copy"));
    }
}
