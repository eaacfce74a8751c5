//! Channels that were put on air without the database take up what it has, when it is there at last.

use std::collections::HashSet;
use std::time::Duration;

use playout_domain::ids::ChannelId;
use playout_store::{Loaded, StoredChannel};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Channels;
use super::actor::Msg;
use super::handle::Snapshot;
use crate::error::OpError;
use crate::hub::{Event, kind};

/// How long a channel's actor may be busy otherwise before nobody waits for it.
const TAKEN: Duration = Duration::from_secs(30);

impl Channels {
    /// Compares with what the database has of this daemon's channels: one that it does not have (it has those
    /// that are `known`), or that another daemon holds, leaves the air, one that only it has goes on air as it
    /// should, and those that both have take up what is new in it. One that is damaged there stays on air from
    /// the copy for as long as the daemon runs.
    /// One whose actor is down takes it up when it is started next; it keeps no other from it.
    pub(crate) async fn take_up(&self, loaded: Loaded, known: &HashSet<ChannelId>) {
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
        let mut not_running = Vec::new();
        for stored in stored {
            let id = stored.channel.id;
            if !ours.contains(&id) {
                tracing::info!(channel = %id, "a channel that only the database knows is taken up");
                let snapshot = Snapshot {
                    channel: stored.channel,
                    airtime: stored.airtime,
                };
                if let Err(error) = self.open(snapshot, true).await {
                    not_running.push((id, error));
                }
                continue;
            }
            if let Err(error) = self.have_taken_up(stored).await {
                not_running.push((id, error));
            }
        }
        self.answer_to_alerts();
        for damaged in &on_air {
            self.tell_damaged_on_air(damaged);
        }
        for (id, error) in not_running {
            self.tell_not_running(id, &error);
        }
    }

    /// Leaves what the database has with a channel, and waits for its actor to take it up.
    async fn have_taken_up(&self, stored: StoredChannel) -> Result<(), OpError> {
        let id = stored.channel.id;
        let Some(handle) = self.handles().get(&id).cloned() else {
            return Ok(());
        };
        handle.leave(stored);
        let (done, taken) = oneshot::channel();
        let told = match self.actor(id) {
            Some(actor) => actor.cast(Msg::TakeUp(done)).is_ok(),
            None => false,
        };
        match told {
            true => match timeout(TAKEN, taken).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(OpError::unavailable("the channel's actor does not answer")),
            },
            // One that never started is tried again; one that is being restarted takes up what it finds.
            false => self.add_actor(&handle).await,
        }
    }

    /// A channel does not run: it is told, and keeps nothing else from running.
    pub(super) fn tell_not_running(&self, id: ChannelId, error: &OpError) {
        let error = format!("the channel does not run: {error}");
        tracing::error!(channel = %id, error, "the others go on");
        let handle = self.handles().get(&id).cloned();
        if let Some(handle) = handle {
            let alerts = &self.inner.environment.alerts;
            alerts.escalate_to_support(&handle.snapshot().channel, &error);
        }
    }

    /// The channel was deleted, and the copy did not know.
    async fn drop_deleted(&self, id: ChannelId) {
        tracing::warn!(channel = %id, "the database does not have this channel: it leaves the air");
        let Some(handle) = self.handles().get(&id).cloned() else {
            return;
        };
        let channel = handle.snapshot().channel.clone();
        handle.pen.lock().await.gone = true;
        self.forget(id).await;
        let environment = &self.inner.environment;
        environment.store.end_lease(id);
        environment.store.forget_copy(id).await;
        // What was published goes with the channel.
        self.clear_published(id).await;
        environment.hub.publish(Event {
            kind: kind::CHANNEL_DELETED,
            client: Some(channel.client_id),
            channel: Some(id),
            data: json!({ "id": id, "labels": channel.config.labels }),
        });
    }
}
