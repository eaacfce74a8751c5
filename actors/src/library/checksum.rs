//! The checksum of a piece, taken as it comes.

use std::fmt;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// A checksum that is expected, and what has come so far.
pub struct Checksum {
    taken: Context,
    expected: Vec<u8>,
}

impl Checksum {
    /// The algorithms there are, as the protocol of uploads calls them.
    pub const ALGORITHMS: [&str; 2] = ["sha1", "sha256"];

    /// Expects that `algorithm` answers `expected`; nothing where it is unknown.
    pub fn new(algorithm: &str, expected: Vec<u8>) -> Option<Self> {
        let taken = match algorithm {
            "sha1" => Context::new(&SHA1_FOR_LEGACY_USE_ONLY),
            "sha256" => Context::new(&SHA256),
            _ => return None,
        };
        Some(Self { taken, expected })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.taken.update(bytes);
    }

    pub(super) fn matches(self) -> bool {
        self.taken.finish().as_ref() == self.expected
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksum").finish_non_exhaustive()
    }
}
