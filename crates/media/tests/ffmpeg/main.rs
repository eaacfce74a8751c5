//! The command lines of `playout_media::ffmpeg`, run by the real FFmpeg on real files.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod clips;
mod damage;
mod exact;
mod ladder;
mod logo;
mod loudness;
mod mapping;
mod overlay;
mod picture;
mod pixels;
mod run;
mod structure;
#[path = "../../../../tests/judge/mod.rs"]
mod verdict;
