//! Orders that were carried out while the database was away: written to a stream in Redis before they take
//! effect (and, for the case that Redis is gone at the next start, to the copy on disk), brought into the
//! database in their order when it is back, each once.
//!
//! An order has an id from the moment it is given. The database notes the ids it has, in the transaction of
//! the order itself, so whatever was tried before and however often it is tried again, it counts once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::{ChannelId, ClientId, TokenId};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::Store;
use crate::channels::reconcile;
use crate::error::StoreError;
use crate::principal::{Principal, Scopes};
use crate::standby::Kind;

/// The stream of orders.
const STREAM: &str = "journal";
/// The stream of those that the database refused.
const REFUSED: &str = "journal:refused";

/// For so long it is looked for an order that was refused and may come into the stream all the same.
const LOOKED_FOR: Duration = Duration::from_secs(60);

/// How long anybody waits for the disk: Redis has the order.
const DISK: Duration = Duration::from_secs(1);

/// An order to a channel, given and allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Tells it from every other.
    pub id: Uuid,
    /// When it was given.
    pub at: Timestamp,
    /// To which channel.
    pub channel: ChannelId,
    /// Whose that is.
    pub client: ClientId,
    /// By whom.
    #[serde(with = "principal")]
    pub who: Principal,
    /// What was ordered.
    pub operation: Operation,
    /// The channel's life once it is carried out.
    pub life: LifeState,
}

/// A principal in JSON.
mod principal {
    use super::{ClientId, Deserialize, Principal, Scopes, Serialize, TokenId};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kept {
        client: ClientId,
        #[serde(alias = "scope")]
        scopes: Scopes,
        token: Option<TokenId>,
        name: String,
    }

    pub(super) fn serialize<S: Serializer>(who: &Principal, s: S) -> Result<S::Ok, S::Error> {
        let kept = Kept {
            client: who.client,
            scopes: who.scopes,
            token: who.token,
            name: who.name.clone(),
        };
        kept.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Principal, D::Error> {
        let kept = Kept::deserialize(d)?;
        Ok(Principal {
            client: kept.client,
            scopes: kept.scopes,
            token: kept.token,
            name: kept.name,
            attempt: None,
        })
    }
}

/// The orders that the database does not know yet.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    state: Mutex<State>,
    /// Held by whoever brings them into the database.
    reconciling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were given, with their ids in the stream.
    pending: BTreeMap<(Timestamp, Uuid), (Order, Option<String>)>,
    /// Orders that were refused because Redis did not say that it has them; it may have them, or get them
    /// when it goes on after a standstill. With when that was.
    withdrawn: HashMap<Uuid, Instant>,
}

