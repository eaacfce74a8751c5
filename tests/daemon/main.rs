//! The whole daemon as its users meet it: the real program, PostgreSQL, Redis, FFmpeg and Chromium.
//! What it publishes is judged by its bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub)]

mod caller;
mod clips;
mod contract;
mod daemon;
mod http;
#[path = "../judge/mod.rs"]
mod judge;
mod numbers;
#[path = "../receiver/mod.rs"]
mod receiver;
mod servers;
mod sessions;
mod viewer;

mod admission;
mod alerts;
mod api;
mod as_run;
mod attack;
mod audit;
mod branding;
mod browser;
mod coming_in;
mod ctl;
mod damage;
mod far_end;
#[path = "../faults/mod.rs"]
mod faults;
mod guide;
mod hls_output;
mod idempotency;
mod inputs;
mod integrity;
mod isolation;
mod ladder;
mod leases;
mod lists;
mod live;
mod on_air;
mod openapi;
mod output_encode;
mod overlay;
mod plain;
mod preparing;
mod programme;
mod recovery;
mod resources;
mod rtmp;
mod schedule;
mod schemathesis;
mod stores;
mod storm;
mod subtitle_files;
mod subtitles;
mod tenants;
mod transport;
mod uploads;
mod versions;
mod webhooks;
