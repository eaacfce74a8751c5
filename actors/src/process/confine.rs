//! The only unsafe code of this crate: what a child does to itself between `fork` and `exec`, and
//! the descriptor by which its end is seen (`pidfd_open(2)`).
//!
//! Everything called after `fork` is async-signal-safe: plain system calls, no allocation.

#![allow(
    unsafe_code,
    reason = "pre_exec, setpriority, close_range, pidfd_open and AsyncFd have no safe form"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::{prctl, signal};
use nix::unistd::{Pid, getppid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::spec::{Limits, Priority};

/// Makes `command` start in a process group of its own, die with the calling *thread*, gain no
/// privileges, inherit no descriptor but 0, 1 and 2, and keep within `limits`.
pub(super) fn confine(command: &mut Command, priority: Priority, limits: Limits) {
    let parent = Pid::this();
    command.process_group(0);
    // SAFETY: the closure runs in the forked child and only makes system calls: it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || enter(parent, priority, limits));
    }
}

fn enter(parent: Pid, priority: Priority, limits: Limits) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the signal was asked for; then nobody would send it.
    if getppid() != parent {
        return Err(Errno::ESRCH.into());
    }
    prctl::set_no_new_privs()?;
    signal::SigSet::empty().thread_set_mask()?;
    for ignored in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGPIPE,
    ] {
        // SAFETY: the default action runs no handler.
        unsafe { signal::signal(ignored, signal::SigHandler::SigDfl)? };
    }
    let nice = priority.nice();
    if nice > 0 {
        // SAFETY: no pointers; 0 means the calling process.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(done)?;
    }
    set_limit(Resource::RLIMIT_CORE, 0)?;
    set_limit(Resource::RLIMIT_NOFILE, limits.open_files)?;
    if let Some(bytes) = limits.address_space {
        set_limit(Resource::RLIMIT_AS, bytes)?;
    }
    if let Some(time) = limits.cpu_time {
        set_limit(Resource::RLIMIT_CPU, time.as_secs().max(1))?;
    }
    if let Some(bytes) = limits.file_size {
        set_limit(Resource::RLIMIT_FSIZE, bytes)?;
    }
    close_on_exec_from(3)
}

/// Lowers a limit for good. A hard limit that is already lower stays.
fn set_limit(resource: Resource, wanted: u64) -> io::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let limit = wanted.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}

/// Marks every descriptor from `first` on as closed at `exec`, whoever opened it and how. They
/// cannot be closed here: std's own pipe for reporting a failed `exec` is among them.
fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: close_range with CLOEXEC touches only flags of this process's descriptors.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(done)?;
    Ok(())
}

/// A descriptor that becomes readable when the process ends. `pid` must be an unreaped child of
/// this process, so that the number cannot have been given to another.
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor returned is new (with CLOEXEC set) and owned by nobody.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        let fd = Errno::result(fd)?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Registers a descriptor with the current tokio runtime, for reading.
pub(super) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, and stays the same open descriptor until it is dropped, which
    // the AsyncFd that owns it does last.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
