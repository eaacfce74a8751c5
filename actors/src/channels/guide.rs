//! What viewers are told: the guide of channels, and what is on now and next. Both are read off the plan.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use playout_domain::channel::Channel;
use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::units::Frame;
use playout_media::guide::{Guide, Listing, Programme, programmes};
use playout_store::Principal;

use super::handle::{Handle, Snapshot};
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
    ) -> Result<Looked<Guide>, OpError> {
        let Looked { view, held_by } = self.look_at(who, id, Handle::snapshot).await?;
        let view = self.collected(vec![view], window).await?;
        Ok(Looked { view, held_by })
    }

    /// What all channels show that `who` may see, in the order of their names.
    ///
    /// # Errors
    /// None at present.
    pub async fn guide(&self, who: &Principal, window: Window) -> Result<Guide, OpError> {
        let all = self.all(who).await;
        self.collected(all, window).await
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

    /// To walk over plans takes time, which the channels on air have no part in.
    async fn collected(
        &self,
        channels: Vec<Arc<Snapshot>>,
        window: Window,
    ) -> Result<Guide, OpError> {
        let library = self.inner.environment.studio.library.clone();
        let collecting = move || collect(&channels, &library, &window);
        let collected = tokio::task::spawn_blocking(collecting).await;
        collected.map_err(OpError::internal)
    }
}

fn collect(channels: &[Arc<Snapshot>], library: &Library, window: &Window) -> Guide {
    let mut guide = Guide::default();
    let mut left = window.most + 1;
    for snapshot in channels {
        let Range { start, end } = window.times;
        let timeline = &snapshot.airtime.timeline;
        let (first, until) = (timeline.frame_at(start), timeline.frame_at(end));
        // Of the whole plan: the first and the last may have been cut, and so be longer than their entries.
        let plan = &snapshot.airtime.plan;
        let entries = plan.entries_from(Frame::new(0), Frame::new(u64::MAX));
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

fn note(guide: &mut Guide, library: &Library, media: MediaId) {
    if !guide.about.contains_key(&media)
        && let Some(about) = library.about(media)
    {
        guide.about.insert(media, about);
    }
}
