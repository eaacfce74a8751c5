//! Deliveries that are not done yet: which may be tried now.
//!
//! Invariants:
//! - O1: of one route at most one delivery is under way and of one client [`MAX_UNDER_WAY`], so receivers that
//!   hang hold up no other client.
//! - O2: what one route hears of one alert, it hears in the order in which it happened.
//! - O3: a delivery is under way, waiting or finished; none is lost, and none is tried before its time.
//! - O4: of one route at most [`MAX_WAITING`] wait; the oldest gives way and is dead.
//! - O5: a receiver that failed [`LEFT_ALONE_AFTER`] times in a row, whatever was sent, is asked again only when
//!   the last of these would be, [`LEFT_ALONE`] later at most: one delivery then finds out for all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::delivery::{Delivery, DeliveryState, Outcome};
use crate::backoff::Chance;
use crate::ids::{AlertId, AlertRouteId, ClientId, DeliveryId};

/// Deliveries of one route that wait at most.
pub const MAX_WAITING: usize = 1_000;

/// Deliveries of one client that are under way at most.
pub const MAX_UNDER_WAY: usize = 4;

/// Failures of a route in a row after which its receiver is left alone for a while.
pub const LEFT_ALONE_AFTER: u32 = 3;

/// How long a receiver is left alone at most.
pub const LEFT_ALONE: Duration = Duration::from_secs(600);

/// A receiver that fails: how often in a row, and when it is asked again.
#[derive(Debug, Clone, Copy)]
struct Failing {
    times: u32,
    until: Timestamp,
}

/// See the module's head.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    /// In the order of their age, for ids are.
    waiting: BTreeMap<AlertRouteId, BTreeMap<DeliveryId, Delivery>>,
    /// The delivery that is under way, and whose it is, by route.
    under_way: BTreeMap<AlertRouteId, (DeliveryId, ClientId)>,
    /// Routes whose receivers have failed since they took something last.
    failing: BTreeMap<AlertRouteId, Failing>,
}

impl Outbox {
    /// Takes a delivery. Answers one that gave way to it, dead.
    pub fn push(&mut self, delivery: Delivery, now: Timestamp) -> Option<Delivery> {
        let route = delivery.route;
        let under_way = self.under_way.get(&route).map(|(id, _)| *id);
        let waiting = self.waiting.entry(route).or_default();
        waiting.insert(delivery.id, delivery);
        if waiting.len() <= MAX_WAITING {
            return None;
        }
        let oldest = waiting.keys().find(|id| Some(**id) != under_way).copied()?;
        let mut oldest = waiting.remove(&oldest)?;
        oldest.give_up("too many deliveries of this route wait", now);
        Some(oldest)
    }

    /// The deliveries to be tried at `now`, `room` at most; they are under way from now on.
    pub fn take_due(&mut self, now: Timestamp, room: usize) -> Vec<Delivery> {
        let mut due: Vec<Delivery> = self
            .free()
            .filter(|(route, _)| self.left_alone(**route).is_none_or(|until| until <= now))
            .filter_map(|(_, waiting)| ready(waiting).find(|delivery| delivery.next_at <= now))
            .cloned()
            .collect();
        due.sort_by_key(|delivery| (delivery.next_at, delivery.id));
        let mut taken = Vec::new();
        for delivery in due {
            if taken.len() < room && self.of(delivery.client) < MAX_UNDER_WAY {
                let whose = (delivery.id, delivery.client);
                self.under_way.insert(delivery.route, whose);
                taken.push(delivery);
            }
        }
        taken
    }

    /// What waits for routes of which nothing is under way, of clients that have not enough under way.
    fn free(&self) -> impl Iterator<Item = (&AlertRouteId, &BTreeMap<DeliveryId, Delivery>)> {
        let waiting = self.waiting.iter();
        let idle = waiting.filter(|(route, _)| !self.under_way.contains_key(route));
        idle.filter(|(_, waiting)| {
            let client = waiting.values().next().map(|delivery| delivery.client);
            client.is_some_and(|client| self.of(client) < MAX_UNDER_WAY)
        })
    }

