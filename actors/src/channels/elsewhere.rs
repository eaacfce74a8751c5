//! Channels that other daemons hold, and how a channel comes here and leaves: reads of theirs are answered from
//! the database, changes and orders are refused with the name of the holder.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::channel::Channel;
use playout_domain::ids::ChannelId;
use playout_domain::labels::Selector;
use playout_store::{Elsewhere, Lease, NodeView, Principal};
use serde::Serialize;
use serde_json::json;

use super::actor::Pen;
use super::handle::{Handle, Snapshot};
use super::{Channels, Environment};
use crate::error::OpError;
use crate::hub::{Event, kind};

/// How long a channel that is another's waits for who writes about it: that comes to nothing anyway.
const WRITING: Duration = Duration::from_secs(1);

/// Channels that are looked at together where some are selected.
const PAGE: usize = 500;

/// What a look at a channel shows, and which daemon holds it, where that is another.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked<T> {
    /// What it shows.
    #[serde(flatten)]
    pub view: T,
    /// The daemon that holds it; nothing: this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<NodeView>,
}

impl<T> Deref for Looked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

impl Channels {
    /// A channel, wherever it is.
    ///
    /// # Errors
    /// There is none, or it is another client's.
    pub async fn look(&self, who: &Principal, id: ChannelId) -> Result<Looked<Channel>, OpError> {
        let channel = |handle: &Handle| handle.snapshot().channel.clone();
        self.look_at(who, id, channel).await
    }

    /// Channels in the order of their ids, those after `after`, `limit` at most. While the database is away:
    /// those that this daemon holds.
    ///
    /// # Errors
    /// None at present.
    pub async fn list(
        &self,
        who: &Principal,
        after: Option<ChannelId>,
        limit: usize,
    ) -> Result<Vec<Looked<Channel>>, OpError> {
        let mut all = self.list_here(who, after, limit);
        let store = &self.inner.environment.store;
        if !store.shares_channels() {
            return Ok(all);
        }
        let (mut from, mut whole) = (after, 0);
        // One that is stored damaged is left out, and does not end the list before it is over.
        while whole < limit {
            let theirs = match store.channels_elsewhere(who, from, limit).await {
                Ok(theirs) => theirs,
                Err(error) => {
                    tracing::debug!(%error, "the channels of other daemons are not listed");
                    break;
                }
            };
            let id = |theirs: &Elsewhere| match &theirs.stored {
                Ok(stored) => stored.channel.id,
                Err(damaged) => damaged.id,
            };
            let Some(last) = theirs.last().map(id) else {
                break;
            };
            from = Some(last);
            let is_last = theirs.len() < limit;
            let before = all.len();
            all.extend(theirs.into_iter().filter_map(|theirs| {
                Some(Looked {
                    view: theirs.stored.ok()?.channel,
                    held_by: self.another(theirs.holder),
                })
            }));
            whole += all.len() - before;
            if is_last {
                break;
            }
        }
        all.sort_by_key(|looked| looked.id);
        // What is here is in both, and here as it is now.
        all.dedup_by_key(|looked| looked.id);
        all.truncate(limit);
        Ok(all)
    }

    /// Those of them whose labels `selector` means.
    ///
    /// # Errors
    /// As [`Channels::list`].
    pub async fn select(
        &self,
        who: &Principal,
        selector: &Selector,
        mut after: Option<ChannelId>,
        limit: usize,
    ) -> Result<Vec<Looked<Channel>>, OpError> {
        let mut selected = Vec::new();
        loop {
            let page = self.list(who, after, PAGE).await?;
            // One that is stored damaged is left out, so a page may be short.
            let is_last = page.is_empty();
            after = page.last().map(|looked| looked.id);
            let meant = page
                .into_iter()
                .filter(|looked| selector.selects(&looked.config.labels));
            selected.extend(meant);
            if is_last || selected.len() >= limit {
                selected.truncate(limit);
                return Ok(selected);
            }
        }
    }

