//! The only unsafe code of this crate: how a child begins (`clone(2)`), what it does to itself before
//! `exec`, and the descriptor by which its end is seen (`pidfd`).
//!
//! A child begins as `vfork` begins one: it borrows the daemon's memory until it becomes another program,
//! so nothing is copied, however large the daemon is. What runs in it makes plain system calls only:
//! it neither allocates nor takes a lock nor panics.

#![allow(
    unsafe_code,
    reason = "clone, execve, setpriority, close_range, pidfd and AsyncFd have no safe form"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::{prctl, signal};
use nix::unistd::{Pid, getppid, setpgid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::spec::{Limits, Priority};

/// CPU seconds between being asked to end for the CPU time it has used, and being killed.
const LAST_SECONDS: u64 = 2;
/// No process is nicer.
const LEAST: c_int = 19;
/// What the child uses of it is a page or two.
const STACK: usize = 256 << 10;

/// A program to become, with everything made ready that needs memory.
pub(super) struct Birth<'a> {
    /// Where the program is.
    pub(super) program: &'a CStr,
    /// Its arguments, the name it is called by first.
    pub(super) args: &'a [CString],
    /// `NAME=value`.
    pub(super) environment: &'a [CString],
    /// What become its descriptors 0, 1, 2 and on, in this order. It inherits no others.
    pub(super) descriptors: &'a [OwnedFd],
    pub(super) priority: Priority,
    pub(super) limits: Limits,
    /// Where it enters its control group; its number is above those of `descriptors`.
    pub(super) entrance: Option<&'a OwnedFd>,
}

/// What the child reads, and writes why it could not become the program.
struct Entry<'a> {
    birth: &'a Birth<'a>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    parent: Pid,
    failed: Option<Errno>,
    /// Why it is not in its control group; it runs all the same.
    shut_out: Option<Errno>,
}

impl Birth<'_> {
    /// Starts the child: in a process group of its own, dying with the calling *thread*, gaining no
    /// privileges, within its limits. Answers its number, and a descriptor that becomes readable when it ends.
    ///
    /// # Errors
    /// What the system said, be it to `clone` or to what the child did up to `exec`.
    pub(super) fn start(&self) -> io::Result<(Pid, OwnedFd)> {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            let ended = strings.iter().map(|string| string.as_ptr());
            ended.chain([std::ptr::null()]).collect()
        };
        let mut entry = Entry {
            birth: self,
            argv: pointers(self.args),
            envp: pointers(self.environment),
            parent: Pid::this(),
            failed: None,
            shut_out: None,
        };
        let mut stack = vec![0_u8; STACK];
        let mut pidfd: c_int = -1;
        // No handler of the daemon may run in the child, on the daemon's memory.
        let before = SigSet::all().thread_swap_mask(signal::SigmaskHow::SIG_SETMASK)?;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: the stack is this call's own, and its top is aligned to 16; `entry` and `pidfd` live
        // longer than the child borrows them, because CLONE_VFORK halts this thread until the child has
        // executed or ended.
        let pid = unsafe {
            let end = stack.as_mut_ptr().add(STACK);
            let top = end.sub(end as usize % 16);
            libc::clone(
                enter,
                top.cast(),
                flags,
                (&raw mut entry).cast(),
                &raw mut pidfd,
            )
        };
        let pid = Errno::result(pid).map(Pid::from_raw);
        before.thread_set_mask()?;
        let pid = pid?;
        // SAFETY: CLONE_PIDFD has put a new descriptor there (with CLOEXEC set) that nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        if let Some(errno) = entry.shut_out {
            tracing::warn!(%pid, %errno, "a process is not in its channel's control group");
        }
        match entry.failed {
            None => Ok((pid, pidfd)),
            Some(errno) => {
                // It has ended without becoming anything, and leaves at once.
                let _reaped = nix::sys::wait::waitpid(pid, None);
                Err(errno.into())
            }
        }
    }
}

