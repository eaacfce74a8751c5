//! One telling of one event by one webhook: when it is tried, and when it is given up.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alert::delivery::{DeliveryState, Outcome, next_attempt};
use crate::alert::detail;
use crate::backoff::Chance;
use crate::ids::{ChannelId, ClientId, WebhookDeliveryId, WebhookId};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How long after each failed attempt the next one is, ±20 %: for about a day. After the last the delivery is dead.
pub const DELAYS: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * MINUTE),
    Duration::from_secs(10 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(HOUR),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(4 * HOUR),
    Duration::from_secs(8 * HOUR),
    Duration::from_secs(8 * HOUR),
];

/// Deliveries of one webhook that wait at most; the oldest gives way.
pub const MAX_WAITING: usize = 10_000;

/// So long a receiver may take nothing before its webhook is switched off: three days.
pub const PATIENCE: Duration = Duration::from_secs(72 * HOUR);

/// One telling of one event by one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its id, also the receiver's: every attempt carries the same.
    pub id: WebhookDeliveryId,
    /// By which webhook.
    pub webhook: WebhookId,
    /// Whose webhook.
    pub client: ClientId,
    /// The id that the event has on the event stream.
    pub event_id: String,
    /// What kind of event, such as `channel.status`.
    pub event: String,
    /// On which channel it happened.
    pub channel: Option<ChannelId>,
    /// What is sent, to the letter.
    pub body: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// Attempts since it was made, or put back by somebody.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_at: Timestamp,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When it was tried last.
    pub attempted_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
    /// What came of the last attempt.
    pub answer: Answer,
}

/// What came of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status that the receiver has answered.
    pub status: Option<u16>,
    /// How its answer began.
    pub excerpt: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

impl WebhookDelivery {
    /// An attempt ended at `now`; the next is after the delay that `delays` has for it, or never.
    pub fn attempted(
        &mut self,
        outcome: &Outcome,
        answer: Answer,
        delays: &[Duration],
        now: Timestamp,
        chance: Chance,
    ) {
        self.attempts = self.attempts.saturating_add(1);
        self.attempted_at = Some(now);
        self.answer = answer;
        match (outcome, next_attempt(self.attempts, delays, now, chance)) {
            (Outcome::Delivered, _) => {
                self.state = DeliveryState::Delivered;
                self.finished_at = Some(now);
            }
            (Outcome::Failed(why), Some(next)) => {
                self.answer.error = Some(detail(why));
                self.next_at = next;
            }
            (Outcome::Failed(why) | Outcome::Refused(why) | Outcome::Unwanted(why), _) => {
                self.answer.error = Some(detail(why));
                self.state = DeliveryState::Dead;
                self.finished_at = Some(now);
            }
        }
    }

    /// The delivery as lists answer it.
    pub fn to_json(&self) -> Value {
        let pending = self.state == DeliveryState::Pending;
        json!({
            "id": self.id,
            "webhookId": self.webhook,
            "eventId": self.event_id,
            "event": self.event,
            "channelId": self.channel,
            "state": self.state,
            "attempts": self.attempts,
            "lastStatus": self.answer.status,
            "lastError": self.answer.error,
            "createdAt": self.created_at,
            "attemptedAt": self.attempted_at,
            "nextAttemptAt": pending.then_some(self.next_at),
            "finishedAt": self.finished_at,
        })
    }

    /// The same with what was sent, and how it was answered.
    pub fn to_json_whole(&self) -> Value {
        let mut told = self.to_json();
        let body = serde_json::from_str(&self.body);
        told["body"] = body.unwrap_or_else(|_| self.body.as_str().into());
        told["answer"] = json!(self.answer.excerpt);
        told
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    #[test]
    fn what_fails_is_tried_again_for_about_a_day_and_then_dead() {
        let (id, begun) = (Uuid::nil(), Timestamp::UNIX_EPOCH);
        let mut delivery = WebhookDelivery {
            id: id.into(),
            webhook: id.into(),
            client: id.into(),
            event_id: "1-1".to_owned(),
            event: "channel.status".to_owned(),
            channel: None,
            body: "{}".to_owned(),
            state: DeliveryState::Pending,
            attempts: 0,
            next_at: begun,
            created_at: begun,
            attempted_at: None,
            finished_at: None,
            answer: Answer::default(),
        };
        let failed = Outcome::Failed("it answered 500".to_owned());
        let answer = || Answer {
            status: Some(500),
            ..Answer::default()
        };
        let mut attempts = 0;
        while delivery.state == DeliveryState::Pending {
            let now = delivery.next_at;
            delivery.attempted(&failed, answer(), &DELAYS, now, Chance::EVEN);
            attempts += 1;
        }
        let lasted = delivery.finished_at.unwrap().duration_since(begun);
        let hours = lasted.as_secs() / HOUR as i64;
        assert!((20..=28).contains(&hours), "{hours} h");
        assert_eq!((attempts, delivery.state), (11, DeliveryState::Dead));
        assert_eq!(delivery.answer.error.as_deref(), Some("it answered 500"));

        let mut taken = delivery.clone();
        taken.state = DeliveryState::Pending;
        taken.attempted(
            &Outcome::Delivered,
            Answer::default(),
            &DELAYS,
            begun,
            Chance::EVEN,
        );
        assert_eq!(taken.state, DeliveryState::Delivered);
        assert_eq!(taken.to_json()["lastError"], Value::Null);
        // What the receiver never takes is not tried for a day.
        let mut refused = WebhookDelivery {
            attempts: 0,
            state: DeliveryState::Pending,
            ..delivery
        };
        let gone = Outcome::Unwanted("it answered 410".to_owned());
        refused.attempted(&gone, answer(), &DELAYS, begun, Chance::EVEN);
        assert_eq!((refused.state, refused.attempts), (DeliveryState::Dead, 1));
    }
}
