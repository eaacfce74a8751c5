//! Channels that are stored damaged: off air, named to the operator, refused with the reason. They
//! concern no other channel.
//!
//! The one place where damage is told: the log, a `channel.quarantined` event, and an alert.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use playout_domain::ids::ChannelId;
use playout_store::{Principal, Quarantined};
use serde_json::json;

use super::{Channels, Environment};
use crate::error::OpError;
use crate::hub::{Event, Hub, kind};

/// The damaged channels.
#[derive(Default)]
pub(super) struct Quarantine(RwLock<BTreeMap<ChannelId, Quarantined>>);

impl Quarantine {
    /// Takes a channel in, and says so.
    fn admit(&self, hub: &Hub, damaged: Quarantined) {
        let Quarantined {
            id, name, reason, ..
        } = &damaged;
        tracing::error!(
            channel = %id, name = name.as_deref().unwrap_or("(not readable)"), reason,
            "a stored channel is damaged; it is quarantined and stays off air"
        );
        publish(hub, &damaged);
        self.write().insert(damaged.id, damaged);
    }

    /// Another daemon has it.
    pub(super) fn release(&self, id: ChannelId) {
        self.write().remove(&id);
    }

    /// Why nothing can be done with a channel, if it is in here and `who` may know of it.
    pub(super) fn refusal(&self, who: &Principal, id: ChannelId) -> Option<OpError> {
        let all = self.read();
        let damaged = all.get(&id)?;
        let operator = who.is_operator();
        let seen = operator || damaged.client.is_some_and(|client| who.sees(client));
        seen.then(|| OpError::Quarantined {
            reason: operator.then(|| damaged.reason.clone()),
        })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<ChannelId, Quarantined>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<ChannelId, Quarantined>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publish(hub: &Hub, damaged: &Quarantined) {
    // The operator's alone: whose it is may be what is damaged.
    hub.publish(Event {
        kind: kind::CHANNEL_QUARANTINED,
        client: None,
        channel: Some(damaged.id),
        data: json!({ "id": damaged.id, "name": damaged.name, "reason": damaged.reason }),
    });
}

impl Channels {
    /// A stored channel is damaged: it stays off air.
    pub(super) fn quarantine(&self, damaged: Quarantined) {
        let Environment { hub, alerts, .. } = &*self.inner.environment;
        alerts.quarantined(&damaged);
        self.inner.quarantine.admit(hub, damaged);
    }

    /// A channel that went on air from the copy is stored damaged: it stays on air, and the operator is told.
    pub(super) fn tell_damaged_on_air(&self, damaged: &Quarantined) {
        let Environment { hub, alerts, .. } = &*self.inner.environment;
        let Quarantined {
            id, name, reason, ..
        } = damaged;
        tracing::error!(
            channel = %id, name = name.as_deref().unwrap_or("(not readable)"), reason,
            "a stored channel is damaged; it stays on air from the copy, and the next start finds it quarantined"
        );
        alerts.quarantined(damaged);
        publish(hub, damaged);
    }

    /// Whether a channel is stored damaged and was left off air.
    pub(super) fn is_quarantined(&self, id: ChannelId) -> bool {
        self.inner.quarantine.read().contains_key(&id)
    }

    /// How many channels are stored damaged and were left off air.
    pub fn quarantined(&self) -> usize {
        self.inner.quarantine.read().len()
    }

    /// Deletes a channel that no actor holds.
    pub(super) async fn delete_damaged(
        &self,
        who: &Principal,
        id: ChannelId,
        if_match: Option<u64>,
    ) -> Result<(), OpError> {
        let Environment {
            store, hub, alerts, ..
        } = &*self.inner.environment;
        store.delete_channel(who, id, if_match).await?;
        self.inner.quarantine.write().remove(&id);
        alerts.channel_gone(id);
        // What was published goes with the channel; what cannot be removed does no harm.
        let _ = tokio::fs::remove_dir_all(self.inner.dir.join(id.to_string())).await;
        hub.publish(Event {
            kind: kind::CHANNEL_DELETED,
            client: None,
            channel: Some(id),
            data: json!({ "id": id }),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Filter;
    use playout_domain::ids::ClientId;
    use playout_store::Scopes;
    use uuid::Uuid;

    fn client(scopes: Scopes, id: u128) -> Principal {
        Principal {
            client: ClientId::from(Uuid::from_u128(id)),
            scopes,
            token: None,
            name: "test".to_owned(),
            attempt: None,
        }
    }

    #[tokio::test]
    async fn the_operator_is_told_why_the_owner_that_it_is_so_and_others_nothing() {
        let (hub, quarantine) = (Hub::default(), Quarantine::default());
        let id = ChannelId::from(Uuid::from_u128(7));
        let damaged = Quarantined {
            id,
            client: Some(ClientId::from(Uuid::from_u128(1))),
            name: None,
            reason: "a bit is wrong".to_owned(),
        };
        let mut events = hub.subscribe(Filter::default(), None);
        quarantine.admit(&hub, damaged);
        let event = events.next().await.expect("an event");
        assert_eq!(
            (event.kind, event.client),
            (kind::CHANNEL_QUARANTINED, None)
        );
        assert_eq!(event.data["reason"], "a bit is wrong");
        let refused = |who| quarantine.refusal(&who, id);
        let told = |reason: Option<&str>| {
            Some(OpError::Quarantined {
                reason: reason.map(str::to_owned),
            })
        };
        assert_eq!(
            refused(client(Scopes::ADMIN, 9)),
            told(Some("a bit is wrong"))
        );
        assert_eq!(refused(client(Scopes::CLIENT, 1)), told(None));
        assert_eq!(refused(client(Scopes::CLIENT, 2)), None);
    }
}
