//! The state machine of alerts: failures and recoveries go in, what is to be recorded and who is to be
//! told comes out. Time and fresh ids are arguments.
//!
//! Invariants:
//! - A1: of one key at most one alert is not closed.
//! - A2: an alert is raised by the n-th failure in a row, n being settled for its kind, or by something
//!   that lasts too long; recovery begins the count anew.
//! - A3: what has recovered has no open alert.
//! - A4: routes hear opened and closed in turn, and of a key at most once each within [`QUIET`]: what comes
//!   back within the quiet time is the same alert, told of only when it is still so at the end of it.
//! - A5: once the quiet time is over and nothing happens, what routes heard last is so.
//! - A6: at most [`MAX_ENTRIES`] keys are remembered; an open alert is not forgotten to make room.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Acknowledgement, Alert, AlertState, Key, detail};
use crate::ids::{AlertId, ChannelId, ClientId};

/// What comes back so soon after it was over is the same trouble, not told of again.
pub const QUIET: Duration = Duration::from_secs(600);

/// Keys remembered at most.
pub const MAX_ENTRIES: usize = 20_000;

/// What is known of a trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What kind, with what.
    pub key: Key,
    /// Whose it is.
    pub client: ClientId,
    /// What people call it.
    pub name: Option<String>,
    /// Why: a sentence.
    pub error: String,
}

/// What other parts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// It failed.
    Failed(Report),
    /// It is so now; an alert, when it is still so after this long. Said again, it changes nothing.
    Lasting(Report, Duration),
    /// It works.
    Recovered(Key),
    /// A channel is off air by its client's wish, or deleted: nothing of it can be failing.
    Gone(ChannelId),
    /// Somebody knows of an alert.
    Acknowledged {
        /// Which.
        id: AlertId,
        /// Who.
        by: String,
    },
    /// Time has passed: see [`Alerts::next_due`].
    Tick,
}

/// What became of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was raised.
    Opened,
    /// It came back within the quiet time.
    Reopened,
    /// It happened once more, or routes were told.
    Updated,
    /// Somebody knows.
    Acknowledged,
    /// It is over.
    Closed,
}

/// What routes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// It is so.
    Opened,
    /// It is over.
    Closed,
}

impl Notice {
    /// The type of the event, as receivers see it.
    pub const fn event(self) -> &'static str {
        match self {
            Self::Opened => "alert.opened",
            Self::Closed => "alert.closed",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To be recorded and published: the alert as it is now.
    Changed(Alert, Step),
    /// Routes are to be told.
    Notify(Alert, Notice),
}

/// What is known of one key.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// Failures in a row.
    failures: u32,
    /// What becomes an alert when it lasts until then.
    lasting: Option<(Timestamp, Report)>,
    /// The alert: open, or closed and remembered for the quiet time.
    alert: Option<Alert>,
    /// Until when routes hear nothing of it; nothing: they hear everything.
    quiet_until: Option<Timestamp>,
}

impl Entry {
    fn open(&self) -> Option<&Alert> {
        self.alert
            .as_ref()
            .filter(|alert| alert.state() != AlertState::Closed)
    }

    fn open_mut(&mut self) -> Option<&mut Alert> {
        self.alert
            .as_mut()
            .filter(|alert| alert.state() != AlertState::Closed)
    }

    /// When time alone changes something.
    fn due(&self) -> Option<Timestamp> {
        let lasting = self.lasting.as_ref().map(|(until, _)| *until);
        [lasting, self.quiet_until].into_iter().flatten().min()
    }