impl Journal {
    /// How many orders wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().pending.len()
    }

    /// The lives that the orders that wait have given channels, the latest of a channel last.
    pub(crate) fn lives(&self) -> Vec<(ChannelId, LifeState)> {
        let state = self.lock();
        let orders = state.pending.values();
        orders
            .map(|(order, _)| (order.channel, order.life.clone()))
            .collect()
    }

    fn add(&self, order: Order, entry: Option<String>) {
        let mut state = self.lock();
        let known = state
            .pending
            .entry((order.at, order.id))
            .or_insert((order, None));
        if entry.is_some() {
            known.1 = entry;
        }
    }

    /// Orders that are not known to be in the stream.
    fn without_entry(&self) -> Vec<Order> {
        let state = self.lock();
        let without = state.pending.values().filter(|(_, entry)| entry.is_none());
        without.map(|(order, _)| order.clone()).collect()
    }

    /// Redis may have lost what it had.
    pub(crate) fn forget_entries(&self) {
        for (_, entry) in self.lock().pending.values_mut() {
            *entry = None;
        }
    }

    fn is_withdrawn(&self, id: Uuid) -> bool {
        self.lock().withdrawn.contains_key(&id)
    }

    fn first(&self) -> Option<(Order, Option<String>)> {
        self.lock().pending.values().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Records an order in the journal: from here on it is as good as in the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: Redis does not take it, and it must not be carried out.
    pub async fn journal(&self, order: &Order) -> Result<(), StoreError> {
        let json = serde_json::to_string(order).map_err(StoreError::internal)?;
        let entry = match self.hot().append(STREAM, &json).await {
            Ok(entry) => entry,
            Err(error) => {
                let now = Instant::now();
                self.0.journal.lock().withdrawn.insert(order.id, now);
                return Err(error);
            }
        };
        self.0.journal.add(order.clone(), Some(entry));
        self.0.standing();
        self.0.standby.put(Kind::Order, order.id.to_string(), order);
        if let Some(disk) = self.0.disk.clone() {
            let id = order.id.to_string();
            let written =
                tokio::task::spawn_blocking(move || disk.write_one(Kind::Order, &id, Some(&json)));
            match timeout(DISK, written).await {
                Ok(Ok(Ok(()))) => {}
                Ok(failed) => tracing::warn!(?failed, "an order is in Redis alone"),
                Err(_) => tracing::warn!("an order is in Redis alone: the disk does not answer"),
            }
        }
        Ok(())
    }

    /// How many orders are not in the database yet.
    pub fn journaled(&self) -> usize {
        self.0.journal.len()
    }

    /// What an earlier daemon has left in Redis and on disk.
    pub(crate) async fn resume_journal(&self) {
        let journal = &self.0.journal;
        for (_, order) in self.0.standby.all::<Order>(Kind::Order) {
            journal.add(order, None);
        }
        self.read_stream().await;
        if journal.len() > 0 {
            tracing::info!(orders = journal.len(), "orders wait for the database");
        }
    }

    /// Brings memory and the stream together, after a time in which Redis was away.
    pub(crate) async fn read_stream(&self) {
        let Ok(entries) = self.hot().entries(STREAM).await else {
            return;
        };
        for (entry, json) in entries {
            match serde_json::from_str::<Order>(&json) {
                Ok(order) if self.0.journal.is_withdrawn(order.id) => {}
                Ok(order) => self.0.journal.add(order, Some(entry)),
                Err(error) => {
                    tracing::error!(entry, %error, "an order in the journal cannot be read");
                    self.set_aside(Some(entry), &json).await;
                }
            }
        }
        // Redis may have lost what it had.
        for order in self.0.journal.without_entry() {
            let json = serde_json::to_string(&order).unwrap_or_default();
            if let Ok(entry) = self.hot().append(STREAM, &json).await {
                self.0.journal.add(order, Some(entry));
            }
        }
        self.0.standing();
    }

    /// Removes orders that were refused to whoever gave them and came into the stream all the same.
    pub(crate) async fn withdraw_refused(&self) {
        let withdrawn = self.0.journal.lock().withdrawn.clone();
        if withdrawn.is_empty() {
            return;
        }
        let Ok(entries) = self.hot().entries(STREAM).await else {
            return;
        };
        let theirs = entries.into_iter().filter_map(|(entry, json)| {
            let order: Order = serde_json::from_str(&json).ok()?;
            withdrawn.contains_key(&order.id).then_some(entry)
        });
        if let Ok(()) = self.hot().remove_entries(STREAM, theirs.collect()).await {
            let mut state = self.0.journal.lock();
            state
                .withdrawn
                .retain(|_, since| since.elapsed() < LOOKED_FOR);
        }
    }

    /// Brings the orders that wait into the database, in their order, each once with its audit entry.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the others wait on.
    pub(crate) async fn reconcile(&self) -> Result<(), StoreError> {
        let journal = &self.0.journal;
        let _one = journal.reconciling.lock().await;
        while let Some((order, entry)) = journal.first() {
            let (ours, node) = (order.clone(), self.0.leases.node());
            let done = self
                .database()
                .transact(move |tx| Box::pin(async move { reconcile(tx, &ours, node).await }))
                .await;
            match done {
                Ok(()) => {
                    tracing::info!(channel = %order.channel, operation = %order.operation, at = %order.at, "an order is in the database now");
                    self.forget_order(&order, entry).await;
                }
                Err(StoreError::Unavailable(away)) => return Err(StoreError::Unavailable(away)),
                Err(error) => {
                    // It must not keep the others from it.
                    tracing::error!(order = ?order, %error, "an order that was carried out cannot be brought into the database");
                    let json = serde_json::to_string(&order).unwrap_or_default();
                    self.set_aside(None, &json).await;
                    self.forget_order(&order, entry).await;
                }
            }
        }
        Ok(())
    }

    async fn set_aside(&self, entry: Option<String>, json: &str) {
        if self.hot().append(REFUSED, json).await.is_ok() {
            let entries = entry.into_iter().collect();
            drop(self.hot().remove_entries(STREAM, entries).await); // found again at the next start
        }
    }

    /// The database has it.
    async fn forget_order(&self, order: &Order, entry: Option<String>) {
        // What cannot be removed now is found at the next start, and known to the database.
        let entries = entry.into_iter().collect();
        if let Err(error) = self.hot().remove_entries(STREAM, entries).await {
            tracing::debug!(%error, "an order that is done stays in the journal");
        }
        self.0.standby.remove(Kind::Order, order.id.to_string());
        if let Some(disk) = self.0.disk.clone() {
            let id = order.id.to_string();
            let removed =
                tokio::task::spawn_blocking(move || disk.write_one(Kind::Order, &id, None));
            drop(timeout(DISK, removed).await); // as above
        }
        let mut state = self.0.journal.lock();
        state.pending.remove(&(order.at, order.id));
        drop(state);
        self.0.standing();
    }
}
