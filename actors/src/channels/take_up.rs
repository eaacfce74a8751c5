//! Channels that were put on air without the database take up what it has, when it is there at last.

use std::collections::HashSet;

use playout_domain::ids::ChannelId;
use playout_store::Loaded;
use serde_json::json;
use tokio::sync::oneshot;

use super::Channels;
use super::actor::Msg;
use super::handle::Snapshot;
use crate::error::OpError;
use crate::hub::{Event, kind};

impl Channels {
    /// Compares with what the database has of this daemon's channels: one that it does not have (it has those
    /// that are `known`), or that another daemon holds, leaves the air, one that only it has goes on air as it
    /// should, and those that both have take up what is new in it. One that is damaged there stays on air from
    /// the copy for as long as the daemon runs.
    ///
    /// # Errors
    /// A channel that cannot be opened.
    pub(crate) async fn take_up(
        &self,
        loaded: Loaded,
        known: &HashSet<ChannelId>,
    ) -> Result<(), OpError> {
        let Loaded {
            channels: stored,
            quarantined,
        } = loaded;
        let sound = stored.iter().map(|stored| stored.channel.id);
        let damaged = quarantined.iter().map(|damaged| damaged.id);
        let theirs: HashSet<ChannelId> = sound.chain(damaged).collect();
        let ours: Vec<ChannelId> = self.handles().keys().copied().collect();
        for id in ours.iter().filter(|id| !theirs.contains(id)) {
            match known.contains(id) {
                true => self.lose(*id).await,
                false => self.drop_deleted(*id).await,
            }
        }
        let (on_air, off_air): (Vec<_>, Vec<_>) = quarantined
            .into_iter()
            .partition(|damaged| ours.contains(&damaged.id));
        for damaged in off_air {
            self.quarantine(damaged);
        }
        for stored in stored {
            let id = stored.channel.id;
            if !ours.contains(&id) {
                tracing::info!(channel = %id, "a channel that only the database knows is taken up");
                let snapshot = Snapshot {
                    channel: stored.channel,
                    airtime: stored.airtime,
                };
                self.open(snapshot, true).await?;
                continue;
            }
            let (done, taken) = oneshot::channel();
            let actor = self.actor(id);
            let told =
                actor.is_some_and(|actor| actor.cast(Msg::TakeUp(Box::new(stored), done)).is_ok());
            if !told || taken.await.is_err() {
                return Err(OpError::unavailable("a channel's actor is being restarted"));
            }
        }
        self.answer_to_alerts();
        for damaged in &on_air {
            self.tell_damaged_on_air(damaged);
        }
        Ok(())
    }

    /// The channel was deleted, and the copy did not know.
    async fn drop_deleted(&self, id: ChannelId) {
        tracing::warn!(channel = %id, "the database does not have this channel: it leaves the air");
        let Some(handle) = self.handles().get(&id).cloned() else {
            return;
        };
        let client = handle.snapshot().channel.client_id;
        handle.pen.lock().await.gone = true;
        self.forget(id).await;
        let environment = &self.inner.environment;
        environment.store.forget_copy(id).await;
        environment.hub.publish(Event {
            kind: kind::CHANNEL_DELETED,
            client: Some(client),
            channel: Some(id),
            data: json!({ "id": id }),
        });
    }
}