    /// The trouble is there: a new alert, or the one that was closed a moment ago.
    fn raise(
        &mut self,
        report: Report,
        now: Timestamp,
        fresh: &mut dyn FnMut() -> AlertId,
    ) -> Vec<Effect> {
        let count = u64::from(self.failures.max(1));
        let quiet = self.quiet_until.is_some_and(|until| now < until);
        if let Some(alert) = self.alert.as_mut().filter(|_| quiet) {
            alert.closed_at = None;
            alert.reopened = alert.reopened.saturating_add(1);
            alert.happened(count, &report, now);
            return vec![Effect::Changed(alert.clone(), Step::Reopened)];
        }
        self.quiet_until = None;
        let alert = Alert {
            id: fresh(),
            key: report.key,
            client: report.client,
            name: report.name,
            detail: detail(&report.error),
            occurrences: count,
            opened_at: now,
            last_at: now,
            reopened: 0,
            acknowledged: None,
            closed_at: None,
            told: true,
        };
        self.alert = Some(alert.clone());
        vec![
            Effect::Changed(alert.clone(), Step::Opened),
            Effect::Notify(alert, Notice::Opened),
        ]
    }

    /// The trouble is over.
    fn recover(&mut self, now: Timestamp, quiet: Duration) -> Vec<Effect> {
        self.failures = 0;
        self.lasting = None;
        let Some(alert) = self.open_mut() else {
            return Vec::new();
        };
        let now = now.max(alert.last_at);
        alert.closed_at = Some(now);
        alert.last_at = now;
        let told = std::mem::take(&mut alert.told);
        let alert = alert.clone();
        let mut effects = vec![Effect::Changed(alert.clone(), Step::Closed)];
        if told {
            self.quiet_until = Some(after(now, quiet));
            effects.push(Effect::Notify(alert, Notice::Closed));
        }
        effects
    }

    /// Time has passed.
    fn tick(&mut self, now: Timestamp, fresh: &mut dyn FnMut() -> AlertId) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.quiet_until.is_some_and(|until| until <= now) {
            self.quiet_until = None;
            match self.open_mut() {
                Some(alert) if !alert.told => {
                    alert.told = true;
                    effects.push(Effect::Changed(alert.clone(), Step::Updated));
                    effects.push(Effect::Notify(alert.clone(), Notice::Opened));
                }
                Some(_) => {}
                None => self.alert = None,
            }
        }
        if let Some((_, report)) = self.lasting.take_if(|(until, _)| *until <= now) {
            self.failures = self.failures.max(report.key.kind.after());
            if self.open().is_none() {
                effects.extend(self.raise(report, now, fresh));
            }
        }
        effects
    }

    /// Whether nothing is lost by forgetting it.
    fn is_idle(&self) -> bool {
        self.failures == 0 && self.lasting.is_none() && self.alert.is_none()
    }
}

impl Alert {
    fn happened(&mut self, count: u64, report: &Report, now: Timestamp) {
        self.occurrences = self.occurrences.saturating_add(count);
        self.detail = detail(&report.error);
        self.last_at = now.max(self.last_at);
        if report.name.is_some() {
            self.name.clone_from(&report.name);
        }
    }
}

/// Every trouble that is known.
#[derive(Debug, Clone)]
pub struct Alerts {
    entries: BTreeMap<Key, Entry>,
    quiet: Duration,
    /// Signals that found no room.
    dropped: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self::new(QUIET)
    }
}

impl Alerts {
    /// Nothing is known. What comes back within `quiet` after it was over is not told of again.
    pub fn new(quiet: Duration) -> Self {
        Self {
            entries: BTreeMap::new(),
            quiet,
            dropped: 0,
        }
    }

    /// Goes on with alerts that were open when the daemon ended. One that routes were not told of is
    /// told of at the end of a quiet time from `now`.
    pub fn restore(&mut self, open: impl IntoIterator<Item = Alert>, now: Timestamp) {
        for alert in open {
            let quiet_until = (!alert.told).then(|| after(now, self.quiet));
            let entry = Entry {
                failures: alert.kind().after(),
                lasting: None,
                quiet_until,
                alert: Some(alert.clone()),
            };
            self.entries.insert(alert.key, entry);
        }
    }

    /// Forgets everything about a channel, as if it had never been told: others look after it. Answers the
    /// alerts that were remembered.
    pub fn forget(&mut self, channel: ChannelId) -> Vec<AlertId> {
        let of_it = self
            .entries
            .extract_if(.., |key, _| key.subject.channel() == Some(channel));
        of_it
            .filter_map(|(_, entry)| Some(entry.alert?.id))
            .collect()
    }

