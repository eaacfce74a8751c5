//! RTMP, as far as it takes to find out whether a destination works, and whether what was sent is shown
//! (Adobe's RTMP 1.0, AMF0).
//!
//! [`check`] does what an encoder does before the first picture: look up, connect, encrypt, shake hands,
//! ask for the app and, with [`Depth::Publish`], begin and end a stream without media. [`play`] does what a
//! viewer does, for a few seconds.
//!
//! - R1: what is written is read back, whatever the pieces.
//! - R2: nothing that a server sends makes it panic, wait beyond its limits or hold more than has come in.
//! - R3: a stream key is in no error, sentence or debug output.

mod amf0;
mod check;
mod chunk;
mod dialogue;
mod explain;
mod fault;
mod handshake;
mod play;
mod refusal;

pub use check::{Check, Depth, Limits, StreamName, check};
pub use play::{Play, Playing, play};
pub use refusal::{Reason, Refusal, Report, Step};
