//! The store on real servers: what it keeps, what it refuses, and that a change is all or nothing.
#![allow(clippy::unwrap_used)]

#[path = "store/alert_routes.rs"]
mod alert_routes;
#[path = "store/alerts.rs"]
mod alerts;
#[path = "store/arrivals.rs"]
mod arrivals;
#[path = "store/as_run.rs"]
mod as_run;
#[path = "store/audit.rs"]
mod audit;
#[path = "store/channels.rs"]
mod channels;
#[path = "store/clients.rs"]
mod clients;
#[path = "store/clock.rs"]
mod clock;
#[path = "store/connections.rs"]
mod connections;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/given.rs"]
mod given;
#[path = "store/heartbeats.rs"]
mod heartbeats;
#[path = "store/history.rs"]
mod history;
#[path = "store/idempotency.rs"]
mod idempotency;
#[path = "store/integrity.rs"]
mod integrity;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/limits.rs"]
mod limits;
#[path = "store/media.rs"]
mod media;
#[path = "store/media_search.rs"]
mod media_search;
#[path = "store/outages.rs"]
mod outages;
#[path = "store/rotation.rs"]
mod rotation;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/secrets.rs"]
mod secrets;
#[path = "store/sessions.rs"]
mod sessions;
#[path = "store/standby.rs"]
mod standby;
#[path = "store/subtitles.rs"]
mod subtitles;
#[path = "store/tokens.rs"]
mod tokens;
#[path = "store/verify.rs"]
mod verify;
#[path = "store/webhooks.rs"]
mod webhooks;