    /// What follows from `signal` at `now`; `fresh` makes the id of an alert that is raised.
    pub fn on(
        &mut self,
        signal: Signal,
        now: Timestamp,
        mut fresh: impl FnMut() -> AlertId,
    ) -> Vec<Effect> {
        match signal {
            Signal::Failed(report) => self.failed(report, now, &mut fresh),
            Signal::Lasting(report, patience) => {
                let until = after(now, patience);
                if let Some(entry) = self.entry(report.key)
                    && entry.open().is_none()
                    && entry.lasting.is_none()
                {
                    entry.lasting = Some((until, report));
                }
                Vec::new()
            }
            Signal::Recovered(key) => self.recovered(key, now),
            Signal::Gone(channel) => {
                let of_it = |key: &&Key| key.subject.channel() == Some(channel);
                let keys: Vec<Key> = self.entries.keys().filter(of_it).copied().collect();
                let mut effects = Vec::new();
                for key in keys {
                    effects.extend(self.recovered(key, now));
                }
                effects
            }
            Signal::Acknowledged { id, by } => self.acknowledged(id, by, now),
            Signal::Tick => {
                let mut effects = Vec::new();
                for entry in self.entries.values_mut() {
                    if entry.due().is_some_and(|due| due <= now) {
                        effects.extend(entry.tick(now, &mut fresh));
                    }
                }
                self.entries.retain(|_, entry| !entry.is_idle());
                effects
            }
        }
    }

    /// When [`Signal::Tick`] would change something; nothing: not before another signal.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(Entry::due).min()
    }

    /// The alerts that are not closed, in the order of their keys.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.entries.values().filter_map(Entry::open)
    }

    /// How many keys are remembered.
    pub fn known(&self) -> usize {
        self.entries.len()
    }

    /// Signals that were dropped for want of room.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn failed(
        &mut self,
        report: Report,
        now: Timestamp,
        fresh: &mut dyn FnMut() -> AlertId,
    ) -> Vec<Effect> {
        let Some(entry) = self.entry(report.key) else {
            return Vec::new();
        };
        entry.failures = entry.failures.saturating_add(1);
        if let Some(alert) = entry.open_mut() {
            alert.happened(1, &report, now);
            return vec![Effect::Changed(alert.clone(), Step::Updated)];
        }
        if entry.failures < report.key.kind.after() {
            return Vec::new();
        }
        entry.raise(report, now, fresh)
    }

    fn recovered(&mut self, key: Key, now: Timestamp) -> Vec<Effect> {
        let Some(entry) = self.entries.get_mut(&key) else {
            return Vec::new();
        };
        let effects = entry.recover(now, self.quiet);
        if entry.is_idle() {
            self.entries.remove(&key);
        }
        effects
    }

    fn acknowledged(&mut self, id: AlertId, by: String, now: Timestamp) -> Vec<Effect> {
        let mut open = self.entries.values_mut().filter_map(Entry::open_mut);
        let Some(alert) = open.find(|alert| alert.id == id && alert.acknowledged.is_none()) else {
            return Vec::new();
        };
        alert.acknowledged = Some(Acknowledgement { at: now, by });
        vec![Effect::Changed(alert.clone(), Step::Acknowledged)]
    }

    /// The entry of a key; nothing when there is no room for another one.
    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        if !self.entries.contains_key(&key) && self.entries.len() >= MAX_ENTRIES {
            let spare = self
                .entries
                .iter()
                .find(|(_, entry)| entry.open().is_none())
                .map(|(key, _)| *key);
            let Some(spare) = spare else {
                self.dropped = self.dropped.saturating_add(1);
                return None;
            };
            self.entries.remove(&spare);
        }
        Some(self.entries.entry(key).or_default())
    }
}

/// `length` after `now`, or the end of time.
fn after(now: Timestamp, length: Duration) -> Timestamp {
    now.checked_add(length).unwrap_or(Timestamp::MAX)
}
