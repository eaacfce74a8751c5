//! Everything that tells damage and tampering, looked at as it is at one moment, without a write: the
//! channels and their digests, the audit, the master key, and whether every sealed secret opens.

use std::fmt;

use playout_domain::{AlertRouteId, ChannelId, DestinationId, WebhookId};
use serde_json::{Value, json};

use crate::alert_routes;
use crate::audit::{self, AuditFault, ExportedHeads};
use crate::channels::{Quarantined, load, secrets};
use crate::database::attempt;
use crate::error::StoreError;
use crate::keys::{self, KeyState};
use crate::master_key::{self, KeySource};
use crate::session::{Client, Transaction};
use crate::vault::{KeyId, Keyring, Place};
use crate::{database, migrate, webhooks};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The key file does not fit the database: one sentence.
    Key(String),
    /// A channel is stored damaged.
    Channel(Quarantined),
    /// A sealed stream key does not open.
    Secret {
        /// Of which channel.
        channel: ChannelId,
        /// Of which of its destinations.
        destination: DestinationId,
        /// Why.
        reason: String,
    },
    /// The sealed secret of an alert route does not open.
    RouteSecret {
        /// Which route.
        route: AlertRouteId,
        /// Why.
        reason: String,
    },
    /// A sealed secret of a webhook does not open.
    WebhookSecret {
        /// Which webhook.
        webhook: WebhookId,
        /// Why.
        reason: String,
    },
    /// The sealed secrets cannot be read: one sentence.
    Secrets(String),
    /// A chain of the audit was tampered with.
    Audit(AuditFault),
    /// A line of the exported heads is none.
    ExportedHead {
        /// Which, from 1.
        line: usize,
    },
}

impl Fault {
    /// As JSON: `kind`, `message`, and what it concerns.
    pub fn to_json(&self) -> Value {
        let message = self.to_string();
        match self {
            Self::Key(_) => json!({ "kind": "key", "message": message }),
            Self::Channel(damaged) => json!({
                "kind": "channel",
                "channelId": damaged.id,
                "name": damaged.name,
                "reason": damaged.reason,
                "message": message,
            }),
            Self::Secret {
                channel,
                destination,
                reason,
            } => json!({
                "kind": "secret",
                "channelId": channel,
                "destinationId": destination,
                "reason": reason,
                "message": message,
            }),
            Self::RouteSecret { route, reason } => json!({
                "kind": "secret",
                "alertRouteId": route,
                "reason": reason,
                "message": message,
            }),
            Self::WebhookSecret { webhook, reason } => json!({
                "kind": "secret",
                "webhookId": webhook,
                "reason": reason,
                "message": message,
            }),
            Self::Secrets(_) => json!({ "kind": "secret", "message": message }),
            Self::Audit(fault) => json!({
                "kind": "audit",
                "clientId": fault.client,
                "client": fault.name,
                "fault": fault.what.map(|what| what.name()),
                "seq": fault.what.map(|what| what.seq()),
                "message": message,
            }),
            Self::ExportedHead { line } => {
                json!({ "kind": "exportedHead", "line": line, "message": message })
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(sentence) | Self::Secrets(sentence) => f.write_str(sentence),
            Self::Channel(Quarantined {
                id, name, reason, ..
            }) => match name {
                Some(name) => write!(f, "channel {id} ({name}): {reason}"),
                None => write!(f, "channel {id}: {reason}"),
            },
            Self::Secret {
                channel,
                destination,
                reason,
            } => write!(
                f,
                "channel {channel}: the stream key of destination {destination}: {reason}"
            ),
            Self::RouteSecret { route, reason } => {
                write!(f, "alert route {route}: its secret: {reason}")
            }
            Self::WebhookSecret { webhook, reason } => {
                write!(f, "webhook {webhook}: its secret: {reason}")
            }
            Self::Audit(fault) => fault.fmt(f),
            Self::ExportedHead { line } => {
                write!(f, "exported audit heads: line {line} is not readable")
            }
        }
    }
}

/// What was looked at, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Channels, the damaged ones included.
    pub channels: u64,
    /// Chains of the audit.
    pub chains: u64,
    /// Entries of the audit.
    pub entries: u64,
    /// Exported heads that the audit was held against.
    pub exported: u64,
    /// Sealed secrets.
    pub secrets: u64,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
    /// What is no fault but wants to be done: a sentence each.
    pub notes: Vec<String>,
}