    fn list_here(
        &self,
        who: &Principal,
        after: Option<ChannelId>,
        limit: usize,
    ) -> Vec<Looked<Channel>> {
        let handles = self.handles();
        let later = handles
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| **id > after));
        let channels = later.map(|(_, handle)| handle.snapshot().channel.clone());
        channels
            .filter(|channel| who.sees(channel.client_id))
            .take(limit)
            .map(|view| Looked {
                view,
                held_by: None,
            })
            .collect()
    }

    pub(super) async fn look_at<T>(
        &self,
        who: &Principal,
        id: ChannelId,
        view: impl FnOnce(&Handle) -> T,
    ) -> Result<Looked<T>, OpError> {
        let refused = match self.seen(who, id) {
            Ok(handle) => {
                return Ok(Looked {
                    view: view(&handle),
                    held_by: None,
                });
            }
            Err(refused) => refused,
        };
        let Some(Elsewhere { stored, holder }) = self.elsewhere(who, id).await? else {
            return Err(refused);
        };
        let stored = stored.map_err(|damaged| OpError::Quarantined {
            reason: who.is_operator().then_some(damaged.reason),
        })?;
        let snapshot = Snapshot {
            channel: stored.channel,
            airtime: stored.airtime,
        };
        let handle = Handle::new(
            snapshot,
            Lease::nobodys(),
            Default::default(),
            Pen::default(),
        );
        Ok(Looked {
            view: view(&handle),
            held_by: self.another(holder),
        })
    }

    /// A daemon, if it is not this one.
    fn another(&self, holder: NodeView) -> Option<NodeView> {
        let own = self.inner.environment.store.node().id;
        (holder.id != own).then_some(holder)
    }

    /// A channel that `who` may see and this daemon holds.
    pub(super) async fn here(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Arc<Handle>, OpError> {
        let refused = match self.seen(who, id) {
            Ok(handle) => return Ok(handle),
            Err(refused) => refused,
        };
        match self.elsewhere(who, id).await? {
            Some(theirs) => Err(match (self.another(theirs.holder), refused) {
                (Some(holder), _) => OpError::HeldElsewhere(holder),
                (None, OpError::NotFound(_)) => {
                    OpError::unavailable("the channel is just being taken over")
                }
                (None, refused) => refused,
            }),
            None => Err(refused),
        }
    }

    /// Where no other daemon holds any, this one knows of every channel.
    async fn elsewhere(
        &self,
        who: &Principal,
        id: ChannelId,
    ) -> Result<Option<Elsewhere>, OpError> {
        let store = &self.inner.environment.store;
        match store.shares_channels() {
            true => Ok(store.channel_elsewhere(who, id).await?),
            false => Ok(None),
        }
    }

    /// Puts a channel on air that this daemon holds since a moment ago; one that is damaged is quarantined.
    pub(crate) async fn open_held(&self, id: ChannelId) -> Result<Option<Channel>, OpError> {
        let store = &self.inner.environment.store;
        match store.held_channel(id).await? {
            Some(Ok(stored)) => {
                let snapshot = Snapshot {
                    channel: stored.channel.clone(),
                    airtime: stored.airtime,
                };
                self.open(snapshot, true).await?;
                Ok(Some(stored.channel))
            }
            Some(Err(damaged)) => {
                self.quarantine(damaged);
                Ok(None)
            }
            None => {
                store.end_lease(id);
                Ok(None)
            }
        }
    }

    /// A channel is another daemon's, or may be: it leaves the air, and nothing is written about it any more.
    pub(crate) async fn lose(&self, id: ChannelId) {
        self.inner.quarantine.release(id);
        let handle = self.handles().get(&id).cloned();
        let Some(handle) = handle else { return };
        tracing::warn!(channel = %id, "a channel leaves the air here: its lease is lost");
        let client = handle.snapshot().channel.client_id;
        if let Ok(mut pen) = tokio::time::timeout(WRITING, handle.pen.lock()).await {
            pen.gone = true;
        }
        self.forget(id).await;
        let Environment { store, hub, .. } = &*self.inner.environment;
        store.forget_lost(id);
        hub.publish(Event {
            kind: kind::CHANNEL_LOST,
            client: Some(client),
            channel: Some(id),
            data: json!({ "id": id }),
        });
    }

    /// Removes what was published of a channel that another daemon has aired since.
    pub(crate) async fn clear_published(&self, id: ChannelId) {
        // What it aired here is told all the same.
        self.inner.environment.as_run.take_in(id).await;
        let dir = self.inner.dir.join(id.to_string());
        if let Err(error) = tokio::fs::remove_dir_all(&dir).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(channel = %id, %error, "what was published of a channel before stays");
        }
    }
}
