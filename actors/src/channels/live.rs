//! Which channels should be live, and whose they are: what a plan's limit is measured by while the database,
//! which measures it otherwise, is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use playout_domain::ids::{ChannelId, ClientId};
use playout_domain::limits::{Demand, LimitExceeded, PlanLimits, Raise, Usage};

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<HashMap<ChannelId, ClientId>>);

impl Live {
    /// Notes what a channel should be.
    pub(super) fn set(&self, id: ChannelId, client: ClientId, live: bool) {
        let mut all = self.lock();
        if live {
            all.insert(id, client);
        } else {
            all.remove(&id);
        }
    }

    /// Takes a place for a channel that is to go on air. Of several at once no more get one than there are.
    ///
    /// # Errors
    /// The plan's limit.
    pub(super) fn admit(
        &self,
        id: ChannelId,
        client: ClientId,
        limits: &PlanLimits,
        demand: Demand,
    ) -> Result<(), LimitExceeded> {
        let mut all = self.lock();
        if all.contains_key(&id) {
            return Ok(());
        }
        let live = all.values().filter(|owner| **owner == client).count() as u64;
        let usage = Usage {
            live,
            ..Usage::default()
        };
        limits.check(&Raise::StartChannel(demand), &usage)?;
        all.insert(id, client);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, ClientId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playout_domain::config::ChannelConfig;
    use uuid::Uuid;

    #[test]
    fn a_place_is_taken_once_and_free_again_when_its_channel_stops() {
        let live = Live::default();
        let limits = PlanLimits {
            max_live: Some(2),
            ..PlanLimits::UNLIMITED
        };
        let client = |n| ClientId::from(Uuid::from_u128(n));
        let channel = |n| ChannelId::from(Uuid::from_u128(n));
        let demand = Demand::of(&ChannelConfig::named("One"));
        live.set(channel(1), client(1), true);
        live.set(channel(9), client(2), true);
        live.admit(channel(2), client(1), &limits, demand).unwrap();
        live.admit(channel(2), client(1), &limits, demand).unwrap();
        let refused = live
            .admit(channel(3), client(1), &limits, demand)
            .unwrap_err();
        assert_eq!(refused.requested, playout_domain::limits::Amount::Count(3));
        live.set(channel(1), client(1), false);
        live.admit(channel(3), client(1), &limits, demand).unwrap();
        live.admit(channel(4), client(3), &PlanLimits::UNLIMITED, demand)
            .unwrap();
    }
}
