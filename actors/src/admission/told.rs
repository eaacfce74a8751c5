//! What is decided about places, told: in the audit of the client, and as an alert for as long as a claim waits. Whose claim
//! took a place is nothing to the client that gave it: that is in the operator's audit.

use std::fmt;

use playout_domain::admission::Kind;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::{AlertKind, ChannelId};
use playout_store::{NodeDecision, operator};
use serde_json::{Value, json};

use super::Claimant;
use crate::alerts::ErrorHandler;
use crate::decisions::Decisions;

/// A decision to be told.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) claimant: Claimant,
    pub(super) kind: Kind,
    pub(super) what: What,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Waits { place: usize },
    GaveWay { to: ChannelId, tier: u32 },
    GoesOn,
    Left,
}

impl Decided {
    /// What the audit says of it.
    fn words(&self) -> (&'static str, Value) {
        let of = self.kind.name();
        let tier = self.claimant.tier;
        match &self.what {
            What::Waits { place } => (
                "admission.wait",
                json!({ "claim": of, "tier": tier, "place": place }),
            ),
            What::GaveWay { tier: higher, .. } => (
                "admission.give_way",
                json!({ "claim": of, "tier": tier, "toTier": higher }),
            ),
            What::GoesOn => ("admission.go_on", json!({ "claim": of, "tier": tier })),
            What::Left => ("admission.leave", json!({ "claim": of, "tier": tier })),
        }
    }
}

/// What tells.
pub(super) struct Teller {
    pub(super) decisions: Decisions,
    pub(super) alerts: ErrorHandler,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl Teller {
    /// Tells one decision.
    pub(super) fn tell(&self, decided: &Decided) {
        tell_alerts(decided, &self.alerts);
        let (operation, detail) = decided.words();
        let Claimant {
            channel, client, ..
        } = decided.claimant;
        if let What::GaveWay { to, .. } = decided.what {
            let mut detail = detail.clone();
            detail["to"] = json!(to);
            self.decisions.note(NodeDecision {
                client: operator(),
                channel,
                operation,
                detail,
            });
        }
        self.decisions.note(NodeDecision {
            client,
            channel,
            operation,
            detail,
        });
    }

    /// A claim waits for nothing: an alert from before a crash is over.
    pub(super) fn has_place(&self, channel: ChannelId, kind: Kind) {
        self.alerts.recovered(key(channel, kind));
    }

    /// Closes what is open of claims that nobody has any more.
    pub(super) fn close_unless(&self, waits: impl Fn(ChannelId, Kind) -> bool) {
        for kind in Kind::ALL {
            for open in self.alerts.open_of(alert(kind)) {
                let channel = open.subject.channel();
                if !channel.is_some_and(|channel| waits(channel, kind)) {
                    self.alerts.recovered(open);
                }
            }
        }
    }
}

const fn alert(kind: Kind) -> AlertKind {
    match kind {
        Kind::Channel => AlertKind::ChannelWaiting,
        Kind::Transcode => AlertKind::TranscodeWaiting,
    }
}

const fn key(channel: ChannelId, kind: Kind) -> Key {
    Key::new(alert(kind), Subject::Channel(channel))
}

fn tell_alerts(decided: &Decided, alerts: &ErrorHandler) {
    let Claimant {
        channel,
        client,
        name,
        ..
    } = &decided.claimant;
    let key = key(*channel, decided.kind);
    let error = match &decided.what {
        What::GoesOn | What::Left => return alerts.recovered(key),
        What::Waits { place } => {
            format!("it waits in place {place} until there is room on the node")
        }
        What::GaveWay { tier, .. } => format!("it gave way to a channel of tier {tier}, and waits"),
    };
    alerts.raise(Report {
        key,
        client: *client,
        name: Some(name.clone()),
        error,
    });
}
