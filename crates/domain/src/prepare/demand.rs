//! Who needs which job, and by when: each channel says all that it shows.

use super::JobId;
use crate::ids::{ChannelId, MediaId};
use crate::profile::Profile;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How much a channel needs an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// When the channel shows it next, as far as it looks ahead.
    pub due: Option<Timestamp>,
    /// Its place among what the channel names.
    pub place: u32,
}

/// The channel that shows something soonest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soonest {
    /// Which.
    pub channel: ChannelId,
    /// How much it needs it.
    pub need: Need,
}

/// What is needed of a job.
#[derive(Debug, Clone)]
struct Demand {
    profile: Profile,
    channels: BTreeMap<ChannelId, Need>,
}

/// What all channels need.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    jobs: BTreeMap<JobId, Demand>,
    channels: HashMap<ChannelId, BTreeSet<JobId>>,
}

impl Demands {
    /// A channel needs these items in a profile, and nothing else. Answers the jobs of which something else is needed
    /// now, those that it needs no more among them.
    pub fn set(
        &mut self,
        channel: ChannelId,
        profile: &Profile,
        needs: &BTreeMap<MediaId, Need>,
    ) -> Vec<JobId> {
        let key: Arc<str> = profile.key().into();
        let mut changed = Vec::new();
        let mut now = BTreeSet::new();
        for (media, need) in needs {
            let job = JobId::new(*media, Arc::clone(&key));
            let demand = self.jobs.entry(job.clone()).or_insert_with(|| Demand {
                profile: *profile,
                channels: BTreeMap::new(),
            });
            if demand.channels.insert(channel, *need) != Some(*need) {
                changed.push(job.clone());
            }
            now.insert(job);
        }
        let before = match now.is_empty() {
            true => self.channels.remove(&channel),
            false => self.channels.insert(channel, now),
        };
        for job in before.into_iter().flatten() {
            if self
                .channels
                .get(&channel)
                .is_some_and(|now| now.contains(&job))
            {
                continue;
            }
            if let Some(demand) = self.jobs.get_mut(&job) {
                demand.channels.remove(&channel);
                if demand.channels.is_empty() {
                    self.jobs.remove(&job);
                }
            }
            changed.push(job);
        }
        changed
    }

    /// Whether any channel needs a job.
    pub fn is_needed(&self, job: &JobId) -> bool {
        self.jobs.contains_key(job)
    }

    /// The channel that needs a job most: that shows it soonest, or else names it first.
    pub fn soonest(&self, job: &JobId) -> Option<Soonest> {
        let channels = self.jobs.get(job)?.channels.iter();
        let soonest = channels.map(|(channel, need)| Soonest {
            channel: *channel,
            need: *need,
        });
        soonest.min_by_key(|of| {
            (
                of.need.due.is_none(),
                of.need.due,
                of.need.place,
                of.channel,
            )
        })
    }

    /// The profiles in which channels need an item.
    pub fn profiles_of(&self, media: MediaId) -> impl Iterator<Item = &Profile> {
        let jobs = self.jobs.range(JobId::new(media, "")..);
        let its = jobs.take_while(move |(job, _)| job.media == media);
        its.map(|(_, demand)| &demand.profile)
    }

    /// The channels that have said what they need.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ladder::LowerRungs;
    use crate::media::DEFAULT_AUDIO_BITRATE;
    use crate::resolution::Resolution;
    use crate::treatment::Treatment;
    use crate::units::{BitsPerSecond, FrameRate};
    use uuid::Uuid;

    const PROFILE: Profile = Profile {
        resolution: Resolution::P240,
        frame_rate: FrameRate::F25,
        video_bitrate: BitsPerSecond(300_000),
        audio_bitrate: DEFAULT_AUDIO_BITRATE,
        lower: LowerRungs::NONE,
        treatment: Treatment::PLAIN,
    };

    fn media(n: u128) -> MediaId {
        Uuid::from_u128(n).into()
    }

    fn needs(all: &[(u128, Option<i64>)]) -> BTreeMap<MediaId, Need> {
        let each = all.iter().enumerate().map(|(place, (n, due))| {
            let due = due.map(|due| Timestamp::from_second(due).unwrap());
            let place = u32::try_from(place).unwrap();
            (media(*n), Need { due, place })
        });
        each.collect()
    }

    #[test]
    fn a_job_is_due_when_the_first_channel_shows_it_and_changes_are_told() {
        let [one, other] = [1, 2].map(|n| ChannelId::from(Uuid::from_u128(n)));
        let mut demands = Demands::default();
        let job = |n| JobId::new(media(n), PROFILE.key());
        let set =
            |demands: &mut Demands, channel, all: &[_]| demands.set(channel, &PROFILE, &needs(all));
        assert_eq!(
            set(&mut demands, one, &[(1, Some(50)), (2, None)]),
            [job(1), job(2)]
        );
        assert_eq!(set(&mut demands, one, &[(1, Some(50)), (2, None)]), []);
        assert_eq!(
            set(&mut demands, other, &[(2, Some(9)), (1, Some(60))]).len(),
            2
        );
        let soonest = |demands: &Demands, n| demands.soonest(&job(n)).map(|of| of.channel);
        assert_eq!(soonest(&demands, 1), Some(one));
        assert_eq!(soonest(&demands, 2), Some(other), "a time goes before none");
        assert_eq!(
            set(&mut demands, one, &[(3, None)]),
            [job(3), job(1), job(2)]
        );
        assert_eq!(soonest(&demands, 1), Some(other));
        assert_eq!(set(&mut demands, other, &[]).len(), 2);
        assert!(!demands.is_needed(&job(1)) && demands.is_needed(&job(3)));
        assert_eq!(demands.profiles_of(media(3)).count(), 1);
        assert_eq!(demands.profiles_of(media(2)).count(), 0);
        assert_eq!(demands.channels().collect::<Vec<_>>(), [one]);
    }
}
