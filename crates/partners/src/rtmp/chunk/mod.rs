//! The chunk stream (RTMP 1.0 §5.3): messages cut into chunks, those of several chunk streams mixed.
//!
//! Pure: bytes in, messages out, and back.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

pub(super) use reader::{ChunkError, ChunkReader};
pub(super) use writer::ChunkWriter;

/// The size of chunks until a side says another (§5.4.1).
const FIRST_CHUNK_SIZE: usize = 128;
/// In place of a timestamp: the real one follows in 4 bytes of its own (§5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;

/// The chunk stream of protocol control messages (§5.4).
pub(super) const CONTROL: u32 = 2;

/// Kinds of messages (§5.4, §7.1).
pub(super) mod kind {
    /// Set Chunk Size
    pub(in crate::rtmp) const CHUNK_SIZE: u8 = 1;
    /// Abort Message
    pub(in crate::rtmp) const ABORT: u8 = 2;
    /// Acknowledgement
    pub(in crate::rtmp) const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Message
    pub(in crate::rtmp) const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size
    pub(in crate::rtmp) const WINDOW: u8 = 5;
    /// Set Peer Bandwidth
    pub(in crate::rtmp) const PEER_BANDWIDTH: u8 = 6;
    /// Sound
    pub(in crate::rtmp) const AUDIO: u8 = 8;
    /// Pictures
    pub(in crate::rtmp) const VIDEO: u8 = 9;
    /// A command in AMF3: a byte 0, then AMF0.
    pub(in crate::rtmp) const COMMAND_AMF3: u8 = 17;
    /// A command in AMF0
    pub(in crate::rtmp) const COMMAND: u8 = 20;
    /// Sound and pictures in one (§7.1.6)
    pub(in crate::rtmp) const AGGREGATE: u8 = 22;
}

/// One message. Debug output shows the length of its payload only: it may hold a stream key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The chunk stream it travels on: 2 … 65599.
    pub(super) chunk_stream: u32,
    /// What it is.
    pub(super) kind: u8,
    /// In milliseconds, wrapping.
    pub(super) timestamp: u32,
    /// The message stream it belongs to; 0 is the connection itself.
    pub(super) stream: u32,
    /// At most 16 777 215 bytes.
    pub(super) payload: Vec<u8>,
}

impl Message {
    /// A protocol control message (§5.4).
    pub(super) fn control(kind: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            chunk_stream: CONTROL,
            kind,
            timestamp: 0,
            stream: 0,
            payload: payload.into(),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Message(kind {}, chunk stream {}, stream {}, at {}, {} bytes)",
            self.kind,
            self.chunk_stream,
            self.stream,
            self.timestamp,
            self.payload.len()
        )
    }
}