/// Looks at everything in the database at `database_url`; `exported` was read before this is called.
///
/// # Errors
/// [`StoreError::Setup`] when it is not a database of this build; [`StoreError::Unavailable`].
pub async fn verify(
    database_url: &str,
    source: &KeySource,
    exported: &ExportedHeads,
) -> Result<Verification, StoreError> {
    let mut client = database::reach(&database::settings(database_url)?).await?;
    let tx = one_moment(&mut client).await?;
    if !migrate::version(&tx).await?.is_present() {
        return Err(StoreError::Setup(
            "the database is older than this playoutd: start the daemon once, which brings it up"
                .to_owned(),
        ));
    }
    let mut report = Verification {
        exported: exported.len() as u64,
        ..Verification::default()
    };
    let loaded = load(&tx).await?;
    report.channels = (loaded.channels.len() + loaded.quarantined.len()) as u64;
    let damaged = loaded.quarantined.into_iter().map(Fault::Channel);
    report.faults.extend(damaged);
    look_at_secrets(&tx, source, &mut report).await?;
    let audit = audit::verify(&tx, exported).await?;
    (report.chains, report.entries) = (audit.chains, audit.entries);
    report
        .faults
        .extend(audit.faults.into_iter().map(Fault::Audit));
    let unreadable = exported.unreadable.iter();
    report
        .faults
        .extend(unreadable.map(|line| Fault::ExportedHead { line: *line }));
    Ok(report)
}

/// A transaction that sees one moment and writes nothing.
pub(crate) async fn one_moment(client: &mut Client) -> Result<Transaction<'_>, StoreError> {
    // Nothing is in a hurry, and nothing may be cut off half-way.
    let patient = "SET statement_timeout = 0; SET timezone = 'UTC'";
    client.batch_execute(patient).await?;
    Ok(client.snapshot().await?)
}

async fn look_at_secrets(
    tx: &Transaction<'_>,
    source: &KeySource,
    report: &mut Verification,
) -> Result<(), StoreError> {
    let ring = match master_key::read(source) {
        Ok(keys) => Keyring::new(&keys),
        Err(error) => {
            report.faults.push(Fault::Key(error.to_string()));
            Keyring::new(&[])
        }
    };
    let known = keys::known(tx).await?;
    let retired = |id: KeyId| {
        known
            .iter()
            .any(|key| key.id == id && key.state == KeyState::Retired)
    };
    if !known.iter().any(|key| key.state == KeyState::Sealing) {
        let sentence = "the database names no master key that seals";
        report.faults.push(Fault::Key(sentence.to_owned()));
    }
    for key in known.iter().filter(|key| key.state != KeyState::Retired) {
        // That there is no key at all was said.
        if let Err(sentence) = key.is_held(&ring, source)
            && ring.ids().next().is_some()
        {
            report.faults.push(Fault::Key(sentence));
        }
    }
    if known.iter().any(|key| key.state == KeyState::Retiring) {
        let note =
            "a rotation of the master key was cut short: `playoutd rotate-key` goes on with it";
        report.notes.push(note.to_owned());
    }
    let unreadable =
        |damage: String| Fault::Secrets(format!("the sealed secrets cannot be read: {damage}"));
    // One fault for a key that is not at hand, not one for everything that it has sealed.
    let told = |sealed: &[u8]| {
        KeyId::of_sealed(sealed).is_some_and(|id| {
            !ring.holds(id) && !retired(id) && known.iter().any(|key| key.id == id)
        })
    };
    let opens = |place: Place, sealed: &[u8]| match told(sealed) {
        true => Ok(()),
        false => ring.open_sealed(place, sealed).map(drop),
    };
    match attempt(tx, async || secrets(tx).await).await? {
        Ok(keys) => {
            report.secrets += keys.len() as u64;
            for key in keys {
                if let Err(error) = opens(key.place, &key.sealed) {
                    report.faults.push(Fault::Secret {
                        channel: key.channel,
                        destination: key.destination,
                        reason: error.to_string(),
                    });
                }
            }
        }
        Err(damage) => report.faults.push(unreadable(damage.to_string())),
    }
    match attempt(tx, async || alert_routes::secrets(tx).await).await? {
        Ok(secrets) => {
            report.secrets += secrets.len() as u64;
            for secret in secrets {
                if let Err(error) = opens(secret.place, &secret.sealed) {
                    report.faults.push(Fault::RouteSecret {
                        route: secret.route,
                        reason: error.to_string(),
                    });
                }
            }
        }
        Err(damage) => report.faults.push(unreadable(damage.to_string())),
    }
    match attempt(tx, async || webhooks::secrets(tx).await).await? {
        Ok(secrets) => {
            report.secrets += secrets.len() as u64;
            for secret in secrets {
                if let Err(error) = opens(secret.place, &secret.sealed) {
                    report.faults.push(Fault::WebhookSecret {
                        webhook: secret.webhook,
                        reason: error.to_string(),
                    });
                }
            }
        }
        Err(damage) => report.faults.push(unreadable(damage.to_string())),
    }
    Ok(())
}
