//! Pages of jobs: what runs first, then what waits in the order of its turns, then what does not.
//!
//! A page begins behind a place in that order, not behind a job: a job that has moved meanwhile holds up nothing.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use playout_domain::ids::ClientId;
use playout_domain::prepare::{InvalidJobId, JobId, JobState, Rank};

use super::super::Room;
use super::super::catalogue::Catalogue;
use super::JobView;

/// A place in the list of jobs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobCursor {
    state: JobState,
    /// Of what waits.
    rank: Option<Rank>,
    job: JobId,
}

impl fmt::Display for JobCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.state)?;
        match self.rank {
            None => f.write_str("-"),
            Some(Rank::Due(at, place)) => write!(f, "d{}:{place}", at.as_microsecond()),
            Some(Rank::Asked(place)) => write!(f, "a{place}"),
            Some(Rank::Named(place)) => write!(f, "n{place}"),
            Some(Rank::Unasked) => f.write_str("u"),
        }?;
        write!(f, ".{}", self.job)
    }
}

impl FromStr for JobCursor {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(InvalidJobId);
        let state = JobState::named(part()?).ok_or(InvalidJobId)?;
        let rank = rank(part()?).ok_or(InvalidJobId)?;
        let job = part()?.parse()?;
        match rank.is_some() == (state == JobState::Waiting) {
            true => Ok(Self { state, rank, job }),
            false => Err(InvalidJobId),
        }
    }
}

#[expect(clippy::option_option, reason = "no rank is a rank's text, too")]
fn rank(text: &str) -> Option<Option<Rank>> {
    let (lane, rest) = text.split_at_checked(1)?;
    Some(match lane {
        "-" if rest.is_empty() => None,
        "d" => {
            let (at, place) = rest.split_once(':')?;
            let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
            Some(Rank::Due(at, place.parse().ok()?))
        }
        "a" => Some(Rank::Asked(rest.parse().ok()?)),
        "n" => Some(Rank::Named(rest.parse().ok()?)),
        "u" if rest.is_empty() => Some(Rank::Unasked),
        _ => return None,
    })
}

impl Catalogue {
    /// See [`Library::jobs`](super::super::Library::jobs).
    pub(super) fn jobs(
        &self,
        wanted: Option<JobState>,
        after: Option<&JobCursor>,
        limit: usize,
        room: Room,
        sees: impl Fn(ClientId) -> bool,
    ) -> Vec<(JobView, JobCursor)> {
        let mut listed = Vec::new();
        let states = JobState::ALL.into_iter().filter(|state| match wanted {
            Some(wanted) => *state == wanted,
            None => *state != JobState::Ready,
        });
        let states = states.filter(|state| after.is_none_or(|after| *state >= after.state));
        for state in states {
            let after = after.filter(|after| after.state == state);
            let mut list = |job: &JobId, rank: Option<Rank>, place: Option<usize>| {
                let known = self.items.get(&job.media);
                if let Some(known) = known.filter(|known| sees(known.item.client_id))
                    && let Some(entry) = known.renditions.get(&*job.profile)
                    && entry.state() == state
                {
                    let job = job.clone();
                    let view = self.job_view(&job, known, entry, place, room);
                    listed.push((view, JobCursor { state, rank, job }));
                }
                listed.len() < limit
            };
            if state == JobState::Waiting {
                // The lowest there can be.
                let begin = || {
                    (
                        Rank::Due(Timestamp::MIN, i64::MIN),
                        JobId::new(uuid::Uuid::nil().into(), ""),
                    )
                };
                let place = after.and_then(|after| Some((after.rank?, after.job.clone())));
                let place = place.unwrap_or_else(begin);
                let mut n = self.lineup.before(&place);
                if self.lineup.rank(&place.1) == Some(place.0) {
                    n += 1;
                }
                for (rank, job) in self.lineup.after(&place) {
                    n += 1;
                    if !list(job, Some(*rank), Some(n)) {
                        return listed;
                    }
                }
                continue;
            }
            let first = after.map(|after| after.job.media);
            let items = self
                .items
                .range(first.unwrap_or_else(|| uuid::Uuid::nil().into())..);
            for (media, known) in items {
                for key in known.renditions.keys() {
                    let job = JobId::new(*media, key.as_str());
                    let is_later = after.is_none_or(|after| job > after.job);
                    if is_later && !list(&job, None, None) {
                        return listed;
                    }
                }
            }
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let job = JobId::new(uuid::Uuid::from_u128(7).into(), "240p29.97-300k-v1");
        let at = Timestamp::from_second(-5).unwrap();
        let ranks = [
            Rank::Due(at, i64::MAX),
            Rank::Asked(-3),
            Rank::Named(4),
            Rank::Unasked,
        ];
        let waiting = ranks.map(|rank| (JobState::Waiting, Some(rank)));
        for (state, rank) in waiting.into_iter().chain([(JobState::Failed, None)]) {
            let job = job.clone();
            let cursor = JobCursor { state, rank, job };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let media = job.media;
        for bad in [
            "",
            "waiting",
            "waiting.u",
            "odd.-.x",
            "waiting.-.",
            "failed.u.",
            "waiting.d5.",
        ] {
            let bad = format!("{bad}{media}/240p");
            assert!(bad.parse::<JobCursor>().is_err(), "{bad}");
        }
    }
}
