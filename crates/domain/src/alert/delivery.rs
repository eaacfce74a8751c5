//! One telling of one alert by one route: when it is tried, and when it is given up.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Alert, Notice, detail};
use crate::backoff::Chance;
use crate::ids::{AlertId, AlertRouteId, ClientId, DeliveryId};

/// How long after each failed attempt the next one is, ±20 %. After the last the delivery is dead.
pub const DELAYS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be tried, or tried again.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// Given up: it waits for somebody who has it tried again.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| {
            let given = crate::violation::quoted(text);
            format!("{given} is no state of a delivery; it is pending, delivered or dead")
        })
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// It did not get through, for this reason; worth another try.
    Failed(String),
    /// The receiver does not take this one, whenever it is sent: no other try.
    Refused(String),
    /// The receiver does not want to hear anything any more (410 Gone): the route is switched off.
    Unwanted(String),
}

/// When what failed `attempts` times is tried again: after the delay that `delays` has for it, ±20 %, or never.
pub fn next_attempt(
    attempts: u32,
    delays: &[Duration],
    now: Timestamp,
    chance: Chance,
) -> Option<Timestamp> {
    let delay = delays.get((attempts as usize).checked_sub(1)?)?;
    let delay = delay.mul_f64(chance.around_one(0.2));
    Some(now.checked_add(delay).unwrap_or(Timestamp::MAX))
}

/// One telling of one alert by one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, also the receiver's: every attempt carries the same.
    pub id: DeliveryId,
    /// By which route.
    pub route: AlertRouteId,
    /// Whose route.
    pub client: ClientId,
    /// Of which alert.
    pub alert: AlertId,
    /// What kind of event, such as `alert.opened`.
    pub event: String,
    /// What is sent: `{"type", "timestamp", "data"}`.
    pub payload: Value,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts since it was made, or put back by somebody.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Delivery {
    /// Tells `route` of `alert`, to be tried at once.
    pub fn new(
        id: DeliveryId,
        route: (AlertRouteId, ClientId),
        alert: &Alert,
        notice: Notice,
        now: Timestamp,
    ) -> Self {
        let (route, client) = route;
        Self {
            id,
            route,
            client,
            alert: alert.id,
            event: notice.event().to_owned(),
            payload: json!({ "type": notice.event(), "timestamp": now, "data": alert.to_json() }),
            state: DeliveryState::Pending,
            attempts: 0,
            next_at: now,
            created_at: now,
            finished_at: None,
            error: None,
        }
    }

    /// An attempt ended at `now`; the next is after the delay that `delays` has for it, or never.
    pub fn attempted(
        &mut self,
        outcome: &Outcome,
        delays: &[Duration],
        now: Timestamp,
        chance: Chance,
    ) {
        self.attempts = self.attempts.saturating_add(1);
        match (outcome, next_attempt(self.attempts, delays, now, chance)) {
            (Outcome::Delivered, _) => {
                self.error = None;
                self.finish(DeliveryState::Delivered, now);
            }
            (Outcome::Failed(why), Some(next)) => {
                self.error = Some(detail(why));
                self.next_at = next;
            }
            (Outcome::Failed(why) | Outcome::Refused(why) | Outcome::Unwanted(why), _) => {
                self.give_up(why, now);
            }
        }
    }

    /// Nobody tries it any more, until somebody asks for it.
    pub fn give_up(&mut self, why: &str, now: Timestamp) {
        self.error = Some(detail(why));
        self.finish(DeliveryState::Dead, now);
    }

    /// Somebody asks for it to be tried again, as if it were new.
    pub fn put_back(&mut self, now: Timestamp) {
        self.state = DeliveryState::Pending;
        self.attempts = 0;
        self.next_at = now;
        self.finished_at = None;
    }

    fn finish(&mut self, state: DeliveryState, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now);
    }

    /// The delivery as the API answers it.
    pub fn to_json(&self) -> Value {
        let pending = self.state == DeliveryState::Pending;
        json!({
            "id": self.id,
            "routeId": self.route,
            "alertId": self.alert,
            "event": self.event,
            "state": self.state,
            "attempts": self.attempts,
            "lastError": self.error,
            "createdAt": self.created_at,
            "nextAttemptAt": pending.then_some(self.next_at),
            "finishedAt": self.finished_at,
        })
    }
}
