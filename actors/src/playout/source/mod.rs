//! Where a plan entry's GOPs come from: an FFmpeg process, or the prepared file read in process.
//! Both stand behind one seam and say where they are by the time stamps of what they deliver.

mod direct;
mod ffmpeg;

pub(super) use direct::DirectSource;
pub(super) use ffmpeg::{FIRST_MEDIA, FfmpegSource, Start};

use std::time::Duration;

use playout_media::demux::DemuxError;
use playout_media::gop::Gop;

use crate::process::{ExitKind, SpawnError};

/// Why a source ended before its item did.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The item is not in the library any more, or never was playable.
    #[error("the item is not in the library")]
    Missing,
    /// The item is over before that frame, or has no key frame behind it.
    #[error("the item has nothing more to play")]
    Over,
    /// FFmpeg could not be started.
    #[error("{0}")]
    Spawn(#[from] SpawnError),
    /// FFmpeg ended with an error or was killed.
    #[error("FFmpeg {exit}{}", said(tail))]
    Exited {
        /// How it ended.
        exit: ExitKind,
        /// The end of what it said.
        tail: String,
    },
    /// No media came for too long.
    #[error("no media for {} s", after.as_secs_f64())]
    Hung {
        /// How long.
        after: Duration,
    },
    /// It ended well, but before its item did.
    #[error("it ended without an error at frame {at} of {of}")]
    BrokeOff {
        /// The frame of the item that was due.
        at: u64,
        /// The frames of the item.
        of: u64,
    },
    /// It delivers, but falls behind the time.
    #[error("it is transcoded slower than it plays, and is {behind} frames behind")]
    TooSlow {
        /// How far.
        behind: u64,
    },
    /// It would have to be transcoded, and others have the places for that.
    #[error("there is no place on the node to transcode it")]
    NoPlace,
    /// It has to be there before it is due, and was not.
    #[error("its pictures did not come in time")]
    Late,
    /// The daemon gave up starting it.
    #[error("its start was interrupted")]
    Interrupted,
    /// The bytes are not the profile's.
    #[error("{0}")]
    Media(#[from] DemuxError),
    /// The prepared file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What came is not what was asked for.
    #[error("frame {got} of the item came where frame {wanted} was due")]
    Misplaced {
        /// The frame that was due.
        wanted: u64,
        /// The one that came.
        got: u64,
    },
}

impl SourceError {
    fn hung(after: Duration) -> Self {
        Self::Hung { after }
    }
}

fn said(tail: &str) -> String {
    if tail.is_empty() {
        String::new()
    } else {
        format!(": {tail}")
    }
}

/// A source of either kind.
#[derive(Debug)]
pub(super) enum Source {
    /// An FFmpeg process.
    Ffmpeg(Box<FfmpegSource>),
    /// The prepared file, read in process.
    Direct(Box<DirectSource>),
}

impl Source {
    /// The next GOP; `None` when the item is over. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Gop>, SourceError> {
        match self {
            Source::Ffmpeg(source) => source.next().await,
            Source::Direct(source) => source.next().await,
        }
    }
}
