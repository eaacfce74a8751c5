//! Sockets that systemd has opened for the daemon (`sd_listen_fds(3)`): they come as file descriptors from 3 on, and the
//! environment tells how many, for which process, and their names.
//!
//! The only unsafe code of the daemon's own: it takes those descriptors as its own, once, at its start. Nobody else
//! has them: a process inherits them, and nothing was opened in their place before.
#![allow(unsafe_code, reason = "an inherited descriptor is a number")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, sockopt};
use tokio::net::{TcpListener, UnixListener};

use crate::facade::Serves;
use crate::facade::listener::Socket;

/// The first of them.
const FIRST: RawFd = 3;
/// More are a mistake.
const MOST: RawFd = 64;

/// The sockets that were opened for this process, and what each is for. To be called once, before anything is opened.
///
/// # Errors
/// One sentence: the environment or a descriptor is not what it should be.
pub(super) fn inherited() -> Result<Vec<(Serves, Socket)>, String> {
    let variable = |name| std::env::var(name).ok();
    let told = Told {
        process: variable("LISTEN_PID"),
        count: variable("LISTEN_FDS"),
        names: variable("LISTEN_FDNAMES"),
    };
    let named = told.for_process(std::process::id())?;
    named
        .into_iter()
        .map(|(number, serves)| Ok((serves, socket(number)?)))
        .collect()
}

/// What the environment says.
struct Told {
    process: Option<String>,
    count: Option<String>,
    names: Option<String>,
}

impl Told {
    /// The descriptors that are meant for the process, and what each is for by its name.
    fn for_process(&self, process: u32) -> Result<Vec<(RawFd, Serves)>, String> {
        let (Some(pid), Some(count)) = (&self.process, &self.count) else {
            return Ok(Vec::new());
        };
        // Of the process before, which has handed down its environment.
        if pid.parse() != Ok(process) {
            return Ok(Vec::new());
        }
        let count: RawFd = count
            .parse()
            .ok()
            .filter(|count| (0..=MOST).contains(count))
            .ok_or_else(|| format!("LISTEN_FDS is no number of sockets up to {MOST}"))?;
        let names: Vec<&str> = match &self.names {
            Some(names) => names.split(':').collect(),
            None => vec!["control"; usize::try_from(count).unwrap_or_default()],
        };
        if names.len() != usize::try_from(count).unwrap_or_default() {
            return Err(format!(
                "LISTEN_FDNAMES has {} names for {count} sockets",
                names.len()
            ));
        }
        (FIRST..)
            .zip(names)
            .map(|(number, name)| Ok((number, serves(name)?)))
            .collect()
    }
}

/// By `FileDescriptorName=`, which is the name of the socket's unit where it is not given.
fn serves(name: &str) -> Result<Serves, String> {
    match name {
        "control" | "playoutd.socket" | "unknown" => Ok(Serves::Everything),
        "viewers" | "playoutd-viewers.socket" => Ok(Serves::Viewers),
        other => Err(format!(
            "systemd hands over a socket named {other:?}; FileDescriptorName has to be control or viewers"
        )),
    }
}

fn socket(number: RawFd) -> Result<Socket, String> {
    let broken = |what: &str| format!("descriptor {number}, which was handed over, {what}");
    // SAFETY: it is only asked whether there is one; if not, the kernel says so.
    let looked = unsafe { BorrowedFd::borrow_raw(number) };
    // No child inherits it.
    fcntl(looked, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .map_err(|error| broken(&format!("is none: {error}")))?;
    // SAFETY: it is open, as was just seen, and this process' own by the protocol above; this is the only place that
    // takes it, and it is called once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let kind = getsockopt(&descriptor, sockopt::SockType);
    let listens = getsockopt(&descriptor, sockopt::AcceptConn);
    if !matches!((kind, listens), (Ok(SockType::Stream), Ok(true))) {
        return Err(broken("is no stream socket that listens"));
    }
    let address = getsockname::<SockaddrStorage>(descriptor.as_raw_fd());
    let family = address.ok().and_then(|address| address.family());
    let unusable = |error: std::io::Error| broken(&format!("cannot be used: {error}"));
    match family {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            let listener = std::net::TcpListener::from(descriptor);
            listener.set_nonblocking(true).map_err(unusable)?;
            let listener = TcpListener::from_std(listener).map_err(unusable)?;
            Ok(Socket::Tcp(listener))
        }
        Some(AddressFamily::Unix) => {
            let listener = std::os::unix::net::UnixListener::from(descriptor);
            listener.set_nonblocking(true).map_err(unusable)?;
            let listener = UnixListener::from_std(listener).map_err(unusable)?;
            Ok(Socket::Unix(listener))
        }
        _ => Err(broken("is neither of TCP nor a Unix socket")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(process: &str, count: &str, names: Option<&str>) -> Told {
        Told {
            process: Some(process.to_owned()),
            count: Some(count.to_owned()),
            names: names.map(str::to_owned),
        }
    }

    #[test]
    fn each_socket_is_for_what_its_name_says() {
        let both = told("7", "3", Some("control:viewers:playoutd-viewers.socket"));
        assert_eq!(
            both.for_process(7),
            Ok(vec![
                (3, Serves::Everything),
                (4, Serves::Viewers),
                (5, Serves::Viewers)
            ])
        );
        assert_eq!(both.for_process(8), Ok(vec![]), "another's");
        let unnamed = told("7", "1", None);
        assert_eq!(unnamed.for_process(7), Ok(vec![(3, Serves::Everything)]));
        for (count, names, part) in [
            ("1", "web", "\"web\""),
            ("2", "control", "1 names for 2"),
            ("-1", "control", "no number"),
            ("65", "control", "no number"),
        ] {
            let refused = told("7", count, Some(names)).for_process(7).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
