//! Turns an encoder's output into a prepared file: GOPs put onto the item's own clock by the splicer's
//! rules, audio exactly as long as the video, and the index that says what lies where.

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::media::Profile;
use playout_domain::units::{Frame, Timeline};

use crate::demux::{DemuxError, Demuxer};
use crate::gop::Gop;
use crate::index::{GopEntry, GopIndex, ITEM_START, VERSION};
use crate::splice::{Layout, SourceId, Splicer};

/// Why an encoder's output did not become a prepared file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The bytes are not what the profile says.
    #[error("the encoder's output cannot be used: {0}")]
    Demux(#[from] DemuxError),
    /// The item has no frame.
    #[error("the encoder produced no picture")]
    Empty,
    /// The encoder changed its parameter sets on the way.
    #[error("the encoder changed its parameter sets at frame {0}")]
    ParameterSets(u64),
}

/// Takes the encoder's bytes and answers those of the prepared file, in order.
#[derive(Debug)]
pub struct Preparer {
    demuxer: Demuxer,
    /// Made at the first GOP, which says how many rungs there are.
    splicer: Option<Splicer>,
    timeline: Timeline,
    index: GopIndex,
    parameter_sets: Vec<Bytes>,
}

/// The whole item is one run of one source.
const SOURCE: SourceId = SourceId { content: 0, run: 0 };

impl Preparer {
    /// A preparer for one item in `profile`.
    pub fn new(profile: &Profile) -> Self {
        let timeline = Timeline {
            epoch: Timestamp::UNIX_EPOCH,
            frame_rate: profile.frame_rate,
            clock_origin: ITEM_START,
        };
        let index = GopIndex {
            version: VERSION,
            profile: profile.key(),
            frame_rate: profile.frame_rate,
            frames: 0,
            bytes: 0,
            parameter_sets: Vec::new(),
            gops: Vec::new(),
        };
        // The encoder's first access unit is priming and lies before the first frame; what comes
        // before an item's start is never taken.
        let demuxer = Demuxer::starting_at(ITEM_START);
        Self {
            demuxer,
            splicer: None,
            timeline,
            index,
            parameter_sets: Vec::new(),
        }
    }

    /// Frames prepared so far.
    pub fn frames(&self) -> u64 {
        self.index.frames
    }

    /// Takes the next bytes of the encoder; answers what is to be appended to the file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, PrepareError> {
        self.demuxer.push(bytes)?;
        self.take()
    }

    /// Ends the item after the encoder has ended well; answers the file's last bytes and its index.
    pub fn finish(mut self) -> Result<(Vec<Bytes>, GopIndex), PrepareError> {
        self.demuxer.finish(true)?;
        let last = self.take()?;
        if self.index.frames == 0 {
            return Err(PrepareError::Empty);
        }
        self.index.parameter_sets = self.parameter_sets.iter().map(|sets| hex(sets)).collect();
        Ok((last, self.index))
    }

    fn take(&mut self) -> Result<Vec<Bytes>, PrepareError> {
        let mut out = Vec::new();
        while let Some(gop) = self.demuxer.next_gop() {
            out.extend(self.place(gop)?);
        }
        Ok(out)
    }

    fn place(&mut self, gop: Gop) -> Result<Vec<Bytes>, PrepareError> {
        let layout = Layout::ProgramPerRung(gop.rungs.len());
        let splicer = self
            .splicer
            .get_or_insert_with(|| Splicer::new(self.timeline, layout));
        let spliced = splicer.splice(gop, Frame::new(self.index.frames), SOURCE);
        if self.parameter_sets.is_empty() {
            self.parameter_sets = spliced.parameter_sets;
        } else if self.parameter_sets != spliced.parameter_sets {
            return Err(PrepareError::ParameterSets(self.index.frames));
        }
        self.index.gops.push(GopEntry {
            frame: self.index.frames,
            offset: self.index.bytes,
        });
        self.index.frames += u64::from(spliced.frames);
        self.index.bytes += spliced.streams.iter().map(|s| s.len() as u64).sum::<u64>();
        Ok(spliced.streams)
    }
}

/// `bytes` in hexadecimal, as parameter sets stand in an index.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
