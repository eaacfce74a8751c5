//! What is published, under which id, and who wants it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, ClientId};
use serde_json::Value;

/// The kinds of events there are.
pub mod kind {
    /// A channel was created.
    pub const CHANNEL_CREATED: &str = "channel.created";
    /// A channel's configuration was changed.
    pub const CHANNEL_UPDATED: &str = "channel.updated";
    /// A channel was deleted.
    pub const CHANNEL_DELETED: &str = "channel.deleted";
    /// A channel is stored damaged and was left off air.
    pub const CHANNEL_QUARANTINED: &str = "channel.quarantined";
    /// A channel was taken over from a daemon that has gone.
    pub const CHANNEL_TAKEN: &str = "channel.taken";
    /// A channel has left the air here: another daemon has it, or may have it.
    pub const CHANNEL_LOST: &str = "channel.lost";
    /// A channel's status changed.
    pub const CHANNEL_STATUS: &str = "channel.status";
    /// A channel published a segment.
    pub const CHANNEL_SEGMENT: &str = "channel.segment";
    /// A channel on air reports how it does.
    pub const CHANNEL_HEARTBEAT: &str = "channel.heartbeat";
    /// Something else is on air.
    pub const CHANNEL_ONAIR: &str = "channel.onair";
    /// A failure was handled.
    pub const CHANNEL_RECOVERY: &str = "channel.recovery";
    /// An RTMP output does something else.
    pub const OUTPUT_STATUS: &str = "output.status";
    /// An RTMP output failed too often and is tried slowly.
    pub const OUTPUT_SUSPENDED: &str = "output.suspended";
    /// An RTMP output that was suspended delivers again, or is not wanted any more.
    pub const OUTPUT_RESUMED: &str = "output.resumed";
    /// It was found out whether what an RTMP output sends is shown.
    pub const OUTPUT_FAR_END: &str = "output.farEnd";
    /// An item that failed is delivered again.
    pub const CHANNEL_RECOVERED: &str = "channel.recovered";
    /// An alert was raised, or came back.
    pub const ALERT_OPENED: &str = "alert.opened";
    /// An alert happened once more, or somebody knows of it.
    pub const ALERT_UPDATED: &str = "alert.updated";
    /// An alert is over.
    pub const ALERT_CLOSED: &str = "alert.closed";
    /// An item was accepted into the library.
    pub const MEDIA_IMPORTED: &str = "media.imported";
    /// An item is being prepared.
    pub const MEDIA_PROGRESS: &str = "media.progress";
    /// An item is prepared.
    pub const MEDIA_READY: &str = "media.ready";
    /// An item could not be prepared; it is transcoded live.
    pub const MEDIA_FAILED: &str = "media.failed";
    /// A job of the prepare queue is in another state.
    pub const MEDIA_JOB: &str = "media.job";
    /// What was prepared and nobody needed was removed.
    pub const MEDIA_COLLECTED: &str = "media.collected";
    /// Somebody has paused the prepare queue.
    pub const QUEUE_PAUSED: &str = "queue.paused";
    /// Somebody has the prepare queue go on.
    pub const QUEUE_RESUMED: &str = "queue.resumed";
    /// A file was not accepted into the library.
    pub const MEDIA_REFUSED: &str = "media.refused";
    /// What is said about an item was changed.
    pub const MEDIA_CHANGED: &str = "media.changed";
    /// The file of an item is gone from a watched folder.
    pub const MEDIA_MISSING: &str = "media.missing";
    /// A watched folder cannot be seen any more.
    pub const FOLDER_MISSING: &str = "folder.missing";
    /// A watched folder is there again.
    pub const FOLDER_FOUND: &str = "folder.found";
    /// A folder is watched no more.
    pub const FOLDER_REMOVED: &str = "folder.removed";
    /// An item was deleted from the library.
    pub const MEDIA_DELETED: &str = "media.deleted";
    /// The audit was tampered with.
    pub const AUDIT_BROKEN: &str = "audit.broken";
    /// A store is away or takes nothing new.
    pub const STORE_DEGRADED: &str = "store.degraded";
    /// A store works again.
    pub const STORE_RECOVERED: &str = "store.recovered";
    /// Heartbeats were lost: no store took them.
    pub const TELEMETRY_LOST: &str = "telemetry.lost";
    /// What waited is written: no more of it is lost.
    pub const TELEMETRY_RECOVERED: &str = "telemetry.recovered";
    /// What is done about the room on the daemon's disk is another thing now.
    pub const DISK_STAGE: &str = "disk.stage";
    /// Events were lost: read everything anew.
    pub const RESET: &str = "reset";
}

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
