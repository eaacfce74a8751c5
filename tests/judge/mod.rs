//! A strict judge of what a channel published: transport stream segments and playlists, by their bytes.
//!
//! It reads the standards alone (ISO/IEC 13818-1, ITU-T H.264, ISO/IEC 13818-7, RFC 8216) and shares
//! no code with what it judges. It never stops at the first fault: [`Judge::faults`] answers all.
//!
//! What a segment must be: whole packets; PAT, PMT and a key frame first; tables before every key
//! frame; continuity counters that step by one; every frame one frame after the one before it, in
//! presentation and in decoding order; every audio access unit 1920 ticks after the one before it;
//! sound within half a unit of the picture at every key frame; a PCR at least every 100 ms, never
//! after the decoding time of what follows; the same parameter sets throughout. At a discontinuity
//! the clocks and parameter sets begin anew, and nothing else does.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "several test binaries include it, each uses a part"
)]

mod playlist;
mod stream;

pub use playlist::{Playlist, PlaylistHistory, PlaylistSegment, playlist, read};
pub use stream::Judge;
