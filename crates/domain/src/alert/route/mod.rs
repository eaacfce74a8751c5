//! A route by which alerts are told: a webhook or a mailbox of one client, and which alerts go there.

mod mailbox;
mod webhook_url;

pub use mailbox::{InvalidMailbox, MAX_ADDRESS, Mailbox};
pub use webhook_url::{InvalidWebhookUrl, WebhookUrl};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Alert, AlertKind, Severity};
use crate::config::merge_patch;
use crate::ids::{AlertRouteId, ClientId};
use crate::version::written_at;
use crate::violation::{Fields, Violations, describe, quoted};

/// Routes that one client may have.
pub const MAX_ROUTES: usize = 50;

/// What the operator allows of routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// Webhooks at addresses that are not public, and without TLS.
    pub allow_private: bool,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To an HTTP endpoint, signed.
    Webhook(WebhookUrl),
    /// To a mailbox.
    Email(Mailbox),
}

impl Target {
    /// Its name in JSON and in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }
}

/// What a client chose for a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    /// Where it leads.
    pub target: Target,
    /// The least severity that is told.
    pub minimum: Severity,
    /// The kinds that are told; none: every kind.
    pub kinds: Vec<AlertKind>,
    /// Whether anything is told.
    pub enabled: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRoute {
    /// Its id.
    pub id: AlertRouteId,
    /// Whose it is.
    pub client: ClientId,
    /// What the client chose.
    pub config: RouteConfig,
    /// Why the daemon has switched it off, where it has.
    pub disabled_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl AlertRoute {
    /// Another with each change: the time of it, in microseconds.
    pub fn version(&self) -> u64 {
        written_at(self.updated_at)
    }
}

impl RouteConfig {
    /// Reads `{"type": "webhook", "url": …}` or `{"type": "email", "address": …}` with what is to be
    /// told there.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse(value: &Value, policy: RoutePolicy) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let kind = fields.required_parsed("type", |text| match text {
            "webhook" | "email" => Ok(text.to_owned()),
            other => Err(format!(
                "a route of type {} is not known; it is webhook or email",
                quoted(other)
            )),
        });
        let target = match kind.as_deref() {
            Some("webhook") => fields
                .required_parsed("url", |text| WebhookUrl::parse(text, policy.allow_private))
                .map(Target::Webhook),
            Some(_) => fields
                .required_parsed("address", str::parse)
                .map(Target::Email),
            // What else is in it cannot be judged without.
            None => return Err(violations),
        };
        let minimum = fields
            .parsed("minimumSeverity", str::parse)
            .unwrap_or_default();
        let kinds = read_kinds(&mut fields);
        let enabled = fields.boolean("enabled", true);
        fields.finish();
        match target {
            Some(target) => violations.or(Self {
                target,
                minimum,
                kinds,
                enabled,
            }),
            None => Err(violations),
        }
    }

    /// This configuration with `patch` merged onto it (RFC 7396). The type stays.
    ///
    /// # Errors
    /// Every violation of the result, each with its pointer.
    pub fn patched(&self, patch: &Value, policy: RoutePolicy) -> Result<Self, Violations> {
        if !patch.is_object() {
            let given = describe(patch);
            let message = format!("an object of changes is needed here, not {given}");
            return Err(Violations::one("", message));
        }
        if patch
            .get("type")
            .is_some_and(|kind| kind != self.target.name())
        {
            let message = format!(
                "the type of a route stays {}; make another route instead",
                self.target.name()
            );
            return Err(Violations::one("/type", message));
        }
        Self::parse(&merge_patch(&self.to_json(), patch), policy)
    }

    /// What was chosen, as it can be written again.
    pub fn to_json(&self) -> Value {
        let mut chosen = json!({
            "type": self.target.name(),
            "minimumSeverity": self.minimum,
            "kinds": self.kinds,
            "enabled": self.enabled,
        });
        match &self.target {
            Target::Webhook(url) => chosen["url"] = url.as_str().into(),
            Target::Email(mailbox) => chosen["address"] = mailbox.as_str().into(),
        }
        chosen
    }

    /// Whether an alert is bad enough, and of a kind that is told.
    pub fn takes(&self, kind: AlertKind) -> bool {
        self.enabled
            && kind.severity() >= self.minimum
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }
}

impl AlertRoute {
    /// Whether `alert` is told here: the client's routes hear what concerns the client, the operator's
    /// what concerns the operator; none hears of itself. `operator` is the operator's own client.
    pub fn wants(&self, alert: &Alert, operator: ClientId) -> bool {
        let audience = alert.kind().audience();
        let concerned = (audience.tells_client() && self.client == alert.client)
            || (audience.tells_operator() && self.client == operator);
        concerned && self.config.takes(alert.kind()) && alert.key.subject.route() != Some(self.id)
    }

    /// The route as the API answers it: never its secret.
    pub fn to_json(&self) -> Value {
        let mut told = self.config.to_json();
        told["id"] = json!(self.id);
        told["clientId"] = json!(self.client);
        told["disabledReason"] = json!(self.disabled_reason);
        told["createdAt"] = json!(self.created_at);
        told["updatedAt"] = json!(self.updated_at);
        told
    }
}

fn read_kinds(fields: &mut Fields<'_, '_>) -> Vec<AlertKind> {
    let given = fields.list("kinds", AlertKind::ALL.len()).unwrap_or(&[]);
    let mut kinds = Vec::new();
    for value in given {
        let read = match value.as_str() {
            Some(text) => text.parse::<AlertKind>(),
            None => Err(format!(
                "kinds holds {}; names of kinds are needed",
                describe(value)
            )),
        };
        match read {
            Ok(kind) if kinds.contains(&kind) => {}
            Ok(kind) => kinds.push(kind),
            Err(refusal) => fields.refuse("kinds", refusal),
        }
    }
    kinds
}
