//! What to start and under which restrictions. Plain data: the launcher acts on it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use playout_domain::resources::Allowance;
use playout_media::ffmpeg::Secret;

use super::cgroup::ChannelGroup;

/// How the scheduler weighs a child against everything else on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// On air: as important as the daemon itself.
    #[default]
    OnAir,
    /// Somebody waits for the answer, but no viewer does (probe, thumbnail).
    Interactive,
    /// Preparing media: takes what is left over.
    Background,
}

impl Priority {
    /// The nice level that is added to the daemon's own.
    pub fn nice(self) -> i32 {
        match self {
            Priority::OnAir => 0,
            Priority::Interactive => 5,
            Priority::Background => 19,
        }
    }
}

/// What becomes of the child's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdout {
    /// Thrown away.
    #[default]
    Null,
    /// A pipe with a buffer of about `bytes` (the kernel rounds up to a power of two, and gives
    /// less when the user's share of pipe memory is used up).
    Piped {
        /// Wanted size of the pipe buffer in bytes.
        bytes: usize,
    },
}

impl Stdout {
    /// A pipe of 1 MiB: three seconds of a 2.5 Mb/s stream.
    pub const PIPED: Stdout = Stdout::Piped { bytes: 1 << 20 };
}

/// Where the child's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdin {
    /// There is none.
    #[default]
    Null,
    /// A pipe with a buffer of about `bytes`, see [`Stdout::Piped`].
    Piped {
        /// Wanted size of the pipe buffer in bytes.
        bytes: usize,
    },
}

/// What becomes of the child's standard error, beside the tail that is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stderr {
    /// Only the tail is kept.
    #[default]
    Tail,
    /// Lines of the form `key=value` (FFmpeg's `-progress pipe:2`) go to
    /// [`Process::take_lines`](super::Process::take_lines), and are dropped while nobody reads them; all others to
    /// the tail.
    Progress,
    /// Every line goes to [`Process::take_lines`](super::Process::take_lines) in its order; the child waits for its
    /// reader. What is not of that form goes to the tail, too.
    Lines,
}

/// Resource limits: those of the kernel are set before the program starts, a share of CPU is watched.
/// `None` leaves the daemon's own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: u64,
    /// Memory (`RLIMIT_DATA`) and CPU (`RLIMIT_CPU`, and a share over a while).
    pub allowance: Allowance,
    /// Largest file the child may write, in bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            open_files: 256,
            allowance: Allowance::default(),
            file_size: None,
        }
    }
}

/// Where the external programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The `ffmpeg` program; a bare name is looked up in `PATH`.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` program; a bare name is looked up in `PATH`.
    pub ffprobe: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Tools {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
        }
    }
}

/// One child to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program; a bare name is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments, not necessarily UTF-8.
    pub args: Vec<OsString>,
    /// Its weight against other processes.
    pub priority: Priority,
    /// Where its standard input comes from.
    pub stdin: Stdin,
    /// Where its standard output goes.
    pub stdout: Stdout,
    /// Where its standard error goes.
    pub stderr: Stderr,
    /// What it finds on descriptor 3, which is not there without.
    pub secret: Option<Secret>,
    /// The stranger's file that it reads: looked at again right before the start, and refused where it leads
    /// outside the launcher's [`Roots`](super::Roots).
    pub reads: Option<PathBuf>,
    /// What it may use up.
    pub limits: Limits,
    /// The control group that it belongs to.
    pub(crate) group: Option<Arc<ChannelGroup>>,
    /// What the child is, for logs: `source 7 of channel …`.
    pub label: String,
}

impl Spec {
    /// A child with no output, default limits and on-air priority.
    pub fn new(program: impl Into<PathBuf>, label: impl Into<String>) -> Spec {
        Spec {
            program: program.into(),
            args: Vec::new(),
            priority: Priority::default(),
            stdin: Stdin::default(),
            stdout: Stdout::default(),
            stderr: Stderr::default(),
            secret: None,
            reads: None,
            limits: Limits::default(),
            group: None,
            label: label.into(),
        }
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Spec {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the priority.
    pub fn priority(mut self, priority: Priority) -> Spec {
        self.priority = priority;
        self
    }

    /// Sets where standard input comes from.
    pub fn stdin(mut self, stdin: Stdin) -> Spec {
        self.stdin = stdin;
        self
    }

    /// Sets where standard output goes.
    pub fn stdout(mut self, stdout: Stdout) -> Spec {
        self.stdout = stdout;
        self
    }

    /// Sets where standard error goes.
    pub fn stderr(mut self, stderr: Stderr) -> Spec {
        self.stderr = stderr;
        self
    }

    /// Sets what it may use of memory and CPU.
    pub fn allowance(mut self, allowance: Allowance) -> Spec {
        self.limits.allowance = allowance;
        self
    }

    /// Sets the control group that it belongs to.
    pub(crate) fn group(mut self, group: Option<Arc<ChannelGroup>>) -> Spec {
        self.group = group;
        self
    }

    /// Sets the resource limits.
    pub fn limits(mut self, limits: Limits) -> Spec {
        self.limits = limits;
        self
    }
}
