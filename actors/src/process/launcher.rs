//! Starts children, all of them from one thread that lives as long as the daemon.
//!
//! `PR_SET_PDEATHSIG` is tied to the parent *thread*: a child started from one of tokio's threads
//! dies when that thread is retired. So a single thread starts them, never ends, and also waits for the
//! children whose owner went away before they had ended.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{AccessFlags, access, pipe2};
use playout_media::ffmpeg::{Invocation, Tool};
use tokio::sync::oneshot;

use super::confine::{Birth, above};
use super::group::{Child, Group};
use super::roots::Roots;
use super::running::Process;
use super::spec::{Spec, Stdin, Stdout, Tools};

/// How often children that were killed but have not ended yet are looked at.
const REAP_EVERY: Duration = Duration::from_millis(20);

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error("the program {} is not installed", program.display())]
    Missing {
        /// The program that was looked for.
        program: PathBuf,
    },
    /// The system refused: out of processes, memory, descriptors or permission.
    #[error("{label} could not be started: {source}")]
    System {
        /// What was to be started.
        label: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file that it is to read is none of those that may be read.
    #[error("{} does not lie in a folder that media may be read from", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
    },
    /// The file that it is to read is not there, or not to be reached.
    #[error("{} cannot be opened: {source}", path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What the launcher thread hands back: the child under guard, and the parent's ends of its pipes.
pub(super) struct Launched {
    pub(super) group: Group,
    pub(super) pidfd: OwnedFd,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

enum Order {
    Spawn(Box<Spec>, oneshot::Sender<Result<Launched, SpawnError>>),
    Reap(Child),
}

/// Starts child processes. Cheap to clone; all clones use the same thread.
#[derive(Debug, Clone)]
pub struct Launcher {
    tools: Arc<Tools>,
    orders: mpsc::Sender<Order>,
    /// Where the strangers' files lie that children may be started to read.
    roots: Roots,
}

impl Launcher {
    /// A launcher using `tools` where an [`Invocation`] names one, and whose children may read any file.
    ///
    /// # Errors
    /// The first call starts the launcher thread, which fails only when the system has no room
    /// for another thread.
    pub fn new(tools: Tools) -> io::Result<Launcher> {
        Ok(Launcher {
            tools: Arc::new(tools),
            orders: thread()?,
            roots: Roots::default(),
        })
    }

    /// The same launcher, which starts nothing that reads a stranger's file outside `roots`.
    #[must_use]
    pub fn reading_within(self, roots: Roots) -> Launcher {
        Launcher { roots, ..self }
    }

    /// Where the strangers' files lie that children may be started to read.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Whether a child may be started to read `path`: by what it leads to now.
    ///
    /// # Errors
    /// [`SpawnError::Outside`], [`SpawnError::Unreachable`].
    pub async fn may_read(&self, path: &Path) -> Result<(), SpawnError> {
        let (roots, path) = (self.roots.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || match roots.lead_to(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SpawnError::Outside { path }),
            Err(source) => Err(SpawnError::Unreachable { path, source }),
        });
        asked.await.unwrap_or_else(|stopped| {
            let (label, source) = ("a child".to_owned(), io::Error::other(stopped));
            Err(SpawnError::System { label, source })
        })
    }

    /// A specification of `invocation` with the configured program.
    pub fn spec(&self, invocation: Invocation, label: impl Into<String>) -> Spec {
        let program = match invocation.program {
            Tool::Ffmpeg => &self.tools.ffmpeg,
            Tool::Ffprobe => &self.tools.ffprobe,
        };
        Spec {
            secret: invocation.secret,
            reads: invocation.reads,
            ..Spec::new(program, label).args(invocation.args)
        }
    }

    /// Starts a child. If the caller goes away meanwhile, the child is killed.
    ///
    /// # Errors
    /// [`SpawnError::Missing`] when the program is not installed, [`SpawnError::Outside`] and
    /// [`SpawnError::Unreachable`] when it may not read what it is to read, [`SpawnError::System`] otherwise.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn spawn(&self, spec: Spec) -> Result<Process, SpawnError> {
        if let Some(path) = &spec.reads {
            self.may_read(path).await?;
        }
        let (reply, answer) = oneshot::channel();
        let label = spec.label.clone();
        let (stderr, allowance) = (spec.stderr, spec.limits.allowance);
        let gone = || SpawnError::System {
            label: label.clone(),
            source: io::Error::other("the launcher thread is gone"),
        };
        self.orders
            .send(Order::Spawn(Box::new(spec), reply))
            .map_err(|_| gone())?;
        let launched = answer.await.map_err(|_| gone())??;
        Process::adopt(launched, stderr, allowance, label.clone())
            .map_err(|source| SpawnError::System { label, source })
    }
}

/// Hands a killed child to the launcher thread, which waits for its end.
pub(super) fn reap_later(child: Child) {
    if let Ok(orders) = thread() {
        // The thread never ends, so the order arrives.
        let _sent = orders.send(Order::Reap(child));
    }
}

