//! Identifiers: one type per kind of thing, so that a media id is never taken for a channel's.
//!
//! Each is a UUID (version 7 where the daemon makes it: unguessable and sorted by age). The pure
//! tier has no entropy: ids are made at the edge and passed in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A text that is not an id, with what it should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a {kind} id; an id is a UUID such as 0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11"
)]
pub struct InvalidId {
    given: String,
    kind: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The UUID beneath, for the database and the wire.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId {
                    given: text.chars().take(60).collect(),
                    kind: $kind,
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// A client: the owner of channels and media.
    ClientId,
    "client"
);
id!(
    /// A channel.
    ChannelId,
    "channel"
);
id!(
    /// An item of the media library.
    MediaId,
    "media"
);
id!(
    /// An RTMP destination of a channel.
    DestinationId,
    "destination"
);
id!(
    /// An access token (not its secret).
    TokenId,
    "token"
);
id!(
    /// One media item prepared into one profile.
    RenditionId,
    "rendition"
);

id!(
    /// A file on its way into the library.
    ArrivalId,
    "arrival"
);
id!(
    /// A folder whose files are imported as they come.
    WatchedFolderId,
    "watched folder"
);
id!(
    /// A daemon, among those that share a database.
    NodeId,
    "node"
);

id!(
    /// A wall-clock slot of a channel's schedule.
    SlotId,
    "slot"
);

id!(
    /// An alert.
    AlertId,
    "alert"
);
id!(
    /// A route by which alerts are told.
    AlertRouteId,
    "alert route"
);
id!(
    /// One telling of one alert by one route.
    DeliveryId,
    "alert delivery"
);
id!(
    /// A webhook: where a client wants events to be told.
    WebhookId,
    "webhook"
);
id!(
    /// One telling of one event by one webhook.
    WebhookDeliveryId,
    "webhook delivery"
);
id!(
    /// An entry of a channel's history.
    HistoryId,
    "history entry"
);

id!(
    /// An entry of an as-run log. Follows from what it tells of, so that one told twice is one.
    AsRunId,
    "as-run entry"
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_and_json_lead_back_to_the_same_id() {
        let id = ChannelId::from(Uuid::from_u128(0x0195_d1a4_7c1e_7a52_b6a4_5f1f_8e2f_9c11));
        assert_eq!(id.to_string().parse::<ChannelId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<ChannelId>(&json).unwrap(), id);
    }

    #[test]
    fn a_wrong_id_is_named_with_its_kind() {
        let refused = "channel-1".parse::<MediaId>().unwrap_err().to_string();
        assert!(
            refused.contains("\"channel-1\"") && refused.contains("media id"),
            "{refused}"
        );
    }
}