/// The child's whole life before `exec`.
extern "C" fn enter(entry: *mut c_void) -> c_int {
    // SAFETY: `start` passes its own entry, and does not touch it before this child is done with it.
    let entry = unsafe { &mut *entry.cast::<Entry<'_>>() };
    if let Some(entrance) = entry.birth.entrance {
        entry.shut_out = join(entrance.as_raw_fd()).err();
    }
    // What `execve` returns at all is an error.
    entry.failed = Some(match confine(entry) {
        Ok(()) => {
            // SAFETY: all pointers are to strings that end in NUL, both arrays end in a null pointer.
            unsafe {
                libc::execve(
                    entry.birth.program.as_ptr(),
                    entry.argv.as_ptr(),
                    entry.envp.as_ptr(),
                )
            };
            Errno::last()
        }
        Err(errno) => errno,
    });
    127
}

/// Enters the control group whose `cgroup.procs` this is: by this process's number, in digits.
fn join(entrance: RawFd) -> Result<(), Errno> {
    let mut digits = [b'\n'; 12];
    let mut rest = Pid::this().as_raw().unsigned_abs();
    let mut first = digits.len() - 1;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let text = &digits[first..];
    // SAFETY: the buffer outlives the call; the descriptor is open for as long as `Birth` borrows it.
    let done = unsafe { libc::write(entrance, text.as_ptr().cast(), text.len()) };
    Errno::result(done).map(drop)
}

fn confine(entry: &Entry<'_>) -> Result<(), Errno> {
    let Birth {
        descriptors,
        priority,
        limits,
        ..
    } = entry.birth;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the signal was asked for; then nobody would send it.
    if getppid() != entry.parent {
        return Err(Errno::ESRCH);
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    prctl::set_no_new_privs()?;
    for number in Signal::iterator() {
        // SAFETY: the default action runs no handler. Those of KILL and STOP cannot be changed, nor need be.
        let _unchangeable = unsafe { signal::signal(number, signal::SigHandler::SigDfl) };
    }
    let nice = priority.nice();
    if nice > 0 {
        // SAFETY: no pointers; 0 means the calling process. Asking for its own level cannot fail.
        let own = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let nice = own.saturating_add(nice).min(LEAST);
        // SAFETY: as above.
        let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        Errno::result(done)?;
    }
    set_limit(Resource::RLIMIT_CORE, 0)?;
    set_limit(Resource::RLIMIT_NOFILE, limits.open_files)?;
    if let Some(bytes) = limits.allowance.memory {
        // A little behind the limit: what goes on without the memory it wanted is seen to be above it.
        set_limit(Resource::RLIMIT_DATA, bytes.saturating_add(bytes / 16))?;
    }
    if let Some(time) = limits.allowance.cpu_time {
        // First SIGXCPU, which asks it to end; SIGKILL for who goes on all the same.
        let seconds = time.as_secs().max(1);
        let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CPU)?;
        let last = seconds.saturating_add(LAST_SECONDS).min(hard);
        setrlimit(Resource::RLIMIT_CPU, seconds.min(last), last)?;
    }
    if let Some(bytes) = limits.file_size {
        set_limit(Resource::RLIMIT_FSIZE, bytes)?;
    }
    for (number, descriptor) in (0..).zip(descriptors.iter()) {
        // SAFETY: numbers only. The copies are the child's: its table of descriptors is not shared.
        Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })?;
    }
    close_on_exec_from(descriptors.len() as RawFd)?;
    SigSet::empty().thread_set_mask()
}

/// Lowers a limit for good. A hard limit that is already lower stays.
fn set_limit(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let limit = wanted.min(hard);
    setrlimit(resource, limit, limit)
}

/// Marks every descriptor from `first` on as closed at `exec`, whoever opened it and how.
fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: close_range with CLOEXEC touches only flags of this process's descriptors.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(done).map(drop)
}

/// A copy of `fd` with a number above all those that a child is given, so that none is overwritten before
/// it is handed on.
pub(super) fn above(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(16))?;
    // SAFETY: the descriptor is new and owned by nobody.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Registers a descriptor with the current tokio runtime, for reading.
pub(super) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, and stays the same open descriptor until it is dropped, which
    // the AsyncFd that owns it does last.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
