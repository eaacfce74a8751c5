//! Cuts messages into chunks, each with the shortest header that says all (RTMP 1.0 §5.3.1.2).

use std::collections::BTreeMap;

use super::{EXTENDED, FIRST_CHUNK_SIZE, Message, kind};

/// Writes a chunk stream.
#[derive(Debug)]
pub(in crate::rtmp) struct ChunkWriter {
    /// Bytes of a message in one chunk, as the other side was told.
    chunk_size: usize,
    /// The last header on each chunk stream.
    last: BTreeMap<u32, Last>,
}

/// What the other side fills missing fields in from.
#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    /// The last delta; nothing after a whole timestamp.
    delta: Option<u32>,
    length: usize,
    kind: u8,
    stream: u32,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self {
            chunk_size: FIRST_CHUNK_SIZE,
            last: BTreeMap::new(),
        }
    }
}

impl ChunkWriter {
    /// Tells the other side a new chunk size, from 1 to 16 777 215 bytes, and keeps to it from then on
    /// (§5.4.1).
    pub(in crate::rtmp) fn set_chunk_size(&mut self, out: &mut Vec<u8>, size: u32) {
        let size = size.clamp(1, 0xff_ffff);
        self.write(out, &Message::control(kind::CHUNK_SIZE, size.to_be_bytes()));
        self.chunk_size = size as usize;
    }

    /// Writes `message` at the end of `out`.
    pub(in crate::rtmp) fn write(&mut self, out: &mut Vec<u8>, message: &Message) {
        let last = self.last.get(&message.chunk_stream);
        let (format, delta) = shortest(message, last);
        let time = delta.unwrap_or(message.timestamp);
        let extended = (time >= EXTENDED).then_some(time);

        basic_header(out, format, message.chunk_stream);
        if format < 3 {
            push_u24(out, time.min(EXTENDED));
        }
        if format < 2 {
            push_u24(out, message.payload.len() as u32);
            out.push(message.kind);
        }
        if format == 0 {
            out.extend(message.stream.to_le_bytes());
        }
        out.extend(extended.iter().flat_map(|time| time.to_be_bytes()));

        for (n, chunk) in message.payload.chunks(self.chunk_size).enumerate() {
            if n > 0 {
                basic_header(out, 3, message.chunk_stream);
                out.extend(extended.iter().flat_map(|time| time.to_be_bytes()));
            }
            out.extend(chunk);
        }
        self.last.insert(
            message.chunk_stream,
            Last {
                timestamp: message.timestamp,
                delta,
                length: message.payload.len(),
                kind: message.kind,
                stream: message.stream,
            },
        );
    }
}

/// The format of the header, and the delta where it holds one. A message never begins with format 3 right
/// after a whole timestamp: implementations differ on what its delta is then.
fn shortest(message: &Message, last: Option<&Last>) -> (u8, Option<u32>) {
    let Some(last) = last.filter(|last| last.stream == message.stream) else {
        return (0, None);
    };
    let Some(delta) = message.timestamp.checked_sub(last.timestamp) else {
        return (0, None);
    };
    let format = match (last.length, last.kind) == (message.payload.len(), message.kind) {
        false => 1,
        true if last.delta == Some(delta) => 3,
        true => 2,
    };
    (format, Some(delta))
}

/// §5.3.1.1: one, two or three bytes.
fn basic_header(out: &mut Vec<u8>, format: u8, id: u32) {
    let format = format << 6;
    match id {
        0..64 => out.push(format | id as u8),
        64..320 => out.extend([format, (id - 64) as u8]),
        _ => {
            let [second, third, ..] = (id - 64).to_le_bytes();
            out.extend([format | 1, second, third]);
        }
    }
}

fn push_u24(out: &mut Vec<u8>, number: u32) {
    let [_, bytes @ ..] = number.to_be_bytes();
    out.extend(bytes);
}
