//! What is known of troubles, and what follows from a signal: events at once, writing and deliveries later.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::delivery::Delivery;
use playout_domain::alert::outbox::Outbox;
use playout_domain::alert::{Alert, Alerts, Effect, Notice, Signal, Step};
use playout_domain::{AlertId, ChannelId, DeliveryId};
use playout_store::operator;
use uuid::Uuid;

use super::Inner;
use super::journal::Journal;
use crate::hub::{Event, kind};

/// Everything that the lock guards.
pub(super) struct Desk {
    alerts: Alerts,
    /// What is to be written.
    pub(super) journal: Journal,
    /// What is to be delivered.
    pub(super) outbox: Outbox,
}

impl Desk {
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            alerts: Alerts::new(quiet),
            journal: Journal::default(),
            outbox: Outbox::default(),
        }
    }

    /// Goes on with what was open when the daemon ended. What was raised anew meanwhile takes the place of
    /// the alert before it, which is over. Answers the alerts that were raised meanwhile.
    pub(super) fn resume(
        &mut self,
        before: Vec<Alert>,
        pending: Vec<Delivery>,
        now: Timestamp,
    ) -> Vec<Alert> {
        let anew: Vec<Alert> = self.open().cloned().collect();
        let (replaced, open): (Vec<Alert>, Vec<Alert>) = before
            .into_iter()
            .partition(|alert| anew.iter().any(|other| other.key == alert.key));
        for mut alert in replaced {
            alert.closed_at = Some(now.max(alert.last_at));
            self.journal.alert(alert);
        }
        self.alerts.restore(open, now);
        for delivery in pending {
            self.deliver(delivery, now);
        }
        anew
    }

    /// Goes on with what is open on a channel that was another daemon's; what is known here stays.
    pub(super) fn adopt(&mut self, open: Vec<Alert>, pending: Vec<Delivery>, now: Timestamp) {
        let known: Vec<_> = self.open().map(|alert| alert.key).collect();
        let unknown = open.into_iter().filter(|alert| !known.contains(&alert.key));
        self.alerts.restore(unknown, now);
        for delivery in pending {
            self.deliver(delivery, now);
        }
    }

    /// Forgets what is open on a channel that is another daemon's, with what is still to be told of it.
    pub(super) fn let_go(&mut self, channel: ChannelId) {
        let of_it = self.alerts.forget(channel);
        self.outbox
            .forget(|delivery| of_it.contains(&delivery.alert));
    }

    pub(super) fn decide(&mut self, signal: Signal, now: Timestamp) -> Vec<Effect> {
        self.alerts
            .on(signal, now, || AlertId::from(Uuid::now_v7()))
    }

    /// The alerts that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.open()
    }

    /// Takes a delivery; one that gives way to it is dead, and written.
    pub(super) fn deliver(&mut self, delivery: Delivery, now: Timestamp) {
        if let Some(gave_way) = self.outbox.push(delivery, now) {
            tracing::warn!(route = %gave_way.route, "too many deliveries wait; the oldest is given up");
            self.journal.delivery(gave_way);
        }
    }
}

impl Inner {
    pub(super) fn perform(&self, desk: &mut Desk, effect: Effect, now: Timestamp) {
        match effect {
            Effect::Changed(alert, step) => {
                self.tell(&alert, step);
                desk.journal.alert(alert);
                self.to_write.notify_one();
            }
            Effect::Notify(alert, notice) => self.notify(desk, &alert, notice, now),
        }
    }

    fn tell(&self, alert: &Alert, step: Step) {
        let kind = match step {
            Step::Opened | Step::Reopened => kind::ALERT_OPENED,
            Step::Updated | Step::Acknowledged => kind::ALERT_UPDATED,
            Step::Closed => kind::ALERT_CLOSED,
        };
        if step != Step::Updated {
            tracing::info!(
                alert = %alert.id,
                kind = %alert.kind(),
                severity = %alert.kind().severity(),
                client = %alert.client,
                channel = alert.key.subject.channel().map(tracing::field::display),
                state = %alert.state(),
                detail = alert.detail,
                "an alert changed"
            );
        }
        self.hub.publish(Event {
            kind,
            client: Some(alert.client),
            channel: alert.key.subject.channel(),
            data: alert.to_json(),
        });
    }

    /// Makes a delivery for each route that wants to know.
    pub(super) fn notify(&self, desk: &mut Desk, alert: &Alert, notice: Notice, now: Timestamp) {
        let routes = self.routes();
        let wanting = routes
            .iter()
            .filter(|stored| stored.route.wants(alert, operator()));
        for stored in wanting {
            let id = DeliveryId::from(Uuid::now_v7());
            let route = (stored.route.id, stored.route.client);
            let delivery = Delivery::new(id, route, alert, notice, now);
            desk.journal.delivery(delivery.clone());
            desk.deliver(delivery, now);
        }
        self.to_write.notify_one();
        self.to_deliver.notify_one();
    }
}

/// Lets time pass: what is due by then is decided. Never ends.
pub(super) async fn run(inner: &Inner) -> Infallible {
    loop {
        let due = inner.desk().alerts.next_due();
        tokio::select! {
            () = inner.to_wait.notified() => {}
            () = sleep_until(due) => inner.signal(Signal::Tick),
        }
    }
}

/// Returns at `due`; never when there is nothing due. A clock that was set is looked at again.
pub(super) async fn sleep_until(due: Option<Timestamp>) {
    const LOOK_AGAIN: Duration = Duration::from_secs(60);
    let Some(due) = due else {
        return std::future::pending().await;
    };
    while let Ok(left) = Duration::try_from(due.duration_since(Timestamp::now()))
        && !left.is_zero()
    {
        // Rounded up: a timer that ends too early would be set again and again.
        let left = left.min(LOOK_AGAIN) + Duration::from_millis(1);
        tokio::time::sleep(left).await;
    }
}

/// Now, as exactly as the database keeps it, so that what is told is what is read later.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
