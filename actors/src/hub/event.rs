//! What is published, under which id, and who wants it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, ClientId};
use serde_json::Value;

pub use playout_domain::event::kind;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What kind of thing, one of [`kind`].
    pub kind: &'static str,
    /// Whose; nothing: the operator's alone.
    pub client: Option<ClientId>,
    /// On which channel.
    pub channel: Option<ChannelId>,
    /// What is told about it.
    pub data: Value,
}

/// The id of a published event: `<run of the daemon>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The run of the daemon that published it.
    pub(super) boot: u64,
    /// Its place in the order of that run, from 1.
    pub(super) number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.boot, self.number)
    }
}

/// A text that is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of an event")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (boot, number) = text.split_once('-').ok_or(InvalidEventId)?;
        let boot = u64::from_str_radix(boot, 16).map_err(|_| InvalidEventId)?;
        let number = number.parse().map_err(|_| InvalidEventId)?;
        Ok(Self { boot, number })
    }
}

/// An event as it was published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its id.
    pub id: EventId,
    /// When it was published.
    pub at: Timestamp,
    /// What kind of thing, one of [`kind`].
    pub kind: &'static str,
    /// Whose; nothing: the operator's alone.
    pub client: Option<ClientId>,
    /// On which channel.
    pub channel: Option<ChannelId>,
    /// What is told about it.
    pub data: Value,
    /// `data` as one line of JSON: written once for all subscribers.
    pub json: String,
}

impl Published {
    pub(super) fn new(id: EventId, at: Timestamp, event: Event) -> Self {
        let Event {
            kind,
            client,
            channel,
            data,
        } = event;
        let json = data.to_string();
        Self {
            id,
            at,
            kind,
            client,
            channel,
            data,
            json,
        }
    }

    /// [`Published::data`] as listeners are told it: with the channel and the time where they are not in it, for whoever
    /// follows many channels has to tell them apart.
    pub fn told(&self) -> String {
        let mut members = String::new();
        if let Some(channel) = self.channel
            && self.data.get("channelId").is_none()
        {
            members = format!("\"channelId\":\"{channel}\",");
        }
        if self.data.get("at").is_none() {
            members.push_str(&format!("\"at\":\"{}\",", self.at));
        }
        match self.json.strip_prefix('{') {
            Some("}") => format!("{{{}}}", members.trim_end_matches(',')),
            Some(rest) => format!("{{{members}{rest}"),
            None => self.json.clone(),
        }
    }
}

/// Which events a subscriber wants. The default wants all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this client's.
    pub client: Option<ClientId>,
    /// Only of this channel.
    pub channel: Option<ChannelId>,
    /// Only these kinds; nothing: every kind.
    pub kinds: Option<&'static [&'static str]>,
}

impl Filter {
    /// Whether `event` is wanted. Everybody wants a reset.
    pub fn wants(&self, event: &Published) -> bool {
        event.kind == kind::RESET
            || (self
                .client
                .is_none_or(|client| event.client == Some(client))
                && self
                    .channel
                    .is_none_or(|channel| event.channel == Some(channel))
                && self.kinds.is_none_or(|kinds| kinds.contains(&event.kind)))
    }
}
