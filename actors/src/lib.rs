//! The living tier: everything that starts, dies and is supervised.

pub mod admission;
pub mod alerts;
pub mod app;
pub mod as_run;
mod chance;
pub mod channels;
mod decisions;
pub mod disk;
pub mod error;
pub mod hub;
pub mod integrity;
mod leases;
pub mod library;
mod plans;
mod playout;
pub mod process;
pub mod rtmp;
pub mod stores;
pub mod supervise;
pub mod telemetry;
pub mod tree;
pub mod turns;
pub mod webhooks;

pub use alerts::{AlertsConfig, ErrorHandler};
pub use app::{App, AppConfig, StartError};
pub use channels::Channels;
pub use error::OpError;
pub use hub::Hub;
pub use library::Library;
pub use playout::{Aired, HlsOutput, PlayoutSettings, Served, SourceKind, Taps};
pub use webhooks::{Webhooks, WebhooksConfig};
