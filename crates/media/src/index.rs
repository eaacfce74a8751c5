//! The GOP index: what lies where in a prepared file. It stands beside the file as `<name>.idx`.
//!
//! A prepared file is a sequence of self-contained GOPs: tables, the video of every rung, exactly the
//! audio that belongs to it. So any GOP can be read alone, and the file's length is its frame count.

use playout_domain::units::{FrameRate, Ticks90k};
use serde::{Deserialize, Serialize};

/// Where the clock of a prepared item, and of every encoder's output, begins: 10 s. (An encoder's
/// first decoding time lies before its first picture; without this it would be negative.)
pub const ITEM_START: Ticks90k = Ticks90k::new(900_000);

/// The version of the file layout; an index of another version is not read.
pub const VERSION: u32 = 1;

/// One GOP of a prepared file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct GopEntry {
    /// The number of its first frame in the item.
    pub frame: u64,
    /// Offset of its first byte in the file.
    pub offset: u64,
}

impl From<(u64, u64)> for GopEntry {
    fn from((frame, offset): (u64, u64)) -> Self {
        Self { frame, offset }
    }
}

impl From<GopEntry> for (u64, u64) {
    fn from(entry: GopEntry) -> Self {
        (entry.frame, entry.offset)
    }
}

/// The index of one prepared file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GopIndex {
    /// [`VERSION`].
    pub version: u32,
    /// The profile's key.
    pub profile: String,
    /// Frames a second of the profile.
    pub frame_rate: FrameRate,
    /// Frames in the item.
    pub frames: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// SPS and PPS of each rung in hexadecimal.
    pub parameter_sets: Vec<String>,
    /// The GOPs, in order.
    pub gops: Vec<GopEntry>,
}

/// Why an index cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not JSON of this shape.
    #[error("the index cannot be read: {0}")]
    Unreadable(String),
    /// Written by another version.
    #[error("the index has version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// Its numbers contradict each other.
    #[error("the index is damaged: {0}")]
    Damaged(&'static str),
}

/// A GOP's place in file and item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GopPlace {
    /// Its number in the file.
    pub number: usize,
    /// The number of its first frame in the item.
    pub frame: u64,
    /// How many frames it has.
    pub frames: u64,
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl GopIndex {
    /// Reads an index and checks it against itself.
    pub fn parse(json: &[u8]) -> Result<Self, IndexError> {
        let index: Self =
            serde_json::from_slice(json).map_err(|e| IndexError::Unreadable(e.to_string()))?;
        if index.version != VERSION {
            return Err(IndexError::Version(index.version));
        }
        let rising = index
            .gops
            .windows(2)
            .all(|w| w[0].frame < w[1].frame && w[0].offset < w[1].offset);
        let within = index
            .gops
            .last()
            .is_some_and(|g| g.frame < index.frames && g.offset < index.bytes);
        match index.gops.first() {
            Some(GopEntry {
                frame: 0,
                offset: 0,
            }) if rising && within => Ok(index),
            Some(_) => Err(IndexError::Damaged(
                "its positions do not rise from zero to the end",
            )),
            None => Err(IndexError::Damaged("it names no GOP")),
        }
    }

    /// The GOP at `number`.
    pub fn gop(&self, number: usize) -> Option<GopPlace> {
        let entry = self.gops.get(number)?;
        let (next_frame, next_offset) = self
            .gops
            .get(number + 1)
            .map_or((self.frames, self.bytes), |next| (next.frame, next.offset));
        Some(GopPlace {
            number,
            frame: entry.frame,
            frames: next_frame - entry.frame,
            offset: entry.offset,
            len: next_offset - entry.offset,
        })
    }

    /// The GOP that begins at `frame`, or else the first that begins after it.
    pub fn gop_from(&self, frame: u64) -> Option<GopPlace> {
        self.gop(self.gops.partition_point(|g| g.frame < frame))
    }

    /// When frame `frame` of an item is shown, on the item's clock.
    pub fn time_of(frame: u64, rate: FrameRate) -> Ticks90k {
        ITEM_START + rate.ticks(frame)
    }
}
