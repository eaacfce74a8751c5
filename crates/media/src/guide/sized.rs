//! Text that is given up when it becomes too long, not when it is there.

use std::io;

use serde::Serialize;

/// A text would have been longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is longer than {most} bytes")]
pub struct TooLong {
    /// Bytes that it may have.
    pub most: usize,
}

/// Bytes, `most` at most.
pub(super) struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `value` as JSON, of `most` bytes at most.
///
/// # Errors
/// It is longer.
pub fn json(value: &impl Serialize, most: usize) -> Result<String, TooLong> {
    written(most, |out| {
        serde_json::to_writer(out, value).map_err(io::Error::from)
    })
}

/// The text that `write` writes, of `most` bytes at most. Nothing else can fail: it goes into memory, and is UTF-8.
pub(super) fn written(
    most: usize,
    write: impl FnOnce(&mut Limited) -> io::Result<()>,
) -> Result<String, TooLong> {
    let mut out = Limited {
        bytes: Vec::new(),
        most,
    };
    write(&mut out).map_err(|_| TooLong { most })?;
    String::from_utf8(out.bytes).map_err(|_| TooLong { most })
}
