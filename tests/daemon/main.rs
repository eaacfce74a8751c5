//! The whole daemon as its users meet it: the real program, PostgreSQL, Redis, FFmpeg and Chromium.
//! What it publishes is judged by its bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub)]

mod clips;
mod daemon;
mod http;
#[path = "../judge/mod.rs"]
mod judge;
mod servers;
mod viewer;

mod api;
mod browser;
mod hls_output;
mod inputs;
mod live;
mod on_air;
mod recovery;
mod stores;
