//! What an alert is about.

use std::fmt;
use std::str::FromStr;

use crate::alert::AlertKind;
use crate::ids::{AlertRouteId, ChannelId, DestinationId, MediaId, WatchedFolderId, WebhookId};

/// What an alert is about. Its text form is what the database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The daemon as a whole, or something that it leans on.
    Daemon,
    /// A channel.
    Channel(ChannelId),
    /// An item as one channel plays it.
    Item(ChannelId, MediaId),
    /// An output of a channel.
    Output(ChannelId, DestinationId),
    /// An item of the library.
    Media(MediaId),
    /// A watched folder.
    Folder(WatchedFolderId),
    /// An alert route.
    Route(AlertRouteId),
    /// A webhook.
    Webhook(WebhookId),
}

impl Subject {
    /// The channel that it belongs to.
    pub const fn channel(self) -> Option<ChannelId> {
        match self {
            Self::Channel(channel) | Self::Item(channel, _) | Self::Output(channel, _) => {
                Some(channel)
            }
            Self::Daemon | Self::Media(_) | Self::Folder(_) | Self::Route(_) | Self::Webhook(_) => {
                None
            }
        }
    }

    /// The item.
    pub const fn media(self) -> Option<MediaId> {
        match self {
            Self::Item(_, media) | Self::Media(media) => Some(media),
            Self::Daemon
            | Self::Channel(_)
            | Self::Output(..)
            | Self::Folder(_)
            | Self::Route(_)
            | Self::Webhook(_) => None,
        }
    }

    /// The output.
    pub const fn destination(self) -> Option<DestinationId> {
        match self {
            Self::Output(_, destination) => Some(destination),
            _ => None,
        }
    }

    /// The watched folder.
    pub const fn folder(self) -> Option<WatchedFolderId> {
        match self {
            Self::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    /// The alert route.
    pub const fn route(self) -> Option<AlertRouteId> {
        match self {
            Self::Route(route) => Some(route),
            _ => None,
        }
    }

    /// The webhook.
    pub const fn webhook(self) -> Option<WebhookId> {
        match self {
            Self::Webhook(webhook) => Some(webhook),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("daemon"),
            Self::Channel(channel) => write!(f, "channel/{channel}"),
            Self::Item(channel, media) => write!(f, "channel/{channel}/item/{media}"),
            Self::Output(channel, output) => write!(f, "channel/{channel}/output/{output}"),
            Self::Media(media) => write!(f, "media/{media}"),
            Self::Folder(folder) => write!(f, "folder/{folder}"),
            Self::Route(route) => write!(f, "route/{route}"),
            Self::Webhook(webhook) => write!(f, "webhook/{webhook}"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        fn id<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
            text.parse().map_err(|wrong: T::Err| wrong.to_string())
        }
        match text.split('/').collect::<Vec<_>>()[..] {
            ["daemon"] => Ok(Self::Daemon),
            ["channel", channel] => Ok(Self::Channel(id(channel)?)),
            ["channel", channel, "item", media] => Ok(Self::Item(id(channel)?, id(media)?)),
            ["channel", channel, "output", output] => Ok(Self::Output(id(channel)?, id(output)?)),
            ["media", media] => Ok(Self::Media(id(media)?)),
            ["folder", folder] => Ok(Self::Folder(id(folder)?)),
            ["route", route] => Ok(Self::Route(id(route)?)),
            ["webhook", webhook] => Ok(Self::Webhook(id(webhook)?)),
            _ => Err(format!("{text:?} is no subject of an alert")),
        }
    }
}

/// What makes two troubles the same: kind and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What kind of trouble.
    pub kind: AlertKind,
    /// With what.
    pub subject: Subject,
}

impl Key {
    /// This kind of trouble with that.
    pub const fn new(kind: AlertKind, subject: Subject) -> Self {
        Self { kind, subject }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_subject_is_read_from_its_text() {
        let id = |n| Uuid::from_u128(n);
        let (channel, media) = (ChannelId::from(id(1)), MediaId::from(id(2)));
        for subject in [
            Subject::Daemon,
            Subject::Channel(channel),
            Subject::Item(channel, media),
            Subject::Output(channel, DestinationId::from(id(3))),
            Subject::Media(media),
            Subject::Folder(WatchedFolderId::from(id(5))),
            Subject::Route(AlertRouteId::from(id(4))),
            Subject::Webhook(WebhookId::from(id(6))),
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for wrong in ["", "channel", "channel/7", "channel/7/x/8", "daemon/"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
