//! A webhook: where a client wants events to be told, and which.
//!
//! [`Standing`] is how its receiver does; when a delivery is tried again, [`delivery`] says.

pub mod delivery;
mod standing;

pub use delivery::WebhookDelivery;
pub use standing::Standing;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::alert::route::WebhookUrl;
use crate::config::merge_patch;
use crate::event::{self, FREQUENT, kind};
use crate::ids::{ChannelId, ClientId, WebhookId};
use crate::labels::{Labels, Selector};
use crate::violation::{Fields, Violations, describe, quoted};

/// Webhooks that one client may have.
pub const MAX_WEBHOOKS: usize = 20;

/// What stands for every kind of event that is not [`FREQUENT`].
pub const EVERY: &str = "*";

/// Characters of a description at most.
pub const MAX_DESCRIPTION: usize = 200;

/// What a client chose for a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where it leads.
    pub url: WebhookUrl,
    /// The kinds of events that are told, [`EVERY`] among them.
    pub events: Vec<&'static str>,
    /// Whose events, of the client's channels.
    pub channels: Channels,
    /// Whether anything is told.
    pub enabled: bool,
    /// What people call it.
    pub description: String,
}

/// Which channels' events are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channels {
    /// Everything, also what happens on no channel.
    All,
    /// Only what happens on this one.
    One(ChannelId),
    /// Only what happens on those that the selector means, as it was written.
    Selected(String, Selector),
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub client: ClientId,
    /// Whether it hears what happens to everybody: made by the operator.
    pub all_clients: bool,
    /// What the client chose.
    pub config: WebhookConfig,
    /// Why the daemon has switched it off, where it has.
    pub disabled_reason: Option<String>,
    /// How its receiver does.
    pub standing: Standing,
    /// Until when what was signed with the secret before is signed with that, too.
    pub old_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts its changes: what `If-Match` compares.
    pub version: u64,
}

/// What is to be known of an event to judge whether it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'e> {
    /// What kind of thing.
    pub kind: &'e str,
    /// Whose; nothing: the operator's alone.
    pub client: Option<ClientId>,
    /// On which channel.
    pub channel: Option<ChannelId>,
    /// The channel's labels, where they are known.
    pub labels: Option<&'e Labels>,
}

impl WebhookConfig {
    /// Reads `{"url": …, "events": […]}` with what narrows it. Addresses that are not public, and `http://`, only
    /// when `allow_private`.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse(value: &Value, allow_private: bool) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let url = fields.required_parsed("url", |text| WebhookUrl::parse(text, allow_private));
        let events = read_events(&mut fields);
        let channel = fields.parsed("channelId", str::parse::<ChannelId>);
        let selector = fields.parsed("selector", |text| {
            Ok::<_, String>((text.to_owned(), text.parse::<Selector>()?))
        });
        if channel.is_some() && selector.is_some() {
            let message = "channelId is there already; one of the two narrows a webhook";
            fields.refuse("selector", message);
        }
        let enabled = fields.boolean("enabled", true);
        let description = fields
            .parsed("description", description_of)
            .unwrap_or_default();
        fields.finish();
        let channels = match (channel, selector) {
            (Some(channel), _) => Channels::One(channel),
            (None, Some((text, selector))) => Channels::Selected(text, selector),
            (None, None) => Channels::All,
        };
        match url {
            Some(url) => violations.or(Self {
                url,
                events,
                channels,
                enabled,
                description,
            }),
            None => Err(violations),
        }
    }

    /// This configuration with `patch` merged onto it (RFC 7396).
    ///
    /// # Errors
    /// Every violation of the result, each with its pointer.
    pub fn patched(&self, patch: &Value, allow_private: bool) -> Result<Self, Violations> {
        if !patch.is_object() {
            let given = describe(patch);
            let message = format!("an object of changes is needed here, not {given}");
            return Err(Violations::one("", message));
        }
        Self::parse(&merge_patch(&self.to_json(), patch), allow_private)
    }

    /// What was chosen, as it can be written again.
    pub fn to_json(&self) -> Value {
        let mut chosen = json!({
            "url": self.url.as_str(),
            "events": self.events,
            "enabled": self.enabled,
            "description": self.description,
        });
        match &self.channels {
            Channels::All => {}
            Channels::One(channel) => chosen["channelId"] = json!(channel),
            Channels::Selected(text, _) => chosen["selector"] = text.as_str().into(),
        }
        chosen
    }

    /// Whether this kind of event is told, wherever it happens.
    pub fn names(&self, kind: &str) -> bool {
        let every = self.events.contains(&EVERY) && !FREQUENT.contains(&kind);
        kind == kind::RESET || every || self.events.contains(&kind)
    }
}

impl Webhook {
    /// Whether `event` is told here. Nobody hears of another client's, but the operator.
    pub fn wants(&self, event: Happened<'_>) -> bool {
        let theirs = self.all_clients || event.client == Some(self.client);
        let there = match &self.config.channels {
            Channels::All => true,
            Channels::One(channel) => event.channel == Some(*channel),
            Channels::Selected(_, selector) => {
                event.labels.is_some_and(|labels| selector.selects(labels))
            }
        };
        self.config.enabled && theirs && there && self.config.names(event.kind)
    }

    /// The webhook as the API answers it: never its secret.
    pub fn to_json(&self) -> Value {
        let mut told = self.config.to_json();
        told["id"] = json!(self.id);
        told["clientId"] = json!(self.client);
        told["allClients"] = json!(self.all_clients);
        told["disabledReason"] = json!(self.disabled_reason);
        told["failingSince"] = json!(self.standing.failing_since);
        told["oldSecretUntil"] = json!(self.old_secret_until);
        told["createdAt"] = json!(self.created_at);
        told["updatedAt"] = json!(self.updated_at);
        told
    }
}

/// The kinds that are told: at least one, each once.
fn read_events(fields: &mut Fields<'_, '_>) -> Vec<&'static str> {
    if fields.required("events").is_none() {
        return Vec::new();
    }
    let Some(given) = fields.list("events", event::ALL.len() + 1) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    for (n, value) in given.iter().enumerate() {
        match value
            .as_str()
            .ok_or_else(|| describe(value))
            .and_then(read_kind)
        {
            Ok(kind) if events.contains(&kind) => {}
            Ok(kind) => events.push(kind),
            Err(wrong) => {
                let pointer = format!("{}/{n}", fields.pointer_to("events"));
                let message = format!(
                    "{wrong} is no kind of event; docs/api.md lists them, and {EVERY:?} is all"
                );
                fields.violations().add(pointer, message);
            }
        }
    }
    if given.is_empty() {
        let message = format!("events is empty; {EVERY:?} stands for all that are not frequent");
        fields.refuse("events", message);
    }
    events
}

fn read_kind(text: &str) -> Result<&'static str, String> {
    match text {
        EVERY => Ok(EVERY),
        // It comes unasked, to whoever has lost something.
        kind::RESET => Err(quoted(text)),
        text => event::named(text).ok_or_else(|| quoted(text)),
    }
}

fn description_of(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length > MAX_DESCRIPTION {
        return Err(format!(
            "description has {length} characters; at most {MAX_DESCRIPTION} are allowed"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("description holds a control character; it is one line".to_owned());
    }
    Ok(text.to_owned())
}
