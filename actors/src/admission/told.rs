//! What is decided about places, told: in the audit of the client, and as an alert for as long as a claim waits.

use std::time::Duration;

use playout_domain::admission::Kind;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::{AlertKind, ChannelId};
use playout_store::{NodeDecision, Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Claimant;
use crate::alerts::ErrorHandler;

/// How soon that is tried again.
const AGAIN: Duration = Duration::from_secs(2);

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
            What::GaveWay { to, tier: higher } => (
                "admission.give_way",
                json!({ "claim": of, "tier": tier, "to": to, "toTier": higher }),
            ),
            What::GoesOn => ("admission.go_on", json!({ "claim": of, "tier": tier })),
            What::Left => ("admission.leave", json!({ "claim": of, "tier": tier })),
        }
    }
}

/// Tells decisions, one after another: what is decided later is told later.
pub(super) async fn tell(mut told: mpsc::Receiver<Decided>, store: Store, alerts: ErrorHandler) {
    while let Some(decided) = told.recv().await {
        tell_alerts(&decided, &alerts);
        let (operation, detail) = decided.words();
        let decision = NodeDecision {
            client: decided.claimant.client,
            channel: decided.claimant.channel,
            operation,
            detail,
        };
        while let Err(error) = store.audit_decision(&decision).await {
            if !matches!(error, StoreError::Unavailable(_)) {
                tracing::error!(%error, "a decision about who has a place on the node is not in the audit");
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn tell_alerts(decided: &Decided, alerts: &ErrorHandler) {
    let Claimant {
        channel,
        client,
        name,
        ..
    } = &decided.claimant;
    let kind = match decided.kind {
        Kind::Channel => AlertKind::ChannelWaiting,
        Kind::Transcode => AlertKind::TranscodeWaiting,
    };
    let key = Key::new(kind, Subject::Channel(*channel));
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
