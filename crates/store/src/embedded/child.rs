//! Starts a server process. Every process is forked by one thread that never ends, because
//! PR_SET_PDEATHSIG follows the parent *thread*: a child of a pool thread would die with that thread.
//!
//! A server gets folders as open file descriptors and names them `/proc/self/fd/N`, so it works in a
//! data folder whose parents (root's home, say) its own user may not enter.
#![allow(unsafe_code)] // pre_exec: the only way to act between fork and exec

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock, mpsc};
use std::{io, thread};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::identity::Identity;

/// What ends the process when the daemon is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attachment {
    /// The kernel sends this signal when the daemon dies, however it dies.
    DiesWithUs(Signal),
    /// Nothing: the process lives on in a session of its own (servers shared by test processes).
    #[cfg_attr(not(feature = "testing"), allow(dead_code))]
    Detached,
}

/// Where the process writes its log.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    /// Both outputs on pipes held by the caller.
    Piped,
    /// Both outputs into this file.
    #[cfg_attr(not(feature = "testing"), allow(dead_code))]
    File(Arc<File>),
}

/// One process to start.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// The user to become; `None` stays as we are.
    pub(crate) become_user: Option<Identity>,
    /// Open folders that the process inherits under their own numbers.
    pub(crate) folders: Vec<Arc<File>>,
    pub(crate) attachment: Attachment,
    pub(crate) log: Log,
}

struct Job {
    order: Order,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

static FORKER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();

/// Starts the process; the answer comes once it has executed its program.
pub(crate) async fn spawn(order: Order) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts servers has ended");
    forker()
        .send(Job {
            order,
            runtime: Handle::current(),
            reply,
        })
        .map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn forker() -> &'static mpsc::Sender<Job> {
    FORKER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let started = thread::Builder::new()
            .name("server-forker".into())
            .spawn(move || {
                for Job {
                    order,
                    runtime,
                    reply,
                } in inbox
                {
                    let _inside = runtime.enter();
                    // The asker may have left: the child then ends with us, like every other.
                    drop(reply.send(start(&order)));
                }
            });
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the thread that starts servers");
        }
        jobs
    })
}

fn start(order: &Order) -> io::Result<Child> {
    let (out, err) = match &order.log {
        Log::Piped => (Stdio::piped(), Stdio::piped()),
        Log::File(file) => (
            Stdio::from(file.try_clone()?),
            Stdio::from(file.try_clone()?),
        ),
    };
    let mut command = Command::new(&order.program);
    command
        .args(&order.args)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .kill_on_drop(matches!(order.attachment, Attachment::DiesWithUs(_)));
    if let Some(user) = &order.become_user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let inherited: Vec<RawFd> = order
        .folders
        .iter()
        .map(|folder| folder.as_raw_fd())
        .collect();
    let attachment = order.attachment;
    let parent = getpid();
    // SAFETY: `settle` only makes system calls (async-signal-safe) and allocates nothing.
    unsafe { command.pre_exec(move || settle(&inherited, attachment, parent)) };
    command.spawn()
}

/// Runs in the child, after it has become its user and before it executes the program.
fn settle(inherited: &[RawFd], attachment: Attachment, parent: Pid) -> io::Result<()> {
    for &folder in inherited {
        // SAFETY: the parent keeps the folder open across the fork; this is the child's own copy.
        let folder = unsafe { BorrowedFd::borrow_raw(folder) };
        fcntl(folder, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    // A session of its own: Ctrl-C at the terminal is the daemon's business, which then stops servers in order.
    setsid()?;
    prctl::set_no_new_privs()?;
    if let Attachment::DiesWithUs(signal) = attachment {
        prctl::set_pdeathsig(signal)?;
        if getppid() != parent {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH)); // it died in between
        }
    }
    Ok(())
}
