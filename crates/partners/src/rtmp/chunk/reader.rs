//! Puts messages together from the chunks that a server sends.
//!
//! Hostile input: a message has at most 64 KiB (4 MiB where media is expected), at most 32 chunk streams are open, memory grows only by
//! what has come in. What the standard does not allow ends the reading.

use std::collections::BTreeMap;

use super::{EXTENDED, FIRST_CHUNK_SIZE, Message, kind};

/// Bytes of a message at most; what servers say to a publisher is a tenth of it.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;
/// The same where pictures are expected.
const MAX_MEDIA: usize = 4 * 1024 * 1024;
/// Chunk streams in use at most.
pub(super) const MAX_STREAMS: usize = 32;

/// Why reading cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::rtmp) enum ChunkError {
    /// §5.3.1.2.1: a chunk stream starts with a whole header.
    #[error("a chunk stream begins without a whole header")]
    Unstarted,
    /// §5.3: the chunks of one message follow one another on their chunk stream.
    #[error("a message begins inside another")]
    Interrupted,
    /// A message longer than is read.
    #[error("a message of {0} bytes, which are not read")]
    TooLong(usize),
    /// More chunk streams than are read.
    #[error("more than {MAX_STREAMS} chunk streams")]
    TooManyStreams,
    /// A control message that is none.
    #[error("a control message of kind {0} that is not valid")]
    Control(u8),
}

/// Reads a chunk stream, whose bytes may come in pieces of any size.
pub(in crate::rtmp) struct ChunkReader {
    /// What came in and is not read yet: less than one chunk, once [`Self::next`] has answered `None`.
    buffer: Vec<u8>,
    /// Bytes of a message in one chunk, as the server set it.
    chunk_size: usize,
    /// Bytes of a message at most.
    longest: usize,
    /// What is known of each chunk stream.
    streams: BTreeMap<u32, Stream>,
}

/// One chunk stream: its last header, and how much of its message has come.
#[derive(Default)]
struct Stream {
    header: Header,
    /// Nothing between two messages.
    partial: Option<Vec<u8>>,
}

/// A message header (§5.3.1.2), missing fields filled in from the one before.
#[derive(Debug, Clone, Default)]
struct Header {
    timestamp: u32,
    /// The last timestamp delta, or the last whole timestamp where none came since.
    delta: u32,
    /// Whether the timestamp or delta was an extended one.
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            chunk_size: FIRST_CHUNK_SIZE,
            longest: MAX_MESSAGE,
            streams: BTreeMap::new(),
        }
    }
}

impl ChunkReader {
    /// From now on messages may be as long as pictures are.
    pub(in crate::rtmp) fn expect_media(&mut self) {
        self.longest = MAX_MEDIA;
    }

    /// Takes bytes. To be read with [`Self::next`] until that answers `None`, before more are taken.
    pub(in crate::rtmp) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more bytes come. Set Chunk Size and Abort Message are
    /// obeyed, and answered like all others.
    pub(in crate::rtmp) fn next(&mut self) -> Result<Option<Message>, ChunkError> {
        while let Some(chunk) = self.first_chunk()? {
            let stream = self.streams.entry(chunk.stream).or_default();
            stream.header = chunk.header;
            let mut message = stream.partial.take().unwrap_or_default();
            message.extend_from_slice(&self.buffer[chunk.head..chunk.end]);
            self.buffer.drain(..chunk.end);
            if message.len() < stream.header.length {
                stream.partial = Some(message);
                continue;
            }
            let message = Message {
                chunk_stream: chunk.stream,
                kind: stream.header.kind,
                timestamp: stream.header.timestamp,
                stream: stream.header.stream,
                payload: message,
            };
            self.obey(&message)?;
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// The chunk with which the buffer begins, when all of it is there.
    fn first_chunk(&self) -> Result<Option<Chunk>, ChunkError> {
        let mut bytes = Bytes(&self.buffer);
        let Some((format, id)) = bytes.basic_header() else {
            return Ok(None);
        };
        let known = self.streams.get(&id);
        if known.is_none() && format != 0 {
            return Err(ChunkError::Unstarted);
        }
        if known.is_none() && self.streams.len() >= MAX_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        let before = known
            .map(|stream| stream.header.clone())
            .unwrap_or_default();
        let begun = known.and_then(|stream| stream.partial.as_ref().map(Vec::len));
        if begun.is_some() && format != 3 {
            return Err(ChunkError::Interrupted);
        }
        let Some(header) = bytes.message_header(format, &before, begun.is_some()) else {
            return Ok(None);
        };
        if header.length > self.longest {
            return Err(ChunkError::TooLong(header.length));
        }
        let head = self.buffer.len() - bytes.0.len();
        let payload = (header.length - begun.unwrap_or(0)).min(self.chunk_size);
        let chunk = Chunk {
            stream: id,
            header,
            head,
            end: head + payload,
        };
        Ok((chunk.end <= self.buffer.len()).then_some(chunk))
    }

    /// Does what a message to the chunk stream itself asks for (§5.4.1, §5.4.2).
    fn obey(&mut self, message: &Message) -> Result<(), ChunkError> {
        let number = || match message.payload.first_chunk() {
            Some(bytes) => Ok(u32::from_be_bytes(*bytes)),
            None => Err(ChunkError::Control(message.kind)),
        };
        match message.kind {
            kind::CHUNK_SIZE => match number()? {
                // The first bit is zero; a size above that of any message is as good as any.
                size @ 1..=0x7fff_ffff => self.chunk_size = size as usize,
                _ => return Err(ChunkError::Control(message.kind)),
            },
            kind::ABORT => {
                if let Some(stream) = self.streams.get_mut(&number()?) {
                    stream.partial = None;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where a chunk lies in the buffer, and what it belongs to.
struct Chunk {
    stream: u32,
    header: Header,
    head: usize,
    end: usize,
}

/// Takes fields off the front of bytes; `None` where they are not all there yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn take_u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.take()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// The format of the message header and the chunk stream's id (§5.3.1.1).
    fn basic_header(&mut self) -> Option<(u8, u32)> {
        let [first] = self.take()?;
        let id = match first & 0x3f {
            0 => {
                let [second] = self.take()?;
                64 + u32::from(second)
            }
            1 => {
                let [second, third] = self.take()?;
                64 + u32::from(second) + 256 * u32::from(third)
            }
            id => id.into(),
        };
        Some((first >> 6, id))
    }

    /// The message header and the extended timestamp (§5.3.1.2, §5.3.1.3). `resumes`: the chunk is not
    /// the first of its message.
    fn message_header(&mut self, format: u8, before: &Header, resumes: bool) -> Option<Header> {
        let mut header = before.clone();
        let mut time = before.delta;
        if format < 3 {
            time = self.take_u24()?;
            header.extended = time == EXTENDED;
        }
        if format < 2 {
            header.length = self.take_u24()? as usize;
            [header.kind] = self.take()?;
        }
        if format == 0 {
            header.stream = u32::from_le_bytes(self.take()?);
        }
        if header.extended {
            time = u32::from_be_bytes(self.take()?);
        }
        if !resumes {
            header.delta = time;
            header.timestamp = match format {
                0 => time,
                _ => before.timestamp.wrapping_add(time),
            };
        }
        Some(header)
    }
}