    /// Until when the receiver of `route` is left alone.
    fn left_alone(&self, route: AlertRouteId) -> Option<Timestamp> {
        let failing = self.failing.get(&route)?;
        (failing.times >= LEFT_ALONE_AFTER).then_some(failing.until)
    }

    /// Asks the receiver of `route` again, as if it had never failed.
    pub fn trust(&mut self, route: AlertRouteId) {
        self.failing.remove(&route);
    }

    /// How many of a client are under way.
    fn of(&self, client: ClientId) -> usize {
        let clients = self.under_way.values().map(|(_, client)| *client);
        clients.filter(|other| *other == client).count()
    }

    /// An attempt ended. Answers the delivery as it is now; nothing when its route is gone.
    pub fn attempted(
        &mut self,
        delivery: &Delivery,
        outcome: &Outcome,
        delays: &[Duration],
        now: Timestamp,
        chance: Chance,
    ) -> Option<Delivery> {
        if self.under_way.get(&delivery.route) == Some(&(delivery.id, delivery.client)) {
            self.under_way.remove(&delivery.route);
        }
        let waiting = self.waiting.get_mut(&delivery.route)?;
        let known = waiting.get_mut(&delivery.id)?;
        known.attempted(outcome, delays, now, chance);
        let known = known.clone();
        if known.state != DeliveryState::Pending {
            waiting.remove(&known.id);
        }
        match outcome {
            Outcome::Delivered => self.trust(known.route),
            Outcome::Failed(_) => self.distrust(&known, now),
            // What one message is refused for says nothing of the next.
            Outcome::Refused(_) | Outcome::Unwanted(_) => {}
        }
        Some(known)
    }

    /// The receiver has failed at `delivery`.
    fn distrust(&mut self, delivery: &Delivery, now: Timestamp) {
        let most = now.checked_add(LEFT_ALONE).unwrap_or(Timestamp::MAX);
        let until = match delivery.state {
            DeliveryState::Pending => delivery.next_at.min(most),
            _ => most,
        };
        let before = self.failing.get(&delivery.route);
        let times = before.map_or(1, |failing| failing.times.saturating_add(1));
        let failing = Failing { times, until };
        self.failing.insert(delivery.route, failing);
    }

    /// When [`Outbox::take_due`] has something; nothing: not before something else happens.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.free()
            .filter_map(|(route, waiting)| {
                let next = ready(waiting).map(|delivery| delivery.next_at).min()?;
                Some(
                    self.left_alone(*route)
                        .map_or(next, |until| until.max(next)),
                )
            })
            .min()
    }

    /// A route is gone or switched off: what waits for it is given back, dead.
    pub fn give_up(&mut self, route: AlertRouteId, why: &str, now: Timestamp) -> Vec<Delivery> {
        self.trust(route);
        let waiting = self.waiting.remove(&route).unwrap_or_default();
        let given_up = |mut delivery: Delivery| {
            delivery.give_up(why, now);
            delivery
        };
        waiting.into_values().map(given_up).collect()
    }

    /// Lets go of deliveries that others look after. What is under way ends, and comes to nothing here.
    pub fn forget(&mut self, is_theirs: impl Fn(&Delivery) -> bool) {
        for waiting in self.waiting.values_mut() {
            waiting.retain(|_, delivery| !is_theirs(delivery));
        }
    }

    /// Nothing is under way: whoever tried has ended.
    pub fn begin_anew(&mut self) {
        self.under_way.clear();
    }

    /// How many are not done.
    pub fn len(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }

    /// Whether all are done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Those before which no other of the same alert waits, oldest first.
fn ready(waiting: &BTreeMap<DeliveryId, Delivery>) -> impl Iterator<Item = &Delivery> {
    let mut seen: BTreeSet<AlertId> = BTreeSet::new();
    waiting
        .values()
        .filter(move |delivery| seen.insert(delivery.alert))
}
