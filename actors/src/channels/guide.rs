//! What viewers are told: the guide of channels, and what is on now and next. Both are read off the plan.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::channel::Channel;
use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::plan::{Entries, Plan};
use playout_domain::units::Frame;
use playout_media::guide::{Guide, Listing, Programme, programmes};
use playout_store::Principal;

use super::handle::{Handle, Snapshot};
use super::walks::{Left, Turn};
use super::{Channels, Looked};
use crate::error::OpError;
use crate::library::Library;

/// Channels of other daemons that are read at once.
const PAGE: usize = 500;

/// What is wanted of a guide.
#[derive(Debug, Clone)]
pub struct Window {
    /// From when until when: what is shown at any of its moments, whole.
    pub times: Range<Timestamp>,
    /// So many programmes, and one more where there are more.
    pub most: usize,
}

impl Channels {
    /// What a channel shows.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn guide_of(
        &self,
        who: &Principal,
        id: ChannelId,
        window: Window,
        turn: &Turn,
    ) -> Result<Looked<Guide>, OpError> {
        let Looked { view, held_by } = self.look_at(who, id, Handle::snapshot).await?;
        let view = self.collected(vec![view], window, turn).await?;
        Ok(Looked { view, held_by })
    }

    /// Waits for a turn to walk over plans.
    ///
    /// # Errors
    /// There are too many.
    pub async fn turn_to_walk(&self, who: &Principal) -> Result<Turn, OpError> {
        self.inner.walks.turn(who.client).await
    }

    /// What all channels show that `who` may see, in the order of their names.
    ///
    /// # Errors
    /// None at present.
    pub async fn guide(
        &self,
        who: &Principal,
        window: Window,
        turn: &Turn,
    ) -> Result<Guide, OpError> {
        let all = self.all(who).await;
        self.collected(all, window, turn).await
    }

    /// All channels that `who` may see, in the order of their names.
    pub async fn by_name(&self, who: &Principal) -> Vec<Channel> {
        let all = self.all(who).await;
        all.iter().map(|one| one.channel.clone()).collect()
    }

    /// The same as they are here, or, those of other daemons, in the database.
    async fn all(&self, who: &Principal) -> Vec<Arc<Snapshot>> {
        let mut all: BTreeMap<ChannelId, Arc<Snapshot>> = BTreeMap::new();
        let store = &self.inner.environment.store;
        let mut after = None;
        while store.shares_channels() {
            let page = match store.channels_elsewhere(who, after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%error, "the channels of other daemons are not told");
                    break;
                }
            };
            let is_last = page.len() < PAGE;
            for theirs in page {
                match theirs.stored {
                    Ok(stored) => {
                        after = Some(stored.channel.id);
                        let snapshot = Snapshot {
                            channel: stored.channel,
                            airtime: stored.airtime,
                        };
                        all.insert(snapshot.channel.id, Arc::new(snapshot));
                    }
                    Err(damaged) => after = Some(damaged.id),
                }
            }
            if is_last {
                break;
            }
        }
        // What is here is in both, and here as it is now.
        let here = self.handles();
        let here = here.iter().map(|(id, handle)| (*id, handle.snapshot()));
        all.extend(here.filter(|(_, snapshot)| who.sees(snapshot.channel.client_id)));
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by_cached_key(|one| (one.channel.config.name.to_lowercase(), one.channel.id));
        all
    }

    async fn collected(
        &self,
        channels: Vec<Arc<Snapshot>>,
        window: Window,
        turn: &Turn,
    ) -> Result<Guide, OpError> {
        let library = self.inner.environment.studio.library.clone();
        let walk = move |left: &Left| collect(&channels, &library, &window, left);
        turn.walk(walk).await
    }
}

fn collect(
    channels: &[Arc<Snapshot>],
    library: &Library,
    window: &Window,
    nobody_waits: &Left,
) -> Guide {
    let mut guide = Guide::default();
    let mut left = window.most + 1;
    for snapshot in channels {
        let Range { start, end } = window.times;
        let timeline = &snapshot.airtime.timeline;
        let (first, until) = (timeline.frame_at(start), timeline.frame_at(end));
        let entries = up_to(&snapshot.airtime.plan, until);
        let entries = entries.take_while(|_| !nobody_waits.is_so());
        let shown = programmes(entries).skip_while(|entry| entry.end <= first);
        let shown = shown.take_while(|entry| entry.start < until);
        let shown = shown.take(left).map(|entry| Programme {
            start: timeline.wall(entry.start),
            end: timeline.wall(entry.end),
            media_id: entry.media_id,
        });
        let listing = Listing {
            id: snapshot.channel.id,
            name: snapshot.channel.config.name.clone(),
            programmes: shown.collect(),
        };
        left -= listing.programmes.len();
        for media in listing.programmes.iter().map(|shown| shown.media_id) {
            note(&mut guide, library, media);
        }
        guide.channels.push(listing);
    }
    guide
}

/// From the beginning of a plan on, and beyond `until`: the first and the last may have been cut, and so be longer than their
/// entries. No farther than anybody looks ahead: where nothing can be played, slot after slot would be passed over to
/// the end of time.
fn up_to(plan: &Plan, until: Frame) -> Entries<'_> {
    plan.entries_from(Frame::new(0), plan.horizon(until))
}

fn note(guide: &mut Guide, library: &Library, media: MediaId) {
    if !guide.about.contains_key(&media)
        && let Some(about) = library.about(media)
    {
        guide.about.insert(media, about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Time;
    use playout_domain::plan::{Basis, PlannedItem, PlannedSlot, Rule};
    use playout_domain::schedule::Zone;
    use playout_domain::units::{FrameRate, Ticks90k, Timeline};

    const DAY: u64 = 86_400 * 25;

    fn slot(rule: Rule, frames: u64) -> PlannedSlot {
        PlannedSlot {
            id: None,
            rule,
            items: vec![PlannedItem::whole(uuid::Uuid::from_u128(1).into(), frames)],
            frames: None,
        }
    }

    /// An empty rotation, a daily slot whose item has nothing to show, and something in many years.
    #[test]
    fn a_guide_is_not_looked_for_beyond_what_is_asked_for() {
        let epoch = "2027-01-01T00:00:00Z".parse().unwrap();
        let far = "2127-01-01T00:00:00Z".parse().unwrap();
        let utc: Zone = "UTC".parse().unwrap();
        let noon = Rule::Daily(Time::constant(12, 0, 0, 0), utc);
        let with = |slots| {
            let basis = Basis {
                timeline: Some(Timeline {
                    epoch,
                    frame_rate: FrameRate::F25,
                    clock_origin: Ticks90k::new(0),
                }),
                slots,
                ..Basis::default()
            };
            Plan::starting(Frame::new(0), basis)
        };
        let until = Frame::new(DAY);
        let plan = with(vec![slot(noon.clone(), 0), slot(Rule::Once(far), 250)]);
        assert_eq!(
            up_to(&plan, until).count(),
            0,
            "the walk went on for a century"
        );
        // What is planned soon after is seen.
        let plan = with(vec![slot(noon, 250)]);
        let last = up_to(&plan, until).last().unwrap();
        assert!(last.start > Frame::new(20 * DAY) && last.start < Frame::new(40 * DAY));
    }
}
