//! Clients' orders: recorded before they take effect, in the database, or, while that is away and the order is
//! one that viewers depend on, in the journal.

use jiff::Timestamp;
use playout_domain::channel::{Channel, Desired};
use playout_domain::lifecycle::{Event, LifeState, Operation};
use playout_domain::limits::Demand;
use playout_domain::plans::PlanRefusal;
use playout_store::{Order, Principal, StoreError};
use ractor::ActorRef;

use super::{Msg, Pen, Room};
use crate::error::OpError;

impl Room {
    /// Recorded with its audit entry, then performed.
    pub(super) async fn operate(
        &mut self,
        me: &ActorRef<Msg>,
        who: &Principal,
        operation: Operation,
    ) -> Result<Channel, OpError> {
        let mut life = self.life.clone();
        let now = Timestamp::now();
        let effects = life.on(Event::Operate(operation), now)?;
        let handle = std::sync::Arc::clone(&self.args.handle);
        let mut pen = handle.pen.lock().await;
        if life != self.life || !effects.is_empty() {
            let order = Order {
                id: uuid::Uuid::now_v7(),
                at: now,
                channel: handle.id,
                client: handle.snapshot().channel.client_id,
                who: who.clone(),
                operation,
                life: life.state().clone(),
            };
            let store = &self.args.environment.store;
            let asked = store.recordable().is_ok();
            match store.order(&order).await {
                Ok(()) => pen.life = Some(order.life),
                Err(StoreError::Unavailable(away)) if operation != Operation::Skip => {
                    tracing::debug!(%away, "an order goes into the journal");
                    if let Err(error) = self.journal(&order).await {
                        self.refused(&order, asked, &mut pen);
                        return Err(error);
                    }
                }
                Err(error) => {
                    if let StoreError::Unavailable(_) = error {
                        self.refused(&order, asked, &mut pen);
                    }
                    return Err(error.into());
                }
            }
        }
        let never_on_air = self.life.state().last_start_time.is_none();
        if operation == Operation::Start && never_on_air {
            // A new channel begins with its first item.
            let mut snapshot = self.snapshot();
            snapshot.airtime.plan = self.plan_from_now(&snapshot);
            self.change_plan(snapshot);
        }
        self.orderer = Some(who.name.clone());
        self.enter(me, life, effects).await;
        self.orderer = None;
        drop(pen);
        Ok(handle.snapshot().channel.clone())
    }

    /// An order is refused that the database was `asked` to record: it may be at it still.
    fn refused(&self, order: &Order, asked: bool, pen: &mut Pen) {
        if asked {
            pen.refused.push(order.id);
            pen.doubt();
            self.args.handle.touch();
        }
    }

    /// Records an order while the database is away, by the limits that were known last.
    async fn journal(&self, order: &Order) -> Result<(), OpError> {
        let environment = &self.args.environment;
        let before = self.life.state().desired;
        let raises = order.life.desired == Desired::Live && before != Desired::Live;
        if raises {
            let limits = environment.store.known_limits(order.client);
            let allowance = limits.ok_or_else(|| {
                OpError::unavailable("the database is away, and what the plan allows is not known")
            })?;
            let live = &environment.live;
            let demand = Demand::of(&self.args.handle.snapshot().channel.config);
            let limits = &allowance.limits;
            let admitted = live.admit(order.channel, order.client, limits, demand);
            admitted.map_err(|exceeded| {
                OpError::Limit(PlanRefusal {
                    plan: Some(allowance.plan),
                    ..exceeded.into()
                })
            })?;
        }
        let journaled = environment.store.journal(order).await;
        if journaled.is_err() {
            self.note_live(self.life.state());
        }
        journaled.map_err(|error| match error {
            StoreError::Unavailable(away) => OpError::Unavailable {
                message: "neither PostgreSQL nor Redis takes the order at the moment".into(),
                retry_after: away.retry_after(),
            },
            error => error.into(),
        })
    }

    /// Notes whether the channel should be live.
    pub(super) fn note_live(&self, life: &LifeState) {
        let (environment, handle) = (&self.args.environment, &self.args.handle);
        let client = handle.snapshot().channel.client_id;
        let live = life.desired == Desired::Live;
        environment.live.set(handle.id, client, live);
    }
}
