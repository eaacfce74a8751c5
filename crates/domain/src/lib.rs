//! What the house talks about, and the decisions it takes: ids, units, configuration and its
//! validation, the life of a channel, the plan, limits.
//!
//! Pure: no tokio, no I/O, no clock, no randomness. Time (`jiff::Timestamp`) and chance are
//! arguments, so everything here is tested without a runtime and answers the same twice.

pub mod admission;
pub mod alert;
pub mod as_run;
pub mod backoff;
pub mod breaker;
pub mod channel;
pub mod config;
pub mod damage;
pub mod destination;
pub mod details;
pub mod disk;
pub mod event;
pub mod far_end;
pub mod feature;
pub mod health;
pub mod ids;
pub mod labels;
pub mod ladder;
pub mod language;
pub mod languages;
pub mod lifecycle;
pub mod limits;
pub mod logo;
pub mod loudness;
pub mod media;
pub mod output;
pub mod overlay;
pub mod pace;
pub mod plan;
pub mod plans;
pub mod prepare;
mod profile;
pub mod resolution;
pub mod resources;
pub mod schedule;
pub mod source;
pub mod treatment;
pub mod units;
pub mod version;
pub mod violation;
pub mod watch;
pub mod webhook;

pub use alert::{Alert, AlertKind, Severity};
pub use channel::{Channel, ChannelStatus, Desired};
pub use config::{ChannelConfig, Policy};
pub use damage::{Damage, Damaged};
pub use destination::{DestinationConfig, Platform, StreamKey};
pub use details::Details;
pub use ids::{
    AlertId, AlertRouteId, ArrivalId, AsRunId, ChannelId, ClientId, DeliveryId, DestinationId,
    HistoryId, MediaId, NodeId, RenditionId, SlotId, TokenId, WatchedFolderId, WebhookDeliveryId,
    WebhookId,
};
pub use ladder::{LowerRungs, MAX_RUNGS, Rung};
pub use language::Language;
pub use loudness::Loudness;
pub use media::{MediaItem, MediaStatus, Profile};
pub use plan::{Basis, Origin, Plan, PlanEntry, PlannedItem};
pub use resolution::Resolution;
pub use schedule::{Rotation, Schedule};
pub use treatment::Treatment;
pub use units::{BitsPerSecond, Frame, FrameRate, Pts33, Ticks90k, Timeline};
pub use violation::{Violation, Violations};
