//! FFmpeg's command lines: what is run, never how. Plain data in, arguments out.
//!
//! Inputs are strangers' files. Invariants of every line that reads one:
//! - F1: only the file itself is opened: protocol `file`, demuxers that read nothing but their own
//!   bytes ([`input`]), and a `file:` prefix, so that no name is taken for an option or a URL.
//! - F2: no argument passes through a shell, and names need not be UTF-8.
//! - F3: everything encoded for one profile has byte-equal SPS and PPS ([`encode`]), whichever line
//!   made it.
//!
//! All encoders number an item's frames alike: frame k is shown at `ITEM_START` + k / frame rate, and
//! frame 0 is the picture with which the video stream begins ([`picture`]).

mod copy;
mod encode;
mod filter;
mod input;
mod logo;
mod measure;
mod overlay;
mod picture;
mod progress;
mod rtmp;
mod rtmp_failure;
mod slate;
mod sound;
mod survey;
mod thumbnail;
mod transcode;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use playout_domain::loudness::Gain;

pub use copy::copy;
pub use encode::VBV_SECONDS;
pub use input::probe;
pub use logo::decode_logo;
pub use measure::measure;
pub use overlay::{Drawn, try_font};
pub use progress::{Progress, Report};
pub use rtmp::{Publish, publish};
pub use rtmp_failure::rtmp_failure;
pub use slate::{slate, slate_gops};
pub use survey::survey;
pub use thumbnail::thumbnail;
pub use transcode::{live, prepare};

/// Which of FFmpeg's programs is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The transcoder.
    Ffmpeg,
    /// The prober.
    Ffprobe,
}

/// What was found out about an item, or is at hand, to treat it as its profile says.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// What is done to its sound.
    pub gain: Gain,
    /// The picture of the profile's logo, a PNG that was decoded once before; without it none is drawn.
    pub logo: Option<&'a Path>,
    /// The file of the font of the profile's text, which was drawn in once before; without it none is drawn.
    pub font: Option<&'a Path>,
    /// What is drawn over it for a while.
    pub overlay: Option<&'a Drawn<'a>>,
}

impl Means<'_> {
    /// Nothing was, and nothing is.
    pub const NONE: Self = Self {
        gain: Gain::NONE,
        logo: None,
        font: None,
        overlay: None,
    };
}

/// One run of a program: what to start, with which arguments.
///
/// Media comes on standard output, messages on standard error; standard input is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program.
    pub program: Tool,
    /// Its arguments, without the program's name; not necessarily UTF-8.
    pub args: Vec<OsString>,
    /// What it has to find on descriptor 3.
    pub secret: Option<Secret>,
    /// The stranger's file that it reads, if it reads one.
    pub reads: Option<PathBuf>,
}

/// What a program is told where no list of processes shows it; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the pipe it is written to.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Invocation {
    /// A run of `ffmpeg` that reads no terminal and says only what went wrong.
    fn ffmpeg() -> Self {
        Self {
            program: Tool::Ffmpeg,
            args: Vec::new(),
            secret: None,
            reads: None,
        }
        .with(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"])
    }

    /// Adds arguments.
    fn with<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an option and its value.
    fn set(self, option: &str, value: impl std::fmt::Display) -> Self {
        self.with([option.to_owned(), value.to_string()])
    }
}
