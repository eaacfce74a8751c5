//! The data plane without its machinery: MPEG-TS in and out, GOPs, the splicer, HLS, FFmpeg's command
//! lines and probe results.
//!
//! Pure: bytes and numbers in, bytes and numbers out. No I/O, no clock, no randomness, no tasks.
//! The rules that this crate keeps are in `docs/ARCHITECTURE.md`, "The media path".

pub mod audio;
pub mod demux;
pub mod ffmpeg;
pub mod gop;
pub mod guide;
pub mod hls;
pub mod index;
pub mod loudness;
pub mod mux;
pub mod png;
pub mod prepare;
pub mod probe;
pub mod sidecar;
pub mod splice;
pub mod subtitle;
pub mod survey;
pub mod ts;
