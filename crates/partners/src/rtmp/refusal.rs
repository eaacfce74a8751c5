//! What a connectivity test answers: how long each step took, or why one of them failed.
//!
//! Sentences are ours, for the person who entered the destination. They name host and port, never the
//! path, the key or anything else that a server said but its status code.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The steps of a test, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The host is looked up and its addresses are checked.
    Resolve,
    /// A TCP connection is made.
    Connect,
    /// It is encrypted (`rtmps`), and the server's certificate is verified.
    Tls,
    /// RTMP's handshake.
    Handshake,
    /// The app is asked for.
    App,
    /// A stream is begun under the key.
    Publish,
    /// A stream is asked for, to be played; no part of a test.
    Play,
}

impl Step {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::App => "app",
            Self::Publish => "publish",
            Self::Play => "play",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a test failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The host's name cannot be resolved.
    Dns,
    /// The host leads into a network that is not public.
    PrivateAddress,
    /// Nobody listens on the port.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// No encrypted connection, or not with the host that was asked for.
    Tls,
    /// What answers does not speak RTMP.
    Handshake,
    /// The server does not take the app: it says so, or closes the connection over it.
    AppRejected,
    /// The server does not take the key: it says so, or closes the connection over it.
    KeyRejected,
    /// No answer in time.
    Timeout,
    /// The server cut the connection.
    RemoteClosed,
    /// The server breaks the rules of RTMP.
    Protocol,
}

impl Reason {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::PrivateAddress => "privateAddress",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::AppRejected => "appRejected",
            Self::KeyRejected => "keyRejected",
            Self::Timeout => "timeout",
            Self::RemoteClosed => "remoteClosed",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A test that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The address that was connected to.
    pub address: SocketAddr,
    /// The steps, in their order, and how long each took.
    pub steps: Vec<(Step, Duration)>,
}

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// One sentence for a person.
    pub detail: String,
    /// Where.
    pub step: Step,
}