fn thread() -> io::Result<mpsc::Sender<Order>> {
    static ORDERS: OnceLock<Result<mpsc::Sender<Order>, io::ErrorKind>> = OnceLock::new();
    ORDERS
        .get_or_init(|| {
            let (orders, inbox) = mpsc::channel();
            std::thread::Builder::new()
                .name("launcher".into())
                .spawn(move || serve(&inbox))
                .map(|_never_joined| orders)
                .map_err(|e| e.kind())
        })
        .clone()
        .map_err(io::Error::from)
}

/// The launcher thread. `ORDERS` holds a sender for ever, so the inbox never closes.
fn serve(inbox: &mpsc::Receiver<Order>) {
    let mut ending: Vec<Child> = Vec::new();
    loop {
        let order = if ending.is_empty() {
            inbox.recv().map_err(mpsc::RecvTimeoutError::from)
        } else {
            inbox.recv_timeout(REAP_EVERY)
        };
        match order {
            Ok(Order::Spawn(spec, reply)) => {
                // If the asker is gone, the guard in the answer kills the child.
                drop(reply.send(launch(*spec)));
            }
            Ok(Order::Reap(child)) => ending.push(child),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        ending = ending
            .into_iter()
            .filter_map(|child| child.reap().err())
            .collect();
    }
}

fn launch(spec: Spec) -> Result<Launched, SpawnError> {
    let program = find(&spec.program).ok_or_else(|| SpawnError::Missing {
        program: spec.program.clone(),
    })?;
    start(&spec, &program).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SpawnError::Missing {
            program: spec.program.clone(),
        },
        _ => SpawnError::System {
            label: spec.label.clone(),
            source,
        },
    })
}

fn start(spec: &Spec, program: &Path) -> io::Result<Launched> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC)?;
    let (stdout, stdout_end) = match spec.stdout {
        Stdout::Null => (None, above(null.as_fd())?),
        Stdout::Piped { bytes } => {
            let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
            enlarge(&ours, bytes);
            (Some(ours), above(theirs.as_fd())?)
        }
    };
    let (stdin, stdin_end) = match spec.stdin {
        Stdin::Null => (None, above(null.as_fd())?),
        Stdin::Piped { bytes } => {
            let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
            enlarge(&ours, bytes);
            (Some(ours), above(theirs.as_fd())?)
        }
    };
    let mut descriptors = vec![stdin_end, stdout_end, above(stderr_end.as_fd())?];
    if let Some(secret) = &spec.secret {
        let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
        // It fits into the pipe, so nobody has to read yet.
        File::from(ours).write_all(secret.reveal().as_bytes())?;
        descriptors.push(above(theirs.as_fd())?);
    }
    let strings = |strings: &mut dyn Iterator<Item = OsString>| {
        strings
            .map(|string| CString::new(string.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
    };
    let name = spec.program.clone().into_os_string();
    let args = strings(&mut [name].into_iter().chain(spec.args.iter().cloned()))?;
    let environment = strings(&mut env::vars_os().filter(|(name, _)| !is_proxy(name)).map(
        |(name, value)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            pair
        },
    ))?;
    let entrance = spec.group.as_ref().and_then(|group| {
        let opened = group.entrance().and_then(|file| above(file.as_fd()));
        opened
            .inspect_err(
                |error| tracing::warn!(label = spec.label, %error, "a control group is gone"),
            )
            .ok()
    });
    let birth = Birth {
        program: &CString::new(program.as_os_str().as_bytes())?,
        args: &args,
        environment: &environment,
        descriptors: &descriptors,
        priority: spec.priority,
        limits: spec.limits,
        entrance: entrance.as_ref(),
    };
    let (pid, pidfd) = birth.start()?;
    Ok(Launched {
        group: Group::new(Child::new(pid, spec.group.clone())),
        pidfd,
        stdin,
        stdout,
        stderr: Some(stderr),
    })
}

/// A proxy meant for others: FFmpeg would send streams through it.
fn is_proxy(name: &OsStr) -> bool {
    name.to_string_lossy()
        .to_ascii_lowercase()
        .ends_with("_proxy")
}

/// The file of a program: a bare name is looked up in `PATH`.
fn find(program: &Path) -> Option<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    let path =
        env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/local/bin:/usr/bin:/bin").into());
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// Asks for a pipe buffer of `bytes`, and for half as much as long as the system refuses: without
/// privileges all pipes of a user share 64 MiB (`fs.pipe-user-pages-soft`).
fn enlarge(pipe: &OwnedFd, bytes: usize) {
    let mut wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    while wanted > 64 << 10 {
        if fcntl(pipe, FcntlArg::F_SETPIPE_SZ(wanted)).is_ok() {
            return;
        }
        wanted /= 2;
    }
}
